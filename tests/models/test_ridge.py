"""Ridge against scikit-learn on an explicit design matrix."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from deepSTRF.lazy import LazyDict, Pending
from deepSTRF.models.regression.moments import Decomposition, Moments, Segment
from deepSTRF.models.regression.trials import means, read_trials
from deepSTRF.models.ridge import fit_ridge
from deepSTRF.registry import get_recipe


class Recording(list):
    """The item protocol of a data set, and nothing else."""

    dt = 5.0


def make_recording(seed, n_stims=4, n_bands=5, n_neurons=3, repeats=2, mean=1.0):
    """Ragged stimuli; responses are filtered bands plus noise."""
    rng = np.random.default_rng(seed)
    recording = Recording()
    for _ in range(n_stims):
        n_bins = int(rng.integers(30, 80))
        stim = rng.normal(mean, 2.0, (n_bands, n_bins))
        responses = []
        for n in range(n_neurons):
            drive = np.convolve(stim[n % n_bands], [0.2, 1.0, -0.5])[:n_bins] - stim[(n + 1) % n_bands]
            responses.append(torch.tensor(drive + rng.normal(0, 2, (repeats, n_bins)) + n))
        recording.append({"stims": torch.tensor(stim)[None].float(), "responses": responses})
    return recording


def mean_stimulus(recording):
    return np.concatenate([item["stims"][0].double().numpy() for item in recording], 1).mean(1, keepdims=True)


def design(stim, n_lags, before_onset):
    """(T, F·lags), the mean stimulus before the onset, in the layout of STRF_weight: current bin last."""
    n_bins = stim.shape[-1]
    x = np.concatenate([np.repeat(before_onset, n_lags - 1, 1), stim[0].double().numpy()], 1)
    return np.stack([x[:, t : t + n_lags].ravel() for t in range(n_bins)])


def reference(recording, neuron, n_lags, alpha, penalty=None, before_onset=None):
    """Kernel and intercept of scikit-learn on the bins that the neuron has."""
    rows, targets = [], []
    before_onset = mean_stimulus(recording) if before_onset is None else before_onset
    for item in recording:
        response = item["responses"][neuron].numpy()
        if response.shape == (1, 1):
            continue
        valid = ~np.isnan(response).all(0)
        rows.append(design(item["stims"], n_lags, before_onset)[valid])
        targets.append(np.nanmean(response[:, valid], 0))
    rows, targets = np.concatenate(rows), np.concatenate(targets)
    penalty = alpha * len(rows) * rows.var(0).mean() if penalty is None else penalty
    ridge = Ridge(alpha=penalty).fit(rows, targets)
    return ridge.coef_, ridge.intercept_, ridge


def assert_equals_reference(model, recording, n_lags):
    for n, alpha in enumerate(model.ridge_alpha.tolist()):
        kernel, intercept, _ = reference(recording, n, n_lags, alpha)
        fitted = model.STRF_weight()[n].flatten().numpy()
        np.testing.assert_allclose(fitted, kernel, atol=1e-5 * abs(kernel).max())
        np.testing.assert_allclose(model.readout.strf.kernel.bias[n].item(), intercept, rtol=1e-4, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), n_lags=st.integers(1, 8), alpha=st.floats(1e-3, 10))
def test_equals_scikit_learn(seed, n_lags, alpha):
    train = make_recording(seed)
    model = fit_ridge(train, None, window_ms=5 * n_lags, alphas=alpha)
    assert_equals_reference(model, train, n_lags)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), data=st.data())
def test_missing_data_are_left_out_exactly(seed, data):
    train = make_recording(seed, n_stims=3)
    rng = np.random.default_rng(seed)
    train[0]["responses"][0] = torch.full((1, 1), torch.nan)  # a missing pair
    train[1]["responses"][1][0, 5:20] = torch.nan  # one repeat
    train[2]["responses"][1][:, torch.tensor(rng.random(train[2]["stims"].shape[-1]) < 0.3)] = torch.nan  # bins
    train[2]["responses"][2][:, -1] = torch.nan  # the last one, which the recursion subtracts
    model = fit_ridge(train, None, window_ms=data.draw(st.sampled_from([5, 20])), alphas=0.1)
    assert_equals_reference(model, train, model.T)


def test_stimuli_shorter_than_the_window():
    train = make_recording(1)
    model = fit_ridge(train, None, window_ms=5 * 90, alphas=0.5)
    assert_equals_reference(model, train, 90)


def squared_error(kernel, intercept, recording, neuron, n_lags, before_onset):
    """Of a linear model on the bins that the neuron has."""
    total = 0.0
    for item in recording:
        response = item["responses"][neuron].numpy()
        if response.shape == (1, 1):
            continue
        valid = ~np.isnan(response).all(0)
        predicted = design(item["stims"], n_lags, before_onset)[valid] @ kernel + intercept
        total += ((predicted - np.nanmean(response[:, valid], 0)) ** 2).sum()
    return total


def held_out_error(train, val, neuron, n_lags, alpha, folds):
    """Pooled over the folds and the validation stimuli; a fold has the penalty of all data."""
    mean = mean_stimulus(train)
    kernel, intercept, whole = reference(train, neuron, n_lags, alpha)
    total = squared_error(kernel, intercept, val, neuron, n_lags, mean)
    for k in range(folds):
        kept = Recording(item for i, item in enumerate(train) if i % folds != k)
        kernel, intercept, _ = reference(kept, neuron, n_lags, alpha, penalty=whole.alpha, before_onset=mean)
        total += squared_error(kernel, intercept, train[k::folds], neuron, n_lags, mean)
    return total


def with_duplicate_bands():
    recording = make_recording(2)
    return Recording({**item, "stims": torch.cat([item["stims"]] * 2, 1)} for item in recording)


def of_pulses():
    """One band at a time: most windows are orthogonal, most eigenvalues the same."""
    recording = make_recording(3)
    for item in recording:
        pulses = torch.zeros_like(item["stims"])
        at = torch.arange(0, pulses.shape[-1], 6)
        pulses[0, torch.arange(len(at)) % 5, at] = 1
        item["stims"] = pulses
    return recording


def shorter_than_the_weights():
    return Recording({**item, "stims": item["stims"].repeat(1, 20, 1)} for item in make_recording(4))


@pytest.mark.parametrize("make", [with_duplicate_bands, of_pulses, shorter_than_the_weights])
def test_held_out_errors_where_eigenvalues_are_equal(make):
    recording, n_lags = make(), 6
    mean = mean_stimulus(recording)
    trials = read_trials(recording, "recording")
    train, held_out = (
        Moments(n_lags, *means(trials), [Segment(trial, 0, trial.stim.shape[1]) for trial in part])
        for part in (trials[:-1], trials[-1:])
    )
    decomposition, alphas = Decomposition([train], torch.arange(3)), torch.logspace(-5, 4, 4, dtype=torch.float64)
    errors = decomposition.errors(alphas, held_out)
    for n in range(3):
        for alpha, error in zip(alphas.tolist(), errors[:, n].tolist(), strict=True):
            penalty = alpha * decomposition.unit
            kernel, intercept, _ = reference(recording[:-1], n, n_lags, alpha, penalty, mean)
            expected = squared_error(kernel, intercept, recording[-1:], n, n_lags, mean)
            assert error == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("with_val", [True, False])
def test_penalties_have_the_least_held_out_error(with_val):
    train, val = make_recording(2, n_stims=6), make_recording(3, n_stims=2)
    val[0]["responses"][1] = torch.full((1, 1), torch.nan)
    val[1]["responses"][2][:, 10:20] = torch.nan
    train[1]["responses"][2][:, 3:9] = torch.nan
    alphas = np.logspace(-3, 2, 12)
    model = fit_ridge(train, val if with_val else None, window_ms=20, alphas=alphas, folds=3)
    for n in range(3):
        errors = [held_out_error(train, val if with_val else [], n, 4, alpha, folds=3) for alpha in alphas]
        assert model.ridge_alpha[n].item() == pytest.approx(alphas[int(np.argmin(errors))])
        assert not model.ridge_at_edge[n]
    assert_equals_reference(model, train, 4)


def make_noisy_recording(seed, n_stims=30, n_bins=100, n_bands=15, n_lags=15):
    """White stimuli and a neuron whose noise is six times its drive; the last three items have no noise."""
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(1, 1, n_bands, n_lags, generator=generator) * torch.exp(-torch.arange(n_lags).flip(0) / 3.0)
    recording = Recording()
    for s in range(n_stims):
        stim = torch.randn(1, n_bands, n_bins, generator=generator)
        drive = torch.nn.functional.conv2d(torch.nn.functional.pad(stim[None], (n_lags - 1, 0)), kernel)[0, 0]
        noise = 0.0 if s >= n_stims - 3 else 6 * drive.std() * torch.randn(2, n_bins, generator=generator)
        recording.append({"stims": stim, "responses": [drive + noise]})
    return recording


def fraction_of_variance(model, items):
    predicted = torch.cat([model(item["stims"][None])[0, 0, 0] for item in items]).detach()
    target = torch.cat([item["responses"][0].mean(0) for item in items])
    return 1 - float((predicted - target).square().sum() / (target - target.mean()).square().sum())


@pytest.mark.slow
@pytest.mark.parametrize("with_val", [True, False])
def test_predictions_of_noisy_neurons_keep_their_amplitude(with_val):
    """A correlation does not see amplitude: chosen by it, the prediction shrinks to flat."""
    for seed in range(8):
        recording = make_noisy_recording(seed)
        train, val, clean = Recording(recording[3:-3]), Recording(recording[:3]), recording[-3:]
        chosen = fit_ridge(train, val if with_val else None)
        assert fraction_of_variance(chosen, clean) >= fraction_of_variance(fit_ridge(train, alphas=1.0), clean) - 0.02


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the best penalty")
def test_the_default_penalty_lies_where_a_fine_grid_has_it():
    train = Recording(make_noisy_recording(0)[3:])
    fine = torch.logspace(-1, 2, 61, dtype=torch.float64).tolist()
    chosen, best = fit_ridge(train).ridge_alpha, fit_ridge(train, alphas=fine).ridge_alpha
    torch.testing.assert_close(chosen, best, rtol=0.13, atol=0)  # a step of the grid


def test_one_long_recording_is_cut_into_blocks():
    recording = make_noisy_recording(0, n_stims=4, n_bins=3000)
    train = Recording(recording[:1])
    known = fraction_of_variance(fit_ridge(train, alphas=1.0), recording[1:])
    assert fraction_of_variance(fit_ridge(train), recording[1:]) >= known - 0.02 > 0


@pytest.mark.filterwarnings("ignore:the best penalty")  # there is next to nothing to choose by
@pytest.mark.parametrize(("n_stims", "n_bins"), [(3, 80), (2, 40), (1, 200), (2, 700)])
def test_few_or_short_stimuli_hold_each_other_out(n_stims, n_bins):
    recording = make_noisy_recording(3, n_stims=n_stims + 3, n_bins=n_bins)
    model = fit_ridge(Recording(recording[:n_stims]), window_ms=150)
    assert model.STRF_weight().isfinite().all()
    assert model.ridge_alpha.isfinite().all()


def test_a_neuron_that_nothing_predicts_is_named():
    generator = torch.Generator().manual_seed(1)
    noise = Recording(
        {"stims": torch.randn(1, 4, 200, generator=generator), "responses": [torch.randn(1, 200, generator=generator)]}
        for _ in range(10)
    )
    with pytest.warns(UserWarning, match=r"1 of 1 neuron .* neuron 0 \(alpha 1e\+04\)"):
        model = fit_ridge(noise, window_ms=20)
    assert model.ridge_at_edge.tolist() == [True]
    with pytest.warns(UserWarning, match="end of the grid"):
        fit_ridge(make_recording(2, n_stims=6), window_ms=20, alphas=[1e3, 1e4])


@pytest.mark.slow
def test_standard_errors_are_those_of_repeated_experiments():
    """Jackknife standard errors against the spread of kernels over recordings with other noise."""
    fits = []
    for seed in range(24):
        generator = torch.Generator().manual_seed(seed)
        recording = Recording()
        for _ in range(20):
            stim = torch.randn(1, 2, 100, generator=generator)
            drive = stim[0, 0] + 0.5 * torch.randn(1, 100, generator=generator)
            recording.append({"stims": stim, "responses": [drive]})
        fits.append(fit_ridge(recording, window_ms=15, alphas=1e-3, folds=20, jackknife=True))
    spread = torch.stack([fit.STRF_weight()[0] for fit in fits]).std(0)
    claimed = torch.stack([fit.ridge_standard_error[0] for fit in fits]).mean(0)
    assert claimed.shape == fits[0].STRF_weight()[0].shape
    torch.testing.assert_close(claimed.mean().double(), spread.mean().double(), rtol=0.15, atol=0)


def test_a_mean_far_from_zero_changes_nothing():
    """Windows before the onset see the mean stimulus, so that a constant in all stimuli is a matter of the offset."""
    recording = make_recording(5, n_stims=6)
    shifted = Recording({**item, "stims": item["stims"] + 50.0} for item in recording)
    model, other = (fit_ridge(part, window_ms=25, alphas=0.1) for part in (recording, shifted))
    for item, same in zip(recording, shifted, strict=True):
        torch.testing.assert_close(other(same["stims"][None]), model(item["stims"][None]), rtol=1e-3, atol=1e-2)


def test_the_model_is_the_regression():
    train = make_recording(4)
    model = fit_ridge(train, make_recording(5), window_ms=20)
    assert not model.training
    for item in train:
        predicted = model(item["stims"][None].float())[0, :, 0].detach().numpy()
        for n in range(3):
            ridge = reference(train, n, 4, model.ridge_alpha[n].item())[2]
            np.testing.assert_allclose(
                predicted[n], ridge.predict(design(item["stims"], 4, mean_stimulus(train))), atol=1e-4
            )
    kernel, offset = model.readout.effective_kernel()  # the normalisation is the identity
    torch.testing.assert_close(kernel[:, 0], model.STRF_weight(), rtol=1e-6, atol=0)
    torch.testing.assert_close(offset, model.readout.strf.kernel.bias.detach(), rtol=1e-6, atol=0)


def test_scale_and_neuron_order_do_not_matter():
    train, val = make_recording(6), make_recording(7)
    model = fit_ridge(train, val, window_ms=20)
    scaled = [
        Recording({"stims": 1e3 * i["stims"], "responses": [1e-6 * r for r in i["responses"][::-1]]} for i in part)
        for part in (train, val)
    ]
    other = fit_ridge(*scaled, window_ms=20)
    torch.testing.assert_close(other.ridge_alpha, model.ridge_alpha.flip(0))
    torch.testing.assert_close(other.STRF_weight() * 1e9, model.STRF_weight().flip(0), rtol=1e-3, atol=1e-4)


def test_neurons_that_cannot_be_fitted():
    train, val = make_recording(8, n_neurons=5), make_recording(9, n_neurons=5)
    for item in train:
        item["responses"][0] = torch.full((1, 1), torch.nan)
        item["responses"][1] = torch.full_like(item["responses"][1], 0.3)
    for item in val:
        item["responses"][2] = torch.full((1, 1), torch.nan)
    model = fit_ridge(train, val, window_ms=20)
    kernels, bias = model.STRF_weight(), model.readout.strf.kernel.bias
    assert not kernels[:2].any()
    assert bias[0] == 0
    assert bias[1].item() == pytest.approx(0.3)
    assert model.ridge_alpha[:2].isnan().all()
    assert model.ridge_alpha[2] > 0  # chosen on the folds of the training stimuli
    assert kernels.isfinite().all()
    kernel = reference(train, 2, 4, model.ridge_alpha[2].item())[0]
    np.testing.assert_allclose(kernels[2].flatten().numpy(), kernel, atol=1e-5 * abs(kernel).max())


def test_wrong_arguments_are_named():
    train, val = make_recording(10), make_recording(11)
    with pytest.raises(ValueError, match="train has no stimulus"):
        fit_ridge(Recording(), val)
    with pytest.raises(ValueError, match="val has no stimulus"):
        fit_ridge(train, Recording())
    with pytest.raises(TypeError, match="alphas must be a number or a list"):
        fit_ridge(train, alphas="many")
    for bad, error in ((1, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="folds must be"):
            fit_ridge(train, folds=bad)
    with pytest.raises(ValueError, match="weights per neuron"):
        fit_ridge(train, window_ms=50_000)
    for bad in ([], [0.0], [-1.0], [float("nan")]):
        with pytest.raises(ValueError, match="alphas must be positive"):
            fit_ridge(train, val, alphas=bad)
    for bad in (0, -5, float("nan")):
        with pytest.raises(ValueError, match="window_ms must be positive"):
            fit_ridge(train, val, window_ms=bad)
    val.dt = 10.0
    with pytest.raises(ValueError, match=r"differ in dt \(ms\): 5.0 and 10.0"):
        fit_ridge(train, val)
    with pytest.raises(ValueError, match="differ in number of bands: 5 and 6"):
        fit_ridge(train, make_recording(1, n_bands=6))
    with pytest.raises(ValueError, match="differ in number of neurons: 3 and 2"):
        fit_ridge(train, make_recording(1, n_neurons=2))


def test_wrong_data_are_named():
    good = make_recording(12)

    def broken(**changes):
        return Recording([*good[:1], {**good[1], **changes}])

    for changes, message in (
        ({"stims": torch.zeros(1, 400)}, r"train, stimulus 1: expected a spectrogram \(1, F, T\)"),
        ({"stims": torch.full_like(good[1]["stims"], torch.nan)}, "not finite"),
        ({"stims": good[1]["stims"][:, :4]}, "expected 5 bands and 3 neurons"),
        ({"responses": good[1]["responses"][:2]}, "expected 5 bands and 3 neurons"),
        ({"responses": [r[:, 1:] for r in good[1]["responses"]]}, r"expected responses of shape \(R, \d+\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_ridge(broken(**changes), alphas=1.0)
    silent = Recording({"stims": torch.zeros(1, 5, 40), "responses": item["responses"]} for item in good)
    for item in silent:
        item["responses"] = [r[:, :1].expand(-1, 40) + torch.randn(2, 40) for r in item["responses"]]
    with pytest.raises(ValueError, match="stimuli are constant"):
        fit_ridge(silent, alphas=1.0)
    nothing = Recording({**item, "responses": [torch.full((1, 1), torch.nan)] * 3} for item in good)
    with pytest.raises(ValueError, match="no neuron has data in train"):
        fit_ridge(nothing, alphas=1.0)
    once = Recording([good[0], *({**item, "responses": [torch.full((1, 1), torch.nan)] * 3} for item in good[1:])])
    with pytest.raises(ValueError, match="no neuron has held-out data"):
        fit_ridge(once, folds=4)
    with pytest.raises(ValueError, match="no neuron has held-out data"):
        fit_ridge(Recording(good[:1]))  # one stimulus that is too short to be cut


def test_movies():
    """Of two channels: the same numbers as of their pixels as bands, in the shape of a movie."""
    generator = torch.Generator().manual_seed(0)
    movies, bands = Recording(), Recording()
    for _ in range(6):
        movie = torch.randn(2, 3, 4, 60, generator=generator) + 1.0
        response = movie[1, 2, 3].roll(2)[None] + torch.randn(2, 60, generator=generator)
        movies.append({"stims": movie, "responses": [response]})
        bands.append({"stims": movie.flatten(0, 2)[None], "responses": [response]})
    model, flat = (fit_ridge(recording, window_ms=20, jackknife=True) for recording in (movies, bands))
    assert model.STRF_weight().shape == model.ridge_standard_error.shape == (1, 2, 3, 4, 4)
    torch.testing.assert_close(model.STRF_weight().flatten(1, 3), flat.STRF_weight())
    assert int(model.STRF_weight().argmax()) == 23 * 4 + 1  # the last pixel, two bins ago
    for movie, sound in zip(movies, bands, strict=True):
        torch.testing.assert_close(model(movie["stims"][None]), flat(sound["stims"][None]), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="at most 8000"):
        fit_ridge(Recording({"stims": torch.randn(1, 60, 60, 9), "responses": [torch.randn(1, 9)]} for _ in range(2)))


def test_repeats_are_not_read_where_an_item_carries_their_average():
    def item():
        repeats = Pending(lambda: [torch.full((2, 6), 4.0)])
        return LazyDict({"stims": torch.ones(1, 3, 6), "responses": repeats, "psth": torch.ones(1, 6)})

    untouched, other, plain = item(), item(), {**item()}
    other["responses"] = [torch.full((2, 6), 5.0)]
    trials = read_trials(Recording([untouched, other, plain]), "train")
    assert [float(trial.psth.mean()) for trial in trials] == [1.0, 5.0, 4.0]
    assert trials[0].psth.data_ptr() == untouched["psth"].data_ptr()
    assert "made when" in repr(untouched)


def test_ridge_uses_one_thread_unless_more_are_asked_for(monkeypatch):
    recording, seen, solve = make_recording(0), [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda gram: seen.append(torch.get_num_threads()) or solve(gram))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit_ridge(recording, window_ms=20, alphas=1.0)
        fit_ridge(recording, window_ms=20, alphas=1.0, threads=2)
        assert seen == [1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_recipe_takes_cosines_where_bins_are_so_fine_that_ridge_would_take_minutes():
    generator = torch.Generator().manual_seed(0)
    fine, coarse = Recording(), Recording()
    fine.dt = 1.0
    for _ in range(6):
        x = torch.randn(1, 16, 300, generator=generator)
        fine.append({"stims": x, "responses": [x[:, 3].roll(12, -1) + 0.1 * torch.randn(1, 300, generator=generator)]})
        coarse.append({"stims": x[:, :8], "responses": fine[-1]["responses"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = get_recipe("ridge").build(fine, fine, 150.0)
    assert model.ridge_n_basis == 8
    strongest = model.STRF_weight()[0].abs().argmax()
    assert int(strongest) // 150 == 3
    assert abs(149 - int(strongest) % 150 - 12) < 6
    assert get_recipe("ridge").build(coarse, coarse, 50.0).ridge_n_basis == 10


def test_many_weights_are_announced(monkeypatch):
    monkeypatch.setattr("deepSTRF.models.audio.ridge._MANY_FEATURES", 20)
    x = torch.randn(4, 1, 8, 100, generator=torch.Generator().manual_seed(0))
    data = Recording([{"stims": one, "responses": [one[:, 3]]} for one in x])
    with pytest.warns(UserWarning, match=r"8 bands or pixels in a window of 4 bins are 32 weights .* ridge minutes"):
        fit_ridge(data, window_ms=20, alphas=0.01)
