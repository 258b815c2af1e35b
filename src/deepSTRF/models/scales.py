"""Frequency scales of hearing: mel, equivalent rectangular bandwidths (ERB), and place on the cochlea (Greenwood).

Every function takes a number or a tensor and gives the same back; each scale has an exact inverse.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["ERB_bandwidth", "ERB_to_Hz", "Greenwood", "Hz_to_ERB", "Hz_to_mel", "inverse_Greenwood", "mel_to_Hz"]

X = TypeVar("X", float, Tensor)

# f = A (10^(2.1 x) + k), x from apex (0) to base (1): (A, k)
_GREENWOOD = {"human": (165.4, -0.88), "mouse": (712.6, 0.40)}


def Hz_to_mel(f: X) -> X:
    """Pitch in mel, ``2595 log10(1 + f / 700)``, of a frequency in Hz.

    References
    ----------
    O'Shaughnessy (1987), Speech Communication: Human and Machine, Addison-Wesley

    Examples
    --------
    >>> round(Hz_to_mel(1000.0), 1), round(mel_to_Hz(Hz_to_mel(440.0)), 6)
    (1000.0, 440.0)
    """
    return 2595.0 * _log10(1.0 + f / 700.0)


def mel_to_Hz(mel: X) -> X:
    """Frequency in Hz of a pitch in mel: the inverse of :func:`Hz_to_mel`."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def Hz_to_ERB(f: X) -> X:
    """Number of equivalent rectangular bandwidths below a frequency in Hz, ``21.4 log10(0.00437 f + 1)``.

    References
    ----------
    Glasberg & Moore (1990), Derivation of auditory filter shapes from notched-noise data,
    https://doi.org/10.1016/0378-5955(90)90170-T

    Examples
    --------
    >>> round(Hz_to_ERB(1000.0), 2), round(ERB_to_Hz(Hz_to_ERB(440.0)), 6)
    (15.62, 440.0)
    """
    return 21.4 * _log10(0.00437 * f + 1.0)


def ERB_to_Hz(erb: X) -> X:
    """Frequency in Hz of an ERB number: the inverse of :func:`Hz_to_ERB`."""
    return (10.0 ** (erb / 21.4) - 1.0) / 0.00437


def ERB_bandwidth(f: X) -> X:
    """Equivalent rectangular bandwidth in Hz of the auditory filter at a frequency in Hz, ``24.7 (0.00437 f + 1)``.

    References
    ----------
    Glasberg & Moore (1990), https://doi.org/10.1016/0378-5955(90)90170-T

    Examples
    --------
    >>> round(ERB_bandwidth(1000.0), 1)
    132.6
    """
    return 24.7 * (0.00437 * f + 1.0)


def Greenwood(x: X, species: str = "human") -> X:
    """Characteristic frequency in Hz at a place on the cochlea, from the apex (0) to the base (1).

    Parameters
    ----------
    x : float or Tensor
        Distance from the apex, as a fraction of the length.
    species : {'human', 'mouse'}
        Human: ``165.4 (10^(2.1 x) - 0.88)``; mouse: ``712.6 (10^(2.1 x) + 0.40)``.

    Raises
    ------
    NotImplementedError
        If the species is another one.

    References
    ----------
    Greenwood (1990), A cochlear frequency-position function for several species, 29 years later,
    https://doi.org/10.1121/1.399052

    Examples
    --------
    >>> round(Greenwood(0.0), 1), round(Greenwood(1.0)), round(inverse_Greenwood(Greenwood(0.5)), 6)
    (19.8, 20677, 0.5)
    """
    scale, offset = _constants(species)
    return scale * (10.0 ** (2.1 * x) + offset)


def inverse_Greenwood(f: X, species: str = "human") -> X:
    """Place on the cochlea of a frequency in Hz: the inverse of :func:`Greenwood`.

    Raises
    ------
    NotImplementedError
        If the species is another one.
    """
    scale, offset = _constants(species)
    return _log10(f / scale - offset) / 2.1


def _constants(species: str) -> tuple[float, float]:
    if species not in list(_GREENWOOD):  # a list, for values that cannot be hashed
        raise NotImplementedError(f"there is no Greenwood function of {species!r}; there are: {', '.join(_GREENWOOD)}")
    return _GREENWOOD[species]


def _log10(x: X) -> X:
    # Of a number, through a tensor too: beyond its domain the result is NaN, not an error of math.log10.
    if isinstance(x, Tensor):
        return torch.log10(x)
    return float(torch.log10(torch.tensor(x, dtype=torch.float64)))
