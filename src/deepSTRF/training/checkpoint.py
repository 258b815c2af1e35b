"""Weights on disk: written atomically, read without running code."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from deepSTRF.files import write_file

__all__ = ["load_state", "save_state"]


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a ``state_dict`` to `path` as a whole, by :func:`deepSTRF.files.write_file`.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state({"weight": torch.ones(2)}, Path(folder) / "best.pt")
    ...     load_state(Path(folder) / "best.pt", torch.device("cpu"))
    {'weight': tensor([1., 1.])}
    """
    content = io.BytesIO()  # torch's own writer hides what is wrong with a disk
    torch.save(state, content)
    write_file(path, content.getbuffer())


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what :func:`save_state` wrote, with ``weights_only=True``: code in the file does not run.

    Raises
    ------
    ValueError
        If the file is damaged, or holds more than numbers and tensors.
    OSError
        If it cannot be read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(content) as archive:  # torch reads past the checksums: a flipped bit would be a weight
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"its part {damaged} is not what was written")
        content.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of another protocol, which raise an error right after
            return torch.load(content, map_location=device, weights_only=True)
    except (
        RuntimeError,
        ValueError,
        OSError,
        EOFError,
        LookupError,
        AttributeError,
        TypeError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, pickle.UnpicklingError):  # torch would advise to run the code in it
            reason = "it holds more than numbers, text and tensors"
        raise ValueError(f"{path} is damaged, or was not written by deepSTRF ({reason})") from error
