"""Fetching one file from where it was published: resumed, retried, and checked, or nothing.

Downloading goes through `pooch <https://www.fatiando.org/pooch>`_: a file takes its place only when it is complete and
its checksum is right. What was fetched of a file until the connection broke is kept as ``.<name>.part``, and the next
try goes on from there if the server can say that it has still the same file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepSTRF.datasets.hosts import CRCNS, FIGSHARE_API
from deepSTRF.datasets.http_download import (
    CrcnsLoginError,
    Download,
    Login,
    crcns_login,
    file_of_figshare,
    say,
    status_of,
)
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.files import expand_path, lock, write_file

__all__ = [
    "CrcnsLoginError",
    "Login",
    "RecordingError",
    "RemoteFile",
    "crcns_login",
    "default_cache_dir",
    "fetch_file",
    "locked_folder",
]

_LARGE = 2**30  # bytes; to read it takes longer than a user waits who left download=True in a script


@dataclass(frozen=True)
class RemoteFile:
    """One file of a public recording.

    Parameters
    ----------
    name : str
        Its name in the recording's folder.
    url : str or tuple of str
        Where it is downloaded from, as :mod:`deepSTRF.datasets.hosts` writes it. Of several the first that has it.
    sha256 : str, optional
        Its checksum. Where we don't know it, that of the first download is written beside the file, as
        ``<name>.sha256``, and holds from then on.
    part : str
        What the file is needed for, where not everybody needs it: ``"PEG"``, ``"wav"``. Empty: always.
    gives : str
        For an archive that is unpacked: the name of a file or folder in it. Where that lies in the recording's folder,
        at any depth, the archive is unpacked already and not needed any more. Empty: it is read as it is.
    """

    name: str
    url: str | tuple[str, ...]
    sha256: str | None = None
    part: str = ""
    gives: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address that it may be at."""
        return (self.url,) if isinstance(self.url, str) else self.url


def default_cache_dir(name: str) -> Path:
    """Where a recording lies if its user names no folder; the folder need not exist.

    Parameters
    ----------
    name : str
        Name of the recording, a key of :data:`~deepSTRF.datasets.public_recordings.RECORDINGS`.

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


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make `folder`, and keep other processes from filling it at the same time; the second one waits.

    Raises
    ------
    RecordingError
        If the folder can't be made or written to.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(lock(folder / ".lock", wait=False))
            except BlockingIOError:
                say(f"another process fills {folder}; waiting for it")
                stack.enter_context(lock(folder / ".lock"))
        except OSError as error:
            raise RecordingError(
                f"the folder {folder} can't be made or written to ({error}); give another one, or set "
                "DEEPSTRF_DATA_DIR to one that can"
            ) from error
        yield


def fetch_file(remote: RemoteFile, folder: Path, *, login: Login | None = None, progress: bool = True) -> Path:
    """Fetch a file that is not in the folder yet; check one that is.

    A file of more than 1 GB is read again for its checksum only if it changed after the checksum was written down.

    Parameters
    ----------
    remote : RemoteFile
        The file.
    folder : Path
        An existing folder, held by :func:`locked_folder` where other processes may use it.
    login : Login, optional
        For files of CRCNS, by default :func:`crcns_login`.
    progress : bool
        Say on stderr what is fetched, on a terminal with a progress bar.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RecordingError
        If a download fails, or the file, downloaded or already there, has another checksum than it should have. A file
        that was already there is never overwritten.
    CrcnsLoginError
        If CRCNS does not know the account.
    """
    target = folder / remote.name
    if target.exists():
        _check_present(remote, target)
        return target
    *first, last = remote.urls
    for url in first:
        try:
            _fetch(url, remote, target, login, progress)
            return target
        except _NotThere:
            continue
    _fetch(last, remote, target, login, progress)
    return target


class _NotThere(RecordingError):
    """The server has no such file."""


def _record_of(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _check_present(remote: RemoteFile, target: Path) -> None:
    import pooch

    expected = remote.sha256
    try:
        record = _record_of(target)
        if expected is None and record.exists():
            is_large, unchanged = target.stat().st_size > _LARGE, target.stat().st_mtime <= record.stat().st_mtime
            if is_large and unchanged:
                return
            expected = (record.read_text(encoding="utf-8", errors="replace").split() or [""])[0]
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


def _fetch(url: str, remote: RemoteFile, target: Path, login: Login | None, progress: bool) -> None:
    """Fetch the file from one place, and write down its checksum if nobody knew it."""
    import pooch

    login = crcns_login(login) if url.startswith(CRCNS) else None
    failure: RecordingError | None = None
    try:
        _record_of(target).unlink(missing_ok=True)  # of an earlier download that the user has deleted
        known_hash = remote.sha256
        if url.startswith(FIGSHARE_API):
            url, known_hash = file_of_figshare(url, remote.name, known_hash)
        download = Download(target, login, progress)
        with _quiet_pooch():
            pooch.retrieve(url, known_hash, target.name, target.parent, downloader=download)
    except CrcnsLoginError as error:
        failure = CrcnsLoginError(str(error))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong checksum is a ValueError
        failure = (_NotThere if status_of(error) in (404, 410) else RecordingError)(
            f"{remote.name} can't be downloaded from {url}: {error}. Try again, or fetch it with a browser and "
            f"put it into {target.parent}."
        )
    if failure is not None:  # raised here, since an error of requests holds the request, and that the password
        raise failure
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


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """We say ourselves what is fetched."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)
