"""Downloads, from a server on this machine: complete and checked, or nothing."""

import hashlib
import http.server
import io
import threading
import zipfile
from types import MappingProxyType

import pytest

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


@pytest.mark.parametrize("page", ["/wrong-hash", "/missing", "/cut.zip", "/login.zip", "refused"])
def test_a_failed_download_leaves_nothing(server, monkeypatch, tmp_path, page):
    url, pages = server
    pages.update({"/wrong-hash": b"other", "/cut.zip": zip_bytes(b"x" * 100_000), "/login.zip": b"<html>"})
    register(
        monkeypatch,
        RemoteFile(
            "data" + (".zip" if page.endswith("zip") else ".mat"),
            "http://127.0.0.1:9/" if page == "refused" else url + page,
            "0" * 64 if page == "/wrong-hash" else None,
        ),
    )
    with pytest.raises(RecordingError, match="data"):
        download_recording("toy", tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_unknown_recording(tmp_path):
    with pytest.raises(KeyError, match="NS1"):
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
