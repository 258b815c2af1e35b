"""Files of MATLAB 7.3, which are HDF5: written again as MATLAB 5, so that one reader serves both."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

__all__ = ["as_matlab_5"]


def as_matlab_5(content: bytes, variable: str, name: str) -> bytes:
    """One variable of a file of MATLAB 7.3, as a file of MATLAB 5; without it where there is none.

    Numbers, texts, logicals, cells and structs are read; what else MATLAB has is not. The parameters are those of
    :func:`~deepSTRF.datasets.mat_files.read_mat_variable`. Raises ImportError if h5py is missing.
    """
    from scipy.io import savemat

    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{name} is a file of MATLAB 7.3, which is read by h5py: pip install 'deepSTRF[matlab]', or save it in "
            "MATLAB with the option -v7"
        ) from error
    with h5py.File(io.BytesIO(content)) as file:
        variables = {variable: _array(h5py, file, file[variable])} if variable in file else {}
    written = io.BytesIO()
    savemat(written, variables)
    return written.getvalue()


def _array(h5py: Any, file: Any, item: Any) -> np.ndarray:
    """An array as SciPy gives it: MATLAB's order of the axes, structs with fields of objects, cells of objects."""
    if isinstance(item, h5py.Group):
        fields = dict(item)
        # In an array of structs every field is a table of references; in one struct such a table is a cell.
        if fields and all(_refers(h5py, field) and "MATLAB_class" not in field.attrs for field in fields.values()):
            columns = {key: _referred(h5py, file, field) for key, field in fields.items()}
        else:
            columns = {key: _of_objects((1, 1), [_array(h5py, file, field)]) for key, field in fields.items()}
        shape = next((column.shape for column in columns.values()), (1, 1))
        structs = np.empty(shape, [(key, object) for key in columns])
        for key, column in columns.items():
            structs[key] = column
        return structs
    kind = item.attrs.get("MATLAB_class", b"")
    if item.attrs.get("MATLAB_empty", 0):
        empty = np.empty([int(length) for length in item[()]])
        return np.array([""]) if kind == b"char" else empty.astype(object) if kind == b"cell" else empty
    if _refers(h5py, item):
        return _referred(h5py, file, item)
    values = item[()].T
    if kind == b"char":
        return np.array([np.ascontiguousarray(line, "<u2").tobytes().decode("utf-16-le") for line in values])
    return values.astype(bool) if kind == b"logical" else values


def _refers(h5py: Any, item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is h5py.Reference


def _referred(h5py: Any, file: Any, item: Any) -> np.ndarray:
    references = item[()].T
    return _of_objects(references.shape, [_array(h5py, file, file[entry]) for entry in references.ravel()])


def _of_objects(shape: tuple[int, ...], entries: list[np.ndarray]) -> np.ndarray:
    cells = np.empty(len(entries), object)
    for k, entry in enumerate(entries):
        cells[k] = entry
    return cells.reshape(shape)
