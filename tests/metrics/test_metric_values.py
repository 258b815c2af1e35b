"""Every metric against an independent implementation, on ragged data with missing pairs, and its contract."""

from functools import partial

import metric_reference as reference
import numpy as np
import pytest
import torch

from deepSTRF import metrics
from deepSTRF.metrics import correlation, losses, reliability
from deepSTRF.metrics.performance import compute_CCmax, compute_TTRC
from deepSTRF.testing.metric import check_metric

UNIT_FREE = ("pred", "responses")


def on_responses(function, **keywords):
    """A metric of the responses alone, called as the suite calls metrics."""
    return lambda pred, responses, reduction="mean": function(responses, reduction=reduction, **keywords)


def ragged(seed=0, equal_repeats=False, repeats=7):
    """(pred, responses) of 9 stimuli × 8 neurons: missing pairs, ragged bins and repeats, one single-trial neuron."""
    rng = np.random.default_rng(seed)
    signal = rng.gamma(2.0, 1.0, (9, 8, 1, 40))
    data = signal + rng.normal(0, 1.0, (9, 8, repeats, 40)) + rng.normal(0, 0.3, (9, 1, 1, 1))
    for b in range(9):
        data[b, :, :, rng.integers(20, 41) :] = np.nan
        for n in range(8):
            if not equal_repeats:
                data[b, n, rng.permutation(repeats)[: rng.integers(0, repeats - 1)]] = np.nan
            if rng.random() < 0.3:
                data[b, n] = np.nan
    data[:, 6, 1:] = np.nan
    data[0, 6, 0, :5] = signal[0, 6, 0, :5]
    data[:, 7] = np.nan
    pred = signal + rng.normal(0, 1.0, signal.shape)
    return torch.tensor(np.abs(pred) + 0.1).float(), torch.tensor(data).float()


CASES = {
    "mse": (metrics.mse_loss, reference.mse),
    "poisson": (metrics.poisson_loss, reference.poisson),
    "poisson log": (partial(metrics.poisson_loss, log_input=True), partial(reference.poisson, log_input=True)),
    "corrcoef": (metrics.corrcoef, reference.corrcoef),
    "fve": (metrics.fve, reference.fve),
    "schoppe": (metrics.normalized_corrcoef, reference.schoppe),
    "hsu": (partial(metrics.normalized_corrcoef, method="hsu"), reference.hsu),
    "hsu 5": (partial(metrics.normalized_corrcoef, method="hsu", ccmax_iters=5), partial(reference.hsu, most=5)),
    "signal_power": (on_responses(metrics.signal_power), reference.signal_power),
    "noise_power": (on_responses(metrics.noise_power), reference.noise_power),
    "snr": (on_responses(metrics.snr), lambda p, y: reference.signal_power(p, y) / reference.noise_power(p, y)),
    "ccmax": (on_responses(metrics.ccmax), reference.ccmax),
    "noise_ceiling": (on_responses(metrics.noise_ceiling), reference.noise_ceiling),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_reference(name, seed):
    metric, expected = CASES[name]
    pred, responses = ragged(seed)
    got = metric(pred, responses, reduction="none")
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, expected(pred, responses), rtol=1e-5, atol=1e-5)
    assert got[7].isnan()


def test_concatenated_equals_the_reference():
    pred, responses = ragged(equal_repeats=True)
    got = metrics.normalized_corrcoef(pred, responses, signal_power="concatenated", reduction="none")
    np.testing.assert_allclose(got, reference.schoppe(pred, responses, concatenated=True), rtol=1e-5)
    assert got[:6].isfinite().all()
    pred, responses = ragged()
    got = metrics.normalized_corrcoef(pred, responses, signal_power="concatenated", reduction="none")
    np.testing.assert_allclose(got, reference.schoppe(pred, responses, concatenated=True), rtol=1e-5)


@pytest.mark.parametrize("repeats", [4, 20])
def test_many_repeats_use_random_splits(repeats):
    pred, responses = ragged(equal_repeats=True, repeats=repeats)
    got = metrics.ccmax(responses, reduction="none", ccmax_iters=20)
    np.testing.assert_allclose(got, reference.ccmax(pred, responses, most=20), rtol=1e-5)


