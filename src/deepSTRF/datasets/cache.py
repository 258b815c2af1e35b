"""Spectrograms and binned responses of files, kept on disk until a file, an option or the library changes.

The key of an entry is made of the files' paths and content, the options, and the version and source code of what
computes the entry. So no entry is ever outdated: what changed has another key.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deepSTRF.datasets.stored_values import StoringError, load_value, save_value
from deepSTRF.files import AnyPath, expand_path, lock, write_json

__all__ = ["CacheEntry", "cache_dir", "cache_entries", "cached", "clear_cache", "file_digest"]

_SUFFIX = ".safetensors"
_INDEX = "digests.json"
_LARGE = 2**20  # bytes: the digests of larger files are remembered
_QUIET_S = 60.0  # for so long a large file must have been left alone, or its digest is not remembered
_COMPUTED_WITH = ("numpy", "scipy", "torch", "soundfile")


@dataclass(frozen=True)
class CacheEntry:
    """One file of the cache: its `path`, the `kind` of what it holds, its size in bytes, and when it was last used."""

    path: Path
    kind: str
    n_bytes: int
    last_used: float


def cache_dir() -> Path:
    """Where the entries lie; the folder need not exist.

    ``$DEEPSTRF_CACHE_DIR`` where that environment variable is set, otherwise ``deepSTRF/prepared`` in the cache folder
    of the platform.

    Examples
    --------
    >>> cache_dir().is_absolute()
    True
    """
    root = os.environ.get("DEEPSTRF_CACHE_DIR")
    if root:
        return expand_path(root).absolute()
    import pooch

    return Path(pooch.os_cache("deepSTRF")) / "prepared"


def cached(kind: str, files: Iterable[AnyPath], options: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """Return what `make` computes from files, from the cache where it was computed before.

    What whole data sets are cached by is :mod:`deepSTRF.datasets.cached_recordings`.

    Parameters
    ----------
    kind : str
        What the files are, such as ``"folder"``; part of the key, and shown by ``deepstrf cache``.
    files : iterable of path
        Every file that the result depends on. Of a folder all files count.
    options : dict
        Every argument that the result depends on, as JSON can hold them.
    make : callable
        Reads the files; called where the cache has nothing. Returns tensors, arrays, numbers, strings, None, or lists,
        tuples and dicts of them.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    TypeError
        If the options hold something that JSON does not know.

    Warns
    -----
    UserWarning
        If the cache cannot be written, or cannot hold the value; it is returned anyway.

    Examples
    --------
    >>> def spectrograms_of_folder(files, dt_ms):
    ...     from deepSTRF.datasets.spectrograms import sound_stimuli
    ...
    ...     def make():
    ...         stims, spectrogram, names = sound_stimuli(files, None, dt_ms)
    ...         return {"stims": stims, "spectrogram": spectrogram.as_dict(), "names": names}
    ...
    ...     return cached("spectrograms", files, {"dt_ms": dt_ms}, make)
    """
    paths = [expand_path(file, "file") for file in files]
    code = json.dumps(options, default=os.fspath)
    folder = cache_dir()
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            key = _key(kind, _digests(paths, folder), code)
            path = folder / f"{kind}-{key}{_SUFFIX}"
            found = _load(path)
            if found is None:  # of two processes that come at the same time one computes, and the other waits for it
                held.enter_context(lock(folder / f".{path.name}.lock"))
                found = _load(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            _warn_unwritable(folder, error)
            return make()
        if found is not None:
            return found[0]
        value = make()
        try:
            if _key(kind, _digests(paths, folder), code) == key:  # otherwise a file was changed while it was read
                save_value(path, value)
                found = _load(path)
        except StoringError as error:
            warnings.warn(f"{kind} is computed anew each time, because the cache cannot hold it: {error}", stacklevel=2)
        except OSError as error:
            _warn_unwritable(folder, error)
        return value if found is None else found[0]  # mapped, so that what was computed need not stay in memory


def _warn_unwritable(folder: Path, error: OSError) -> None:
    warnings.warn(
        f"what was computed cannot be kept in the cache {folder} ({error.strerror or error}); name another folder in "
        "DEEPSTRF_CACHE_DIR, or clear it with `deepstrf cache --clear`",
        stacklevel=3,
    )


def cache_entries() -> list[CacheEntry]:
    """List what is in the cache, the latest used first.

    Examples
    --------
    >>> sum(entry.n_bytes for entry in cache_entries()) >= 0
    True
    """
    entries = []
    for path in cache_dir().glob(f"*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # cleared by another process meanwhile
            found = path.stat()
            entries.append(CacheEntry(path, path.stem.rpartition("-")[0], found.st_size, found.st_mtime))
    return sorted(entries, key=lambda entry: -entry.last_used)


def clear_cache() -> list[CacheEntry]:
    """Remove everything from the cache, and return what there was.

    Data sets in memory stay as they are. Files that are not of the cache are not touched.

    Raises
    ------
    OSError
        If a file cannot be removed.
    """
    entries = cache_entries()
    for entry in entries:
        entry.path.unlink(missing_ok=True)
    folder = cache_dir()
    # A lock that a process holds is left alone: it would no longer keep others out.
    for leftover in (*folder.glob(f".*{_SUFFIX}.*"), *folder.glob(f".{_INDEX}*"), *folder.glob(_INDEX)):
        if leftover.suffix != ".lock":
            leftover.unlink(missing_ok=True)
            continue
        with contextlib.suppress(BlockingIOError), lock(leftover, wait=False):
            leftover.unlink(missing_ok=True)
    return entries


def file_digest(path: AnyPath) -> str:
    """SHA-256 of the content of a file, in hex.

    Raises
    ------
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a").write_text("abc")
    ...     file_digest(Path(folder) / "a")[:8]
    'ba7816bf'
    """
    with expand_path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(kind: str, digests: Mapping[str, str], options: str) -> str:
    everything = json.dumps([kind, list(digests.items()), options, _versions()])
    return hashlib.sha256(everything.encode()).hexdigest()[:32]


@cache
def _versions() -> list[str]:
    """Versions of what computes, and a digest of the source of ours, which developers change between versions."""
    package = Path(__file__).parent
    sources = hashlib.sha256()
    for file in [*sorted(package.rglob("*.py")), package.parent / "scales.py"]:
        sources.update(file.read_bytes())
    return [version("deepSTRF"), sources.hexdigest(), *(version(name) for name in _COMPUTED_WITH)]


def _digests(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Digest of the content of each file, by its path."""
    paths = list(_expanded(files))
    index = folder / _INDEX
    known = _read_index(index)
    fresh: dict[str, Any] = {}
    digests = {str(path): _digest(path, known, fresh) for path in paths}
    if fresh:
        with lock(folder / f".{_INDEX}.lock"):
            write_json(index, {**_read_index(index), **fresh})
    return digests


