"""What metrics and losses say to data and arguments that they cannot use, and what undefined scores are."""

import functools
import warnings

import numpy as np
import pytest
import torch

from deepSTRF import metrics
from deepSTRF.metrics import performance, streaming

NAN, INF = torch.nan, torch.inf
_generator = torch.Generator().manual_seed(0)
SINGLE = torch.rand(2, 3, 1, 20, generator=_generator)
PRED = SINGLE + 0.2 * torch.rand(2, 3, 1, 20, generator=_generator)
RESPONSES = SINGLE + 0.3 * torch.rand(2, 3, 4, 20, generator=_generator)
COMPLETE = torch.ones(RESPONSES.shape, dtype=torch.bool)

PAIRED = {
    "mse_loss": metrics.mse_loss,
    "poisson_loss": metrics.poisson_loss,
    "corrcoef": metrics.corrcoef,
    "fve": metrics.fve,
    "schoppe": metrics.normalized_corrcoef,
    "concatenated": functools.partial(metrics.normalized_corrcoef, signal_power="concatenated"),
    "hsu": functools.partial(metrics.normalized_corrcoef, method="hsu"),
}
RELIABILITY = {
    "signal_power": metrics.signal_power,
    "noise_power": metrics.noise_power,
    "snr": metrics.snr,
    "ccmax": metrics.ccmax,
    "noise_ceiling": metrics.noise_ceiling,
}


def _update(cls):
    def run(pred, responses, mask=None):
        metric = cls()
        metric.update(pred, responses, mask)
        return metric.compute()

    return run


STREAMING = {
    "Corrcoef": _update(streaming.Corrcoef),
    "PoissonLoss": _update(streaming.PoissonLoss),
    "NormalizedCorrcoef": _update(functools.partial(streaming.NormalizedCorrcoef, method="hsu")),
}
# reliability alone, as if it took a prediction
ALONE = {name: (lambda pred, responses, mask=None, f=f: f(responses, mask)) for name, f in RELIABILITY.items()}
ALONE["SNR"] = _update(streaming.SNR)

PRED_TABLE = [
    pytest.param(PRED.numpy(), TypeError, r"pred must be a torch.Tensor; got ndarray.*as_tensor", id="numpy"),
    pytest.param(PRED.tolist(), TypeError, "pred must be a torch.Tensor; got list", id="list"),
    pytest.param(None, TypeError, "pred must be a torch.Tensor; got NoneType", id="None"),
    pytest.param(PRED[0], ValueError, r"pred must have the shape \(B, N, 1, T\); got \(3, 1, 20\)", id="rank"),
    pytest.param(RESPONSES, ValueError, "R-axis of pred must have length 1", id="repeats"),
    pytest.param(PRED[:1], ValueError, r"pred \(1, 3, 1, 20\) must be \(2, 3, 1, 20\)", id="stimuli"),
    pytest.param(PRED[:, :2], ValueError, r"pred \(2, 2, 1, 20\) must be \(2, 3, 1, 20\)", id="neurons"),
    pytest.param(PRED[..., :19], ValueError, r"pred \(2, 3, 1, 19\) must be \(2, 3, 1, 20\)", id="bins"),
    pytest.param(PRED.to(torch.complex64), TypeError, "pred must hold real numbers.*complex64", id="complex"),
    pytest.param(PRED > 0.5, TypeError, "pred must hold real numbers.*bool", id="bool"),
    pytest.param(PRED.to_sparse(), TypeError, "pred must be a dense tensor.*to_dense", id="sparse"),
    pytest.param(
        PRED.to("meta"), ValueError, r"pred is on meta and .* on cpu; move one with .to\('cpu'\)", id="device"
    ),
]
RESPONSES_TABLE = [
    pytest.param(RESPONSES.numpy(), TypeError, "must be a torch.Tensor; got ndarray", id="numpy"),
    pytest.param(RESPONSES[0], ValueError, r"must have the shape \(B, N, R, T\); got \(3, 4, 20\)", id="rank"),
    pytest.param(RESPONSES.to(torch.complex64), TypeError, "must hold real numbers.*complex64", id="complex"),
    pytest.param(RESPONSES > 0.5, TypeError, "must hold real numbers.*bool", id="bool"),
    pytest.param(RESPONSES.to_sparse(), TypeError, "must be a dense tensor", id="sparse"),
]
MASK_TABLE = [
    pytest.param(COMPLETE.float(), TypeError, "mask must be a bool tensor.*float32", id="float"),
    pytest.param(COMPLETE.int(), TypeError, "mask must be a bool tensor.*int32", id="int"),
    pytest.param(COMPLETE.numpy(), TypeError, "mask must be a bool tensor.*ndarray", id="numpy"),
    pytest.param([True], TypeError, "mask must be a bool tensor.*list", id="list"),
    pytest.param(
        COMPLETE[..., :19], ValueError, r"broadcastable to .*\(2, 3, 4, 20\); got .*\(2, 3, 4, 19\)", id="bins"
    ),
    pytest.param(COMPLETE[:, :2], ValueError, "broadcastable", id="neurons"),
    pytest.param(COMPLETE.to("meta"), ValueError, r"mask is on meta and .* on cpu", id="device"),
]


