"""The text files of the Theunissen laboratory at CRCNS: for every cell a folder, one line of spike times per trial."""

from __future__ import annotations

import inspect
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_choice, first_few
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.release_tables import read_text
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.download import Login
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import recording_folder
from deepSTRF.datasets.smoothing import smoother_of_counts
from deepSTRF.datasets.sounds import Sound, read_sounds
from deepSTRF.datasets.sources.binning import count_joined
from deepSTRF.datasets.spectrograms import Spectrogram, spectrograms_of

__all__ = [
    "Cell",
    "HeardSound",
    "SpikeLineDataset",
    "chosen",
    "fill",
    "read_cell",
    "read_sound_of",
    "warn_of_missing_sounds",
    "waveforms_or_mel",
]

COMPRESSIONS: dict[str, str | float] = {"cubic": 2 / 3, "log1p": "log1p", "none": 2.0}
"""Of power: its cube root is the amplitude to the power of 2/3."""

_REMEDY = "download the recording again"
_UNREADABLE = f"{{}} can't be read ({{}}); {_REMEDY}"
_MISSING = torch.full((1, 1), torch.nan)


class HeardSound(NamedTuple):
    """A sound file, and the class that the experimenters put it into."""

    file: Path
    type: str


class Cell(NamedTuple):
    """What is known about a cell, and its spike times in ms by the name of the sound, one array per trial."""

    meta: dict[str, Any]
    spikes_ms: dict[str, list[np.ndarray]]


class SpikeLineDataset(AudioNeuralDataset):
    """Base of the recordings with a folder per cell, in it one for each class of stimuli, in it lines of spike times.

    For the parameters see :class:`CRCNSAA1Dataset`; a subclass has ``behavioral_state``, the key of its recording, the
    areas (and parts of them) and classes of stimuli that can be chosen, and finds cells and sounds in the folder.
    """

    behavioral_state = "anesthetized"
    _recording: ClassVar[str]
    _areas: ClassVar[tuple[str, ...]]
    _parts: ClassVar[tuple[str, ...]] = ()
    _stimuli: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Show the areas and stimuli that there are as what is read by default; 'all' is short for them."""
        super().__init_subclass__(**options)
        if "_recording" in vars(cls):
            _, *parameters = inspect.signature(SpikeLineDataset.__init__).parameters.values()
            shown: dict[str, Any] = {"areas": cls._areas, "stimuli": cls._stimuli}
            own = [one.replace(default=shown.get(one.name, one.default)) for one in parameters]
            cls.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        areas: str | Sequence[str] = "all",
        stimuli: str | Sequence[str] = "all",
        animals: str | Sequence[str] = "all",
        dt_ms: float = 1.0,
        smooth: bool = True,
        n_mels: int = 32,
        compression: Literal["cubic", "log1p", "none"] = "cubic",
        window_ms: float = 10.0,
        return_waveform: bool = False,
        audio_fs: int = 32000,
        download: bool = False,
        username: str | None = None,
        password: str | None = None,
        *,
        cache: bool = True,
    ) -> None:
        known = (*self._areas, *self._parts)
        areas, stimuli = chosen("areas", areas, known), chosen("stimuli", stimuli, self._stimuli)
        made_with = waveforms_or_mel(return_waveform, audio_fs, n_mels, compression, window_ms)
        folder = recording_folder(self._recording, path, download=download, login=Login(username, password))
        super().__init__(path=str(folder), dt_ms=float(dt_ms))
        every = list(self._places(folder, areas))
        birds = chosen("animals", animals, sorted({meta["animal_id"] for _, meta in every}))
        places = [(place, meta) for place, meta in every if meta["animal_id"] in birds]
        sounds = self._sounds(folder, stimuli)
        cells = (
            Cell(meta, read_cell(place / kind for kind in stimuli if (place / kind).is_dir())) for place, meta in places
        )
        options = {
            "path": self.path, "dt_ms": self.dt, "smooth": bool(smooth), "made_with": made_with.as_dict(),
            "cells": [meta for _, meta in places], "sounds": {name: sound.type for name, sound in sounds.items()},
            "stimuli": stimuli,
        }  # fmt: skip
        files = [*(place for place, _ in places), *sorted({sound.file.parent for sound in sounds.values()})]
        smoothed = smoother_of_counts(smooth, self.dt, stacklevel=3)
        kind = self._recording.lower()
        fill_cached(self, kind, files, options, lambda: fill(self, cells, sounds, made_with, smoothed), cache=cache)

    @abstractmethod
    def _places(self, folder: Path, areas: Sequence[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Folder and metadata of every cell in these areas."""

    @abstractmethod
    def _sounds(self, folder: Path, stimuli: Sequence[str]) -> dict[str, HeardSound]:
        """The sounds of these classes, by the names that the cells use."""


