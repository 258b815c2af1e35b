"""Spike times and continuous signals, brought to the bins of the stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "bin_of",
    "bin_spike_times",
    "count_in_repeats",
    "count_in_trials",
    "count_joined",
    "in_double",
    "resample_to_bins",
    "signals_in_trials",
]

_ROUNDING = 1e-6
"""Bins: a spike that is this close before an edge lies on it, were it not for rounding of the time."""

_KERNEL_HALF_WIDTH = 10
_KAISER_BETA = 5.0
"""The anti-alias filter of scipy.signal.resample_poly: 10 periods to each side, in a Kaiser window."""

_BINS_AT_ONCE = 2048
"""Bins of a signal that are filtered together, which bounds the memory of long trials."""


def bin_spike_times(times_s: Any, start_s: float, n_bins: int, dt_ms: float) -> np.ndarray:
    """Count spikes in bins: the sum over bins is the number of spikes in the window.

    Bin k is [start + k dt, start + (k + 1) dt). A time within rounding (a millionth of a bin) of an edge belongs to the
    bin that begins there.

    Parameters
    ----------
    times_s : array
        Spike times in s, in any order, shape (K,).
    start_s : float
        Time at which the first bin begins, in s.
    n_bins : int
        Number of bins; spikes before the first and after the last are not counted.
    dt_ms : float
        Width of a bin in ms.

    Returns
    -------
    numpy.ndarray
        float32, shape (n_bins,).

    Examples
    --------
    >>> bin_spike_times([0.001, 0.004, 0.005, 0.3], start_s=0.0, n_bins=4, dt_ms=5.0)
    array([2., 1., 0., 0.], dtype=float32)
    """
    return count_in_repeats([in_double(times_s).ravel()], start_s, n_bins, dt_ms)[0]


def count_in_repeats(
    repeats: Sequence[np.ndarray | None], start_s: float, n_bins: int, dt_ms: float, *, times_per_s: float = 1.0
) -> np.ndarray:
    """Count the spikes of several repeats in bins, as :func:`bin_spike_times` does for one.

    Parameters
    ----------
    repeats : sequence of numpy.ndarray or None
        Spike times in s of each repeat; None for one that was not recorded.
    start_s, n_bins, dt_ms
        As for :func:`bin_spike_times`.
    times_per_s : float
        1000 where the times are in ms instead.

    Returns
    -------
    numpy.ndarray
        float32, shape (R, n_bins), NaN where a repeat was not recorded.

    Examples
    --------
    >>> count_in_repeats([np.array([0.001, 0.007]), None], start_s=0.0, n_bins=2, dt_ms=5.0)
    array([[ 1.,  1.],
           [nan, nan]], dtype=float32)
    """
    times = [np.empty(0) if repeat is None else repeat for repeat in repeats]
    repeat = np.repeat(np.arange(len(times)), [len(part) for part in times])
    counts = count_joined(np.concatenate(times) / times_per_s - start_s, repeat, len(times), n_bins, dt_ms)
    counts[[part is None for part in repeats]] = np.nan
    return counts


def count_joined(times_s: np.ndarray, repeat: np.ndarray, n_repeats: int, n_bins: int, dt_ms: float) -> np.ndarray:
    """Count spikes of several repeats that are in one array, from the start of the first bin on.

    Parameters
    ----------
    times_s, repeat : numpy.ndarray
        Time since the start in s, and number of the repeat, of each spike.
    n_repeats, n_bins, dt_ms
        How many repeats and bins there are, and how wide these are in ms.

    Returns
    -------
    numpy.ndarray
        float32, shape (R, n_bins).

    Examples
    --------
    >>> count_joined(np.array([0.001, 0.007]), np.array([1, 1]), 2, n_bins=2, dt_ms=5.0)
    array([[0., 0.],
           [1., 1.]], dtype=float32)
    """
    bins = bin_of(times_s, dt_ms)
    inside = (bins >= 0) & (bins < n_bins)
    place = repeat[inside] * n_bins + bins[inside].astype(np.int64)
    return np.bincount(place, minlength=n_repeats * n_bins).astype(np.float32).reshape(n_repeats, n_bins)


def count_in_trials(
    spikes: Sequence[Any],
    onsets_s: Any,
    stimulus_of_trial: Any,
    n_bins: Sequence[int],
    dt_ms: float,
    offset_s: float = 0.0,
    recorded: Sequence[Any] | None = None,
) -> list[np.ndarray | None]:
    """Count the spikes of one long session in the bins of its trials.

    Parameters
    ----------
    spikes : sequence of array
        Per unit its spike times in s, in any order.
    onsets_s : array
        Onset of each trial in s, shape (K,), in any order; trials may overlap.
    stimulus_of_trial : array of int
        Index of the stimulus of each trial, shape (K,).
    n_bins : sequence of int
        Number of bins of each stimulus.
    dt_ms : float
        Width of a bin in ms.
    offset_s : float
        From the onset of a trial to its first bin, in s; negative for bins before the onset.
    recorded : sequence of array, optional
        Per unit the intervals in which it was recorded, shape (I, 2), in s; None for always. A trial that is not wholly
        inside of them is NaN for that unit.

    Returns
    -------
    list of numpy.ndarray or None
        Per stimulus float32 counts (N, R_s, T_s), repeats in the order of the trials; None for a stimulus without one.

    Examples
    --------
    >>> counts = count_in_trials([[0.1, 2.1, 2.6]], [0.0, 2.0], [0, 0], n_bins=[2], dt_ms=500.0)
    >>> counts[0]
    array([[[1., 0.],
            [1., 1.]]], dtype=float32)
    """
    layout = _Layout(onsets_s, stimulus_of_trial, n_bins, offset_s)
    dt_s = dt_ms / 1000
    results = layout.empty(len(spikes))
    for unit, unsorted in enumerate(spikes):
        times = np.sort(in_double(unsorted).ravel())
        # A margin of one bin to each side, so that only the formula of the bins decides about the edges.
        first = np.searchsorted(times, layout.starts - dt_s)
        counts = np.searchsorted(times, layout.starts + (layout.bins + 1) * dt_s) - first
        trial = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(trial)) - np.repeat(np.cumsum(counts) - counts, counts)
        bins = bin_of(times[first[trial] + within] - layout.starts[trial], dt_ms)
        inside = (bins >= 0) & (bins < layout.bins[trial])
        place = layout.places[trial[inside]] + bins[inside].astype(np.int64)
        line = np.bincount(place, minlength=layout.n_places).astype(np.float32)
        if recorded is not None and recorded[unit] is not None:
            known = _inside_intervals(layout.starts, layout.starts + layout.bins * dt_s, recorded[unit], dt_s)
            line[np.repeat(~known, layout.bins)] = np.nan
        layout.write(line, unit, results)
    return results


def signals_in_trials(
    signals: Any,
    rate_hz: float,
    start_s: float,
    onsets_s: Any,
    stimulus_of_trial: Any,
    n_bins: Sequence[int],
    dt_ms: float,
    offset_s: float = 0.0,
) -> list[np.ndarray | None]:
    """Bring continuous signals of one long session (calcium, LFP, EEG) to the bins of its trials.

    Sample j covers [start + j / rate, start + (j + 1) / rate), as a frame of a microscope does. The value of a bin is
    that of the low-passed signal at the bin's centre: a windowed sinc whose cutoff is half the lower of both rates, the
    filter of ``scipy.signal.resample_poly``, so that what is too fast for the bins does not fold into them. At the rate
    of the bins, a signal whose samples fall on bins stays as it is, bit by bit.

    Parameters
    ----------
    signals : array
        Shape (N, samples). NaN where data are missing: a bin that holds part of a missing sample is NaN.
    rate_hz : float
        Sampling rate.
    start_s : float
        Time at which the first sample begins.
    onsets_s, stimulus_of_trial, n_bins, dt_ms, offset_s
        As for :func:`count_in_trials`. Onsets need not fall on samples.

    Returns
    -------
    list of numpy.ndarray or None
        Per stimulus float32 (N, R_s, T_s); None for a stimulus without trial. NaN in bins that are not wholly inside
        the recording.

    Examples
    --------
    >>> signals_in_trials([[3.0, 4.0, 5.0, 6.0]], 10.0, 0.0, [0.1], [0], n_bins=[2], dt_ms=100.0)
    [array([[[4., 5.]]], dtype=float32)]
    """
    signals = np.asarray(signals)
    layout = _Layout(onsets_s, stimulus_of_trial, n_bins, offset_s)
    results = layout.empty(len(signals))
    for trial, (start, bins) in enumerate(zip(layout.starts, layout.bins, strict=True)):
        stimulus, repeat = layout.stimulus[trial], layout.repeat[trial]
        result = results[stimulus]
        if result is not None:
            result[:, repeat] = resample_to_bins(
                signals, (start - start_s) * rate_hz, int(bins), rate_hz * dt_ms / 1000
            )
    return results


class _Layout:
    """Where the bins of each trial lie in a line of all bins: the trials of a stimulus one after the other."""

    def __init__(self, onsets_s: Any, stimulus_of_trial: Any, n_bins: Sequence[int], offset_s: float):
        stimuli = np.asarray(stimulus_of_trial, dtype=np.int64)
        order = np.argsort(stimuli, kind="stable")
        self.stimulus = stimuli[order]
        self.starts = np.asarray(onsets_s, dtype=np.float64)[order] + offset_s
        self.bins_of = np.asarray(n_bins, dtype=np.int64)
        self.bins = self.bins_of[self.stimulus]
        self.repeats_of = np.bincount(stimuli, minlength=len(self.bins_of))
        self.repeat = np.arange(len(order)) - (np.cumsum(self.repeats_of) - self.repeats_of)[self.stimulus]
        self.places = np.cumsum(self.bins) - self.bins
        self.n_places = int(self.bins.sum())

    def empty(self, n_units: int) -> list[np.ndarray | None]:
        """An array to fill for each stimulus that has a trial."""
        return [
            np.empty((n_units, int(repeats), int(bins)), dtype=np.float32) if repeats else None
            for repeats, bins in zip(self.repeats_of, self.bins_of, strict=True)
        ]

    def write(self, line: np.ndarray, unit: int, results: list[np.ndarray | None]) -> None:
        """Copy a line of all bins of one unit to the arrays of the stimuli."""
        place = 0
        for result in results:
            if result is not None:
                size = result[unit].size
                result[unit] = line[place : place + size].reshape(result.shape[1:])
                place += size


def in_double(times: Any) -> np.ndarray:
    """Times as float64; those in float32 as the shortest decimal number that they stand for.

    0.007 in float32 is 0.00699999975. Half of the times in whole milliseconds would lie in the bin before theirs.

    Examples
    --------
    >>> in_double(np.array([0.007, 1000.001], dtype=np.float32))
    array([7.000000e-03, 1.000001e+03])
    """
    given = np.asarray(times)
    exact = given.astype(np.float64)
    if given.dtype != np.float32:
        return exact
    size = np.abs(exact, where=np.isfinite(exact) & (exact != 0), out=np.ones_like(exact))
    for digits in (8, 7, 6):  # after the first one
        scale = 10.0 ** (digits - np.floor(np.log10(size)))
        rounded = np.round(given.astype(np.float64) * scale) / scale
        exact = np.where(rounded.astype(np.float32) == given, rounded, exact)
    return exact


def bin_of(since_start_s: np.ndarray, dt_ms: float) -> np.ndarray:
    """Number of the bin, as a float, in which each time since the start of the first bin lies; NaN stays NaN."""
    return np.floor(since_start_s * (1000 / dt_ms) + _ROUNDING)


def _inside_intervals(starts: np.ndarray, stops: np.ndarray, intervals: Any, dt_s: float) -> np.ndarray:
    """Whether each [start, stop] lies in one of the intervals, which may touch or overlap."""
    slack = _ROUNDING * dt_s
    merged: list[list[float]] = []
    for begin, end in sorted(np.asarray(intervals, dtype=np.float64).reshape(-1, 2).tolist()):
        if merged and begin <= merged[-1][1] + slack:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    if not merged:
        return np.zeros(len(starts), dtype=bool)
    begins, ends = np.array(merged).T
    interval = np.searchsorted(begins - slack, starts, side="right") - 1
    return (interval >= 0) & (stops <= ends[interval] + slack)


def resample_to_bins(signals: np.ndarray, start: float, n_bins: int, step: float) -> np.ndarray:
    """Values of signals in bins that begin at sample `start` and are `step` samples wide.

    Parameters
    ----------
    signals : numpy.ndarray
        Shape (N, samples), NaN where missing.
    start, step : float
        Begin of the first bin and width of each, in samples.
    n_bins : int
        Number of bins.

    Returns
    -------
    numpy.ndarray
        float32, shape (N, n_bins); see :func:`signals_in_trials`.
    """
    values = np.empty((len(signals), n_bins), dtype=np.float32)
    for first in range(0, n_bins, _BINS_AT_ONCE):
        edges = start + step * np.arange(first, min(first + _BINS_AT_ONCE, n_bins) + 1)
        values[:, first : first + _BINS_AT_ONCE] = _filtered(signals, edges, max(step, 1.0))
    return values


def _filtered(signals: np.ndarray, edges: np.ndarray, period: float) -> np.ndarray:
    """Values of the signals, low-passed at half of 1 / `period`, at the centres of bins; edges are in samples."""
    from scipy.sparse import csr_array

    centres = (edges[:-1] + edges[1:]) / 2 - 0.5  # sample j is centred on j + 0.5
    nearest = np.round(centres).astype(np.int64)
    reach = int(np.ceil(_KERNEL_HALF_WIDTH * period)) + 1
    low, high = max(0, int(nearest[0]) - reach), min(signals.shape[1], int(nearest[-1]) + reach + 1)
    if high <= low:
        return np.full((len(signals), len(centres)), np.nan)
    segment = np.asarray(signals[:, low:high], dtype=np.float64)

    # Bins repeat a few phases to the samples, most often one: the filter is computed once for each.
    phases, phase_of_bin = np.unique(np.round(centres - nearest, 9), return_inverse=True)
    steps = np.arange(-reach, reach + 1)
    weights = _windowed_sinc((steps - phases[:, None]) / period)[phase_of_bin]
    samples = nearest[:, None] + steps
    weights[(samples < low) | (samples >= high)] = 0
    columns = np.clip(samples - low, 0, high - low - 1)
    starts = np.arange(0, columns.size + 1, len(steps))
    kernel = csr_array((weights.ravel(), columns.ravel(), starts), shape=(len(centres), high - low))
    missing = ~np.isfinite(segment)
    any_missing = bool(missing.any())
    if any_missing:
        segment[missing] = 0
        gain = (kernel @ (~missing).astype(np.float64).T).T
    else:
        gain = np.asarray(kernel.sum(axis=1))[None]  # less than that of the whole filter at the ends of the recording
    # A bin is known where all the samples that it overlaps are.
    first = np.floor(edges[:-1] + _ROUNDING).astype(np.int64)
    last = np.ceil(edges[1:] - _ROUNDING).astype(np.int64)
    known = np.broadcast_to((first >= 0) & (last <= signals.shape[1]), (len(segment), len(centres)))
    if any_missing:
        gaps = np.concatenate([np.zeros((len(segment), 1)), np.cumsum(missing, axis=1)], axis=1)
        known = known & (gaps[:, np.clip(last - low, 0, high - low)] == gaps[:, np.clip(first - low, 0, high - low)])
    return np.divide((kernel @ segment.T).T, gain, out=np.full(known.shape, np.nan), where=known)


def _windowed_sinc(distance: np.ndarray) -> np.ndarray:
    """Low-pass filter in a Kaiser window; `distance` in periods. Where the sinc is 0, so are they, exactly."""
    shape = np.sqrt(np.maximum(1 - (distance / _KERNEL_HALF_WIDTH) ** 2, 0))
    weights = np.sinc(distance) * np.i0(_KAISER_BETA * shape)
    weights[(np.abs(distance) > _KERNEL_HALF_WIDTH) | (np.abs(weights) < 1e-8)] = 0
    return weights
