"""Output nonlinearities of cells that have known ones, and of models fitted to them."""

import numpy as np
import pytest
import torch

from deepSTRF.analysis import nonlinearity
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.models.audio import Linear

F, N = 4, 2


def recording(n_stims=8, n_bins=2000):
    """Cells that square or exponentiate their drive; returns the drives too."""
    random = np.random.default_rng(0)
    drives = [random.normal(size=(N, n_bins)) for _ in range(n_stims)]
    rates = [np.stack([drive[0] ** 2, np.exp(0.5 * drive[1])]) for drive in drives]
    responses = [random.poisson(rate[:, None], (N, 3, n_bins)).astype(np.float32) for rate in rates]
    sounds = [random.normal(size=(F, n_bins)).astype(np.float32) for _ in range(n_stims)]
    data = AudioNeuralDataset.from_arrays(sounds, responses, 5.0)
    return data, [torch.from_numpy(drive) for drive in drives]


def test_square_and_exponential():
    data, drives = recording()
    curve = nonlinearity(drives, data, n_bins=20)
    pooled = torch.cat(drives, 1)
    for n, function in enumerate((torch.square, lambda x: torch.exp(0.5 * x))):
        parts = torch.searchsorted(pooled[n].quantile(torch.linspace(0, 1, 21).double()[1:-1]), pooled[n], right=True)
        truth = torch.stack([function(pooled[n][parts == part]).mean() for part in range(20)])
        error = (curve.responses[n] - truth) / curve.standard_errors[n]
        assert error.square().mean().sqrt() == pytest.approx(1.0, abs=0.5)
        assert (curve.responses[n] - truth).abs().max() < 0.15
    assert curve.counts.sum(1).tolist() == [16000, 16000]
    assert (curve.predictions.diff(dim=1) > 0).all()


def test_of_a_model_that_is_left_as_found_and_by_numpy_with_missing_repeats():
    torch.manual_seed(0)
    data, _ = recording(n_stims=3, n_bins=50)
    responses = [np.stack([np.asarray(r) for r in one]) for one in data.responses]
    responses[1][0, 2, 30:] = np.nan
    responses[2][1] = np.nan
    data = AudioNeuralDataset.from_arrays([s[0].numpy() for s in data.stims], responses, 5.0)
    model = Linear(n_frequency_bands=F, temporal_window_size=3, out_neurons=N).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curve = nonlinearity(model, data, n_bins=4)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()
    for n in range(N):
        stims = [s for s in range(3) if n == 0 or s < 2]
        x = np.concatenate([model(data.stims[s][None])[0, n, 0].detach().double().numpy() for s in stims])
        y = np.concatenate([np.nanmean(responses[s][n], 0) for s in stims])
        for k, part in enumerate(np.array_split(np.argsort(x), 4)):
            if len(x) % 4 == 0:  # otherwise quantiles and equal numbers differ by a bin
                np.testing.assert_allclose(curve.responses[n, k], y[part].mean(), rtol=1e-5)
                np.testing.assert_allclose(curve.predictions[n, k], x[part].mean(), rtol=1e-4)
        assert curve.counts[n].sum() == len(x)


def test_errors_say_what_is_wrong():
    data, drives = recording(n_stims=2, n_bins=20)
    with pytest.raises(ValueError, match="one row per neuron"):
        nonlinearity([drive[:1] for drive in drives], data)
    with pytest.raises(ValueError, match="20 bins of response and 10 of prediction"):
        nonlinearity([drive[:, :10] for drive in drives], data)
    with pytest.raises(ValueError, match="each of 2 stimuli, got 1"):
        nonlinearity(drives[:1], data)
