"""Frequency scales of hearing: mel, ERB rate, and position on the cochlea, each with its exact inverse; and gammatones.

All functions of a scale take a number, an array or a tensor, and return the same; lists become arrays. What has no
value, such as the logarithm of a negative number, is NaN.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import unknown_name

__all__ = [
    "ERB_bandwidth",
    "ERB_to_Hz",
    "Greenwood",
    "Hz_to_ERB",
    "Hz_to_mel",
    "gammatone_kernels",
    "inverse_Greenwood",
    "mel_to_Hz",
]

V = TypeVar("V", float, np.ndarray, Tensor)

# Scale in Hz and offset of Greenwood's function.
_COCHLEAE = {"human": (165.4, -0.88), "mouse": (712.6, 0.40)}
_STEEPNESS = 2.1


def Hz_to_mel(frequency: V) -> V:
    """Pitch in mel of a frequency in Hz: 2595 · log10(1 + f / 700).

    References
    ----------
    O'Shaughnessy (1987), Speech communication: human and machine, Addison-Wesley.

    Examples
    --------
    >>> round(Hz_to_mel(1000.0), 2)
    999.99
    """
    return 2595 / math.log(10) * _log1p(_plain(frequency) / 700)


def mel_to_Hz(mel: V) -> V:
    """Frequency in Hz of a pitch in mel; the inverse of :func:`Hz_to_mel`.

    Examples
    --------
    >>> import torch
    >>> mel_to_Hz(Hz_to_mel(torch.tensor([500.0, 20_000.0])))
    tensor([  500., 20000.])
    """
    return 700 * _expm1(_plain(mel) * (math.log(10) / 2595))


def Hz_to_ERB(frequency: V) -> V:
    """Number of auditory filters (ERB) below a frequency in Hz: 21.4 · log10(1 + 0.00437 f).

    References
    ----------
    Glasberg & Moore (1990), Derivation of auditory filter shapes from notched-noise data,
    https://doi.org/10.1016/0378-5955(90)90170-T

    Examples
    --------
    >>> round(Hz_to_ERB(1000.0), 2)
    15.62
    """
    return 21.4 / math.log(10) * _log1p(_plain(frequency) * 0.00437)


def ERB_to_Hz(rate: V) -> V:
    """Frequency in Hz below which there are so many auditory filters; the inverse of :func:`Hz_to_ERB`.

    Examples
    --------
    >>> round(ERB_to_Hz(Hz_to_ERB(1000.0)), 9)
    1000.0
    """
    return _expm1(_plain(rate) * (math.log(10) / 21.4)) / 0.00437


def ERB_bandwidth(frequency: V) -> V:
    """Equivalent rectangular bandwidth in Hz of the auditory filter at a frequency in Hz: 24.7 · (1 + 0.00437 f).

    The reference is that of :func:`Hz_to_ERB`.

    Examples
    --------
    >>> round(ERB_bandwidth(1000.0), 1)
    132.6
    """
    return 24.7 * (1 + _plain(frequency) * 0.00437)


def Greenwood(position: V, species: str = "human") -> V:
    """Best frequency in Hz at a relative position on the cochlea, 0 at the apex and 1 at the base.

    A · (10^(2.1 x) + k), with A = 165.4 Hz and k = -0.88 for humans, A = 712.6 Hz and k = 0.40 for mice.

    Raises
    ------
    NotImplementedError
        If `species` is neither 'human' nor 'mouse'.

    References
    ----------
    Greenwood (1990), A cochlear frequency-position function for several species—29 years later,
    https://doi.org/10.1121/1.399052

    Examples
    --------
    >>> round(Greenwood(0.5), 1)
    1710.3
    """
    scale, offset = _cochlea(species)
    return scale * (_expm1(_plain(position) * (_STEEPNESS * math.log(10))) + (1 + offset))


def inverse_Greenwood(frequency: V, species: str = "human") -> V:
    """Relative position on the cochlea of a best frequency in Hz; the inverse of :func:`Greenwood`.

    Raises
    ------
    NotImplementedError
        If `species` is neither 'human' nor 'mouse'.

    Examples
    --------
    >>> round(inverse_Greenwood(Greenwood(0.5, "mouse"), "mouse"), 9)
    0.5
    """
    scale, offset = _cochlea(species)
    return _log1p(_plain(frequency) / scale - (1 + offset)) / (_STEEPNESS * math.log(10))


def gammatone_kernels(
    centres_hz: Float[Tensor, " F"], fs: float, order: int, b_factor: float, n_taps: int
) -> Float[Tensor, "F taps"]:
    """Impulse responses with a gain of 1 at the best frequency, the first tap is the impulse's own sample."""
    t = torch.arange(n_taps, dtype=torch.float64) / fs
    decay = 2 * math.pi * b_factor * ERB_bandwidth(centres_hz)[:, None]
    # (decay t)^(n-1) instead of t^(n-1), which is tiny: the gain is set below.
    kernels = (decay * t) ** (order - 1) * torch.exp(-decay * t) * torch.cos(2 * math.pi * centres_hz[:, None] * t)
    gain = torch.fft.rfft(kernels, max(4096, n_taps)).abs().amax(-1, keepdim=True)
    return kernels / gain


def _cochlea(species: str) -> tuple[float, float]:
    if species not in tuple(_COCHLEAE):  # a tuple, for values that cannot be hashed
        raise NotImplementedError(unknown_name("species", species, _COCHLEAE))
    return _COCHLEAE[species]


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value
    return float(value) if isinstance(value, numbers.Real) else np.asarray(value, dtype=np.float64)


# log(1 + x) and exp(x) - 1 in one go: small values keep their precision both ways.
def _log1p(x: Any) -> Any:
    if isinstance(x, Tensor):
        return torch.log1p(x)
    if isinstance(x, float):
        return math.log1p(x) if x > -1 else math.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log1p(x)


def _expm1(x: Any) -> Any:
    if isinstance(x, Tensor):
        return torch.expm1(x)
    return math.expm1(x) if isinstance(x, float) else np.expm1(x)