def test_blocks_do_not_change_the_result(monkeypatch):
    from deepSTRF.metrics import pieces

    pred, responses = ragged()
    before = [metric(pred, responses, reduction="none") for metric, _ in CASES.values()]
    for size in (1, 40 * 7 * 3, 40 * 7 * 8 * 2):
        monkeypatch.setattr(pieces, "BLOCK_ELEMENTS", size)
        after = [metric(pred, responses, reduction="none") for metric, _ in CASES.values()]
        torch.testing.assert_close(after, before, equal_nan=True, rtol=1e-6, atol=1e-7)


def test_coherence_equals_scipy():
    from scipy import signal

    rng = np.random.default_rng(0)
    gt = rng.normal(size=(3, 4, 1, 1000))
    pred = gt + rng.normal(size=gt.shape)
    expected = [
        np.mean([signal.coherence(pred[b, n, 0], gt[b, n, 0], fs=200.0)[1].mean() for b in range(3)]) for n in range(4)
    ]
    got = metrics.coherence(torch.tensor(pred), torch.tensor(gt), dt_ms=5.0, reduction="none")
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert metrics.coherence(torch.tensor(gt), torch.tensor(gt), dt_ms=5.0) > 0.95


def test_ttrc_and_ccmax_of_single_responses():
    _, responses = ragged()
    flat = responses.flatten(0, 1)
    expected = []
    for row in flat.double().numpy():
        part = reference.complete_part(row)
        if len(part) == 1:
            expected.append(1.0)
        elif len(part) == 0:
            expected.append(np.nan)
        else:
            expected.append(np.corrcoef(part)[np.triu_indices(len(part), 1)].mean())
    np.testing.assert_allclose(compute_TTRC(flat), expected, rtol=1e-5, atol=1e-6)
    single = [reference.ccmax(None, row[None, None])[0] for row in flat.numpy()]
    np.testing.assert_allclose(compute_CCmax(flat), single, rtol=1e-5)
    with pytest.raises(ValueError, match=r"\(B, R, T\)"):
        compute_CCmax(responses)
    with pytest.raises(ValueError, match=r"\(B, R, T\)"):
        compute_TTRC(responses)
    with pytest.raises(TypeError, match=r"torch\.Tensor"):
        compute_TTRC(responses.numpy())


CONTRACTS = {
    "mse": (metrics.mse_loss, {"measure": correlation.MEAN_SQUARE, "differentiable": True}),
    "poisson": (metrics.poisson_loss, {"measure": losses.poisson_measure(), "differentiable": True}),
    "poisson log": (
        partial(metrics.poisson_loss, log_input=True),
        {"measure": losses.poisson_measure(log_input=True), "differentiable": True},
    ),
    "corrcoef": (metrics.corrcoef, {"measure": correlation.CORRCOEF, "scale_free": UNIT_FREE}),
    "fve": (metrics.fve, {"measure": correlation.FVE}),
    "schoppe": (
        metrics.normalized_corrcoef,
        {
            "measure": correlation.normalized_corrcoef_measure(),
            "scale_free": UNIT_FREE,
            "uses_repeats": True,
            "reference": reference.schoppe,
        },
    ),
    "concatenated": (
        partial(metrics.normalized_corrcoef, signal_power="concatenated"),
        {
            "measure": correlation.normalized_corrcoef_measure(signal_power="concatenated"),
            "scale_free": UNIT_FREE,
            "uses_repeats": True,
        },
    ),
    "hsu": (
        partial(metrics.normalized_corrcoef, method="hsu"),
        {
            "measure": correlation.normalized_corrcoef_measure("hsu"),
            "scale_free": UNIT_FREE,
            "uses_repeats": True,
        },
    ),
    "signal_power": (
        on_responses(metrics.signal_power),
        {"measure": reliability.SIGNAL_POWER, "uses_repeats": True, "scale_free": ["pred"]},
    ),
    "noise_power": (on_responses(metrics.noise_power), {"measure": reliability.NOISE_POWER, "uses_repeats": True}),
    "snr": (
        on_responses(metrics.snr),
        {"measure": reliability.SNR, "uses_repeats": True, "scale_free": UNIT_FREE},
    ),
    "ccmax": (
        on_responses(metrics.ccmax),
        {"measure": reliability.ccmax_measure(), "uses_repeats": True, "scale_free": UNIT_FREE},
    ),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract(name):
    metric, keywords = CONTRACTS[name]
    check_metric(metric, **keywords)
