"""CRCNS AC-1: potentials against SciPy, spike by spike, artefacts, who heard what."""

import numpy as np
import pytest
import torch
from crcns_ac1_files import (
    A1,
    DURATION_S,
    MGB,
    N_REPEATS,
    RATES,
    SEQUENCES,
    WEHR,
    struct,
    write_release,
)
from scipy.io import loadmat, savemat
from scipy.ndimage import gaussian_filter1d, median_filter

from deepSTRF.datasets.audio import WEHR_NEURONS_SPLIT_NATURAL, WEHR_VALID_NEURONS, CRCNSAC1Dataset
from deepSTRF.datasets.audio.ac1_release import asari_sounds, concatenated
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.intracellular import RepeatGating


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ac1")
    return folder, write_release(folder)


def without_drift(trace, rate):
    trend = gaussian_filter1d(median_filter(trace, round(0.1 * rate) + 1), 0.01 * rate)
    return trace - trend


def session_names(ds):
    return [meta["session"] for meta in ds.nrn_meta]


@pytest.mark.parametrize(("who", "dt_ms"), [("wehr", 5.0), ("asari", 2.0)])
def test_potentials(release, who, dt_ms):
    folder, truth = release
    ds = CRCNSAC1Dataset(folder, experimenter=who, sites="A1", dt_ms=dt_ms)
    assert ds.signal_type == "subthresh"
    assert session_names(ds) == (list(WEHR) if who == "wehr" else [A1])
    assert {meta["name"] for meta in ds.stim_meta} == {
        name for session, name in truth.traces_mv if session in session_names(ds)
    }
    size = round(RATES[who] * dt_ms / 1000)
    for n, session in enumerate(session_names(ds)):
        for s, stim in enumerate(ds.stim_meta):
            traces = truth.traces_mv.get((session, stim["name"]))
            response = ds.responses[s][n]
            if traces is None:
                assert response.shape == (1, 1)
                assert response.isnan().all()
                continue
            n_bins = round((0.4 if who == "wehr" else 0.2) * 1000 / dt_ms)
            assert response.shape == (N_REPEATS + (who == "wehr"), n_bins)
            assert ds.stims[s].shape[-1] == n_bins
            expected = [without_drift(trace, RATES[who])[: n_bins * size].reshape(-1, size).mean(1) for trace in traces]
            np.testing.assert_allclose(response, expected, atol=1e-3)
    assert ds._rejection_counter == {
        "kept": sum(len(t) for (name, _), t in truth.traces_mv.items() if name in session_names(ds))
    }


def test_every_spike_once(release):
    folder, truth = release
    ds = CRCNSAC1Dataset(folder, experimenter="asari", sites="MGB")
    assert ds.signal_type == "spikes"
    for s, stim in enumerate(ds.stim_meta):
        n_bins = ds.stims[s].shape[-1]
        repeats = truth.spikes[MGB, stim["name"]]
        counts = [np.histogram(own / RATES["asari"] * 1000, np.arange(n_bins + 1) * 5.0)[0] for own in repeats]
        expected = [np.convolve(own, np.hanning(5), mode="same") for own in counts]
        np.testing.assert_allclose(ds.responses[s][0], expected, atol=1e-5)


def test_both_are_mixed(release):
    folder, _ = release
    with pytest.warns(RuntimeWarning, match=r"in mV \(4 cells\) and smoothed spike counts \(1\)"):
        ds = CRCNSAC1Dataset(folder)
    assert ds.signal_type == "mixed"
    assert session_names(ds) == [*WEHR, A1, MGB]
    assert [meta["_wehr_cell_idx"] for meta in ds.nrn_meta] == [0, 1, 2, None, None]


