"""Downer 2025: every spike of every channel in its bin, sounds without their silence, tuning by trial pairs."""

import numpy as np
import pytest
import torch
from downer2025_files import SESSIONS, TEST, VOCALIZATIONS, write_release

from deepSTRF.datasets.audio import Downer2025Dataset, downer_release
from deepSTRF.datasets.download import RecordingError


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("downer2025")
    return folder, write_release(folder)


@pytest.mark.parametrize(("kind", "dt_ms"), [("timit", 5.0), ("timit", 2.0), ("mvocs", 5.0)])
def test_every_spike(release, kind, dt_ms):
    folder, truth = release
    ds = Downer2025Dataset(folder, stimuli=kind, dt_ms=dt_ms, smooth=False, n_mels=8)
    cells = [f"{a}_{s}_{c}" for s, (a, channels) in SESSIONS.items() if s != "190607" for c in channels]
    assert sorted(meta["cell_id"] for meta in ds.nrn_meta) == sorted(cells)
    for s, stimulus in enumerate(ds.stim_meta):
        sound, fs = truth.sounds[kind, stimulus["stim_id"]]
        n_bins = int(len(sound) / fs * 1000 / dt_ms + 0.5)
        assert ds.stims[s].shape == (1, 8, n_bins)
        for n, neuron in enumerate(ds.nrn_meta):
            trials = truth.spikes.get((kind, neuron["cell_id"], stimulus["stim_id"]))
            if trials is None:
                assert ds.responses[s][n].shape == (1, 1)
                continue
            edges = np.arange(n_bins + 1) * dt_ms / 1000
            expected = [np.histogram(own[own < edges[-1]], edges)[0] for own in trials]
            assert np.array_equal(ds.responses[s][n], expected), (neuron, stimulus)


def test_metadata_and_protocol(release):
    ds = Downer2025Dataset(release[0], n_mels=8)
    by_id = {meta["cell_id"]: meta for meta in ds.nrn_meta}
    assert by_id["c_190606_Ch4ps2"] == {
        "cell_id": "c_190606_Ch4ps2", "session_id": "190606", "animal_id": "c", "hemisphere": "RH",
        "area_group": "core", "area": "A1", "channel": 4, "channel_suffix": "ps2", "n_channels_in_session": 3,
        "coord_x": -0.4, "coord_y": 1.4, "recording_type": "MUA",
    }  # fmt: skip
    assert [meta["channel"] for meta in ds.nrn_meta][:4] == [1, 1, 2, 10]
    assert ds.stim_meta[11] == {
        "name": "fadg0_si11", "type": "timit", "stim_id": 12, "duration_s": pytest.approx(0.1132, abs=1e-4),
        "n_samples": 1811, "split": "test", "befaft_s": (0.5, 0.5), "n_reps_canonical": 11,
    }  # fmt: skip
    split = ds.split_indices("published")
    assert tuple(ds.stim_meta[s]["stim_id"] for s in split.test) == TEST["timit"]
    assert [len(part) for part in split] == [18, 2, 2]
    vocalizations = Downer2025Dataset(release[0], stimuli="mvocs", n_mels=8, subset="test", smooth=False)
    assert [meta["stim_id"] for meta in vocalizations.stim_meta] == list(TEST["mvocs"])
    assert vocalizations.stim_meta[0]["n_reps_in_wav"] == VOCALIZATIONS.count(7)
    assert vocalizations.protocols == {}


def test_choice_of_channels(release):
    def sessions(**chosen):
        ds = Downer2025Dataset(release[0], _enumerate_only=True, **chosen)
        return {meta["session_id"] for meta in ds.nrn_meta}

    assert sessions() == {"180627", "190606", "191210"}
    assert sessions(areas="core") == {"180627", "190606"}
    assert sessions(areas=["RPB"]) == {"191210"}
    assert sessions(animals=["b"]) == {"180627"}
    assert sessions(sessions=[190607]) == {"190607"}
    with pytest.raises(FileNotFoundError, match=r"no session 170101.*180627"):
        sessions(sessions="170101")
    with pytest.raises(ValueError, match=r"no session in .* is of animals"):
        sessions(animals="f")


