"""One registry of the public recordings: where each file lies and which checksum it has.

Downloading goes through `pooch <https://www.fatiando.org/pooch>`_: into a temporary file that is moved to its place
only when it is complete and its checksum is right, so that nothing half written is ever left behind.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from deepSTRF.checks import unknown_name
from deepSTRF.files import expand_path, write_file
from deepSTRF.registry import UnknownNameError

__all__ = ["RECORDINGS", "RecordingError", "RemoteFile", "default_cache_dir", "download_recording"]


class RecordingError(ValueError):
    """A file of a recording cannot be fetched or read; the message names the file and says what to do."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a public recording.

    Parameters
    ----------
    name : str
        Its name in the recording's folder.
    url : str
        Where it is downloaded from.
    sha256 : str, optional
        Its checksum. Where we don't know it, that of the first download is written beside the file, as
        ``<name>.sha256``, and holds from then on.
    """

    name: str
    url: str
    sha256: str | None = None


RECORDINGS: Mapping[str, tuple[RemoteFile, ...]] = MappingProxyType(
    {
        # OSF project ayw2p
        "NS1": (
            RemoteFile(
                "MetadataSHEnCneurons.mat",
                "https://osf.io/download/gdwyd/",
                "857f7821dcd7f388cb94cb97b1086fcfc27a9196718e83d81feab60c79c7bb3c",
            ),
            RemoteFile("spikesandwav.zip", "https://osf.io/download/5nxga/"),
        ),
    }
)


def default_cache_dir(name: str) -> Path:
    """Where a recording lies if its user names no folder; the folder need not exist.

    Parameters
    ----------
    name : str
        Name of the recording, a key of `RECORDINGS`.

    Returns
    -------
    Path
        ``$DEEPSTRF_DATA_DIR/<name>`` where that environment variable is set, otherwise ``deepSTRF/<name>`` in the
        cache folder of the platform.

    Examples
    --------
    >>> default_cache_dir("NS1").name
    'NS1'
    """
    root = os.environ.get("DEEPSTRF_DATA_DIR")
    if root:
        return expand_path(root) / name
    import pooch

    return Path(pooch.os_cache("deepSTRF")) / name


def download_recording(name: str, dest: str | os.PathLike[str] | None = None, *, progress: bool = True) -> Path:
    """Fetch the files of a recording that are not there yet, and check those that are.

    Parameters
    ----------
    name : str
        A key of `RECORDINGS`.
    dest : str or path, optional
        The folder to fill, by default ``default_cache_dir(name)``. Parents are made.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnknownNameError
        If there is no such recording (a KeyError).
    RecordingError
        If the folder can't be written to, a download fails, or a file, downloaded or already there, has another
        checksum than it should have. A file that was already there is never overwritten.

    Examples
    --------
    >>> from deepSTRF.datasets.download import download_recording
    >>> folder = download_recording("NS1")  # doctest: +SKIP
    """
    if name not in RECORDINGS:
        raise UnknownNameError(unknown_name("recording", name, RECORDINGS))
    folder = default_cache_dir(name) if dest is None else expand_path(dest, "dest")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(
            f"the folder {folder} can't be made ({error}); give another one, or set DEEPSTRF_DATA_DIR to one that can "
            "be written to"
        ) from error
    for remote in RECORDINGS[name]:
        target = folder / remote.name
        if target.exists():
            _check_present(remote, target)
        else:
            _fetch(remote, target, progress)
    return folder


def _record_of(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _check_present(remote: RemoteFile, target: Path) -> None:
    import pooch

    expected = remote.sha256
    try:
        if expected is None and _record_of(target).exists():
            expected = (_record_of(target).read_text(encoding="utf-8", errors="replace").split() or [""])[0]
        if expected is None:  # put there by the user: nothing to compare with
            return
        found = pooch.file_hash(str(target))
    except OSError as error:
        raise RecordingError(f"{target} can't be read ({error}); expected a file, as downloaded") from error
    if found != expected:
        raise RecordingError(
            f"{target} is not the file that was published or first downloaded: expected sha256 {expected}, found "
            f"{found}. Move it away (with its .sha256 file, if any) and download again."
        )


def _fetch(remote: RemoteFile, target: Path, progress: bool) -> None:
    import pooch

    try:
        _record_of(target).unlink(missing_ok=True)  # of an earlier download that the user has deleted
        downloader = pooch.HTTPDownloader(progressbar=progress, timeout=30)
        pooch.retrieve(remote.url, remote.sha256, target.name, target.parent, downloader=downloader)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong checksum is a ValueError
        raise RecordingError(
            f"{remote.name} can't be downloaded from {remote.url}: {error}. Try again, or fetch it with a browser and "
            f"put it into {target.parent}."
        ) from error
    if target.suffix == ".zip" and not zipfile.is_zipfile(target):
        target.unlink()
        raise RecordingError(
            f"what came from {remote.url} is not a zip archive (perhaps a login or error page). Try again, or fetch "
            f"{remote.name} with a browser and put it into {target.parent}."
        )
    if remote.sha256 is None:
        record = _record_of(target)
        try:
            write_file(record, f"{pooch.file_hash(str(target))}  {target.name}\n")
        except OSError as error:
            target.unlink(missing_ok=True)  # without its checksum it would pass for a file of the user's own
            raise RecordingError(
                f"{target} was fetched, but its checksum can't be written ({error}); make room on the disk, or choose "
                "another folder, and try again"
            ) from error
