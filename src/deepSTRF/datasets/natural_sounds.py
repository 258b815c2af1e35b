"""Natural-like sounds, drawn directly as log-spectrograms: textures, vocalisations, transients and mixtures.

They share with natural sounds what matters to a receptive field estimate: modulations that fall off with rate and
scale, harmonic stacks with pitch and formant contours, sharp onsets and gaps, slow changes of loudness, and the
fluctuation that a 10 ms window leaves in narrow bands.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from deepSTRF.checks import check_choice, check_integer, check_positive

__all__ = ["SOUND_TYPES", "draw_spectrogram"]

SOUND_TYPES: tuple[str, ...] = ("texture", "vocalisation", "transients", "mixture")
"""The types of sounds, in the order in which a simulation goes through them."""

_LOUDEST_DB = 60.0  # of a component before loudness changes
_FLOOR_DB = 0.0
# Fixed rather than measured on the drawn sounds: the values of a sound must not depend on the others.
_SCALE_DB = 14.0


def draw_spectrogram(
    kind: str, frequencies_hz: Float64[np.ndarray, " F"], n_bins: int, dt_ms: float, rng: np.random.Generator
) -> Float64[np.ndarray, "F T"]:
    """Draw the log-spectrogram of one sound.

    Parameters
    ----------
    kind : str
        One of `SOUND_TYPES`.
    frequencies_hz : ndarray, shape (F,)
        Centre frequencies of the bands, rising.
    n_bins : int
        Number of time bins T.
    dt_ms : float
        Width of a time bin.
    rng : numpy.random.Generator
        Where the randomness comes from.

    Returns
    -------
    ndarray, shape (F, T)
        Level in units of 14 dB around the mean of each band, so that values are of the order of one.

    Raises
    ------
    ValueError
        If `kind` is no type of sound, the frequencies don't rise, or `n_bins` or `dt_ms` is too small.
    TypeError
        If `n_bins`, `dt_ms` or `rng` has a wrong type.

    Examples
    --------
    >>> sound = draw_spectrogram("texture", np.geomspace(500, 22627, 34), 200, 5.0, np.random.default_rng(0))
    >>> sound.shape
    (34, 200)
    """
    check_choice("kind", kind, SOUND_TYPES)
    frequencies_hz = np.asarray(frequencies_hz)
    if frequencies_hz.ndim != 1 or len(frequencies_hz) < 2 or not (np.diff(frequencies_hz, prepend=0) > 0).all():
        raise ValueError(f"frequencies_hz must be at least 2 rising positive frequencies, got {frequencies_hz}")
    check_integer("n_bins", n_bins, least=2)
    check_positive("dt_ms", dt_ms)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a generator as np.random.default_rng makes it, got {type(rng).__name__}")
    # Every sound has a background; what it is named after stands out from it by a few to tens of dB.
    background_db = {"texture": 0.0, "mixture": rng.uniform(-12, -4)}.get(kind, rng.uniform(-16, -6))
    power = 10 ** ((_texture(frequencies_hz, n_bins, dt_ms, rng) + background_db) / 10)
    if kind in ("vocalisation", "mixture"):
        power += 10 ** (_vocalisation(frequencies_hz, n_bins, dt_ms, rng) / 10)
    if kind in ("transients", "mixture"):
        power += 10 ** (_transients(frequencies_hz, n_bins, dt_ms, rng) / 10)
    loudness = 4 * _one_over_f(n_bins, dt_ms, rng, corner_hz=0.5)
    # The power of noise in a band of width b, seen for a time d, follows a gamma distribution of shape b * d: here
    # 1/6 octave and the 5 ms that a 10 ms Hann window effectively sees.
    freedom = np.maximum(0.005 * 0.116 * frequencies_hz, 1.0)[:, None]
    fluctuation = rng.gamma(freedom, 1 / freedom, size=power.shape)
    level = np.maximum(10 * np.log10(np.maximum(power * fluctuation, 1e-12)) + loudness, _FLOOR_DB)
    # Presented with equal long-term spectra: otherwise mean rates would differ between sounds so much that a noise
    # ceiling within sounds is no ceiling of a correlation across them.
    return (level - level.mean(axis=1, keepdims=True)) / _SCALE_DB


def _octaves(frequencies_hz: np.ndarray) -> np.ndarray:
    return np.log2(frequencies_hz / frequencies_hz[0])


def _one_over_f(n_bins: int, dt_ms: float, rng: np.random.Generator, corner_hz: float) -> np.ndarray:
    """Draw a unit-variance contour (T,) whose amplitude spectrum falls as 1/f above a corner."""
    n = 2 * n_bins  # twice as long, so that start and end don't meet
    rates = np.fft.rfftfreq(n, dt_ms / 1000)
    shape = 1 / np.sqrt(1 + (rates / corner_hz) ** 2)
    shape[0] = 0
    contour = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal(n)), n)[:n_bins]
    return contour / np.sqrt(2 * np.sum(shape**2) / n)


def _texture(frequencies_hz: np.ndarray, n_bins: int, dt_ms: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the level in dB of a noise with modulations that fall off with rate and scale: wind, water, rustling."""
    octaves = _octaves(frequencies_hz)
    n_bands = len(octaves)
    shape_f, shape_t = 2 * n_bands, 2 * n_bins
    scale = np.abs(np.fft.fftfreq(shape_f, octaves[1] - octaves[0]))[:, None]  # cycles per octave
    rate = np.fft.rfftfreq(shape_t, dt_ms / 1000)[None]
    amplitude = 1 / np.sqrt(1 + (rate / rng.uniform(8, 25)) ** 2) / (1 + (scale / rng.uniform(0.5, 1.5)) ** 2)
    field = np.fft.irfft2(amplitude * np.fft.rfft2(rng.standard_normal((shape_f, shape_t))), (shape_f, shape_t))
    field = field[:n_bands, :n_bins] / field.std()
    tilt = -rng.uniform(0, 4) * octaves
    colour = rng.uniform(0, 6) * np.sin(2 * np.pi * (octaves / rng.uniform(1.5, 5) + rng.uniform()))
    depth = rng.uniform(8, 12)
    return _LOUDEST_DB - 15 + (tilt + colour)[:, None] + depth * field


