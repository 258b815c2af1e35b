"""A run with several members: trained as one, and how far they lie apart is written, drawn and predicted."""

import numpy as np
import pytest
import torch

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models import Ensemble, NeuralModel
from deepSTRF.plotting import plot_neuron
from deepSTRF.runs import FitOptions, RunError, evaluate_run, fit_run, predict
from deepSTRF.runs.prediction import new_folder, write_new_predictions


@pytest.fixture(scope="module")
def dataset():
    return SimulatedDataset(n_neurons=3, n_stims=6, duration_s=1.0, n_bands=8)


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    options = FitOptions(dataset=dataset, model="statenet", members=2, epochs=2, split="holdout:1")
    return fit_run(options, tmp_path_factory.mktemp("runs") / "run")


def test_the_model_of_a_run_is_an_ensemble_whose_mean_is_scored(dataset, finished):
    model = NeuralModel.from_pretrained(finished.folder / "model")
    assert isinstance(model, Ensemble)
    assert len(model) == 2
    assert finished.history[0]["val_members"].shape == (2,)
    assert evaluate_run(finished.folder, data=dataset).largest_difference < 1e-6


def test_how_far_the_members_lie_apart_is_written(finished):
    model = finished.model.eval()
    with np.load(finished.folder / "predictions.npz") as arrays:
        assert arrays["spread_000"].shape == arrays["pred_000"].shape == (3, 200)
        assert np.array_equal(arrays["spread_000"], finished.spread[0].numpy())
    assert torch.equal(torch.stack(finished.spread).isfinite(), torch.ones(6, 3, 200, dtype=torch.bool))
    assert len(model) == 2


def test_new_sounds_are_predicted_with_a_spread(dataset, finished, tmp_path):
    sound = dataset.stims[0][0].numpy()
    plain, both = predict(finished.folder, sound), predict(finished.folder, sound, spread=True)
    assert plain.spread is None
    assert torch.equal(plain[0], both[0])
    assert both.spread is not None
    assert both.spread[0].shape == both[0].shape
    assert bool((both.spread[0] > 0).any())
    write_new_predictions(both, new_folder(finished.folder, tmp_path / "new"))
    with np.load(tmp_path / "new" / "predictions.npz") as arrays:
        assert np.array_equal(arrays["spread_000"], both.spread[0].numpy())


def test_a_model_by_itself_has_no_spread(dataset, tmp_path):
    result = fit_run(FitOptions(dataset=dataset, model="ridge", split="holdout:1"), tmp_path / "run")
    assert result.spread == []
    with pytest.raises(RunError, match="the run has one Ridge: fit it with several"):
        predict(tmp_path / "run", dataset.stims[0][0].numpy(), spread=True)


def test_a_model_in_closed_form_has_no_members(dataset, tmp_path):
    with pytest.raises(RunError, match="members would have no effect"):
        fit_run(FitOptions(dataset=dataset, model="ridge", members=4), tmp_path / "run")


def test_the_band_goes_with_the_excerpt_of_a_long_stimulus():
    rng = np.random.default_rng(0)
    trace, spread = rng.normal(size=3000), rng.uniform(size=3000)
    _, axes = plot_neuron(rng.normal(size=(4, 3000)), trace, None, trace, 10.0, spread=spread, excerpt=(1000, 1200))
    band = axes[-1].collections[-1].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx((trace + spread)[1000:1200].max())
    with pytest.raises(ValueError, match="spread"):
        plot_neuron(rng.normal(size=(4, 3000)), trace, None, trace, 10.0, spread=spread[:-1])
