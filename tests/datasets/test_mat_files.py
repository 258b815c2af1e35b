"""Variables of .mat files of every version; damaged ones are named."""

import sys

import numpy as np
import pytest
from damage import loads_or_names
from recording_files import mat_file

from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.mat_files import read_mat_variable


def read(content, variable="data"):
    return read_mat_variable(content, variable, name="unit.mat", remedy="download it again")


GOOD = mat_file(data=np.arange(12.0).reshape(3, 4))
PACKED = mat_file(data=np.arange(99.0), compress=True)


@pytest.mark.parametrize("format", ["4", "5"])
@pytest.mark.parametrize("compress", [False, True])
def test_a_variable_among_others(format, compress):
    content = mat_file(compress=compress, format=format, other=np.ones(3), data=np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(read(content), np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", ["truncated"], id="empty"),
        pytest.param(b"<html>log in</html>" * 20, ["Unknown mat file type"], id="html"),
        pytest.param(GOOD[:128], ["no variable"], id="header-only"),
        pytest.param(GOOD[:132], ["could not read"], id="cut-in-a-tag"),
        pytest.param(GOOD[:170], ["could not read"], id="cut-in-a-variable"),
        pytest.param(PACKED[:136] + b"?" + PACKED[137:], ["decompress"], id="damaged-zlib"),
        pytest.param(PACKED[:-4], ["corrupted"], id="cut-zlib"),
        pytest.param(mat_file(other=np.ones(3)), ["no variable 'data'"], id="other-variable"),
        pytest.param(mat_file(data=np.ones(3))[:125] + b"\2IM" + bytes(400), [], id="no-hdf5"),
    ],
)
def test_damaged_files_are_named(content, words):
    if not words:
        pytest.importorskip("pymatreader")
    with pytest.raises(RecordingError) as caught:
        read(content)
    message = str(caught.value)
    assert [word for word in ["unit.mat", "'data'", "download it again", *words] if word not in message] == []


@pytest.mark.parametrize("whole", [GOOD, PACKED, mat_file(data={"t": np.ones(3), "name": "x"})])
def test_a_file_that_is_cut_anywhere_is_named_or_complete(whole):
    expected = read(whole)
    for length in range(len(whole)):
        value = loads_or_names(lambda length=length: read(whole[:length]), "unit.mat", RecordingError)
        if value is not None:
            np.testing.assert_array_equal(value, expected)


def hdf5_file(path, **arrays):
    """Write a file as MATLAB 7.3 does: HDF5 after a header, axes reversed."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array.T).attrs["MATLAB_class"] = np.bytes_("double")
    content = path.read_bytes()
    return b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + content[128:]


def test_matlab_7_3(tmp_path, monkeypatch):
    content = hdf5_file(tmp_path / "a.mat", data=np.arange(12.0).reshape(3, 4), other=np.ones((2, 2)))
    pytest.importorskip("pymatreader")
    np.testing.assert_array_equal(read(content), np.arange(12.0).reshape(3, 4))
    with pytest.raises(RecordingError, match=r"unit\.mat .*'missing'"):
        read(content, "missing")
    monkeypatch.setitem(sys.modules, "pymatreader", None)
    with pytest.raises(ImportError, match=r"unit\.mat .*7\.3.*deepSTRF\[matlab\].*-v7"):
        read(content)
