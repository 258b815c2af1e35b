"""Data that are unusual but fine, and what comes of them: other dtypes, nothing at all, constants, infinite values."""

import warnings

import numpy as np
import pytest
import torch
from metric_cases import ALL, PAIRED, RELIABILITY, streaming_form

from deepSTRF import metrics
from deepSTRF.metrics import performance, streaming

NAN, INF = torch.nan, torch.inf
_generator = torch.Generator().manual_seed(0)
SINGLE = torch.rand(2, 3, 1, 20, generator=_generator)
PRED = SINGLE + 0.2 * torch.rand(2, 3, 1, 20, generator=_generator)
RESPONSES = SINGLE + 0.3 * torch.rand(2, 3, 4, 20, generator=_generator)


@pytest.mark.parametrize("name", ALL)
def test_integers_are_numbers(name):
    pred, responses = (PRED * 9).int(), (RESPONSES * 9).int()
    function = ALL[name]
    torch.testing.assert_close(function(pred, responses), function(pred.float(), responses.float()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ALL)
def test_half_precision_is_computed_in_more(name, dtype):
    pred, responses = PRED.to(dtype), RESPONSES.to(dtype)
    function = ALL[name]
    value = function(pred, responses)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, function(pred.float(), responses.float()), rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [metrics.mse_loss, metrics.poisson_loss])
def test_half_precision_losses_do_not_overflow_or_stall(loss, dtype):
    """The squares of 100 000 bins sum to more than float16 holds, and its smallest number is above eps."""
    pred = torch.ones(1, 1, 1, 100_000, dtype=dtype, requires_grad=True)
    value = loss(pred, torch.full((1, 1, 1, 100_000), 3.0, dtype=dtype))
    assert value.item() == pytest.approx(4.0 if loss is metrics.mse_loss else 1.0, rel=1e-3)
    value.backward()
    assert pred.grad.dtype == dtype
    assert pred.grad.isfinite().all()
    silent = loss(torch.zeros(1, 1, 1, 3, dtype=dtype), torch.zeros(1, 1, 1, 3, dtype=dtype))
    assert silent.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("empty", ["all missing", "no stimulus", "no repeat", "no bin"])
def test_without_data_every_score_is_nan(name, empty):
    pred, responses = {
        "all missing": (PRED, RESPONSES * NAN),
        "no stimulus": (PRED[:0], RESPONSES[:0]),
        "no repeat": (PRED, RESPONSES[:, :, :0]),
        "no bin": (PRED[..., :0], RESPONSES[..., :0]),
    }[empty]
    assert ALL[name](pred, responses, reduction="none").isnan().tolist() == [True] * 3
    assert ALL[name](pred, responses, reduction="mean").isnan()
    assert ALL[name](pred, responses, reduction="sum").isnan()


@pytest.mark.parametrize("name", ["corrcoef", "schoppe", "concatenated", "hsu"])
@pytest.mark.parametrize("side", ["pred", "responses"])
def test_correlations_with_a_constant_are_nan(name, side):
    pred, responses = (
        (torch.full_like(PRED, 0.3), RESPONSES) if side == "pred" else (PRED, torch.full_like(RESPONSES, 0.3))
    )
    assert PAIRED[name](pred, responses, reduction="none").isnan().all()


@pytest.mark.parametrize("name", ["snr", "ccmax", "noise_ceiling"])
def test_reliability_of_constant_responses_is_nan(name):
    assert RELIABILITY[name](torch.full_like(RESPONSES, 0.3), reduction="none").isnan().all()
    assert metrics.fve(PRED, torch.full_like(RESPONSES, 0.3)).isnan()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [INF, -INF])
def test_an_infinite_response_spoils_its_own_neuron_only(name, value):
    """No score of such a neuron is a finite number, and the others are as without it."""
    responses = RESPONSES.clone()
    responses[0, 1, 2, 5] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = ALL[name](PRED, responses, reduction="none")
    expected = ALL[name](PRED, RESPONSES, reduction="none")
    assert expected.isfinite().all()
    assert not got[1].isfinite()
    torch.testing.assert_close(got[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("value", [INF, -INF, NAN])
def test_a_prediction_that_is_no_number_is_no_score(name, value):
    pred = PRED.clone()
    pred[0, 1, 0, 5] = value
    got = PAIRED[name](pred, RESPONSES, reduction="none")
    assert not got[1].isfinite()
    expected = PAIRED[name](PRED, RESPONSES, reduction="none")
    assert expected.isfinite().all()
    torch.testing.assert_close(got[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("repeats", [1, 4])
@pytest.mark.parametrize("loss", [metrics.mse_loss, metrics.poisson_loss])
def test_no_gradient_goes_to_the_responses(loss, repeats):
    pred = PRED.clone().requires_grad_()
    responses = RESPONSES[:, :, :repeats].clone().requires_grad_()
    loss(pred, responses).backward()
    assert responses.grad is None
    assert pred.grad.any()
    # prediction and responses in each other's place: nothing to train
    assert not loss(responses.detach()[:, :, :1], pred).requires_grad


def test_metrics_of_a_graph_have_none():
    pred, responses = PRED.clone().requires_grad_(), RESPONSES.clone().requires_grad_()
    assert not metrics.corrcoef(pred, responses).requires_grad
    assert not streaming_form(streaming.Corrcoef)(pred, responses).requires_grad
    assert not performance.compute_TTRC(responses[0]).requires_grad
    assert not metrics.coherence(pred, responses[:, :, :1], 5.0).requires_grad


def test_numpy_integers_are_integers():
    value = metrics.ccmax(RESPONSES, ccmax_iters=np.int64(2))
    assert torch.equal(value, metrics.ccmax(RESPONSES, ccmax_iters=2))
    assert metrics.poisson_loss(PRED, RESPONSES, eps=np.float32(1e-6)).isfinite()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_one_repeat_is_its_own_psth(dtype, missing):
    """Whatever is predicted where a response is missing, and without a change of what was given."""
    generator = torch.Generator().manual_seed(0)
    responses = torch.rand(3, 4, 1, 50, generator=generator, dtype=dtype) + 10
    pred = responses + torch.rand(responses.shape, generator=generator, dtype=dtype)
    absent = torch.rand(responses.shape, generator=generator) < missing
    responses[absent] = torch.nan
    given = responses.clone()
    pairs = [
        (metric(pred.masked_fill(absent, filling), responses, reduction="none"), metric(pred, twice, reduction="none"))
        for twice in [responses.repeat(1, 1, 2, 1)]
        for metric in (metrics.corrcoef, metrics.fve)
        for filling in (0.0, torch.nan, torch.inf)
    ]
    for once, expected in pairs:
        torch.testing.assert_close(once, expected)
        assert once.isfinite().all()
    torch.testing.assert_close(responses, given, rtol=0, atol=0, equal_nan=True)