def chosen(name: str, values: str | Iterable[str], known: Iterable[str]) -> list[str]:
    """A choice of some of the known names, given as one, as several, or as 'all'."""
    known = list(known)
    asked = [values] if isinstance(values, str) else list(values)
    if asked == ["all"]:
        return known
    return [check_choice(name, value, known) for value in asked]


def read_cell(folders: Iterable[Path]) -> dict[str, list[np.ndarray]]:
    """Spike times of a cell in ms, from its ``stim<k>`` (the name of a sound) and ``spike<k>`` (a line per trial).

    A stimulus without spike file, or with an empty one, was not recorded. A blank line is a trial without spikes.

    Raises
    ------
    RecordingError
        If a file names no sound, or holds something else than numbers, or if it is not known what was heard.
    """
    spikes: dict[str, list[np.ndarray]] = {}
    for folder in folders:
        for times in folder.glob("spike[0-9]*"):
            stimulus = times.with_name(f"stim{times.name.removeprefix('spike')}")
            if not stimulus.exists():
                raise RecordingError(f"{stimulus}, which says what was heard, is missing; {_REMEDY}")
        for stimulus in sorted(folder.glob("stim*"), key=lambda file: (len(file.name), file.name)):
            times = folder / f"spike{stimulus.name.removeprefix('stim')}"
            if not times.exists() or times.stat().st_size == 0:
                continue
            sound = read_text(stimulus).strip()
            if not sound or "\n" in sound:
                raise RecordingError(f"{stimulus}: expected one line, the name of a sound file; got {sound[:80]!r}")
            try:
                trials = [np.array(line.split(), dtype=float) for line in read_text(times).splitlines()]
            except RecordingError:
                raise
            except ValueError as error:
                raise RecordingError(f"{times}: expected spike times in ms, one line per trial ({error})") from error
            if any(not np.isfinite(trial).all() for trial in trials):
                raise RecordingError(f"{times}: expected finite spike times in ms, one line per trial")
            spikes.setdefault(sound, []).extend(trials)
    return spikes


def waveforms_or_mel(
    return_waveform: bool, audio_fs: int, n_mels: int, compression: str, window_ms: float
) -> Spectrogram:
    """What becomes of the sounds: waveforms at `audio_fs`, or a mel spectrogram from 250 Hz to 8 kHz.

    Raises
    ------
    ValueError
        If there is no such compression, or a number is out of range.
    """
    power = COMPRESSIONS[check_choice("compression", compression, tuple(COMPRESSIONS))]
    if return_waveform:
        return Spectrogram("waveform", n_mels, fs=audio_fs)
    return Spectrogram("mel", n_mels, low_hz=250.0, high_hz=8000.0, window_ms=window_ms, compression=power)


