"""Wingert 2026: counts by session and unit; which units there are; spectrograms by those for estimation."""

import numpy as np
import pytest
from wingert2026_files import AREAS, EST, N_REPEATS, SESSIONS, VAL, write_release

from deepSTRF.datasets.audio import Wingert2026Dataset
from deepSTRF.datasets.download import RecordingError


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wingert2026")
    return folder, write_release(folder)


def cells_of(ds):
    return [meta["cell_id"] for meta in ds.nrn_meta]


def test_counts(release):
    folder, truth = release
    ds = Wingert2026Dataset(folder)
    assert cells_of(ds) == list(AREAS)
    assert len(ds) == 3 * 14
    for s, stim in enumerate(ds.stim_meta):
        for n, cell in enumerate(cells_of(ds)):
            spikes = truth.spikes.get((stim["session"], cell, stim["name"]))
            response = ds.responses[s][n]
            if spikes is None:
                assert response is ds.responses.missing
            else:
                edges = np.arange(ds.stims[s].shape[-1] + 1) / 100
                assert len(spikes) == (N_REPEATS if stim["subset"] == "val" else 1)
                assert np.array_equal(response, [np.histogram(own, edges)[0] for own in spikes])


def test_spectrograms_are_scaled_by_those_for_estimation(release):
    folder, truth = release
    ds = Wingert2026Dataset(folder, site="CLT027c")
    stims = {name: np.log((truth.stims["CLT027c", name] + 0.1) / 0.1) for name in EST + VAL}
    low, high = (f([f(stims[name], 1) for name in EST], 0)[:, None] for f in (np.min, np.max))
    only_val = Wingert2026Dataset(folder, site="CLT027c", subset="val")
    assert {meta["name"] for meta in only_val.stim_meta} == set(VAL)
    for one in (ds, only_val):
        for meta, stim in zip(one.stim_meta, one.stims, strict=True):
            expected = (stims[meta["name"]] - low) / (high - low)
            np.testing.assert_allclose(stim[0], np.where(expected < 1e-6, 0, expected), atol=1e-5)
    assert len(ds.frequencies_hz) == 32
    linear = Wingert2026Dataset(folder, site="CLT027c", subset="est", log_compress=False)
    raw = np.stack([truth.stims["CLT027c", name] for name in EST])
    low, high = raw.min((0, 2))[:, None], raw.max((0, 2))[:, None]
    np.testing.assert_allclose(linear.stims[0][0], (raw[0] - low) / (high - low), atol=1e-5)
    strong = Wingert2026Dataset(folder, site="CLT027c", subset="est", log_offset=-3.0)  # counts as -2 - 1/50
    x = np.log1p(raw / 10**-2.02)
    low, high = x.min((0, 2))[:, None], x.max((0, 2))[:, None]
    np.testing.assert_allclose(strong.stims[0][0], (x[0] - low) / (high - low), atol=1e-5)


def test_which_units(release):
    folder, _ = release
    assert cells_of(Wingert2026Dataset(folder, area="PEG")) == ["CLT027c-014-2"]
    assert cells_of(Wingert2026Dataset(folder, site="SLJ032a")) == SESSIONS["SLJ032a"]
    assert cells_of(Wingert2026Dataset(folder, site="SLJ032a-B")) == ["SLJ032a-B-044-3"]
    assert cells_of(Wingert2026Dataset(folder, site="PRN015a")) == SESSIONS["PRN015b"]
    assert cells_of(Wingert2026Dataset(folder, site="PRN015b")) == SESSIONS["PRN015b"]
    both = Wingert2026Dataset(folder, area="HC", include_unlabeled=True)
    assert cells_of(both) == ["PRN010b-005-1", "SLJ032a-B-044-3"]
    assert both.nrn_meta[0]["area"] is None
    assert both.nrn_meta[1] == {
        "cell_id": "SLJ032a-B-044-3", "site": "SLJ032a-B", "session": "SLJ032a", "area": "HC", "layer": "13",
        "depth": 125.5, "narrow": False, "celltype": "RS", "sw": 0.3, "goodpred": True, "animal": "SLJ",
        "electrode": 44, "unit_in_electrode": 3,
    }  # fmt: skip
    assert len(both.nrn_meta[0]) == 13
    listed = Wingert2026Dataset(folder, _enumerate_only=True)
    assert (listed.get_N(), listed.get_S(), len(listed.stims)) == (6, 42, 0)


def test_units_of_two_files_are_read_once(tmp_path):
    truth = write_release(tmp_path, duplicated=True)
    with pytest.warns(UserWarning, match=r"CLT027d \(CLT027c\)"):
        ds = Wingert2026Dataset(tmp_path, area="PEG")
    assert {meta["session"] for meta in ds.stim_meta} == {"CLT027c"}
    assert ds.responses[0][0].sum() == len(truth.spikes["CLT027c", "CLT027c-014-2", EST[0]][0])


def test_protocol(release):
    folder, _ = release
    ds = Wingert2026Dataset(folder)
    split = ds.split_indices("published")
    names = [{ds.stim_meta[s]["name"] for s in part} for part in split]
    assert names[2] == set(VAL)
    assert [len(part) for part in names] == [11, 1, 2]
    assert [len(part) for part in split] == [33, 3, 6]


def test_waveforms(release):
    folder, _ = release
    ds = Wingert2026Dataset(folder, area="A1", subset="val", return_waveform=True)
    assert ds.hop == 441
    by_session = {meta["session"]: stim for meta, stim in zip(ds.stim_meta, ds.stims, strict=True)}
    assert by_session["CLT027c"].shape == (1, 200 * 441)
    assert by_session["SLJ032a"].shape == (1, 220 * 441)
    assert by_session["CLT027c"][0, :44100].abs().max() == 0
    assert by_session["CLT027c"][0, 44100 : 44100 + 22050].abs().max() > 0.1
    (folder / "wav" / "00seq0000.wav").rename(folder / "wav" / "other.wav")
    with pytest.raises(FileNotFoundError, match="STIM_00seq0000"):
        Wingert2026Dataset(folder, area="PEG", subset="val", return_waveform=True)
    (folder / "wav" / "other.wav").rename(folder / "wav" / "00seq0000.wav")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"dt_ms": 5}, "10 ms"),
        ({"area": "A2"}, "HC"),
        ({"site": "PRN099a"}, "PRN015b"),
        ({"site": "PRN010b"}, "include_unlabeled"),
    ],
)
def test_bad_arguments(release, argument, message):
    with pytest.raises(ValueError, match=message):
        Wingert2026Dataset(release[0], **argument)


def test_bad_files(tmp_path):
    write_release(tmp_path)
    session = tmp_path / "recordings" / "CLT027c_0a1b2c3d.tgz"
    session.write_bytes(session.read_bytes()[:3000])
    with pytest.raises(RecordingError, match=r"CLT027c_0a1b2c3d\.tgz can't be read"):
        Wingert2026Dataset(tmp_path)
    (tmp_path / "cell_list.csv").write_text("cellid,area\n")
    with pytest.raises(RecordingError, match="columns"):
        Wingert2026Dataset(tmp_path)
