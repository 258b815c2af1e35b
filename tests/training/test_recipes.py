"""Training by a recipe: the learning rate over the epochs."""

import math
from dataclasses import replace

import pytest

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.registry import get_recipe
from deepSTRF.training.recipes import fit_recipe


@pytest.mark.parametrize("anneal", [False, True])
def test_an_annealed_learning_rate_falls_to_zero_along_a_cosine(anneal):
    train, val, _ = SimulatedDataset(n_neurons=2, n_stims=4, duration_s=0.5).split("holdout:1")
    recipe = get_recipe("linear")
    settings = replace(recipe.settings, epochs=4, patience=9, lr=0.1, anneal=anneal)
    rates = []
    fit = fit_recipe(
        recipe, settings, train, val, seed=0,
        on_epoch=lambda fitter, _: rates.append(fitter.optimizer.param_groups[0]["lr"]),
    )  # fmt: skip
    rates.append(fit.fitter.optimizer.param_groups[0]["lr"])
    expected = [0.05 * (1 + math.cos(math.pi * epoch / 4)) if anneal else 0.1 for epoch in range(5)]
    assert rates == pytest.approx(expected)
