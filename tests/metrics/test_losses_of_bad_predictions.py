"""A prediction that is NaN or infinite where there are data shows in the loss; a neuron without data does not."""

import functools
import math

import pytest
import torch

from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.metrics.running import RunningScores
from deepSTRF.metrics.streaming import MSELoss, PoissonLoss

LOSSES = {
    "mse": (mse_loss, MSELoss),
    "poisson": (poisson_loss, PoissonLoss),
    "log": (functools.partial(poisson_loss, log_input=True), functools.partial(PoissonLoss, log_input=True)),
}
VALUES = [torch.nan, torch.inf, -torch.inf]


def spoiled(bad, missing=False):
    """Three neurons; the second has a bad prediction, the third has no data."""
    pred, responses = torch.full((2, 3, 1, 4), 0.5), torch.arange(48.0).view(2, 3, 2, 4) % 5
    pred[1, 1, 0, 2] = bad
    responses[:, 2] = torch.nan
    if missing:
        responses[1, 1, :, 2] = torch.nan
    return pred, responses


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("bad", VALUES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_bad_prediction_is_a_bad_loss_in_every_form(name, bad, reduction):
    function, streaming = LOSSES[name]
    pred, responses = spoiled(bad)
    metric, running = (
        streaming(reduction=reduction),
        RunningScores({"loss": functools.partial(function, reduction=reduction)}),
    )
    for stimulus in range(2):
        here = slice(stimulus, stimulus + 1)
        metric.update(pred[here], responses[here])
        running.update(pred[here], responses[here])
    right = math.isnan if math.isnan(bad) else math.isinf
    for value in (function(pred, responses, reduction=reduction), metric.compute(), running.compute()["loss"]):
        assert right(value.item())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("bad", VALUES)
def test_only_its_own_neuron_is_bad_and_only_where_there_are_data(name, bad):
    function, _ = LOSSES[name]
    pred, responses = spoiled(bad)
    values = function(pred, responses, reduction="none")
    assert values.isfinite().tolist() == [True, False, False]
    assert values[2].isnan()
    pred, responses = spoiled(bad, missing=True)
    pred.requires_grad_()
    value = function(pred, responses)
    assert value == function(pred, responses, reduction="none")[:2].mean()
    value.backward()
    assert pred.grad.isfinite().all()
    assert not pred.grad[:, 2].any()


@pytest.mark.parametrize("name", LOSSES)
def test_without_any_data_the_loss_is_nan_and_has_no_gradient(name):
    function, _ = LOSSES[name]
    pred = torch.ones(1, 2, 1, 3, requires_grad=True)
    for reduction in ("mean", "sum"):
        value = function(pred, torch.full((1, 2, 1, 3), torch.nan), reduction=reduction)
        assert value.isnan()
        value.backward()
        assert not pred.grad.any()
