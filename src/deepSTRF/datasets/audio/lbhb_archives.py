"""The archives of the Laboratory of Brain, Hearing and Behavior: for every site a .tgz of signals and their epochs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import files_in
from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.datasets.sound_files import load_resampled_mono_wav
from deepSTRF.datasets.sources.binning import count_in_repeats, in_double

__all__ = [
    "Epoch",
    "SiteArchive",
    "SoundsOfEpochs",
    "find_archives",
    "parts_of_cell_id",
    "scale_to_unit",
]

# -A, -B: one of two probes; -a1: electrode and unit of recordings with few electrodes
_CELL_ID = re.compile(r"([A-Za-z]{3})\w*?(?:-[A-Z])?-(?:(\w+)-|([a-z]))(\w+)")


class Epoch(NamedTuple):
    """A named interval of a recording, in s."""

    name: str
    start: float
    end: float


class SiteArchive:
    """One ``.tgz`` as published, or the folder that it was unpacked to.

    Parameters
    ----------
    path : Path
        The file or the folder.

    Raises
    ------
    RecordingError
        By every method, if something is missing or can't be read; the message names the archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def session(self) -> str:
        """Name of the recording: that of the file up to the hash."""
        return self.path.name.removesuffix(".tgz").rsplit("_", 1)[0]

    @cached_property
    def _members(self) -> dict[str, bytes]:
        """Contents by the last two parts of their names, such as ``resp.h5``."""
        found: dict[str, bytes] = {}
        try:
            if self.path.is_dir():
                return {_kind(file.name): file.read_bytes() for file in files_in(self.path, "**/*")}
            with tarfile.open(self.path) as archive:
                for member in archive:
                    name = Path(member.name).name
                    content = archive.extractfile(member) if member.isfile() and name[0] != "." else None
                    if content is not None:
                        found[_kind(name)] = content.read()
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            reason = str(error).split("\n")[0].rstrip(":")  # tarfile goes on with every kind of compression
            raise self._error(f"can't be read ({reason})") from error
        return found

    def has(self, kind: str) -> bool:
        """Whether there is such a file, ``resp.h5``."""
        return kind in self._members

    def read(self, kind: str) -> bytes:
        """Content of a file, ``resp.h5``."""
        if kind not in self._members:
            raise self._error(f"has no file *.{kind}; it has {', '.join(sorted(self._members)) or 'none'}")
        return self._members[kind]

    @cached_property
    def epochs(self) -> list[Epoch]:
        """All epochs, in the order of the file."""
        content = self.read("resp.epoch.csv")
        try:
            rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if row]
            header = [entry.strip().lower() for entry in rows[0]]
            columns = [header.index(name) for name in ("name", "start", "end")] if "name" in header else [0, 1, 2]
            found = [
                Epoch(row[columns[0]], float(row[columns[1]]), float(row[columns[2]]))
                for row in rows["name" in header :]
            ]
        except (IndexError, ValueError) as error:
            raise self._error(f"has epochs without name, start and end ({error})") from error
        if wrong := [one.name for one in found if one.name.startswith("STIM_") and not math.isfinite(one.start)]:
            raise self._error(f"has an epoch without a beginning, {wrong[0]}")
        return found

    @cached_property
    def presentations(self) -> dict[str, list[Epoch]]:
        """Epochs of every stimulus by its name, ``STIM_...``, in the order in which they were presented first."""
        found: dict[str, list[Epoch]] = {}
        for epoch in self.epochs:
            if epoch.name.startswith("STIM_"):
                found.setdefault(epoch.name, []).append(epoch)
        return found

    @cached_property
    def cell_ids(self) -> list[str]:
        """Names of the cells, as the description of the responses lists them."""
        content = self.read("resp.json")
        try:
            names = [str(name) for name in json.loads(content)["chans"]]
        except (ValueError, KeyError, TypeError) as error:
            raise self._error(f"has no list of cells ({error!r})") from error
        if twice := [name for name in names if names.count(name) > 1]:
            raise self._error(f"lists the cell {twice[0]} more than once")
        return names

    @cached_property
    def spikes_s(self) -> dict[str, np.ndarray]:
        """Spike times of every cell in s."""
        return {name: np.sort(in_double(times).ravel()) for name, times in self._arrays("resp.h5").items()}

    @cached_property
    def _binned(self) -> dict[str, np.ndarray] | None:
        """Responses of every cell by bin, of the few recordings that have no spike times."""
        if self.has("resp.h5"):
            return None
        table = self.table("resp.csv")
        if table.shape[1] != len(self.cell_ids):
            raise self._error(f"has {table.shape[1]} columns of responses for {len(self.cell_ids)} cells")
        return dict(zip(self.cell_ids, table.T, strict=True))

    def keep_responses(self) -> None:
        """Read epochs and responses, and let go of the contents of the files."""
        _ = self.presentations, self.spikes_s if self._binned is None else None
        self.__dict__.pop("_members", None)

    def stimuli(self, n_bands: int, dt_ms: float) -> dict[str, Float[np.ndarray, "F T"]]:
        """Spectrograms of all stimuli that were presented, by the names of their epochs, in that order."""
        if self.has("stim.h5"):
            arrays = self._arrays("stim.h5")
        else:
            table = self.table("stim.csv").T
            arrays = {name: table[:, _bins(epochs[0], dt_ms)] for name, epochs in self.presentations.items()}
        for name in self.presentations:
            stim = arrays.get(name)
            if stim is None:
                raise self._error(f"has no spectrogram of {name}")
            if stim.ndim != 2 or stim.shape[0] != n_bands or not stim.size or not np.isfinite(stim).all():
                raise self._error(f"has a spectrogram of {name} that is not {n_bands} bands of numbers: {stim.shape}")
        return {name: arrays[name].astype(np.float32) for name in self.presentations}

    def table(self, kind: str) -> Float[np.ndarray, "T columns"]:
        """Numbers of a file without header, ``stim.csv``; empty entries are NaN."""
        content = self.read(kind)
        try:
            for entry in content.split(b"\n", 1)[0].split(b","):  # a header would move everything by a bin
                float(entry.strip() or "nan")
            return np.genfromtxt(io.BytesIO(content), delimiter=",", dtype=np.float32, ndmin=2)
        except ValueError as error:
            raise self._error(f"has no table of numbers in *.{kind} ({error})") from error

    def counts(self, cell: str, epochs: Sequence[Epoch], n_bins: int, dt_ms: float) -> Float[Tensor, "R T"]:
        """Spike counts of a cell from the beginning of each of some epochs; NaN after the end of the recording."""
        if self._binned is not None:
            counts = torch.full((len(epochs), n_bins), torch.nan)
            for row, epoch in zip(counts, epochs, strict=True):
                first = _bins(epoch, dt_ms).start
                binned = self._binned[cell][first : first + n_bins]
                row[: len(binned)] = torch.from_numpy(binned.copy())
            return counts
        if cell not in self.spikes_s:
            raise self._error(f"has no spike times of {cell}")
        times = self.spikes_s[cell]
        repeats = []
        for epoch in epochs:
            first, last = np.searchsorted(
                times, (epoch.start - dt_ms / 1000, epoch.start + (n_bins + 1) * dt_ms / 1000)
            )
            repeats.append(times[first:last] - epoch.start)
        return torch.from_numpy(count_in_repeats(repeats, 0.0, n_bins, dt_ms))

    def block(
        self, cells: Sequence[str], epochs: Sequence[Epoch], n_bins: int, dt_ms: float, first: int = 0
    ) -> ResponseBlock:
        """Spike counts of several cells, which are neurons `first`, `first` + 1, ... of the population."""
        values = torch.stack([self.counts(cell, epochs, n_bins, dt_ms) for cell in cells])
        return ResponseBlock(values, first + np.arange(len(cells)), np.full(len(cells), len(epochs)))

    def _arrays(self, kind: str) -> dict[str, np.ndarray]:
        try:
            import h5py
        except ImportError as error:
            raise ImportError("this recording is read by h5py: pip install 'deepSTRF[recordings]'") from error
        content = self.read(kind)
        try:
            with h5py.File(io.BytesIO(content)) as file:
                return {name: np.asarray(data) for name, data in file.items()}
        except (OSError, TypeError, ValueError, KeyError) as error:
            raise self._error(f"has a *.{kind} that can't be read ({error})") from error

    def _error(self, what: str) -> RecordingError:
        return RecordingError(f"{self.path} {what}; download it again")


