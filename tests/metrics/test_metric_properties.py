"""Invariances of every metric on random populations, and exactness of the streaming core."""

from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from deepSTRF import metrics
from deepSTRF.metrics import correlation, losses, reliability
from deepSTRF.metrics.blocks import average_repeats
from deepSTRF.metrics.statistics import Moments, Powers, collect, merge


def responses_only(function):
    return lambda pred, responses, reduction="mean": function(responses, reduction=reduction)


FORMS = {
    "mse": (metrics.mse_loss, correlation.MEAN_SQUARE),
    "poisson": (metrics.poisson_loss, losses.poisson_measure()),
    "corrcoef": (metrics.corrcoef, correlation.CORRCOEF),
    "fve": (metrics.fve, correlation.FVE),
    "schoppe": (metrics.normalized_corrcoef, correlation.normalized_corrcoef_measure()),
    "concatenated": (
        partial(metrics.normalized_corrcoef, signal_power="concatenated"),
        correlation.normalized_corrcoef_measure(signal_power="concatenated"),
    ),
    "hsu": (
        partial(metrics.normalized_corrcoef, method="hsu"),
        correlation.normalized_corrcoef_measure(method="hsu"),
    ),
    "signal_power": (responses_only(metrics.signal_power), reliability.SIGNAL_POWER),
    "noise_power": (responses_only(metrics.noise_power), reliability.NOISE_POWER),
    "snr": (responses_only(metrics.snr), reliability.SNR),
    "ccmax": (responses_only(metrics.ccmax), reliability.ccmax_measure()),
    "noise_ceiling": (responses_only(metrics.noise_ceiling), correlation.noise_ceiling_measure()),
}
SCALE_FREE = ("corrcoef", "schoppe", "concatenated", "hsu", "snr", "ccmax", "noise_ceiling")


