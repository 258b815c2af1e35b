"""What a function or class of the user does, as a short digest that is the same in every process."""

from __future__ import annotations

import functools
import hashlib
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["code_digest", "is_installed"]

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(...))
# entries of a class that say nothing about what it does
_WRITTEN_BY_PYTHON = (
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__qualname__",
    "__annotations__",
    "__firstlineno__",
    "__static_attributes__",
    "__abstractmethods__",
    "_abc_impl",
    "__orig_bases__",
    "__parameters__",
    "__dataclass_fields__",
)


def code_digest(value: Any) -> str:
    """Digest of what a callable does: code, constants, defaults, closure, and what of the user's own it refers to.

    Line numbers, comments and names of variables do not count, and of installed packages only the names.

    Examples
    --------
    >>> __name__ = "__main__"  # the code of this module itself would count by name
    >>> def scaled(by):
    ...     return lambda x: by * x
    >>> code_digest(scaled(2)) == code_digest(scaled(2)), code_digest(scaled(2)) == code_digest(scaled(3))
    (True, False)
    """
    digest = hashlib.sha256()
    for piece in _pieces(value, set()):
        digest.update(piece)
        digest.update(b"\0")
    return digest.hexdigest()[:12]


def is_installed(value: Any) -> bool:
    """Whether a function or class comes from an installed package, whose version stands for its code."""
    root = str(getattr(value, "__module__", None) or "builtins").split(".")[0]
    if root == "__main__":
        return False
    if root in sys.stdlib_module_names or root == "deepSTRF":
        return True
    path = str(getattr(sys.modules.get(root), "__file__", None) or "")
    return "site-packages" in path or "dist-packages" in path


def _pieces(value: Any, seen: set[int]) -> Iterator[bytes]:
    """Yield what tells `value` from another, in an order that is the same in every process."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
        return
    if id(value) in seen:  # a function that calls itself
        yield b"seen"
        return
    seen.add(id(value))
    yield _name(value).encode()
    if isinstance(value, types.CodeType):
        yield value.co_code + value.co_exceptiontable
        yield " ".join(value.co_names).encode()
        for constant in value.co_consts:
            yield from _pieces(constant, seen)
    elif isinstance(value, (Tensor, np.ndarray)):
        array = torch.as_tensor(value).detach().cpu().contiguous() if isinstance(value, Tensor) else value
        yield f"{tuple(array.shape)} {array.dtype}".encode()
        yield (
            array.view(torch.uint8).numpy().tobytes()
            if isinstance(array, Tensor) and array.ndim
            else repr(array.tolist()).encode()
        )
    elif isinstance(value, (set, frozenset)):
        yield from sorted(b" ".join(_pieces(entry, set())) for entry in value)  # their order differs between processes
    else:
        for part in _parts(value):
            yield from _pieces(part, seen)


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}" if is_installed(named) else named.__qualname__


def _parts(value: Any) -> Iterator[Any]:
    """Yield what a function, class, container or object is made of."""
    if isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, types.MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, (list, tuple)):
        yield from value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from (name, entry)
    elif isinstance(value, (staticmethod, classmethod)):
        yield value.__func__
    elif isinstance(value, property):
        yield from (value.fget, value.fset)
    elif isinstance(value, types.FunctionType):
        if not is_installed(value):
            yield from _parts_of_function(value)
    elif isinstance(value, type):
        if not is_installed(value):
            yield from value.__bases__
            for name, entry in vars(value).items():
                if name not in _WRITTEN_BY_PYTHON:
                    yield from (name, entry)
    elif isinstance(value, nn.Module):
        yield type(value)
        yield repr(value) if is_installed(type(value)) else value.extra_repr()
        yield from value.children()
    elif not isinstance(value, types.ModuleType) and not is_installed(type(value)):
        yield type(value)
        yield getattr(value, "__dict__", None)


def _parts_of_function(function: types.FunctionType) -> Iterator[Any]:
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not set yet: a function that is being defined
            yield None
    for name in dict.fromkeys(_names(function.__code__)):
        entry = function.__globals__.get(name)
        # what can change while a program runs, such as a list of results, is not part of what the function is
        if isinstance(entry, (*_PLAIN, tuple, type, types.FunctionType, functools.partial)):
            yield from (name, entry)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