@pytest.mark.parametrize("name", [*PAIRED, *STREAMING])
@pytest.mark.parametrize(("pred", "error", "words"), PRED_TABLE)
def test_predictions(name, pred, error, words):
    with pytest.raises(error, match=words):
        {**PAIRED, **STREAMING}[name](pred, RESPONSES)


@pytest.mark.parametrize("name", [*PAIRED, *STREAMING, *ALONE])
@pytest.mark.parametrize(("responses", "error", "words"), RESPONSES_TABLE)
def test_responses(name, responses, error, words):
    with pytest.raises(error, match=words):
        {**PAIRED, **STREAMING, **ALONE}[name](PRED, responses)


@pytest.mark.parametrize("name", [*PAIRED, *STREAMING, *ALONE])
@pytest.mark.parametrize(("mask", "error", "words"), MASK_TABLE)
def test_masks(name, mask, error, words):
    with pytest.raises(error, match=words):
        {**PAIRED, **STREAMING, **ALONE}[name](PRED, RESPONSES, mask=mask)


ARGUMENT_TABLE = [
    pytest.param(
        lambda: metrics.corrcoef(PRED, RESPONSES, reduction="median"),
        ValueError,
        "'none', 'mean', 'sum'; got 'median'",
        id="reduction",
    ),
    pytest.param(
        lambda: metrics.snr(RESPONSES, reduction=None), ValueError, "reduction must be one of", id="reduction-None"
    ),
    pytest.param(
        lambda: metrics.mse_loss(PRED, RESPONSES, reduction=["mean"]),
        ValueError,
        "reduction must be one of",
        id="reduction-list",
    ),
    pytest.param(
        lambda: metrics.normalized_corrcoef(PRED, SINGLE, method="pearson"),
        ValueError,
        "'schoppe', 'hsu'; got 'pearson'",
        id="method-of-single-trials",
    ),
    pytest.param(
        lambda: metrics.noise_ceiling(RESPONSES, signal_power="total"),
        ValueError,
        "'per_stimulus', 'concatenated'",
        id="signal_power",
    ),
    pytest.param(
        lambda: metrics.ccmax(RESPONSES, ccmax_iters=0),
        ValueError,
        "ccmax_iters must be at least 1; got 0",
        id="iters-zero",
    ),
    pytest.param(
        lambda: metrics.ccmax(RESPONSES, ccmax_iters=-3), ValueError, "at least 1; got -3", id="iters-negative"
    ),
    pytest.param(
        lambda: performance.compute_CCmax(RESPONSES[0], 2.5),
        TypeError,
        "ccmax_iters must be an integer; got float",
        id="iters-float",
    ),
    pytest.param(
        lambda: streaming.NormalizedCorrcoef(ccmax_iters=True),
        TypeError,
        "must be an integer; got bool",
        id="iters-bool",
    ),
    pytest.param(
        lambda: metrics.poisson_loss(PRED, RESPONSES, eps=0),
        ValueError,
        "eps must be positive and finite; got 0",
        id="eps-zero",
    ),
    pytest.param(
        lambda: metrics.poisson_loss(PRED, RESPONSES, eps=INF),
        ValueError,
        "eps must be positive and finite",
        id="eps-inf",
    ),
    pytest.param(
        lambda: metrics.poisson_loss(PRED, RESPONSES, eps=NAN),
        ValueError,
        "eps must be positive and finite",
        id="eps-nan",
    ),
    pytest.param(
        lambda: metrics.poisson_loss(PRED, RESPONSES, eps="1e-8"),
        TypeError,
        "eps must be a number; got str",
        id="eps-str",
    ),
    pytest.param(lambda: streaming.PoissonLoss(eps=True), TypeError, "eps must be a number; got bool", id="eps-bool"),
    pytest.param(
        lambda: metrics.poisson_loss(-PRED, RESPONSES, validate_input=True),
        ValueError,
        "pred has negative values at 120 valid",
        id="negative-rates",
    ),
    pytest.param(
        lambda: metrics.coherence(PRED, SINGLE, 0), ValueError, "dt_ms must be positive and finite; got 0", id="dt-zero"
    ),
    pytest.param(
        lambda: metrics.coherence(PRED, SINGLE, INF), ValueError, "dt_ms must be positive and finite", id="dt-inf"
    ),
    pytest.param(
        lambda: metrics.coherence(PRED, SINGLE, "5"), TypeError, "dt_ms must be a number; got str", id="dt-str"
    ),
    pytest.param(
        lambda: metrics.coherence(PRED, SINGLE / 0, 5.0),
        ValueError,
        "gt contains NaN or infinite values",
        id="coherence-inf",
    ),
    pytest.param(
        lambda: metrics.coherence(PRED, RESPONSES, 5.0), ValueError, "average its repeats first", id="coherence-repeats"
    ),
    pytest.param(lambda: performance.compute_TTRC(RESPONSES), ValueError, r"\(B, R, T\)", id="TTRC-rank"),
    pytest.param(
        lambda: performance.compute_TTRC(RESPONSES[0].to(torch.complex64)), TypeError, "real numbers", id="TTRC-complex"
    ),
    pytest.param(
        lambda: performance.compute_CCmax(RESPONSES[0].tolist()), TypeError, "torch.Tensor; got list", id="CCmax-list"
    ),
    pytest.param(
        lambda: metrics.corrcoef(PRED[:, :0], RESPONSES[:, :0]), ValueError, "at least one neuron", id="no-neurons"
    ),
    pytest.param(lambda: streaming.Corrcoef(reductoin="mean"), ValueError, "reductoin", id="streaming-misspelled"),
    pytest.param(lambda: streaming.SNR(reduction="median"), ValueError, "got 'median'", id="streaming-reduction"),
]