def _bins(epoch: Epoch, dt_ms: float) -> slice:
    """The bins of an epoch in a recording that was binned from its beginning."""
    return slice(round(epoch.start * 1000 / dt_ms), round(epoch.end * 1000 / dt_ms))


def _kind(name: str) -> str:
    """``resp.epoch.csv`` of ``chn002h.resp.epoch.csv``."""
    match = re.search(r"(?:^|\.)((?:resp|stim|mask_est|meta)\b.*)$", name)
    return match[1] if match else name


def find_archives(folder: Path) -> Iterator[SiteArchive]:
    """The archives of a folder, packed or unpacked, by name; one that is both is read from its folder.

    An iterator, since an archive keeps what it read for as long as it is referred to.
    """
    names = {path.name.removesuffix(".tgz"): path for path in files_in(folder, "*.tgz")}
    names |= {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."}
    if not names:
        raise FileNotFoundError(f"there is no archive (*.tgz) in {folder}; download the recording again")
    return (SiteArchive(names[name]) for name in sorted(names))


def parts_of_cell_id(cell_id: str) -> dict[str, Any]:
    """Animal, electrode and unit, from an id such as ``AMT003c-11-1`` or ``por020a-a1``; None for other forms."""
    match = _CELL_ID.fullmatch(cell_id)
    animal, number, letter, unit = match.groups() if match else (None, None, None, None)
    electrode = number or letter
    return {
        "site": cell_id.split("-")[0],
        "animal": animal,
        "electrode": int(electrode) if electrode and electrode.isdigit() else electrode,
        "unit_in_electrode": int(unit) if unit and unit.isdigit() else unit,
    }


def scale_to_unit(stims: Mapping[str, np.ndarray], of: Sequence[str]) -> dict[str, Float[np.ndarray, "F T"]]:
    """Scale spectrograms so that some of them, those for estimation, lie between 0 and 1.

    Parameters
    ----------
    stims : dict of str to array, (F, T)
        All spectrograms.
    of : sequence of str
        Whose least and greatest value become 0 and 1.
    """
    low = np.min([stims[name].min() for name in of])
    high = np.max([stims[name].max() for name in of])
    width = high - low if high > low else 1
    return {name: ((stim - low) / width).astype(np.float32) for name, stim in stims.items()}


class SoundsOfEpochs:
    """The sound files of a folder as waveforms, with the silence that the epochs begin and end with.

    Parameters
    ----------
    folder : Path
        WAV files, named as the epochs without ``STIM_``; case doesn't matter.
    fs : int
        Sampling rate of the waveforms in Hz.
    lead_ms : float
        Silence before the sound in ms.
    how : str
        How to get a sound that is missing, for the message.
    """

    def __init__(self, folder: Path, fs: int, lead_ms: float, how: str = "download the recording again") -> None:
        self.folder, self.fs, self.lead, self.how = folder, fs, round(lead_ms / 1000 * fs), how
        self.files = {file.name.lower(): file for file in files_in(folder, "**/*") if file.suffix.lower() == ".wav"}
        self._read: dict[tuple[str, int], Tensor] = {}

    def waveform(self, name: str, n_samples: int, tail: int = 0) -> Float[Tensor, "1 n_samples"]:
        """The sound of an epoch; sessions that presented the same share it.

        Parameters
        ----------
        name : str
            Name of the epoch.
        n_samples : int
            Length with its silences.
        tail : int
            Samples of silence after the sound, where the file goes on longer than it was presented.

        Raises
        ------
        FileNotFoundError
            If there is no such sound.
        RecordingError
            If its file can't be read.
        """
        if (name, n_samples) not in self._read:
            wanted = name.removeprefix("STIM_").lower()
            file = self.files.get(wanted) or self.files.get(f"{wanted}.wav")
            if file is None:
                raise FileNotFoundError(f"the sound of {name} is not in {self.folder}; {self.how}")
            room = max(n_samples - self.lead, 0)
            try:
                sound = load_resampled_mono_wav(file, self.fs)[:, : max(room - tail, 0)]
            except ValueError as error:
                raise RecordingError(f"{file} can't be read ({error}); download the recording again") from error
            lead = n_samples - room
            padded = torch.nn.functional.pad(sound, (lead, room - sound.shape[1]))
            self._read[name, n_samples] = padded
        return self._read[name, n_samples]
