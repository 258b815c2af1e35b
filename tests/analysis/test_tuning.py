"""Tuning of fields that are known: Gaussians, ripples, sweeps, and the simulated cells."""

import numpy as np
import pytest
import torch

from deepSTRF.analysis import STRF, spike_triggered_average, strf, strf_correlation, tuning
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models.audio import fit_ridge

DT = 5.0
HZ = 500 * 2 ** (torch.arange(40) / 8)  # 8 bands per octave


def gabor(centre_octaves, latency_ms, width=0.4, duration=12.0, scale=0.0, rate=0.0, direction=0):
    """Field (40, 40) at so many octaves above 500 Hz; cycles/octave and Hz; +1 for sweeps up, −1 down, 0 for both."""
    x = torch.log2(HZ / 500)[:, None] - centre_octaves
    t = DT * torch.arange(39, -1, -1)[None] - latency_ms
    across_f, across_t = 2 * np.pi * scale * x, 2 * np.pi * rate * t / 1000
    carrier = torch.cos(across_f + direction * across_t) if direction else torch.cos(across_f) * torch.cos(across_t)
    return torch.exp(-0.5 * (x / width) ** 2 - 0.5 * (t / duration) ** 2) * carrier


def test_frequency_bandwidth_latency_of_gaussians():
    result = tuning(torch.stack([gabor(2.03, 42.0), gabor(3.1, 78.0, width=0.25)]), DT, HZ)
    assert result.best_frequency_hz.tolist() == pytest.approx([500 * 2**2.03, 500 * 2**3.1], rel=0.01)
    assert result.latency_ms.tolist() == pytest.approx([42.0, 78.0], abs=0.3)
    # full width at half height of a Gaussian is 2.355 standard deviations
    assert result.bandwidth_octaves.tolist() == pytest.approx([2.355 * 0.4, 2.355 * 0.25], rel=0.03)
    assert result.bandwidth_bands.tolist() == pytest.approx([8 * 2.355 * 0.4, 8 * 2.355 * 0.25], rel=0.03)
    assert result.separability.tolist() == pytest.approx([1, 1], abs=1e-5)
    assert result.excitation_inhibition.tolist() == [1.0, 1.0]


def test_balance_and_separability_by_hand():
    field = torch.zeros(2, 4, 5)
    field[0, 0, 0], field[0, 2, 3] = 3.0, -1.0
    field[1, 1, 1] = field[1, 2, 2] = 2.0  # two orthogonal components of equal power
    result = tuning(field, DT)
    assert result.excitation_inhibition.tolist() == pytest.approx([0.5, 1.0])
    assert result.separability.tolist() == pytest.approx([0.9, 0.5])


@pytest.mark.parametrize("direction", [1, -1])
def test_modulation_transfer_of_a_ripple(direction):
    field = gabor(2.5, 100.0, width=1.0, duration=40.0, scale=0.75, rate=10.0, direction=direction)
    result = tuning(field[None], DT, HZ)
    assert result.best_scale.item() == pytest.approx(0.75, abs=0.1)
    assert result.best_rate_hz.item() == pytest.approx(10.0, abs=2.5)
    # the lag grows into the past: at scale·x + rate·lag constant, frequency rises with time
    one_way = result.modulation[0][:, result.rates_hz * direction > 0].square().sum()
    assert one_way / result.modulation[0].square().sum() > 0.9
    assert result.modulation.max() == 1


def test_a_sweep_up_has_positive_rates():
    field = torch.eye(16).flip(1).flip(1)[None]  # band i at time i: frequency rises towards now
    result = tuning(field, DT)
    power = result.modulation[0][1:].square()
    assert power[:, result.rates_hz > 0].sum() > 3 * power[:, result.rates_hz < 0].sum()


def test_undefined_is_nan():
    field = torch.stack([-gabor(2.0, 40.0), torch.full((40, 40), torch.nan), torch.zeros(40, 40)])
    result = tuning(field, DT, HZ)
    for name in ("best_frequency_hz", "bandwidth_octaves", "latency_ms", "separability", "best_scale"):
        assert getattr(result, name).isnan().all(), name
    assert tuning(gabor(0.1, 40.0)[None], DT, HZ).bandwidth_octaves.isnan()  # cut off by the lowest band


def test_without_frequencies_it_speaks_of_bands():
    result = tuning(gabor(2.0, 40.0)[None], DT)
    assert result.best_frequency_hz is None
    assert result.best_band.item() == pytest.approx(16.0, abs=0.05)
    pytest.importorskip("xarray")
    dataset = result.to_xarray()
    assert "best_frequency_hz" not in dataset
    assert dataset["scale"].attrs["units"] == "cycles/band"
    assert dataset["modulation"].dims == ("neuron", "scale", "rate_hz")


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="dt_ms, the width of a bin, is not known"):
        tuning(torch.ones(1, 4, 5))
    with pytest.raises(ValueError, match=r"\(N, F, L\)"):
        tuning(torch.ones(4, 5), DT)
    with pytest.raises(ValueError, match="one entry for each of 4 bands, got 3"):
        tuning(torch.ones(1, 4, 5), DT, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="rise"):
        tuning(torch.ones(1, 3, 5), DT, [1.0, 3.0, 2.0])


def test_simulated_cells_through_a_fit():
    data = SimulatedDataset(n_neurons=12, n_stims=16, duration_s=3.0, kinds={"ln": 1.0}, snr=(0.5, 1.5), seed=3)
    model = fit_ridge(data, window_ms=100)
    result = tuning(strf(model, dt_ms=data.dt, frequencies_hz=data.frequencies_hz))
    truth = tuning(data.true_strfs, data.dt, data.frequencies_hz)
    octaves = torch.log2(result.best_frequency_hz / truth.best_frequency_hz).abs()
    assert octaves.median() < 0.1
    assert (octaves < 0.35).float().mean() >= 0.8
    assert (result.latency_ms - truth.latency_ms).abs().median() < 5
    named = torch.tensor([cell["best_frequency_hz"] for cell in data.nrn_meta])
    assert torch.log2(truth.best_frequency_hz / named).abs().max() < 0.09  # half a band


def test_standard_errors_by_the_jackknife_cover_the_truth():
    # the field of each stimulus is the truth and noise: the estimate's best latency scatters by what the errors say
    torch.manual_seed(0)
    truth, estimates, errors = gabor(2.5, 60.0), [], []
    for _ in range(25):
        noisy = truth + 0.3 * torch.randn(8, 1, 40, 40)
        mean, left_out = noisy.mean(0), (noisy.sum(0) - noisy) / 7
        field = STRF(mean, DT, tuple(HZ.tolist()), leave_one_out=left_out, counted=torch.ones(8, 1, dtype=torch.bool))
        result = tuning(field)
        estimates.append(result.excitation_inhibition)
        errors.append(result.standard_errors["excitation_inhibition"])
    scatter = torch.stack(estimates).std()
    assert torch.stack(errors).mean() == pytest.approx(scatter.item(), rel=0.35)


def test_spike_triggered_average_has_errors_for_its_tuning():
    data = SimulatedDataset(n_neurons=2, n_stims=5, duration_s=1.0, smooth=False)
    field = spike_triggered_average(data, n_lags=20)
    result = tuning(field)
    assert result.best_frequency_hz is not None
    assert (result.standard_errors["separability"] > 0).all()
    assert strf_correlation(field.fields, field.fields).min() == 1