@pytest.mark.parametrize(("action", "error", "words"), ARGUMENT_TABLE)
def test_arguments(action, error, words):
    with pytest.raises(error, match=words):
        action()


def test_streaming_keeps_what_it_had_when_a_batch_is_refused():
    metric = streaming.Corrcoef()
    metric.update(PRED, RESPONSES)
    before = metric.compute()
    for pred, responses in ((PRED[:, :2], RESPONSES[:, :2]), (PRED[0], RESPONSES), (PRED.to("meta"), RESPONSES)):
        with pytest.raises(ValueError, match=r"N = 3|shape|meta"):
            metric.update(pred, responses)
    metric.update(PRED * NAN, RESPONSES * NAN)  # a batch without data
    assert torch.equal(metric.compute(), before)


# --- what is accepted, and what comes of it ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PAIRED, *RELIABILITY])
def test_integers_are_numbers(name):
    pred, responses = (PRED * 9).int(), (RESPONSES * 9).int()
    function = {**PAIRED, **ALONE}[name]
    torch.testing.assert_close(function(pred, responses), function(pred.float(), responses.float()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", [*PAIRED, *RELIABILITY])
def test_half_precision_is_computed_in_more(name, dtype):
    pred, responses = PRED.to(dtype), RESPONSES.to(dtype)
    function = {**PAIRED, **ALONE}[name]
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


@pytest.mark.parametrize("name", [*PAIRED, *RELIABILITY])
@pytest.mark.parametrize("empty", ["all missing", "no stimulus", "no repeat", "no bin"])
def test_without_data_every_score_is_nan(name, empty):
    pred, responses = {
        "all missing": (PRED, RESPONSES * NAN),
        "no stimulus": (PRED[:0], RESPONSES[:0]),
        "no repeat": (PRED, RESPONSES[:, :, :0]),
        "no bin": (PRED[..., :0], RESPONSES[..., :0]),
    }[empty]
    function = {**PAIRED, **RELIABILITY}[name]
    arguments = (pred, responses) if name in PAIRED else (responses,)
    assert function(*arguments, reduction="none").isnan().tolist() == [True] * 3
    assert function(*arguments, reduction="mean").isnan()
    assert function(*arguments, reduction="sum").isnan()


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


@pytest.mark.parametrize("name", [*PAIRED, *RELIABILITY])
@pytest.mark.parametrize("value", [INF, -INF])
def test_an_infinite_response_spoils_its_own_neuron_only(name, value):
    """No score of such a neuron is a finite number, and the others are as without it."""
    responses = RESPONSES.clone()
    responses[0, 1, 2, 5] = value
    function = {**PAIRED, **ALONE}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = _per_neuron(function, name, responses)
    expected = _per_neuron(function, name, RESPONSES)
    assert expected.isfinite().all()
    assert not got[1].isfinite()
    torch.testing.assert_close(got[[0, 2]], expected[[0, 2]])


def _per_neuron(function, name, responses):
    if name in PAIRED:
        return function(PRED, responses, reduction="none")
    return RELIABILITY[name](responses, reduction="none")


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
    assert not _update(streaming.Corrcoef)(pred, responses).requires_grad
    assert not performance.compute_TTRC(responses[0]).requires_grad
    assert not metrics.coherence(pred, responses[:, :, :1], 5.0).requires_grad


def test_numpy_integers_are_integers():
    value = metrics.ccmax(RESPONSES, ccmax_iters=np.int64(2))
    assert torch.equal(value, metrics.ccmax(RESPONSES, ccmax_iters=2))
    assert metrics.poisson_loss(PRED, RESPONSES, eps=np.float32(1e-6)).isfinite()
