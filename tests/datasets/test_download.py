"""Fetching one file, from a server on this machine that stalls, cuts, lies and asks for a password."""

import hashlib
import logging
import os
import traceback

import numpy as np
import pytest
from file_server import FileServer, Page
from shell import tree

from deepSTRF.datasets import download, http_download
from deepSTRF.datasets.download import CrcnsLoginError, RecordingError, RemoteFile, default_cache_dir, fetch_file

BODY = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
RECORD = f"{SHA256}  a.mat\n".encode()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http_download, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(http_download, "_PIECE", 5_000)
    with FileServer().running() as running:
        yield running


def fetch(server, folder, *, sha256=None, path="/a.mat", name="a.mat", **options):
    return fetch_file(RemoteFile(name, server.url + path, sha256), folder, progress=False, **options)


def ranges(server):
    return [headers.get("Range") for _, _, headers, _ in server.requests]


def test_the_checksum_is_known_or_that_of_the_first_download(server, tmp_path, capsys):
    server.pages["/a.mat"] = Page(BODY)
    assert fetch(server, tmp_path, sha256=SHA256) == tmp_path / "a.mat"
    assert tree(tmp_path) == {"a.mat": BODY}
    (tmp_path / "a.mat").unlink()
    fetch(server, tmp_path)
    assert tree(tmp_path) == {"a.mat": BODY, "a.mat.sha256": RECORD}
    server.pages.clear()  # nothing is fetched twice
    fetch(server, tmp_path)
    assert capsys.readouterr() == ("", "")
    (tmp_path / "a.mat").write_bytes(b"changed")
    for sha256 in (None, SHA256):
        with pytest.raises(RecordingError, match=f"a.mat is not the file that was.*{SHA256}"):
            fetch(server, tmp_path, sha256=sha256)
    assert (tmp_path / "a.mat").read_bytes() == b"changed"  # reported, not overwritten


def test_a_large_file_is_read_again_only_if_it_changed(server, tmp_path, monkeypatch):
    server.pages["/a.mat"] = Page(BODY)
    file, record = fetch(server, tmp_path), tmp_path / "a.mat.sha256"
    monkeypatch.setattr(download, "_LARGE", 1000)
    file.write_bytes(b"x" * 1001)
    os.utime(file, (1, 1))
    fetch(server, tmp_path)
    os.utime(file, (record.stat().st_mtime + 1,) * 2)
    with pytest.raises(RecordingError, match=r"a\.mat is not the file"):
        fetch(server, tmp_path)


def test_a_file_of_the_user_without_known_checksum_is_taken_as_it_is(server, tmp_path):
    (tmp_path / "a.mat").write_bytes(b"mine")
    fetch(server, tmp_path)
    assert tree(tmp_path) == {"a.mat": b"mine"}