def _expanded(files: Iterable[Path]) -> Iterator[Path]:
    """The files, and of folders all that are in them, in a fixed order."""
    for file in files:
        path = file.absolute()
        yield from map(Path, _files_below(str(path), ())) if path.is_dir() else [path]


def _files_below(folder: str, above: tuple[str, ...]) -> Iterator[str]:
    """Files of a folder and its folders; links are followed, since readers follow them, but never round in a circle.

    pathlib would take several times as long for archives of 40 000 files.
    """
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    above = (*above, os.path.realpath(folder))
    for entry in entries:
        if entry.is_file():
            yield entry.path
        elif entry.is_dir() and not (entry.is_symlink() and os.path.realpath(entry.path) in above):
            yield from _files_below(entry.path, above)


def _digest(path: Path, known: Mapping[str, Any], fresh: dict[str, Any]) -> str:
    """Digest of a file; that of a large one is remembered for as long as the system says that it was not touched.

    Size and modification time don't say it: both can be set. The time of the last change of the inode cannot, but on
    Windows there is none, its clock ticks, and what is written through memory may be marked late. So a digest counts
    only if the file had been left alone for a minute when it was computed.
    """
    before = path.stat()
    if before.st_size < _LARGE:  # there may be 40 000 of them
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if os.name == "nt":
        return file_digest(path)
    state = [before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns]
    entry = known.get(str(path))
    if isinstance(entry, list) and len(entry) == 2 and entry[0] == state and isinstance(entry[1], str):
        return entry[1]
    digest = file_digest(path)
    if time.time() - max(before.st_ctime, before.st_mtime) > _QUIET_S:
        fresh[str(path)] = [state, digest]
    return digest


def _read_index(index: Path) -> dict[str, Any]:
    try:
        entries = json.loads(index.read_text())
    except (FileNotFoundError, ValueError):  # a damaged index is made again
        return {}
    return entries if isinstance(entries, dict) else {}


def _load(path: Path) -> tuple[Any] | None:
    """The value of an entry, in a tuple of its own; None where there is none or it is damaged."""
    try:
        value = load_value(path)
        os.utime(path)
    except (FileNotFoundError, StoringError):
        return None
    return (value,)
