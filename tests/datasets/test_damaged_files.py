"""Damaged bytes into every reader: it loads with valid shapes or names the bad file; no crash, no hang, no litter."""

import io
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from damage import damaged, fuzzed, loads_or_names
from hypothesis import given
from hypothesis import strategies as st
from recording_files import mat_file, sound_file, spike_file, unit_metadata
from shell import tree

from deepSTRF.datasets import archives, download
from deepSTRF.datasets.archives import untar, unzip
from deepSTRF.datasets.audio import ns1_release
from deepSTRF.datasets.audio.sound_files import load_resampled_mono_wav, load_wav
from deepSTRF.datasets.download import RecordingError, RemoteFile
from deepSTRF.datasets.mat_files import read_mat_variable

_noise = np.random.default_rng(0).uniform(-0.9, 0.9, (60, 2))
SOUNDS = [
    sound_file(_noise, 44100, subtype="PCM_16"),
    sound_file(_noise[:, 0], 48000, subtype="FLOAT"),
    sound_file(_noise, 44100, subtype="PCM_24", format="WAVEX"),
    sound_file(_noise, 44100, subtype="IMA_ADPCM"),
    sound_file(_noise, 44100, subtype="PCM_16", format="FLAC"),
    sound_file(_noise, 44100, subtype="DOUBLE", format="AIFF"),
]


@fuzzed(150)
@given(damaged(*SOUNDS))
def test_sounds(tmp_path, content):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    loaded = loads_or_names(lambda: load_wav(path), "sound.wav", ValueError)
    if loaded is not None:
        waveform, fs = loaded
        assert waveform.dtype == torch.float32
        assert waveform.ndim == 2
        assert waveform.numel() > 0
        assert torch.isfinite(waveform).all()
        assert fs >= 1
        assert waveform.numel() < 1000 * len(content)
    assert path.read_bytes() == content


@fuzzed(30)
@given(damaged(*SOUNDS[:2]))
def test_resampled_sounds(tmp_path, content):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    # a damaged rate may be one that can't be resampled from: said of the rates, not of the file
    waveform = loads_or_names(lambda: load_resampled_mono_wav(path, 16000, 50), "", ValueError)
    if waveform is not None:
        assert waveform.shape == (1, 50)
        assert torch.isfinite(waveform).all()


# --- .mat files ------------------------------------------------------------------------------------------------------


# Sizes and types within a file that is not compressed are believed by SciPy (see mat_files), so those are left alone.
PACKED = [
    mat_file(data=np.arange(6.0).reshape(2, 3), compress=True),
    mat_file(data={"t": np.array([1.5, 2.5]), "name": "öä", "deep": {"er": np.eye(2, dtype=np.uint8)}}, compress=True),
]


@st.composite
def damaged_mat(draw, *files):
    """Draw one of the compressed files with damage to the stream of its variable."""
    content = draw(st.sampled_from(files))
    return content[:136] + draw(damaged(content[136:]))


@fuzzed(100)
@given(damaged_mat(*PACKED))
def test_mat_files(content):
    value = loads_or_names(
        lambda: read_mat_variable(content, "data", name="a.mat", remedy="again"), "a.mat", RecordingError
    )
    assert value is None or isinstance(value, np.ndarray)


UNITS = [
    spike_file([[[1.0, 2.5], []]] * 20, compress=True),
    spike_file([[[4994.0], [0.1, 0.2, 7.0]]] * 20, compress=True),
]


@fuzzed(60)
@given(damaged_mat(*UNITS))
def test_units_of_ns1(tmp_path, content):
    (tmp_path / "unit.mat").write_bytes(content)
    unit = loads_or_names(lambda: ns1_release.read_unit(tmp_path, "unit.mat", 999, 5.0), "unit.mat", RecordingError)
    if unit is not None:
        assert len(unit) == 20
        assert all(r.ndim == 2 and r.shape[0] >= 1 and r.shape[1] == 999 for r in unit)
        assert all(torch.isfinite(r).all() and (r >= 0).all() for r in unit)


@fuzzed(100)
@given(damaged_mat(unit_metadata(["exp1/a/cluster.01.mat", "exp2/cluster.02.mat"], compress=True)))
def test_metadata_of_ns1(tmp_path, content):
    (tmp_path / "MetadataSHEnCneurons.mat").write_bytes(content)
    units = loads_or_names(lambda: ns1_release.read_metadata(tmp_path), "MetadataSHEnCneurons", RecordingError)
    for unit in units or ():
        assert not unit["path"].startswith("/")
        assert ".." not in unit["path"].split("/")
        assert isinstance(unit["single_n"], int)


# --- archives --------------------------------------------------------------------------------------------------------


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


@fuzzed(100)
@given(damaged(*ZIPS))
def test_the_zip_of_ns1(tmp_path, content):
    (tmp_path / "spikesandwav.zip").write_bytes(content)

    def read():
        with ns1_release.open_release(tmp_path) as release:
            return ns1_release._read_bytes(release / "a/x.mat")

    data = loads_or_names(read, "spikesandwav", RecordingError, FileNotFoundError)
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
    done = loads_or_names(lambda: unpack(around / name, dest), name, RecordingError)
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


@fuzzed(100)
@given(damaged(*ZIPS))
def test_unzip(tmp_path, small_limit, content):
    unpacked_or_nothing(unzip, tmp_path, "a.zip", content)


@fuzzed(100)
@given(damaged(*TARS))
def test_untar(tmp_path, small_limit, content):
    unpacked_or_nothing(untar, tmp_path, "a.tar", content)


NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "b", "C:", "dest", "\\", "..\\", "öä", "x" * 300, "~", "CON", " ", "\n"]),
    min_size=1,
    max_size=4,
).map("/".join)


@fuzzed(60)
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


# --- the record of a checksum ----------------------------------------------------------------------------------------


@fuzzed(30)
@given(st.one_of(st.binary(max_size=80), damaged(b"0" * 64 + b"  data.zip\n")))
def test_records_of_checksums(tmp_path, record):
    target = tmp_path / "data.zip"
    target.write_bytes(b"data")
    (tmp_path / "data.zip.sha256").write_bytes(record)
    remote = RemoteFile("data.zip", "http://127.0.0.1:9/never")
    loads_or_names(lambda: download._check_present(remote, target), "data.zip", RecordingError)
    assert tree(tmp_path) == {"data.zip": b"data", "data.zip.sha256": record}
