"""Lopez Espejo 2019: counts by unit and stimulus, pooled over recordings; which stimuli are for test; waveforms."""

import numpy as np
import pytest
import soundfile
from espejo_files import EST, NAT, TEST, VMN, write_release
from file_server import FileServer, Page

from deepSTRF.datasets.audio import EspejoDataset, download_espejo_nat_waveforms, espejo
from deepSTRF.datasets.download import RecordingError


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("espejo")
    return folder, write_release(folder)


@pytest.mark.parametrize("stimuli", ["nat", "vmn"])
def test_counts_and_stimuli(release, stimuli):
    folder, truth = release
    ds = EspejoDataset(folder, stimuli)
    recordings = NAT if stimuli == "nat" else VMN
    cells = [meta["cell_id"] for meta in ds.nrn_meta]
    assert cells == list(dict.fromkeys(cell for recording in recordings.values() for cell in recording.cells))
    assert {meta["name"] for meta in ds.stim_meta} == set(EST + TEST)
    for s, stim in enumerate(ds.stim_meta):
        np.testing.assert_allclose(ds.stims[s][0], truth.stims[stimuli.upper(), stim["name"]], rtol=1e-5)
        for n, cell in enumerate(cells):
            counts = truth.counts.get((cell, stim["name"]))
            if counts is None:
                assert ds.responses[s][n] is ds.responses.missing
            else:  # the repeats of a recording in the order of presentation
                assert np.array_equal(ds.responses[s][n], counts)


def test_metadata_and_protocol(release):
    folder, _ = release
    ds = EspejoDataset(folder, "vmn")
    assert ds.nrn_meta[2] == {
        "cell_id": "por023a-a1", "experiment_set": "vmn", "site": "por023a", "animal_id": "por", "channel": "a",
        "unit": 1,
    }  # fmt: skip
    by_name = {meta["name"]: meta for meta in ds.stim_meta}
    assert by_name[TEST[0]] == {
        "name": TEST[0], "type": "vocalization_modulated_noise", "n_repeats": 10, "split": "test", "duration_s": 1.2,
        "n_samples": 120,
    }  # fmt: skip
    for stimuli in ("nat", "vmn"):
        ds = EspejoDataset(folder, stimuli)
        split = ds.split_indices("published")
        assert [len(part) for part in split] == [11, 1, 3]
        assert {ds.stim_meta[s]["name"] for s in split.test} == set(TEST)


def test_selections(release):
    folder, _ = release
    assert {meta["name"] for meta in EspejoDataset(folder, subset="test").stim_meta} == set(TEST)
    estimation = EspejoDataset(folder, subset="estimation", cells=["AMT003c-12-2"])
    assert [meta["cell_id"] for meta in estimation.nrn_meta] == ["AMT003c-12-2"]
    assert {meta["name"] for meta in estimation.stim_meta} == set(EST[:8])
    with pytest.raises(ValueError, match="AMT003c-12-2"):
        EspejoDataset(folder, cells=["AMT003c-12-3"])
    with pytest.raises(ValueError, match="F mismatch"):
        EspejoDataset(folder) + EspejoDataset(folder, "vmn")


@pytest.fixture
def bitbucket(monkeypatch):
    with FileServer().running() as server:
        monkeypatch.setattr(espejo, "bitbucket", lambda repository, path: f"{server.url}/{path}")
        yield server


def test_waveforms(bitbucket, tmp_path):
    write_release(tmp_path)
    with pytest.raises(FileNotFoundError, match="download_espejo_nat_waveforms"):
        EspejoDataset(tmp_path, subset="test", return_waveform=True)
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, np.full(44100, 0.5), 44100)  # longer than it was presented
    for k, (name, folder) in enumerate(zip(TEST, ("sounds_set3", "sounds", "Sounds_set3"), strict=True)):
        path = f"/Config/lbhb/SoundObjects/@NaturalSounds/{folder}/{name.removeprefix('STIM_')}"
        bitbucket.pages[path] = Page(sound.read_bytes() + bytes(k))
    ds = EspejoDataset(tmp_path, subset="test", return_waveform=True, download=True)
    assert ds.hop == 441
    for stim in ds.stims:
        assert stim.shape == (1, 120 * 441)
        assert np.flatnonzero(stim[0])[[0, -1]].tolist() == [22050, 70 * 441 - 1]
    files = download_espejo_nat_waveforms(TEST[:1], tmp_path, progress=False)
    assert files == {TEST[0]: tmp_path / "nat_waveforms" / TEST[0].removeprefix("STIM_")}
    with pytest.raises(RecordingError, match="excerpt1"):
        download_espejo_nat_waveforms(EST[:1], tmp_path, progress=False)
    with pytest.raises(TypeError, match="list"):
        download_espejo_nat_waveforms(TEST[0], tmp_path)


def test_bad_arguments_and_files(tmp_path):
    write_release(tmp_path)
    with pytest.raises(ValueError, match="10 ms"):
        EspejoDataset(tmp_path, dt_ms=5)
    with pytest.raises(ValueError, match="vmn"):
        EspejoDataset(tmp_path, "noise")
    with pytest.raises(ValueError, match="waveform"):
        EspejoDataset(tmp_path, "vmn", return_waveform=True)
    site = tmp_path / "A1_natural_sounds" / "NAT" / "BOL005c_5f6a7b.tgz"
    site.write_bytes(site.read_bytes()[:3000])
    with pytest.raises(RecordingError, match=r"BOL005c_5f6a7b\.tgz can't be read"):
        EspejoDataset(tmp_path)
    (tmp_path / "A1_voc_mod_noise" / "VMN").rename(tmp_path / "A1_voc_mod_noise" / "other")
    with pytest.raises(FileNotFoundError, match="VMN"):
        EspejoDataset(tmp_path, "vmn")


def test_recordings_that_differ_in_a_spectrogram(tmp_path):
    truth = write_release(tmp_path / "a")
    other = write_release(tmp_path / "b", seed=1)
    site = "A1_natural_sounds/NAT/BOL005c_5f6a7b.tgz"
    (tmp_path / "a" / site).write_bytes((tmp_path / "b" / site).read_bytes())
    with pytest.warns(UserWarning, match="different spectrograms of 6 stimuli"):
        ds = EspejoDataset(tmp_path / "a")
    for meta, stim in zip(ds.stim_meta, ds.stims, strict=True):
        first = truth if meta["name"] in NAT["AMT003c"].repeats else other
        np.testing.assert_allclose(stim[0], first.stims["NAT", meta["name"]])