def fill(
    dataset: AudioNeuralDataset,
    cells: Iterable[Cell],
    sounds: Mapping[str, HeardSound],
    spectrogram: Spectrogram,
    smoothed: Callable[[Tensor], Tensor],
) -> None:
    """Fill a data set with the cells that heard some of the sounds, and the sounds that some cell heard.

    Parameters
    ----------
    dataset : AudioNeuralDataset
        An empty one, with ``dt``.
    cells : iterable of Cell
        The population.
    sounds : dict of str to HeardSound
        Those to load, by the names that the cells use; going through the cells may add some.
    spectrogram : Spectrogram
        What becomes of them, of :func:`waveforms_or_mel`.
    smoothed : callable
        What becomes of the counts of a cell and a sound; see
        :func:`~deepSTRF.datasets.smoothing.smoother_of_counts`.

    Raises
    ------
    RecordingError
        If a sound can't be read, or no cell heard any.

    Warns
    -----
    UserWarning
        If cells heard other sounds: the responses to them are left out.
    """
    described: dict[str, dict[str, Any]] = {}
    kept, missing = [], set[str]()
    for cell in cells:
        missing.update(name for name in cell.spikes_ms if name not in sounds)
        if (heard := _Heard(cell, sounds, described)).place:
            kept.append(heard)
    names = [name for name in sounds if any(name in cell.place for cell in kept)]
    if not names:
        raise RecordingError(
            f"no chosen cell in {dataset.path} heard one of {len(sounds)} chosen sounds; choose others, or {_REMEDY}"
        )
    warn_of_missing_sounds(dataset.path, missing)
    loaded = [read_sound_of(name, sounds[name].file) for name in names]
    dataset.stims, dataset.spectrogram = spectrograms_of(loaded, dataset.dt, spectrogram)
    return_waveform = spectrogram.kind == "waveform"
    hop = dataset.spectrogram.hop if return_waveform else 1
    n_bins = [stim.shape[-1] // hop for stim in dataset.stims]
    rows = (
        [smoothed(cell.counts(name, bins, dataset.dt)) for cell in kept]
        for name, bins in zip(names, n_bins, strict=True)
    )
    dataset.responses = PackedResponses(rows, len(kept))  # one stimulus at a time, so that nothing is held twice
    dataset.stim_meta = [described[name] for name in names]
    dataset.nrn_meta = [cell.meta for cell in kept]
    dataset.N_neurons = len(kept)
    dataset.return_waveform = return_waveform
    dataset.audio_fs = round(spectrogram.fs or 0) if return_waveform else None
    dataset.F = spectrogram.n_bands
    dataset.frequencies_hz = None if return_waveform else dataset.spectrogram.frequencies_hz
    dataset.hearing_range_hz = (250.0, 8000.0)
    dataset.validate()


def warn_of_missing_sounds(folder: str | os.PathLike[str], names: Collection[str]) -> None:
    """Say which sounds cells heard that are not there, if any."""
    if names:
        missing = first_few(sorted(names))
        warnings.warn(f"{folder} lacks sounds; responses to them are left out: {missing}", stacklevel=2)


class _Heard:
    """The spikes of a cell while it heard some sounds, in few arrays: one array per trial takes many times that.

    Parameters
    ----------
    cell : Cell
        The cell.
    sounds : dict of str to HeardSound
        The sounds that count.
    described : dict of str to dict
        Metadata of the sounds, which is added where a sound is new.
    """

    def __init__(self, cell: Cell, sounds: Mapping[str, HeardSound], described: dict[str, dict[str, Any]]) -> None:
        self.meta = cell.meta
        names = [name for name, trials in cell.spikes_ms.items() if name in sounds and trials]
        self.place = {name: place for place, name in enumerate(names)}
        times, repeats = [], []
        for name in names:
            if name not in described:
                described[name] = _describe(name, sounds[name])
            trials = cell.spikes_ms[name]
            seconds = np.concatenate(trials) / 1000
            repeat = np.repeat(np.arange(len(trials), dtype=np.int32), [len(trial) for trial in trials])
            during = (seconds > -1e-3) & (seconds < described[name]["duration_s"] + 1)  # with slack: bins decide
            times.append(seconds[during])
            repeats.append(repeat[during])
        self.n_trials = [len(cell.spikes_ms[name]) for name in names]
        self.ends = np.cumsum([0, *map(len, times)])
        self.times, self.repeats = (np.concatenate(parts) if names else np.empty(0) for parts in (times, repeats))

    def counts(self, name: str, n_bins: int, dt_ms: float) -> Float[Tensor, "R T"]:
        """Spike counts of the trials with one sound; one NaN where the cell did not hear it."""
        place = self.place.get(name)
        if place is None:
            return _MISSING
        own = slice(self.ends[place], self.ends[place + 1])
        return torch.from_numpy(count_joined(self.times[own], self.repeats[own], self.n_trials[place], n_bins, dt_ms))


def read_sound_of(name: str, file: Path) -> Sound:
    """A sound of a recording; raises RecordingError where it can't be read."""
    try:
        return read_sounds({name: file})[0]
    except (ValueError, FileNotFoundError) as error:
        raise RecordingError(_UNREADABLE.format(file, error)) from error


def _describe(name: str, sound: HeardSound) -> dict[str, Any]:
    try:
        info = soundfile.info(str(sound.file))
    except soundfile.SoundFileError as error:
        raise RecordingError(_UNREADABLE.format(sound.file, error)) from error
    return {
        "name": name,
        "type": sound.type,
        "sample_rate": info.samplerate,
        "n_samples": info.frames,
        "duration_s": info.frames / info.samplerate,
    }
