"""Damaged bytes into every reader: it loads with valid shapes or says which file is bad; no crash, no hang, no litter.

The examples are the same in every run. Valid small files are cut, have bytes flipped, inserted, removed or written over
with numbers that lengths and counts are made of; and there are bytes that never were a file.
"""

import io
import struct
import tarfile
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import soundfile
import torch
from file_builders import mat_file, metadata_file, spike_file, tree
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deepSTRF.datasets import archives, download
from deepSTRF.datasets.audio import ns1
from deepSTRF.datasets.audio.sound_files import load_resampled_mono_wav, load_wav
from deepSTRF.datasets.download import RecordingError, RemoteFile
from deepSTRF.datasets.mat_files import read_mat_variable
from deepSTRF.training.checkpoint import load_state
from deepSTRF.utils.data_download import untar, unzip


def fuzzed(max_examples):
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


@st.composite
def damaged(draw, *files):
    """Draw one of the files with a few changes, or bytes that are no file."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=400))
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        # the start of a file, where lengths and counts lie, is hit as often as all the rest
        reach = draw(st.sampled_from((min(64, len(content)), len(content))))
        at = draw(st.integers(0, max(reach - 1, 0)))
        change = draw(st.sampled_from(("flip", "cut", "insert", "remove", "number", "repeat")))
        if change == "flip" and content:
            content[at] ^= draw(st.integers(1, 255))
        elif change == "cut":
            del content[draw(st.integers(0, len(content))) :]
        elif change == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif change == "remove":
            del content[at : at + draw(st.integers(1, 60))]
        elif change == "number":
            content[at : at + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", draw(st.sampled_from(NUMBERS)))
        elif change == "repeat":
            content[at:at] = content[at : at + draw(st.integers(1, 200))]
    return bytes(content)


def survives(read, name, *errors):
    """What `read` returns, or None if it says in one of `errors` that the file `name` is bad."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # also what is only warned about must come as an error
        try:
            value, refusal = read(), None
        except errors as error:
            value, refusal = None, error
    if refusal is not None:
        assert type(refusal) in errors, f"{type(refusal).__name__} is not one of ours: {refusal}"
        assert name in str(refusal), f"the message does not name {name}: {refusal}"
        assert len(str(refusal)) > len(name) + 20
    return value


# --- sounds --------------------------------------------------------------------------------------------------------


def sound(samples, fs=44100, **kwargs):
    file = io.BytesIO()
    soundfile.write(file, samples, fs, **{"format": "WAV", **kwargs})
    return file.getvalue()


_noise = np.random.default_rng(0).uniform(-0.9, 0.9, (60, 2))
SOUNDS = [
    sound(_noise, subtype="PCM_16"),
    sound(_noise[:, 0], 48000, subtype="FLOAT"),
    sound(_noise, subtype="PCM_24", format="WAVEX"),
    sound(_noise, subtype="IMA_ADPCM"),
    sound(_noise, subtype="PCM_16", format="FLAC"),
    sound(_noise, subtype="DOUBLE", format="AIFF"),
]


@fuzzed(400)
@given(damaged(*SOUNDS))
def test_sounds(tmp_path, content):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    loaded = survives(lambda: load_wav(path), "sound.wav", ValueError)
    if loaded is not None:
        waveform, fs = loaded
        assert waveform.dtype == torch.float32
        assert waveform.ndim == 2
        assert waveform.numel() > 0
        assert torch.isfinite(waveform).all()
        assert fs >= 1
        assert waveform.numel() < 1000 * len(content)
    assert path.read_bytes() == content


@fuzzed(60)
@given(damaged(*SOUNDS[:2]))
def test_resampled_sounds(tmp_path, content):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    # a damaged rate may be one that can't be resampled from: said of the rates, not of the file
    waveform = survives(lambda: load_resampled_mono_wav(path, 16000, 50), "", ValueError)
    if waveform is not None:
        assert waveform.shape == (1, 50)
        assert torch.isfinite(waveform).all()


# --- .mat files ----------------------------------------------------------------------------------------------------


