"""Recipes on recordings with few stimuli: these are trained on in chunks, so that an epoch is more than a few steps."""

import pytest
import torch

from deepSTRF.datasets.chunks import ChunkLoader
from deepSTRF.datasets.simulated import SimulatedDataset
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


def test_many_are_taken_whole():
    loader = loader_of(12, 0.5)
    assert not isinstance(loader, ChunkLoader)
    assert sum(1 for _ in loader) == 12
