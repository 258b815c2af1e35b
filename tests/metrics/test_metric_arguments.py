"""What metrics and losses say to data and arguments that they cannot use."""

import functools

import pytest
import torch
from metric_cases import ALL, PAIRED, draw, streaming_form

from deepSTRF import metrics
from deepSTRF.metrics import performance, streaming

NAN, INF = torch.nan, torch.inf
_generator = torch.Generator().manual_seed(0)
SINGLE = torch.rand(2, 3, 1, 20, generator=_generator)
PRED = SINGLE + 0.2 * torch.rand(2, 3, 1, 20, generator=_generator)
RESPONSES = SINGLE + 0.3 * torch.rand(2, 3, 4, 20, generator=_generator)
COMPLETE = torch.ones(RESPONSES.shape, dtype=torch.bool)

STREAMING = {
    "Corrcoef": streaming_form(streaming.Corrcoef),
    "PoissonLoss": streaming_form(streaming.PoissonLoss),
    "NormalizedCorrcoef": streaming_form(functools.partial(streaming.NormalizedCorrcoef, method="hsu")),
}
EVERY = ALL | STREAMING | {"SNR": streaming_form(streaming.SNR)}

PRED_TABLE = [
    pytest.param(PRED.numpy(), TypeError, r"pred must be a torch.Tensor, got a ndarray.*as_tensor", id="numpy"),
    pytest.param(PRED.tolist(), TypeError, "pred must be a torch.Tensor, got a list", id="list"),
    pytest.param(None, TypeError, "pred must be a torch.Tensor, got None", id="None"),
    pytest.param(PRED[0], ValueError, r"pred must have the shape \(B, N, 1, T\), got \(3, 1, 20\)", id="rank"),
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
    pytest.param(RESPONSES.numpy(), TypeError, "must be a torch.Tensor, got a ndarray", id="numpy"),
    pytest.param(RESPONSES[0], ValueError, r"must have the shape \(B, N, R, T\), got \(3, 4, 20\)", id="rank"),
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
        COMPLETE[..., :19], ValueError, r"broadcastable to .*\(2, 3, 4, 20\), got .*\(2, 3, 4, 19\)", id="bins"
    ),
    pytest.param(COMPLETE[:, :2], ValueError, "broadcastable", id="neurons"),
    pytest.param(COMPLETE.to("meta"), ValueError, r"mask is on meta and .* on cpu", id="device"),
]


@pytest.mark.parametrize("name", [*PAIRED, *STREAMING])
@pytest.mark.parametrize(("pred", "error", "words"), PRED_TABLE)
def test_predictions(name, pred, error, words):
    with pytest.raises(error, match=words):
        EVERY[name](pred, RESPONSES)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("responses", "error", "words"), RESPONSES_TABLE)
def test_responses(name, responses, error, words):
    with pytest.raises(error, match=words):
        EVERY[name](PRED, responses)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("mask", "error", "words"), MASK_TABLE)
def test_masks(name, mask, error, words):
    with pytest.raises(error, match=words):
        EVERY[name](PRED, RESPONSES, mask=mask)


