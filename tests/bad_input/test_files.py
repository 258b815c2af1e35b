"""Files that are missing, damaged or hostile, full disks and folders that can't be written: named, and nothing lost."""

import bz2
import contextlib
import gzip
import hashlib
import http.server
import io
import lzma
import os
import resource
import signal
import stat
import struct
import tarfile
import threading
import tracemalloc
import zipfile
import zlib
from types import MappingProxyType

import numpy as np
import pytest
import scipy.io
import soundfile
from file_builders import cells_of, mat_file, mat_matrix, matlab_header, metadata_file, spike_file, tree

from deepSTRF.datasets import archives, download
from deepSTRF.datasets.audio import NS1Dataset
from deepSTRF.datasets.audio import ns1 as ns1_module
from deepSTRF.datasets.audio.sound_files import load_resampled_mono_wav, load_wav
from deepSTRF.datasets.download import RecordingError, RemoteFile, download_recording
from deepSTRF.datasets.mat_files import read_mat_variable
from deepSTRF.registry import UnknownNameError
from deepSTRF.utils.data_download import untar, unzip

# --- sounds --------------------------------------------------------------------------------------------------------


def wav(samples=np.zeros(100), fs=48000, **kwargs):
    file = io.BytesIO()
    soundfile.write(file, samples, fs, format="WAV", **kwargs)
    return file.getvalue()


SOUNDS = [
    ("empty-file", b"", ValueError, ["sound.wav", "expected WAV"]),
    ("text", b"hello", ValueError, ["sound.wav", "expected WAV"]),
    ("cut-in-the-header", wav()[:20], ValueError, ["sound.wav"]),
    ("cut-before-the-samples", wav()[:44], ValueError, ["sound.wav", "no samples"]),
    ("no-samples", wav(np.zeros(0)), ValueError, ["sound.wav", "no samples"]),
    ("nan", wav(np.array([0.0, np.nan]), subtype="FLOAT"), ValueError, ["sound.wav", "damaged", "NaN"]),
    ("inf", wav(np.array([0.0, np.inf]), subtype="FLOAT"), ValueError, ["sound.wav", "damaged", "infinite"]),
    ("folder", None, IsADirectoryError, ["sound.wav"]),
]


@pytest.mark.parametrize(("content", "error", "words"), [pytest.param(*row[1:], id=row[0]) for row in SOUNDS])
@pytest.mark.parametrize("load", [load_wav, lambda path: load_resampled_mono_wav(path, 16000)])
def test_bad_sounds(tmp_path, load, content, error, words):
    path = tmp_path / "sound.wav"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(error) as caught:
        load(path)
    assert [word for word in words if word not in str(caught.value)] == []
    assert content is None or path.read_bytes() == content


# --- .mat files ----------------------------------------------------------------------------------------------------


def in_a_cell(values):
    return matlab_header() + cells_of(b"data", (1, 1), mat_matrix(b"", 6, (1, 1), values))


GOOD = mat_file(data=np.arange(12.0).reshape(3, 4))
MAT_FILES = [
    ("empty", b"", ["does not start"]),
    ("html", b"<html>log in</html>" * 20, ["does not start"]),
    ("hdf5", b"\x89HDF\r\n\x1a\n" + bytes(200), ["7.3", "-v7"]),
    ("7.3", matlab_header(b"\0\2IM") + bytes(200), ["7.3", "-v7"]),
    ("level-4", mat_file(data=np.ones(3), format="4"), ["does not start"]),
    ("header-only", GOOD[:128], ["variables are: none"]),
    ("cut-in-a-tag", GOOD[:132], ["ends within an element"]),
    ("cut-in-a-variable", GOOD[:170], ["bytes, 34 are there"]),
    ("no-such-variable", mat_file(other=np.ones(3), more="x"), ["'data'", "other, more"]),
    ("sparse", mat_file(data=scipy.sparse.eye(3).tocsc()), ["class 5", "expected numbers, text and structs"]),
    ("damaged-zlib", (packed := mat_file(data=np.ones(99), compress=True))[:136] + b"?" + packed[137:], ["decompress"]),
    ("cut-zlib", mat_file(data=np.ones(99), compress=True)[:-4], ["bytes", "are there"]),
    ("many-cells", matlab_header() + cells_of(b"data", (2**15, 2**15), b""), ["1073741824 structs or cells in"]),
    ("negative", matlab_header() + cells_of(b"data", (2**32 - 1, 1), b""), ["negative"]),
    ("no-class", matlab_header() + mat_matrix(b"data", 99, (1, 1), b""), ["class 99"]),
    # scipy crashes, and Python with it: as a leaf with a name and as the usual leaf of a struct
    ("no-type", matlab_header() + mat_matrix(b"data", 6, (1, 1), struct.pack("<IId", 113, 8, 5.0)), ["type 113"]),
    ("no-type-within", in_a_cell(struct.pack("<IId", 0, 8, 5.0)), ["type 0"]),
    ("no-type-short", in_a_cell(struct.pack("<HHI", 66, 4, 5)), ["type 66"]),
    ("function", matlab_header() + mat_matrix(b"data", 16, (1, 1), b""), ["class 16", "numbers, text and structs"]),
]


