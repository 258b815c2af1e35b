"""The check suite must fail for every way to break the contract that it names."""

import pytest
import torch

from deepSTRF.metrics import corrcoef, mse_loss, normalized_corrcoef
from deepSTRF.metrics.correlation import FVE
from deepSTRF.metrics.reliability import signal_power
from deepSTRF.testing.errors import ContractError
from deepSTRF.testing.metric import check_metric


def reduced(function):
    """Add an honest reduction to a function that gives (N,)."""

    def metric(pred, responses, reduction="mean"):
        values = function(pred, responses)
        if reduction == "none":
            return values
        if reduction not in ("mean", "sum"):
            raise ValueError("reduction")
        return values.nanmean() if reduction == "mean" else values.nanmean() * (~values.isnan()).sum()

    return metric


def base(pred, responses):
    return mse_loss(pred, responses, reduction="none")


@reduced
def batch_means(pred, responses):
    per = [base(pred[b : b + 1], responses[b : b + 1]) for b in range(len(pred))]
    return torch.stack(per).nanmean(0) + 0 * base(pred, responses)


@reduced
def first_counts_twice(pred, responses):
    return base(torch.cat((pred, pred[:1])), torch.cat((responses, responses[:1])))


@reduced
def padding_counts(pred, responses):
    return base(pred, responses) + pred.nan_to_num().square().mean((0, 2, 3)) * 1e-3


@reduced
def zero_for_undefined(pred, responses):
    return base(pred, responses).nan_to_num()


@reduced
def spreads(pred, responses):
    return (pred - responses).square().mean((0, 2, 3))


@reduced
def neighbours(pred, responses):
    return base(pred, responses) - base(pred, responses).nanmean()


@reduced
def ranked(pred, responses):
    return base(pred, responses) * (1 + 0.01 * torch.arange(pred.shape[1]))


@reduced
def mutates(pred, responses):
    responses += 1
    return base(pred, responses)


@reduced
def not_a_tensor(pred, responses):
    return base(pred, responses).tolist()


@reduced
def repeats_weigh(pred, responses):
    residual = torch.where(responses.isnan(), 0, pred - responses)
    return residual.square().sum((0, 2, 3)) / (~responses.isnan()).sum((0, 2, 3))


@reduced
def absolute_threshold(pred, responses):
    variance = signal_power(responses, reduction="none")
    return corrcoef(pred, responses, reduction="none").where(~(variance < 1e-10), torch.nan)


@reduced
def nan_gradient(pred, responses):
    overflow = torch.where(responses.isnan().all(2, keepdim=True), 0.0, pred.exp())
    return base(pred, responses) + 0 * overflow.sum((0, 2, 3))


@reduced
def no_gradient(pred, responses):
    silent = torch.where(responses.isnan().all(2, keepdim=True), 0.0, pred)
    return base(pred.detach(), responses) + 0 * silent.sum((0, 2, 3))


@reduced
def leaking_gradient(pred, responses):
    everywhere = pred.nan_to_num()
    return base(pred, responses) + (everywhere - everywhere.detach()).sum((0, 2, 3))


def any_reduction(pred, responses, reduction="mean"):
    return mse_loss(pred, responses, reduction=reduction if reduction in ("none", "sum") else "mean")


def sum_as_mean(pred, responses, reduction="mean"):
    return mse_loss(pred, responses, reduction="mean" if reduction == "sum" else reduction)


def zero_sum(pred, responses, reduction="mean"):
    values = mse_loss(pred, responses, reduction=reduction)
    return values if reduction == "none" else values.nan_to_num()


@pytest.mark.parametrize(
    ("metric", "options", "rule"),
    [
        (first_counts_twice, {}, "stimuli"),
        (padding_counts, {}, "(padding|undefined|neurons|stimuli)"),
        (zero_for_undefined, {}, "undefined"),
        (spreads, {}, "missing data"),
        (neighbours, {}, "neurons"),
        (ranked, {}, "neurons"),
        (mutates, {}, "inputs"),
        (not_a_tensor, {}, "shape"),
        (repeats_weigh, {}, "repeats"),
        (absolute_threshold, {"uses_repeats": True, "scale_free": ["responses"]}, "scale"),
        (mse_loss, {"scale_free": ["pred"]}, "scale"),
        (nan_gradient, {"differentiable": True}, "gradient: it must be finite"),
        (no_gradient, {"differentiable": True}, "gradient: it must reach"),
        (leaking_gradient, {"differentiable": True}, "gradient: it must be exactly 0"),
        (any_reduction, {}, "reduction"),
        (sum_as_mean, {}, "reduction"),
        (zero_sum, {}, "undefined"),
        (mse_loss, {"measure": FVE}, "splitting"),
        (mse_loss, {"reference": lambda pred, responses: [0.0] * 5}, "reference"),
        (normalized_corrcoef, {}, "repeats"),
    ],
)
def test_broken_metrics_are_caught(metric, options, rule):
    with pytest.raises(ContractError, match=f"^{rule}"):
        check_metric(metric, **options)


def test_mean_of_batch_means_is_caught_by_the_reference():
    with pytest.raises(ContractError, match="reference"):
        check_metric(batch_means, reference=lambda pred, responses: base(pred, responses))


def test_arguments():
    with pytest.raises(ValueError, match="scale_free"):
        check_metric(mse_loss, scale_free=["time"])
    check_metric(mse_loss, differentiable=True, reference=base)
