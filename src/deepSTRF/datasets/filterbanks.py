"""Banks of filters in NumPy, block by block: what the spectrograms of sounds are made with. All are causal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32, Float64

__all__ = ["band_amplitudes", "causally_filtered", "geometric_corners", "in_blocks", "running_rms", "triangular_bands"]

# At a time: the windows of an hour would take gigabytes.
_FRAMES = 4096
_SAMPLES = 2**16


def triangular_bands(
    corners_hz: Float64[np.ndarray, " F+2"], spectrum_hz: Float64[np.ndarray, " K"], *, narrow: bool = False
) -> Float64[np.ndarray, "F K"]:
    """Weights of the frequencies of a spectrum: triangles from one corner to the next but one, each of unit sum.

    A band that is so narrow that it holds no frequency of the spectrum gets zeros; with `narrow` it is read at its
    centre, between the two nearest frequencies.
    """
    lower, centre, upper = (corners_hz[k : k + len(corners_hz) - 2, None] for k in range(3))
    rising = (spectrum_hz - lower) / (centre - lower)
    falling = (upper - spectrum_hz) / (upper - centre)
    weights = np.clip(np.minimum(rising, falling), 0.0, None)
    if narrow:
        empty = ~weights.any(1)
        weights[empty] = np.clip(1 - np.abs(spectrum_hz - centre[empty]) / spectrum_hz[1], 0.0, None)
    total = weights.sum(1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def geometric_corners(centres_hz: Float64[np.ndarray, " F"]) -> Float64[np.ndarray, " F+2"]:
    """Corners of the triangles around log-spaced centres: one step before the first, and after the last."""
    step = centres_hz[1] / centres_hz[0]
    return np.concatenate([[centres_hz[0] / step], centres_hz, [centres_hz[-1] * step]])


def band_amplitudes(
    sound: Float[np.ndarray, " samples"], fs: float, hop: int, size: int, weights: Float64[np.ndarray, "F K"]
) -> Iterator[Float64[np.ndarray, "F t"]]:
    """Amplitudes of bands in Hann windows of `size` samples that end with their bin of `hop` samples, block by block.

    The unit is the amplitude of the unnormalised spectrum in a window of 10 ms.
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    window *= 0.005 * fs / window.sum()  # exactly 1 for a 10 ms window: other lengths keep the meaning of 0 dB
    n_frames, past = len(sound) // hop, size - hop
    for start in range(0, n_frames, _FRAMES):
        stop = min(start + _FRAMES, n_frames)
        first = start * hop - past
        samples = np.pad(sound[max(first, 0) : stop * hop].astype(np.float64), (max(-first, 0), 0))
        frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
        amplitude = np.abs(np.fft.rfft(frames * window, axis=-1))
        # einsum without BLAS: a frame's value must not depend on how many frames there are
        yield np.einsum("tk,fk->ft", amplitude, weights)


def in_blocks(samples: Float32[np.ndarray, " samples"], hop: int) -> Iterator[Float64[np.ndarray, "1 samples"]]:
    """Whole bins of the sound, a block at a time."""
    size = max(_SAMPLES // hop, 1) * hop
    end = len(samples) // hop * hop
    for start in range(0, end, size):
        yield samples[None, start : min(start + size, end)].astype(np.float64)


def causally_filtered(
    samples: Float32[np.ndarray, " samples"], hop: int, kernels: Float64[np.ndarray, "F taps"]
) -> Iterator[Float64[np.ndarray, "F samples"]]:
    """The output of causal filters, a block at a time."""
    from scipy.fft import irfft, next_fast_len, rfft

    past = kernels.shape[1] - 1
    size = next_fast_len(max(_SAMPLES // hop, 1) * hop + past, real=True)
    spectra = rfft(kernels, size)
    before = np.zeros((1, past))
    for block in in_blocks(samples, hop):
        longer = np.concatenate([before, block], 1)
        yield irfft(rfft(longer, size) * spectra, size)[:, past : longer.shape[1]]
        before = longer[:, longer.shape[1] - past :]


def running_rms(
    blocks: Iterator[Float64[np.ndarray, "F samples"]], hop: int, size: int
) -> Iterator[Float64[np.ndarray, "F t"]]:
    """Root of the mean square over the `size` samples before the end of each bin; silence precedes the sound."""
    before = None
    for block in blocks:
        square = block**2
        if before is None:
            before = np.zeros((len(block), size - hop))
        longer = np.concatenate([before, square], 1)
        windows = np.lib.stride_tricks.sliding_window_view(longer, size, axis=1)[:, ::hop]
        yield np.sqrt(windows.mean(-1))
        before = longer[:, longer.shape[1] - (size - hop) :]
