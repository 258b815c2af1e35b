"""Movies as stimuli: what a VideoNeuralDataset checks, standardises, joins and serves."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.testing import check_dataset
from deepSTRF.utils import neural_collate

BINS = (30, 20, 25, 18)


@pytest.fixture
def ds():
    rng = np.random.default_rng(0)
    movies = [rng.normal(2.0, 3.0, (6, 8, n_bins)) for n_bins in BINS]
    responses = [[rng.poisson(0.5, (4, n_bins)), rng.poisson(0.5, (2, n_bins))] for n_bins in BINS]
    responses[2][1] = None
    return VideoNeuralDataset.from_arrays(movies, responses, dt_ms=16.0)


def test_a_video_dataset_keeps_the_contract(ds):
    check_dataset(ds)
    colour = VideoNeuralDataset.from_arrays([np.ones((3, 6, 8, 20))] * 3, [np.ones((2, 4, 20))] * 3, dt_ms=16.0)
    assert (colour.C, colour.H, colour.W) == (3, 6, 8)
    check_dataset(colour)


def test_batches_of_movies_are_padded_in_time(ds):
    batch = next(iter(DataLoader(ds, batch_size=4, collate_fn=neural_collate)))
    assert batch["stims"].shape == (4, 1, 6, 8, 30)
    assert batch["responses"].shape == (4, 2, 4, 30)
    assert torch.equal(batch["stims"][1, ..., :20], ds.stims[1])
    assert not batch["stims"][1, ..., 20:].any()
    assert not batch["valid_mask"][2, 1].any()


def test_standardising_takes_one_mean_per_channel_from_the_training_movies(ds):
    expected = np.concatenate([ds.stims[s].numpy() for s in (0, 1)], -1)
    raw = ds.stims[3].clone()
    statistics = ds.standardize_stims(stim_indices=[0, 1])
    np.testing.assert_allclose(statistics["mean"].item(), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(statistics["std"].item(), expected.std(ddof=1), rtol=1e-5)
    np.testing.assert_allclose(ds.stims[3], (raw - expected.mean()) / expected.std(ddof=1), atol=1e-5)


def test_standardising_per_pixel(ds):
    expected = np.concatenate([stim.numpy() for stim in ds.stims], -1)
    statistics = ds.standardize_stims(per_band=True)
    assert statistics["mean"].shape == (1, 6, 8, 1)
    np.testing.assert_allclose(statistics["mean"][..., 0], expected.mean(-1), rtol=1e-5)
    np.testing.assert_allclose(statistics["std"][..., 0], expected.std(-1, ddof=1), rtol=1e-5)


def test_splits_joins_and_response_preprocessing_work_on_movies(ds):
    train, _, test = ds.split("holdout:1")
    assert (test.H, test.W) == (6, 8)
    assert train.get_S() == 2
    joined = ds + ds
    assert (joined.N_neurons, joined.H, joined.W, joined.C) == (4, 6, 8, 1)
    ds.smooth_responses(window_ms=80.0)
    ds.normalize_responses()
    assert ds.compute_neuron_quality()["snr"].shape == (2,)


@pytest.mark.parametrize(
    ("movies", "message"),
    [
        ([np.ones((6, 20))], r"stims\[0\] must be a movie of shape \(H, W, T\)"),
        ([np.ones((6, 8, 20)), np.ones((6, 7, 20))], r"stims\[1\] must have shape \(C=1, H=6, W=8, T\)"),
        ([np.ones((20, 6, 8))], "time must be the last axis"),  # time first
        ([np.full((6, 8, 20), np.nan)], "NaN"),
    ],
)
def test_movies_of_other_shapes_are_refused(movies, message):
    with pytest.raises(ValueError, match=message):
        VideoNeuralDataset.from_arrays(movies, [np.ones((2, 3, 20))] * len(movies), dt_ms=16.0)


class Movies(VideoNeuralDataset):
    def __init__(self, n_bins=20, **sizes):
        super().__init__("here", 16.0)
        self.N_neurons = 1
        self.stims, self.responses = [torch.rand(1, 6, 8, 20)], [[torch.rand(3, n_bins)]]
        self.stim_meta, self.nrn_meta = [{}], [{}]
        for name, size in sizes.items():
            setattr(self, name, size)
        self.validate()


def test_a_subclass_is_told_what_does_not_fit():
    assert len(Movies(H=6, W=8)) == 1
    with pytest.raises(ValueError, match=r"W must be a positive number of pixels, got -1"):
        Movies(H=6)
    with pytest.raises(TypeError, match="H must be an integer"):
        Movies(H=6.0, W=8)
    with pytest.raises(ValueError, match=r"\(C=3, H=6, W=8, T\)"):
        Movies(H=6, W=8, C=3)
    with pytest.raises(ValueError, match="20 frames, the responses to it have 10 bins"):
        Movies(n_bins=10, H=6, W=8)


def test_movies_join_movies_of_the_same_size_only(ds):
    other = VideoNeuralDataset.from_arrays([np.ones((6, 9, 20))], [np.ones((1, 1, 20))], dt_ms=16.0)
    with pytest.raises(ValueError, match="W mismatch: 8 and 9"):
        ds + other
    sounds = AudioNeuralDataset.from_arrays([np.ones((6, 20))], [np.ones((1, 1, 20))], dt_ms=16.0)
    with pytest.raises(TypeError, match="AudioNeuralDataset"):
        ds + sounds


def test_crop_cuts_frames_and_keeps_the_rest(ds):
    part = ds.crop((1, 5), (3, 8))
    assert (part.H, part.W) == (4, 5)
    for whole, cut in zip(ds.stims, part.stims, strict=True):
        assert torch.equal(cut, whole[:, 1:5, 3:8])
    for row, same in zip(ds.responses, part.responses, strict=True):
        assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(row, same, strict=True))
    assert ds.W == 8
    part.validate()
    with pytest.raises(ValueError, match=r"columns must lie between 0 and 8 .* got \(3, 9\)"):
        ds.crop((0, 6), (3, 9))
