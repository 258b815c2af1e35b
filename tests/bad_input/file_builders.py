"""Small files in the formats that the library reads, also impossible ones; and what lies in a folder."""

import io
import struct

import numpy as np
import scipy.io


def tree(folder):
    """Everything below `folder`: path to content, None for folders."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def mat_file(*, compress=False, format="5", **variables):
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compress, format=format)
    return file.getvalue()


def structs(fields, rows):
    """Build a (1, n) MATLAB struct array."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for i, row in enumerate(rows):
        for field, value in zip(fields, row, strict=True):
            array[0, i][field] = value
    return array


def spike_file(trials, compress=False):
    """Write the .mat file of one NS1 unit from trials[s][r] = spike times in ms."""
    sets = [(structs(["t"], [(np.atleast_2d(t) if len(t) else np.zeros((0, 0)),) for t in r]),) for r in trials]
    return mat_file(data=structs(["set"], [(structs(["repeats"], sets),)]), compress=compress)


def metadata_file(paths):
    fields = ["path", "depth", "NoiseRatio", "singleN", "singleT", "NrOfElectrodes", "ElectrodeNumber"]
    return mat_file(neuron=structs(fields, [(path, 450, 3.5, 1, "Yes", 32, 7) for path in paths]))


# --- MATLAB 5, byte by byte ----------------------------------------------------------------------------------------


def matlab_header(version=b"\0\1IM"):
    return b"MATLAB 5.0 MAT-file".ljust(124) + version


def mat_matrix(name, matlab_class, dimensions, content):
    body = struct.pack("<IIII", 6, 8, matlab_class, 0)
    body += struct.pack("<IIII", 5, 8, *dimensions)
    body += struct.pack("<II", 1, len(name)) + name.ljust(-(-len(name) // 8) * 8, b"\0")
    return struct.pack("<II", 14, len(body) + len(content)) + body + content


def cells_of(name, dimensions, content):
    return mat_matrix(name, 1, dimensions, content)
