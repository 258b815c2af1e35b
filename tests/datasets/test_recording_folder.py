"""The folder of a public recording: what is fetched, unpacked, found and said."""

import contextlib
import dataclasses
import io
import multiprocessing
import tarfile
import zipfile
from types import MappingProxyType

import pytest
from file_server import FileServer, Page
from shell import tree

from deepSTRF.datasets import http_download, recording_folder
from deepSTRF.datasets.download import RecordingError, RemoteFile, locked_folder
from deepSTRF.datasets.hosts import CRCNS
from deepSTRF.datasets.public_recordings import RECORDINGS, PublicRecording
from deepSTRF.datasets.recording_folder import files_here, find_in, how_to_get
from deepSTRF.registry import UnknownNameError

open_folder = recording_folder.recording_folder


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return file.getvalue()


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Serve a recording "Toy": metadata for all, spikes in an archive, and sounds in another one as a part."""
    monkeypatch.setattr(http_download, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path / "data"))
    with FileServer().running() as running:
        running.pages |= {
            "/meta.csv": Page(b"cell\n1\n"),
            "/spikes.zip": Page(zipped({"release/v1/cells/1.txt": b"0.5"})),
            "/wav.tar.gz": Page(tarred({"wav/a.wav": b"sound"})),
        }
        files = (
            RemoteFile("meta.csv", running.url + "/meta.csv"),
            RemoteFile("spikes.zip", running.url + "/spikes.zip", gives="cells"),
            RemoteFile("wav.tar.gz", running.url + "/wav.tar.gz", part="wav", gives="wav"),
        )
        toy = PublicRecording("Toy", "https://toy.org", "CC0", "Toy et al. 2000", files, "1 kB")
        monkeypatch.setattr(recording_folder, "RECORDINGS", MappingProxyType({"Toy": toy}))
        monkeypatch.setattr(recording_folder, "_said", set())
        running.toy = toy
        yield running


def asked(server):
    return [path for _, path, _, _ in server.requests]


def test_it_is_fetched_unpacked_and_found(server, tmp_path):
    folder = open_folder("Toy", download=True, progress=False)
    assert folder == tmp_path / "data" / "Toy"
    assert find_in(folder, "cells", "Toy") == folder / "spikes" / "release" / "v1" / "cells"
    assert find_in(folder, "cells/1.txt", "Toy").read_bytes() == b"0.5"
    assert find_in(folder, "meta.csv", "Toy").read_bytes() == b"cell\n1\n"
    assert files_here(server.toy, folder) == {"meta.csv": True, "spikes.zip": True, "wav.tar.gz": False}
    with pytest.raises(FileNotFoundError, match=r"wav is missing in .*`deepstrf datasets toy --download`.*toy\.org"):
        find_in(folder, "wav", "Toy")

    assert open_folder("Toy", download=True, parts=["wav"], progress=False) == folder
    assert asked(server) == ["/meta.csv", "/spikes.zip", "/wav.tar.gz"]  # nothing twice
    assert find_in(folder, "wav", "Toy") == folder / "wav" / "wav"  # the folder of the same name in it
    for archive in ("spikes.zip", "wav.tar.gz"):  # not needed any more
        (folder / archive).unlink()
    open_folder("Toy", download=True, parts=["wav"], progress=False)
    assert len(server.requests) == 3


def test_an_archive_alone(server, tmp_path, monkeypatch):
    alone = dataclasses.replace(server.toy, files=server.toy.files[1:2])
    monkeypatch.setattr(recording_folder, "RECORDINGS", {"Toy": alone})
    folder = open_folder("Toy", tmp_path / "new" / "folder", download=True, progress=False)
    assert find_in(folder, "cells/1.txt", "Toy").read_bytes() == b"0.5"


def test_what_the_user_put_there_is_taken(server, tmp_path):
    folder = tmp_path / "mine"
    (folder / "anything" / "cells").mkdir(parents=True)
    (folder / "meta.csv").write_bytes(b"mine")
    (folder / "wav.tar.gz").write_bytes(server.pages["/wav.tar.gz"].body)
    before = tree(folder)
    open_folder("Toy", folder)
    assert tree(folder) == before
    open_folder("Toy", folder, parts=["wav"])  # an archive that was fetched by hand
    assert find_in(folder, "wav/a.wav", "Toy").read_bytes() == b"sound"
    open_folder("Toy", folder, parts=["wav"], download=True)
    assert asked(server) == []
    (folder / "other" / "cells").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"cells is in .* more than once"):
        find_in(folder, "cells", "Toy")


def test_a_folder_that_is_not_there(server, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data/Toy does not exist; `deepstrf datasets toy --download`"):
        open_folder("Toy")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"file is a file; give the folder that it lies in"):
        open_folder("Toy", tmp_path / "file")
    for path in ("file", "file/below"):
        with pytest.raises(RecordingError, match=r"file.* can't be made.*DEEPSTRF_DATA_DIR"):
            open_folder("Toy", tmp_path / path, download=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_names_that_do_not_exist(server):
    with pytest.raises(UnknownNameError, match="unknown recording 'Toys'; available: Toy"):
        open_folder("Toys")
    with pytest.raises(ValueError, match="unknown part of Toy 'wave'"):
        open_folder("Toy", download=True, parts=["wave"])


def test_a_complete_folder_may_be_read_only(server, disk, read_only):
    folder = disk(1000)
    open_folder("Toy", folder, download=True, progress=False)
    read_only(folder)
    open_folder("Toy", folder, download=True, progress=False)
    with pytest.raises(RecordingError, match=r"can't be made or written to.*Read-only"):
        open_folder("Toy", folder, download=True, parts=["wav"], progress=False)


@pytest.mark.parametrize("name", ["../evil", "/tmp/deepstrf-evil", "a/../../../evil", "..\\..\\evil"])
def test_hostile_archives(server, tmp_path, name):
    """Neither kind of archive writes outside of the folder; the rest of the disk stays as it is."""
    (tmp_path / "mine.txt").write_text("mine")
    server.pages["/spikes.zip"].body = zipped({"cells/1": b"1", name: b"evil"})
    server.pages["/wav.tar.gz"].body = tarred({"wav/a.wav": b"1", name: b"evil"})
    inside = tmp_path / "data" / "Toy"
    for parts in ((), ("wav",)):
        with contextlib.suppress(RecordingError):  # zipfile leaves out what leads up, tarfile raises
            open_folder("Toy", download=True, parts=parts, progress=False)
        outside = {path for path in tmp_path.rglob("*") if path.is_file() and inside not in path.parents}
        assert outside <= {tmp_path / "mine.txt", tmp_path / "data" / ".terms" / "Toy"}
        for archive in ("spikes", "wav"):
            within = inside / archive
            assert all(within in path.resolve().parents for path in within.rglob("*"))
    assert not any(path.name == "deepstrf-evil" for path in (tmp_path.parent, inside.parent) if path.exists())


def test_links_in_archives(server, tmp_path):
    server.pages["/wav.tar.gz"].body = tarred({"wav/a.wav": b"1", "wav/passwd": "/etc/passwd"})
    with pytest.raises(RecordingError, match=r"wav\.tar\.gz can't be unpacked.*'wav/passwd' is a link"):
        open_folder("Toy", download=True, parts=["wav"], progress=False)
    assert not (tmp_path / "data" / "Toy" / "wav").exists()


def test_terms_are_said_once(server, tmp_path, capsys, monkeypatch):
    expected = "Toy (https://toy.org): Toy et al. 2000\n  licence: CC0\n"
    folder = open_folder("Toy", tmp_path / "there", download=True, progress=False)
    assert capsys.readouterr().err.startswith(expected)
    recording_folder._said.clear()  # another process
    open_folder("Toy", folder)
    assert capsys.readouterr() == ("", "")

    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path / "file"))  # where nothing can be noted
    for said in (expected, ""):
        open_folder("Toy", folder)
        assert capsys.readouterr().err == said


def _download(folder):
    open_folder("Toy", folder, download=True)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the server is found by forking")
def test_two_processes_take_turns(server, tmp_path, capfd):
    folder = tmp_path / "both"
    processes = [multiprocessing.get_context("fork").Process(target=_download, args=(folder,)) for _ in range(2)]
    with locked_folder(folder):
        for process in processes:
            process.start()
        while capfd.readouterr().err.count("waiting for it") + len(server.requests) < 1:
            pass
        assert asked(server) == []
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(asked(server)) == ["/meta.csv", "/spikes.zip"]
    assert find_in(folder, "cells/1.txt", "Toy").read_bytes() == b"0.5"


# --- the registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=RECORDINGS)
def test_every_recording_says_where_it_is_from(recording, tmp_path):
    assert recording.page.startswith("https://")
    assert recording.licence
    assert recording.citation
    assert recording.size
    assert len({file.name for file in recording.files}) == len(recording.files)
    for file in recording.files:
        assert file.name == file.name.strip("/.")
        assert all(url.startswith("https://") for url in file.urls)
    assert not any(files_here(recording, tmp_path / "nowhere").values())
    assert recording.needs_login == (recording.name in ("AA1", "AA2", "AA4", "CRCNS_AC1"))
    assert ("CRCNS_PASSWORD" in how_to_get(recording)) == recording.needs_login


def test_addresses_are_those_of_the_archives():
    """As the release notes of 0.1.0 and the pages of the recordings have them."""
    urls = {file.name: file.url for recording in RECORDINGS.values() for file in recording.files}
    allen = "https://allen-brain-observatory.s3.amazonaws.com/visual-coding-neuropixels/ecephys-cache/"
    calcium = "sub-516024042_ses-530026508-StimC_behavior+image+ophys.nwb"
    expected = {
        "natural_movie_3.h5": allen + "natural_movie_templates/natural_movie_3.h5",
        "natural_scene_117.tiff": allen + "natural_scene_templates/natural_scene_117.tiff",
        calcium: "https://webdav.dandiarchive.org/dandisets/000728/releases/0.240827.1809/sub-516024042/"
        + calcium.replace("+", "%2B"),
        "sub-707296975_ses-721123822.nwb": "https://api.dandiarchive.org/api/assets/"
        "224b57e5-c9a3-46ef-85db-966713f3ccbe/download/",
        "MetadataSHEnCneurons.mat": "https://osf.io/download/gdwyd/",
        "spikesandwav.zip": "https://osf.io/download/5nxga/",
        "test_data_5ms.mat": "https://raw.githubusercontent.com/monzilur/DNet/master/test_data_5ms.mat",
        "PEG_single_sites.zip": "https://zenodo.org/api/records/8044773/files/PEG_single_sites.zip/content",
        "crcns-aa1.zip": CRCNS + "aa-1/crcns-aa1.zip",
        "eeg.1.zip": "https://drum.lib.umd.edu/bitstreams/bef532d8-cf74-4b9d-9b4c-5c1f81610ce9/download",
        "zebf-auditory-restoration-1.zip": "https://api.figshare.com/v2/articles/29203457",
        "auditory_cortex_data.zip": "https://zenodo.org/api/records/16175377/files/auditory_cortex_data.zip/content",
    }
    assert {name: urls[name] for name in expected} == expected
