"""Nested lists and dicts of arrays in one safetensors file: written whole or not at all, mapped when it is read."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["StoringError", "load_value", "save_value"]

_CONTENT = "content"


class StoringError(ValueError):
    """A value cannot be stored, or a file holds none; the message says which."""


def save_value(path: Path, value: Any) -> None:
    """Write a value to a file.

    Parameters
    ----------
    path : Path
        In an existing folder.
    value : object
        Tensors, NumPy arrays and scalars, numbers, strings, None, dates, and lists, tuples and dicts of them.

    Raises
    ------
    StoringError
        If there is anything else in it.
    OSError
        If the file cannot be written; there is none then, or that of before.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "value.safetensors"
    ...     save_value(path, {"counts": [np.zeros(3), torch.ones(2)], "name": "rain", "shape": (1, 2)})
    ...     load_value(path)
    {'counts': [array([0., 0., 0.]), tensor([1., 1.])], 'name': 'rain', 'shape': (1, 2)}
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    content = json.dumps(_encoded(value, tensors, "it"))
    pointers: set[int] = set()
    for name, tensor in tensors.items():  # the format wants each to have its memory for itself
        if tensor.numel() and tensor.data_ptr() in pointers:
            tensors[name] = tensor.clone()
        pointers.add(tensor.data_ptr())
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata={_CONTENT: content})
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, SafetensorError):  # how the library says that the disk is full
            raise OSError(str(error)) from error
        raise


def load_value(path: Path) -> Any:
    """Read what :func:`save_value` wrote; arrays are mapped into memory, and writing to them leaves the file alone.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    StoringError
        If it is cut off or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            content = json.loads((file.metadata() or {})[_CONTENT])
            return _decoded(content, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no dict
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise StoringError(f"{path} is cut off or damaged: {error}") from error


def _encoded(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    """The value as JSON: scalars and lists as they are, everything else as a list of its kind and content in a dict."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [_encoded(entry, tensors, f"{where}[{k}]") for k, entry in enumerate(value)]
    if type(value) is tuple:
        return {"tuple": [_encoded(entry, tensors, f"{where}[{k}]") for k, entry in enumerate(value)]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encoded(entry, tensors, f"{where}[{key!r}]") for key, entry in value.items()}}
    if type(value) is dict:
        pairs = [_encoded(list(pair), tensors, where) for pair in value.items()]
        return {"pairs": pairs}
    if type(value) is Tensor and value.device.type == "cpu" and not value.requires_grad:
        return {"tensor": _added(value, tensors)}
    if isinstance(value, np.generic | np.ndarray) and type(value) is not np.ma.MaskedArray:
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        if value.dtype.kind == "U":
            return {kind: value.tolist(), "dtype": value.dtype.str}
        if value.dtype.kind in "biufc" and value.dtype.isnative:
            with contextlib.suppress(TypeError):  # torch does not know the longest floats
                return {kind: _added(torch.from_numpy(np.array(value)), tensors)}
    if type(value) in (datetime.datetime, datetime.date):
        return {type(value).__name__: value.isoformat()}
    raise StoringError(f"{where} is {type(value).__name__}, which cannot be stored")


def _added(tensor: Tensor, tensors: dict[str, Tensor]) -> str:
    """Name of a tensor of the file, to which it is added, without the rest of a larger one that it is a part of."""
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    name = str(len(tensors))
    tensors[name] = tensor if whole else tensor.clone(memory_format=torch.contiguous_format)
    return name


def _decoded(content: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(content, list):
        return [_decoded(entry, tensors) for entry in content]
    if not isinstance(content, dict):
        return content
    (kind, entry), *more = content.items()
    if kind == "dict":
        return {key: _decoded(value, tensors) for key, value in entry.items()}
    if kind == "pairs":
        return {_decoded(key, tensors): _decoded(value, tensors) for key, value in entry}
    if kind == "tuple":
        return tuple(_decoded(value, tensors) for value in entry)
    if kind == "tensor":
        return tensors[entry]
    if kind in ("array", "scalar"):
        array = np.array(entry, dtype=more[0][1]) if more else tensors[entry].numpy()
        return array if kind == "array" else array[()]
    return {"datetime": datetime.datetime, "date": datetime.date}[kind].fromisoformat(entry)