_cells = np.empty((1, 3), dtype=object)
_cells[0] = [np.eye(2), "text", {"a": np.int8(1)}]
MAT_FILES = [
    mat_file(data=np.arange(6.0).reshape(2, 3)),
    mat_file(data=_cells, other=np.ones(3)),
    mat_file(data={"t": np.array([1.5, 2.5]), "name": "öä", "deep": {"er": np.eye(2, dtype=np.uint8)}}),
    mat_file(data=np.array([1 + 2j, 3]), truth=np.array([True])),
    mat_file(data=_cells, compress=True),
]


def recompressed(content, change):
    """A file of which the change is made to what is inside of the compressed variable, so that zlib does not tell."""
    inside = bytearray(zlib.decompress(content[136:]))
    packed = zlib.compress(change(inside))
    return content[:128] + struct.pack("<II", 15, len(packed)) + packed


@fuzzed(800)
@given(damaged(*MAT_FILES))
@example(recompressed(MAT_FILES[-1], lambda inside: bytes(inside[:-1])))
@example(recompressed(MAT_FILES[-1], lambda inside: bytes(inside) + bytes(9)))
def test_mat_files(content):
    value = survives(lambda: read_mat_variable(content, "data", name="a.mat", remedy="again"), "a.mat", RecordingError)
    if value is not None:
        assert isinstance(value, np.ndarray)
        assert value.nbytes <= 2000 * len(content)


@fuzzed(300)
@given(damaged(zlib.decompress(MAT_FILES[-1][136:])))
def test_mat_files_damaged_within(inside):
    content = recompressed(MAT_FILES[-1], lambda _: inside)
    survives(lambda: read_mat_variable(content, "data", name="a.mat", remedy="again"), "a.mat", RecordingError)


UNITS = [spike_file([[[1.0, 2.5], []]] * 20), spike_file([[[4994.0], [0.1, 0.2, 7.0]]] * 20, compress=True)]


@fuzzed(150)
@given(damaged(*UNITS))
def test_units_of_ns1(tmp_path, content):
    (tmp_path / "unit.mat").write_bytes(content)
    unit = survives(lambda: ns1._read_unit(tmp_path, "unit.mat", 999, 5.0), "unit.mat", RecordingError)
    if unit is not None:
        assert len(unit) == 20
        assert all(r.ndim == 2 and r.shape[0] >= 1 and r.shape[1] == 999 for r in unit)
        assert all(torch.isfinite(r).all() and (r >= 0).all() for r in unit)


@fuzzed(200)
@given(damaged(metadata_file(["exp1/a/cluster.01.mat", "exp2/cluster.02.mat"])))
def test_metadata_of_ns1(tmp_path, content):
    (tmp_path / "MetadataSHEnCneurons.mat").write_bytes(content)
    units = survives(lambda: ns1._read_metadata(tmp_path), "MetadataSHEnCneurons", RecordingError)
    for unit in units or ():
        assert not unit["path"].startswith("/")
        assert ".." not in unit["path"].split("/")
        assert isinstance(unit["single_n"], int)


# --- archives ------------------------------------------------------------------------------------------------------


def zip_file(method):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("spikesandwav/", "spikesandwav/a/x.mat", "spikesandwav/b", "spikesandwav/up/down"):
            archive.writestr(zipfile.ZipInfo(name), b"" if name.endswith("/") else b"123456789" * 9)
    return file.getvalue()


def tar_file(mode, format):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=format) as archive:
        for name in ("top/a", "top/" + 40 * "long/" + "x", "top/öä"):
            info = tarfile.TarInfo(name)
            info.size = 90
            archive.addfile(info, io.BytesIO(b"123456789" * 10))
    content = file.getvalue()
    return content if mode != "w" else content.rstrip(b"\0") + bytes(1024)


ZIPS = [zip_file(zipfile.ZIP_STORED), zip_file(zipfile.ZIP_DEFLATED)]
TARS = [
    tar_file("w", tarfile.GNU_FORMAT),
    tar_file("w", tarfile.PAX_FORMAT),
    tar_file("w:gz", tarfile.GNU_FORMAT),
    tar_file("w:bz2", tarfile.PAX_FORMAT),
    tar_file("w:xz", tarfile.GNU_FORMAT),
]


