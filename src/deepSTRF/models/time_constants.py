"""Best frequencies of bands, and the time constants with which the midbrain adapts at them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_integer, check_positive, unknown_name
from deepSTRF.scales import Greenwood, Hz_to_mel, inverse_Greenwood, mel_to_Hz

__all__ = ["a_to_tau", "freq_to_tau", "get_CFs", "tau_to_a"]

V = TypeVar("V", float, np.ndarray, Tensor)


def get_CFs(min_freq: float, max_freq: float, n_bands: int, scale: str = "mel") -> Float[Tensor, " F"]:
    """Best frequencies of bands that are evenly spaced on a scale, in Hz.

    Parameters
    ----------
    min_freq, max_freq : float
        Those of the first and the last band, in Hz.
    n_bands : int
        Number of bands F.
    scale : {'mel', 'greenwood'}
        Pitch in mel, or position on the human cochlea.

    Raises
    ------
    TypeError
        If an argument is not a number.
    ValueError
        If the frequencies are not positive and rising, or `n_bands` is not positive.
    NotImplementedError
        If `scale` is unknown.

    Examples
    --------
    >>> get_CFs(500, 20_000, 4).round()
    tensor([  500.,  2401.,  7311., 20000.])
    """
    low, high = check_positive("min_freq", min_freq), check_positive("max_freq", max_freq)
    if low >= high:
        raise ValueError(f"min_freq must be below max_freq, got {min_freq} and {max_freq} Hz")
    n_bands = check_integer("n_bands", n_bands)
    if scale == "mel":
        frequencies = mel_to_Hz(np.linspace(Hz_to_mel(low), Hz_to_mel(high), n_bands))
    elif scale == "greenwood":
        frequencies = Greenwood(np.linspace(inverse_Greenwood(low), inverse_Greenwood(high), n_bands))
    else:
        raise NotImplementedError(unknown_name("scale", scale, ("mel", "greenwood")))
    return torch.tensor(frequencies.tolist())


def freq_to_tau(frequency: V) -> V:
    """Time constant of adaptation at a best frequency in Hz, in ms: 500 − 105 · log10(f).

    It was measured by the authors of :class:`~deepSTRF.models.prefiltering.ICAdaptation`'s reference.

    Examples
    --------
    >>> freq_to_tau(1000.0)
    185.0
    """
    return 500 - 105 * (torch.log10(frequency) if isinstance(frequency, Tensor) else _like(frequency, np.log10))


def tau_to_a(tau: V, dt: float = 1) -> V:
    """Decay per bin of a time constant, exp(−dt / τ); both in ms.

    Examples
    --------
    >>> import torch
    >>> tau_to_a(torch.tensor([5.0, 50.0]), dt=5)
    tensor([0.3679, 0.9048])
    """
    return torch.exp(-dt / tau) if isinstance(tau, Tensor) else _like(tau, lambda value: np.exp(-dt / value))


def a_to_tau(a: V, dt: float = 1) -> V:
    """Time constant in ms of a decay per bin of `dt` ms, −dt / ln a; the inverse of :func:`tau_to_a`.

    Examples
    --------
    >>> round(a_to_tau(tau_to_a(50.0, dt=5), dt=5), 9)
    50.0
    """
    return -dt / (torch.log(a) if isinstance(a, Tensor) else _like(a, np.log))


def _like(value: Any, function: Any) -> Any:
    """Apply a function of NumPy; numbers stay Python's."""
    result = function(np.asarray(value, dtype=np.float64))
    return result if np.ndim(result) else float(result)
