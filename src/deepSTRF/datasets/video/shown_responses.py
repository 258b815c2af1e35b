"""Responses in the bins of what was shown: spikes are counted, continuous signals are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from deepSTRF.datasets.video.presentations import Bins

__all__ = ["counts_in", "means_in"]

_ROUNDING = 1e-6
_GAP = 1.5
"""Samples that are so many periods apart have a gap between them."""


def _valid(bins: Bins, invalid: Iterable[tuple[float, float]]) -> np.ndarray:
    known = bins.known.copy()
    for begin, end in invalid:
        known &= (bins.edges_s[1:] <= begin) | (bins.edges_s[:-1] >= end)
    return known


def counts_in(
    bins: Sequence[Sequence[Bins]],
    spikes: Iterable[np.ndarray],
    invalid: Sequence[Sequence[tuple[float, float]]],
) -> list[np.ndarray]:
    """Count the spikes of each unit in the bins of every showing.

    Parameters
    ----------
    bins : list of list of Bins
        By stimulus, the bins of each showing.
    spikes : iterable of ndarray
        Spike times of each unit in s.
    invalid : sequence
        For each unit the times, begin and end in s, in which it was not recorded.

    Returns
    -------
    list of ndarray
        Per stimulus (N, R_s, T_s), NaN where a bin is not known or not valid.
    """
    every = [one for showings in bins for one in showings]
    edges = np.concatenate([one.edges_s for one in every])
    first = np.concatenate([np.append(np.ones(len(one.known), dtype=bool), False) for one in every]).nonzero()[0]
    # A time that rounding put before an edge lies behind it.
    edges[first] -= _ROUNDING * (edges[first + 1] - edges[first])
    sizes = np.array([len(own) * len(own[0].known) for own in bins])
    results = [np.empty((len(invalid), len(own), len(own[0].known)), dtype=np.float32) for own in bins]
    masks: dict[tuple[tuple[float, float], ...], np.ndarray] = {}
    for unit, (times, own_invalid) in enumerate(zip(spikes, invalid, strict=True)):
        key = tuple(own_invalid)
        if key not in masks:
            masks[key] = np.concatenate([_valid(one, key) for one in every])
        below = np.searchsorted(np.sort(np.asarray(times, dtype=np.float64)), edges)
        counts = np.where(masks[key], below[first + 1] - below[first], np.nan)
        for result, own in zip(results, np.split(counts, np.cumsum(sizes)[:-1]), strict=True):
            result[unit] = own.reshape(result.shape[1:])
    return results


def means_in(bins: Sequence[Sequence[Bins]], data: Any, timestamps_s: Any) -> list[np.ndarray]:
    """Average continuous signals over the bins of every showing.

    A sample covers the time until the next one, as a frame of a microscope does. A bin of which a part has no sample is
    NaN. The samples of one showing are read at a time.

    Parameters
    ----------
    bins : list of list of Bins
        As of :func:`counts_in`.
    data : array or data set of HDF5
        Samples (T, N).
    timestamps_s : array
        When each sample began, rising.

    Returns
    -------
    list of ndarray
        Per stimulus (N, R_s, T_s).

    Examples
    --------
    >>> one = Bins(np.array([0.0, 0.2, 0.3]), np.array([True, True]))
    >>> means_in([[one]], np.array([[1.0], [3.0], [5.0], [7.0]]), np.array([0.0, 0.1, 0.2, 0.3]))
    [array([[[2., 5.]]], dtype=float32)]
    """
    times = np.asarray(timestamps_s, dtype=np.float64)
    period = float(np.median(np.diff(times)))
    results = []
    for showings in bins:
        result = np.empty((data.shape[1], len(showings), len(showings[0].known)), dtype=np.float32)
        for repeat, one in enumerate(showings):
            first = max(int(np.searchsorted(times, one.edges_s.min(), side="right")) - 1, 0)
            last = int(np.searchsorted(times, one.edges_s.max()))
            samples = np.asarray(data[first:last], dtype=np.float64)
            result[:, repeat] = _means(samples, times[first : last + 1], period, one)
        results.append(result)
    return results


def _means(samples: np.ndarray, times: np.ndarray, period: float, bins: Bins) -> np.ndarray:
    if not len(samples):
        return np.full((samples.shape[1], len(bins.known)), np.nan)
    bounds = times if len(times) > len(samples) else np.append(times, times[-1] + period)
    lost = np.flatnonzero(np.diff(bounds) > _GAP * period) + 1  # a sample before a gap lasts one period
    values = np.insert(samples, lost, np.nan, axis=0)
    bounds = np.insert(bounds, lost, bounds[lost - 1] + period)
    missing = np.isnan(values)
    widths = np.diff(bounds)[:, None]
    areas = np.concatenate([np.where(missing, 0, values), ~missing], axis=1) * widths
    below = np.concatenate([np.zeros((1, areas.shape[1])), np.cumsum(areas, axis=0)])
    inside = np.clip(bins.edges_s, bounds[0], bounds[-1])
    place = np.clip(np.searchsorted(bounds, inside, side="right") - 1, 0, len(widths) - 1)
    part = ((inside - bounds[place]) / widths[place, 0])[:, None]
    areas_of_bins, covered = np.split(np.diff(below[place] + part * areas[place], axis=0).T, 2)
    lasted = np.diff(bins.edges_s)
    known = bins.known & (covered >= lasted * (1 - _ROUNDING))
    return np.divide(areas_of_bins, covered, out=np.full(known.shape, np.nan), where=known & (covered > 0))