def test_what_is_said(server, tmp_path, capsys):
    server.pages["/a.mat"] = Page(BODY)
    fetch_file(RemoteFile("a.mat", server.url + "/a.mat"), tmp_path)
    assert capsys.readouterr().err == "downloading a.mat from 127.0.0.1, 0.3 MB\n"  # no bar where there is no terminal


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_a_broken_connection_is_gone_on_with(server, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(http_download, "_SILENCE_S", 0.3)
    server.pages["/a.mat"] = Page(BODY, '"v1"', faults=[fault, fault, 503])
    fetch(server, tmp_path)
    assert ranges(server) == [None, "bytes=150000-", "bytes=225000-", "bytes=225000-"]
    assert tree(tmp_path) == {"a.mat": BODY, "a.mat.sha256": RECORD}


def test_a_download_that_failed_is_gone_on_with_by_the_next_one(server, tmp_path):
    server.pages["/a.mat"] = Page(BODY, '"v1"', faults=["cut", *[503] * 5])
    with pytest.raises(RecordingError, match=r"a\.mat can't be downloaded from http.*503"):
        fetch(server, tmp_path)
    assert tree(tmp_path) == {".a.mat.part": BODY[:150_000], ".a.mat.part-of": b'"v1"'}
    fetch(server, tmp_path)
    assert ranges(server)[-1] == "bytes=150000-"
    assert tree(tmp_path) == {"a.mat": BODY, "a.mat.sha256": RECORD}


def test_a_part_that_is_all_of_it(server, tmp_path):
    """The process was killed between the last byte and the move."""
    (tmp_path / ".a.mat.part").write_bytes(BODY)
    (tmp_path / ".a.mat.part-of").write_text('"v1"')
    server.pages["/a.mat"] = Page(BODY, '"v1"')
    fetch(server, tmp_path)
    assert tree(tmp_path) == {"a.mat": BODY, "a.mat.sha256": RECORD}


@pytest.mark.parametrize(
    "page",
    [
        Page(BODY, '"v2"'),  # another version
        Page(BODY, '"v1"', has_ranges=False),
        Page(BODY, '"v1"', faults=["other range"]),
        Page(BODY),
    ],
)
def test_a_part_of_something_else_is_fetched_anew(server, tmp_path, page):
    (tmp_path / ".a.mat.part").write_bytes(b"x" * 1000)
    (tmp_path / ".a.mat.part-of").write_text('"v1"')
    server.pages["/a.mat"] = page
    fetch(server, tmp_path)
    assert tree(tmp_path) == {"a.mat": BODY, "a.mat.sha256": RECORD}


def test_without_a_name_of_the_version_nothing_is_gone_on_with(server, tmp_path):
    for etag in ("", 'W/"v1"'):
        server.pages["/a.mat"] = Page(BODY, etag, faults=["cut"] * 20)
        with pytest.raises(RecordingError, match=r"a\.mat can't be downloaded"):
            fetch(server, tmp_path)
        assert tree(tmp_path) == {}
    assert set(ranges(server)) == {None}
    assert len(server.requests) == 12  # the first one, and five that brought nothing new


@pytest.mark.parametrize(
    ("name", "page", "message"),
    [
        ("a.mat", Page(b" <!DOCTYPE HTML><form>"), "web page"),
        ("a.mat", Page(b"Please log in", headers={"Content-Type": "text/html; charset=utf-8"}), "web page"),
        ("a.zip", Page(b"PK but no archive"), "not a .zip archive"),
        ("a.tgz", Page(b"no archive"), "not a .tgz archive"),
        ("a.tar.gz", Page(b"no archive"), "not a .tar.gz archive"),
        ("a.mat", Page(b"", faults=[403]), "403"),
        ("a.mat", Page(b"", faults=[404]), "404"),
    ],
)
def test_what_is_not_the_file_leaves_nothing(server, tmp_path, name, page, message):
    server.pages["/it"] = page
    with pytest.raises(RecordingError, match=f"{name} can't be downloaded.*{message}.*with a browser"):
        fetch(server, tmp_path, path="/it", name=name)
    assert tree(tmp_path) == {}
    assert len(server.requests) == 1  # asking again would not help


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.pages["/a.mat"] = Page(BODY, '"v1"')
    with pytest.raises(RecordingError, match=f"a.mat can't be downloaded.*{SHA256}"):
        fetch(server, tmp_path, sha256="0" * 64)
    assert tree(tmp_path) == {}


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(http_download, "_FIRST_WAIT_S", 0.0)
    with pytest.raises(RecordingError, match=r"a\.mat can't be downloaded from http://127\.0\.0\.1:9/"):
        fetch_file(RemoteFile("a.mat", "http://127.0.0.1:9/"), tmp_path, progress=False)
    assert tree(tmp_path) == {}


def test_a_busy_server_says_how_long_to_wait(server, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(http_download.time, "sleep", waited.append)
    server.pages["/a.mat"] = Page(BODY, headers={"Retry-After": "7"}, faults=[429])
    fetch(server, tmp_path)
    assert waited == [7.0]


def test_of_several_addresses_the_first_that_has_it(server, tmp_path):
    server.pages |= {"/2": Page(b"second"), "/3": Page(b"third")}
    urls = tuple(server.url + path for path in ("/1", "/2", "/3"))
    fetch_file(RemoteFile("a.mat", urls), tmp_path, progress=False)
    assert (tmp_path / "a.mat").read_bytes() == b"second"


def test_a_compressed_answer_counts_as_what_it_is(server, tmp_path):
    import gzip

    server.pages["/a.csv"] = Page(gzip.compress(b"a,b\n" * 1000), '"v1"', headers={"Content-Encoding": "gzip"})
    fetch(server, tmp_path, path="/a.csv", name="a.csv")
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n" * 1000


# --- accounts --------------------------------------------------------------------------------------------------------


@pytest.fixture
def crcns(server, monkeypatch):
    for module in (download, http_download):
        monkeypatch.setattr(module, "CRCNS", server.url + "/crcns/")
    monkeypatch.setenv("CRCNS_USERNAME", "me-myself")
    monkeypatch.setenv("CRCNS_PASSWORD", "hunter2-secret")
    server.pages["/crcns/aa-1/a.mat"] = Page(BODY, '"v1"', password="hunter2-secret")
    return server


def test_an_account_comes_from_the_environment(crcns, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    crcns.pages["/crcns/aa-1/a.mat"].faults.append("cut")
    fetch(crcns, tmp_path, path="/crcns/aa-1/a.mat")
    assert (tmp_path / "a.mat").read_bytes() == BODY
    assert ranges(crcns) == [None, "bytes=150000-"]
    method, _, _, form = crcns.requests[0]
    expected = {"fn": "aa-1/a.mat", "username": "me-myself", "password": "hunter2-secret", "submit": "Login"}
    assert (method, form) == ("POST", expected)
    assert "hunter2" not in caplog.text
    monkeypatch.delenv("CRCNS_PASSWORD")
    with pytest.raises(RuntimeError, match=r"CRCNS credentials missing.*CRCNS_USERNAME and CRCNS_PASSWORD"):
        fetch(crcns, tmp_path / "other", path="/crcns/aa-1/a.mat")
    assert len(crcns.requests) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (None, CrcnsLoginError, "CRCNS auth failed.*CRCNS_USERNAME"),  # the login page
        (307, RecordingError, "moved"),
        (403, RecordingError, "403"),
        ([503] * 9, RecordingError, "503"),
        (["cut"] * 99, RecordingError, "a.mat can't be downloaded"),
    ],
)
def test_no_error_shows_an_account(crcns, tmp_path, monkeypatch, caplog, capsys, fault, kind, message):
    caplog.set_level(logging.DEBUG)
    page = crcns.pages["/crcns/aa-1/a.mat"]
    page.headers["Location"] = crcns.url + "/thief"
    page.etag = ""
    page.faults = fault if isinstance(fault, list) else [fault]
    if fault is None:
        monkeypatch.setenv("CRCNS_PASSWORD", "hunter2-wrong")
    with pytest.raises(kind, match=message) as caught:
        fetch(crcns, tmp_path, path="/crcns/aa-1/a.mat")
    assert tree(tmp_path) == {}
    error = caught.value
    assert error.__context__ is None  # requests' own errors hold the form that was sent
    ours = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__) if "/src/deepSTRF/" in frame.f_code.co_filename
    ]
    assert ours
    shown = "".join(traceback.format_exception(error)) + repr([frame.f_locals for frame in ours])
    out, err = capsys.readouterr()
    for text in (shown, repr(error), caplog.text, out, err):
        assert "hunter2" not in text
        assert "me-myself" not in text
    assert not any(path == "/thief" for _, path, _, _ in crcns.requests)


