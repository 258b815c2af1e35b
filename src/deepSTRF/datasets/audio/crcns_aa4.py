"""CRCNS AA-4: units of the zebra finch's auditory pallium, and the whole repertoire of its calls and songs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.spike_lines import Cell, HeardSound, chosen, fill, waveforms_or_mel
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.download import Login
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import files_in, find_in, places_of, recording_folder
from deepSTRF.datasets.smoothing import smoother_of_counts
from deepSTRF.datasets.sources.binning import in_double
from deepSTRF.registry import register_dataset

__all__ = ["AA4_ANIMAL_IDS", "CRCNSAA4Dataset", "download_aa4"]

AA4_ANIMAL_IDS: tuple[str, ...] = (
    "BlaBro09xxF",
    "GreBlu9508M",
    "LblBlu2028M",
    "WhiBlu5396M",
    "WhiWhi4522M",
    "YelBlu6903F",
)
"""The six birds; the last letter is the sex."""

_STIMULI = ("song", "call", "mlnoise")
_NO_STIMULI = ("class_info", "extra_info")
_SORTED = {"single": "single", "singl": "single", "multi": "multi"}  # one file has the typing error


def download_aa4(
    dest: str | os.PathLike[str] | None = None,
    animals: str | Sequence[str] = "all",
    username: str | None = None,
    password: str | None = None,
) -> Path:
    """Download CRCNS AA-4, what is not there yet, and return its folder.

    Parameters
    ----------
    dest, username, password
        As of :func:`download_aa1`; the folder is ``default_cache_dir("AA4")`` by default.
    animals : 'all' or sequence of str
        Of :data:`AA4_ANIMAL_IDS`; hundreds of MB each.
    """
    parts = chosen("animals", animals, AA4_ANIMAL_IDS)
    return recording_folder("AA4", dest, download=True, parts=parts, login=Login(username, password))


@register_dataset(RECORDINGS["AA4"].card)
class CRCNSAA4Dataset(AudioNeuralDataset):
    """CRCNS AA-4 [1]_: 1401 units (914 of them single units) of six anaesthetised zebra finches.

    Responses are spike counts per bin from sound onset to the last whole bin of the sound; a trial without spikes
    counts as one. Stimuli that several birds heard are one, told by their MD5 sum. Which area a unit lies in was not
    published, and neither was which electrodes belong to which hemisphere.

    Parameters
    ----------
    path : str or path, optional
        Folder with a folder for each bird, or with its archive. By default ``default_cache_dir("AA4")``.
    animals : 'all' or sequence of str
        Of :data:`AA4_ANIMAL_IDS`. 'all' are those in the folder, or with `download` all six.
    stimuli : sequence of {'song', 'call', 'mlnoise'}
        Which kinds of sounds.
    cache : bool
        As of :class:`NS1Dataset`.
    dt_ms, smooth, n_mels, compression, window_ms, return_waveform, audio_fs, download, username, password
        As of :class:`CRCNSAA1Dataset`; bins are exact, the sounds of 24 414 Hz are resampled to a rate at which they
        are.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message says which, and how to get it.
    ValueError
        If there is no such animal, kind of sounds or compression.
    ImportError
        If h5py is missing: ``pip install 'deepSTRF[recordings]'``.

    References
    ----------
    .. [1] Elie & Theunissen (2019), https://doi.org/10.6080/K00C4T06

    Examples
    --------
    >>> ds = CRCNSAA4Dataset("recordings/aa4", animals=["WhiBlu5396M"], dt_ms=5.0)  # doctest: +SKIP
    """

    behavioral_state = "anesthetized"

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        animals: str | Sequence[str] = "all",
        stimuli: str | Sequence[str] = _STIMULI,
        dt_ms: float = 1.0,
        smooth: bool = True,
        n_mels: int = 32,
        compression: Literal["cubic", "log1p", "none"] = "cubic",
        window_ms: float = 10.0,
        return_waveform: bool = False,
        audio_fs: int = 24000,
        download: bool = False,
        username: str | None = None,
        password: str | None = None,
        *,
        cache: bool = True,
    ) -> None:
        birds, stimuli = chosen("animals", animals, AA4_ANIMAL_IDS), chosen("stimuli", stimuli, _STIMULI)
        made_with = waveforms_or_mel(return_waveform, audio_fs, n_mels, compression, window_ms)
        login = Login(username, password)
        folder = recording_folder("AA4", path, download=download, parts=birds, login=login)
        super().__init__(path=str(folder), dt_ms=float(dt_ms))
        if animals == "all":
            birds = [bird for bird in birds if places_of(folder, bird)] or birds
        sounds: dict[str, HeardSound] = {}
        folders = {bird: find_in(folder, bird, "AA4") for bird in birds}
        cells = (cell for bird, place in folders.items() for cell in _cells(place, bird, stimuli, sounds))
        options = {
            "path": self.path, "dt_ms": self.dt, "stimuli": stimuli, "birds": birds, "made_with": made_with.as_dict(),
            "smooth": bool(smooth),
        }  # fmt: skip
        smoothed = smoother_of_counts(smooth, self.dt)
        fill_cached(
            self, "aa4", folders.values(), options, lambda: fill(self, cells, sounds, made_with, smoothed), cache=cache
        )


def _cells(folder: Path, bird: str, stimuli: Sequence[str], sounds: dict[str, HeardSound]) -> Iterator[Cell]:
    """Units of a bird that were sorted, in the order of their files; adds what they heard to the sounds."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError("files of AA-4 are read by h5py: pip install 'deepSTRF[recordings]'") from error
    waves = _Waves(folder / "wavfiles")
    files = files_in(folder, "*.h5")
    if not files:
        raise FileNotFoundError(f"there is no unit (*.h5) in {folder}; download the recording again")
    for file in files:
        try:
            with h5py.File(file) as unit:
                sorting = _SORTED.get(_text(unit.attrs["sortType"]))
                if sorting is None:  # spikes of the acquisition system, and noise
                    continue
                spikes: dict[str, list[np.ndarray]] = {}
                for stimulus in _stimuli_of(unit):
                    kind, md5 = _text(stimulus.attrs["stim_type"]), _text(stimulus.attrs["stim_md5"])
                    if kind not in stimuli:
                        continue
                    if md5 not in sounds:
                        sounds[md5] = HeardSound(waves.find(stimulus.name, md5), kind)
                    trials = sorted(stimulus, key=lambda trial: (len(trial), trial))
                    spikes.setdefault(md5, []).extend(_times(h5py, stimulus, trial) * 1000 for trial in trials)
                meta = {
                    "cell_id": f"{bird}_{file.stem}",
                    "animal_id": bird,
                    "sex": bird[-1],
                    "site": _plain(unit.attrs["site"]),
                    "electrode": int(_plain(unit.attrs["electrode"])),
                    "ldepth": _plain(unit.attrs["ldepth"]),
                    "rdepth": _plain(unit.attrs["rdepth"]),
                    "sort_type": sorting,
                    "sort_id": _plain(unit.attrs["sortid"]),
                }
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise RecordingError(f"{file} is no unit of AA-4 ({error}); download the recording again") from error
        yield Cell(meta, spikes)


