"""What looks wrong in a recording: neurons that never fire, stimuli that nobody heard, ids that come twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepSTRF.datasets.neural_dataset import NeuralDataset

__all__ = ["Suspicion", "clipped_samples", "clipping", "count_spikes", "suspicions_of"]

_FASTEST_HZ = 300.0
_EXPECTED_SPIKES = 15.0  # where a trial would have so many, none at all happens by chance once in 3 million
_FEWEST_CLIPPED = 10
_SHORTEST_CLIP = 3


@dataclass(frozen=True)
class Suspicion:
    """Something that may be a mistake."""

    kind: str
    """What it is, in one word; the same for all of its kind."""
    text: str
    """A sentence with what was found, and what to do."""
    neuron: str | None = None
    """Which neuron it concerns."""
    stimulus: str | None = None
    """Which stimulus it concerns."""
    repeat: int | None = None
    """Which repeat, numbered as in the file; from 0 in a data set."""


def suspicions_of(
    dataset: NeuralDataset,
    neurons: Sequence[str],
    stimuli: Sequence[str],
    spikes: np.ndarray,
    trials: np.ndarray,
    rates_hz: Sequence[float] | None,
) -> Iterator[Suspicion]:
    """Look at a data set.

    Parameters
    ----------
    dataset : NeuralDataset
        The recording.
    neurons, stimuli : sequence of str
        What to call its neurons and stimuli.
    spikes, trials : ndarray, shape (N,)
        What :func:`count_spikes` counted.
    rates_hz : sequence of float, optional
        Mean response of each neuron per second, where responses are counts.
    """
    yield from _double_ids(neurons, "neuron")
    yield from _double_ids(stimuli, "stimulus")
    yield from _stimuli(dataset, stimuli)
    for n, name in enumerate(neurons):
        if trials[n] == 0:
            yield Suspicion("no data", f"neuron {name!r} has no data for any stimulus", neuron=name)
        elif spikes[n] == 0:
            yield Suspicion("never fires", f"neuron {name!r} never fires in any of {trials[n]} trials", neuron=name)
    if rates_hz is not None:
        yield from _rates(rates_hz, neurons)
        yield from _silent_trials(dataset, neurons, stimuli)
    yield from _copies(dataset, neurons, stimuli)
    most = [int(block.repeats.max(initial=0)) for block in dataset._packed().blocks()]
    if max(most) == 1:
        yield Suspicion(
            "single trials",
            "no stimulus was repeated: noise can't be told from signal, so there is no ceiling to compare a model with",
        )


def _double_ids(names: Sequence[str], kind: str) -> Iterator[Suspicion]:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            of_neuron = kind == "neuron"
            text = f"{kind} {name!r} is there twice, as number {seen[name]} and {index}; give each a name of its own"
            yield Suspicion("duplicate id", text, name if of_neuron else None, None if of_neuron else name)
        seen.setdefault(name, index)


def _stimuli(dataset: NeuralDataset, names: Sequence[str]) -> Iterator[Suspicion]:
    heard = dataset.nrn_masks.any(1).tolist()
    is_waveform = bool(getattr(dataset, "return_waveform", False))
    for s, (name, stim) in enumerate(zip(names, dataset.stims, strict=True)):
        if not heard[s]:
            yield Suspicion("not heard", f"stimulus {name!r} has no response of any neuron", stimulus=name)
        if float(stim.min()) == float(stim.max()):
            yield Suspicion("constant", f"stimulus {name!r} has one value, {float(stim.min()):g}", stimulus=name)
        elif is_waveform and (clipped := clipped_samples(stim.numpy().ravel())):
            yield clipping(name, clipped)
    sizes = [tuple(stim.shape) for stim in dataset.stims]
    if not is_waveform and len(sizes[0]) == 3 and sizes[0][1] > max(size[-1] for size in sizes):
        bands, bins = sizes[0][1], max(size[-1] for size in sizes)
        text = (
            f"the stimuli have {bands} bands and at most {bins} bins, and time is the last axis. If it is the first "
            "in your arrays, transpose them, as stim.T"
        )
        yield Suspicion("axes", text)
    for first, second in _equal([stim.numpy() for stim in dataset.stims]):
        text = f"stimuli {names[first]!r} and {names[second]!r} are the same"
        yield Suspicion("copy", text, stimulus=names[second])


def clipping(name: str, samples: int) -> Suspicion:
    """That a sound is clipped."""
    text = f"stimulus {name!r} is clipped: {samples} samples lie in plateaus at its highest or lowest value"
    return Suspicion("clipping", text, stimulus=name)


def clipped_samples(waveform: np.ndarray) -> int:
    """Samples of a waveform in plateaus of three or more at its extreme values; 0 where there are hardly any.

    Examples
    --------
    >>> tone = np.sin(np.arange(1000) / 10)
    >>> clipped_samples(tone), clipped_samples(tone.clip(-0.9, 0.9)) > 200
    (0, True)
    """
    clipped = 0
    for extreme in (waveform.max(), waveform.min()):
        if extreme == 0:
            continue
        at = np.flatnonzero(np.diff(np.concatenate([[False], waveform == extreme, [False]]).astype(np.int8)))
        lengths = at[1::2] - at[::2]
        clipped += int(lengths[lengths >= _SHORTEST_CLIP].sum())
    return clipped if clipped >= _FEWEST_CLIPPED else 0


def count_spikes(dataset: NeuralDataset) -> tuple[np.ndarray, np.ndarray, str]:
    """Per neuron the sum of the size of all responses, and its trials; and "counts" or "continuous"."""
    spikes, trials = np.zeros(dataset.N_neurons), np.zeros(dataset.N_neurons, dtype=int)
    counts = True
    for block in dataset._packed().blocks():
        if block.n_bins == 0:
            continue
        values = block.values.numpy()
        spikes[block.neurons] += np.nansum(np.abs(values), axis=(1, 2))
        trials[block.neurons] += (~np.isnan(values)).any(2).sum(1)
        known = values[~np.isnan(values)]
        counts = counts and bool((known >= 0).all() and (known == np.round(known)).all())
    return spikes, trials, "counts" if counts else "continuous"


def _rates(rates_hz: Sequence[float], names: Sequence[str]) -> Iterator[Suspicion]:
    for name, rate in zip(names, rates_hz, strict=True):
        if rate > _FASTEST_HZ:
            text = f"neuron {name!r} fires at {rate:.0f} spikes/s, faster than neurons do: are dt and unit right?"
            yield Suspicion("rate", text, neuron=name)


def _silent_trials(dataset: NeuralDataset, neurons: Sequence[str], stimuli: Sequence[str]) -> Iterator[Suspicion]:
    """Trials without a spike where the other repeats let one expect many: the unit was lost, or not recorded."""
    for s, block in enumerate(dataset._packed().blocks()):
        if block.n_bins == 0 or block.values.shape[1] < 2:
            continue
        values = block.values.numpy()
        known = (~np.isnan(values)).any(2)
        totals = np.where(known, np.nansum(values, axis=2), np.nan)
        expected = np.nansum(totals, axis=1, keepdims=True) / np.maximum(known.sum(1, keepdims=True) - 1, 1)
        for position, repeat in np.argwhere((totals == 0) & (expected > _EXPECTED_SPIKES)):
            name = neurons[block.neurons[position]]
            yield Suspicion(
                "silent trial",
                f"neuron {name!r} has no spike in repeat {repeat} of stimulus {stimuli[s]!r}, and "
                f"{expected[position, 0]:.0f} on average in the others: was it recorded there? NaN stands for no data",
                neuron=name, stimulus=stimuli[s], repeat=int(repeat),
            )  # fmt: skip


def _copies(dataset: NeuralDataset, neurons: Sequence[str], stimuli: Sequence[str]) -> Iterator[Suspicion]:
    """Neurons with the same responses to everything, and repeats that are the same."""
    digests: list[list[Any]] = [[] for _ in neurons]
    for s, block in enumerate(dataset._packed().blocks()):
        if block.n_bins == 0:
            continue
        values = block.values.numpy()
        for position, n in enumerate(block.neurons.tolist()):
            own = values[position, : block.repeats[position]]
            if np.nansum(np.abs(own)) > 0:
                digests[n].append((s, own.tobytes().__hash__()))
        same = (values[:, 1:] == values[:, :-1]).all(2) & (values[:, 1:].max(2, initial=0) > 0)
        for position in np.flatnonzero(same.any(1)).tolist():
            name, repeat = neurons[int(block.neurons[position])], int(np.argmax(same[position]))
            yield Suspicion(
                "copy",
                f"neuron {name!r}: repeats {repeat} and {repeat + 1} of stimulus {stimuli[s]!r} are the same",
                neuron=name, stimulus=stimuli[s], repeat=repeat + 1,
            )  # fmt: skip
    first: dict[Any, int] = {}
    for index, digest in enumerate(digests):
        if digest and tuple(digest) in first:
            other = neurons[first[tuple(digest)]]
            text = f"neurons {other!r} and {neurons[index]!r} have the same responses to everything"
            yield Suspicion("copy", text, neuron=neurons[index])
        first.setdefault(tuple(digest), index)


def _equal(arrays: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    first: dict[Any, int] = {}
    for index, array in enumerate(arrays):
        key = (array.shape, array.tobytes().__hash__())
        if key in first and np.array_equal(arrays[first[key]], array):
            yield first[key], index
        first.setdefault(key, index)
