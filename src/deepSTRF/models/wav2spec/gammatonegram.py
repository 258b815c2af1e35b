"""Gammatonegram: Slaney's recursive gammatone filters, read as the RMS of a short window."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deepSTRF.checks import check_choice, check_positive
from deepSTRF.models.bin_by_bin import State
from deepSTRF.models.wav2spec.base import WaveformFrontEnd, compressed, frequency_range, nth_root
from deepSTRF.scales import ERB_bandwidth

__all__ = ["Gammatonegram"]


class Gammatonegram(WaveformFrontEnd):
    r"""Gammatone filters of infinite memory, and the RMS of their output in a window at the start of each bin.

    The filters are Slaney's: the Laplace transform of :math:`t^3 e^{-Bt} \cos\omega t` has four zeros, at
    :math:`-B \pm (\sqrt 2 \pm 1)\,\omega`, and two poles of order four, at :math:`-B \pm i\omega`. Four sections of
    second order share them, each sampled so that its impulse response is that of the continuous one [1]_ [2]_; the gain
    at ω is 1. ω / 2π are the centres, B is 1.019 · 2π ERB.

    For every band ``sqrt(mean(y²))`` over the first `window_ms` of the bin is compressed. The samples behind the window
    still reach the next bins through the filters.

    Parameters
    ----------
    n_filters : int
        Number of bands F.
    window_ms : float
        Window in ms, at most as long as the bin.
    f_min, f_max : float
        Range of the centres in Hz, evenly spaced in ERB: the first is f_min, the last one step below f_max, which is at
        most half the sampling rate and is lowered to it.
    compression : {'log1p', 'log', 'none'}
        ``log(1 + x)``, ``log(max(x, log_floor))``, or nothing.
    log_floor : float
        Smallest value that the logarithm sees.
    audio_fs, hop_ms
        See :class:`~deepSTRF.models.wav2spec.base.WaveformFrontEnd`.

    Notes
    -----
    A pole of order four is four equal complex filters of first order, one after the other; the zeros only decide how
    their four states are weighted. Within a bin all is a matrix product with the input and with the state at its start,
    and only the states at the starts of the bins follow one another.

    References
    ----------
    .. [1] Slaney (1993), An efficient implementation of the Patterson-Holdsworth auditory filter bank, Apple Computer
       Technical Report 35

    .. [2] Slaney (1998), Auditory Toolbox, Interval Research Technical Report 1998-010

    Examples
    --------
    >>> front_end = Gammatonegram(audio_fs=48000, hop_ms=5.0, window_ms=2.5)
    >>> front_end.hop, front_end.window, front_end.centres_hz[0]
    (240, 120, tensor(1000.))
    """

    _impulse: Tensor
    _drive: Tensor
    _transition: Tensor
    _free: Tensor

    def __init__(
        self,
        audio_fs: float,
        n_filters: int = 50,
        hop_ms: float = 5.0,
        window_ms: float = 2.5,
        f_min: float = 1000.0,
        f_max: float | None = 8000.0,
        compression: str = "log1p",
        log_floor: float = 1e-8,
    ) -> None:
        super().__init__(audio_fs, hop_ms, n_filters)
        self.window = self._samples("window_ms", window_ms)
        if window_ms > hop_ms:
            raise ValueError(
                f"window_ms={window_ms} is longer than hop_ms={hop_ms}: the window starts with its bin and would look "
                "into the next one, against causality"
            )
        self.compression = check_choice("compression", compression, ("log1p", "log", "none"))
        self.log_floor = check_positive("log_floor", log_floor)
        low, high = frequency_range(f_min, f_max, audio_fs)
        centres_hz = slaney_centres(low, high, self.out_channels)
        self._centres_hz = torch.from_numpy(centres_hz)
        system = _state_space(centres_hz, float(audio_fs))
        for name, matrix in zip(_BUFFERS, _per_bin(*system, self.hop, self.window), strict=True):
            self.register_buffer(name, torch.from_numpy(matrix.copy()).to(torch.get_default_dtype()))

    def _frames(self, waveform: Float[Tensor, "B 1 samples"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        bins = waveform.squeeze(1).unflatten(-1, (-1, self.hop))  # (B, t, hop)
        n_stims, n_bins, _ = bins.shape
        # What every bin pushes into the states, as (t, F, B, 8)
        drive = (bins @ self._drive.flatten(1)).unflatten(-1, (-1, 8)).permute(1, 2, 0, 3)
        last = drive.new_zeros(drive.shape[1:]) if state is None else state.transpose(0, 1)
        starts = []
        for pushed in drive.unbind(0):
            starts.append(last)
            last = torch.baddbmm(pushed, last, self._transition)
        free = torch.stack(starts, 1).flatten(1, 2) @ self._free  # (F, t * B, window)
        # Each window by itself: what came before it is in the state.
        windows = functional.pad(bins[..., : self.window].flatten(0, 1).unsqueeze(1), (self.window - 1, 0))
        forced = functional.conv1d(windows, self._impulse.unsqueeze(1))  # (B * t, F, window)
        y = forced.unflatten(0, (n_stims, n_bins)) + free.unflatten(1, (n_bins, n_stims)).permute(2, 1, 0, 3)
        bands = nth_root(y.square().mean(-1), 2).transpose(1, 2)
        return compressed(bands, self.compression, self.log_floor), last.transpose(0, 1).clone()


_BUFFERS = ("_impulse", "_drive", "_transition", "_free")


def slaney_centres(f_min: float, f_max: float, n: int) -> np.ndarray:
    """Centre frequencies from f_min to one step below f_max, evenly spaced in ERB with Slaney's constants."""
    corner = 24.7 * 9.26449
    steps = np.arange(n, 0, -1) / n
    return (f_max + corner) * ((f_min + corner) / (f_max + corner)) ** steps - corner


