"""Fetching a file over HTTP: retried, and resumed where the server allows."""

from __future__ import annotations

import os
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deepSTRF.datasets.hosts import CRCNS
from deepSTRF.datasets.recording_error import RecordingError

if TYPE_CHECKING:
    import requests

__all__ = [
    "CrcnsLoginError",
    "Download",
    "Login",
    "WrongContentError",
    "crcns_login",
    "file_of_figshare",
    "files_of_figshare",
    "say",
    "status_of",
]

_ATTEMPTS = 5  # without a single new byte
_CONNECT_S, _SILENCE_S = 30.0, 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
_PIECE = 2**16
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # statuses after which the same request may succeed
_ARCHIVES = {".zip": zipfile.is_zipfile} | dict.fromkeys((".tgz", ".tar", ".tar.gz"), tarfile.is_tarfile)


class CrcnsLoginError(RecordingError, RuntimeError):
    """CRCNS needs a name and a password, and has none or other ones. The message holds neither."""


@dataclass(frozen=True)
class Login:
    """Name and password of an account, as far as they were given; neither is shown."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def crcns_login(given: Login | None = None) -> Login:
    """Return the account for CRCNS: ``$CRCNS_USERNAME`` and ``$CRCNS_PASSWORD`` where none is given.

    Raises
    ------
    CrcnsLoginError
        If one of the two is missing (a RuntimeError).
    """
    given = given or Login()
    login = Login(
        given.username or os.environ.get("CRCNS_USERNAME"), given.password or os.environ.get("CRCNS_PASSWORD")
    )
    if not login.username or not login.password:
        raise CrcnsLoginError(
            "CRCNS credentials missing: make a free account at https://crcns.org/register, and set the environment "
            "variables CRCNS_USERNAME and CRCNS_PASSWORD"
        )
    return login


class WrongContentError(ValueError):
    """What came is not the file."""


@dataclass
class Download:
    """A downloader for pooch that goes on where an earlier one was interrupted."""

    target: Path
    login: Login | None
    progress: bool

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Fill `output_file`, which pooch then checks and moves to its place."""
        import requests

        part, mark = (self.target.with_name(f".{self.target.name}.{end}") for end in ("part", "part-of"))
        failures = most = 0
        while True:
            try:
                self._go_on(url, part, mark)
                break
            except requests.RequestException as error:
                size = part.stat().st_size if part.exists() else 0
                failures = 0 if size > most else failures + 1
                most = max(most, size)
                if failures >= _ATTEMPTS or not _may_pass(error):
                    if not mark.exists() or isinstance(error, ValueError):  # nothing that could be gone on with
                        _remove(part, mark)
                    raise
                time.sleep(_seconds_to_wait(error, failures))
            except (OSError, ValueError):  # a full disk, or something else than the file
                _remove(part, mark)
                raise
        mark.unlink(missing_ok=True)
        os.replace(part, output_file)
        _check_archive(self.target.name, Path(output_file))

    def _go_on(self, url: str, part: Path, mark: Path) -> None:
        """Fetch what is missing of `part`; `mark` holds what the server calls the version that it is a part of."""
        import requests

        headers = {"Accept-Encoding": "identity"}  # as it lies there: ranges count the bytes of the file itself
        size, version = 0, ""
        if part.exists() and mark.exists():
            size, version = part.stat().st_size, mark.read_text(encoding="utf-8", errors="replace")
            headers |= {"Range": f"bytes={size}-", "If-Range": version}
        timeout = (_CONNECT_S, _SILENCE_S)
        if self.login is None:
            response = requests.get(url, headers=headers, timeout=timeout, stream=True)
        else:
            form: dict[str, str | None] = {"fn": url.removeprefix(CRCNS), "submit": "Login"}
            form |= {"username": self.login.username, "password": self.login.password}
            hooks = {"response": _not_elsewhere}
            response = requests.post(url, data=form, headers=headers, timeout=timeout, stream=True, hooks=hooks)
        with response:
            if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{size}":
                return  # there is no more of it
            is_rest = response.status_code == 206
            if response.status_code == 416 or (is_rest and not _continues(response, size, version)):
                _remove(part, mark)
                raise requests.ConnectionError("the server gave another part of the file than was asked for")
            response.raise_for_status()
            pieces = response.iter_content(_PIECE)
            first = next(pieces, b"")
            if not is_rest:
                _check_is_file(response, first, is_crcns=self.login is not None)
                part.write_bytes(b"")  # of another version, before the mark says that it is of this one
                _write_mark(mark, response)
            self._save(response, part, size if is_rest else 0, chain([first], pieces))

    def _save(self, response: requests.Response, part: Path, start: int, pieces: Iterable[bytes]) -> None:
        import requests
        from tqdm import tqdm

        announced = 0 if _is_encoded(response) else int(response.headers.get("Content-Length", 0))
        if self.progress:
            size = f", {announced / 1e6:.4g} MB" if announced else ""
            rest = " (the rest)" if start else ""
            say(f"downloading {self.target.name}{rest} from {urlsplit(response.url).hostname}{size}")
        bar = tqdm(
            total=announced + start if announced else None,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=self.target.name,
            leave=False,
            disable=None if self.progress else True,  # None: only on a terminal
        )
        arrived = 0
        with bar, part.open("ab") as file:
            for piece in pieces:
                file.write(piece)
                bar.update(len(piece))
                arrived += len(piece)
        if announced and arrived != announced:
            raise requests.ConnectionError(f"the connection ended after {arrived} of {announced} bytes")


