"""Weights on disk: written atomically, read without running code."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["load_state", "prepare_checkpoint_path", "save_state"]


def prepare_checkpoint_path(path: Path) -> None:
    """Make the parent folders and prove that `path` can be written, before hours of training.

    Raises
    ------
    ValueError
        If `path` is a folder.
    OSError
        If the folder cannot be made or written.
    """
    if path.is_dir():
        raise ValueError(f"ckpt_path must name a file, but {path} is a folder; add a file name such as best.pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
        pass


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a ``state_dict`` to `path`, so that a crash leaves the old file or the new one, never a part.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state({"weight": torch.ones(2)}, Path(folder) / "best.pt")
    ...     load_state(Path(folder) / "best.pt", torch.device("cpu"))
    {'weight': tensor([1., 1.])}
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a ``state_dict`` with ``weights_only=True``."""
    return torch.load(path, map_location=device, weights_only=True)
