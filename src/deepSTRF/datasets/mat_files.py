"""Reading .mat files of MATLAB 5 to 7.2, also damaged ones: scipy does it, after their structure is checked.

scipy believes sizes and types: a few changed bytes make it fill the memory with empty cells, nest until the stack is
full, read outside of its tables (a crash of Python), and otherwise fail with an error of any type.
"""

from __future__ import annotations

import io
import struct
import zlib
from math import prod

import numpy as np

from deepSTRF.datasets.download import RecordingError

__all__ = ["read_mat_variable"]

_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_CELL, _STRUCT, _OBJECT = 1, 2, 3
_LEAVES = frozenset((4, *range(6, 16)))  # text and the types of numbers; 5 is sparse, which no recording is
_VALUES = frozenset((*range(1, 8), 9, 12, 13, 16, 17, 18))  # types of what leaves hold: integers, floats, UTF
_IS_COMPLEX = 0x0800
_USUAL_LEAF = (_MATRIX, _UINT32, 8, _INT32, 8, _INT8, 0)
_LEAF_START = {order: struct.Struct(order + "14I").unpack_from for order in "<>"}
_PAIR = {order: struct.Struct(order + "II").unpack_from for order in "<>"}
_HEADER = 128
_DEEPEST = 32
# What a file may grow to when it is unpacked: numbers compress a few times, rows of zeros a hundred times.
_LARGEST, _MOST_EXPANSION = 2**26, 100


def read_mat_variable(content: bytes, variable: str, *, name: str, remedy: str) -> np.ndarray:
    """Read one variable of a .mat file.

    Parameters
    ----------
    content : bytes
        The file.
    variable : str
        Name of the variable.
    name : str
        Name of the file, for the message.
    remedy : str
        What to do if the file is bad, for the message.

    Returns
    -------
    numpy.ndarray
        As :func:`scipy.io.loadmat` gives it.

    Raises
    ------
    RecordingError
        If the file is cut off, damaged, of another format or has no such variable; the message names it.

    Examples
    --------
    >>> import scipy.io
    >>> file = io.BytesIO()
    >>> scipy.io.savemat(file, {"counts": np.eye(2)})
    >>> read_mat_variable(file.getvalue(), "counts", name="counts.mat", remedy="save it again")
    array([[1., 0.],
           [0., 1.]])
    """
    from scipy.io import loadmat

    try:
        return loadmat(io.BytesIO(_checked(content, variable)), variable_names=[variable])[variable]
    except Exception as error:  # scipy meets damaged bytes with errors of many types
        raise RecordingError(
            f"{name} is cut off, damaged or has no variable {variable!r} ({type(error).__name__}: {error}); {remedy}"
        ) from error


def _checked(content: bytes, variable: str) -> bytes:
    """Return a file with nothing but the variable, unpacked, of which every size is true."""
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[124:128] in (b"\0\2IM", b"\2\0MI"):
        raise ValueError("it is a file of MATLAB 7.3 (HDF5), save it in MATLAB with the option -v7")
    order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(content[124:128])
    if order is None:
        raise ValueError("it does not start as a file of MATLAB 5 to 7.2 does")
    at, names = _HEADER, []
    while at < len(content):
        kind, start, end, following = _tag(content, at, len(content), order)
        data, begin, stop = content, at, end
        if kind == _COMPRESSED:
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(content[start:end], _LARGEST + _MOST_EXPANSION * len(content))
            if not unpacking.eof:
                raise ValueError("a variable is cut off, or far larger than its file")
            begin, stop, following = 0, len(data), end  # compressed elements are not aligned
        name = _name(data, begin, stop, order)
        if name == variable:
            if _check_matrix(data, begin, stop, order, 0) != stop:
                raise ValueError("the variable does not end where it says")
            return content[:_HEADER] + data[begin:stop]
        names.append(name)
        at = following
    raise ValueError(f"its variables are: {', '.join(names) or 'none'}")