@pytest.mark.parametrize(("content", "words"), [pytest.param(*row[1:], id=row[0]) for row in MAT_FILES])
def test_bad_mat_files(content, words):
    with pytest.raises(RecordingError) as caught:
        read_mat_variable(content, "data", name="unit.mat", remedy="download it again")
    message = str(caught.value)
    assert [word for word in ["unit.mat", "'data'", "download it again", *words] if word not in message] == []


def nested(depth):
    content = mat_matrix(b"", 6, (1, 1), struct.pack("<IId", 9, 8, 5.0))
    for _ in range(depth - 1):
        content = cells_of(b"", (1, 1), content)
    return matlab_header() + cells_of(b"data", (1, 1), content)


def test_nesting_is_bounded():
    value = read_mat_variable(nested(30), "data", name="a", remedy="b")
    for _ in range(30):
        value = value.item()
    assert value.item() == 5
    with pytest.raises(RecordingError, match="nested deeper than 32"):
        read_mat_variable(nested(20_000), "data", name="a", remedy="b")  # scipy would overflow the stack


def test_what_a_small_file_unpacks_to_is_bounded():
    bomb = zlib.compress(cells_of(b"data", (1, 1), bytes(200_000_000)), 9)
    content = matlab_header() + struct.pack("<II", 15, len(bomb)) + bomb
    assert len(content) < 200_000
    tracemalloc.start()
    with pytest.raises(RecordingError, match="far larger than its file"):
        read_mat_variable(content, "data", name="a", remedy="b")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000_000


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_everything_that_scipy_writes_is_read_as_scipy_reads_it(compress, byte_order):
    rng = np.random.default_rng(0)
    struct_array = np.empty((1, 2), dtype=[("t", object), ("name", object)])
    struct_array[0, 0], struct_array[0, 1] = (rng.random((1, 5)), "öäü"), (np.zeros((0, 0)), {"deep": [1, "x"]})
    variables = {
        "data": struct_array,
        "numbers": rng.random((2, 3, 4)),
        "complex": rng.random(3) + 1j,
        "small": np.array([1, 2], dtype=np.int8),
        "truth": np.array([True, False]),
        "cells": np.array([np.ones(2), "abc", None], dtype=object)[:2],
        "empty_struct": {},
        "text": np.array(["one", "three"]),
    }
    content = mat_file(compress=compress, **variables)
    if byte_order == ">":
        content = mat_file(**{"data": 5.0})
        content = content[:124] + b"\1\0MI" + big_endian_scalar(5.0)
        assert read_mat_variable(content, "data", name="a", remedy="b").item() == 5
        return
    expected = scipy.io.loadmat(io.BytesIO(content))
    for name in variables:
        assert_same(read_mat_variable(content, name, name="a", remedy="b"), expected[name])


def big_endian_scalar(value):
    body = (
        struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, 1, 1) + struct.pack(">II", 1, 4) + b"data\0\0\0\0"
    )
    body += struct.pack(">IId", 9, 8, value)
    return struct.pack(">II", 14, len(body)) + body


