"""Poisson regression against scipy on an explicit design matrix, and kernels of raised cosines."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import normalized_corrcoef
from deepSTRF.models.audio import fit_poisson, fit_ridge
from deepSTRF.models.audio.ridge import read_for_regression
from deepSTRF.models.regression import poisson
from deepSTRF.models.regression.basis import time_basis
from deepSTRF.models.regression.ridge import cut, solve_ridge
from deepSTRF.models.regression.trials import means
from deepSTRF.utils import neural_collate

N_LAGS = 6


class Recording(list):
    """The item protocol of a data set, and nothing else."""

    dt = 5.0


def make_recording(n_stims=6, n_bands=4, n_bins=120, scale=1.0, seed=0):
    """Spike counts of two neurons that a softplus of filtered bands drives; the second one misses some bins."""
    rng = np.random.default_rng(seed)
    recording = Recording()
    for index in range(n_stims):
        stim = rng.normal(0.5, 1.0, (n_bands, n_bins))
        drives = [np.convolve(stim[n], [0.2, 1.0, -0.4])[:n_bins] - stim[n + 1] for n in range(2)]
        counts = [torch.tensor(rng.poisson(np.logaddexp(0, drive), (3, n_bins))).float() * scale for drive in drives]
        counts[1][:, 10 * index : 10 * index + 30] = torch.nan
        recording.append({"stims": torch.tensor(stim)[None].float(), "responses": counts})
    return recording


def design(recording, before_onset):
    windows = []
    for item in recording:
        padded = np.concatenate([np.repeat(before_onset, N_LAGS - 1, 1), item["stims"][0].double().numpy()], 1)
        windows.append(np.stack([padded[:, t : t + N_LAGS].ravel() for t in range(item["stims"].shape[-1])]))
    return np.concatenate(windows)


def mean_stimulus(recording):
    return np.concatenate([item["stims"][0].double().numpy() for item in recording], 1).mean(1, keepdims=True)


def reference_problem(recording, neuron, alpha):
    """The documented objective, with its gradient, of one neuron."""
    rows = design(recording, mean_stimulus(recording))
    psth = np.concatenate([item["responses"][neuron].double().nanmean(0).numpy() for item in recording])
    heard = ~np.isnan(psth)
    penalty = alpha * rows.var(0).mean() * len(rows) * heard.mean()
    rows, psth = rows[heard], psth[heard]
    softness = 2 * psth.mean()

    def objective(parameters):
        drive = (rows @ parameters[:-1] + parameters[-1]) / softness
        rate = softness * np.logaddexp(0, drive)
        slopes = (1 - psth / rate) / (1 + np.exp(-drive))
        value = (rate - psth * np.log(rate)).sum() + penalty / (2 * psth.mean()) * (parameters[:-1] ** 2).sum()
        kernel = rows.T @ slopes + penalty / psth.mean() * parameters[:-1]
        return value, np.append(kernel, slopes.sum())

    return objective


@pytest.mark.parametrize("close", [None, 1e-6])
def test_equals_the_minimum_that_scipy_finds(monkeypatch, close):
    if close is not None:
        monkeypatch.setattr("deepSTRF.models.regression.poisson._CLOSE", close)
    recording, tolerance = make_recording(), 0.02 if close is None else 1e-3
    model = fit_poisson(recording, window_ms=5 * N_LAGS, folds=3)
    for n in range(2):
        objective = reference_problem(recording, n, model.ridge_alpha[n].item())
        found = minimize(objective, np.append(np.zeros(4 * N_LAGS), 0.5), jac=True, tol=1e-10)
        kernel = model.STRF_weight()[n].flatten().double().numpy()
        offset = model.readout.strf.kernel.bias[n].item()
        np.testing.assert_allclose(kernel, found.x[:-1], atol=tolerance * abs(found.x[:-1]).max())
        assert objective(np.append(kernel, offset))[0] <= found.fun + tolerance


def test_predictions_are_those_of_the_documented_rectifier():
    recording = make_recording()
    model = fit_poisson(recording, window_ms=5 * N_LAGS)
    assert not model.training
    rows = design(recording[:1], mean_stimulus(recording))
    for n, rate in enumerate(torch.cat([i["responses"][n].nanmean(0) for i in recording]).nanmean() for n in range(2)):
        softness = 2 * rate.item()
        drive = rows @ model.STRF_weight()[n].flatten().numpy() + model.readout.strf.kernel.bias[n].item()
        expected = softness * np.logaddexp(0, drive / softness)
        np.testing.assert_allclose(model(recording[0]["stims"][None])[0, n, 0].detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_units_do_not_matter(scale):
    stim = make_recording()[0]["stims"][None]
    model, other = (fit_poisson(make_recording(scale=s), window_ms=5 * N_LAGS) for s in (1.0, scale))
    torch.testing.assert_close(other(stim) / scale, model(stim), rtol=1e-3, atol=1e-4)


def test_more_than_a_line():
    train, _, test = SimulatedDataset(n_neurons=8, n_stims=16, duration_s=2.0, n_bands=12).split("holdout:4")
    batch = neural_collate([test[i] for i in range(len(test))])
    poisson, ridge = (
        normalized_corrcoef(fit(train, window_ms=100)(batch["stims"]), batch["responses"])
        for fit in (fit_poisson, fit_ridge)
    )
    assert poisson > ridge + 0.02


def test_neurons_that_cannot_be_fitted():
    recording = make_recording()
    for item in recording:
        n_bins = item["stims"].shape[-1]
        nothing, constant, silent = torch.full((1, 1), torch.nan), torch.full((1, n_bins), 0.3), torch.zeros(1, n_bins)
        item["responses"] += [nothing, constant, silent]
    model = fit_poisson(recording, window_ms=5 * N_LAGS)
    predicted = model(recording[0]["stims"][None])[0, :, 0]
    assert not model.STRF_weight()[2:].any()
    assert model.ridge_alpha[2:].isnan().all()
    torch.testing.assert_close(predicted[2:, 0], torch.tensor([0.0, 0.3, 0.0]), rtol=1e-4, atol=1e-6)
    assert model.STRF_weight()[:2].any()


def test_what_a_poisson_model_cannot_take():
    negative = make_recording()
    negative[2]["responses"][1] -= 1
    with pytest.raises(ValueError, match=r"those of 1 of 2 neurons are, first of neuron 1.*linear-nonlinear or ridge"):
        fit_poisson(negative, window_ms=30)
    movies = Recording({"stims": torch.randn(1, 3, 3, 40), "responses": [torch.rand(1, 40)]} for _ in range(4))
    with pytest.raises(ValueError, match="takes spectrograms"):
        fit_poisson(movies, window_ms=30)
    with pytest.raises(ValueError, match="n_basis must be"):
        fit_poisson(make_recording(), window_ms=30, n_basis=0)


def test_ridge_of_raised_cosines_equals_scikit_learn_on_them():
    recording, n_basis = make_recording(), 3
    model = fit_ridge(recording, window_ms=5 * N_LAGS, alphas=0.1, n_basis=n_basis, jackknife=True)
    basis = time_basis(n_basis, N_LAGS).flip(0).numpy()  # the current bin last, as in the design
    rows = design(recording, mean_stimulus(recording)).reshape(-1, 4, N_LAGS) @ basis
    for n in range(2):
        psth = np.concatenate([item["responses"][n].double().nanmean(0).numpy() for item in recording])
        heard = ~np.isnan(psth)
        own = rows[heard].reshape(heard.sum(), -1)
        reference = Ridge(alpha=0.1 * own.var(0).mean() * len(own)).fit(own, psth[heard])
        kernel = reference.coef_.reshape(4, n_basis) @ basis.T
        np.testing.assert_allclose(model.STRF_weight()[n].numpy(), kernel, atol=1e-5)
        assert model.readout.strf.kernel.bias[n].item() == pytest.approx(reference.intercept_, abs=1e-4)
    assert model.ridge_standard_error.shape == (2, 4, N_LAGS)
    assert model.ridge_standard_error.isfinite().all()


def test_the_share_is_the_one_with_the_least_held_out_deviance(monkeypatch):
    """It descends no further from where the deviance of a neuron has risen, and misses nothing by that."""
    close, recording = 1e-3, make_recording(n_stims=10)
    monkeypatch.setattr(poisson, "_CLOSE_IN_FOLDS", close)
    trials, _, n_lags = read_for_regression(recording, None, N_LAGS * recording.dt, N_LAGS)
    basis = time_basis(N_LAGS, n_lags)
    ridge = solve_ridge(trials, [], n_lags, None, 5, False, basis)
    alphas = ridge.alphas.float() * torch.tensor([1.0, 30.0])  # the second one then takes a smaller share
    stim_mean, rate = means(trials)
    design = poisson._Design(cut(trials, 5, n_lags)[0], stim_mean, basis)
    population = poisson._Population(design, torch.arange(2), rate, ridge.kernels)
    deviance = torch.zeros(len(poisson._SHARES), 2)
    for index, share in enumerate(poisson._SHARES):
        for part in range(5):
            here = design.part_of == part
            fit = population.descend(population.start, ~here, alphas * share, close)
            deviance[index] += population._deviance(fit, here)
    shares, start = population.best_shares(5, alphas)
    assert torch.equal(shares, torch.tensor(poisson._SHARES)[deviance.argmin(0)])
    assert len(set(shares.tolist())) == 2
    assert [each.shape for each in start] == [each.shape for each in population.start]
