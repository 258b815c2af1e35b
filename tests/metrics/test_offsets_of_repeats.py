"""Repeats at different levels, lost repeats and missing bins, against float64 NumPy."""

import numpy as np
import pytest
import torch
from metric_reference import pairwise_power, psth_of, sahani_linden

from deepSTRF import metrics
from deepSTRF.metrics.streaming import SNR, NoisePower, SignalPower

OFFSETS = [1.0, 1e3, 1e4]


def recording(offset, repeats=4, bins=1500, missing=None):
    """One stimulus, three neurons: signal and noise of variance 1, and every repeat at a level of its own."""
    rng = np.random.default_rng(0)
    levels = offset * rng.normal(size=(1, 3, repeats, 1))
    data = (rng.normal(size=(1, 3, 1, bins)) + rng.normal(size=(1, 3, repeats, bins)) + levels).astype(np.float32)
    if missing == "repeat":
        data[0, 0, 1] = data[0, 1, 3] = np.nan
    elif missing == "bins":
        data[rng.random(data.shape) < 0.1] = np.nan
    return data


def reference(data, missing):
    power = pairwise_power if missing == "bins" else sahani_linden
    rows = [row[~np.isnan(row).all(-1)].astype(np.float64) for row in data[0]]
    return np.array([power(row) for row in rows]).T


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("missing", [None, "repeat", "bins"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_of_repeats_cost_no_digits(offset, missing, dtype):
    data = recording(offset, missing=missing)
    signal, noise = reference(data, missing)
    responses = torch.from_numpy(data).to(dtype)
    tolerance = {"rtol": 1e-6}
    np.testing.assert_allclose(metrics.signal_power(responses, reduction="none"), signal, **tolerance)
    np.testing.assert_allclose(metrics.noise_power(responses, reduction="none"), noise, **tolerance)
    np.testing.assert_allclose(metrics.snr(responses, reduction="none"), signal / noise, **tolerance)
    psth = np.stack([psth_of(row) for row in data[0].astype(np.float64)])
    pred = torch.from_numpy(psth + np.random.default_rng(1).normal(size=psth.shape))[None, :, None]
    there = ~np.isnan(psth)
    wanted = [
        np.cov(p[v], y[v])[0, 1] / np.sqrt(p[v].var(ddof=1) * s)
        for p, y, v, s in zip(pred[0, :, 0].numpy(), psth, there, signal, strict=True)
    ]
    got = metrics.normalized_corrcoef(pred.to(dtype), responses, reduction="none")
    np.testing.assert_allclose(got, wanted, rtol=1e-3 if dtype == torch.float32 else 1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_repeat_without_data_changes_nothing(offset):
    responses = torch.from_numpy(recording(offset))
    lost = torch.full_like(responses[:, :, :1], torch.nan)
    for where in (0, 2, 4):
        longer = torch.cat([responses[:, :, :where], lost, responses[:, :, where:]], 2)
        for metric in (metrics.signal_power, metrics.noise_power, metrics.snr, metrics.noise_ceiling, metrics.ccmax):
            torch.testing.assert_close(
                metric(longer, reduction="none"), metric(responses, reduction="none"), rtol=1e-6, atol=0
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 1e4])
def test_identical_repeats_with_missing_bins_have_no_noise(dtype, level):
    generator = torch.Generator().manual_seed(0)
    responses = (torch.randn(2, 3, 1, 200, generator=generator) + level).expand(-1, -1, 5, -1).to(dtype).clone()
    responses[torch.rand(responses.shape, generator=generator) < 0.2] = torch.nan
    assert metrics.noise_power(responses, reduction="none").tolist() == [0.0] * 3
    assert metrics.snr(responses, reduction="none").tolist() == [torch.inf] * 3
    assert (metrics.signal_power(responses, reduction="none") > 0.5).all()


def test_streaming_gives_the_same():
    responses = torch.from_numpy(np.concatenate([recording(1e4, missing=m) for m in (None, "repeat", "bins")]))
    for metric, function in (
        (SignalPower(), metrics.signal_power),
        (NoisePower(), metrics.noise_power),
        (SNR(), metrics.snr),
    ):
        for stimulus in responses.split(1):
            metric.update(None, stimulus)
        torch.testing.assert_close(metric.compute(), function(responses, reduction="none"), rtol=1e-5, atol=0)
