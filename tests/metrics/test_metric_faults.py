"""One test or more for every fault of 0.1.0 that ours must not have."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from metric_cases import PAIRED, RELIABILITY, draw
from metric_reference import pairwise_power, sahani_linden

from deepSTRF import metrics
from deepSTRF.metrics import performance
from deepSTRF.metrics.halves import half_splits

NAN = torch.nan


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# ------------------------------------------------------------------------------------------------ losses


@pytest.mark.parametrize("count", [0.0, 1e-9, 1e-8, 0.5, 1.0, 30.0])
def test_poisson_negative_rates_cost_more_and_are_pushed_up(count):
    gt = torch.full((1, 1, 1, 1), count, dtype=torch.float64)
    rates = torch.tensor([-50.0, -1.0, -1e-3, -1e-8, 0.0, 1e-9], dtype=torch.float64)
    at_eps = metrics.poisson_loss(torch.full_like(gt, 1e-8), gt)
    values = torch.stack([metrics.poisson_loss(rate.view(1, 1, 1, 1), gt) for rate in rates])
    assert (values.diff() < 0).all()
    assert (values > at_eps).all()
    assert values.isfinite().all()
    for rate in rates:
        pred = rate.view(1, 1, 1, 1).clone().requires_grad_()
        metrics.poisson_loss(pred, gt).backward()
        assert pred.grad.item() < 0
        assert math.isfinite(pred.grad.item())


def test_poisson_is_continuous_and_smooth_at_eps():
    gt = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    step = 1e-12
    low, at, high = (metrics.poisson_loss(torch.full_like(gt, 1e-8 + d), gt).item() for d in (-step, 0, step))
    assert low - at == pytest.approx(at - high, rel=1e-3)
    assert at - high == pytest.approx(step * (1e8 - 1), rel=1e-3)


def test_poisson_adds_eps_nowhere():
    pred, gt = torch.full((1, 1, 1, 1), 0.5).double(), torch.full((1, 1, 1, 1), 3.0).double()
    assert metrics.poisson_loss(pred, gt, eps=0.1).item() == pytest.approx(0.5 - 3 * math.log(0.5), abs=1e-14)


def test_poisson_log_form_is_minimal_at_log_rate():
    gt = torch.full((1, 1, 1, 1), 3.0)
    values = [metrics.poisson_loss(torch.full_like(gt, x), gt, log_input=True) for x in (0.9, math.log(3.0), 1.3)]
    assert min(values) == values[1]


@pytest.mark.parametrize("with_mask", [True, False])
@pytest.mark.parametrize(
    "loss", [metrics.mse_loss, metrics.poisson_loss, partial(metrics.poisson_loss, log_input=True)]
)
@pytest.mark.parametrize("bad", [1e4, math.inf, NAN, -1e30])
def test_masked_positions_never_enter(loss, bad, with_mask):
    pred, responses = draw()
    responses = responses.abs()
    valid = torch.rand(responses.shape) < 0.7
    valid[:, 2] = False
    target = responses.masked_fill(~valid, NAN)
    missing = target.isnan().all(2, keepdim=True)
    clean = loss(pred, target, reduction="none")
    leaf = pred.masked_fill(missing, bad).requires_grad_()
    mask = valid if with_mask else None
    got = loss(leaf, responses if with_mask else target, mask=mask, reduction="none")
    torch.testing.assert_close(got, clean, equal_nan=True)
    got.nansum().backward()
    assert leaf.grad.isfinite().all()
    assert (leaf.grad[missing] == 0).all()
    assert (leaf.grad[~missing] != 0).all()


@pytest.mark.parametrize(
    "loss", [metrics.mse_loss, metrics.poisson_loss, partial(metrics.poisson_loss, log_input=True)]
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_gradcheck_with_missing_data(loss, reduction, repeats):
    pred, responses = draw(2, 3, repeats, 5)
    responses = responses.abs().double()
    responses[0, 0, :, 2:] = NAN
    responses[1, 1] = NAN
    responses[:, 2] = NAN
    pred = pred.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, responses, reduction=reduction), (pred,))


def test_losses_drop_neurons_without_data():
    pred, responses = draw()
    for loss in (metrics.mse_loss, metrics.poisson_loss):
        values = loss(pred, responses.abs(), reduction="none")
        gone = responses.abs()
        gone[:, 1] = NAN
        assert loss(pred, gone, reduction="none")[1].isnan()
        assert loss(pred, gone) == pytest.approx(values[[0, 2]].mean())
        assert loss(pred, gone, reduction="sum") == pytest.approx(values[[0, 2]].sum())
        for reduction in ("mean", "sum"):
            assert loss(pred, torch.full_like(gone, NAN), reduction=reduction).isnan()


def test_poisson_validation():
    pred, responses = draw(1, 1, 1, 4)
    pred[..., 0] = -1.0
    responses = responses.abs()
    with pytest.raises(ValueError, match="negative values"):
        metrics.poisson_loss(pred, responses, validate_input=True)
    metrics.poisson_loss(pred, responses, validate_input=True, log_input=True)
    responses[..., 0] = NAN
    metrics.poisson_loss(pred, responses, validate_input=True)
    responses[..., 1] = -2.0
    with pytest.raises(ValueError, match="gt has negative values"):
        metrics.poisson_loss(pred, responses, validate_input=True, log_input=True)
    with pytest.raises(ValueError, match="eps"):
        metrics.poisson_loss(pred, responses, eps=0.0)


# ------------------------------------------------------------------------------------------------ masks


@pytest.mark.parametrize("name", [*PAIRED, *RELIABILITY])
def test_mask_replaces_nan_on_both_sides(name):
    pred, responses = draw()
    responses = responses.abs()
    mask = torch.ones_like(responses, dtype=torch.bool)
    mask[1, :, :, 30:] = False
    mask[2, 0] = False
    mask[:, 1, 4:] = False
    dirty = responses.masked_fill(~mask, 1e3)
    by_nan = responses.masked_fill(~mask, NAN)

    def call(data, mask=None):
        if name in PAIRED:
            return PAIRED[name](pred, data, mask=mask, reduction="none")
        return RELIABILITY[name](data, mask=mask, reduction="none")

    expected = call(by_nan)
    assert expected.isfinite().all()
    torch.testing.assert_close(call(dirty, mask), expected)
    torch.testing.assert_close(call(responses, torch.tensor(True)), call(responses))
    assert call(responses, torch.zeros(1, dtype=torch.bool)).isnan().all()


@pytest.mark.parametrize("name", [*PAIRED, *RELIABILITY])
@pytest.mark.parametrize("where", [(0, 1, 2, 7), (3, 1, slice(None), 7), (1, 1, 0)])
def test_mask_that_marks_nan_as_valid_gives_nan(name, where):
    pred, responses = draw()
    responses = responses.abs()
    responses[where] = NAN
    mask = torch.ones(1, 1, 1, responses.shape[-1], dtype=torch.bool)
    args = (pred, responses) if name in PAIRED else (responses,)
    values = (PAIRED | RELIABILITY)[name](*args, mask=mask, reduction="none")
    assert values.isnan().tolist() == [False, True, False]


def test_time_mask_broadcasts():
    pred, responses = draw()
    mask = torch.arange(50) < 20
    for metric in PAIRED.values():
        got = metric(pred, responses.abs(), mask=mask, reduction="none")
        torch.testing.assert_close(got, metric(pred[..., :20], responses[..., :20].abs(), reduction="none"))


# ------------------------------------------------------------------------------------------------ noise


def test_offsets_between_stimuli_inflate_only_the_per_stimulus_score():
    pred, responses = draw(stimuli=8, repeats=10)
    offset = 5.0 * torch.arange(8.0).view(8, 1, 1, 1)
    inflated = metrics.normalized_corrcoef(pred + offset, responses + offset, reduction="none")
    assert (inflated > 3).all()
    fair = metrics.normalized_corrcoef(pred + offset, responses + offset, signal_power="concatenated", reduction="none")
    assert (fair.abs() <= 1.01).all()
    # the identity holds for either definition
    for signal_power in ("per_stimulus", "concatenated"):
        data = pred + offset, responses + offset
        norm = metrics.normalized_corrcoef(*data, signal_power=signal_power, reduction="none")
        ceiling = metrics.noise_ceiling(data[1], signal_power=signal_power, reduction="none")
        torch.testing.assert_close(norm * ceiling, metrics.corrcoef(*data, reduction="none"))


def test_both_definitions_agree_where_stimuli_have_the_same_mean_and_length():
    pred, responses = draw(stimuli=1)
    for metric in (partial(metrics.normalized_corrcoef, pred), metrics.noise_ceiling):
        one, other = (metric(responses, signal_power=s) for s in ("per_stimulus", "concatenated"))
        torch.testing.assert_close(one, other)


def test_concatenated_needs_equal_repeats_per_neuron():
    pred, responses = draw()
    responses[2, 1, 4:] = NAN
    values = metrics.normalized_corrcoef(pred, responses, signal_power="concatenated", reduction="none")
    assert values.isnan().tolist() == [False, True, False]
    # other repeats missing, but equally many: the valid ones are taken in order
    responses[:, 1] = draw()[1][:, 1]
    for b in range(4):
        responses[b, 1, b : b + 2] = NAN
    values = metrics.normalized_corrcoef(pred, responses, signal_power="concatenated", reduction="none")
    assert values.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"signal_power": "concatenated"}, {"method": "hsu"}])
def test_single_trial_fallback_is_per_neuron(options):
    pred, responses = draw()
    responses[:, 1, 1:] = NAN
    responses[1, 1, 0], responses[1, 1, 3] = NAN, responses[1, 1, 0]
    values = metrics.normalized_corrcoef(pred, responses, reduction="none", **options)
    raw = metrics.corrcoef(pred, responses, reduction="none")
    assert values[1] == raw[1]
    assert (values[[0, 2]] > raw[[0, 2]]).all()
    assert metrics.ccmax(responses, reduction="none")[1] == 1.0
    assert metrics.noise_ceiling(responses, reduction="none").isnan().tolist() == [False, True, False]
    alone = responses.nanmean(2, keepdim=True)
    torch.testing.assert_close(
        metrics.normalized_corrcoef(pred, alone, reduction="none", **options), raw, rtol=1e-6, atol=1e-6
    )


def test_partly_missing_repeats_give_the_pairwise_complete_power():
    _, responses = draw(stimuli=3, repeats=5)
    responses[0, 0, 1, 30:] = NAN
    responses[1, 0][torch.rand(5, 50) < 0.3] = NAN
    responses[:, 1, 2, 5] = NAN
    data = responses.double().numpy()
    for n in range(3):
        pairs = np.array([pairwise_power(data[b, n]) for b in range(3)])
        bins = (~np.isnan(data[:, n])).any(1).sum(-1)
        signal, noise = (bins[:, None] * pairs).sum(0) / bins.sum()
        assert metrics.signal_power(responses, reduction="none")[n].item() == pytest.approx(signal, rel=1e-5)
        assert metrics.noise_power(responses, reduction="none")[n].item() == pytest.approx(noise, rel=1e-5)
    assert pairwise_power(data[0, 2])[0] == pytest.approx(sahani_linden(data[0, 2])[0])
    for metric in (metrics.snr, metrics.ccmax, metrics.noise_ceiling):
        complete, holes = metric(draw(stimuli=3, repeats=5)[1], reduction="none"), metric(responses, reduction="none")
        torch.testing.assert_close(complete[2], holes[2])
        torch.testing.assert_close(complete, holes, rtol=0.2, atol=0.05)


def test_repeats_that_share_no_bin():
    responses = torch.full((1, 1, 3, 20), NAN)
    responses[0, 0, 0, :10] = torch.rand(10)
    responses[0, 0, 1, 10:] = torch.rand(10)
    assert metrics.signal_power(responses).isnan()
    responses[0, 0, 2] = torch.rand(20)
    assert metrics.signal_power(responses).isfinite()


def test_silent_halves_do_not_count():
    _, responses = draw(repeats=4, noise=0.1)
    expected = metrics.ccmax(responses[[0, 2, 3]], reduction="none")
    responses[1, :, :2] = 0.7
    got = metrics.ccmax(responses, reduction="none")
    assert got.isfinite().all()
    # of the three splits of four repeats, the one that joins the two silent ones does not count
    half = (
        torch.stack([responses[:, :, [0, i]].mean(2) for i in (2, 3)]),
        torch.stack([responses[:, :, [1, j]].mean(2) for j in (3, 2)]),
    )
    rho = np.mean([np.corrcoef(half[0][k, 1, 0], half[1][k, 1, 0])[0, 1] for k in range(2)])
    ceiling = math.sqrt(2 * rho / (1 + rho))
    assert got[0].item() == pytest.approx((3 * expected[0].item() + ceiling) / 4, rel=1e-5)
    responses[1] = 0.7  # a silent stimulus does not count at all
    torch.testing.assert_close(metrics.ccmax(responses, reduction="none"), expected)
    assert metrics.ccmax(responses[1:2]).isnan()


def test_half_splits():
    for repeats, number in ((2, 1), (4, 3), (6, 10), (8, 35), (10, 126), (12, 126), (20, 126), (40, 126)):
        sign = half_splits(repeats)
        assert sign.shape == (number, repeats)
        assert (sign.sum(1) == 0).all()
        assert (sign[:, 0] == 1).all()
        assert len(sign.unique(dim=0)) == number
    assert torch.equal(half_splits(20, 30), half_splits(20, 126)[:30])
    # random ones are spread: no pair of repeats is nearly always together, as it is in lexicographic order
    together = (half_splits(20).T @ half_splits(20)).fill_diagonal_(0.0) / 126
    assert together.abs().max() < 0.4


def test_uncorrelated_halves_are_undefined():
    wave = torch.linspace(-1, 1, 30)
    responses = torch.stack((wave, -wave)).view(1, 1, 2, 30)
    assert metrics.ccmax(responses).isnan()
    assert performance.compute_CCmax(responses[0]).isnan()
    assert metrics.normalized_corrcoef(wave.view(1, 1, 1, 30), responses).isnan()


def test_snr_of_noiseless_and_of_silent_neurons():
    rate = torch.rand(3, 4, 1, 40).expand(-1, -1, 5, -1).clone()
    assert (metrics.snr(rate, reduction="none") == torch.inf).all()
    assert (metrics.noise_power(rate, reduction="none") == 0).all()
    rate += torch.arange(5.0).view(1, 1, 5, 1)  # repeats that differ by a constant
    assert (metrics.snr(rate, reduction="none") == torch.inf).all()
    rate[:, 0] = 1e6 / 3
    rate[:, 1] = 0
    assert metrics.snr(rate, reduction="none").isnan().tolist() == [True, True, False, False]


def test_noise_power_is_never_negative():
    # the two repeats that share both ends vary much; the third hardly varies and shares only one bin with them
    responses = torch.tensor([[[[4.0, NAN, NAN, 1.0], [4.0, NAN, NAN, 0.0], [NAN, 4.0, 4.0, 3.0]]]])
    assert metrics.noise_power(responses).item() == pytest.approx(0.25)  # of the one pair that shares two bins
    assert metrics.snr(responses).item() == pytest.approx(metrics.signal_power(responses).item() / 0.25)


@pytest.mark.parametrize("name", ["corrcoef", "fve", "schoppe", "concatenated", "hsu"])
@pytest.mark.parametrize("constant", [0.0, 1.0 / 3.0, 1e6 / 3.0, 1e-7 / 3, -5e4 / 7])
def test_constants_are_undefined_at_any_level(name, constant):
    pred, responses = draw()
    dead = responses.clone()
    dead[:, 1] = constant
    assert PAIRED[name](pred, dead, reduction="none").isnan().tolist() == [False, True, False]
    if name != "fve":
        flat = pred.clone()
        flat[:, 1] = constant
        # what a dead unit predicts: a constant up to the last digit
        wobble = torch.nextafter(flat, torch.tensor(torch.inf)).where(torch.rand(flat.shape) < 0.5, flat)
        wobble[:, [0, 2]] = pred[:, [0, 2]]
        for rate in (flat, wobble):
            if constant:
                values = PAIRED[name](rate, responses, reduction="none")
                assert values.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["corrcoef", "schoppe", "concatenated", "hsu"])
@pytest.mark.parametrize("unit", [1e-6, 1e-12, 1e9])
def test_volts(name, unit):
    pred, responses = draw()
    expected = PAIRED[name](pred, responses, reduction="none")
    torch.testing.assert_close(PAIRED[name](pred * unit, responses * unit, reduction="none"), expected)
    for metric in (metrics.snr, metrics.ccmax, metrics.noise_ceiling):
        torch.testing.assert_close(metric(responses * unit), metric(responses))
    torch.testing.assert_close(metrics.signal_power(responses * 1e-6) * 1e12, metrics.signal_power(responses))


def test_a_large_offset_costs_only_the_digits_of_the_data():
    pred, responses = draw()
    shifted = responses.double() + 1e6
    expected = metrics.normalized_corrcoef(pred.double(), responses.double(), reduction="none")
    got = metrics.normalized_corrcoef(pred.double() - 1e6, shifted, reduction="none")
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-7)
    rounded = metrics.normalized_corrcoef(pred, responses + 1e4, reduction="none")
    torch.testing.assert_close(rounded.double(), expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize("name", [*PAIRED, *RELIABILITY])
def test_no_data_is_nan(name):
    pred, responses = draw()
    responses = responses.abs()
    responses[:, 1] = NAN
    metric = (PAIRED | RELIABILITY)[name]
    args = (pred, responses) if name in PAIRED else (responses,)
    assert metric(*args, reduction="none").isnan().tolist() == [False, True, False]


def test_metrics_carry_no_graph_and_keep_the_dtype():
    pred, responses = draw()
    pred.requires_grad_()
    for name in ("corrcoef", "fve", "schoppe", "concatenated", "hsu"):
        value = PAIRED[name](pred, responses)
        assert not value.requires_grad
        assert value.dtype == torch.float32
        assert PAIRED[name](pred.double(), responses.double()).dtype == torch.float64
        counts = (responses.abs() * 3).to(torch.int64)
        torch.testing.assert_close(PAIRED[name](pred, counts), PAIRED[name](pred, counts.float()))


def test_perfect_noiseless_prediction():
    rate = torch.rand(5, 3, 1, 60)
    responses = rate.expand(-1, -1, 4, -1)
    for options in ({"signal_power": "concatenated"}, {"method": "hsu"}):
        torch.testing.assert_close(metrics.normalized_corrcoef(rate, responses, **options), torch.tensor(1.0))
    # stimuli have slightly different means, which the per-stimulus signal power does not see
    assert metrics.normalized_corrcoef(rate, responses).item() == pytest.approx(1.0, abs=0.01)