@fuzzed(250)
@given(damaged(*ZIPS))
def test_the_zip_of_ns1(tmp_path, content):
    (tmp_path / "spikesandwav.zip").write_bytes(content)

    def read():
        with ns1._open_release(tmp_path) as release:
            return ns1._read_bytes(release / "a/x.mat")

    data = survives(read, "spikesandwav", RecordingError, FileNotFoundError)
    assert data is None or len(data) < 1000 * len(content)
    assert tree(tmp_path) == {"spikesandwav.zip": content}


@pytest.fixture
def small_limit(monkeypatch):
    """Bound what an archive may unpack to, so that no example takes long."""
    monkeypatch.setattr(archives, "_LARGEST", 2**20)


def unpacked_or_nothing(unpack, folder, name, content):
    """Unpack into ``dest`` and look at everything around it."""
    around = folder / "around"
    around.mkdir(exist_ok=True)
    (around / "mine.txt").write_text("mine")
    (around / name).write_bytes(content)
    dest = around / "dest"
    done = survives(lambda: unpack(around / name, dest), name, RecordingError)
    found = tree(folder)
    inside = {path: found.pop(path) for path in list(found) if path.startswith("around/dest")}
    assert found == {"around": None, "around/mine.txt": b"mine", f"around/{name}": content}
    if done is None:
        assert inside == {}
    else:
        assert sum(len(data) for data in inside.values() if data) <= 2**20
        for path in sorted(dest.rglob("*"), reverse=True):
            assert not path.is_symlink()
            path.rmdir() if path.is_dir() else path.unlink()
        dest.rmdir()


@fuzzed(250)
@given(damaged(*ZIPS))
def test_unzip(tmp_path, small_limit, content):
    unpacked_or_nothing(unzip, tmp_path, "a.zip", content)


@fuzzed(300)
@given(damaged(*TARS))
def test_untar(tmp_path, small_limit, content):
    unpacked_or_nothing(untar, tmp_path, "a.tar", content)


NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "b", "C:", "dest", "\\", "..\\", "öä", "x" * 300, "~", "CON", " ", "\n"]),
    min_size=1,
    max_size=4,
).map("/".join)


@fuzzed(100)
@given(st.lists(NAMES, min_size=1, max_size=3))
def test_names_of_members(tmp_path, small_limit, names):
    """Whatever the members are called, they lie in the folder, or nothing is written."""
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(zipped, "w") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name), b"1")
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"1"))
    unpacked_or_nothing(unzip, tmp_path, "a.zip", zipped.getvalue())
    (tmp_path / "around" / "a.zip").unlink()
    unpacked_or_nothing(untar, tmp_path, "a.tar", tarred.getvalue())
    (tmp_path / "around" / "a.tar").unlink()


# --- the state of a training ---------------------------------------------------------------------------------------


def training_state():
    file = io.BytesIO()
    state = {"model": {"weight": torch.arange(6.0), "steps": torch.tensor(3)}, "history": [{"epoch": 0, "cc": 0.5}]}
    torch.save({**state, "random": {"python": (3, (1, 2, 3), None)}}, file)
    return file.getvalue()


STATE = training_state()


def listed(value):
    """Nested values as such that can be compared."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, dict):
        return [[key, listed(entry)] for key, entry in value.items()]
    return [listed(entry) for entry in value] if isinstance(value, list | tuple) else value


@fuzzed(400)
@given(damaged(STATE))
def test_states_of_trainings(tmp_path, content):
    """What can be read at all is what was written, to the bit."""
    path = tmp_path / "best.pt.resume"
    path.write_bytes(content)
    state = survives(lambda: load_state(path, torch.device("cpu")), "best.pt.resume", ValueError)
    assert state is None or listed(state) == listed(torch.load(io.BytesIO(STATE), weights_only=True))
    assert tree(tmp_path) == {"best.pt.resume": content}


# --- the record of a checksum --------------------------------------------------------------------------------------


@fuzzed(60)
@given(st.one_of(st.binary(max_size=80), damaged(b"0" * 64 + b"  data.zip\n")))
def test_records_of_checksums(tmp_path, record):
    target = tmp_path / "data.zip"
    target.write_bytes(b"data")
    (tmp_path / "data.zip.sha256").write_bytes(record)
    remote = RemoteFile("data.zip", "http://127.0.0.1:9/never")
    survives(lambda: download._check_present(remote, target), "data.zip", RecordingError)
    assert tree(tmp_path) == {"data.zip": b"data", "data.zip.sha256": record}
