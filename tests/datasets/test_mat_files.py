"""Variables of .mat files of every version; damaged ones are named."""

import sys

import numpy as np
import pytest
from damage import loads_or_names
from matlab73_files import as_matlab_73
from recording_files import mat_file, structs

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


STRUCTS = [
    {"name": "naïve", "times": np.array([[0.5, 1.5]], "f4"), "empty": np.zeros((0, 0)), "none": ""},
    {"inner": {"flag": np.array([[True, False]]), "cell": np.array([[np.ones((2, 1)), "b"]], object)}, "n": 250},
    structs(["name", "sound"], [("a", np.arange(6.0)[:, None]), ("bc", np.arange(4, dtype="i2")[None])]),
    np.arange(24.0).reshape(2, 3, 4),
    np.array([[np.ones((1, 1))]], object),
]


@pytest.mark.parametrize("data", STRUCTS)
def test_matlab_7_3_reads_as_matlab_5(data):
    content = mat_file(data=data, other=np.ones(3))
    assert_same(read(as_matlab_73(content)), read(content))


def assert_same(got, expected):
    assert (got.shape, got.dtype.kind) == (expected.shape, expected.dtype.kind)
    assert set(got.dtype.names or ()) == set(expected.dtype.names or ())
    if expected.dtype.names or expected.dtype == object:
        pairs = [(got, expected)] if expected.dtype == object else [(got[k], expected[k]) for k in expected.dtype.names]
        for mine, theirs in [pair for a, b in pairs for pair in zip(a.ravel(), b.ravel(), strict=True)]:
            assert_same(mine, theirs)
    else:
        np.testing.assert_array_equal(got, expected)


def test_matlab_7_3_without_the_variable_or_h5py(monkeypatch):
    content = as_matlab_73(GOOD)
    with pytest.raises(RecordingError, match=r"unit\.mat .*'missing'"):
        read(content, "missing")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"unit\.mat .*7\.3.*deepSTRF\[matlab\].*-v7"):
        read(content)
