"""The Fitter trains every member of an ensemble by its own loss, and returns it to its own best epoch."""

import dataclasses
import functools

import pytest
import torch
from test_fitter import N_BANDS, N_NEURONS, fit_and_record_states, make_batches, make_fitter
from torch import nn

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import mse_loss
from deepSTRF.models import Ensemble
from deepSTRF.models.audio import StateNet
from deepSTRF.registry import get_recipe
from deepSTRF.training.recipes import fit_recipe

SGD = functools.partial(torch.optim.SGD, lr=0.05)


def make_models(number=3):
    torch.manual_seed(1)
    sizes = {"kernel_size": 3, "stride": 1, "hidden_channels": 2, "out_neurons": N_NEURONS}
    return [StateNet(N_BANDS, **sizes, output_activation=nn.Identity()) for _ in range(number)]


def test_members_learn_as_models_by_themselves():
    models = make_models()
    fitter = make_fitter(Ensemble.of(models), optimizer=SGD)
    history = fitter.fit()
    alone = [make_fitter(model, optimizer=SGD) for model in models]
    histories = [each.fit() for each in alone]
    for i, model in enumerate(models):
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(fitter.model[i].state_dict()[name], tensor, atol=1e-5, rtol=1e-4)
    for k, row in enumerate(history):
        assert row["train_loss"] == pytest.approx(sum(each[k]["train_loss"] for each in histories) / 3, rel=1e-4)
        expected = torch.stack([each[k]["val_cc_norm"].double().mean() for each in histories])
        torch.testing.assert_close(row["val_members"], expected, atol=1e-4, rtol=1e-3)
        assert row["val_cc_norm"].shape == (N_NEURONS,)


def test_validation_scores_the_mean_prediction():
    fitter = make_fitter(Ensemble.of(make_models()), max_epochs=1)
    batches = make_batches(1, batch_size=6, seed=1)
    with torch.no_grad():
        expected = mse_loss(fitter.model.eval()(batches[0]["stims"]), batches[0]["responses"])
    assert fitter.evaluate(batches)["loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("monitor", ["val_cc_norm", "val_loss"])
def test_every_member_returns_to_its_own_best_epoch(monitor):
    options = {"monitor": monitor, "mode": "min" if monitor == "val_loss" else "max"}
    fitter = make_fitter(
        Ensemble.of(make_models()),
        max_epochs=6,
        optimizer=functools.partial(torch.optim.Adam, lr=0.3),  # so large that the scores go up and down
        restore_best=True,
        **options,
    )
    states = fit_and_record_states(fitter)
    values = torch.stack([row["val_members"] for row in fitter.history])
    best = (values.argmin(0) if monitor == "val_loss" else values.argmax(0)).tolist()
    assert len(set(best)) > 1  # else the test shows nothing
    for name, tensor in fitter.model.state_dict().items():
        for i, epoch in enumerate(best):
            assert torch.equal(tensor[i], states[epoch][name][i]), name


def test_without_restoring_the_last_epoch_stays():
    fitter = make_fitter(Ensemble.of(make_models()), max_epochs=4)
    states = fit_and_record_states(fitter)
    assert all(torch.equal(tensor, states[-1][name]) for name, tensor in fitter.model.state_dict().items())


def test_a_monitor_that_is_no_validation_score_keeps_one_epoch_for_all():
    fitter = make_fitter(Ensemble.of(make_models()), monitor="train_loss", mode="min", restore_best=True)
    states = fit_and_record_states(fitter)
    assert "val_members" not in fitter.history[0]
    state = states[fitter.best_epoch]
    assert all(torch.equal(tensor, state[name]) for name, tensor in fitter.model.state_dict().items())


def test_neurons_keep_their_own_best_epoch_in_all_members():
    model = Ensemble.of(make_models())
    optimizer = functools.partial(torch.optim.Adam, lr=0.3)
    fitter = make_fitter(model, max_epochs=5, optimizer=optimizer, track_per_cell_best=True)
    states = fit_and_record_states(fitter)
    best = torch.stack([row["val_cc_norm"] for row in fitter.history]).argmax(0).tolist()
    assert len(set(best)) > 1
    weight = fitter.model.readout.fc.weight
    for n, epoch in enumerate(best):
        assert torch.equal(weight[:, n], states[epoch]["stacked.readout.fc.weight"][:, n])


def test_a_recipe_trains_an_ensemble():
    train, val, _ = SimulatedDataset(n_neurons=2, n_stims=6, duration_s=1.0).split("holdout:1")
    settings = dataclasses.replace(get_recipe("statenet").settings, members=3, epochs=2)
    fit = fit_recipe(get_recipe("statenet"), settings, train, val, seed=0)
    assert isinstance(fit.model, Ensemble)
    assert len(fit.model) == 3
    decayed = {id(parameter) for parameter in fit.fitter.optimizer.param_groups[0]["params"]}
    names = {name for name, parameter in fit.model.named_parameters() if id(parameter) in decayed}
    assert "stacked.rnn.weight_hh_l0" in names
    assert "stacked.rnn.bias_hh_l0" not in names
