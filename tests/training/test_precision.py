"""Training steps in bfloat16: scores are those of float32 within the noise; what is kept is float32."""

from dataclasses import replace

import pytest
import torch

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.registry import get_recipe
from deepSTRF.runs import FitOptions, fit_run
from deepSTRF.training.recipes import fit_recipe


def _fit(precision):
    recipe = get_recipe("linear-nonlinear")
    settings = replace(recipe.settings, epochs=8, precision=precision)
    train, val, _ = SimulatedDataset(n_neurons=4, n_stims=14, duration_s=0.5).split("holdout:1")
    return fit_recipe(recipe, settings, train, val, seed=0, window_ms=50.0)


def test_a_fit_in_bfloat16_scores_as_one_in_float32():
    exact, rounded = (_fit(precision) for precision in ("float32", "bf16"))
    assert all(parameter.dtype == torch.float32 for parameter in rounded.model.parameters())
    first, *_ = rounded.history
    assert first["val_cc"].dtype == torch.float32
    assert first["train_loss"] != exact.history[0]["train_loss"]
    assert abs(rounded.fitter.best_score - exact.fitter.best_score) < 0.03
    assert exact.fitter.best_score > 0.5
    # scores are those of the model as it is saved
    scores = rounded.fitter.evaluate(rounded.fitter.val_loader)
    torch.testing.assert_close(scores["cc"], rounded.history[rounded.fitter.best_epoch]["val_cc"])


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match=r"precision must be .*float32.*bf16.* got 'half'"):
        _fit("half")


def test_runs_have_the_option(tmp_path, no_figures):
    asked = {"dataset": "tiny", "model": "linear", "epochs": 1}
    exact, rounded = (
        fit_run(FitOptions(**asked, precision=precision), tmp_path / str(precision)).history[0]["train_loss"]
        for precision in (None, "bf16")
    )
    assert exact != rounded == pytest.approx(exact, rel=0.01)


def test_ridge_has_no_training_steps():
    with pytest.raises(ValueError, match="ridge is fitted in closed form, so precision would have no effect"):
        fit_run(FitOptions(dataset="tiny", model="ridge", precision="bf16"))