def assert_same(got, expected):
    if expected is None:  # what scipy makes of a struct without fields
        assert got is None
        return
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    if got.dtype.names:
        for name in got.dtype.names:
            assert_same(got[name], expected[name])
    elif got.dtype == object:
        for a, b in zip(got.ravel(), expected.ravel(), strict=True):
            assert_same(a, b)
    else:
        np.testing.assert_array_equal(got, expected, strict=True)


# --- NS1 -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ns1_folder(tmp_path):
    """Yield a release of two units with the authors' cochleagrams, so that no sound is needed."""
    (tmp_path / "MetadataSHEnCneurons.mat").write_bytes(metadata_file(["a/one.mat", "a/two.mat"]))
    scipy.io.savemat(tmp_path / "test_data_5ms.mat", {"X_nfht": np.zeros((20, 34, 1, 999))})
    with zipfile.ZipFile(tmp_path / "spikesandwav.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("one", "two"):
            archive.writestr(f"spikesandwav/a/{name}.mat", spike_file([[[1.0, 2.0], []]] * 20))
    return tmp_path


def load_ns1(folder):
    return NS1Dataset(folder, cochleagram="authors", smooth=False)


def test_the_folder_is_good(ns1_folder):
    assert load_ns1(ns1_folder).responses[3][1].shape == (2, 999)


def rewrite_zip(folder, write, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(folder / "spikesandwav.zip", "w", method) as archive:
        write(archive)


def with_unit(content, **kwargs):
    def change(folder):
        rewrite_zip(
            folder, lambda z: [z.writestr(f"spikesandwav/a/{n}.mat", content) for n in ("one", "two")], **kwargs
        )

    return change


def with_metadata(content):
    return lambda folder: (folder / "MetadataSHEnCneurons.mat").write_bytes(content)


def encrypted(folder):
    """Set the flag of encryption in the local headers and in the list of members."""
    path = folder / "spikesandwav.zip"
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    path.write_bytes(content)


def zip_is_a_folder(folder):
    (folder / "spikesandwav.zip").unlink()
    (folder / "spikesandwav.zip").mkdir()


NS1_FOLDERS = [
    ("encrypted", encrypted, ["one.mat", "encrypted"]),
    ("zip-is-a-folder", zip_is_a_folder, ["spikesandwav.zip", "directory"]),
    ("bomb", with_unit(bytes(2**26 + 1)), ["one.mat", "larger than"]),
    ("other-compression", with_unit(b"x", method=zipfile.ZIP_LZMA), ["spikesandwav.zip", "compressed in another way"]),
    ("no-repeats", with_unit(spike_file([[]] * 20)), ["one.mat", "without repeats"]),
    ("few-sounds", with_unit(spike_file([[[1.0]]] * 19)), ["one.mat", "structure", "set(1..20)"]),
    ("spikes-nan", with_unit(spike_file([[[np.nan]]] * 20)), ["one.mat", "not finite"]),
    ("spikes-complex", with_unit(spike_file([[[1j]]] * 20)), ["one.mat", "complex"]),
    ("spikes-text", with_unit(spike_file([[["noon"]]] * 20)), ["one.mat", "structure"]),
    ("other-variable", with_unit(mat_file(spikes=np.ones(3))), ["one.mat", "no variable 'data'", "spikes"]),
    ("no-units", with_metadata(mat_file(neuron=np.zeros((0, 0)))), ["Metadata", "no unit"]),
    ("metadata-numbers", with_metadata(mat_file(neuron=np.ones((1, 3)))), ["Metadata", "struct array"]),
    ("path-up", with_metadata(metadata_file(["../../secret.mat"])), ["Metadata", "'../../secret.mat'", "release"]),
    ("path-absolute", with_metadata(metadata_file(["/etc/passwd"])), ["Metadata", "'/etc/passwd'", "release"]),
    ("cochleagram-text", lambda folder: scipy.io.savemat(folder / "test_data_5ms.mat", {"X_nfht": "loud"}),
     ["test_data_5ms", "expected finite numbers"]),
    ("cochleagram-nan", lambda folder: scipy.io.savemat(
        folder / "test_data_5ms.mat", {"X_nfht": np.full((20, 34, 1, 999), np.nan)}), ["test_data_5ms", "finite"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [pytest.param(*row[1:], id=row[0]) for row in NS1_FOLDERS])
def test_bad_releases_of_ns1(ns1_folder, change, words):
    change(ns1_folder)
    before = tree(ns1_folder)
    with pytest.raises(RecordingError) as caught:
        load_ns1(ns1_folder)
    assert [word for word in words if word not in str(caught.value)] == []
    assert tree(ns1_folder) == before


def test_a_member_that_hides_its_size_does_not_fill_the_memory(ns1_folder, monkeypatch):
    """The list of members says 10 bytes, the stream holds 128 MiB."""
    monkeypatch.setattr(ns1_module, "_LARGEST_FILE", 2**23)
    with_unit(bytes(2**27))(ns1_folder)
    path = ns1_folder / "spikesandwav.zip"
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 2**27), struct.pack("<I", 10)))
    tracemalloc.start()
    with pytest.raises(RecordingError, match=r"one\.mat"):
        load_ns1(ns1_folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25


# --- archives ------------------------------------------------------------------------------------------------------


def make_zip(path, members, method=zipfile.ZIP_DEFLATED):
    """Write (name, content, mode) triples, also those that ZipFile.write would not."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            info.external_attr = mode << 16
            with contextlib.suppress(UserWarning):  # of members that are there twice
                archive.writestr(info, content)
    return path


def make_tar(path, members, mode="w:gz"):
    """Write (name, content, type) triples; the content of a link is what it points to."""
    with tarfile.open(path, mode) as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content.decode()
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


NAMES = {
    "up": "../evil",
    "up-inside": "a/../../evil",
    "absolute": "/tmp/evil",
    "drive": "C:/evil",
    "windows-up": "..\\evil",
    "windows-absolute": "\\evil",
    "share": "//host/evil",
}


@pytest.fixture
def place(tmp_path):
    """Yield a folder in which everything but ``dest`` must stay as it is."""
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "mine.txt").write_text("mine")
    return tmp_path


def refused(unpack, archive, place, *words, dest="dest", **kwargs):
    before = tree(place)
    with pytest.raises(RecordingError) as caught:
        unpack(archive, place / dest, **kwargs)
    assert [word for word in [archive.name, "nothing", *words] if word not in str(caught.value)] == []
    assert tree(place) == before


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_member_leaves_the_folder(place, name):
    ok = ("fine", b"1")
    refused(unzip, make_zip(place / "a.zip", [(*ok, 0o644), (name, b"x", 0o644)]), place, "outside of the folder")
    refused(
        untar, make_tar(place / "a.tgz", [(*ok, tarfile.REGTYPE), (name, b"x", tarfile.REGTYPE)]), place, "outside of"
    )


def test_links_and_devices_are_refused(place):
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        refused(unzip, make_zip(place / "a.zip", [("link", b"/etc/passwd", mode | 0o777)]), place, "link or a device")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        refused(untar, make_tar(place / "a.tgz", [("l", b"/etc", kind), ("l/x", b"1", tarfile.REGTYPE)]), place, "link")


def test_a_member_is_there_once(place):
    twice = [("a", b"1"), ("./a", b"2")]
    refused(unzip, make_zip(place / "a.zip", [(*m, 0o644) for m in twice]), place, "FileExistsError")
    refused(untar, make_tar(place / "a.tar", [(*m, tarfile.REGTYPE) for m in twice], "w"), place, "FileExistsError")
    below = [("a", b"1"), ("a/b", b"2")]
    refused(unzip, make_zip(place / "b.zip", [(*m, 0o644) for m in below]), place, "a")
    refused(untar, make_tar(place / "b.tar", [(*m, tarfile.REGTYPE) for m in below], "w"), place, "a")


def test_bombs_are_refused(place, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST", 2**20)
    zeros = [("zeros", bytes(2**24))]
    refused(unzip, make_zip(place / "a.zip", [(*m, 0) for m in zeros]), place, "far more than its own size")
    refused(untar, make_tar(place / "a.tgz", [(*m, tarfile.REGTYPE) for m in zeros]), place, "far more")
    padded = gzip.compress(make_tar(place / "a.tar", [("a", b"1", tarfile.REGTYPE)], "w").read_bytes() + bytes(2**24))
    (place / "b.tgz").write_bytes(padded)
    refused(untar, place / "b.tgz", place, "far more than padding")
    # the size is a lie: the stream holds more than it says, or less
    (place / "b.zip").write_bytes(
        (place / "a.zip").read_bytes().replace(struct.pack("<I", 2**24), struct.pack("<I", 9))
    )
    refused(unzip, place / "b.zip", place, "CRC")
    monkeypatch.setattr(archives, "_LARGEST", 2**30)
    (place / "c.tar").write_bytes(make_tar(place / "d.tar", [("a", b"1", tarfile.REGTYPE)], "w").read_bytes()[:512])
    refused(untar, place / "c.tar", place)
    huge = tarfile.TarInfo("huge")
    huge.size = 10**15
    (place / "e.tar").write_bytes(huge.tobuf())
    refused(untar, place / "e.tar", place, "more than the disk has left")
    refused(unzip, make_zip(place / "f.zip", [("a", b"1" * 9, 0)], zipfile.ZIP_BZIP2), place, "method 12")


def test_damaged_archives_leave_nothing(place):
    rng = np.random.default_rng(0)
    names = ["a", "b/c"]
    content = rng.bytes(5000)
    zipped = make_zip(place / "good.zip", [(name, content, 0o644) for name in names]).read_bytes()
    tarred = make_tar(place / "good.tgz", [(name, content, tarfile.REGTYPE) for name in names]).read_bytes()
    for damaged in (b"", b"<html>", zipped[:-30], zipped[:2000] + b"x" + zipped[2001:], b"PK\3\4" + bytes(50)):
        (place / "bad.zip").write_bytes(damaged)
        refused(unzip, place / "bad.zip", place)
    checksum = tarred[:-8] + bytes(4) + tarred[-4:]  # all of it, but for the checksum, which comes after the padding
    in_the_middle = tarred[:3000] + b"xyz" + tarred[3003:]
    for damaged in (b"", b"<html>", tarred[:-300], in_the_middle, checksum, gzip.compress(b"no tar")):
        (place / "bad.tgz").write_bytes(damaged)
        refused(untar, place / "bad.tgz", place)
    for unpack in (unzip, untar):
        with pytest.raises(FileNotFoundError, match=r"no archive .*nowhere"):
            unpack(place / "nowhere", place / "dest")
        with pytest.raises(FileNotFoundError, match="no archive"):
            unpack(place, place / "dest")


def test_what_stands_in_the_way_is_refused_before_anything_moves(place):
    (place / "dest" / "b").mkdir()
    archive = make_zip(place / "a.zip", [("a", b"1", 0), ("b", b"2", 0)])
    refused(unzip, archive, place, "FileExistsError", "dest/b", "check the folder")
    archive = make_zip(place / "b.zip", [("a", b"1", 0), ("mine.txt/x", b"2", 0)])
    refused(unzip, archive, place, "mine.txt")
    refused(unzip, archive, place, "NotADirectoryError", dest="mine.txt")
    refused(unzip, archive, place, "mine.txt", "check the folder", dest="mine.txt/below")


@pytest.mark.parametrize("dest", ["new", "deep/er", "dest"])
def test_unzip(place, dest):
    archive = make_zip(
        place / "a.zip",
        [("top/", b"", stat.S_IFDIR | 0o755), ("top/sub/x", b"1", stat.S_IFREG | 0o4777), ("top/mine.txt", b"new", 0)],
    )
    assert unzip(archive, place / dest) == place / dest
    assert (place / dest / "top/sub/x").read_bytes() == b"1"
    assert not (place / dest / "top/sub/x").stat().st_mode & 0o7111  # no set-uid, nothing to be run
    unzip(str(archive), str(place / dest), strip_root=True)
    assert (place / dest / "sub/x").read_bytes() == b"1"
    assert (place / dest / "mine.txt").read_bytes() == b"new"  # of the same name: replaced
    assert (place / "mine.txt").read_text() == "mine"
    assert [p for p in place.rglob("*") if "unpacking" in p.name] == []
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((place / dest).stat().st_mode) == 0o777 & ~umask


def test_strip_root_needs_a_root(place):
    archive = make_zip(place / "a.zip", [("one/x", b"1", 0), ("two/x", b"2", 0)])
    refused(unzip, archive, place, "strip_root", "one, two", strip_root=True)
    refused(unzip, make_zip(place / "b.zip", [("one", b"1", 0)]), place, "strip_root", "one", strip_root=True)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_untar(place, mode):
    archive = make_tar(
        place / "a.tar",
        [
            ("top", b"", tarfile.DIRTYPE),
            ("top/readme", b"0", tarfile.REGTYPE),
            ("top/sub/x", b"1", tarfile.REGTYPE),
        ],
        mode,
    )
    assert untar(archive, place / "whole") == place / "whole"
    assert tree(place / "whole") == {"top": None, "top/readme": b"0", "top/sub": None, "top/sub/x": b"1"}
    untar(archive, place / "part", strip_components=1)
    assert tree(place / "part") == {"readme": b"0", "sub": None, "sub/x": b"1"}
    untar(archive, place / "dest", strip_components=2)  # members with no more than that are left out
    assert tree(place / "dest") == {"mine.txt": b"mine", "x": b"1"}
    with pytest.raises(ValueError, match="strip_components"):
        untar(archive, place / "dest", strip_components=-1)
    with pytest.raises(TypeError, match="strip_components"):
        untar(archive, place / "dest", strip_components=1.0)


# --- disks that are full or can't be written to --------------------------------------------------------------------


@contextlib.contextmanager
def largest_file(n_bytes):
    """No file may grow beyond `n_bytes`: writing fails half way, as on a full disk, without being root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def server(monkeypatch):
    """Serve one recording ``toy`` of a zip archive of 300 kB, and a small file with a known checksum."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("spikesandwav/a", np.random.default_rng(0).bytes(300_000))
    pages = {"/meta.mat": b"metadata", "/data.zip": file.getvalue()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(pages[self.path])))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client may have no room
                self.wfile.write(pages[self.path])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{httpd.server_port}"
        files = (
            RemoteFile("meta.mat", url + "/meta.mat", hashlib.sha256(b"metadata").hexdigest()),
            RemoteFile("data.zip", url + "/data.zip"),
        )
        monkeypatch.setattr(download, "RECORDINGS", MappingProxyType({"toy": files}))
        yield pages
        httpd.shutdown()
        thread.join()


def test_download_to_a_full_disk(server, disk):
    folder = disk(200)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(RecordingError, match=r"data\.zip can't be downloaded.*No space left"):
        download_recording("toy", folder, progress=False)
    assert tree(folder) == {"mine.txt": b"mine", "meta.mat": b"metadata"}  # complete files stay, half ones do not


def test_download_with_a_limit_on_file_sizes(server, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with largest_file(100_000), pytest.raises(RecordingError, match=r"data\.zip can't be downloaded.*too large"):
        download_recording("toy", tmp_path, progress=False)
    assert tree(tmp_path) == {"mine.txt": b"mine", "meta.mat": b"metadata"}
    download_recording("toy", tmp_path, progress=False)  # and with room it goes on
    assert (tmp_path / "data.zip").read_bytes() == server["/data.zip"]


def test_room_for_the_download_but_not_for_its_checksum(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.Path, "write_text", lambda *args, **kwargs: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RecordingError, match=r"data\.zip was fetched, but its checksum can't be written.*full"):
        download_recording("toy", tmp_path, progress=False)
    assert tree(tmp_path) == {"meta.mat": b"metadata"}


def test_download_to_a_disk_that_can_only_be_read(server, disk, read_only):
    folder = disk(1000)
    (folder / "meta.mat").write_bytes(b"metadata")
    read_only(folder)
    with pytest.raises(RecordingError, match=r"data\.zip can't be downloaded.*Read-only"):
        download_recording("toy", folder, progress=False)
    with pytest.raises(RecordingError, match=r"can't be made.*Read-only.*DEEPSTRF_DATA_DIR"):
        download_recording("toy", folder / "below", progress=False)
    assert tree(folder) == {"meta.mat": b"metadata"}


def test_download_to_places_that_are_no_folders(server, tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in ("file", "file/below"):
        with pytest.raises(RecordingError, match=r"file.* can't be made.*DEEPSTRF_DATA_DIR"):
            download_recording("toy", tmp_path / folder, progress=False)
    (tmp_path / "in" / "meta.mat").mkdir(parents=True)
    with pytest.raises(RecordingError, match=r"meta\.mat can't be read.*expected a file"):
        download_recording("toy", tmp_path / "in", progress=False)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("record", [b"", b"\xff\xfe\0", b"0" * 64, b"\n\n"])
def test_a_damaged_record_of_the_checksum_is_reported(server, tmp_path, record):
    download_recording("toy", tmp_path, progress=False)
    (tmp_path / "data.zip.sha256").write_bytes(record)
    before = tree(tmp_path)
    with pytest.raises(RecordingError, match=r"data\.zip is not the file.*\.sha256"):
        download_recording("toy", tmp_path, progress=False)
    assert tree(tmp_path) == before


def test_unknown_recordings():
    with pytest.raises(UnknownNameError, match="no recording 'NS99' to download; there are: NS1"):
        download_recording("NS99")


@pytest.mark.parametrize("exists", [True, False])
def test_unpacking_on_a_full_disk(tmp_path, disk, exists):
    folder = disk(200)
    (folder / "mine.txt").write_text("mine")
    if exists:
        (folder / "dest").mkdir()
        (folder / "dest" / "a").write_text("old")
    before = tree(folder)
    members = [("a", b"new"), ("b", np.random.default_rng(0).bytes(190_000)), ("c", b"9" * 4096 * 20)]
    archive = make_zip(tmp_path / "a.zip", [(*m, 0) for m in members])
    with pytest.raises(RecordingError, match="more than the disk has left"):
        unzip(archive, folder / "dest")
    # so many files that their names and blocks fill the disk, not their sizes
    archive = make_tar(tmp_path / "a.tgz", [(f"{k}", b"x", tarfile.REGTYPE) for k in range(100)])
    with pytest.raises(RecordingError, match=r"nothing was.*No space left.*check the folder"):
        untar(archive, folder / "dest")
    assert tree(folder) == before


@pytest.mark.parametrize("exists", [True, False])
def test_unpacking_with_a_limit_on_file_sizes(place, exists):
    archive = make_zip(place / "a.zip", [("a", b"new", 0), ("b", np.random.default_rng(0).bytes(300_000), 0)])
    with largest_file(100_000):
        refused(unzip, archive, place, "too large", "check the folder", dest="dest" if exists else "new")


def test_unpacking_to_a_disk_that_can_only_be_read(tmp_path, disk, read_only):
    folder = disk(1000)
    (folder / "dest").mkdir()
    read_only(folder)
    archive = make_zip(tmp_path / "a.zip", [("a", b"new", 0)])
    for dest in ("dest", "new"):
        with pytest.raises(RecordingError, match=r"Read-only file system.*check the folder"):
            unzip(archive, folder / dest)
    assert tree(folder) == {"dest": None}


def test_unpacking_reads_damaged_streams_of_every_kind(place):
    tar = make_tar(place / "a.tar", [("a", np.random.default_rng(0).bytes(3000), tarfile.REGTYPE)], "w").read_bytes()
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        packed = pack(tar)
        for damaged in (packed[: len(packed) // 2], packed[:1500] + b"?!?!" + packed[1504:]):
            (place / "bad.tar").write_bytes(damaged)
            refused(untar, place / "bad.tar", place)
