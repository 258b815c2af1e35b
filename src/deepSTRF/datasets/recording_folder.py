"""The folder of a public recording: fetched, unpacked, and with its terms said once.

The constructor of a class for a public recording calls :func:`recording_folder` once, and :func:`find_in` for what lies
in it. Which files there are, and where, is in :data:`~deepSTRF.datasets.public_recordings.RECORDINGS`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from deepSTRF.checks import unknown_name
from deepSTRF.datasets.archives import untar, unzip
from deepSTRF.datasets.download import Login, RemoteFile, default_cache_dir, fetch_file, locked_folder
from deepSTRF.datasets.http_download import say
from deepSTRF.datasets.public_recordings import RECORDINGS, PublicRecording
from deepSTRF.files import expand_path
from deepSTRF.registry import UnknownNameError

__all__ = ["files_here", "files_in", "find_in", "find_recording", "how_to_get", "places_of", "recording_folder"]

_DEEPEST = 4  # folders in folders that an archive, or the user, may have put a file into
_NOT_THEIRS = (".", "__MACOSX")  # folders of the operating system
_said: set[str] = set()


def recording_folder(
    name: str,
    path: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    parts: Iterable[str] = (),
    login: Login | None = None,
    progress: bool = True,
) -> Path:
    """Return the folder of a public recording, with its archives unpacked.

    On first use on this machine its licence and citation are printed on stderr.

    Parameters
    ----------
    name : str
        A key of :data:`~deepSTRF.datasets.public_recordings.RECORDINGS`.
    path : str or path, optional
        The folder, by default ``default_cache_dir(name)``.
    download : bool
        Make the folder, fetch the files that are not there, and check those that are. Two processes that download
        into the same folder take turns.
    parts : iterable of str
        Which files are needed besides those that everybody needs: values of ``RemoteFile.part``.
    login : Login, optional
        For CRCNS, by default from the environment.
    progress : bool
        Say on stderr what is fetched, on a terminal with a progress bar.

    Returns
    -------
    Path
        The folder. Without `download` nothing says that the files are in it: :func:`find_in` does.

    Raises
    ------
    UnknownNameError
        If there is no such recording (a KeyError).
    ValueError
        If it has no such part.
    FileNotFoundError, NotADirectoryError
        If there is no such folder and `download` is off; the message says how to get it.
    RecordingError
        If a file can't be fetched, checked or unpacked.

    Examples
    --------
    >>> folder = recording_folder("NAT4", download=True, parts=["A1"])  # doctest: +SKIP
    """
    recording = find_recording(name)
    wanted = _wanted(recording, parts)
    folder = default_cache_dir(name) if path is None else expand_path(path)
    if not download:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"{folder} is a file; give the folder that it lies in, {folder.parent}, as path or --data: archives "
                "are unpacked there"
            )
        if not folder.is_dir():
            raise FileNotFoundError(f"the folder {folder} does not exist; {how_to_get(recording)}")
    _say_terms(recording)
    is_missing = download and not all(_is_here(file, folder) for file in wanted)
    fills = is_missing or any(_to_unpack(file, folder) for file in wanted)
    with locked_folder(folder) if fills else contextlib.nullcontext():  # a complete folder may be read-only
        for file in wanted:
            if download and ((folder / file.name).exists() or not _is_here(file, folder)):
                fetch_file(file, folder, login=login, progress=progress)
            for archive in _to_unpack(file, folder):
                _unpack(archive)
    return folder


def find_in(folder: Path, name: str, recording: str) -> Path:
    """Return the file or folder `name` in the folder of a recording, however deep its archive put it.

    Parameters
    ----------
    folder : Path
        What :func:`recording_folder` returned.
    name : str
        A name, or several with slashes between: ``"asari/Stimuli"``.
    recording : str
        The key in :data:`~deepSTRF.datasets.public_recordings.RECORDINGS`, for the message.

    Raises
    ------
    FileNotFoundError
        If it is nowhere, or in more than one place equally deep; the message says how to get the recording.
    """
    found = places_of(folder, name)
    if len(found) == 1:
        place = found[0]
        while (place / place.name).is_dir() and len(os.listdir(place)) == 1:  # an archive with a folder of its own name
            place = place / place.name
        return place
    if found:
        raise FileNotFoundError(f"{name} is in {folder} more than once: {', '.join(map(str, found))}; keep one of them")
    raise FileNotFoundError(f"{name} is missing in {folder}; {how_to_get(find_recording(recording))}")


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Return the files that fit, by name: ``"*.wav"``, or ``"**/*.nwb"`` for those in folders too.

    Names that begin with a dot are left out: macOS puts a ``._x.wav`` beside ``x.wav`` on other disks and in archives.
    """
    return sorted(file for file in folder.glob(pattern) if file.is_file() and not file.name.startswith("."))


