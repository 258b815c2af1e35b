"""Downloading one file from a known archive to a given place: the functions of deepSTRF 0.1.0.

All of them resume, retry and check as :func:`~deepSTRF.datasets.download.fetch_file` does, make the folders of `dest`,
leave a file alone that is there already, and return its path. They raise RecordingError (a ValueError) if a download
fails. A class for a public recording calls :func:`~deepSTRF.datasets.recording_folder.recording_folder` instead.
"""

from __future__ import annotations

from pathlib import Path

from deepSTRF.checks import check_integer
from deepSTRF.datasets import hosts
from deepSTRF.datasets.download import Login, RecordingError, RemoteFile, fetch_file, locked_folder
from deepSTRF.datasets.http_download import files_of_figshare
from deepSTRF.files import AnyPath, expand_path, prepare_file

__all__ = [
    "crcns_download",
    "figshare_download",
    "github_raw_download",
    "osf_download",
    "stream_download",
    "zenodo_download",
]


def stream_download(url: str, dest: AnyPath, *, chunk_size: int = 2**20, progress: bool = True) -> Path:
    """Download `url` to the file `dest`; `chunk_size` is checked and of no effect.

    Examples
    --------
    >>> file = stream_download("https://example.org/a.mat", "recordings/a.mat")  # doctest: +SKIP
    """
    check_integer("chunk_size", chunk_size)
    return _fetch(url, dest, progress=progress)


def osf_download(guid: str, dest: AnyPath, *, progress: bool = True) -> Path:
    """Download the file of the Open Science Framework with these five letters to `dest`."""
    return _fetch(hosts.osf(guid), dest, progress=progress)


def zenodo_download(record: str | int, filename: str, dest: AnyPath, *, progress: bool = True) -> Path:
    """Download the file `filename` of a record on Zenodo to `dest`."""
    return _fetch(hosts.zenodo(str(record), filename), dest, progress=progress)


def github_raw_download(repo: str, path: str, dest: AnyPath, *, ref: str = "HEAD", progress: bool = True) -> Path:
    """Download the file `path` of the repository ``owner/name`` on GitHub, at a branch, tag or commit, to `dest`."""
    return _fetch(hosts.github(repo, path, ref), dest, progress=progress)


def figshare_download(
    article: str | int, dest_dir: AnyPath, *, filename: str | None = None, progress: bool = True
) -> Path:
    """Download a file of an article on figshare into the folder `dest_dir`; the only one, where none is named.

    Raises
    ------
    ValueError
        If there are several, and none is named.
    FileNotFoundError
        If there is none of that name.
    RuntimeError
        If the article has no files.
    """
    names = list(files_of_figshare(hosts.figshare(str(article))))
    if not names:
        raise RuntimeError(f"the article {article} on figshare has no files")
    if filename is None and len(names) > 1:
        raise ValueError(f"the article {article} on figshare has several files; name one: {', '.join(names)}")
    if filename is not None and filename not in names:
        raise FileNotFoundError(f"the article {article} on figshare has no file {filename}, but: {', '.join(names)}")
    name = filename or names[0]
    return _fetch(hosts.figshare(str(article)), expand_path(dest_dir, "dest_dir") / name, progress=progress)


def crcns_download(
    file_path: str,
    dest: AnyPath,
    *,
    username: str | None = None,
    password: str | None = None,
    progress: bool = True,
) -> Path:
    """Download a file of CRCNS, such as ``"aa-1/crcns-aa1.zip"``, to `dest`.

    The account is that of ``$CRCNS_USERNAME`` and ``$CRCNS_PASSWORD``, unless it is given.

    Raises
    ------
    CrcnsLoginError
        If name or password are missing or wrong (a RuntimeError); no file is left.
    """
    return _fetch(hosts.crcns(file_path), dest, login=Login(username, password), progress=progress)


def _fetch(url: str, dest: AnyPath, *, login: Login | None = None, progress: bool) -> Path:
    target = expand_path(dest, "dest")
    if target.is_file():
        return target
    try:
        prepare_file(target, "dest")
    except OSError as error:
        raise RecordingError(f"{target} can't be written ({error}); choose another place") from error
    with locked_folder(target.parent):
        return fetch_file(RemoteFile(target.name, url), target.parent, login=login, progress=progress)
