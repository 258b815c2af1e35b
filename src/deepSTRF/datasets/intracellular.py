"""Traces of the membrane potential: slow drift taken out, bad repeats left out, spikes found, brought to bins.

All functions take traces of several repeats (R, samples). NaN is a sample that nobody knows: it is left out of medians
and means, and stays NaN.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deepSTRF.checks import check_number, check_positive, describe_type
from deepSTRF.datasets.sources.binning import bin_of

__all__ = ["RepeatGating", "as_gating", "detrended", "means_in_bins", "running_median", "upward_crossings"]

_SMOOTH_MS = 5.0  # spikes are shorter, steps are longer
_FEWEST_TO_COMPARE = 3
_WINDOWS_AT_ONCE = 4096


@dataclass(frozen=True)
class RepeatGating:
    """Which repeats of an intracellular recording are artefacts.

    Parameters
    ----------
    abs_mv_max : float
        A membrane potential further from 0 than this, in mV, is none.
    step_mv : float
        A trace, smoothed by a median of 5 ms so that spikes don't count, is lost where it is further than this from its
        own median, in mV.
    max_step_frac : float
        The largest fraction of the samples that may be lost.
    min_xcorr : float
        The least correlation of a repeat with the median of the others; asked where there are three or more.

    Examples
    --------
    >>> traces = -70 + 5 * np.sin(np.arange(4000) / 100) + np.zeros((4, 1))
    >>> traces[1, 100] = -300
    >>> traces[2, 2500:] += 50
    >>> RepeatGating().reasons(traces, rate_hz=4000)
    ['kept', 'range', 'step', 'kept']
    """

    abs_mv_max: float = 150.0
    step_mv: float = 30.0
    max_step_frac: float = 5e-3
    min_xcorr: float = 0.05

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check = check_number if field.name in ("max_step_frac", "min_xcorr") else check_positive
            check(field.name, getattr(self, field.name))
        if not 0 <= self.max_step_frac <= 1 or not -1 <= self.min_xcorr <= 1:
            raise ValueError(
                "max_step_frac must lie between 0 and 1 and min_xcorr between -1 and 1; got "
                f"{self.max_step_frac} and {self.min_xcorr}"
            )

    def reasons(
        self,
        traces_mv: Float[np.ndarray, "R samples"],
        rate_hz: float,
        evoked_mv: Float[np.ndarray, "R samples"] | None = None,
    ) -> list[str]:
        """Say of each repeat why it goes, or that it is kept.

        Parameters
        ----------
        traces_mv : numpy.ndarray
            Membrane potential in mV as recorded, with its drift: repeats of one stimulus, shape (R, samples).
        rate_hz : float
            Sampling rate.
        evoked_mv : numpy.ndarray, optional
            The same without drift, for the correlation: with it, repeats correlate by chance. By default `traces_mv`.

        Returns
        -------
        list of {'range', 'step', 'xcorr', 'kept'}
            The first test that a repeat fails. Those that are out of range or lost are not compared with.
        """
        known = ~np.isnan(traces_mv)
        smooth = running_median(traces_mv, rate_hz, _SMOOTH_MS)
        reasons = []
        for trace, own, line in zip(traces_mv, known, smooth, strict=True):
            middle = np.median(line[own]) if own.any() else np.nan
            if (np.abs(trace[own]) > self.abs_mv_max).any():
                reasons.append("range")
            elif (np.abs(line[own] - middle) > self.step_mv).sum() > self.max_step_frac * own.sum():
                reasons.append("step")
            else:
                reasons.append("kept")
        left = [r for r, reason in enumerate(reasons) if reason == "kept"]
        if len(left) >= _FEWEST_TO_COMPARE:
            compared = (traces_mv if evoked_mv is None else evoked_mv)[left]
            for k, r in enumerate(left):
                if not _correlation(compared[k], _median(np.delete(compared, k, axis=0))) >= self.min_xcorr:
                    reasons[r] = "xcorr"
        return reasons


def as_gating(gating: RepeatGating | bool | None) -> RepeatGating | None:
    """The gating that is meant: that with the usual limits for None or True, and none for False.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> as_gating(None), as_gating(False)
    (RepeatGating(abs_mv_max=150.0, step_mv=30.0, max_step_frac=0.005, min_xcorr=0.05), None)
    """
    if gating is None or gating is True:
        return RepeatGating()
    if gating is False or isinstance(gating, RepeatGating):
        return gating or None
    raise TypeError(f"gating must be a RepeatGating, False or None, got {describe_type(gating)}: {gating!r}")


def detrended(
    traces: Float[np.ndarray, "R samples"], rate_hz: float, median_ms: float = 100.0, gauss_ms: float = 10.0
) -> Float[np.ndarray, "R samples"]:
    """Take out what is slow: the running median, smoothed by a Gaussian.

    Parameters
    ----------
    traces : numpy.ndarray
        Shape (R, samples), in any unit; NaN where missing.
    rate_hz : float
        Sampling rate.
    median_ms : float
        Width of the median's window in ms.
    gauss_ms : float
        Standard deviation of the Gaussian in ms.

    Returns
    -------
    numpy.ndarray
        Shape (R, samples), in the unit of `traces`.

    Raises
    ------
    ValueError
        If a number is not positive.

    Notes
    -----
    Both windows are centred, and traces are mirrored at their ends.

    Examples
    --------
    >>> drift = np.linspace(-70, -60, 4000)
    >>> float(np.abs(detrended(drift[None], rate_hz=4000)[0, 500:-500]).max()) < 1e-9
    True
    """
    from scipy.ndimage import gaussian_filter1d

    sigma = check_positive("gauss_ms", gauss_ms) * check_positive("rate_hz", rate_hz) / 1000
    trend = running_median(traces, rate_hz, median_ms)
    known = ~np.isnan(trend)
    if known.all():
        return traces - gaussian_filter1d(trend, sigma, axis=-1)
    weight = gaussian_filter1d(known.astype(np.float64), sigma, axis=-1)
    total = gaussian_filter1d(np.where(known, trend, 0.0), sigma, axis=-1)
    return traces - np.divide(total, weight, out=np.full(trend.shape, np.nan), where=weight > 0)


def running_median(
    traces: Float[np.ndarray, "R samples"], rate_hz: float, window_ms: float
) -> Float[np.ndarray, "R samples"]:
    """Median of what is known in a centred window, of an odd number of samples; traces are mirrored at their ends.

    NaN only where nothing in the window is known.

    Examples
    --------
    >>> running_median(np.array([[0.0, 0.0, 9.0, 1.0, np.nan, 1.0]]), rate_hz=1000, window_ms=3)
    array([[0., 0., 1., 5., 1., 1.]])
    """
    from scipy.ndimage import median_filter

    size = round(check_positive("window_ms", window_ms) * check_positive("rate_hz", rate_hz) / 1000) | 1
    result = np.empty(traces.shape)
    for line, trace in zip(result, traces.astype(np.float64), strict=True):
        if np.isnan(trace).any() or size > len(trace):
            around = np.pad(trace, size // 2, mode="symmetric")
            windows = np.lib.stride_tricks.sliding_window_view(around, size)
            for start in range(0, len(trace), _WINDOWS_AT_ONCE):
                part = windows[start : start + _WINDOWS_AT_ONCE]
                line[start : start + len(part)] = _median(part.T)
        else:
            line[:] = median_filter(trace, size)  # mirrors at the ends
    return result


def upward_crossings(trace: Float[np.ndarray, " samples"], threshold: float) -> np.ndarray:
    """Samples at which a trace has come above a threshold: one for each spike, however long it stays above.

    Examples
    --------
    >>> upward_crossings(np.array([0.0, 3.0, 4.0, 3.0, 0.0, 5.0]), 2.0)
    array([1, 5])
    """
    return np.flatnonzero((trace[1:] > threshold) & (trace[:-1] <= threshold)) + 1


def means_in_bins(traces: Float[np.ndarray, "R samples"], rate_hz: float, dt_ms: float) -> Float[np.ndarray, "R T"]:
    """Mean of the samples in each whole bin; NaN where one of them is.

    Raises
    ------
    ValueError
        If a bin is shorter than a sample.

    Examples
    --------
    >>> means_in_bins(np.array([[1.0, 3.0, 4.0, 6.0, 9.0]]), rate_hz=1000, dt_ms=2)
    array([[2., 5.]])
    """
    if check_positive("dt_ms", dt_ms) * check_positive("rate_hz", rate_hz) < 1000 - 1e-6:
        raise ValueError(f"a bin of dt_ms={dt_ms:g} is shorter than a sample at {rate_hz:g} Hz; make it longer")
    n_samples = traces.shape[-1]
    bins = bin_of(np.arange(n_samples + 1) / rate_hz, dt_ms).astype(np.int64)
    n_bins = int(bins[-1])  # the bin in which the first sample after the end would lie is not whole
    starts = np.searchsorted(bins, np.arange(n_bins + 1))
    if not n_bins:
        return np.empty((len(traces), 0))
    sums = np.add.reduceat(traces[:, : starts[-1]].astype(np.float64), starts[:-1], axis=-1)
    return sums / np.diff(starts)


def _median(values: np.ndarray) -> np.ndarray:
    """Median over the first axis of what is known; NaN where nothing is."""
    missing = np.isnan(values)
    if not missing.any():
        return np.median(values, axis=0)
    result = np.full(values.shape[1:], np.nan)
    some = ~missing.all(0)
    result[some] = np.nanmedian(values[:, some], axis=0)
    return result


def _correlation(one: Float[np.ndarray, " samples"], other: Float[np.ndarray, " samples"]) -> float:
    """Pearson correlation where both are known; NaN where one is constant."""
    known = ~(np.isnan(one) | np.isnan(other))
    if known.sum() < 2:
        return float("nan")
    a, b = (part[known] - part[known].mean() for part in (one, other))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")