def test_metadata(release):
    folder, _ = release
    wehr, asari = (CRCNSAC1Dataset(folder, experimenter=who, sites="A1") for who in ("wehr", "asari"))
    assert wehr.nrn_meta[2] == {
        "experimenter": "wehr", "session": "20030101-ck-012", "animal_id": "ck", "penetration": 12, "date": "20030101",
        "site": "A1", "recording_type": "whole-cell", "signal_type": "subthresh", "species": "rat", "_wehr_cell_idx": 2,
    }  # fmt: skip
    stim = wehr.stim_meta[0]
    assert stim["name"] == f"{stim['category']}/{stim['idx']}"
    assert stim["duration_s"] == pytest.approx(DURATION_S["wehr"], abs=1e-4)
    numbers = [(meta["category"] != "fragments", meta["category"], meta["idx"]) for meta in wehr.stim_meta]
    assert numbers == sorted(numbers)
    by_name = {meta["name"]: meta for meta in asari.stim_meta}
    assert set(by_name) == {"+".join(f"class2/{k}" for k in own) for own in SEQUENCES}
    assert by_name["class2/3+class2/1"] == {
        "name": "class2/3+class2/1", "experimenter": "asari", "class_n": 2, "segments": [2, 4],
        "segment_files": ["class2/3.mat", "class2/1.mat"], "sequence": 2, "description": "Sequence 2: 2 4",
        "duration_s": pytest.approx(0.2, abs=1e-4),
    }  # fmt: skip


def test_segments_are_joined_with_ramps(release):
    folder, truth = release
    files = asari_sounds(folder / "crcns-ac1" / "asari" / "Stimuli")
    sound = concatenated("both", [files[2], files[0]])
    size = round(0.005 * 97656.25)
    ramp = np.sin(np.arange(size) / size * np.pi / 2) ** 2
    parts = [truth.sounds[f"class2/{k}"].copy() for k in (3, 1)]
    for own in parts:
        own[:size] *= ramp
        own[-size:] *= ramp[::-1]
    np.testing.assert_allclose(sound.waveform[0], np.concatenate(parts), atol=1e-6)
    assert sound.fs == 97656.25


@pytest.mark.parametrize(("fmax", "n_bands"), [(45000, 53), (25600, 49)])
def test_bands(release, fmax, n_bands):
    folder, _ = release
    ds = CRCNSAC1Dataset(folder, experimenter="asari", sites="A1", fmax=fmax)
    assert ds.F == ds.stims[0].shape[1] == len(ds.frequencies_hz) == n_bands
    np.testing.assert_allclose(ds.frequencies_hz, 100 * 2 ** (np.arange(n_bands) / 6), rtol=1e-5)
    assert ds.spectrogram.window_ms == 10


def test_waveforms(release):
    folder, _ = release
    ds = CRCNSAC1Dataset(folder, experimenter="wehr", return_waveform=True)
    assert ds.hop == 480
    assert ds.stims[0].shape == (1, 480 * max(r.shape[1] for r in ds.responses[0]))


def test_artefacts_go(tmp_path):
    truth = write_release(tmp_path, artefacts=True)
    ds = CRCNSAC1Dataset(tmp_path, experimenter="wehr")
    assert ds._rejection_counter == {"range": 3, "step": 3, "xcorr": 3, "kept": 5 * sum(WEHR.values()) - 9}
    everything = CRCNSAC1Dataset(tmp_path, experimenter="wehr", gating=False)
    for n, session in enumerate(WEHR):
        spoiled = [
            s for s, meta in enumerate(ds.stim_meta)
            if (session, meta["name"]) in truth.traces_mv and len(ds.responses[s][n]) == N_REPEATS + 1 - 3
        ]  # fmt: skip
        assert len(spoiled) == 1
        assert torch.equal(ds.responses[spoiled[0]][n], everything.responses[spoiled[0]][n][3:])
    none = CRCNSAC1Dataset(tmp_path, experimenter="wehr", gating=RepeatGating(abs_mv_max=1.0))
    assert none.N_neurons == 3  # numbers of cells stay
    assert not none.nrn_masks.any()
    assert none._rejection_counter == {"range": 5 * sum(WEHR.values())}


def test_splits_of_one_cell(release):
    folder, _ = release
    assert len(WEHR_VALID_NEURONS) == 21
    assert len(WEHR_NEURONS_SPLIT_NATURAL) == 25
    ds = CRCNSAC1Dataset(folder, experimenter="wehr")
    assert ds.protocols == {}
    heard = ds.nrn_masks[:, 2].nonzero()[:, 0].tolist()
    for one in (ds.select("_wehr_cell_idx=2"), ds):
        ds.select_neuron(2)
        assert one.split_indices("wehr") == (tuple(heard[:3]), (heard[3],), (heard[4],))
        assert one.default_split == "wehr"
        assert [len(part) for part in one.split()] == [3, 1, 1]
    ds.select_neuron(0)  # heard 6, where 11 are expected
    assert ds.protocols == {}
    ds.select_neuron(2)
    assert ds.subset([0, 1]).protocols == {}


