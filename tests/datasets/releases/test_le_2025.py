"""Le 2025: every spike of both layouts, variants and intervals by name."""

import pytest
from le_2025_files import MOTIFS, write_release
from test_aa1_aa2 import check_spikes

from deepSTRF.datasets.audio import Le2025Dataset
from deepSTRF.datasets.download import RecordingError


@pytest.mark.parametrize(("experiment", "n_units"), [("nat8a", 4), ("nat8b", 2), ("synth8b", 2)])
def test_every_spike(tmp_path, experiment, n_units):
    truth = write_release(tmp_path, experiments=[experiment])
    ds = Le2025Dataset(tmp_path, experiment, smooth=False)
    assert ds.N_neurons == n_units
    check_spikes(ds, truth, 5.0)
    assert ds.stims[0].shape[1] == 50
    assert {meta["area"] for meta in ds.nrn_meta} == {"NCM", "CM"}
    assert all({"signal_power", "noise_power", "snr"} <= set(meta) for meta in ds.nrn_meta)


def test_selections(tmp_path):
    write_release(tmp_path)
    ds = Le2025Dataset(tmp_path, compute_reliability=False)
    by_name = {meta["name"]: meta for meta in ds.stim_meta}
    expected = {"motif": "8x3_b", "variant": "GB", "critical_interval": 1, "snr_db": -5.0}
    assert by_name["ep_8x3_b_GB_g1_snr-5"].items() >= expected.items()
    assert len(ds.select_variant("GM")) == len(MOTIFS)
    chosen = ds.select_restoration_quartet("c95zqj", 1)
    assert {ds.stim_meta[s]["variant"] for s in chosen} == {"C", "CB", "GB"}
    assert len(ds.select_critical_interval(2)) == 2 * len(MOTIFS)
    assert len(ds.select_motif("hxby12")) == 5
    assert ds.critical_intervals_ms["hxby12", 2] == (350.0, 410.0)
    ds.reset_stim_selection()
    split = ds.split_indices("motifs")
    motifs = [{ds.stim_meta[s]["motif"] for s in part} for part in split]
    assert [len(part) for part in motifs] == [2, 1, 2]
    assert not motifs[0] & motifs[2]


def test_areas_and_waveforms(tmp_path):
    write_release(tmp_path)
    ds = Le2025Dataset(tmp_path, keep_areas=["CM"], return_waveform=True)
    assert [meta["area"] for meta in ds.nrn_meta] == ["CM"]
    assert ds.stims[0].shape[1] == 240 * ds.responses[0][0].shape[1]
    with pytest.raises(ValueError, match="NCM"):
        Le2025Dataset(tmp_path, keep_areas=["HVC"])


def test_bad_files(tmp_path):
    write_release(tmp_path)
    with pytest.raises(FileNotFoundError, match="synth8b-responses is missing"):
        Le2025Dataset(tmp_path, "synth8b")
    unit = next((tmp_path / "zebf-auditory-restoration-1" / "nat8b-responses").glob("*.pprox"))
    unit.write_text(unit.read_text()[:200])
    with pytest.raises(RecordingError, match=f"{unit.name} is no unit"):
        Le2025Dataset(tmp_path)
