"""Unpacking zip and tar archives: into the folder named and nowhere else, and completely or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, cast

from deepSTRF.checks import check_integer
from deepSTRF.datasets.download import RecordingError

__all__ = ["untar", "unzip"]

# An archive that unpacks to more than both is a trap: recordings compress a few times, rows of zeros a hundred times.
_LARGEST, _MOST_EXPANSION = 2**30, 200

Member = tuple[tuple[str, ...], int, Callable[[], IO[bytes]] | None]
"""Folders and name, size, and what opens the content; None for a folder."""


def unzip(zip: str | os.PathLike[str], dest: str | os.PathLike[str], *, strip_root: bool = False) -> Path:
    """Unpack a zip archive.

    Members are written with the permissions of new files. Files of the same name in `dest` are replaced, others stay.
    If anything is wrong nothing is written at all: members are unpacked beside their place first, then moved.

    Parameters
    ----------
    zip : str or path
        The archive.
    dest : str or path
        The folder to fill. Parents are made.
    strip_root : bool
        Leave out the one folder that holds everything in the archive.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If there is no such archive.
    RecordingError
        If the archive is damaged or encrypted, unpacks to far more than its own size or than the disk has left, or
        holds a link, a member twice, or one that would lie outside of `dest`; or if `dest` can't be written to.

    Examples
    --------
    >>> folder = unzip("spikesandwav.zip", "recordings/ns1")  # doctest: +SKIP
    """
    source = _existing(zip)
    with _reported(source, dest), zipfile.ZipFile(source) as archive:
        return _unpack(source, dest, _zip_members(archive, strip_root))


def untar(tar: str | os.PathLike[str], dest: str | os.PathLike[str], *, strip_components: int = 0) -> Path:
    """Unpack a tar archive, also one that is compressed with gzip, bzip2 or xz.

    Members are written with the permissions of new files. Files of the same name in `dest` are replaced, others stay.
    If anything is wrong nothing is written at all: members are unpacked beside their place first, then moved.

    Parameters
    ----------
    tar : str or path
        The archive.
    dest : str or path
        The folder to fill. Parents are made.
    strip_components : int
        Leave out so many folders at the start of each member's path; members with no more than that are left out.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If there is no such archive.
    TypeError, ValueError
        If `strip_components` is not an integer of at least 0.
    RecordingError
        As :func:`unzip`.

    Examples
    --------
    >>> folder = untar("recording.tar.gz", "recordings/new", strip_components=1)  # doctest: +SKIP
    """
    check_integer("strip_components", strip_components, least=0)
    source = _existing(tar)
    with _reported(source, dest), tarfile.open(source) as archive:
        return _unpack(source, dest, _tar_members(archive, strip_components))


def _existing(archive: str | os.PathLike[str]) -> Path:
    path = Path(archive).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no archive {path}")
    return path


@contextmanager
def _reported(source: Path, dest: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damaged archives fail in many ways
        is_the_disk = isinstance(error, OSError) and error.errno is not None
        remedy = f"check the folder {dest} and its disk" if is_the_disk else "download it again, or unpack it by hand"
        raise RecordingError(
            f"{source} can't be unpacked, and nothing was ({type(error).__name__}: {error}); {remedy}"
        ) from error


def _zip_members(archive: zipfile.ZipFile, strip_root: bool) -> Iterator[Member]:
    members = [(info, _parts(info.filename)) for info in archive.infolist()]
    if strip_root:
        roots = {parts[0] for _, parts in members if parts}
        if len(roots) != 1 or any(len(parts) == 1 and not info.is_dir() for info, parts in members):
            raise ValueError(f"strip_root needs one folder that holds everything, here are: {', '.join(sorted(roots))}")
    for info, parts in members:
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{info.filename!r} is a link or a device, not a file or a folder")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack too much at once
            raise ValueError(f"{info.filename!r} is compressed by method {info.compress_type}, expected deflate")
        yield parts[strip_root:], info.file_size, None if info.is_dir() else partial(archive.open, info)


def _tar_members(archive: tarfile.TarFile, strip_components: int) -> Iterator[Member]:
    for member in archive:
        if not member.isfile() and not member.isdir():
            raise ValueError(f"{member.name!r} is a link or a device, not a file or a folder")
        content = None if member.isdir() else partial(_content, archive, member)
        yield _parts(member.name)[strip_components:], member.size, content
    # A compressed archive ends with its checksum, which comes after padding that tarfile leaves unread.
    stream, padding = cast(IO[bytes], archive.fileobj), 0
    while block := stream.read(2**20):
        padding += len(block)
        if padding > _LARGEST:
            raise ValueError("it goes on after its end with far more than padding")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], archive.extractfile(member))


def _parts(name: str) -> tuple[str, ...]:
    """Folders and name of a member; a path that leads out of the archive, also one of Windows, is refused."""
    parts = re.split(r"[/\\]", name)
    if ".." in parts or parts[0] == "" or re.match("[A-Za-z]:", name) or "\0" in name:
        raise ValueError(f"{name!r} would lie outside of the folder")
    return tuple(part for part in parts if part not in ("", "."))


def _unpack(source: Path, dest: str | os.PathLike[str], members: Iterator[Member]) -> Path:
    """Write the members into a temporary folder on the same disk as `dest`, then move them."""
    dest = Path(dest).expanduser()
    if dest.exists() and not dest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "expected a folder, there is a file", str(dest))
    beside = dest if dest.is_dir() else dest.parent
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=beside) as temporary:
        unpacked = Path(temporary, "unpacked")  # a temporary folder itself is for its owner's eyes only
        unpacked.mkdir()
        left = min(shutil.disk_usage(beside).free, max(_LARGEST, _MOST_EXPANSION * source.stat().st_size))
        for parts, size, content in members:
            left -= size
            if left < 0:
                raise ValueError("it unpacks to more than the disk has left, or to far more than its own size")
            place = unpacked.joinpath(*parts)
            if content is None:
                place.mkdir(parents=True, exist_ok=True)
            elif parts:
                place.parent.mkdir(parents=True, exist_ok=True)
                with content() as stream, place.open("xb") as target:  # x: twice the same member is an error
                    shutil.copyfileobj(stream, target)
        if not dest.exists():
            return unpacked.rename(dest)
        moves = [(file, dest / file.relative_to(unpacked)) for file in sorted(unpacked.rglob("*"))]
        for file, place in moves:
            if place.exists() and place.is_dir() != file.is_dir():
                raise FileExistsError(errno.EEXIST, "a file can't replace a folder, nor a folder a file", str(place))
        for file, place in moves:
            if file.is_dir():
                place.mkdir(exist_ok=True)
            else:
                file.replace(place)
    return dest
