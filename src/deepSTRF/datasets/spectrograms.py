"""Sounds become spectrograms: causal, with exact bins, in whatever units the sounds come."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from deepSTRF.checks import check_integer, check_number, check_positive, describe_type, unknown_name
from deepSTRF.datasets.arrays import check_bin_width
from deepSTRF.datasets.bands import amplitudes, band_corners
from deepSTRF.datasets.sound_files import rate_with_whole_bins, resample_causally
from deepSTRF.datasets.sounds import Sound, read_sounds

__all__ = ["KINDS", "Spectrogram", "as_spectrogram", "sound_stimuli", "spectrograms_of"]

KINDS: tuple[str, ...] = ("log", "mel", "erb", "gammatone", "envelope", "waveform")

_WITHOUT_BANDS = ("envelope", "waveform")
_HIGH_HZ = 22627.417  # of the NS1 papers
_OCTAVES = 5.5  # from the first to the last band: 34 bands are 1/6 octave apart
_OF_NYQUIST = 0.95
_PERIODS = 5  # of the lowest band in a window
_WINDOW_MS = 10.0


@dataclass(frozen=True)
class Spectrogram:
    """How sounds become spectrograms (1, F, T): bands of log amplitude, with one frame per bin of the responses.

    Frame t is made of the sound before the end of bin t and of nothing later. A bin is a whole number of samples: where
    it isn't at the rate of the sound, the sound is resampled to the next higher rate at which it is, so that nothing
    drifts, however long the recording. The resampling filter is delayed until it is causal (0.2 ms at 48 kHz).

    What is left as None is filled in by :meth:`resolve`, from the sounds: all of them are then treated alike, and so is
    a new sound later.

    Parameters
    ----------
    kind : {'log', 'mel', 'erb', 'gammatone', 'envelope', 'waveform'}
        ``'log'``, ``'mel'`` and ``'erb'`` are spectra of Hann windows that end with the bin, pooled in triangular bands
        of unit sum, whose centres are evenly spaced in octaves (the cochleagram of the NS1 papers), mel, or ERB rate.
        ``'gammatone'`` is the RMS of gammatone filters of order 4, evenly spaced in ERB rate. ``'envelope'`` is one
        band: the RMS of the waveform. ``'waveform'`` is the sound itself, resampled, for models with a front end of
        their own.
    n_bands : int
        Number of bands F; for a waveform, that of the front ends that models will make of it.
    low_hz, high_hz : float, optional
        Centres of the first and the last band in Hz. By default the last is 22 627 Hz, or 95 % of half the lowest
        sampling rate of the sounds where that is less, and the first is 5.5 octaves below: 500 Hz to 22 627 Hz for
        48 kHz, as in NS1; 168 Hz to 7600 Hz for speech of 16 kHz.
    window_ms : float, optional
        Length of the Hann window, or of that in which the RMS is taken; at least a bin. By default 5 periods of
        `low_hz`, and 10 ms at least.
    compression : 'db', 'log1p' or float
        Level in dB; log(1 + a), where the amplitude a is 1 at the level `range_db` below 0 dB; or an exponent: the
        amplitude to that power.
    range_db : float
        Levels that are lower than this far below 0 dB are raised to ``-range_db``, or lie in the linear part of log1p.
    reference_db : float, optional
        Level that reads 0 dB (as an exponent: 1), in dB of the sounds' own unit. By default that of the loudest band
        and bin of all sounds, so that int16, pascals and [-1, 1] give the same spectrogram.
    fs : float, optional
        Rate in Hz at which it is computed.
    dt_ms : float, optional
        Width of a bin in ms.

    Raises
    ------
    UnknownNameError or ValueError
        If there is no such `kind`, or a number is out of range.
    TypeError
        If a number is none.

    Examples
    --------
    >>> tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    >>> spectrogram = Spectrogram("mel", n_bands=20).resolve([16000], dt_ms=5.0)
    >>> spectrogram(tone[None], fs=16000).shape
    torch.Size([1, 20, 200])
    >>> spectrogram.frequencies_hz[[0, -1]].round().tolist()
    [168.0, 7600.0]
    """

    kind: str = "log"
    n_bands: int = 34
    low_hz: float | None = None
    high_hz: float | None = None
    window_ms: float | None = None
    compression: str | float = "db"
    range_db: float = 80.0
    reference_db: float | None = None
    fs: float | None = None
    dt_ms: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(unknown_name("spectrogram", self.kind, KINDS))
        if self.kind == "envelope":
            object.__setattr__(self, "n_bands", 1)
        least = 1 if self.kind in ("gammatone", *_WITHOUT_BANDS) else 2
        object.__setattr__(self, "n_bands", check_integer("n_bands", self.n_bands, least=least))
        for name in ("low_hz", "high_hz", "window_ms", "fs", "dt_ms", "range_db"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(check_positive(name, getattr(self, name))))
        if self.low_hz is not None and self.high_hz is not None and not self.low_hz < self.high_hz:
            raise ValueError(f"low_hz must be below high_hz, got {self.low_hz:g} and {self.high_hz:g}")
        if self.reference_db is not None:
            object.__setattr__(self, "reference_db", float(check_number("reference_db", self.reference_db)))
        if isinstance(self.compression, str) and self.compression not in ("db", "log1p"):
            raise ValueError(f"compression must be 'db', 'log1p' or an exponent such as 0.3, got {self.compression!r}")
        if not isinstance(self.compression, str):
            object.__setattr__(self, "compression", float(check_positive("compression", self.compression)))

    @property
    def is_resolved(self) -> bool:
        """Whether rate, bin width and bands are known."""
        return self.fs is not None and self.dt_ms is not None

    @property
    def hop(self) -> int:
        """Samples per bin, at `fs`."""
        fs, dt_ms = self._grid()
        return round(fs * dt_ms / 1000)

    @property
    def frequencies_hz(self) -> Float[Tensor, " F"] | None:
        """Centre frequencies of the bands in Hz, shape (F,); None where there are none."""
        corners = self._corners()
        return None if corners is None else torch.from_numpy(corners[1:-1].copy()).float()

    def as_dict(self) -> dict[str, Any]:
        """All settings, as JSON can hold them; ``Spectrogram.from_dict`` brings them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Spectrogram:
        """Make the spectrogram of settings that :meth:`as_dict` gave, or that a file holds.

        Raises
        ------
        ValueError, TypeError
            If a setting does not exist, or is wrong.

        Examples
        --------
        >>> Spectrogram.from_dict({"kind": "mel", "n_bands": 20}).n_bands
        20
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := [name for name in settings if name not in known]:
            raise ValueError(unknown_name("setting of a spectrogram", unknown[0], known))
        return cls(**settings)

    def resolve(self, rates_hz: Sequence[float], dt_ms: float) -> Spectrogram:
        """Return the same with rate, bin width, bands and window filled in.

        Parameters
        ----------
        rates_hz : sequence of float
            Sampling rates of the sounds in Hz; the lowest one decides.
        dt_ms : float
            Width of a bin in ms.

        Raises
        ------
        ValueError
            If it has another `dt_ms` already, a bin is shorter than a sample, or `low_hz` is too high for the sounds.
        """
        check_bin_width(dt_ms)
        if self.dt_ms is not None and self.dt_ms != dt_ms:
            raise ValueError(f"this spectrogram has bins of {self.dt_ms:g} ms, not of dt_ms={dt_ms:g}")
        lowest = min(rates_hz)
        fs = self.fs or rate_with_whole_bins(lowest, dt_ms, whole=self.kind == "waveform")
        if self.kind in _WITHOUT_BANDS:
            return dataclasses.replace(self, fs=fs, dt_ms=dt_ms, window_ms=self.window_ms or _WINDOW_MS)
        high = self.high_hz or min(_HIGH_HZ, _OF_NYQUIST * lowest / 2)
        low = self.low_hz or high / 2**_OCTAVES
        if not low < high:
            raise ValueError(
                f"low_hz={low:g} is above what sounds of {lowest:g} Hz hold, which end at {lowest / 2:g} Hz; lower it"
            )
        window = self.window_ms or max(_WINDOW_MS, 1000 * _PERIODS / low)
        return dataclasses.replace(self, fs=fs, dt_ms=dt_ms, low_hz=low, high_hz=high, window_ms=window)

    def __call__(
        self, waveform: Float[Tensor, "1 T_audio"], fs: float, dt_ms: float | None = None
    ) -> Float[Tensor, "1 F T"]:
        """Compute the spectrogram of one sound.

        Parameters
        ----------
        waveform : Tensor
            One channel (1, T_audio). What is left after the last whole bin is left out.
        fs : float
            Its sampling rate in Hz.
        dt_ms : float, optional
            Width of a bin in ms, where this object does not know it.

        Returns
        -------
        Tensor, shape (1, F, T)
            float32.

        Raises
        ------
        ValueError
            If the sound is shorter than a bin, silent while there is no `reference_db`, not finite, or ends below the
            bands; or if `dt_ms` is missing or another.
        """
        if dt_ms is None and self.dt_ms is None:
            raise ValueError("dt_ms, the width of a bin in ms, is missing")
        resolved = self if self.is_resolved and dt_ms is None else self.resolve([fs], dt_ms or self.dt_ms or 0)
        levels = resolved.levels(Sound("sound", waveform, fs))
        if resolved.reference_db is None:
            resolved = resolved.with_reference([levels])
        return resolved.compress(levels)

    def levels(self, sound: Sound, before: int = 0, after: int = 0) -> Float32[np.ndarray, "F T"]:
        """Levels of the bands in dB of the sound's own unit, -inf for silence; the first half of the computation.

        Parameters
        ----------
        sound : Sound
            The sound.
        before, after : int
            Bins of silence before the sound, and after its last whole bin.

        Raises
        ------
        ValueError
            As when it is called.
        """
        fs, _ = self._grid()
        samples = self._samples(sound, before, after)
        if self.kind == "waveform":
            return samples[None]
        size = max(round(fs * (self.window_ms or _WINDOW_MS) / 1000), self.hop)
        with np.errstate(divide="ignore"):
            blocks = amplitudes(self.kind, samples, fs, self.hop, size, self._corners())
            return np.concatenate([(20 * np.log10(block)).astype(np.float32) for block in blocks], 1)

    def _samples(self, sound: Sound, before: int, after: int) -> Float32[np.ndarray, " samples"]:
        """The sound at `fs`, in whole bins."""
        fs, dt_ms = self._grid()
        waveform = sound.waveform
        if waveform.ndim != 2 or waveform.shape[0] != 1:
            raise ValueError(f"sound {sound.name!r} must be one channel (1, T), got {tuple(waveform.shape)}")
        if self.high_hz is not None and self.high_hz >= sound.fs / 2:
            raise ValueError(
                f"the last band lies at {self.high_hz:g} Hz, and sound {sound.name!r} of {sound.fs:g} Hz ends at "
                f"{sound.fs / 2:g} Hz: lower high_hz, or give the sound at a higher rate"
            )
        if not bool(torch.isfinite(waveform).all()):
            raise ValueError(f"sound {sound.name!r} holds NaN or infinite samples")
        samples = resample_causally(waveform, sound.fs, fs)[0].numpy()
        n_bins = len(samples) // self.hop
        if n_bins == 0:
            raise ValueError(
                f"sound {sound.name!r} lasts {1000 * waveform.shape[1] / sound.fs:.4g} ms, less than one bin of "
                f"dt_ms={dt_ms:g}; are rate (Hz) and dt_ms (ms) right?"
            )
        whole = np.pad(samples, (before * self.hop, (after + 1) * self.hop)) if before or after else samples
        return whole[: (before + n_bins + after) * self.hop]

    def with_reference(self, levels: Sequence[Float32[np.ndarray, "F T"]]) -> Spectrogram:
        """Return the same with the loudest of these levels as the one that reads 0 dB.

        Raises
        ------
        ValueError
            If all is silent.
        """
        if self.kind == "waveform":
            levels = [np.where(level == 0, -math.inf, 0.0) for level in levels]
        loudest = max(float(level.max()) for level in levels)
        if loudest == -math.inf:
            raise ValueError("every sound is silent: all samples are zero, so there is nothing to make bands of")
        return dataclasses.replace(self, reference_db=loudest)

    def compress(self, levels: Float32[np.ndarray, "F T"]) -> Float[Tensor, "1 F T"]:
        """Levels relative to the reference, compressed: (1, F, T); the second half of the computation."""
        if self.kind == "waveform":
            return torch.from_numpy(levels)
        relative = levels - np.float32(self.reference_db or 0.0)
        if isinstance(self.compression, float):
            relative = np.exp(relative * np.float32(self.compression * math.log(10) / 20))
        elif self.compression == "log1p":
            relative = np.log1p(np.exp((relative + np.float32(self.range_db)) * np.float32(math.log(10) / 20)))
        else:
            relative = np.maximum(relative, np.float32(-self.range_db))
        return torch.from_numpy(relative)[None]

    def _grid(self) -> tuple[float, float]:
        if self.fs is None or self.dt_ms is None:
            raise ValueError("the rate of this spectrogram is not known yet; call resolve(rates_hz, dt_ms) first")
        return self.fs, self.dt_ms

    def _corners(self) -> np.ndarray | None:
        if self.kind in _WITHOUT_BANDS:
            return None
        if self.low_hz is None or self.high_hz is None:
            raise ValueError("the bands of this spectrogram are not known yet; call resolve(rates_hz, dt_ms) first")
        return band_corners(self.kind, self.n_bands, self.low_hz, self.high_hz)


def as_spectrogram(spectrogram: Any) -> Spectrogram:
    """Return a spectrogram that was given by name, by its settings, or as it is.

    Raises
    ------
    TypeError
        If it is anything else.
    ValueError
        If there is none of this name.

    Examples
    --------
    >>> as_spectrogram("mel").kind
    'mel'
    """
    if isinstance(spectrogram, Spectrogram):
        return spectrogram
    if isinstance(spectrogram, str):
        return Spectrogram(spectrogram)
    if isinstance(spectrogram, Mapping):
        return Spectrogram.from_dict(spectrogram)
    raise TypeError(
        f"spectrogram must be one of {', '.join(map(repr, KINDS))}, a dict of settings or a Spectrogram; got "
        f"{describe_type(spectrogram)}"
    )


def sound_stimuli(
    sounds: Any, rate: float | None, dt_ms: float, spectrogram: Any = "log"
) -> tuple[list[Float[Tensor, "1 F T"]], Spectrogram, list[str]]:
    """Make the spectrograms of all sounds of a recording.

    Parameters
    ----------
    sounds : list, dict or folder
        Sound files (WAV, FLAC, ...) or arrays (T,), (C, T) or (T, C); a dict has their names as keys, and a folder
        stands for the sound files in it. Of several channels the mean is taken.
    rate : float or None
        Sampling rate of arrays in Hz; None for files, which say it themselves.
    dt_ms : float
        Width of a bin in ms.
    spectrogram : str, dict or Spectrogram
        Name of a kind, its settings, or the object.

    Returns
    -------
    stims : list of Tensor
        Per sound (1, F, T_s), with T_s whole bins.
    spectrogram : Spectrogram
        With everything filled in; it makes the same bands of a new sound.
    names : list of str
        Keys of the dict, names of the files without extension, or ``sound 0``, ...

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If a sound is missing or can't be read, has an unclear shape, NaN or too few samples, if the rate is missing or
        in kHz, if all is silent, or a band lies above what the sounds hold.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=44100)
    >>> stims, spectrogram, names = sound_stimuli({"noise": noise}, 44100, dt_ms=5.0)
    >>> stims[0].shape, spectrogram.hop, names
    (torch.Size([1, 34, 200]), 221, ['noise'])
    """
    loaded = read_sounds(sounds, rate)
    stims, resolved = spectrograms_of(loaded, dt_ms, spectrogram)
    return stims, resolved, [sound.name for sound in loaded]


def spectrograms_of(
    sounds: Sequence[Sound], dt_ms: float, spectrogram: Any = "log", before: int = 0, after: int = 0
) -> tuple[list[Float[Tensor, "1 F T"]], Spectrogram]:
    """As :func:`sound_stimuli`, of sounds that were read, with bins of silence before and after each."""
    resolved = as_spectrogram(spectrogram).resolve([sound.fs for sound in sounds], dt_ms)
    levels = [resolved.levels(sound, before, after) for sound in sounds]
    if resolved.reference_db is None:
        resolved = resolved.with_reference(levels)
    return [resolved.compress(level) for level in levels], resolved
