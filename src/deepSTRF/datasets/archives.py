"""Unpacking zip and tar archives: into the given folder and nowhere else, and completely or not at all.

:mod:`tarfile` (with its ``data`` filter) and :mod:`zipfile` keep members inside of the folder. What they leave out is
here: a limit of size, and that a damaged archive leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepSTRF.checks import check_integer
from deepSTRF.datasets.download import RecordingError
from deepSTRF.files import expand_path

__all__ = ["untar", "unzip"]

# An archive that unpacks to more than both is a trap: recordings compress a few times, rows of zeros a hundred times.
_LARGEST, _MOST_EXPANSION = 2**30, 200


def unzip(zip: str | os.PathLike[str], dest: str | os.PathLike[str], *, strip_root: bool = False) -> Path:
    """Unpack a zip archive.

    Files of the same name in `dest` are replaced, others stay. If anything is wrong nothing is written at all: members
    are unpacked beside their place first, then moved.

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
        The folder `dest`.

    Raises
    ------
    FileNotFoundError
        If there is no such archive.
    RecordingError
        If the archive is damaged or encrypted, or unpacks to far more than its own size or than the disk has left; or
        if `dest` cannot be written to.

    Examples
    --------
    >>> folder = unzip("spikesandwav.zip", "recordings/ns1")  # doctest: +SKIP
    """
    with _unpacking(zip, dest) as (source, unpacked), zipfile.ZipFile(source) as archive:
        _check_size(source, unpacked, sum(member.file_size for member in archive.infolist()))
        archive.extractall(unpacked)
        if strip_root:
            _strip_root(unpacked)
    return expand_path(dest)


def untar(tar: str | os.PathLike[str], dest: str | os.PathLike[str], *, strip_components: int = 0) -> Path:
    """Unpack a tar archive, also one that is compressed with gzip, bzip2 or xz; otherwise as :func:`unzip`.

    `strip_components` folders are left out at the start of each member's path, and members with no more than that.
    Links and devices raise RecordingError, as does a member that would lie outside of `dest`.

    Examples
    --------
    >>> folder = untar("recording.tar.gz", "recordings/new", strip_components=1)  # doctest: +SKIP
    """
    check_integer("strip_components", strip_components, least=0)

    def accept(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        if not member.isfile() and not member.isdir():
            raise ValueError(f"{member.name!r} is a link or a device, not a file or a folder")
        parts = member.name.split("/")[strip_components:]
        return tarfile.data_filter(member.replace(name="/".join(parts), deep=False), folder) if any(parts) else None

    with _unpacking(tar, dest) as (source, unpacked), tarfile.open(source) as archive:
        _check_size(source, unpacked, sum(member.size for member in archive))
        archive.extractall(unpacked, filter=accept)
        while archive.fileobj and archive.fileobj.read(2**20):  # the checksum of a compressed archive is at its end
            pass
    return expand_path(dest)


@contextmanager
def _unpacking(archive: str | os.PathLike[str], dest: str | os.PathLike[str]) -> Iterator[tuple[Path, Path]]:
    """Yield the path of the archive and a temporary folder on the disk of `dest`, whose content is moved there."""
    source, folder = expand_path(archive, "archive"), expand_path(dest, "dest")
    if not source.is_file():
        raise FileNotFoundError(f"there is no archive {source}")
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "expected a folder, there is a file", str(folder))
        beside = folder if folder.is_dir() else folder.parent
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=beside) as temporary:
            unpacked = Path(temporary, "unpacked")  # a temporary folder itself is for its owner's eyes only
            unpacked.mkdir()
            yield source, unpacked
            _move(unpacked, folder)
    except Exception as error:  # damaged archives fail in many ways
        is_the_disk = isinstance(error, OSError) and error.errno is not None
        remedy = f"check the folder {folder} and its disk" if is_the_disk else "download it again, or unpack it by hand"
        raise RecordingError(
            f"{source} can't be unpacked, and nothing was ({type(error).__name__}: {error}); {remedy}"
        ) from error


def _check_size(source: Path, unpacked: Path, size: int) -> None:
    """Raise ValueError if members of `size` bytes are too much for an archive like `source`, or for the disk."""
    if size > min(shutil.disk_usage(unpacked).free, max(_LARGEST, _MOST_EXPANSION * source.stat().st_size)):
        raise ValueError("it unpacks to more than the disk has left, or to far more than its own size")


def _strip_root(unpacked: Path) -> None:
    """Replace the content of `unpacked` by that of the only folder in it."""
    names = sorted(path.name for path in unpacked.iterdir())
    if len(names) != 1 or not (unpacked / names[0]).is_dir():
        raise ValueError(f"strip_root needs one folder that holds everything, here are: {', '.join(names)}")
    root = (unpacked / names[0]).rename(unpacked.with_name("root"))
    unpacked.rmdir()
    root.rename(unpacked)


def _move(unpacked: Path, dest: Path) -> None:
    if not dest.exists():
        unpacked.rename(dest)
        return
    moves = [(file, dest / file.relative_to(unpacked)) for file in sorted(unpacked.rglob("*"))]
    for file, place in moves:
        if place.exists() and place.is_dir() != file.is_dir():
            raise FileExistsError(errno.EEXIST, "a file can't replace a folder, nor a folder a file", str(place))
    for file, place in moves:
        if file.is_dir():
            place.mkdir(exist_ok=True)
        else:
            file.replace(place)
