"""Archives of the Laboratory of Brain, Hearing and Behavior: signals and their epochs in one .tgz."""

import io
import json
import tarfile

import h5py
import numpy as np


def write_archive(file, stem, members):
    """Write a .tgz of some members, bytes by the end of their names, in a folder of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for kind, content in members.items():
            info = tarfile.TarInfo(f"{stem}/{stem}.{kind}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def h5(**arrays):
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        for name, array in arrays.items():
            content[name] = array
    return file.getvalue()


def csv_rows(rows, header=()):
    return "\n".join(",".join(map(str, row)) for row in [*([header] if header else []), *rows]).encode()


def epochs_csv(epochs):
    return csv_rows(epochs, header=("name", "start", "end"))


def description(cells, fs=100):
    return json.dumps({"chans": list(cells), "fs": fs, "segments": [[0, 1]]}).encode()


def table(values):
    """CSV without header, NaN as an empty entry or 'nan'."""
    text = io.StringIO()
    np.savetxt(text, values, delimiter=",", fmt="%.7g")
    return text.getvalue().encode()
