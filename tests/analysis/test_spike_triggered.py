"""Reverse correlation finds the fields of cells that listen to noise."""

import numpy as np
import pytest
import torch

from deepSTRF.analysis import gradient_strf, spike_triggered_average, spike_triggered_covariance, strf
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models.audio import Linear, LinearNonlinear, StateNet

F, L, DT = 6, 8, 5.0


def recording(rate_of_drive, n_stims=6, n_bins=3000, n_repeats=2, seed=0, fields=1):
    """Poisson cells that weight white noise with known fields; their drives go through `rate_of_drive`."""
    random = np.random.default_rng(seed)
    kernels = np.linalg.qr(random.normal(size=(F * L, fields)))[0].T.reshape(fields, F, L)
    sounds = [random.normal(size=(F, n_bins)).astype(np.float32) for _ in range(n_stims)]
    responses = []
    for sound in sounds:
        past = np.pad(sound, ((0, 0), (L - 1, 0)))
        rows = np.lib.stride_tricks.sliding_window_view(past, L, axis=1)
        rate = rate_of_drive(np.einsum("kfl,ftl->kt", kernels, rows))
        responses.append(random.poisson(rate, size=(1, n_repeats, n_bins)).astype(np.float32))
    data = AudioNeuralDataset.from_arrays(sounds, responses, DT, frequencies_hz=[500.0 * 2**f for f in range(F)])
    return data, torch.from_numpy(kernels).float()


def cosine(a, b):
    return float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def test_average_is_the_field_of_an_ln_cell():
    data, kernels = recording(lambda drive: 0.2 * np.exp(0.8 * drive[0]))
    result = spike_triggered_average(data, n_lags=L)
    assert cosine(result.fields[0], kernels[0]) > 0.98
    # for an exponential cell and white noise of variance 1, the average is exactly gain × field
    error = (result.fields[0] - 0.8 * kernels[0]) / result.standard_errors[0]
    assert error.square().mean() == pytest.approx(1.0, abs=0.7)
    assert result.frequencies_hz[1] == 1000.0
    assert result.dt_ms == DT


def test_average_against_numpy_with_missing_bins():
    data = SimulatedDataset(n_neurons=3, n_stims=4, duration_s=(0.3, 0.5), n_repeats=(1, 3), missing=0.3, smooth=False)
    result = spike_triggered_average(data, n_lags=10)
    for n in range(3):
        rows, weights, repeats = [], [], []
        for sound, responses in zip(data.stims, data.responses, strict=True):
            spikes = np.asarray(responses[n])
            for t in range(9, sound.shape[-1]):
                if spikes.shape[-1] > 1:
                    rows.append(np.asarray(sound[0, :, t - 9 : t + 1]))
                    weights.append(spikes[:, t].sum())
                    repeats.append(len(spikes))
        expected = np.average(rows, axis=0, weights=weights) - np.average(rows, axis=0, weights=repeats)
        np.testing.assert_allclose(result.fields[n], expected, atol=1e-5)


def test_covariance_finds_both_fields_of_an_energy_cell_where_the_average_finds_nothing():
    data, kernels = recording(lambda drive: 0.1 * (drive**2).sum(0), fields=2)
    average = spike_triggered_average(data, n_lags=L)
    assert abs(cosine(average.fields[0], kernels[0])) < 0.5
    result = spike_triggered_covariance(data, n_lags=L, n_components=3)
    found, true = result.fields[0, :2].flatten(1), kernels.flatten(1)
    # singular values of the overlap of the two planes: cosines of the angles between them
    assert torch.linalg.svdvals(found @ true.T).min() > 0.95
    assert (result.eigenvalues[0, :2] > result.null_high).all()
    # the variance before spikes along a field is E[x² · (x² + y²)] / E[x² + y²] = 2, one more than of the noise
    assert result.eigenvalues[0, :2].tolist() == pytest.approx([1.0, 1.0], abs=0.25)


def test_covariance_of_a_suppressed_direction_is_negative():
    data, kernels = recording(lambda drive: 0.5 * np.exp(-(drive[0] ** 2)))
    result = spike_triggered_covariance(data, n_lags=L, n_components=1)
    assert result.eigenvalues.item() < result.null_low.item() < 0
    assert abs(cosine(result.fields[0, 0], kernels[0])) > 0.95


def test_neurons_without_spikes_are_nan_and_signals_are_an_error():
    sound = [np.random.default_rng(0).normal(size=(F, 40)).astype(np.float32)] * 2
    silent = AudioNeuralDataset.from_arrays(sound, [np.zeros((1, 1, 40))] * 2, DT)
    assert spike_triggered_average(silent, 5).fields.isnan().all()
    assert spike_triggered_covariance(silent, 5).eigenvalues.isnan().all()
    signal = AudioNeuralDataset.from_arrays(sound, [-np.ones((1, 1, 40))] * 2, DT)
    with pytest.raises(ValueError, match="fit_ridge finds the receptive fields of other signals"):
        spike_triggered_average(signal, 5)
    with pytest.raises(ValueError, match="no stimulus has so many bins"):
        spike_triggered_average(silent, 50)
    with pytest.raises(TypeError, match="NeuralDataset"):
        spike_triggered_average(sound, 5)


# --- fields of models


def test_gradient_of_a_linear_model_is_its_kernel_without_error():
    torch.manual_seed(0)
    model = Linear(n_frequency_bands=F, temporal_window_size=L, out_neurons=2)
    result = gradient_strf(model, [torch.randn(F, 60) for _ in range(5)], n_lags=L)
    assert torch.allclose(result.fields, strf(model).fields, atol=1e-6)
    assert result.standard_errors.max() < 1e-6


def test_gradient_of_an_ln_model_is_its_kernel_times_the_mean_slope():
    torch.manual_seed(0)
    model = LinearNonlinear(n_frequency_bands=F, temporal_window_size=L, out_neurons=2)
    data, _ = recording(lambda drive: np.exp(drive[0]), n_bins=200)
    result = gradient_strf(model, data.stims, n_lags=L, dt_ms=DT)
    for one, kernel in zip(result.fields, strf(model).fields, strict=True):
        assert cosine(one, kernel) > 0.999
    assert (result.standard_errors > 0).all()


def test_standard_errors_cover_the_average_over_many_stimuli():
    torch.manual_seed(0)
    model = StateNet(n_frequency_bands=34, out_neurons=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    everything = gradient_strf(model, [torch.randn(34, 60) for _ in range(200)], n_lags=5).fields
    few = gradient_strf(model, [torch.randn(34, 60) for _ in range(20)], n_lags=5)
    error = (few.fields - everything) / few.standard_errors
    assert 0.5 < error.square().mean().sqrt() < 2


def test_to_xarray_of_fields():
    pytest.importorskip("xarray")
    data = SimulatedDataset(n_neurons=2, n_stims=3, duration_s=0.4, smooth=False)
    dataset = spike_triggered_average(data, n_lags=10).to_xarray()
    assert dataset["fields"].dims == ("neuron", "band", "lag")
    assert dataset["standard_errors"].attrs["units"] == "units of stimulus"
    assert dataset["lag_ms"].values[[0, -1]].tolist() == [45.0, 0.0]
    assert spike_triggered_covariance(data, n_lags=3).to_xarray()["fields"].dims == (
        "neuron",
        "component",
        "band",
        "lag",
    )
