"""Archives that are damaged, hostile or good, and disks that are full: unpacked as a whole, or nothing is."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from shell import tree

from deepSTRF.datasets import archives
from deepSTRF.datasets.archives import untar, unzip
from deepSTRF.datasets.download import RecordingError


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


def fails(unpack, archive, place, *words, dest="dest", **kwargs):
    before = tree(place)
    with pytest.raises(RecordingError) as caught:
        unpack(archive, place / dest, **kwargs)
    assert [word for word in [archive.name, "nothing", *words] if word not in str(caught.value)] == []
    assert tree(place) == before


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_member_leaves_the_folder(place, name):
    """zipfile leaves out what leads up, tarfile raises; neither writes outside."""
    archives = [
        (unzip, make_zip(place / "a.zip", [("fine", b"1", 0o644), (name, b"x", 0o644)])),
        (untar, make_tar(place / "a.tgz", [("fine", b"1", tarfile.REGTYPE), (name, b"x", tarfile.REGTYPE)])),
    ]
    before = tree(place)
    for unpack, archive in archives:
        with contextlib.suppress(RecordingError):
            unpack(archive, place / "dest")
        assert {path: content for path, content in tree(place).items() if not path.startswith("dest/")} == {
            path: content for path, content in before.items() if not path.startswith("dest/")
        }
        assert (place / "dest" / "mine.txt").read_text() == "mine"


def test_links_and_devices_in_tar_archives_raise(place):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        fails(untar, make_tar(place / "a.tgz", [("l", b"/etc", kind), ("l/x", b"1", tarfile.REGTYPE)]), place, "link")


def test_links_in_zip_archives_are_plain_files(place):
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        unzip(make_zip(place / "a.zip", [("link", b"/etc/passwd", mode | 0o777)]), place / "dest")
        assert stat.S_ISREG((place / "dest" / "link").lstat().st_mode)


def test_a_name_that_is_a_file_and_a_folder_raises(place):
    below = [("a", b"1"), ("a/b", b"2")]
    fails(unzip, make_zip(place / "b.zip", [(*m, 0o644) for m in below]), place, "a")
    fails(untar, make_tar(place / "b.tar", [(*m, tarfile.REGTYPE) for m in below], "w"), place, "a")


def test_archives_that_unpack_to_too_much_raise(place, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST", 2**20)
    zeros = [("zeros", bytes(2**24))]
    fails(unzip, make_zip(place / "a.zip", [(*m, 0) for m in zeros]), place, "far more than its own size")
    fails(untar, make_tar(place / "a.tgz", [(*m, tarfile.REGTYPE) for m in zeros]), place, "far more")
    # the size is a lie: the stream holds more than it says, or less
    (place / "b.zip").write_bytes(
        (place / "a.zip").read_bytes().replace(struct.pack("<I", 2**24), struct.pack("<I", 9))
    )
    fails(unzip, place / "b.zip", place, "CRC")
    monkeypatch.setattr(archives, "_LARGEST", 2**30)
    (place / "c.tar").write_bytes(make_tar(place / "d.tar", [("a", b"1", tarfile.REGTYPE)], "w").read_bytes()[:512])
    fails(untar, place / "c.tar", place)
    huge = tarfile.TarInfo("huge")
    huge.size = 10**15
    (place / "e.tar").write_bytes(huge.tobuf())
    fails(untar, place / "e.tar", place)


def test_damaged_archives_leave_nothing(place):
    rng = np.random.default_rng(0)
    names = ["a", "b/c"]
    content = rng.bytes(5000)
    zipped = make_zip(place / "good.zip", [(name, content, 0o644) for name in names]).read_bytes()
    tarred = make_tar(place / "good.tgz", [(name, content, tarfile.REGTYPE) for name in names]).read_bytes()
    for damaged in (b"", b"<html>", zipped[:-30], zipped[:2000] + b"x" + zipped[2001:], b"PK\3\4" + bytes(50)):
        (place / "bad.zip").write_bytes(damaged)
        fails(unzip, place / "bad.zip", place)
    checksum = tarred[:-8] + bytes(4) + tarred[-4:]  # all of it, but for the checksum, which comes after the padding
    in_the_middle = tarred[:3000] + b"xyz" + tarred[3003:]
    for damaged in (b"", b"<html>", tarred[:-300], in_the_middle, checksum, gzip.compress(b"no tar")):
        (place / "bad.tgz").write_bytes(damaged)
        fails(untar, place / "bad.tgz", place)
    for unpack in (unzip, untar):
        with pytest.raises(FileNotFoundError, match=r"no archive .*nowhere"):
            unpack(place / "nowhere", place / "dest")
        with pytest.raises(FileNotFoundError, match="no archive"):
            unpack(place, place / "dest")


def test_what_stands_in_the_way_raises_before_anything_moves(place):
    (place / "dest" / "b").mkdir()
    archive = make_zip(place / "a.zip", [("a", b"1", 0), ("b", b"2", 0)])
    fails(unzip, archive, place, "FileExistsError", "dest/b", "check the folder")
    archive = make_zip(place / "b.zip", [("a", b"1", 0), ("mine.txt/x", b"2", 0)])
    fails(unzip, archive, place, "mine.txt")
    fails(unzip, archive, place, "NotADirectoryError", dest="mine.txt")
    fails(unzip, archive, place, "mine.txt", "check the folder", dest="mine.txt/below")


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
    fails(unzip, archive, place, "strip_root", "one, two", strip_root=True)
    fails(unzip, make_zip(place / "b.zip", [("one", b"1", 0)]), place, "strip_root", "one", strip_root=True)


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
def test_unpacking_with_a_limit_on_file_sizes(place, exists, largest_file):
    archive = make_zip(place / "a.zip", [("a", b"new", 0), ("b", np.random.default_rng(0).bytes(300_000), 0)])
    with largest_file(100_000):
        fails(unzip, archive, place, "too large", "check the folder", dest="dest" if exists else "new")


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
            fails(untar, place / "bad.tar", place)