@st.composite
def populations(draw):
    """(pred, responses): any sizes, with padding, missing pairs, missing repeats and missing bins."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stimuli, neurons, repeats, bins = (draw(st.integers(1, most)) for most in (5, 4, 5, 30))
    rate = rng.gamma(2.0, 1.0, (stimuli, neurons, 1, bins)) + 0.1
    data = rng.poisson(np.broadcast_to(rate, (stimuli, neurons, repeats, bins))).astype(float)
    missing = draw(st.sets(st.sampled_from(["padding", "pairs", "repeats", "bins"])))
    if "padding" in missing:
        for b in range(stimuli):
            data[b, :, :, rng.integers(1, bins + 1) :] = np.nan
    if "pairs" in missing:
        data[rng.random((stimuli, neurons)) < 0.3] = np.nan
    if "repeats" in missing:
        data[rng.random((stimuli, neurons, repeats)) < 0.3] = np.nan
    if "bins" in missing:
        data[rng.random(data.shape) < 0.2] = np.nan
    pred = rate + rng.random(rate.shape)
    return torch.tensor(pred, dtype=torch.float32), torch.tensor(data, dtype=torch.float32)


few = settings(max_examples=25, deadline=None)
close = partial(torch.testing.assert_close, equal_nan=True, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
@few
@given(data=populations(), seed=st.integers(0, 1000))
def test_permutation_padding_and_batches(name, data, seed):
    metric, measure = FORMS[name]
    pred, responses = data
    generator = torch.Generator().manual_seed(seed)
    values = metric(pred, responses, reduction="none")
    neurons = torch.randperm(pred.shape[1], generator=generator)
    close(metric(pred[:, neurons], responses[:, neurons], reduction="none"), values[neurons])
    stimuli = torch.randperm(pred.shape[0], generator=generator)
    close(metric(pred[stimuli], responses[stimuli], reduction="none"), values)
    wide = torch.nn.functional.pad(responses, (0, 3, 0, 2), value=torch.nan)
    close(metric(torch.nn.functional.pad(pred, (0, 3), value=77.0), wide, reduction="none"), values)
    cut = int(torch.randint(0, pred.shape[0] + 1, (), generator=generator))
    one, other = (collect(measure.parts, responses[part], pred[part]) for part in (slice(cut), slice(cut, None)))
    for pair in ((one, other), (other, one)):
        close(measure.compute(*merge(*pair)).float(), values)


@pytest.mark.parametrize("name", SCALE_FREE)
@few
@given(data=populations(), exponent=st.integers(-9, 6))
def test_units_do_not_matter(name, data, exponent):
    pred, responses = (tensor.double() for tensor in data)
    metric, unit = FORMS[name][0], 10.0**exponent
    close(metric(pred, responses * unit, reduction="none"), metric(pred, responses, reduction="none"))
    close(metric(pred * unit + unit, responses, reduction="none"), metric(pred, responses, reduction="none"))


@few
@given(data=populations())
def test_identities(data):
    pred, responses = (tensor.double() for tensor in data)
    cc, norm, ceiling = (
        metrics.corrcoef(pred, responses, reduction="none"),
        metrics.normalized_corrcoef(pred, responses, reduction="none"),
        metrics.noise_ceiling(responses, reduction="none"),
    )
    known = ceiling.isfinite() & norm.isfinite()
    close((norm * ceiling)[known], cc[known])
    close(average_repeats(responses), responses.nanmean(2, keepdim=True))
    assert not (cc.abs() > 1).any()


@pytest.mark.parametrize("name", FORMS)
def test_many_batches_equal_one_pass(name):
    """Small batches of a long recording with a drifting offset: to 1e-6 of the whole."""
    metric, measure = FORMS[name]
    generator = torch.Generator().manual_seed(3)
    rate = torch.rand(60, 4, 1, 25, generator=generator) + torch.arange(60.0).view(60, 1, 1, 1)
    responses = rate + 0.3 * torch.randn(60, 4, 4, 25, generator=generator)
    responses[::7, 2] = torch.nan
    statistics = collect(measure.parts, responses[:1], rate[:1])
    for b in range(1, 60):
        statistics = merge(statistics, collect(measure.parts, responses[b : b + 1], rate[b : b + 1]))
    whole = metric(rate.double(), responses.double(), reduction="none")
    torch.testing.assert_close(measure.compute(*statistics), whole, rtol=1e-6, atol=1e-6)
    assert whole.isfinite().all()


def test_one_pass_serves_several_metrics():
    pred, responses = torch.rand(4, 3, 1, 30), torch.rand(4, 3, 5, 30)
    both = correlation.normalized_corrcoef_measure()
    moments, powers = collect(both.parts, responses, pred)
    close(correlation.CORRCOEF.compute(moments).float(), metrics.corrcoef(pred, responses, reduction="none"))
    close(both.compute(moments, powers).float(), metrics.normalized_corrcoef(pred, responses, reduction="none"))
    close(reliability.SNR.compute(powers).float(), metrics.snr(responses, reduction="none"))


def test_the_state_is_small():
    pred, responses = torch.rand(4, 3, 1, 30), torch.rand(4, 3, 5, 30)
    for _, measure in FORMS.values():
        for statistic in collect(measure.parts, responses, pred):
            assert all(field.shape in ((3,), (3, 5, 5)) for field in statistic)
            assert all(field.dtype == torch.float64 for field in statistic)


@pytest.mark.parametrize("scale", [1e-24, 1e-12, 1e12, 1e24])
def test_squares_beyond_float32_are_summed_in_float64(scale):
    """Float32 holds such responses, but not their squares; a silent neuron among them stays silent."""
    responses = torch.rand(3, 4, 6, 40, generator=torch.Generator().manual_seed(0))
    responses[:, 1] = 0.0
    scaled = responses * scale
    wanted = [statistic.double() for statistic in collect((Powers.of,), scaled.double())[0][:4]]
    power = wanted[0].abs().amax() + wanted[1].amax()
    for got, expected in zip(collect((Powers.of,), scaled)[0][:2], wanted, strict=False):
        torch.testing.assert_close(got / power, expected / power, rtol=1e-6, atol=1e-6)
        assert (got[1] == 0).all()
    for got, expected in zip(collect((Powers.of,), scaled)[0][2:4], wanted[2:], strict=True):
        torch.testing.assert_close(got / expected.amax(), expected / expected.amax(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("missing", ["nothing", "pairs", "repeats", "the end", "here and there"])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3])
def test_float32_data_are_scored_as_precisely_as_float64(missing, offset):
    """Sums of float32 squares are replaced where they would lose digits."""
    generator = torch.Generator().manual_seed(0)
    rate = torch.rand(3, 5, 1, 200, generator=generator)
    responses = rate + 0.3 * torch.randn(3, 5, 8, 200, generator=generator) + offset
    responses[1, 2] = responses[1, 2, :1].clone()  # repeats that are all the same
    if missing == "pairs":
        responses[:, 0], responses[0, 1] = torch.nan, torch.nan
    elif missing == "repeats":
        responses[0, :, 5:] = torch.nan
    elif missing == "the end":
        responses[1, :, :, 150:] = torch.nan
    elif missing == "here and there":
        responses[torch.rand(responses.shape, generator=generator) < 0.1] = torch.nan
    single = collect((Moments.of, Powers.of), responses, rate + offset)
    double = collect((Moments.of, Powers.of), responses.double(), (rate + offset).double())
    for one, two in zip(single, double, strict=True):
        for got, wanted in zip(one[:-1], two[:-1], strict=True):  # all but the resolution
            torch.testing.assert_close(got, wanted, rtol=2e-6, atol=1e-6 * float(wanted.abs().max()))


def test_repeats_are_averaged_in_full_precision_whatever_matrix_products_are_allowed():
    responses = 100 + torch.rand(2, 3, 20, 50, generator=torch.Generator().manual_seed(0))
    wanted = average_repeats(responses)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(average_repeats(responses), wanted)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        close(average_repeats(responses), wanted)
    finally:
        torch.set_float32_matmul_precision(before)
