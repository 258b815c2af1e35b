"""Files of MATLAB 5 written again as MATLAB 7.3 does: HDF5 after a header, axes reversed, references for cells."""

import io

import h5py
import numpy as np
import scipy.io


def as_matlab_73(content):
    """Write every variable of a file of MATLAB 5 as MATLAB 7.3 does."""
    variables = scipy.io.loadmat(io.BytesIO(content), chars_as_strings=True)
    written = io.BytesIO()
    with h5py.File(written, "w", userblock_size=512) as file:
        for name, value in variables.items():
            if not name.startswith("__"):
                _write(file, file, name, np.asarray(value))
    return b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + written.getvalue()[128:]


def _write(file, place, name, value):
    if value.dtype.names and value.size == 1:
        place.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")
        for field in value.dtype.names:
            _write(file, place[name], field, np.asarray(value.ravel()[0][field]))
        return
    if value.dtype.names:
        place.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")
        for field in value.dtype.names:
            _refer(file, place[name], field, value[field])
        return
    if value.dtype == object:
        _refer(file, place, name, value)
        place[name].attrs["MATLAB_class"] = np.bytes_("cell")
        return
    kind = "char" if value.dtype.kind == "U" else "logical" if value.dtype == bool else value.dtype.name
    kind = {"float64": "double", "float32": "single"}.get(kind, kind)
    if value.size == 0 or (kind == "char" and not "".join(value.ravel())):
        place[name] = np.array([0, 0] if kind == "char" else value.shape, np.uint64)
        place[name].attrs["MATLAB_empty"] = np.uint8(1)
    elif kind == "char":
        place[name] = np.array([list(line.encode("utf-16-le")) for line in value.ravel()], "u1").view("<u2").T
    else:
        place[name] = (value.astype("u1") if kind == "logical" else value).T
    place[name].attrs["MATLAB_class"] = np.bytes_(kind)


def _refer(file, place, name, cells):
    refs = file.require_group("#refs#")
    references = np.empty(cells.shape, h5py.ref_dtype)
    for index in np.ndindex(cells.shape):
        key = f"r{len(refs)}"
        _write(file, refs, key, np.asarray(cells[index]))
        references[index] = refs[key].ref
    place.create_dataset(name, data=references.T, dtype=h5py.ref_dtype)