def _stimuli_of(unit: Any) -> Iterator[Any]:
    for name, group in unit.items():
        if name not in _NO_STIMULI:
            yield from group.values()


def _times(h5py: Any, stimulus: Any, trial: str) -> np.ndarray:
    """Spike times of a trial in s; a trial without spikes may hold an empty or a NaN array.

    There are millions of trials, and the objects of h5py for each would take most of the time.
    """
    data = h5py.h5d.open(stimulus.id, f"{trial}/spike_times".encode())
    times = np.empty(0 if data.shape is None else data.shape, np.float32 if data.dtype == np.float32 else np.float64)
    if times.size:
        data.read(h5py.h5s.ALL, h5py.h5s.ALL, times)
    return in_double(times[np.isfinite(times)])


def _text(value: Any) -> str:
    return str(_plain(value))


def _plain(value: Any) -> Any:
    """A number or a text of an attribute, which may also be an array with that one."""
    (entry,) = np.ravel(value)
    return entry.decode() if isinstance(entry, bytes) else entry if isinstance(entry, str) else entry.item()


class _Waves:
    """The sound files of a bird: by the number in the name of a stimulus, or else by the MD5 sum of the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {int(m[1]): file for file in folder.glob("*.wav") if (m := re.fullmatch(r"stim(\d+)", file.stem))}
        self.by_md5: dict[str, Path] = {}

    def find(self, stimulus: str, md5: str) -> Path:
        number = re.search(r"(\d+)$", stimulus)
        if number and int(number[1]) in self.files:
            return self.files[int(number[1])]
        if not self.by_md5:
            self.by_md5 = {
                hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest(): file for file in self.files.values()
            }
        if md5 not in self.by_md5:
            raise FileNotFoundError(
                f"the sound of {stimulus} (MD5 {md5}) is missing in {self.folder}; download it again"
            )
        return self.by_md5[md5]
