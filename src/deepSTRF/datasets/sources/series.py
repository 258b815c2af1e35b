"""Series of samples at a rate or at timestamps, brought to the bins of trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepSTRF.datasets.sources.binning import signals_in_trials

__all__ = ["in_unit", "series_in_trials"]

_REACH = 12
"""Periods of the slower clock around a trial that the anti-alias filter sees, with some to spare."""
_REGULAR = 0.02
"""Timestamps within this part of a sample from a straight line come from a regular clock."""
_GAP = 1.5
"""Samples that are so many periods apart have a gap between them."""


def series_in_trials(
    series: Any,
    onsets_s: np.ndarray,
    stimulus_of_trial: np.ndarray,
    n_bins: Sequence[int],
    dt_ms: float,
    offset_s: float,
) -> list[np.ndarray | None]:
    """Bring a series of samples to the bins of the trials; it is read trial by trial.

    Parameters
    ----------
    series : object
        With the attributes of a TimeSeries of pynwb: ``data`` (T, N) or (T,), ``rate`` and ``starting_time`` or
        ``timestamps``, ``conversion`` and ``offset``.
    onsets_s, stimulus_of_trial, n_bins, dt_ms, offset_s
        As for :func:`~deepSTRF.datasets.sources.binning.signals_in_trials`.

    Raises
    ------
    ValueError
        If there is not one rising timestamp for each sample.
    """
    n_samples = series.data.shape[0]
    n_signals = series.data.shape[1] if len(series.data.shape) > 1 else 1
    clock = _Clock(series, n_samples)
    repeats = np.bincount(stimulus_of_trial, minlength=len(n_bins))
    results: list[np.ndarray | None] = [
        np.empty((n_signals, int(r), int(t)), dtype=np.float32) if r else None
        for r, t in zip(repeats, n_bins, strict=True)
    ]
    done = np.zeros(len(n_bins), dtype=int)
    margin = _REACH * max(clock.period, dt_ms / 1000)
    for onset, stimulus in zip(onsets_s, stimulus_of_trial, strict=True):
        start = onset + offset_s
        samples = clock.between(start - margin, start + n_bins[stimulus] * dt_ms / 1000 + margin)
        values, rate, begins = clock.regular(_read(series, samples), samples)
        binned = signals_in_trials(values, rate, begins, [onset], [0], [n_bins[stimulus]], dt_ms, offset_s)[0]
        result = results[stimulus]
        if result is not None and binned is not None:
            result[:, done[stimulus]] = binned[:, 0]
        done[stimulus] += 1
    return results


def _read(series: Any, samples: slice) -> np.ndarray:
    values = np.asarray(series.data[samples], dtype=np.float64)
    values = values[None] if values.ndim == 1 else values.reshape(len(values), -1).T if len(values) else values.T
    return in_unit(series, values)


def in_unit(series: Any, values: np.ndarray) -> np.ndarray:
    """Samples as they are stored, in the unit of the series."""
    scale, offset = float(series.conversion or 1.0), float(series.offset or 0.0)
    return values if (scale, offset) == (1.0, 0.0) else values * scale + offset


class _Clock:
    """When the samples of a series were taken: at a rate, or at timestamps."""

    def __init__(self, series: Any, n_samples: int):
        self.n_samples = n_samples
        self.times: np.ndarray | None = None
        if series.rate is not None:
            self.period, self.start = 1 / series.rate, float(series.starting_time or 0.0)
            return
        self.times = np.asarray(series.timestamps[:], dtype=np.float64)
        if len(self.times) != n_samples or len(self.times) < 2:
            raise ValueError(
                f"{series.name} has {n_samples} samples and {len(self.times)} timestamps; expected one for each, and "
                "two at least"
            )
        steps = np.diff(self.times)
        if not (steps > 0).all():  # NaN is not either
            where = int(np.flatnonzero(~(steps > 0))[0]) + 1
            raise ValueError(
                f"the timestamps of {series.name} must rise, but number {where} is {self.times[where]} after "
                f"{self.times[where - 1]}"
            )
        self.period, self.start = float(np.median(steps)), float(self.times[0])

    def between(self, start: float, stop: float) -> slice:
        """The samples between two times."""
        if self.times is not None:
            first, last = np.searchsorted(self.times, [start, stop])
        else:
            first, last = (np.floor((np.array([start, stop]) - self.start) / self.period)).astype(int)
        return slice(int(np.clip(first, 0, self.n_samples)), int(np.clip(last, 0, self.n_samples)))

    def regular(self, values: np.ndarray, samples: slice) -> tuple[np.ndarray, float, float]:
        """The samples on a regular clock: values, its rate, and when it starts; NaN in gaps."""
        if self.times is None:
            return values, 1 / self.period, self.start + samples.start * self.period
        times = self.times[samples]
        if len(times) < 2:
            return values, 1 / self.period, float(times[0]) if len(times) else 0.0
        steps = np.diff(times)
        gaps = steps > _GAP * self.period
        if not gaps.any():
            period = float(times[-1] - times[0]) / len(steps)
            grid = times[0] + period * np.arange(len(times))
            if np.abs(times - grid).max() <= _REGULAR * period:
                return values, 1 / period, float(times[0])
        # Frames were lost, or the clock wavers: values between the samples, and none inside of gaps.
        grid = np.arange(times[0], times[-1] + self.period / 2, self.period)
        after = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, len(steps) - 1)
        lost = gaps[after] & (grid > times[after] + self.period / 2) & (grid < times[after + 1] - self.period / 2)
        on_grid = np.stack([np.interp(grid, times, row) for row in values])
        on_grid[:, lost] = np.nan
        return on_grid, 1 / self.period, float(times[0])
