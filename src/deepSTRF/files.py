"""The one way to touch the disk: paths with ``~``, whole files or none, JSON, and locks between processes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "AnyPath",
    "expand_path",
    "lock",
    "prepare_file",
    "remove_leftovers",
    "to_plain",
    "write_file",
    "write_files",
    "write_json",
]

AnyPath = str | os.PathLike[str]  # what a user may give for a path


def expand_path(path: AnyPath, name: str = "path") -> Path:
    """Return a path that a user gave, with ``~`` as the home folder.

    Raises
    ------
    TypeError
        If it is not a path.

    Examples
    --------
    >>> expand_path("~/recordings").is_absolute()
    True
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a path such as 'folder/file', got {type(path).__name__}: {path!r}")
    return Path(path).expanduser()


def write_file(path: Path, content: bytes | memoryview | str) -> None:
    """Write a whole file, so that a crash leaves the old one or the new one, never a part.

    Raises
    ------
    OSError
        If the disk is full or cannot be written; an earlier file is intact then.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(Path(folder) / "a.txt", "one line")
    ...     (Path(folder) / "a.txt").read_text()
    'one line'
    """
    write_files(path.parent, {path.name: content})


def write_files(folder: Path, contents: Mapping[str, bytes | memoryview | str]) -> None:
    """Write several files that belong together: all are on the disk before the first takes its place.

    Parameters
    ----------
    folder : Path
        An existing folder.
    contents : dict of str to bytes or str
        Name of each file and what is in it. They take their places in this order.

    Raises
    ------
    OSError
        If the disk is full or cannot be written; earlier files are intact then.
    """
    temporary: dict[str, str] = {}
    try:
        for name, content in contents.items():
            handle, temporary[name] = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            old = folder / name
            os.chmod(temporary[name], old.stat().st_mode & 0o777 if old.exists() else 0o644)  # mkstemp's is the owner's
        for name in contents:
            os.replace(temporary[name], folder / name)
    except BaseException as error:
        for path in temporary.values():
            Path(path).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(folder / next(iter(contents), ""))  # a full disk does not say where
        raise
    if hasattr(os, "O_DIRECTORY"):  # makes the renames durable, where the system can
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote `path`."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        leftover.unlink(missing_ok=True)


def prepare_file(path: Path, name: str = "path") -> None:
    """Make the parent folders of a file that will be written later, and check that it can be.

    Raises
    ------
    ValueError
        If `path` is a folder.
    OSError
        If the folder cannot be made or written.
    """
    if path.is_dir():
        raise ValueError(f"{name} must name a file, but {path} is a folder; add a file name to it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
        pass


def to_plain(value: Any) -> Any:
    """Convert to what JSON knows: arrays and tensors to lists, NaN and infinity to None, paths to text.

    Examples
    --------
    >>> import torch
    >>> to_plain({"loss": torch.tensor(0.5), "scores": (1, float("nan"))})
    {'loss': 0.5, 'scores': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy, and tensors
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON; what JSON doesn't know after :func:`to_plain` becomes text.

    Raises
    ------
    OSError
        If the disk is full or cannot be written; an earlier file is intact then.
    """
    write_file(path, json.dumps(to_plain(value), indent=1, allow_nan=False, default=str) + "\n")


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when a process dies.

    Parameters
    ----------
    path : Path
        The lock file; it is made and stays. Its parent folder must exist.
    wait : bool
        Wait until another process has released it.

    Raises
    ------
    BlockingIOError
        If another process holds it, and `wait` is False.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder, lock(Path(folder) / "lock"):
    ...     print("alone")
    alone
    """
    from filelock import FileLock, Timeout

    held = FileLock(path)
    try:
        held.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise BlockingIOError(f"another process holds {path}") from error
    try:
        yield
    finally:
        held.release()
