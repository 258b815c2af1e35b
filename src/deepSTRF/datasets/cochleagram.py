"""Sound pressure becomes a cochleagram: log-spaced bands, in dB, strictly causal."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.datasets.filterbanks import band_amplitudes, geometric_corners, triangular_bands

__all__ = ["band_centres", "causal_cochleagram"]


def band_centres(n_bands: int = 34, low_hz: float = 500.0, high_hz: float = 22627.417) -> Float[Tensor, " F"]:
    """Centre frequencies of log-spaced bands; the defaults are the 1/6-octave bands of the NS1 papers.

    Parameters
    ----------
    n_bands : int
        Number of bands, at least 2.
    low_hz, high_hz : float
        Centres of the first and the last band in Hz.

    Returns
    -------
    Tensor, shape (F,)
        In Hz, rising.

    Raises
    ------
    ValueError
        If there are fewer than 2 bands, or ``0 < low_hz < high_hz`` does not hold.
    TypeError
        If `n_bands` is not an integer or a frequency not a number.

    Examples
    --------
    >>> band_centres()[:4].round().tolist()
    [500.0, 561.0, 630.0, 707.0]
    """
    n_bands = check_integer("n_bands", n_bands, least=None)
    if n_bands < 2 or not 0 < check_positive("low_hz", low_hz) < check_positive("high_hz", high_hz):
        raise ValueError(
            f"expected at least 2 bands and 0 < low_hz < high_hz; got n_bands={n_bands}, low_hz={low_hz}, "
            f"high_hz={high_hz}"
        )
    return torch.from_numpy(np.geomspace(low_hz, high_hz, n_bands)).float()


def causal_cochleagram(
    waveform: Float[Tensor, "1 T_audio"],
    fs: int,
    hop: int,
    *,
    centres_hz: Float[Tensor, " F"] | None = None,
    window_ms: float = 10.0,
    floor_db: float = -40.0,
) -> Float[Tensor, "1 F T"]:
    """Compute the log-amplitude cochleagram of a sound, without a look into the future.

    The recipe of the NS1 papers [1]_: amplitude spectrogram in Hann windows, triangular log-spaced bands of unit sum,
    20 log10, floor. Unlike theirs and most, the frame of bin t *ends* with the bin: it is made of the samples
    before ``(t + 1) * hop`` and of no later one. Silence precedes the sound.

    Parameters
    ----------
    waveform : Tensor, shape (1, T_audio)
        One channel. Samples after the last whole hop are left out.
    fs : int
        Sampling rate in Hz.
    hop : int
        Samples per time bin.
    centres_hz : Tensor, shape (F,), optional
        Centre frequencies, log-spaced; default :func:`band_centres`.
    window_ms : float
        Length of the window. One that is shorter than a bin is lengthened to the bin, so that no sample is lost.
    floor_db : float
        Quieter values are raised to this one.

    Returns
    -------
    Tensor, shape (1, F, T)
        In dB, where 0 dB is an amplitude of 1 of the unnormalised spectrum in a 10 ms window; T = T_audio // hop.

    Raises
    ------
    ValueError
        If the waveform is not of shape (1, T_audio), shorter than a hop or not finite, if a band is so narrow
        that it holds no frequency of the spectrum, or if another argument is out of its range.
    TypeError
        If the waveform is not a tensor, `hop` not an integer, or another argument not a number.

    References
    ----------
    .. [1] Rahman M, Willmore BDB, King AJ, Harper NS (2019). A dynamic network model of temporal receptive fields in
       primary auditory cortex. PLoS Comput Biol 15:e1006618. doi:10.1371/journal.pcbi.1006618

    Examples
    --------
    >>> tone = torch.sin(2 * torch.pi * 4000 * torch.arange(48000) / 48000)[None]
    >>> cochleagram = causal_cochleagram(tone, fs=48000, hop=240)
    >>> cochleagram.shape, int(cochleagram[0, :, -1].argmax())  # 4 kHz is 3 octaves, 18 bands, above 500 Hz
    (torch.Size([1, 34, 200]), 18)
    """
    check_positive("fs", fs)
    hop = check_integer("hop", hop)
    check_positive("window_ms", window_ms)
    if not np.isfinite(floor_db):
        raise ValueError(f"floor_db must be a finite level in dB, got {floor_db}")
    if not isinstance(waveform, Tensor):
        raise TypeError(f"the waveform must be a torch tensor (1, T_audio), got {type(waveform).__name__}")
    if waveform.ndim != 2 or waveform.shape[0] != 1 or waveform.shape[1] < hop:
        raise ValueError(
            f"expected a waveform (1, T_audio) of at least one hop ({hop} samples); got {tuple(waveform.shape)}"
        )
    if not torch.isfinite(waveform).all():
        raise ValueError("the waveform holds NaN or infinite samples")
    centres = (band_centres() if centres_hz is None else torch.as_tensor(centres_hz)).double().numpy()
    if centres.ndim != 1 or len(centres) < 2 or not (centres[0] > 0 and (np.diff(centres) > 0).all()):
        raise ValueError(f"centres_hz must be at least 2 rising positive frequencies, got {centres_hz}")
    size = max(round(fs * window_ms / 1000), hop)
    weights = triangular_bands(geometric_corners(centres), np.fft.rfftfreq(size, 1 / fs))
    if not weights.any(1).all():
        empty = centres[int(np.argmin(weights.any(1)))]
        raise ValueError(f"the band at {empty:.0f} Hz holds no frequency of the spectrum; use a longer window")
    blocks = [
        (20 * np.log10(np.maximum(amplitude, 10 ** (floor_db / 20)))).astype(np.float32)
        for amplitude in band_amplitudes(waveform[0].numpy(), fs, hop, size, weights)
    ]
    return torch.from_numpy(np.concatenate(blocks, 1))[None]
