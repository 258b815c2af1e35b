"""Structs of a .mat file, of which only what is asked for is read.

:func:`scipy.io.loadmat` makes an array of every field of every struct. Where a file holds thousands of them, and few
are wanted, that takes most of the time of loading. The format is that of MATLAB 5 to 7.2, without objects and sparse
arrays; files of 7.3 are brought to it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from deepSTRF.datasets.mat_hdf5 import as_matlab_5
from deepSTRF.datasets.recording_error import RecordingError

__all__ = ["MatArray", "read_mat_struct"]

_HEADER = 128
_BEGIN_OF_VARIABLE = 1024  # its flags, shape and name are in so many bytes
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_STRUCT, _CHAR, _NUMERIC = 2, 4, range(6, 16)
_IS_COMPLEX = 8
# Flags are always of eight bytes, and come before the shape.
_FLAGS = 6
_BEGIN = {"<": struct.Struct("<6I").unpack_from, ">": struct.Struct(">6I").unpack_from}
_TAG = {"<": struct.Struct("<II").unpack_from, ">": struct.Struct(">II").unpack_from}
_WRONG = (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error, zlib.error, MemoryError)


class MatArray:
    """One array of a .mat file: numbers, text, or structs with arrays as fields. :func:`read_mat_struct` makes it.

    Where the file turns out to be damaged, its methods raise ValueError, struct.error or KeyError.

    Parameters
    ----------
    content : bytes
        What holds the array.
    start, stop : int
        Where it begins and ends in it, without its tag.
    order : {'<', '>'}
        Order of the bytes.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array, in the order of MATLAB.
    """

    __slots__ = ("_at", "_content", "_fields", "_flags", "_kind", "_order", "_places", "shape")

    def __init__(self, content: bytes, start: int, stop: int, order: str) -> None:
        self._content, self._order = content, order
        self._fields: tuple[str, ...] = ()
        self._places: list[tuple[int, int]] | None = None
        self._kind, self._flags, self._at, self.shape = _NUMERIC[0], 0, stop, (0, 0)
        if start == stop:  # how MATLAB writes an empty array
            return
        flags, _, word, _, _, size = _BEGIN[order](content, start)
        if flags != _FLAGS:
            raise ValueError("an array without flags")
        self._kind, self._flags = word & 0xFF, word >> 8 & 0xFF
        self.shape = struct.unpack_from(f"{order}{size // 4}i", content, start + 24)
        self._at = _element(content, start + 24 + size + -size % 8, order)[3]  # after the name
        if self._kind == _STRUCT:
            _, first, _, at = _element(content, self._at, order)
            (length,) = struct.unpack_from(f"{order}i", content, first)
            _, first, last, self._at = _element(content, at, order)
            names = (content[place : place + length] for place in range(first, last, length))
            self._fields = tuple(name.split(b"\0")[0].decode() for name in names)

    def __getitem__(self, field: str) -> list[MatArray]:
        """A field of all elements of a struct array, in the order of MATLAB: down the columns."""
        if field not in self._fields:
            raise KeyError(f"it has no field {field!r}")
        if self._places is None:
            self._places = list(self._of_fields())
        own = self._places[self._fields.index(field) :: len(self._fields)]
        return [MatArray(self._content, start, stop, self._order) for start, stop in own]

    def numbers(self) -> np.ndarray:
        """All numbers of the array, shape (n,), in the order of MATLAB."""
        if self._kind not in _NUMERIC:
            raise ValueError("expected an array of numbers")
        if self._flags & _IS_COMPLEX:
            raise ValueError("expected real numbers, got complex numbers")
        if 0 in self.shape:
            return np.empty(0)
        kind, first, last, _ = _element(self._content, self._at, self._order)
        values = np.frombuffer(self._content[first:last], self._order + _NUMBERS[kind])
        if len(values) != math.prod(self.shape):
            raise ValueError(f"expected {math.prod(self.shape)} numbers, got {len(values)}")
        return values

    def number(self) -> float:
        """The one number of the array."""
        (value,) = self.numbers().tolist()
        return value

    def text(self) -> str:
        """The one line of text of the array."""
        if self._kind != _CHAR:
            raise ValueError("expected text")
        if 0 in self.shape:
            return ""
        kind, first, last, _ = _element(self._content, self._at, self._order)
        coding = _TEXTS[kind] + ("" if kind in (1, 2, 16) else "-le" if self._order == "<" else "-be")
        return self._content[first:last].decode(coding)

    def _of_fields(self) -> Iterator[tuple[int, int]]:
        """Where every field of every element begins and ends."""
        at, tag = self._at, _TAG[self._order]
        for _ in range(math.prod(self.shape) * len(self._fields)):
            kind, size = tag(self._content, at)
            if kind != _MATRIX:
                raise ValueError(f"expected an array, got an element of type {kind}")
            start, at = at + 8, at + 8 + size
            yield start, at


def _element(content: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Type of the element at a place, where its data begin and end, and where the next one begins."""
    kind, size = _TAG[order](content, at)
    if kind >> 16:  # small: type, size and data share eight bytes
        return kind & 0xFFFF, at + 4, at + 4 + (kind >> 16), at + 8
    stop = at + 8 + size
    if stop > len(content):
        raise ValueError("it ends within an array")
    return kind, at + 8, stop, stop if kind == _COMPRESSED else stop + -size % 8


def read_mat_struct(content: bytes, variable: str, *, name: str, remedy: str) -> MatArray:
    """Read one variable of a .mat file, its parts when they are asked for.

    Parameters and errors are those of :func:`~deepSTRF.datasets.mat_files.read_mat_variable`.

    Examples
    --------
    >>> import io, scipy.io
    >>> file = io.BytesIO()
    >>> scipy.io.savemat(file, {"unit": {"spikes": [1.5, 2.0], "name": "a"}})
    >>> unit = read_mat_struct(file.getvalue(), "unit", name="unit.mat", remedy="save it again")
    >>> unit["spikes"][0].numbers(), unit["name"][0].text()
    (array([1.5, 2. ]), 'a')
    """
    try:
        if content[_HEADER - 4 : _HEADER] == b"\0\2IM":
            content = as_matlab_5(content, variable, name)
        mark = content[_HEADER - 4 : _HEADER]
        if mark not in (b"\0\1IM", b"\1\0MI"):
            raise ValueError("it is no file of MATLAB 5 to 7.3")
        order, at = "<" if mark == b"\0\1IM" else ">", _HEADER
        while at < len(content):
            kind, start, stop, at = _element(content, at, order)
            if kind != _COMPRESSED and _name(content, start, order) == variable:
                return MatArray(content, start, stop, order)
            if kind == _COMPRESSED:
                packed = content[start:stop]
                begin = zlib.decompressobj().decompress(packed, _BEGIN_OF_VARIABLE)
                if _name(begin, 8, order) == variable:
                    whole = zlib.decompress(packed)
                    return MatArray(whole, *_element(whole, 0, order)[1:3], order)
        raise KeyError(f"it has no variable {variable!r}")
    except _WRONG as error:
        raise RecordingError(
            f"{name} is cut off, damaged or has no variable {variable!r} ({type(error).__name__}: {error}); {remedy}"
        ) from error


def _name(content: bytes, start: int, order: str) -> str:
    """Name of the variable that begins at a place."""
    at = start
    for _ in range(2):  # flags and shape
        at = _element(content, at, order)[3]
    _, first, last, _ = _element(content, at, order)
    return content[first:last].decode()
