"""CRCNS AA-4: every spike in its bin, sounds of several birds once, trials without spikes kept."""

import tarfile

import pytest
from aa4_files import write_release
from test_aa1_aa2 import check_spikes

from deepSTRF.datasets.audio import AA4_ANIMAL_IDS, CRCNSAA4Dataset
from deepSTRF.datasets.download import RecordingError


def test_every_spike(tmp_path):
    truth = write_release(tmp_path)
    ds = CRCNSAA4Dataset(tmp_path, dt_ms=2.0, smooth=False)
    assert {meta["cell_id"] for meta in ds.nrn_meta} == set(truth)
    check_spikes(ds, truth, 2.0)
    assert len({meta["name"] for meta in ds.stim_meta}) == ds.get_S() == 48
    assert {meta["sort_type"] for meta in ds.nrn_meta} == {"single", "multi"}
    assert all(ds.responses[s][0].shape[0] in (1, 3) for s in range(48))  # silent trials are trials


def test_selection_and_waveforms(tmp_path):
    write_release(tmp_path)
    ds = CRCNSAA4Dataset(tmp_path, animals=["WhiBlu5396M"], stimuli="song", return_waveform=True)
    assert ds.hop == 24
    assert {meta["animal_id"] for meta in ds.nrn_meta} == {"WhiBlu5396M"}
    assert {meta["sex"] for meta in ds.nrn_meta} == {"M"}
    assert {meta["type"] for meta in ds.stim_meta} == {"song"}
    assert len(AA4_ANIMAL_IDS) == 6


def test_bad_files(tmp_path):
    write_release(tmp_path)
    with pytest.raises(ValueError, match="LblBlu2028M"):
        CRCNSAA4Dataset(tmp_path, animals=["Nobody"])
    with pytest.raises(FileNotFoundError, match=r"LblBlu2028M is missing.*CRCNS_USERNAME"):
        CRCNSAA4Dataset(tmp_path, animals=["LblBlu2028M"])
    unit = next((tmp_path / "BlaBro09xxF").glob("*.h5"))
    content = unit.read_bytes()
    unit.write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match=f"{unit.name} is no unit of AA-4"):
        CRCNSAA4Dataset(tmp_path)
    unit.write_bytes(content)
    (tmp_path / "BlaBro09xxF" / "wavfiles" / "stim01.wav").unlink()
    with pytest.raises(FileNotFoundError, match="MD5"):
        CRCNSAA4Dataset(tmp_path)


def test_an_archive_that_was_fetched_by_hand(tmp_path):
    truth = write_release(tmp_path / "files")
    (tmp_path / "mine").mkdir()
    with tarfile.open(tmp_path / "mine" / "BlaBro09xxF.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "files" / "BlaBro09xxF", "BlaBro09xxF")
    ds = CRCNSAA4Dataset(tmp_path / "mine", smooth=False)
    assert {meta["animal_id"] for meta in ds.nrn_meta} == {"BlaBro09xxF"}
    assert {meta["cell_id"] for meta in ds.nrn_meta} < set(truth)