def test_repeats_that_end_early(tmp_path):
    truth = write_release(tmp_path)
    session = [*WEHR][1]
    files = sorted((tmp_path / "crcns-ac1" / "wehr" / "Results" / session).glob("*.mat"))
    for file, size in ((files[0], 200 + 1000), (files[1], 200 + 700)):
        response = loadmat(file)["response"]
        content = {name: value for name, value in loadmat(file).items() if not name.startswith("__")}
        content["response"][0, 0]["trace"] = response[0, 0]["trace"][:size]
        savemat(file, content)
    ds = CRCNSAC1Dataset(tmp_path, experimenter="wehr")
    first = [name for own, name in truth.traces_mv if own == session][:2]
    s, t = ([meta["name"] for meta in ds.stim_meta].index(name) for name in first)
    assert ds.responses[s][1].shape == (N_REPEATS + 1, 50)  # 1000 samples of 4 kHz
    assert ds.stims[s].shape[-1] == 50
    assert ds.responses[t][1].shape[0] == N_REPEATS
    assert ds._rejection_counter["short"] == 1


def test_a_sound_that_is_missing_is_named(tmp_path):
    truth = write_release(tmp_path)
    (tmp_path / "crcns-ac1/asari/Stimuli/class2/4.mat").unlink()
    with pytest.warns(UserWarning, match=r"lacks sounds.*: class2/4$"):
        ds = CRCNSAC1Dataset(tmp_path, experimenter="asari", sites="A1")
    assert {meta["name"] for meta in ds.stim_meta} == {
        name for own, name in truth.traces_mv if own == A1 and "4" not in name
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"experimenter": "zador"}, "wehr"),
        ({"sites": "V1"}, "MGB"),
        ({"fmin": 100, "fmax": 50}, "fmin"),
        ({"dt_ms": 0}, "dt_ms"),
        ({"detrend_med_ms": -1}, "detrend_med_ms"),
        ({"experimenter": "wehr", "sites": "MGB"}, "no cell of wehr in MGB"),
        ({"experimenter": "wehr", "dt_ms": 0.1}, "4000 Hz"),
    ],
)
def test_wrong_arguments(release, arguments, message):
    with pytest.raises(ValueError, match=message):
        CRCNSAC1Dataset(release[0], **arguments)
    with pytest.raises(TypeError, match="gating"):
        CRCNSAC1Dataset(release[0], gating=3)


def test_bad_files(tmp_path):
    write_release(tmp_path)
    session = next(iter(WEHR))
    place = tmp_path / "crcns-ac1" / "wehr" / "Results" / session
    first, second = sorted(place.glob("*.mat"))[:2]
    content = {name: value for name, value in loadmat(first).items() if not name.startswith("__")}
    late = content["triggers"]
    late[0, 0]["time"] = 10**6
    savemat(first, content)
    with pytest.raises(RecordingError, match=rf"{first.name}.*begins with sample 1000000"):
        CRCNSAC1Dataset(tmp_path, experimenter="wehr")
    savemat(first, content | {"response": struct({"trace": 1.0})})
    late[0, 0]["time"] = 1
    with pytest.raises(RecordingError, match=rf"{first.name}.*'sf'"):
        CRCNSAC1Dataset(tmp_path, experimenter="wehr")
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])
    with pytest.raises(RecordingError, match=second.name):
        CRCNSAC1Dataset(tmp_path, experimenter="wehr")
    (place.parent / "notes").mkdir()
    with pytest.raises(RecordingError, match="yyyymmdd"):
        CRCNSAC1Dataset(tmp_path, experimenter="wehr")
    (tmp_path / "crcns-ac1-asari-results-2").rename(tmp_path / "elsewhere.old")
    (tmp_path / "elsewhere.old" / "asari-results-2").rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="asari-results-2"):
        CRCNSAC1Dataset(tmp_path, experimenter="asari")
