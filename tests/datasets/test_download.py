"""Downloads, from a server on this machine: complete and checked, or nothing."""

import contextlib
import hashlib
import http.server
import io
import threading
import zipfile
from types import MappingProxyType

import numpy as np
import pytest
from shell import tree

from deepSTRF.datasets import download
from deepSTRF.datasets.download import RecordingError, RemoteFile, default_cache_dir, download_recording


@pytest.fixture
def server():
    """Yield (url, pages): pages is a dict path -> bytes; a path that starts with /cut breaks off half way."""
    pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in pages:
                self.send_error(404)
                return
            body = pages[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path.startswith("/cut") else body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", pages
        httpd.shutdown()
        thread.join()


def zip_bytes(text=b"spikes"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("spikesandwav/a", text)
    return file.getvalue()


def register(monkeypatch, *files):
    monkeypatch.setattr(download, "RECORDINGS", MappingProxyType({"toy": files}))


def test_known_hash_and_recorded_hash(server, monkeypatch, tmp_path):
    url, pages = server
    pages["/meta"], pages["/zip"] = b"metadata", zip_bytes()
    register(
        monkeypatch,
        RemoteFile("meta.mat", url + "/meta", hashlib.sha256(b"metadata").hexdigest()),
        RemoteFile("data.zip", url + "/zip"),
    )
    folder = download_recording("toy", tmp_path / "a" / "b")
    assert (folder / "meta.mat").read_bytes() == b"metadata"
    assert (folder / "data.zip").read_bytes() == pages["/zip"]
    recorded = (folder / "data.zip.sha256").read_text().split()
    assert recorded == [hashlib.sha256(pages["/zip"]).hexdigest(), "data.zip"]
    assert sorted(p.name for p in folder.iterdir()) == ["data.zip", "data.zip.sha256", "meta.mat"]

    pages.clear()  # nothing is fetched twice
    assert download_recording("toy", folder, progress=False) == folder

    for name in ("data.zip", "meta.mat"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept + b"x")
        with pytest.raises(RecordingError, match=name):
            download_recording("toy", folder)
        assert (folder / name).read_bytes() == kept + b"x"  # reported, not overwritten
        (folder / name).write_bytes(kept)


def test_a_file_of_the_user_without_known_hash_is_taken_as_it_is(monkeypatch, tmp_path):
    register(monkeypatch, RemoteFile("data.zip", "http://127.0.0.1:9/never"))
    (tmp_path / "data.zip").write_bytes(b"mine")
    download_recording("toy", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["data.zip"]


@pytest.mark.parametrize("page", ["/wrong-hash", "/missing", "/cut.zip", "/login.zip", "closed-port"])
def test_a_failed_download_leaves_nothing(server, monkeypatch, tmp_path, page):
    url, pages = server
    pages.update({"/wrong-hash": b"other", "/cut.zip": zip_bytes(b"x" * 100_000), "/login.zip": b"<html>"})
    register(
        monkeypatch,
        RemoteFile(
            "data" + (".zip" if page.endswith("zip") else ".mat"),
            "http://127.0.0.1:9/" if page == "closed-port" else url + page,
            "0" * 64 if page == "/wrong-hash" else None,
        ),
    )
    with pytest.raises(RecordingError, match="data"):
        download_recording("toy", tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_unknown_recording(tmp_path):
    with pytest.raises(KeyError, match="unknown recording 'NS99'; available: NS1"):
        download_recording("NS99", tmp_path)


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path))
    assert default_cache_dir("NS1") == tmp_path / "NS1"
    monkeypatch.delenv("DEEPSTRF_DATA_DIR")
    assert default_cache_dir("NS1").parts[-2:] == ("deepSTRF", "NS1")
    from deepSTRF.utils.data_download import default_cache_dir as old_name

    assert old_name is default_cache_dir


def test_registry_points_to_the_public_files():
    urls = {f.name: f.url for f in download.RECORDINGS["NS1"]}
    assert urls == {
        "MetadataSHEnCneurons.mat": "https://osf.io/download/gdwyd/",
        "spikesandwav.zip": "https://osf.io/download/5nxga/",
    }


# --- full disks, read-only disks, damaged checksums ------------------------------------------------------------------


@pytest.fixture
def toy(monkeypatch):
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


def test_download_to_a_full_disk(toy, disk):
    folder = disk(200)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(RecordingError, match=r"data\.zip can't be downloaded.*No space left"):
        download_recording("toy", folder, progress=False)
    assert tree(folder) == {"mine.txt": b"mine", "meta.mat": b"metadata"}  # complete files stay, half ones do not


def test_download_with_a_limit_on_file_sizes(toy, tmp_path, largest_file):
    (tmp_path / "mine.txt").write_text("mine")
    with largest_file(100_000), pytest.raises(RecordingError, match=r"data\.zip can't be downloaded.*too large"):
        download_recording("toy", tmp_path, progress=False)
    assert tree(tmp_path) == {"mine.txt": b"mine", "meta.mat": b"metadata"}
    download_recording("toy", tmp_path, progress=False)  # and with room it goes on
    assert (tmp_path / "data.zip").read_bytes() == toy["/data.zip"]


def test_room_for_the_download_but_not_for_its_checksum(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "write_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RecordingError, match=r"data\.zip was fetched, but its checksum can't be written.*full"):
        download_recording("toy", tmp_path, progress=False)
    assert tree(tmp_path) == {"meta.mat": b"metadata"}


def test_download_to_a_disk_that_can_only_be_read(toy, disk, read_only):
    folder = disk(1000)
    (folder / "meta.mat").write_bytes(b"metadata")
    read_only(folder)
    with pytest.raises(RecordingError, match=r"data\.zip can't be downloaded.*Read-only"):
        download_recording("toy", folder, progress=False)
    with pytest.raises(RecordingError, match=r"can't be made.*Read-only.*DEEPSTRF_DATA_DIR"):
        download_recording("toy", folder / "below", progress=False)
    assert tree(folder) == {"meta.mat": b"metadata"}


def test_download_to_places_that_are_no_folders(toy, tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in ("file", "file/below"):
        with pytest.raises(RecordingError, match=r"file.* can't be made.*DEEPSTRF_DATA_DIR"):
            download_recording("toy", tmp_path / folder, progress=False)
    (tmp_path / "in" / "meta.mat").mkdir(parents=True)
    with pytest.raises(RecordingError, match=r"meta\.mat can't be read.*expected a file"):
        download_recording("toy", tmp_path / "in", progress=False)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("record", [b"", b"\xff\xfe\0", b"0" * 64, b"\n\n"])
def test_a_damaged_record_of_the_checksum_is_reported(toy, tmp_path, record):
    download_recording("toy", tmp_path, progress=False)
    (tmp_path / "data.zip.sha256").write_bytes(record)
    before = tree(tmp_path)
    with pytest.raises(RecordingError, match=r"data\.zip is not the file.*\.sha256"):
        download_recording("toy", tmp_path, progress=False)
    assert tree(tmp_path) == before
