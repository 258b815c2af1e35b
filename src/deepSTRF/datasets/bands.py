"""Bands of a sound: where they lie, and their amplitudes in bins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32, Float64

from deepSTRF.datasets.cochleagram import band_centres
from deepSTRF.datasets.filterbanks import (
    band_amplitudes,
    causally_filtered,
    geometric_corners,
    in_blocks,
    running_rms,
    triangular_bands,
)
from deepSTRF.scales import ERB_to_Hz, Hz_to_ERB, Hz_to_mel, gammatone_kernels, mel_to_Hz

__all__ = ["amplitudes", "band_corners"]


def band_corners(kind: str, n_bands: int, low_hz: float, high_hz: float) -> Float64[np.ndarray, " F+2"]:
    """Centres of the bands in Hz, evenly spaced on their scale, with one step before the first and one after the last.

    Examples
    --------
    >>> band_corners("log", 3, 1000.0, 4000.0)
    array([ 500., 1000., 2000., 4000., 8000.])
    """
    if kind == "log":
        return geometric_corners(band_centres(n_bands, low_hz, high_hz).double().numpy())
    there, back = (Hz_to_mel, mel_to_Hz) if kind == "mel" else (Hz_to_ERB, ERB_to_Hz)
    low, high = there(low_hz), there(high_hz)
    return np.asarray(back(low + (high - low) / max(n_bands - 1, 1) * np.arange(-1, n_bands + 1)))


def amplitudes(
    kind: str,
    samples: Float32[np.ndarray, " samples"],
    fs: float,
    hop: int,
    size: int,
    corners_hz: Float64[np.ndarray, " F+2"] | None,
) -> Iterator[Float64[np.ndarray, "F t"]]:
    """Amplitudes of the bands in windows of `size` samples that end with their bin of `hop` samples, block by block."""
    if corners_hz is None:
        return running_rms(in_blocks(samples, hop), hop, size)
    if kind == "gammatone":
        centres = torch.from_numpy(corners_hz[1:-1].copy())
        # Cut off after ten periods of the lowest band, where its envelope has fallen to 3 %.
        taps = max(round(fs * 10 / float(centres[0])), 8)
        kernels = gammatone_kernels(centres, fs, 4, 1.019, taps).numpy()
        return running_rms(causally_filtered(samples, hop, kernels), hop, size)
    weights = triangular_bands(corners_hz, np.fft.rfftfreq(size, 1 / fs), narrow=True)
    return band_amplitudes(samples, fs, hop, size, weights)
