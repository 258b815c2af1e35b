"""What is measured of the neurons and stimuli of a recording, to select by it: reliability, rate, repeats."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.metrics.batches import statistics_of
from deepSTRF.metrics.correlation import noise_ceiling_measure
from deepSTRF.metrics.reliability import SNR, ccmax_measure, compute_TTRC
from deepSTRF.metrics.statistics import Measure, merge

if TYPE_CHECKING:
    from deepSTRF.datasets.selection import SelectableRecording

__all__ = ["FROM_RESPONSES", "measured", "neuron_qualities", "stimulus_qualities"]

_NEURONS = 64  # whose repeats are correlated at a time
_MEASURES: dict[str, Callable[[], Measure]] = {
    "snr": lambda: SNR,
    "ccmax": ccmax_measure,
    "ceiling": noise_ceiling_measure,
}
FROM_RESPONSES = (*_MEASURES, "trial_correlation", "rate")  # what chance in the responses changes


def neuron_qualities(dataset: SelectableRecording) -> dict[str, Callable[[], list[float]]]:
    """What can be measured of each neuron, over all stimuli of a data set: name to ``() -> values``.

    ``snr``: signal power over noise power (:func:`deepSTRF.metrics.snr`). ``ccmax``: the correlation between halves of
    the repeats, as a bound of any model's (:func:`deepSTRF.metrics.ccmax`); ``ceiling``: that from signal power and
    variance, which runs report (:func:`deepSTRF.metrics.noise_ceiling`). ``trial_correlation``: the mean correlation of
    two repeats (:func:`deepSTRF.metrics.performance.compute_TTRC`), stimuli weighted by their bins. ``rate``: mean
    response per second; spikes/s where responses are counts. ``repeats``: the most of any stimulus. ``index``: from 0.
    The first four are NaN for a neuron without repeats. One stimulus is looked at at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from deepSTRF.datasets import NeuralDataset
    >>> ds = NeuralDataset.from_arrays([np.ones((3, 8))], [np.ones((2, 4, 8))], dt_ms=5.0)
    >>> qualities = neuron_qualities(ds)
    >>> qualities["rate"](), qualities["repeats"]()
    ([200.0, 200.0], [4, 4])
    """
    of_repeats = {name: partial(_of_repeats, dataset, make) for name, make in _MEASURES.items()}
    return {
        **of_repeats,
        "trial_correlation": lambda: _trial_correlation(dataset).tolist(),
        "rate": lambda: _rate(dataset).tolist(),
        "repeats": lambda: _repeats(dataset).tolist(),
        "index": lambda: list(range(dataset.N_neurons)),
    }


def stimulus_qualities(dataset: SelectableRecording) -> dict[str, Callable[[], list[float]]]:
    """What can be measured of each stimulus: ``duration`` in s, ``repeats`` (the most of any neuron) and ``index``.

    The duration is undefined where no neuron has data.
    """
    blocks = list(dataset._packed().blocks())
    return {
        "duration": lambda: [block.n_bins * dataset.dt / 1000 if block.n_bins else math.nan for block in blocks],
        "repeats": lambda: [int(block.repeats.max(initial=0)) for block in blocks],
        "index": lambda: list(range(len(blocks))),
    }


def measured(
    blocks: Iterable[ResponseBlock],
    n_neurons: int,
    *measures: Measure,
    predictions: Iterable[Float[Tensor, "N T_s"]] | None = None,
) -> list[Float[Tensor, " N"]]:
    """Measures of the responses, each (N,), NaN where undefined; only one stimulus is looked at at a time.

    Parameters
    ----------
    blocks : iterable of ResponseBlock
        Per stimulus.
    n_neurons : int
        Size of the population.
    *measures : Measure
        What to measure.
    predictions : iterable of Tensor, optional
        Per stimulus (N, T_s), for measures of how well responses are predicted.
    """
    parts = tuple(dict.fromkeys(part for measure in measures for part in measure.parts))
    total = None
    for block, predicted in zip(blocks, itertools.repeat(None) if predictions is None else predictions, strict=False):
        if block.n_bins == 0:
            continue
        heard = torch.from_numpy(block.neurons)
        pred = None if predicted is None else predicted.index_select(0, heard)[None, :, None].to(block.values.dtype)
        found = statistics_of(parts, block.as_batch(), pred)
        statistics = tuple(_of_everyone(part, heard, n_neurons) for part in found)
        total = statistics if total is None else merge(total, statistics)
    if total is None:
        return [torch.full((n_neurons,), torch.nan) for _ in measures]
    of_part = dict(zip(parts, total, strict=True))
    return [measure.compute(*(of_part[part] for part in measure.parts)) for measure in measures]


def _of_everyone(statistic: Any, heard: Tensor, n_neurons: int) -> Any:
    """A statistic of those who heard a stimulus, with what adds nothing for the others."""
    fields = {}
    for name, field in zip(statistic._fields, statistic, strict=True):
        nothing = math.inf if name == "fewest" else 0.0  # the fewest repeats of any stimulus
        everyone = field.new_full((n_neurons, *field.shape[1:]), nothing, device="cpu")
        fields[name] = everyone.index_copy_(0, heard, field.cpu())
    return type(statistic)(**fields)


def _of_repeats(dataset: SelectableRecording, make: Callable[[], Measure]) -> list[float]:
    """A measure of what repeats: undefined for single trials, of which the half-split ceiling would be 1."""
    (values,) = measured(dataset._packed().blocks(), dataset.N_neurons, make())
    return torch.where(_repeats(dataset) > 1, values, torch.nan).tolist()


def _trial_correlation(dataset: SelectableRecording) -> Float[Tensor, " N"]:
    total, weight = torch.zeros(2, dataset.N_neurons, dtype=torch.float64)
    for block in dataset._packed().blocks():
        for first in range(0, len(block.neurons) if block.values.shape[1] > 1 else 0, _NEURONS):
            some = slice(first, first + _NEURONS)
            correlation = compute_TTRC(block.values[some]).double()
            repeated = block.summary.powers.repeats[some] > 1  # a single one has 1, which says nothing
            counts = correlation.isfinite() & repeated
            neurons = torch.from_numpy(block.neurons[some])
            total[neurons] += torch.where(counts, block.n_bins * correlation, 0.0)
            weight[neurons] += torch.where(counts, block.n_bins, 0)
    return total / torch.where(weight > 0, weight, torch.nan)


def _rate(dataset: SelectableRecording) -> Float[Tensor, " N"]:
    total, count = torch.zeros(2, dataset.N_neurons, dtype=torch.float64)
    for block in dataset._packed().blocks():
        neurons = torch.from_numpy(block.neurons)
        total[neurons] += block.values.nansum((1, 2), dtype=torch.float64)
        count[neurons] += (block.values == block.values).sum((1, 2))
    return total / torch.where(count > 0, count, torch.nan) * 1000 / dataset.dt


def _repeats(dataset: SelectableRecording) -> Tensor:
    repeats = torch.zeros(dataset.N_neurons, dtype=torch.int64)
    for block in dataset._packed().blocks():
        heard = block.summary.heard
        neurons = torch.from_numpy(block.neurons[heard])
        repeats[neurons] = torch.maximum(repeats[neurons], torch.from_numpy(block.repeats[heard]).long())
    return repeats
