"""Covariates go wherever their stimuli go."""

import numpy as np
import pytest
import torch

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.chunks import ChunkLoader
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.testing import check_dataset

N_BINS = (400, 300)


@pytest.fixture
def speed():
    rng = np.random.default_rng(0)
    return [rng.random((2, bins)).astype(np.float32) for bins in N_BINS]


def _recording(**options):
    rng = np.random.default_rng(1)
    stims = {name: rng.random((4, bins)) for name, bins in zip(("rain", "birds"), N_BINS, strict=True)}
    return AudioNeuralDataset.from_arrays(stims, [rng.random((3, 2, bins)) for bins in N_BINS], 5.0, **options)


def test_items_and_batches_have_them(speed):
    ds = _recording(covariates={"speed": speed, "pupil": {"birds": np.arange(300), "rain": None}})
    np.testing.assert_array_equal(ds[1]["speed"], speed[1])
    batch = neural_collate([ds[0], ds[1]])
    assert torch.equal(batch["pupil"][1], torch.arange(300.0))
    assert batch["pupil"][0].isnan().tolist() == [True] * 400
    assert list(ds[:2])[-3:] == ["stim_meta", "speed", "pupil"]


def test_they_survive_selections_parts_and_copies(speed):
    ds = _recording(covariates={"speed": speed})
    np.testing.assert_array_equal(ds.subset([1])[0]["speed"], speed[1])
    np.testing.assert_array_equal(ds.averaged()[0]["speed"], speed[0])
    ds.select_stim(1)
    ds.select_neuron(2)
    np.testing.assert_array_equal(ds[0]["speed"], speed[1])
    part = ds.subset([0])
    part.covariates["speed"][0] = torch.zeros(2, 400)
    np.testing.assert_array_equal(ds.covariates["speed"][0], speed[0])


def test_they_are_cut_in_blocks(speed):
    cut = _recording(covariates={"speed": speed}).in_blocks(3, gap_ms=50)
    for s in range(2):
        pieces = [values for values, meta in zip(cut.covariates["speed"], cut.stim_meta, strict=True)
                  if meta["stimulus"] == s]  # fmt: skip
        np.testing.assert_array_equal(torch.cat(pieces, -1), speed[s])
    assert all(cut[i]["speed"].shape[-1] == cut[i]["stims"].shape[-1] for i in range(len(cut)))


def test_chunks_have_their_part(speed):
    ds = _recording(covariates={"speed": speed})
    chunks = list(ChunkLoader(ds.subset([0]), chunk_bins=150))
    assert [chunk["speed"][0].shape[-1] for chunk in chunks] == [133, 133, 134]
    np.testing.assert_array_equal(torch.cat([chunk["speed"][0] for chunk in chunks], -1), speed[0])


def test_joined_recordings_keep_theirs(speed):
    both = _recording(covariates={"speed": speed}) + _recording(covariates={"pupil": [np.ones(n) for n in N_BINS]})
    np.testing.assert_array_equal(both[0]["speed"], speed[0])
    assert bool(both[3]["speed"].isnan().all())
    assert bool(both[0]["pupil"].isnan().all())
    assert torch.equal(both[3]["pupil"], torch.ones(300))
    both.validate()


def test_the_contract_holds(speed):
    check_dataset(_recording(covariates={"speed": speed}))


def test_none_means_no_key():
    assert "covariates" not in _recording()[0]
    assert _recording().covariates == {}


BAD = [
    ([1], TypeError, "covariates must be a dict"),
    ({"speed": [np.ones(400)]}, ValueError, r"covariates\['speed'\] must have one entry for each of 2 stimuli, got 1"),
    ({"speed": [np.ones(400), np.ones(200)]}, ValueError, r"\['speed'\]\[1\] must have the 300 bins .* \(200,\)"),
    ({"stims": [np.ones(400), np.ones(300)]}, ValueError, "a covariate can't be named 'stims'"),
    ({3: [np.ones(400), np.ones(300)]}, TypeError, "the name of a covariate must be a string, got an int"),
    ({"speed": {"rain": np.ones(400)}}, ValueError, r"covariates\['speed'\] has no entry for the stimulus 'birds'"),
    ({"speed": [np.ones(400), "fast"]}, TypeError, r"covariates\['speed'\]\[1\] must be a NumPy array"),
    ({"speed": 3.0}, TypeError, r"covariates\['speed'\] must be a list"),
]  # fmt: skip


@pytest.mark.parametrize(("covariates", "error", "message"), BAD)
def test_bad_covariates(covariates, error, message):
    with pytest.raises(error, match=message):
        _recording(covariates=covariates)


def test_assigned_ones_are_validated(speed):
    ds = _recording()
    ds.covariates = {"speed": [torch.ones(5), torch.ones(300)]}
    with pytest.raises(ValueError, match="must have the 400 bins"):
        ds.validate()


def test_stimuli_and_responses_by_name():
    stims = {"rain": np.ones((2, 5)), "birds": np.zeros((2, 4))}
    responses = {"birds": np.ones((1, 1, 4)), "rain": np.zeros((1, 1, 5))}
    ds = NeuralDataset.from_arrays(stims, responses, 5.0, stim_meta=[{"kind": "noise"}, {"kind": "song"}])
    assert ds.stim_meta == [{"name": "rain", "kind": "noise"}, {"name": "birds", "kind": "song"}]
    assert ds.responses[1][0].sum() == 4
    with pytest.raises(ValueError, match="responses is a dict by stimulus, so that stims must be one too"):
        NeuralDataset.from_arrays(list(stims.values()), responses, 5.0)
    with pytest.raises(ValueError, match="responses: unknown stimulus 'bird'"):
        NeuralDataset.from_arrays(stims, {"bird": responses["birds"], "rain": responses["rain"]}, 5.0)