def _not_elsewhere(response: requests.Response, **_: Any) -> None:
    """Raise an error where a server would have the form, with the password in it, sent to another place."""
    if response.status_code in (307, 308):
        raise WrongContentError("CRCNS has moved to another address; update deepSTRF, or download with a browser")


def _continues(response: requests.Response, size: int, version: str) -> bool:
    """Whether what comes is the rest of the file, from byte `size` on, and of the same version."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
    return begins and _version(response) in ("", version)


def _version(response: requests.Response) -> str:
    """What the server calls this version of the file; empty if it can't be asked for the rest of just this one."""
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    has_ranges = response.headers.get("Accept-Ranges") != "none" and not _is_encoded(response)
    return version if has_ranges and not version.startswith("W/") else ""


def _is_encoded(response: requests.Response) -> bool:
    """Whether the server compresses what it sends, so that the numbers of bytes are not those of the file."""
    return response.headers.get("Content-Encoding", "identity") != "identity"


def _write_mark(mark: Path, response: requests.Response) -> None:
    if version := _version(response):
        mark.write_text(version, encoding="utf-8")
    else:
        mark.unlink(missing_ok=True)


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _check_is_file(response: requests.Response, beginning: bytes, *, is_crcns: bool) -> None:
    """Raise an error if what comes is a page for a browser rather than the file."""
    is_page = response.headers.get("Content-Type", "").lower().startswith("text/html")
    if not is_page and not beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return
    if is_crcns:
        raise CrcnsLoginError(
            "CRCNS auth failed: it answers with its login page; check the environment variables CRCNS_USERNAME and "
            "CRCNS_PASSWORD, and with a browser whether the account may download"
        )
    raise WrongContentError("the server sent a web page, such as a login or an error page, rather than the file")


def _check_archive(name: str, file: Path) -> None:
    for ending, is_archive in _ARCHIVES.items():
        if name.endswith(ending) and not is_archive(file):
            raise WrongContentError(f"what came is not a {ending} archive")


def status_of(error: BaseException) -> int | None:
    """HTTP status of the answer that an error of requests is about, if there was an answer."""
    response = getattr(error, "response", None)
    return None if response is None else response.status_code


def _may_pass(error: requests.RequestException) -> bool:
    """Whether the same request may succeed a little later."""
    return status_of(error) in (None, *_BUSY) and not isinstance(error, ValueError)  # that is an address that is none


def _seconds_to_wait(error: requests.RequestException, failures: int) -> float:
    """Longer each time, or as long as the server says."""
    asked = "" if error.response is None else error.response.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdecimal() else _FIRST_WAIT_S * 2**failures, _LONGEST_WAIT_S)


def files_of_figshare(url: str) -> Mapping[str, Mapping[str, Any]]:
    """What figshare says of each file of an article, by its name."""
    import requests

    response = requests.get(url, timeout=(_CONNECT_S, _SILENCE_S))
    response.raise_for_status()
    return {file["name"]: file for file in response.json()["files"]}


def file_of_figshare(url: str, name: str, known_hash: str | None) -> tuple[str, str | None]:
    """Address and checksum of a file of an article on figshare: the one of that name, or the only one."""
    files = files_of_figshare(url)
    if name not in files and len(files) != 1:
        raise WrongContentError(f"the article has no file {name}, but: {', '.join(files) or 'none'}")
    found = files.get(name) or next(iter(files.values()))
    md5 = found.get("computed_md5")
    return found["download_url"], known_hash or (f"md5:{md5}" if md5 else None)


def say(line: str) -> None:
    """Tell whoever waits at the terminal."""
    print(line, file=sys.stderr, flush=True)
