"""CRCNS AA-1 and AA-2: every spike in its bin, whoever heard what."""

import inspect

import numpy as np
import pytest
from aa1_files import write_release as write_aa1
from aa2_files import AREAS
from aa2_files import write_release as write_aa2

from deepSTRF.datasets.audio import CRCNSAA1Dataset, CRCNSAA2Dataset
from deepSTRF.datasets.download import RecordingError


def check_spikes(ds, truth, dt_ms):
    for n, neuron in enumerate(ds.nrn_meta):
        for s, stimulus in enumerate(ds.stim_meta):
            response = ds.responses[s][n]
            trials = truth[neuron["cell_id"]].get(stimulus["name"])
            if trials is None:
                assert response.shape == (1, 1)
                assert response.isnan().all()
                continue
            n_bins = int(stimulus["duration_s"] * 1000 / dt_ms + 1e-6)
            edges = np.arange(n_bins + 1) * dt_ms
            expected = [np.histogram(t[t < edges[-1]], edges)[0] for t in trials]
            assert np.array_equal(response, expected), (neuron, stimulus)


@pytest.mark.parametrize("dt_ms", [1, 5])
@pytest.mark.parametrize(("cls", "write"), [(CRCNSAA1Dataset, write_aa1), (CRCNSAA2Dataset, write_aa2)])
def test_every_spike(tmp_path, cls, write, dt_ms):
    truth = write(tmp_path)
    ds = cls(tmp_path, dt_ms=dt_ms, smooth=False)
    assert {meta["cell_id"] for meta in ds.nrn_meta} == set(truth)
    check_spikes(ds, truth, dt_ms)
    assert ds.stims[0].shape[1] == ds.F == 32
    assert float(ds.frequencies_hz[-1]) == pytest.approx(8000)


def test_metadata_and_selection(tmp_path):
    write_aa1(tmp_path)
    ds = CRCNSAA1Dataset(tmp_path, areas="MLd", stimuli=["conspecific"])
    assert [meta["cell_id"] for meta in ds.nrn_meta] == ["gr0869_3_A"]  # the other one heard no song
    assert ds.nrn_meta[0] == {"cell_id": "gr0869_3_A", "area": "MLd", "animal_id": "gr0869", "cell_seq": 3, "rig": "A"}
    assert {meta["type"] for meta in ds.stim_meta} == {"conspecific"}
    assert CRCNSAA1Dataset(tmp_path, animals=["pipu1018"]).N_neurons == 2
    assert CRCNSAA1Dataset(tmp_path, animals="blabla0506").nrn_meta[0]["rig"] is None


def test_field_l_is_all_of_its_parts(tmp_path):
    write_aa2(tmp_path)
    for areas in ("Field_L", "L", ["L2a", "L"]):
        assert [meta["area"] for meta in CRCNSAA2Dataset(tmp_path, areas=areas).nrn_meta] == ["L", "L2a"]
    assert [meta["area"] for meta in CRCNSAA2Dataset(tmp_path, areas="None").nrn_meta] == ["None"]
    assert len(AREAS) == CRCNSAA2Dataset(tmp_path, stimuli="songrip").N_neurons


def test_waveforms(tmp_path):
    write_aa1(tmp_path)
    ds = CRCNSAA1Dataset(tmp_path, dt_ms=2, return_waveform=True, audio_fs=16000)
    assert ds.hop == 32
    assert ds.stims[0].shape == (1, 32 * ds.responses[0][0].shape[1])


@pytest.mark.parametrize("compression", ["log1p", "none"])
def test_compressions(tmp_path, compression):
    write_aa1(tmp_path)
    cubic = CRCNSAA1Dataset(tmp_path, areas="MLd", stimuli="flatrip")
    other = CRCNSAA1Dataset(tmp_path, areas="MLd", stimuli="flatrip", compression=compression)
    power = cubic.stims[0] ** 3
    expected = power if compression == "none" else (1 + power.sqrt() * 1e4).log()
    np.testing.assert_allclose(other.stims[0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"areas": ["HVC"]}, "MLd"),
        ({"stimuli": "noise"}, "flatrip"),
        ({"animals": "nobody"}, "pipu1018"),
        ({"compression": "sqrt"}, "cubic"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    write_aa1(tmp_path)
    with pytest.raises(ValueError, match=message):
        CRCNSAA1Dataset(tmp_path, **arguments)


def test_damaged_files(tmp_path):
    write_aa1(tmp_path)
    times = tmp_path / "MLd_cells" / "gr0869_3_A" / "flatrip" / "spike1"
    content = times.read_text()
    times.write_text("12.5 abc\n")
    with pytest.raises(RecordingError, match="spike1: expected spike times in ms"):
        CRCNSAA1Dataset(tmp_path)
    times.write_text(content)
    sound = next((tmp_path / "all_stims" / "flatrip").glob("*.wav"))
    sound.write_bytes(sound.read_bytes()[:999])
    with pytest.raises(RecordingError, match=f"{sound.name} can't be read"):
        CRCNSAA1Dataset(tmp_path)
    (tmp_path / "Field_L_cells").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"Field_L_cells is missing.*CRCNS_USERNAME"):
        CRCNSAA1Dataset(tmp_path)


def test_what_is_read_by_default_is_in_the_signature():
    shown = [inspect.signature(cls).parameters for cls in (CRCNSAA1Dataset, CRCNSAA2Dataset)]
    assert [parameters["areas"].default for parameters in shown] == [
        ("Field_L", "MLd"),
        ("Field_L", "mld", "OV", "CM", "None"),
    ]
    assert shown[0]["stimuli"].default == ("conspecific", "flatrip")
    assert "self" not in shown[1]
