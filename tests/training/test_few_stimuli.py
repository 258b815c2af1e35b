"""Recipes on recordings with few stimuli: these are trained on in chunks, so that an epoch is more than a few steps."""

import numpy as np
import pytest
import torch

from deepSTRF.datasets.chunks import ChunkLoader
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.registry import get_recipe
from deepSTRF.training.recipes import fit_recipe


def loader_of(n_stims, duration_s, model="statenet"):
    torch.manual_seed(0)
    recording = SimulatedDataset(n_neurons=2, n_stims=n_stims + 1, duration_s=duration_s)
    train, val = recording.subset(range(n_stims)), recording.subset([n_stims])
    recipe = get_recipe(model)
    return fit_recipe(recipe, recipe.settings, train, val, seed=0, max_epochs=1).fitter.train_loader


@pytest.mark.parametrize("n_stims", [1, 3])
def test_long_ones_give_a_dozen_steps(n_stims):
    loader = loader_of(n_stims, 18.0 / n_stims)  # 3600 bins
    assert isinstance(loader, ChunkLoader)
    assert 12 <= sum(1 for _ in loader) <= 15
    assert loader.chunk_bins >= 100


def test_short_ones_are_not_cut_below_a_hundred_bins():
    assert sum(1 for _ in loader_of(2, 1.0)) == 4


def test_a_long_movie_gives_at_most_a_hundred_steps():
    rng = np.random.default_rng(0)
    movie, spikes = rng.normal(size=(4, 4, 6000)), rng.poisson(0.2, (1, 1, 6000))
    train = VideoNeuralDataset.from_arrays([movie], [spikes], dt_ms=20.0)
    recipe = get_recipe("convnet3d")
    loader = fit_recipe(recipe, recipe.settings, train, train, seed=0, max_epochs=1).fitter.train_loader
    assert sum(1 for _ in loader) == 100


@pytest.mark.slow
def test_a_complex_cell_is_learnt_from_single_trials_of_bars():
    rng = np.random.default_rng(0)
    bars = np.where(rng.random((8, 1, 12_000)) < 0.5, 1.0, -1.0)
    phases = np.cos(1.5 * np.arange(5)), np.sin(1.5 * np.arange(5))
    energy = sum(np.tensordot(phase, bars[1:6, 0], 1) ** 2 for phase in phases)
    spikes = rng.poisson(0.1 * np.roll(energy, 2))  # their rate explains half of the standard deviation
    recording = VideoNeuralDataset.from_arrays([bars], [spikes[None, None]], dt_ms=20.0)
    train, val, _ = recording.split("blocks:5")
    recipe = get_recipe("convnet3d")
    fit = fit_recipe(recipe, recipe.settings, train, val, seed=0, max_epochs=12)
    assert max(float(epoch["val_cc"]) for epoch in fit.history) > 0.35


def test_many_are_taken_whole():
    loader = loader_of(12, 0.5)
    assert not isinstance(loader, ChunkLoader)
    assert sum(1 for _ in loader) == 12