def test_spectrograms(release):
    scored = Downer2025Dataset(release[0], n_mels=8, subset="test", sessions="191210")
    assert scored.spectrogram is None
    assert scored.audio_fs == 16000
    for stim in scored.stims:
        torch.testing.assert_close(stim.mean(-1), torch.zeros(1, 8), atol=1e-5, rtol=0)
        torch.testing.assert_close(stim.std(-1, correction=0), torch.ones(1, 8))
    frequencies = np.asarray(scored.frequencies_hz)
    assert 0 < frequencies[0] < frequencies[-1] < 8000
    plain = [
        Downer2025Dataset(
            release[0], n_mels=8, subset="test", sessions="191210", spec_zscore=False, compression=compression
        )
        for compression in ("log1p", "log")
    ]
    assert not torch.allclose(plain[0].stims[0], plain[1].stims[0])
    assert plain[0].spectrogram.hop == 80


def test_waveforms(release):
    folder, truth = release
    ds = Downer2025Dataset(folder, n_mels=8, sessions="191210", return_waveform=True, smooth=False)
    assert ds.hop == 80
    sound = truth.sounds["timit", 12][0]
    waveform = ds.stims[11][0].numpy()
    assert len(waveform) % 80 == 0
    shared = min(len(waveform), len(sound))
    np.testing.assert_allclose(waveform[:shared], sound[:shared], atol=1e-6)
    with pytest.raises(ValueError, match="whole number of samples"):
        Downer2025Dataset(folder, dt_ms=1.03, return_waveform=True)


def test_tuning(release):
    ds = Downer2025Dataset(release[0], n_mels=8, smooth=False, subset="test", dt_ms=5.0)
    rng = np.random.default_rng(1)
    for s in range(2):  # the first channel follows the sound, the others do not
        bins = ds.stims[s].shape[-1]
        rate = rng.gamma(0.5, 20.0, bins)
        for n in range(ds.N_neurons):
            counts = rng.poisson(rate, (3, bins)) if n == 0 else rng.poisson(1.0, (3, bins))
            ds.responses[s][n] = torch.tensor(counts, dtype=torch.float32)
    ds.responses[0][2] = ds.responses[1][2] = torch.full((1, 1), torch.nan)
    found = ds.compute_paper_tuning(n_resamples=200, dt_ms_analysis=10, verbose=False)
    assert found["well_tuned"][0]
    assert found["correlation"][0] > 0.9
    assert np.isnan(found["effect_size"][2])
    assert not found["tuned"][2]
    assert not found["well_tuned"][1:].all()
    assert ds.nrn_meta[0]["well_tuned"] is True
    again = ds.compute_paper_tuning(n_resamples=200, dt_ms_analysis=10, verbose=False)
    np.testing.assert_array_equal(found["p_value"], again["p_value"])
    with pytest.raises(ValueError, match="multiple of the bin of 5 ms, got 12"):
        ds.compute_paper_tuning(dt_ms_analysis=12)
    estimation = Downer2025Dataset(release[0], n_mels=8, subset="estimation", sessions="191210")
    with pytest.raises(RuntimeError, match="no test stimulus"):
        estimation.compute_paper_tuning()


def test_one_session_at_a_time(release, monkeypatch):
    """Spikes of a session are gone when the session after the next is read."""
    import gc
    import weakref

    live, most, read = [], [], downer_release.read_channel

    def watched(file, code):
        gc.collect()
        most.append(sum(spikes() is not None for spikes in live))
        spikes, *trials = read(file, code)
        live.append(weakref.ref(spikes))
        return spikes, *trials

    monkeypatch.setattr(downer_release, "read_channel", watched)
    Downer2025Dataset(release[0], n_mels=8, subset="test")
    assert max(most) <= 4
    assert sum(spikes() is not None for spikes in live) == 0


def test_bad_files_and_arguments(tmp_path):
    write_release(tmp_path)
    for wrong in ({"stimuli": "songs"}, {"subset": "val"}, {"areas": "A2"}, {"compression": "sqrt"}, {"fmax": 9000}):
        with pytest.raises(ValueError, match="|".join(wrong)):
            Downer2025Dataset(tmp_path, **wrong)
    channel = tmp_path / "sessions" / "190606" / "c_190606_Ch3_MUspk.mat"
    content = channel.read_bytes()
    channel.write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match=r"c_190606_Ch3_MUspk\.mat is cut off"):
        Downer2025Dataset(tmp_path, n_mels=8)
    channel.write_bytes(content)
    wave = tmp_path / "stimuli" / "MonkVocs_15Blocks.wav"
    wave.write_bytes(wave.read_bytes()[:100000])
    with pytest.raises(RecordingError, match="MonkVocs"):
        Downer2025Dataset(tmp_path, stimuli="mvocs", n_mels=8)
    (tmp_path / "sessions_metadata.yml").write_text("core: [")
    with pytest.raises(RecordingError, match=r"sessions_metadata\.yml is no table"):
        Downer2025Dataset(tmp_path)