def _tag(data: bytes, at: int, stop: int, order: str) -> tuple[int, int, int, int]:
    """Type of the element at `at`, where its data start and end, and where the next element is."""
    if at + 8 > stop:
        raise ValueError(f"it ends within an element at byte {at}")
    kind, size = _PAIR[order](data, at)
    if kind >> 16:  # up to 4 bytes are stored within the tag
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise ValueError(f"a short element at byte {at} has {size} bytes")
        return kind, at + 4, at + 4 + size, at + 8
    end = at + 8 + size
    if end > stop:
        raise ValueError(f"an element at byte {at} has {size} bytes, {stop - at - 8} are there")
    return kind, at + 8, end, end if kind == _MATRIX else end + -size % 8


def _header(data: bytes, at: int, stop: int, order: str) -> tuple[int, int, str, int]:
    """Flags, size and name of the matrix whose contents start at `at`, and where its values start."""
    kind, start, end, at = _tag(data, at, stop, order)
    if kind != _UINT32 or end - start != 8:
        raise ValueError("a matrix without flags")
    flags = _PAIR[order](data, start)[0]
    kind, start, end, at = _tag(data, at, stop, order)
    if kind != _INT32 or (end - start) % 4 or not 8 <= end - start <= 128:
        raise ValueError("a matrix without dimensions")
    if end - start == 8:
        rows, columns = _PAIR[order](data, start)
        size, largest = rows * columns, max(rows, columns)
    else:
        dimensions = struct.unpack_from(f"{order}{(end - start) // 4}I", data, start)
        size, largest = prod(dimensions), max(dimensions)
    kind, start, end, at = _tag(data, at, stop, order)
    if kind != _INT8 or largest >= 2**31:
        raise ValueError("a matrix without a name, or of negative size")
    return flags, size, data[start:end].decode("latin1"), at


def _name(data: bytes, at: int, stop: int, order: str) -> str:
    kind, start, end, _ = _tag(data, at, stop, order)
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind}, expected a variable")
    return _header(data, start, end, order)[2]


def _check_matrix(data: bytes, at: int, stop: int, order: str, depth: int) -> int:
    """Raise ValueError unless the matrix at `at` fills its place with what its class and size promise."""
    if at + 56 <= stop:
        # Most of a recording are leaves with two dimensions and no name: one look at them instead of seven.
        words = _LEAF_START[order](data, at)
        if (
            words[:1] + words[2:4] + words[6:8] + words[10:12] == _USUAL_LEAF
            and words[4] & (_IS_COMPLEX | 0xFF) in _LEAVES
        ):
            short = words[12] >> 16
            end = at + 56 + (0 if short else words[13] + -words[13] % 8)
            kind = words[12] & 0xFFFF if short else words[12]
            if kind in _VALUES and short <= 4 and end == at + 8 + words[1] <= stop:
                return end
    kind, start, stop, following = _tag(data, at, stop, order)
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind} where a matrix is expected")
    if start == stop:  # an empty field
        return following
    flags, size, _, at = _header(data, start, stop, order)
    matlab_class = flags & 0xFF
    if matlab_class in _LEAVES:
        for _ in range(1 + bool(flags & _IS_COMPLEX)):
            kind, *_, at = _tag(data, at, stop, order)
            if kind not in _VALUES:  # scipy looks it up in a table without asking whether it is there, and crashes
                raise ValueError(f"values of the unknown type {kind}")
    elif matlab_class in (_CELL, _STRUCT, _OBJECT):
        if depth == _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
        n_fields = 1
        if matlab_class == _OBJECT:  # the name of its class
            *_, at = _tag(data, at, stop, order)
        if matlab_class != _CELL:
            _, start, end, at = _tag(data, at, stop, order)
            length = int.from_bytes(data[start:end], "little" if order == "<" else "big", signed=True)
            _, start, end, at = _tag(data, at, stop, order)
            if end - start and (length < 1 or (end - start) % length):
                raise ValueError(f"names of fields have {length} characters")
            n_fields = (end - start) // max(length, 1)
        if size > 1 and size * max(n_fields, 1) > (stop - at) // 8:
            raise ValueError(f"{size} structs or cells in {stop - at} bytes")
        for _ in range(size * n_fields):
            at = _check_matrix(data, at, stop, order, depth + 1)
    else:
        raise ValueError(f"it holds something of the MATLAB class {matlab_class}, expected numbers, text and structs")
    if at != stop:
        raise ValueError("a matrix does not end where it says")
    return following