def find_recording(name: str) -> PublicRecording:
    """Return the entry of the registry, or raise UnknownNameError (a KeyError) with the names that there are."""
    if name not in RECORDINGS:
        raise UnknownNameError(unknown_name("recording", name, RECORDINGS))
    return RECORDINGS[name]


def files_here(recording: PublicRecording, folder: Path) -> dict[str, bool]:
    """Which files of a recording are in a folder, packed or unpacked."""
    return {file.name: _is_here(file, folder) for file in recording.files}


def how_to_get(recording: PublicRecording) -> str:
    """One sentence: how to get the files."""
    by_hand = f"or download its files from {recording.page} into one folder and give it as path (deepstrf: --data)"
    account = (
        ", with CRCNS_USERNAME and CRCNS_PASSWORD set to those of a free account," if recording.needs_login else ""
    )
    arguments = " (--read NAME=VALUE for what you need of it)" if any(file.part for file in recording.files) else ""
    return (
        f"`deepstrf datasets {recording.name.lower()} --download`{arguments}{account} or download=True in Python "
        f"fetches the recording, {by_hand}"
    )


def _wanted(recording: PublicRecording, parts: Iterable[str]) -> list[RemoteFile]:
    needed = {"", *parts}
    known = {file.part for file in recording.files}
    if unknown := needed - known - {""}:
        raise ValueError(unknown_name(f"part of {recording.name}", min(unknown), sorted(known - {""})))
    return [file for file in recording.files if file.part in needed]


def _is_here(file: RemoteFile, folder: Path) -> bool:
    return bool(places_of(folder, file.name) or (file.gives and places_of(folder, file.gives)))


def _to_unpack(file: RemoteFile, folder: Path) -> list[Path]:
    """The archive, where it is here and its content is not."""
    if not file.gives or not folder.is_dir() or places_of(folder, file.gives):
        return []
    return [place for place in places_of(folder, file.name) if place.is_file()][:1]


def _unpack(archive: Path) -> None:
    """Unpack an archive into the folder of its own name beside it."""
    say(f"unpacking {archive}")
    stem = archive.name.removesuffix(".gz").rsplit(".", 1)[0]
    (unzip if archive.suffix == ".zip" else untar)(archive, archive.with_name(stem))


def places_of(folder: Path, name: str) -> list[Path]:
    """Where `name` lies, of the places nearest to `folder`."""
    level = [folder] if folder.is_dir() else []
    for _ in range(_DEEPEST):
        if found := [path / name for path in level if (path / name).exists()]:
            return found
        level = [inner for path in level for inner in _folders(path)]
    return []


def _folders(path: Path) -> Iterator[Path]:
    with os.scandir(path) as entries:
        yield from sorted(Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith(_NOT_THEIRS))


def _say_terms(recording: PublicRecording) -> None:
    """Print licence and citation, unless that was done on this machine before."""
    said = default_cache_dir(recording.name).parent / ".terms" / recording.name
    if recording.name in _said or said.exists():
        return
    _said.add(recording.name)
    say(f"{recording.name} ({recording.page}): {recording.citation}\n  licence: {recording.licence}")
    with contextlib.suppress(OSError):  # where nothing can be noted, it is said in every process
        said.parent.mkdir(parents=True, exist_ok=True)
        said.touch()