def test_an_account_is_not_shown_by_its_object():
    assert "hunter2" not in repr(http_download.Login("me-myself", "hunter2"))


def test_an_account_that_is_given_comes_first(crcns, tmp_path, monkeypatch):
    monkeypatch.setenv("CRCNS_PASSWORD", "wrong")
    monkeypatch.delenv("CRCNS_USERNAME")
    fetch(crcns, tmp_path, path="/crcns/aa-1/a.mat", login=http_download.Login("you", "hunter2-secret"))
    assert crcns.requests[0][3]["username"] == "you"


# --- figshare --------------------------------------------------------------------------------------------------------


def test_figshare_is_asked_for_address_and_checksum(server, tmp_path, monkeypatch):
    import json

    monkeypatch.setattr(download, "FIGSHARE_API", server.url + "/articles/")
    server.pages["/files/1"] = Page(BODY)

    def list_files(*names, md5=hashlib.md5(BODY).hexdigest()):
        files = [{"name": name, "download_url": server.url + "/files/1", "computed_md5": md5} for name in names]
        server.pages["/articles/7"] = Page(json.dumps({"files": files}).encode())

    list_files("first release.mat")  # the only one may have another name
    fetch(server, tmp_path, path="/articles/7")
    assert tree(tmp_path) == {"a.mat": BODY, "a.mat.sha256": RECORD}
    (tmp_path / "a.mat").unlink()
    list_files("b.mat", "c.mat")
    with pytest.raises(RecordingError, match=r"no file a\.mat, but: b\.mat, c\.mat"):
        fetch(server, tmp_path, path="/articles/7")
    list_files("b.mat", "a.mat", md5="0" * 32)
    with pytest.raises(RecordingError, match="MD5"):
        fetch(server, tmp_path, path="/articles/7")
    assert tree(tmp_path) == {}


