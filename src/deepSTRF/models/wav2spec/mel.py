"""Mel spectrogram: the short-time Fourier transform, pooled in triangular bands."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_choice, check_positive
from deepSTRF.models.bin_by_bin import State, with_past
from deepSTRF.models.wav2spec.base import WaveformFrontEnd, compressed, frequency_range
from deepSTRF.scales import Hz_to_mel, mel_to_Hz

__all__ = ["CausalMelSpectrogram"]


class CausalMelSpectrogram(WaveformFrontEnd):
    """Mel spectrogram whose windows end where their bin ends.

    ``S[m, t] = compress(sum_k W[m, k] |X[k, t]|^p)``, where X is the Fourier transform of the `win_ms` before the end
    of bin t under a symmetric Hann window, p is 1 (amplitude) or 2 (power), and W are triangles of height 1 between
    centres that are evenly spaced in mel. A triangle too narrow to hold a frequency of the spectrum (which are
    ``1000 / win_ms`` Hz apart) is read at its centre instead, between the two nearest ones.

    Parameters
    ----------
    n_mels : int
        Number of bands F.
    win_ms : float
        Window in ms, at least as long as the bin.
    f_min, f_max : float
        Lower edge of the first and upper edge of the last triangle in Hz; `f_max` is at most half the sampling rate,
        and is lowered to it.
    magnitude : {'amplitude', 'power'}
        What is pooled.
    compression : {'log', 'cubic', 'log1p', 'none'}
        ``log(max(x, log_floor))``, cube root, ``log(1 + x)``, or nothing.
    log_floor : float
        Smallest value that the logarithm sees.
    log_offset : float, optional
        With it, 'log' is ``log(x + log_offset)``.
    mel_scale : {'htk', 'slaney'}
        ``2595 log10(1 + f / 700)``, or linear below and logarithmic above 1 kHz.
    audio_fs, hop_ms
        See :class:`~deepSTRF.models.wav2spec.base.WaveformFrontEnd`.

    References
    ----------
    Davis & Mermelstein (1980), Comparison of parametric representations for monosyllabic word recognition in
    continuously spoken sentences, https://doi.org/10.1109/TASSP.1980.1163420

    Slaney (1998), Auditory Toolbox, Interval Research Technical Report 1998-010

    Examples
    --------
    >>> import torch
    >>> front_end = CausalMelSpectrogram(audio_fs=48000)
    >>> front_end(torch.randn(2, 1, 48000)).shape
    torch.Size([2, 1, 34, 200])
    """

    _window: Tensor
    _mel_fb: Tensor

    def __init__(
        self,
        audio_fs: float,
        n_mels: int = 34,
        hop_ms: float = 5.0,
        win_ms: float = 10.0,
        f_min: float = 500.0,
        f_max: float | None = 22627.0,
        magnitude: str = "amplitude",
        compression: str = "log",
        log_floor: float = 1e-4,
        log_offset: float | None = None,
        mel_scale: str = "htk",
    ) -> None:
        super().__init__(audio_fs, hop_ms, n_mels)
        self.win = self._window_samples("win_ms", win_ms)
        if self.win < 3:  # a symmetric Hann window of two samples is zero
            raise ValueError(f"win_ms={win_ms} is less than three samples at audio_fs={audio_fs}")
        self.magnitude = check_choice("magnitude", magnitude, ("amplitude", "power"))
        self.compression = check_choice("compression", compression, ("log", "cubic", "log1p", "none"))
        check_choice("mel_scale", mel_scale, ("htk", "slaney"))
        self.log_floor = check_positive("log_floor", log_floor)
        self.log_offset = None if log_offset is None else check_positive("log_offset", log_offset)
        low, high = frequency_range(f_min, f_max, audio_fs)
        self._corners_hz = _mel_corners(self.out_channels, low, high, mel_scale)
        self._centres_hz = torch.from_numpy(self._corners_hz[1:-1])
        spectrum_hz = np.arange(self.win // 2 + 1) * (float(audio_fs) / self.win)
        self.register_buffer("_window", torch.hann_window(self.win, periodic=False))
        self.register_buffer(
            "_mel_fb", torch.from_numpy(_triangles(self._corners_hz, spectrum_hz)).to(torch.get_default_dtype())
        )

    def _frames(self, waveform: Float[Tensor, "B 1 samples"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        longer, state = with_past(waveform, state, self.win - self.hop)
        spectrum = torch.fft.rfft(longer.squeeze(1).unfold(-1, self.win, self.hop) * self._window)
        power = self.magnitude == "power"
        magnitude = spectrum.real.square() + spectrum.imag.square() if power else spectrum.abs()
        bands = (magnitude @ self._mel_fb).transpose(1, 2)
        if self.compression == "log" and self.log_offset is not None:
            return (bands + self.log_offset).log(), state
        return compressed(bands, self.compression, self.log_floor), state


def _mel_corners(n_bands: int, low: float, high: float, mel_scale: str) -> np.ndarray:
    """Frequencies, evenly spaced in mel: band m rises from corner m to m + 1, and falls to m + 2."""
    if mel_scale == "htk":
        return mel_to_Hz(torch.linspace(Hz_to_mel(low), Hz_to_mel(high), n_bands + 2, dtype=torch.float64)).numpy()
    # Slaney: 3 mel per 200 Hz up to 1 kHz, from there on 27 mel per factor of 6.4.
    per_hz, knee_hz, per_e_fold = 3 / 200, 1000.0, 27 / math.log(6.4)
    knee = per_hz * knee_hz

    def to_mel(f: float) -> float:
        return per_hz * f if f < knee_hz else knee + per_e_fold * math.log(f / knee_hz)

    mels = np.linspace(to_mel(low), to_mel(high), n_bands + 2)
    return np.where(mels < knee, mels / per_hz, knee_hz * np.exp((mels - knee) / per_e_fold))


def _triangles(corners: np.ndarray, spectrum_hz: np.ndarray) -> np.ndarray:
    """Weights (n_frequencies, F) of height 1 at the centres."""
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    f = spectrum_hz[:, None]
    weights = np.clip(np.minimum((f - lower) / (centre - lower), (upper - f) / (upper - centre)), 0.0, None)
    spacing = spectrum_hz[1]
    for band in np.flatnonzero(weights.sum(0) < 1e-6):
        weights[:, band] = np.clip(1 - np.abs(spectrum_hz - centre[band]) / spacing, 0.0, None)
    return weights