def _vocalisation(frequencies_hz: np.ndarray, n_bins: int, dt_ms: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the level in dB of calls: harmonic stacks with pitch and formant contours, between gaps."""
    octaves = _octaves(frequencies_hz)
    width = 0.6 * (octaves[1] - octaves[0])
    level = np.full((len(octaves), n_bins), -40.0)
    start = rng.uniform(0, 300)
    while start < n_bins * dt_ms:
        duration = rng.uniform(60, 500)
        first, n = int(start / dt_ms), max(int(duration / dt_ms), 2)
        n = min(n, n_bins - first)
        start += duration + rng.exponential(150) + 20
        if n < 2:
            break
        time = np.arange(n) * dt_ms
        pitch = np.log2(rng.choice([150.0, 300.0, 700.0, 1500.0, 3000.0]) / frequencies_hz[0])
        pitch = pitch + rng.uniform(-0.5, 0.5) + 0.25 * _one_over_f(n, dt_ms, rng, 2.0)
        pitch = pitch + rng.uniform(-0.5, 0.5) * time / duration
        formants = rng.uniform(0, octaves[-1], size=(3, 1)) + 0.3 * np.stack(
            [_one_over_f(n, dt_ms, rng, 2.0) for _ in range(3)]
        )
        power = np.zeros((len(octaves), n))
        for harmonic in range(1, 16):
            at = pitch + np.log2(harmonic)
            # Resonances lift harmonics by up to 20 dB over a tilt of 6 dB per octave.
            lift = 20 * np.exp(-0.5 * ((at - formants) / 0.35) ** 2).max(0) - 6 * np.log2(harmonic)
            power += 10 ** (lift / 10) * np.exp(-0.5 * ((octaves[:, None] - at) / width) ** 2)
        attack, decay = rng.uniform(3, 25), rng.uniform(100, 600)
        envelope = 20 * np.log10(-np.expm1(-(time + dt_ms) / attack)) - 8.7 * time / decay
        call = _LOUDEST_DB - 15 + rng.uniform(-10, 5) + 10 * np.log10(power + 1e-6) + envelope
        level[:, first : first + n] = np.maximum(level[:, first : first + n], call)
    return level


def _transients(frequencies_hz: np.ndarray, n_bins: int, dt_ms: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the level in dB of bursts with sharp onsets that ring out, low bands longest: steps, cracks, drops."""
    octaves = _octaves(frequencies_hz)
    level = np.full((len(octaves), n_bins), -40.0)
    time = np.arange(n_bins) * dt_ms
    start = rng.exponential(100)
    while start < n_bins * dt_ms:
        centre, width = rng.uniform(0, octaves[-1]), rng.uniform(0.3, 2.5)
        decay = rng.uniform(10, 80) * 2 ** (-octaves / 8)
        since = time[None] - start
        spectrum = -12 * ((octaves - centre) / width) ** 2
        burst = _LOUDEST_DB + rng.uniform(-20, 0) + spectrum[:, None] - 8.7 * since / decay[:, None]
        level = np.where(since >= 0, np.maximum(level, burst), level)
        start += rng.exponential(180) + 15
    return level
