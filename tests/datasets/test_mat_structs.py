"""Structs of .mat files, read in parts: the same as SciPy reads; damaged ones are named."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from damage import loads_or_names
from recording_files import mat_file, structs

from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.mat_structs import read_mat_struct

NUMBERS = [
    np.arange(12.0).reshape(3, 4),
    np.arange(5, dtype="i2"),
    np.array([[True, False]]),
    np.zeros((0, 3)),
    np.arange(24, dtype="f4").reshape(2, 3, 4),
    np.array(2**40, dtype="i8"),
    np.array([[250]], "u1"),
]


def read(content, variable="data"):
    return read_mat_struct(content, variable, name="unit.mat", remedy="download it again")


def as_scipy(array, field, element):
    return np.asarray(array.ravel(order="F")[element][field])


@pytest.mark.parametrize("compress", [False, True])
def test_fields_are_those_of_scipy(compress):
    rows = [(values, f"naïve {k}", structs(["t"], [(values,), (2 * values,)])) for k, values in enumerate(NUMBERS)]
    content = mat_file(compress=compress, other=np.ones(3), data=structs(["values", "name", "inner"], rows))
    expected = scipy.io.loadmat(io.BytesIO(content))["data"]
    data = read(content)
    assert data.shape == (1, len(NUMBERS))
    for k, values in enumerate(NUMBERS):
        whole = as_scipy(expected, "values", k)
        np.testing.assert_array_equal(data["values"][k].numbers(), whole.ravel(order="F"))
        if values.size:
            assert data["values"][k].shape == whole.shape
        assert data["name"][k].text() == f"naïve {k}"
        np.testing.assert_array_equal(data["inner"][k]["t"][1].numbers(), 2 * values.ravel(order="F"))


def test_structs_go_down_the_columns():
    grid = np.empty((2, 3), dtype=[("k", object)])
    for place in np.ndindex(2, 3):
        grid[place]["k"] = 10 * place[0] + place[1]
    data = read(mat_file(data=grid))
    assert [entry.number() for entry in data["k"]] == [0, 10, 1, 11, 2, 12]


def test_what_is_something_else():
    data = read(mat_file(data={"text": "noon", "number": 1.0, "complex": np.array([1j]), "two": [1, 2], "none": ""}))
    for field, method, words in [
        ("text", "numbers", "numbers"),
        ("number", "text", "text"),
        ("complex", "numbers", "complex"),
        ("two", "number", "too many values"),
    ]:
        with pytest.raises(ValueError, match=words):
            getattr(data[field][0], method)()
    assert data["none"][0].text() == ""
    with pytest.raises(KeyError, match="no field 'missing'"):
        data["missing"]
    with pytest.raises(KeyError, match="no field 't'"):
        data["number"][0]["t"]


def test_bytes_in_the_other_order():
    """The same struct with one field, written by hand as a big-endian machine would."""

    def element(kind, data):
        return np.array([kind, len(data)], ">u4").tobytes() + data + bytes(-len(data) % 8)

    def array(kind, shape, *parts, name=b""):
        flags, sizes = np.array([kind, 0], ">u4").tobytes(), np.array(shape, ">i4").tobytes()
        return element(14, element(6, flags) + element(5, sizes) + element(1, name) + b"".join(parts))

    length = np.array([4 << 16 | 5, 8], ">u4").tobytes()
    numbers = array(6, (1, 2), element(9, np.array([0.5, 3.0], ">f8").tobytes()))
    variable = array(2, (1, 1), length, element(1, b"t".ljust(8, b"\0")), numbers, name=b"data")
    content = b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI" + variable
    assert read(content)["t"][0].numbers().tolist() == [0.5, 3.0]
    assert scipy.io.loadmat(io.BytesIO(content))["data"]["t"][0, 0].tolist() == [[0.5, 3.0]]


GOOD = mat_file(data={"t": np.arange(20.0), "name": "x"})
PACKED = mat_file(data={"t": np.arange(20.0), "name": "x"}, compress=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no file of MATLAB 5"),
        (b"<html>log in</html>" * 20, "no file of MATLAB 5"),
        (mat_file(data=np.ones(3), format="4"), "no file of MATLAB 5"),
        (GOOD[:128], "no variable"),
        (GOOD[:170], "ends within"),
        (PACKED[:136] + b"?" + PACKED[137:], "decompressing"),
        (mat_file(other=np.ones(3)), "no variable 'data'"),
    ],
)
def test_damaged_files_are_named(content, words):
    with pytest.raises(RecordingError, match=rf"unit\.mat .*'data'.*{words}.*download it again"):
        read(content)


@pytest.mark.parametrize("whole", [GOOD, PACKED])
def test_a_file_that_is_cut_anywhere_is_named_or_complete(whole):
    for length in range(len(whole)):
        data = loads_or_names(lambda length=length: read(whole[:length]), "unit.mat", RecordingError)
        if data is not None:
            assert data["t"][0].numbers().tolist() == list(range(20))


def test_any_damaged_byte_is_an_error_or_harmless():
    """Whatever a byte becomes, there is an answer soon, and errors are those that the readers expect."""
    for place in range(128, len(GOOD)):
        content = GOOD[:place] + bytes([GOOD[place] ^ 0xFF]) + GOOD[place + 1 :]
        try:
            data = read(content)
            [entry.numbers() for entry in data["t"]]
        except (ValueError, KeyError, struct.error):  # a RecordingError is a ValueError
            continue


def test_a_bad_checksum_is_named():
    damaged = PACKED[:-1] + bytes([PACKED[-1] ^ 1])
    with pytest.raises(zlib.error):
        zlib.decompress(damaged[136:])
    with pytest.raises(RecordingError, match=r"unit\.mat"):
        read(damaged)
