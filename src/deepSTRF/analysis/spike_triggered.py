"""Reverse correlation: the average stimulus before a spike, and its covariance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.analysis.arguments import as_axes, as_neurons, as_recording
from deepSTRF.analysis.fields import MOST_GROUPS, STRF, left_out_sums
from deepSTRF.analysis.results import Result, array, jackknife_errors
from deepSTRF.checks import check_integer

__all__ = ["SpikeTriggeredCovariance", "spike_triggered_average", "spike_triggered_covariance"]

# Entries of a covariance matrix of which several must fit into memory.
MOST_DIMENSIONS = 4096


def spike_triggered_average(
    data: Any,
    n_lags: int = 30,
    *,
    neurons: int | Sequence[int] | None = None,
    dt_ms: float | None = None,
    frequencies_hz: Sequence[float] | None = None,
) -> STRF:
    r"""Return the average stimulus before a spike, minus the average stimulus.

    .. math:: \mathrm{STA}(f, k) = \frac{\sum_t y_t\, x(f, t - k)}{\sum_t y_t} - \langle x(f, t - k) \rangle

    with the spikes y summed over repeats, and the mean over the bins and repeats that were recorded. For stimuli
    without correlations it is proportional to the field of an LN cell [1]_; natural sounds blur it, and
    :func:`~deepSTRF.models.fit_ridge` does not.

    Parameters
    ----------
    data : NeuralDataset
        Spectrograms or movies, with spike counts or rates. Smoothed responses blur the average in time.
    n_lags : int
        Number of lags L. The first L − 1 bins of a stimulus, whose past is not complete, are left out.
    neurons : int or sequence of int, optional
        Which neurons; default all of the data set, whichever are selected in it.
    dt_ms, frequencies_hz : optional
        Default those of the data set.

    Returns
    -------
    STRF
        In units of the stimulus, with standard errors by the jackknife over stimuli. NaN for neurons without spikes.

    Raises
    ------
    TypeError
        If `data` is no data set.
    ValueError
        If responses are negative, stimuli have no bands, or all are shorter than `n_lags`.

    References
    ----------
    .. [1] Chichilnisky EJ (2001). A simple white noise analysis of neuronal light responses. Network 12:199-213.
       doi:10.1080/713663221

    Examples
    --------
    >>> from deepSTRF.analysis import spike_triggered_average
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> data = SimulatedDataset(n_neurons=2, n_stims=4, duration_s=1.0, smooth=False)
    >>> result = spike_triggered_average(data, n_lags=20)
    >>> result.fields.shape, result.units
    (torch.Size([2, 34, 20]), 'units of stimulus')
    """
    stims, responses = as_recording(data)
    n_lags, chosen = check_integer("n_lags", n_lags), as_neurons(neurons, data.N_neurons)
    frame = _frame(stims[0])
    dt_ms, centres = as_axes(data, dt_ms, frequencies_hz, frame[0] if len(frame) == 1 else None)
    n_groups = min(MOST_GROUPS, len(stims))
    shape = (n_groups, len(chosen), *frame, n_lags)
    triggered, all_of_it = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    spikes, bins = (torch.zeros(shape[:2], dtype=torch.float64) for _ in range(2))
    found = False
    for s, windows, counts, recorded in _windows(stims, responses, chosen, n_lags):
        found, group = True, s % n_groups
        triggered[group] += torch.einsum("nt,...tl->n...l", counts, windows)
        all_of_it[group] += torch.einsum("nt,...tl->n...l", recorded, windows)
        spikes[group] += counts.sum(1)
        bins[group] += recorded.sum(1)
    if not found:
        raise ValueError(f"n_lags is {n_lags}, but no stimulus has so many bins")

    def average(triggered: Tensor, all_of_it: Tensor, spikes: Tensor, bins: Tensor) -> Tensor:
        over = (..., *[None] * (len(frame) + 1))
        return triggered / spikes[over] - all_of_it / bins[over]  # 0 / 0 is NaN, as it should be

    sums = (triggered, all_of_it, spikes, bins)
    fields = average(*[one.sum(0) for one in sums])
    left_out, counted = average(*left_out_sums(*sums)), bins > 0
    errors = jackknife_errors(left_out, counted)
    return STRF(fields.float(), dt_ms, centres, "units of stimulus", errors.float(), left_out.float(), counted)


@dataclass(eq=False)
class SpikeTriggeredCovariance(Result):
    """Directions in which the stimuli before spikes vary more, or less, than all stimuli.

    Attributes
    ----------
    eigenvalues : Tensor, (N, K)
        Of the covariance before spikes minus that of all stimuli, those of largest magnitude, falling by value.
        Positive: the neuron is driven by change in both directions; negative: it is suppressed.
    fields : Tensor, (N, K, F, L)
        Their eigenvectors, of norm 1; the sign of an eigenvector means nothing.
    null_low, null_high : Tensor, (N,)
        Smallest and largest eigenvalue where spikes are shifted in time (circularly, within each stimulus): an
        eigenvalue within is no more than chance.
    """

    eigenvalues: Float[Tensor, "N K"] = array(("neuron", "component"), "square of units of stimulus")
    fields: Float[Tensor, "N K *frame L"] = array(("neuron", "component", "frame", "lag"), "1")
    null_low: Float[Tensor, " N"] = array(("neuron",), "square of units of stimulus")
    null_high: Float[Tensor, " N"] = array(("neuron",), "square of units of stimulus")
    dt_ms: float | None = None
    frequencies_hz: tuple[float, ...] | None = None


def spike_triggered_covariance(
    data: Any,
    n_lags: int = 15,
    n_components: int = 4,
    *,
    neurons: int | Sequence[int] | None = None,
    n_shifts: int = 20,
    seed: int = 0,
    dt_ms: float | None = None,
    frequencies_hz: Sequence[float] | None = None,
) -> SpikeTriggeredCovariance:
    """Return the directions in which the stimuli before spikes vary more or less than all stimuli.

    Both covariances are around their own mean, so that what the average shows is not repeated [1]_. For stimuli without
    correlations the eigenvectors span the fields of a cell of several, such as the energy model; natural sounds mix
    them with their own principal components, which are seen in the eigenvalues of shifted spikes as well.

    Parameters
    ----------
    data : NeuralDataset
        Spectrograms or movies, with spike counts or rates.
    n_lags : int
        Number of lags L. Bands times lags are at most 4096: the matrix has the square of it.
    n_components : int
        Number K of eigenvalues and fields to keep.
    neurons : int or sequence of int, optional
        Which neurons; default all of the data set, whichever are selected in it.
    n_shifts : int
        Number of shifts for the range by chance.
    seed : int
        Of the shifts.
    dt_ms, frequencies_hz : optional
        Default those of the data set.

    Raises
    ------
    TypeError
        If `data` is no data set.
    ValueError
        If responses are negative, stimuli have no bands or are shorter than `n_lags`, or bands times lags are too many.

    References
    ----------
    .. [1] Schwartz O, Pillow JW, Rust NC, Simoncelli EP (2006). Spike-triggered neural characterization. Journal of
       Vision 6(4):13. doi:10.1167/6.4.13

    Examples
    --------
    >>> from deepSTRF.analysis import spike_triggered_covariance
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> data = SimulatedDataset(n_neurons=2, n_stims=4, duration_s=1.0, n_bands=8, smooth=False)
    >>> spike_triggered_covariance(data, n_lags=6, n_shifts=2).fields.shape
    torch.Size([2, 4, 8, 6])
    """
    stims, responses = as_recording(data)
    n_lags, n_components = check_integer("n_lags", n_lags), check_integer("n_components", n_components)
    chosen, n_shifts = as_neurons(neurons, data.N_neurons), check_integer("n_shifts", n_shifts)
    frame = _frame(stims[0])
    dt_ms, centres = as_axes(data, dt_ms, frequencies_hz, frame[0] if len(frame) == 1 else None)
    size = n_lags * int(torch.tensor(frame).prod())
    if size > MOST_DIMENSIONS:
        raise ValueError(f"bands times lags are {size}, more than {MOST_DIMENSIONS}: take fewer lags or coarser bands")
    n_components = min(n_components, size)
    pieces = [
        (windows.movedim(-2, 0).flatten(1), counts, recorded)
        for _, windows, counts, recorded in _windows(stims, responses, chosen, n_lags)
    ]
    if not pieces:
        raise ValueError(f"n_lags is {n_lags}, but no stimulus has so many bins")
    random = torch.Generator().manual_seed(seed)
    values, vectors, lows, highs = [], [], [], []
    for i in range(len(chosen)):
        prior = _covariance([(rows, recorded[i]) for rows, _, recorded in pieces])
        difference = _covariance([(rows, counts[i]) for rows, counts, _ in pieces]) - prior
        if not bool(difference.isfinite().all()):
            values.append(torch.full((n_components,), torch.nan))
            vectors.append(torch.full((n_components, size), torch.nan))
            lows.append(torch.nan)
            highs.append(torch.nan)
            continue
        found, directions = torch.linalg.eigh(difference)
        kept = found.abs().argsort(descending=True)[:n_components]
        kept = kept[found[kept].argsort(descending=True)]
        values.append(found[kept])
        vectors.append(directions[:, kept].T)
        by_chance = []
        for _ in range(n_shifts):
            shifted = []
            for rows, counts, _ in pieces:
                by = int(torch.randint(len(rows), (), generator=random))
                shifted.append((rows, counts[i].roll(by)))
            by_chance.append(torch.linalg.eigvalsh(_covariance(shifted) - prior)[[0, -1]])
        lows.append(float(torch.stack(by_chance)[:, 0].min()))
        highs.append(float(torch.stack(by_chance)[:, 1].max()))
    fields = torch.stack(vectors).reshape(len(chosen), n_components, *frame, n_lags)
    return SpikeTriggeredCovariance(
        torch.stack(values).float(), fields.float(), torch.tensor(lows), torch.tensor(highs), dt_ms, centres
    )


def _covariance(weighted: list[tuple[Float[Tensor, "t d"], Float[Tensor, " t"]]]) -> Float[Tensor, "d d"]:
    size = weighted[0][0].shape[1]
    total, mean, square = torch.zeros(()).double(), torch.zeros(size).double(), torch.zeros(size, size).double()
    for rows, weights in weighted:
        total += weights.sum()
        mean += weights @ rows
        square += (rows * weights[:, None]).T @ rows
    return square / total - torch.outer(mean, mean) / total**2  # NaN without spikes


def _frame(stimulus: Tensor) -> tuple[int, ...]:
    shape = tuple(stimulus.shape)[:-1]
    if len(shape) < 2:
        raise ValueError(f"stimuli must be spectrograms (1, F, T) or movies, got shape {tuple(stimulus.shape)}")
    return shape[1:] if shape[0] == 1 else shape


def _windows(
    stims: Sequence[Tensor], responses: Any, neurons: list[int], n_lags: int
) -> Iterator[tuple[int, Float[Tensor, "*frame t L"], Float[Tensor, "N t"], Float[Tensor, "N t"]]]:
    """For each stimulus: every stretch of L bins, the spikes in its last bin, and how many repeats were recorded."""
    for s, stimulus in enumerate(stims):
        n_bins = stimulus.shape[-1]
        if n_bins < n_lags:
            continue
        counts, recorded = torch.zeros(2, len(neurons), n_bins, dtype=torch.float64)
        for i, n in enumerate(neurons):
            response = responses[s][n]
            if response.shape[-1] != n_bins:
                if bool(response.isnan().all()):
                    continue
                raise ValueError(f"stimulus {s} has {n_bins} bins and its responses {response.shape[-1]}")
            if bool((response < 0).any()):
                raise ValueError(
                    f"responses of neuron {n} to stimulus {s} are negative, and no spike counts or rates: fit_ridge "
                    "finds the receptive fields of other signals"
                )
            counts[i] = response.double().nansum(0).cpu()
            recorded[i] = (~response.isnan()).sum(0).double().cpu()
        if bool(recorded[:, n_lags - 1 :].any()):
            frames = stimulus.double().cpu()
            frames = frames[0] if frames.shape[0] == 1 else frames
            yield s, frames.unfold(-1, n_lags, 1), counts[:, n_lags - 1 :], recorded[:, n_lags - 1 :]
