"""The functions of 0.1.0 that download one file: their addresses, and what they raise."""

import json

import pytest
from file_server import FileServer, Page
from shell import tree

from deepSTRF.datasets import download, hosts, http_download, single_files
from deepSTRF.datasets.download import RecordingError
from deepSTRF.utils import data_download


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http_download, "_FIRST_WAIT_S", 0.0)
    with FileServer().running() as running:
        for module in (hosts, download, http_download):
            if hasattr(module, "FIGSHARE_API"):
                monkeypatch.setattr(module, "FIGSHARE_API", running.url + "/articles/")
            monkeypatch.setattr(module, "CRCNS", running.url + "/crcns/")
        yield running


@pytest.mark.parametrize(
    ("function", "arguments", "url"),
    [
        ("stream_download", ("https://a.org/b",), "https://a.org/b"),
        ("osf_download", ("gdwyd",), "https://osf.io/download/gdwyd/"),
        ("zenodo_download", (8044773, "a b.zip"), "https://zenodo.org/api/records/8044773/files/a%20b.zip/content"),
        ("github_raw_download", ("me/it", "d/a.mat"), "https://raw.githubusercontent.com/me/it/HEAD/d/a.mat"),
        ("crcns_download", ("aa-1/a.zip",), "https://portal.nersc.gov/project/crcns/download/aa-1/a.zip"),
    ],
)
def test_addresses(monkeypatch, tmp_path, function, arguments, url):
    asked = []
    monkeypatch.setattr(single_files, "fetch_file", lambda remote, folder, **_: asked.append((remote, folder)))
    getattr(data_download, function)(*arguments, tmp_path / "below" / "file.zip")
    [(remote, folder)] = asked
    assert (remote.urls, remote.name, folder) == ((url,), "file.zip", tmp_path / "below")


def test_a_file_that_is_there_is_left_alone(server, tmp_path):
    server.pages["/a"] = Page(b"content")
    for _ in range(2):
        assert data_download.stream_download(server.url + "/a", tmp_path / "a", progress=False) == tmp_path / "a"
    assert len(server.requests) == 1
    (tmp_path / "a").write_bytes(b"mine")
    data_download.stream_download(server.url + "/a", tmp_path / "a", progress=False)
    assert (tmp_path / "a").read_bytes() == b"mine"
    with pytest.raises(ValueError, match="dest must name a file"):
        data_download.stream_download(server.url + "/a", tmp_path)
    with pytest.raises(RecordingError, match="can't be written"):
        data_download.stream_download(server.url + "/a", tmp_path / "a" / "b")


def test_figshare(server, tmp_path):
    def articles(*names):
        files = [{"name": name, "download_url": f"{server.url}/{name}"} for name in names]
        server.pages["/articles/7"] = Page(json.dumps({"files": files}).encode())

    server.pages |= {"/a.zip": Page(b"PK"), "/b.mat": Page(b"b")}
    articles()
    with pytest.raises(RuntimeError, match="no files"):
        data_download.figshare_download(7, tmp_path)
    articles("a.zip", "b.mat")
    with pytest.raises(ValueError, match=r"several files; name one: a\.zip, b\.mat"):
        data_download.figshare_download(7, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file c\.mat, but: a\.zip, b\.mat"):
        data_download.figshare_download(7, tmp_path, filename="c.mat")
    assert data_download.figshare_download("7", tmp_path, filename="b.mat", progress=False).read_bytes() == b"b"
    articles("b.mat")
    assert data_download.figshare_download("7", tmp_path / "new", progress=False) == tmp_path / "new" / "b.mat"


def test_crcns(server, tmp_path, monkeypatch):
    for name in ("CRCNS_USERNAME", "CRCNS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    server.pages["/crcns/aa-1/a.mat"] = Page(b"spikes", password="right")
    with pytest.raises(RuntimeError, match="CRCNS credentials missing"):
        data_download.crcns_download("aa-1/a.mat", tmp_path / "a.mat")
    with pytest.raises(RuntimeError, match="CRCNS auth failed"):
        data_download.crcns_download("aa-1/a.mat", tmp_path / "a.mat", username="me", password="wrong")
    assert set(tree(tmp_path)) <= {".lock"}
    data_download.crcns_download("aa-1/a.mat", tmp_path / "a.mat", username="me", password="right", progress=False)
    assert (tmp_path / "a.mat").read_bytes() == b"spikes"
