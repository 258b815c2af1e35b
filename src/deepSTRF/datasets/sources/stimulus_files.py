"""The stimuli of a folder: which files they are, how they are called, and what is known of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deepSTRF.checks import unknown_name
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.sounds import SOUND_SUFFIXES
from deepSTRF.datasets.sources.recording_toml import FILE_NAME, Settings, read_settings
from deepSTRF.datasets.sources.tables import MetadataTable, read_metadata
from deepSTRF.files import AnyPath, expand_path

__all__ = [
    "STIMULI",
    "Overview",
    "find_stimulus",
    "natural_order",
    "read_overview",
    "read_stimulus_table",
    "stimulus_files",
]

STIMULI = "stimuli"  # a folder, and with .csv its table

_IGNORED = (".txt", ".md", ".csv", ".json", ".toml", ".ini", ".db")


class Overview(NamedTuple):
    """A folder, its ``recording.toml``, and the file of each stimulus; nothing of what was recorded."""

    folder: Path
    settings: Settings
    files: dict[str, Path]


def read_overview(path: AnyPath) -> Overview:
    """Read what says of which kind the recording in a folder is.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If the folder, its ``recording.toml`` or its stimuli are not there.
    RecordingError
        If ``recording.toml`` is wrong, or a file is no stimulus.
    """
    folder = expand_path(path)
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; expected the folder of a recording, with {FILE_NAME} in it")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    return Overview(folder, read_settings(folder / FILE_NAME), stimulus_files(folder / STIMULI))


def find_stimulus(name: str, files: Mapping[str, Path]) -> str | None:
    """The stimulus that is called `name`, with or without the extension of its file.

    An "ö" may be one character or two: file systems of Apple write the names of files with two, most programs one.
    """
    if name in files:
        return name
    composed = unicodedata.normalize("NFC", name)
    stem, _, suffix = composed.rpartition(".")
    for own, path in files.items():
        known = unicodedata.normalize("NFC", own)
        if known == composed or (known == stem and path.suffix.lower() == f".{suffix.lower()}"):
            return own
    return None


def stimulus_files(folder: Path) -> dict[str, Path]:
    """Sound files or arrays in a folder by name, in natural order.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    RecordingError
        If it is empty, or holds anything else.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} with the stimuli, as sound files or arrays (.npy)")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural_order(path.name)):
        suffix = path.suffix.lower()
        if path.name.startswith(".") or path.is_dir() or suffix in _IGNORED:
            continue
        if suffix != ".npy" and suffix not in SOUND_SUFFIXES:
            raise RecordingError(
                f"{path} is no stimulus: expected sound files ({', '.join(SOUND_SUFFIXES)}), or spectrograms or movies "
                "saved with numpy.save (.npy)"
            )
        if path.stem in files:
            raise RecordingError(f"{path} and {files[path.stem].name} are two stimuli of one name; rename one of them")
        files[path.stem] = path
    if not files:
        raise RecordingError(f"{folder} is empty: expected a sound file or an array (.npy) per stimulus")
    kinds = {path.suffix.lower() == ".npy" for path in files.values()}
    if len(kinds) > 1:
        raise RecordingError(f"{folder} holds both sound files and arrays (.npy); keep the ones or the others")
    return files


def read_stimulus_table(path: Path, files: Mapping[str, Path]) -> MetadataTable:
    """Read ``stimuli.csv``, or take the names of the files where there is none.

    Raises
    ------
    RecordingError
        If it has no row for a file, or a row without one.
    """
    if not path.is_file():
        return MetadataTable(list(files), [{"name": name} for name in files], [])
    table = read_metadata(path, "stimulus", "name")
    ids = []
    for written, line in zip(table.ids, table.lines, strict=True):
        known = find_stimulus(written, files)
        if known is None:
            raise RecordingError(
                f"{path}, line {line}: there is no file of this name in {STIMULI}/: "
                f"{unknown_name('stimulus', written, files)}"
            )
        ids.append(known)
    for name, file in files.items():
        if name not in ids:
            raise RecordingError(f"{path} has no row for {STIMULI}/{file.name}; add one, or move the file away")
    return MetadataTable(ids, table.entries, table.lines)


def natural_order(name: str) -> list[Any]:
    """Sort key for which song2 comes before song10."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", name)] + [
        (0, name)
    ]