ARGUMENTS = [
    ("'none', 'mean', 'sum'; got 'median'", ValueError, lambda: metrics.corrcoef(PRED, RESPONSES, reduction="median")),
    ("reduction must be one of", ValueError, lambda: metrics.snr(RESPONSES, reduction=None)),
    ("reduction must be one of", ValueError, lambda: metrics.mse_loss(PRED, RESPONSES, reduction=["mean"])),
    ("reductoin", ValueError, lambda: streaming.Corrcoef(reductoin="mean")),
    ("got 'median'", ValueError, lambda: streaming.SNR(reduction="median")),
    ("positive integer, got 0", ValueError, lambda: metrics.ccmax(RESPONSES, ccmax_iters=0)),
    ("positive integer, got -3", ValueError, lambda: metrics.ccmax(RESPONSES, ccmax_iters=-3)),
    ("integer, got a float: 2.5", TypeError, lambda: performance.compute_CCmax(RESPONSES[0], 2.5)),
    ("integer, got the bool", TypeError, lambda: streaming.NormalizedCorrcoef(ccmax_iters=True)),
    ("eps must be positive and finite, got 0", ValueError, lambda: metrics.poisson_loss(PRED, RESPONSES, eps=0)),
    ("eps must be positive and finite", ValueError, lambda: metrics.poisson_loss(PRED, RESPONSES, eps=INF)),
    ("eps must be positive and finite", ValueError, lambda: metrics.poisson_loss(PRED, RESPONSES, eps=NAN)),
    ("eps must be a number, got a str", TypeError, lambda: metrics.poisson_loss(PRED, RESPONSES, eps="1e-8")),
    ("eps must be a number, got a bool", TypeError, lambda: streaming.PoissonLoss(eps=True)),
    ("at 120 valid", ValueError, lambda: metrics.poisson_loss(-PRED, RESPONSES, validate_input=True)),
    ("dt_ms must be positive and finite, got 0", ValueError, lambda: metrics.coherence(PRED, SINGLE, 0)),
    ("dt_ms must be positive and finite", ValueError, lambda: metrics.coherence(PRED, SINGLE, INF)),
    ("dt_ms must be a number, got a str", TypeError, lambda: metrics.coherence(PRED, SINGLE, "5")),
    ("gt contains NaN or infinite values", ValueError, lambda: metrics.coherence(PRED, SINGLE / 0, 5.0)),
    ("average its repeats first", ValueError, lambda: metrics.coherence(PRED, RESPONSES, 5.0)),
    (r"\(B, R, T\)", ValueError, lambda: performance.compute_TTRC(RESPONSES)),
    ("real numbers", TypeError, lambda: performance.compute_TTRC(RESPONSES[0].to(torch.complex64))),
    ("torch.Tensor, got a list", TypeError, lambda: performance.compute_CCmax(RESPONSES[0].tolist())),
    ("at least one neuron", ValueError, lambda: metrics.corrcoef(PRED[:, :0], RESPONSES[:, :0])),
]


@pytest.mark.parametrize(("words", "error", "action"), ARGUMENTS)
def test_arguments(words, error, action):
    with pytest.raises(error, match=words):
        action()


@pytest.mark.parametrize("name", ALL)
def test_every_metric_checks_its_reduction(name):
    with pytest.raises(ValueError, match="reduction must be one of"):
        ALL[name](PRED, RESPONSES, reduction="median")


@pytest.mark.parametrize("repeats", [1, 4])
def test_choices_are_checked_also_for_single_trials(repeats):
    pred, responses = draw(repeats=repeats)
    with pytest.raises(ValueError, match="schoppe"):
        metrics.normalized_corrcoef(pred, responses, method="pearson")
    with pytest.raises(ValueError, match="per_stimulus"):
        metrics.normalized_corrcoef(pred, responses, signal_power="within")
    with pytest.raises(ValueError, match="concatenated"):
        metrics.noise_ceiling(responses, signal_power="within")
    with pytest.raises(ValueError, match="ccmax_iters"):
        metrics.normalized_corrcoef(pred, responses, method="hsu", ccmax_iters=0)
    with pytest.raises(TypeError, match="ccmax_iters"):
        metrics.ccmax(responses, ccmax_iters=2.5)


def test_coherence_arguments():
    pred, responses = draw(repeats=1, bins=400)
    with pytest.raises(ValueError, match="NaN"):
        metrics.coherence(pred, responses.masked_fill(responses > 1, NAN), 5.0)
    with pytest.raises(ValueError, match="NaN"):
        metrics.coherence(pred * NAN, responses, 5.0)
    with pytest.raises(ValueError, match="dt_ms"):
        metrics.coherence(pred, responses, 0.0)
    with pytest.raises(ValueError, match="average"):
        metrics.coherence(pred, responses.expand(-1, -1, 2, -1), 5.0)
    with pytest.raises(ValueError, match="reduction"):
        metrics.coherence(pred, responses, 5.0, reduction="max")
    with pytest.raises(ValueError, match="at least one"):
        metrics.coherence(pred[:0], responses[:0], 5.0)
    responses[1, 0] = 3.3
    values = metrics.coherence(pred, responses, 5.0, reduction="none")
    assert values.isnan().tolist() == [True, False, False]


def test_streaming_keeps_what_it_had_after_an_invalid_batch():
    metric = streaming.Corrcoef()
    metric.update(PRED, RESPONSES)
    before = metric.compute()
    for pred, responses in ((PRED[:, :2], RESPONSES[:, :2]), (PRED[0], RESPONSES), (PRED.to("meta"), RESPONSES)):
        with pytest.raises(ValueError, match=r"N = 3|shape|meta"):
            metric.update(pred, responses)
    metric.update(PRED * NAN, RESPONSES * NAN)  # a batch without data
    assert torch.equal(metric.compute(), before)
