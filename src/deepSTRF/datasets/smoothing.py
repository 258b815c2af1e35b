"""Hann smoothing of responses along time."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_positive

__all__ = [
    "ResponseSmoothingTransform",
    "convolved_where_known",
    "hann_taps",
    "hanning_smooth",
    "smooth_where_known",
    "smoother_of_counts",
]

_PUBLISHED_MS = 21.0  # the window that scores were published with
_MOST_BINS = 1_000_000  # a window of more is a mistake of units


def hann_taps(window_ms: float, dt_ms: float, unit_gain: bool, stacklevel: int) -> np.ndarray:
    """Taps of a Hann window, odd in number; warns where they do not smooth.

    Parameters
    ----------
    window_ms, dt_ms, unit_gain
        As for :func:`hanning_smooth`.
    stacklevel : int
        How many calls above this one the warning points to.

    Returns
    -------
    numpy.ndarray
        The taps, float64.

    Raises
    ------
    ValueError
        If `window_ms` or `dt_ms` is not positive.
    """
    check_positive("window_ms", window_ms)
    check_positive("dt_ms", dt_ms)
    if window_ms / dt_ms > _MOST_BINS:
        raise ValueError(f"a window of window_ms={window_ms} is more than {_MOST_BINS} bins of dt_ms={dt_ms}")
    length = max(1, int(window_ms // dt_ms))
    length += 1 - length % 2
    taps = np.hanning(length)
    if np.count_nonzero(taps > 1e-12) == 1:
        warnings.warn(
            f"a Hann window of {window_ms} ms is too short to smooth bins of {dt_ms} ms: responses stay as they are; "
            f"use a window of at least {4 * dt_ms} ms or don't smooth",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return taps / taps.sum() if unit_gain else taps


def _convolved(values: Tensor, taps: np.ndarray) -> Tensor:
    """`values` convolved with symmetric `taps` along the last axis, zero-padded to the same length.

    One pass per tap adds in the same order whatever the batch, so that equal rows give equal bits.
    """
    centre = len(taps) // 2
    smoothed = values * float(taps[centre])
    for lag in range(1, centre + 1):
        weight = float(taps[centre + lag])
        # The end taps of a Hann window are zero.
        if weight <= 1e-12 or lag >= values.shape[-1]:
            continue
        smoothed[..., lag:] += weight * values[..., :-lag]
        smoothed[..., :-lag] += weight * values[..., lag:]
    return smoothed


def hanning_smooth(
    response: Float[Tensor, "*shape T"], window_ms: float, dt_ms: float, *, unit_gain: bool = False
) -> Float[Tensor, "*shape T"]:
    """Smooth along the last axis with a Hann window, zero-padded at both ends.

    The window has ``K = int(window_ms // dt_ms)`` taps (one more if that is even) and, for comparability with published
    scores, peak 1: its gain is the sum of the taps, 2 for 21 ms in bins of 5 ms. NaN spreads over the window.

    Parameters
    ----------
    response : Tensor
        Responses, time last.
    window_ms : float
        Width of the window in ms; its end taps are zero.
    dt_ms : float
        Width of a bin in ms.
    unit_gain : bool
        Divide the window by its sum, so that a constant stays the same away from the ends.

    Returns
    -------
    Tensor
        Same shape; a new tensor.

    Raises
    ------
    TypeError
        If `response` is not a tensor.
    ValueError
        If `window_ms` or `dt_ms` is not positive.

    Warns
    -----
    UserWarning
        If the window is so short that it does not smooth.

    Examples
    --------
    >>> import torch
    >>> hanning_smooth(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]), window_ms=21.0, dt_ms=5.0)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    >>> hanning_smooth(torch.ones(5), window_ms=21.0, dt_ms=5.0, unit_gain=True)
    tensor([0.7500, 1.0000, 1.0000, 1.0000, 0.7500])
    """
    return _convolved(_as_floating(response), hann_taps(window_ms, dt_ms, unit_gain, stacklevel=2))


def smooth_where_known(
    response: Float[Tensor, "*shape T"],
    window_ms: float,
    dt_ms: float,
    *,
    unit_gain: bool = False,
) -> Float[Tensor, "*shape T"]:
    """Smooth as :func:`hanning_smooth`, but leave NaN out of the window instead of spreading it.

    The weights of the bins that are known are scaled up by (sum of the window inside the response) / (sum of its known
    part), so that without NaN the result is that of :func:`hanning_smooth`. NaN stays NaN.

    Parameters
    ----------
    response : Tensor
        Responses, time last.
    window_ms, dt_ms, unit_gain
        As for :func:`hanning_smooth`.

    Returns
    -------
    Tensor
        Same shape, NaN where `response` is.

    Raises
    ------
    TypeError, ValueError
        As :func:`hanning_smooth` raises them.

    Examples
    --------
    >>> import torch
    >>> smooth_where_known(torch.tensor([1.0, 1.0, float("nan"), 1.0, 1.0]), window_ms=21.0, dt_ms=5.0)
    tensor([1.5000, 2.0000,    nan, 2.0000, 1.5000])
    """
    return convolved_where_known(_as_floating(response), hann_taps(window_ms, dt_ms, unit_gain, stacklevel=2))


def convolved_where_known(response: Float[Tensor, "*shape T"], taps: np.ndarray) -> Float[Tensor, "*shape T"]:
    """Convolve with symmetric taps as :func:`smooth_where_known` does.

    Parameters
    ----------
    response : Tensor
        Responses, floating point, time last.
    taps : numpy.ndarray
        As made by :func:`hann_taps`.

    Returns
    -------
    Tensor
        Same shape, NaN where `response` is.
    """
    known = response == response
    if bool(known.all()):
        return _convolved(response, taps)
    summed = _convolved(torch.where(known, response, torch.zeros_like(response)), taps)
    reach = _convolved(torch.ones_like(response), taps)
    found = _convolved(known.to(response.dtype), taps)
    # The centre tap is positive, so that a known bin never divides by zero.
    return torch.where(known, summed * (reach / found), response.new_tensor(float("nan")))


def smoother_of_counts(smooth: bool, dt_ms: float, stacklevel: int = 3) -> Callable[[Tensor], Tensor]:
    """What a reader of files does with the counts that it has just read, before it packs them.

    The 21 ms Hann window of published scores, as
    :meth:`~deepSTRF.datasets.preprocessing.PreprocessableRecording.smooth_responses` has it: nothing is held twice as
    it would be if the whole recording was smoothed at the end.

    Parameters
    ----------
    smooth : bool
        False leaves them as they are.
    dt_ms : float
        Width of a bin in ms.
    stacklevel : int
        How many calls above this one a warning points to that the window is too short for the bins.

    Examples
    --------
    >>> smoother_of_counts(True, 5.0)(torch.tensor([[0.0, 1.0, 0.0]]))
    tensor([[0.5000, 1.0000, 0.5000]])
    """
    if not smooth:
        return lambda counts: counts
    taps = hann_taps(_PUBLISHED_MS, dt_ms, False, stacklevel=stacklevel)
    return lambda counts: convolved_where_known(counts, taps)


def _as_floating(response: Tensor) -> Tensor:
    if not isinstance(response, Tensor):
        raise TypeError(f"the response must be a torch tensor, got {type(response).__name__}; use torch.as_tensor")
    if response.is_complex():
        raise TypeError(f"the response is complex ({response.dtype}); responses are real numbers")
    if response.ndim == 0:
        raise ValueError("the response must have a time axis, the last one; got a single number")
    return response if response.is_floating_point() else response.to(torch.float32)


class ResponseSmoothingTransform(nn.Module):
    """Hann smoothing of responses as a module, for transform pipelines.

    NaN stays NaN and does not spread; without NaN it is :func:`hanning_smooth`.

    Parameters
    ----------
    dt_ms : float
        Width of a bin in ms.
    window_size_ms : float
        Width of the window in ms.
    unit_gain : bool
        Divide the window by its sum, so that rates keep their scale.

    Raises
    ------
    ValueError
        If `dt_ms` or `window_size_ms` is not positive.

    Examples
    --------
    >>> import torch
    >>> smooth = ResponseSmoothingTransform(dt_ms=5.0, window_size_ms=21.0)
    >>> smooth
    ResponseSmoothingTransform(dt_ms=5.0, window_size_ms=21.0, unit_gain=False)
    >>> smooth(torch.eye(5)[None])[0, 2]
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """

    def __init__(self, dt_ms: float = 1.0, window_size_ms: float = 21.0, unit_gain: bool = False):
        super().__init__()
        check_positive("dt_ms", dt_ms)
        check_positive("window_size_ms", window_size_ms)
        self.dt_ms, self.window_size_ms, self.unit_gain = dt_ms, window_size_ms, unit_gain

    def forward(self, responses: Float[Tensor, "*shape T"]) -> Float[Tensor, "*shape T"]:
        """Smooth responses along the last axis.

        Parameters
        ----------
        responses : Tensor
            (N, R, T) or (B, N, R, T).

        Returns
        -------
        Tensor
            Same shape.
        """
        return smooth_where_known(responses, self.window_size_ms, self.dt_ms, unit_gain=self.unit_gain)

    def extra_repr(self) -> str:
        """Show the arguments in ``repr``."""
        return f"dt_ms={self.dt_ms}, window_size_ms={self.window_size_ms}, unit_gain={self.unit_gain}"
