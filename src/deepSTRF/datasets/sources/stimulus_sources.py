"""Stimuli before they are in bins: sounds, movies, pictures and arrays, each with a name.

Only stimuli that a trial shows are read, and the spectrogram of all sounds is made at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepSTRF.checks import check_list, describe_type
from deepSTRF.datasets.sources.binning import signals_in_trials
from deepSTRF.datasets.sources.frames import frames_in_bins
from deepSTRF.datasets.sources.series import in_unit

__all__ = [
    "Frames",
    "Given",
    "Made",
    "Sampled",
    "SoundSource",
    "default_bin_width",
    "floor_of",
    "given_sources",
    "keep_spectrogram",
    "make_stimuli",
    "rate_of",
    "source_of_series",
]

_SOUND_HZ = 1000.0
"""What is sampled slower is no sound, but one or several bands that change in time."""
SOUND_DT_MS = 5.0
STILL_DT_MS = 10.0
"""Bins where the user gives no width: of sounds, and of pictures that stand still; a movie has one bin per frame."""


@dataclass(frozen=True)
class Made:
    """Stimuli in bins: arrays with time last, and the spectrogram that they were made with, if they are sounds."""

    arrays: list[Any]
    spectrogram: Any = None

    @property
    def hop(self) -> int | None:
        """Samples per bin of sounds that stay waveforms (1, T_audio); None for stimuli in bins."""
        return self.spectrogram.hop if getattr(self.spectrogram, "kind", None) == "waveform" else None


class Given:
    """An array that the user gave, in bins already."""

    dt_ms: float | None = None

    def __init__(self, array: Any):
        self.value = array

    def array(self, dt_ms: float) -> Any:
        """The array, as it is."""
        return self.value


class SoundSource:
    """A sound: a file, or samples with their rate."""

    dt_ms: float | None = SOUND_DT_MS

    def __init__(self, name: str, sound: Any, rate: float | None):
        self.name, self.sound, self.rate = name, sound, rate

    def read(self) -> Any:
        """Read it as one channel (:class:`deepSTRF.datasets.sounds.Sound`)."""
        from deepSTRF.datasets.sounds import read_sound

        return read_sound(self.name, self.sound() if callable(self.sound) else self.sound, self.rate)


class Sampled:
    """One or several bands at their own rate, as a contrast or a temperature; from a series of an NWB file."""

    dt_ms: float | None = SOUND_DT_MS

    def __init__(self, series: Any):
        self.series = series

    def array(self, dt_ms: float) -> np.ndarray:
        """Bands (F, T) in bins."""
        values = in_unit(self.series, np.asarray(self.series.data[:], dtype=np.float64))
        rate = rate_of(self.series)
        n_bins = max(int(len(values) / rate * 1000 / dt_ms + 1e-6), 1)
        binned = signals_in_trials(values.reshape(len(values), -1).T, rate, 0.0, [0.0], [0], [n_bins], dt_ms)[0]
        if binned is None or not np.isfinite(binned).all():
            raise ValueError(f"stimulus {self.series.name!r} has missing values, and a stimulus is known at every time")
        return binned[:, 0]


class Frames:
    """Frames of a movie or pictures, some of them in an order of their own.

    Parameters
    ----------
    read : callable
        Gives the frames of a list of indices as an array (T, H, W) or (T, H, W, C).
    order : sequence of int
        Which frames are shown.
    frame_s : float
        How long a frame is shown, in s.
    """

    def __init__(self, read: Any, order: Sequence[int], frame_s: float):
        self.read, self.order, self.frame_s = read, order, frame_s

    @property
    def dt_ms(self) -> float | None:
        """A bin per frame; a picture that stands still has several."""
        return STILL_DT_MS if len(self.order) == 1 else 1000 * self.frame_s

    def array(self, dt_ms: float) -> np.ndarray:
        """The movie (H, W, T) or (C, H, W, T)."""
        return frames_in_bins(self.read(self.order), self.frame_s, dt_ms)


def rate_of(series: Any) -> float:
    """Sampling rate of a series in Hz, of its timestamps where it has no other."""
    if series.rate is not None:
        return float(series.rate)
    times = np.asarray(series.timestamps[:], dtype=np.float64)
    if len(times) < 2:
        raise ValueError(f"stimulus {series.name!r} has one timestamp and no rate; expected a rate, or more samples")
    return float((len(times) - 1) / (times[-1] - times[0]))


def source_of_series(series: Any) -> Any:
    """The source of a TimeSeries in ``stimulus/``: a sound, bands or a movie."""
    from pynwb.image import ImageSeries

    if isinstance(series, ImageSeries):
        if series.external_file is not None or series.data is None or series.data.shape[0] == 0:
            files = ", ".join(map(str, series.external_file[:3])) if series.external_file is not None else "none"
            raise ValueError(
                f"the movie {series.name!r} is not in the file, but outside of it ({files}), and is not read from "
                "there: give it as an array, stims={{series.name!r}: movie}, (H, W, T) with a frame per bin"
            )
        return Frames(lambda order: series.data[: len(order)], range(series.data.shape[0]), 1 / rate_of(series))
    rate = rate_of(series)
    if rate < _SOUND_HZ:
        return Sampled(series)
    return SoundSource(series.name, lambda: _samples(series), rate)


def _samples(series: Any) -> np.ndarray:
    return in_unit(series, np.asarray(series.data[:]))


def given_sources(stims: Any, rate: float | None = None) -> dict[str, Any] | list[Any]:
    """Sources of the stimuli that a user gave; a dict where they have names.

    Sound files, a folder of them, or arrays with a `rate` are sounds; other arrays are stimuli in bins.

    Raises
    ------
    TypeError, ValueError
        If they are neither.
    """
    entries = list(stims.values()) if isinstance(stims, Mapping) else stims
    has_files = isinstance(stims, str | os.PathLike) or (
        isinstance(entries, list | tuple) and any(isinstance(one, str | os.PathLike) for one in entries)
    )
    if has_files or rate is not None:
        from deepSTRF.datasets.sounds import sound_items

        # Files know their rate; a rate beside them is for the arrays among them.
        sources = {
            name: SoundSource(name, sound, None if isinstance(sound, str | os.PathLike) else rate)
            for name, sound in sound_items(stims)
        }
        return sources if has_files or isinstance(stims, Mapping) else list(sources.values())
    if isinstance(stims, Mapping):
        return {str(name): Given(array) for name, array in stims.items()}
    if hasattr(stims, "ndim") and stims.ndim < 2:
        raise TypeError(
            f"stims must be a list or a dict of arrays, one per stimulus, got one {describe_type(stims)[2:]}"
        )
    return [Given(array) for array in check_list("stims", stims, "arrays, one per stimulus, time last; or a dict")]


def make_stimuli(sources: Sequence[Any], dt_ms: float, spectrogram: Any = "log") -> Made:
    """Bring stimuli to bins: sounds become spectrograms, all alike.

    Raises
    ------
    ValueError
        If sounds and other stimuli are mixed.
    """
    sounds = [source for source in sources if isinstance(source, SoundSource)]
    if sounds and len(sounds) < len(sources):
        raise ValueError(
            f"{len(sounds)} of {len(sources)} stimuli are sounds and the others are not; make data sets of each kind"
        )
    if not sounds:
        return Made([source.array(dt_ms) for source in sources])
    from deepSTRF.datasets.spectrograms import spectrograms_of

    arrays, used = spectrograms_of([source.read() for source in sounds], dt_ms, spectrogram)
    return Made(list(arrays), used)


def default_bin_width(sources: Sequence[Any]) -> float:
    """Width of a bin where none was given: that of the stimuli.

    Raises
    ------
    ValueError
        If the stimuli are in bins already, or differ.
    """
    widths = [source.dt_ms for source in sources]
    if None in widths:
        raise ValueError("stims are arrays in bins, and how wide these are only you know: pass dt_ms, in ms")
    if max(widths) - min(widths) > 0.01 * min(widths):
        shown = ", ".join(f"{width:.4g}" for width in sorted(set(widths))[:6])
        raise ValueError(f"the frames of the movies last {shown} ms; pass one width of bins for all, dt_ms")
    return float(np.median(widths))


def floor_of(spectrogram: Any) -> float:
    """What a spectrogram reads in silence; 0 for stimuli without one."""
    is_in_db = getattr(spectrogram, "compression", None) == "db" and spectrogram.kind != "waveform"
    return -spectrogram.range_db if is_in_db else 0.0


def keep_spectrogram(dataset: Any, made: Made) -> None:
    """Note on a data set how its sounds became spectrograms, so that a new sound can."""
    if made.spectrogram is not None:
        dataset.spectrogram = made.spectrogram
        frequencies = made.spectrogram.frequencies_hz
        if frequencies is not None:
            dataset.frequencies_hz = tuple(frequencies.tolist())