def _state_space(centres_hz: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each filter as ``s[n] = A s[n - 1] + b x[n]``, ``y[n] = c s[n]``: (F, 8, 8), (F, 8), (F, 8).

    s are eight numbers, real and imaginary parts of a cascade, ``z_j[n] = p z_j[n - 1] + (1 - |p|) z_(j-1)[n]`` with
    z_0 = x. The weights of its four stages are the partial fractions of the transfer function.
    """
    omega = 2 * math.pi * centres_hz / fs
    decay = np.exp(-2 * math.pi * 1.019 * ERB_bandwidth(torch.from_numpy(centres_hz)).numpy() / fs)
    pole = decay * np.exp(1j * omega)
    gain = 1 - decay
    slopes = [sign * (math.sqrt(2) + offset) for sign in (1, -1) for offset in (1, -1)]
    zeros = decay * (np.cos(omega) + np.multiply.outer(slopes, np.sin(omega)))  # (4, F)
    unit = np.exp(-1j * omega)  # 1/z at the centre
    at_centre = np.prod(1 - zeros * unit, 0) / ((1 - pole * unit) * (1 - pole.conj() * unit)) ** 4

    n_bands = len(centres_hz)
    A = np.zeros((n_bands, 4, 4), complex)
    b = gain[:, None] ** np.arange(1, 5)
    c = np.zeros((n_bands, 4), complex)
    for band in range(n_bands):
        p = pole[band]
        for stage in range(4):
            A[band, stage, : stage + 1] = p * gain[band] ** np.arange(stage, -1, -1)
        # Everything but the pole, as a series in w = 1 - p/z: with 1/z = (1 - w) / p each factor is linear in it.
        series = np.array([1, 0, 0, 0], complex)
        for zero in zeros[:, band]:
            series = np.convolve(series, [1 - zero / p, zero / p])[:4]
        for _ in range(4):
            series = _divided(series, 1 - p.conj() / p, p.conj() / p)
        c[band] = 2 * series[::-1] / (b[band] * np.abs(at_centre[band]))
    real_A = np.block([[A.real, -A.imag], [A.imag, A.real]])
    return real_A, np.concatenate([b, np.zeros_like(b)], 1), np.concatenate([c.real, -c.imag], 1)


def _divided(series: np.ndarray, constant: complex, slope: complex) -> np.ndarray:
    """A power series divided by ``constant + slope w``."""
    quotient = np.zeros_like(series)
    for k in range(len(series)):
        quotient[k] = (series[k] - (slope * quotient[k - 1] if k else 0)) / constant
    return quotient


def _per_bin(A: np.ndarray, b: np.ndarray, c: np.ndarray, hop: int, window: int) -> tuple[np.ndarray, ...]:
    """The matrices of a whole bin, which act from the right.

    Impulse response, turned around for a correlation (F, window); from the bin's samples to the next state
    (hop, F, 8); from state to next state (F, 8, 8); from state to output in the window (F, 8, window).
    """
    impulse, free = np.empty((len(A), window)), np.empty((len(A), 8, window))
    drive = np.empty((hop, len(A), 8))
    pushed, read = b, c  # A^n b and c A^n
    transition = np.broadcast_to(np.eye(8), A.shape)
    for n in range(hop):
        drive[hop - 1 - n] = pushed
        if n < window:
            impulse[:, window - 1 - n] = (c * pushed).sum(-1)
            read = np.einsum("fj,fji->fi", read, A)
            free[:, :, n] = read
        pushed = np.einsum("fij,fj->fi", A, pushed)
        transition = A @ transition
    return impulse, drive, transition.transpose(0, 2, 1), free
