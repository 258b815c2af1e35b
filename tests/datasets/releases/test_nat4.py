"""NAT4: counts in one unit for estimation and validation, by cell and sound."""

import numpy as np
import pytest
from nat4_files import EST, N_REPEATS, VAL, WITHOUT_SITE, write_release

from deepSTRF.datasets.audio import NAT4Dataset
from deepSTRF.datasets.download import RecordingError


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nat4")
    return folder, write_release(folder)


@pytest.mark.parametrize("in_hz", [False, True])  # the file of the population
def test_counts(release, tmp_path, in_hz):
    folder, truth = (tmp_path, write_release(tmp_path, per_spike=100.0)) if in_hz else release
    ds = NAT4Dataset(folder)
    for s, stim in enumerate(ds.stim_meta):
        for n, cell in enumerate(meta["cell_id"] for meta in ds.nrn_meta):
            response = ds.responses[s][n]
            if stim["subset"] == "val" and cell != WITHOUT_SITE:
                spikes = truth.val_spikes[cell, stim["name"]]
                assert np.array_equal(response, [np.histogram(own, np.arange(151) * 0.01)[0] for own in spikes])
            elif stim["subset"] == "est" and truth.est_counts[cell, stim["name"]] is not None:
                np.testing.assert_allclose(response[0], truth.est_counts[cell, stim["name"]], rtol=1e-5)
            else:
                assert response.shape == (1, 1)


def test_stimuli_metadata_and_protocol(release):
    folder, truth = release
    ds = NAT4Dataset(folder)
    est = np.log1p(np.stack([truth.stims[name] for name in EST]))
    for meta, stim in zip(ds.stim_meta, ds.stims, strict=True):
        expected = (np.log1p(truth.stims[meta["name"]].T) - est.min()) / (est.max() - est.min())
        np.testing.assert_allclose(stim[0], expected, atol=1e-5)
    assert ds.nrn_meta[0] == {
        "cell_id": "AMT003c-11-1", "area": "A1", "auditory": True, "site": "AMT003c", "animal": "AMT", "electrode": 11,
        "unit_in_electrode": 1,
    }  # fmt: skip
    split = ds.split_indices("published")
    assert [len(part) for part in split] == [27, 3, 4]
    assert {ds.stim_meta[s]["subset"] for s in split.test} == {"val"}
    assert ds.responses[split.test[0]][0].shape == (N_REPEATS, 150)


def test_subsets_and_waveforms(release):
    folder, _ = release
    ds = NAT4Dataset(folder, subset="val", return_waveform=True)
    assert [meta["name"] for meta in ds.stim_meta] == VAL
    assert ds.hop == 441
    assert ds.stims[0].shape == (1, 150 * 441)
    lead = round(0.25 * 44100)
    assert ds.stims[0][0, :lead].abs().max() == 0
    assert ds.stims[0][0, lead : lead + 44100].abs().max() > 0.1
    assert len(NAT4Dataset(folder, subset="est")) == 30


def test_bad_arguments_and_files(release, tmp_path):
    folder, _ = release
    with pytest.raises(ValueError, match="10 ms"):
        NAT4Dataset(folder, dt_ms=5)
    with pytest.raises(ValueError, match="PEG"):
        NAT4Dataset(folder, area="A2")
    with pytest.raises(FileNotFoundError, match=r"PEG_NAT4_ozgf\.fs100\.ch18"):
        NAT4Dataset(folder, area="PEG")
    write_release(tmp_path)
    site = tmp_path / "A1_single_sites" / "AMT003c.tgz"
    site.write_bytes(site.read_bytes()[:300])
    with pytest.raises(RecordingError, match=r"AMT003c\.tgz can't be read"):
        NAT4Dataset(tmp_path)