# --- full disks, read-only disks, damaged checksums ------------------------------------------------------------------


def test_download_to_a_full_disk(server, disk):
    server.pages["/a.mat"] = Page(BODY, '"v1"')
    folder = disk(200)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(RecordingError, match=r"a\.mat can't be downloaded.*No space left"):
        fetch(server, folder)
    assert tree(folder) == {"mine.txt": b"mine"}


def test_download_with_a_limit_on_file_sizes(server, tmp_path, largest_file):
    server.pages["/a.mat"] = Page(BODY, '"v1"')
    with largest_file(100_000), pytest.raises(RecordingError, match=r"a\.mat can't be downloaded.*too large"):
        fetch(server, tmp_path)
    assert tree(tmp_path) == {}
    fetch(server, tmp_path)  # and with room it goes on
    assert (tmp_path / "a.mat").read_bytes() == BODY


def test_room_for_the_download_but_not_for_its_checksum(server, tmp_path, monkeypatch):
    server.pages["/a.mat"] = Page(BODY)
    monkeypatch.setattr(download, "write_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RecordingError, match=r"a\.mat was fetched, but its checksum can't be written.*full"):
        fetch(server, tmp_path)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("record", [b"", b"\xff\xfe\0", b"0" * 64, b"\n\n"])
def test_a_damaged_record_of_the_checksum_is_reported(server, tmp_path, record):
    server.pages["/a.mat"] = Page(BODY)
    fetch(server, tmp_path)
    (tmp_path / "a.mat.sha256").write_bytes(record)
    before = tree(tmp_path)
    with pytest.raises(RecordingError, match=r"a\.mat is not the file.*\.sha256"):
        fetch(server, tmp_path)
    assert tree(tmp_path) == before


def test_a_folder_in_the_place_of_the_file(server, tmp_path):
    (tmp_path / "a.mat").mkdir()
    with pytest.raises(RecordingError, match=r"a\.mat can't be read.*expected a file"):
        fetch(server, tmp_path, sha256=SHA256)


# --- where recordings lie --------------------------------------------------------------------------------------------


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path))
    assert default_cache_dir("NS1") == tmp_path / "NS1"
    monkeypatch.delenv("DEEPSTRF_DATA_DIR")
    assert default_cache_dir("NS1").parts[-2:] == ("deepSTRF", "NS1")
    from deepSTRF.utils.data_download import default_cache_dir as old_name

    assert old_name is default_cache_dir
