"""``--download``: what is fetched by fit, evaluate, datasets and sweep, and what `deepstrf datasets` says of it."""

import json
from types import MappingProxyType

import pytest
from file_server import FileServer, Page
from shell import error_line, run
from tiny_data import Tiny

from deepSTRF import registry
from deepSTRF.datasets import recording_folder
from deepSTRF.datasets.download import RemoteFile
from deepSTRF.datasets.public_recordings import PublicRecording
from deepSTRF.registry import DatasetCard


class Toy(Tiny):
    """A recording of one file, which is fetched."""

    def __init__(self, path=None, dt_ms=5.0, download=False, password=None):
        folder = recording_folder.recording_folder("Toy", path, download=download)
        recording_folder.find_in(folder, "seed", "Toy")
        super().__init__(folder, dt_ms)
        self.path = str(folder)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    card = DatasetCard("toy", "s", "s", "a", "z", "Toy 2000", "CC0", "holdout:2", recording="Toy")
    monkeypatch.setattr(Toy, "card", card)
    monkeypatch.setitem(registry._datasets.entries, "toy", registry._Entry(card, Toy))  # for this test only
    with FileServer().running() as running:
        running.pages["/seed"] = Page(b"3")
        files = (RemoteFile("seed", running.url + "/seed"), RemoteFile("wav", running.url + "/wav", part="wav"))
        toy = PublicRecording("Toy", "https://toy.org", "CC0", "Toy 2000", files, "1 kB")
        monkeypatch.setattr(
            recording_folder, "RECORDINGS", MappingProxyType({**recording_folder.RECORDINGS, "Toy": toy})
        )
        monkeypatch.setattr(recording_folder, "_said", set())
        yield running


def test_datasets_says_what_is_here_and_fetches(server, tmp_path):
    listed = run("datasets", exit_code=0).output
    assert f"nothing in {tmp_path / 'data' / 'Toy'}" in listed
    assert "deepstrf datasets toy --download (1 kB)" in listed
    assert "licence       CC0" in listed
    assert "Toy 2000" in run("datasets", "toy", exit_code=0).output
    assert server.requests == []

    described = run("datasets", "toy", "--download", exit_code=0).output
    assert "Toy (https://toy.org): Toy 2000\n  licence: CC0\n" in described  # on first use
    assert "neurons       4" in described
    assert "1 of 2 files" in described  # as it is now
    assert f"path          {tmp_path / 'data' / 'Toy'}" in described
    run("datasets", "toy", "--download", "--data", "there", exit_code=0)
    assert (tmp_path / "there" / "seed").read_text() == "3"
    listed = {entry["name"]: entry for entry in json.loads(run("datasets", "--json", exit_code=0).output)}
    assert listed["toy"]["on_this_disk"] == f"1 of 2 files in {tmp_path / 'data' / 'Toy'}, without wav"
    assert "recording" not in listed["toy"]
    assert "to_get_it" not in listed["simulated"]


def test_fit_and_evaluate_fetch(server, tmp_path, no_figures):
    error_line("fit", "toy", "ridge", "--quiet", words=["data/Toy does not exist", "--download", "toy.org"])
    run("fit", "toy", "ridge", "--download", "--quiet", "--out", "a", exit_code=0)
    assert (tmp_path / "data" / "Toy" / "seed").read_text() == "3"
    assert '"download"' not in (tmp_path / "a" / "config.json").read_text()  # how the data came is no option of a run
    (tmp_path / "data" / "Toy" / "seed").unlink()
    error_line("evaluate", "a", words=["seed is missing", "--download"])
    assert "the same numbers" in run("evaluate", "a", "--download", exit_code=0).output


def test_a_sweep_fetches_before_anything_runs(server, tmp_path, no_figures):
    (tmp_path / "s.toml").write_text('out = "s"\n[[dataset]]\nname = ["toy", "tiny"]\n[[model]]\nname = "ridge"\n')
    error_line("sweep", "s.toml", "--jobs", "1", words=["data/Toy does not exist"])
    run("sweep", "s.toml", "--jobs", "1", "--download")
    assert [path for _, path, _, _ in server.requests] == ["/seed"]
    assert (tmp_path / "data" / "Toy" / "seed").read_text() == "3"
    (tmp_path / "t.toml").write_text('out = "t"\n[[dataset]]\nname = "tiny"\n[[model]]\nname = "ridge"\n')
    error_line(
        "sweep", "t.toml", "--download", words=["no data set of the sweep has anything to download", "--download"]
    )


def test_what_cannot_be_downloaded(server, tmp_path):
    error_line("fit", "simulated", "--download", words=["'simulated' has nothing to download", "--download"])
    (tmp_path / "mine").mkdir()
    error_line("fit", "./mine", "--download", words=["on this disk already"])
    assert "name the data set" in run("datasets", "--download", exit_code=2).output
    server.pages.clear()
    error_line("fit", "toy", "--download", words=["seed can't be downloaded from http", "404", "data/Toy"])


def test_a_password_is_not_kept_in_a_run(server, tmp_path):
    line = error_line("fit", "toy", "--read", "password=hunter2", words=["CRCNS_USERNAME", "config.json", "--read"])
    assert "hunter2" not in line
    assert not (tmp_path / "runs").exists()
