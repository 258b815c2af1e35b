"""The simulated population: the same from the same seed, and as true as it says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.datasets.natural_sounds import SOUND_TYPES, draw_spectrogram
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.registry import dataset_cards, get_dataset

SMALL = {"n_neurons": 8, "n_stims": 5, "duration_s": 0.6, "n_repeats": 3}


@pytest.fixture(scope="module")
def default():
    return SimulatedDataset()


def measured_snr(ds):
    """Sahani and Linden's signal over noise power, length-weighted over stimuli, in plain NumPy."""
    signal, noise = np.zeros(ds.N_neurons), np.zeros(ds.N_neurons)
    for row in ds.responses:
        for n, response in enumerate(row):
            y = response.double().numpy()
            total = y.var(axis=1, ddof=1).mean()
            power = (len(y) * y.mean(0).var(ddof=1) - total) / (len(y) - 1)
            signal[n] += y.shape[1] * power
            noise[n] += y.shape[1] * (total - power)
    return signal / noise


@pytest.mark.slow
def test_default_is_what_the_issue_asks_for(default):
    assert default.N_neurons == 40
    assert len(default) == 30
    assert default.dt == 5.0
    assert all(stim.shape == (1, 34, 800) for stim in default.stims)
    assert all(response.shape == (10, 800) for row in default.responses for response in row)
    assert default.true_strfs.shape == (40, 34, 30)
    assert [tuple(rate.shape) for rate in default.true_rates] == [(40, 800)] * 30
    assert default.frequencies_hz.shape == (34,)
    assert float(default.frequencies_hz[-1]) == pytest.approx(22627, abs=1)
    kinds = [meta["kind"] for meta in default.nrn_meta]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"ln": 20, "on_off": 10, "gain_control": 10}
    assert get_dataset("simulated") is SimulatedDataset
    assert len(default.split(dataset_cards()["simulated"].default_split).test) == 4


def test_same_seed_same_bits_and_no_global_randomness():
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    a, b = SimulatedDataset(**SMALL, missing=0.3, seed=7), SimulatedDataset(**SMALL, missing=0.3, seed=7)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.equal(a.true_strfs, b.true_strfs)
    assert a.nrn_meta == b.nrn_meta
    for s in range(5):
        assert torch.equal(a.stims[s], b.stims[s])
        assert torch.equal(a.true_rates[s], b.true_rates[s])
        for x, y in zip(a.responses[s], b.responses[s], strict=True):
            assert torch.equal(x.nan_to_num(-1), y.nan_to_num(-1))
    other = SimulatedDataset(**SMALL, seed=8)
    assert not torch.equal(a.stims[0], other.stims[0])


def test_the_sounds_do_not_depend_on_the_cells():
    a = SimulatedDataset(**SMALL)
    b = SimulatedDataset(**SMALL | {"n_neurons": 3, "n_stims": 3}, snr=(1, 1), missing=0.5)
    assert all(torch.equal(x, y) for x, y in zip(a.stims, b.stims, strict=False))


@pytest.mark.parametrize("smooth", [True, False])
def test_true_snr_is_the_expected_one(smooth):
    """Over many repeats the measured signal-to-noise ratio comes to the one in the metadata."""
    ds = SimulatedDataset(n_neurons=12, n_stims=6, duration_s=2.0, n_repeats=60, snr=(0.05, 1.0), smooth=smooth)
    truth = np.array([meta["true_snr"] for meta in ds.nrn_meta])
    assert (truth >= 0.05).all()
    assert (truth <= 1.0).all()
    ratio = measured_snr(ds) / truth
    np.testing.assert_allclose(np.median(ratio), 1.0, atol=0.03)
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)


def test_measured_quality_leaves_the_truth_alone():
    ds = SimulatedDataset(**SMALL)
    before = [meta["true_snr"] for meta in ds.nrn_meta]
    measured = ds.compute_neuron_quality()["snr"]
    assert [meta["true_snr"] for meta in ds.nrn_meta] == before
    assert [meta["snr"] for meta in ds.nrn_meta] == measured.tolist()


def test_counts_are_poisson_around_the_true_rates():
    ds = SimulatedDataset(n_neurons=6, n_stims=4, duration_s=2.0, n_repeats=50, smooth=False)
    for s in range(4):
        counts = torch.stack(list(ds.responses[s])).double()
        assert torch.equal(counts, counts.round())
        rates = ds.true_rates[s].double()
        z = (counts.mean(1) - rates) / (rates / 50).sqrt().clamp_min(1e-9)
        assert 0.9 < z[rates > 0.05].std() < 1.1
    mean_rate = torch.cat(ds.true_rates, 1).mean(1) / 0.005
    assert [meta["mean_rate_hz"] for meta in ds.nrn_meta] == pytest.approx(mean_rate.tolist(), rel=1e-4)


def test_rates_and_sounds_are_plausible(default):
    rates = np.array([meta["mean_rate_hz"] for meta in default.nrn_meta])
    assert rates.min() > 1
    assert 10 < np.median(rates) < 80
    assert rates.max() < 300
    stims = torch.stack(default.stims)[:, 0].double()
    assert abs(stims.mean()) < 0.3
    assert 0.7 < stims.std() < 1.4
    # correlated in time and frequency, and less so the further apart, like natural sounds
    z = (stims - stims.mean()) / stims.std()
    in_time = [float((z[..., :-k] * z[..., k:]).mean()) for k in (1, 4, 20)]
    in_frequency = [float((z[:, :-k] * z[:, k:]).mean()) for k in (1, 4, 20)]
    for correlation in (in_time, in_frequency):
        assert correlation[0] > 0.6
        assert correlation[0] > correlation[1] > correlation[2] > 0.1
    assert {meta["type"] for meta in default.stim_meta} == set(SOUND_TYPES)


def test_strfs_are_causal_unit_gabors_with_an_excitatory_peak(default):
    strfs = default.true_strfs.double()
    torch.testing.assert_close(strfs.flatten(1).norm(dim=1), torch.ones(40, dtype=torch.float64))
    assert (strfs[:, :, -1].abs() < 1e-6).all()  # no sound acts within its own bin's first instant
    for strf, meta in zip(strfs, default.nrn_meta, strict=True):
        assert strf.max() >= 0.8 * strf.abs().max()
        band = int(strf.max(1).values.argmax())
        assert float(default.frequencies_hz[band]) == pytest.approx(meta["best_frequency_hz"])


def test_an_ln_cells_rate_is_a_monotonic_function_of_its_filtered_sound():
    ds = SimulatedDataset(**SMALL, kinds={"ln": 1.0})
    drive = torch.cat(
        [
            torch.nn.functional.conv1d(
                torch.cat([s[..., :1].expand(-1, -1, 29), s], -1).double(), ds.true_strfs.double()
            )[0]
            for s in ds.stims
        ],
        dim=1,
    )
    rate = torch.cat(ds.true_rates, dim=1)
    for n in range(8):
        assert (rate[n][drive[n].argsort()].diff() >= -1e-5).all()


def lagged(stim, n_lags):
    padded = np.concatenate([np.zeros((stim.shape[0], n_lags - 1)), stim], axis=1)
    recent = np.lib.stride_tricks.sliding_window_view(padded, n_lags, axis=1)
    return recent.transpose(1, 0, 2).reshape(stim.shape[1], -1)


def test_ridge_recovers_the_receptive_fields_of_ln_cells(default):
    """An independent ridge in NumPy, its strength chosen per neuron on validation sounds: median correlation > .9."""
    train, val, _ = default.split_indices("holdout:4")
    design = {s: lagged(default.stims[s][0].double().numpy(), 30) for s in (*train, *val)}
    psth = {s: torch.stack(list(default.responses[s])).double().mean(1).T.numpy() for s in design}
    x, y = np.concatenate([design[s] for s in train]), np.concatenate([psth[s] for s in train])
    xv, yv = np.concatenate([design[s] for s in val]), np.concatenate([psth[s] for s in val])
    centre = x.mean(0)
    x = x - centre
    eigenvalues, basis = np.linalg.eigh(x.T @ x)
    projected = basis.T @ (x.T @ (y - y.mean(0)))
    best, weights = np.full(40, -np.inf), np.zeros((x.shape[1], 40))
    for strength in 10.0 ** np.arange(-2, 1.6, 0.5) * eigenvalues.mean():
        candidate = basis @ (projected / (eigenvalues + strength)[:, None])
        prediction = (xv - centre) @ candidate
        score = np.array([np.corrcoef(prediction[:, n], yv[:, n])[0, 1] for n in range(40)])
        weights[:, score > best] = candidate[:, score > best]
        best = np.maximum(best, score)
    truth = default.true_strfs.flatten(1).double().numpy()
    chosen = [n for n, meta in enumerate(default.nrn_meta) if meta["kind"] == "ln" and meta["true_snr"] > 0.5]
    assert len(chosen) >= 5
    correlations = [np.corrcoef(truth[n], weights[:, n])[0, 1] for n in chosen]
    assert np.median(correlations) >= 0.9, correlations


def test_joined_populations_and_own_arrays_can_be_split_without_a_truth():
    one, other = (SimulatedDataset(2, 2, 0.5, 2, seed=seed) for seed in (0, 1))
    assert [len(part) for part in (one + other).split("holdout:1")] == [2, 1, 1]
    own = SimulatedDataset.from_arrays([np.ones((3, 8))] * 3, [np.ones((2, 1, 8))] * 3, dt_ms=5.0)
    assert [len(part) for part in own.split("holdout:1")] == [1, 1, 1]


def test_subset_takes_the_truth_along(default):
    part = default.subset([3, 0])
    assert part.true_rates[0] is default.true_rates[3]
    assert len(part.true_rates) == 2
    assert part.true_strfs is default.true_strfs
    assert len(default.true_rates) == 30


@settings(max_examples=8, deadline=None)
@given(
    n_neurons=st.integers(1, 6),
    n_stims=st.integers(1, 5),
    missing=st.floats(0, 0.95),
    dt_ms=st.sampled_from([1.0, 5.0, 10.0]),
    seed=st.integers(0, 10**6),
)
def test_ragged_and_missing(n_neurons, n_stims, missing, dt_ms, seed):
    ds = SimulatedDataset(
        n_neurons, n_stims, (0.2, 0.5), (1, 4), dt_ms, n_bands=8, seed=seed, missing=missing, smooth=dt_ms < 10
    )
    mask = ds.nrn_masks
    assert mask.any(0).all()
    assert mask.any(1).all()
    for s in range(n_stims):
        n_bins = ds.stims[s].shape[-1]
        assert 0.2 * 1000 / dt_ms - 1 <= n_bins <= 0.5 * 1000 / dt_ms + 1
        assert ds.stim_meta[s]["duration_s"] == pytest.approx(n_bins * dt_ms / 1000)
        assert ds.true_rates[s].shape == (n_neurons, n_bins)
        for n in range(n_neurons):
            response = ds.responses[s][n]
            if mask[s, n]:
                assert response.shape[1] == n_bins
                assert 1 <= response.shape[0] <= 4
                assert torch.isfinite(response).all()
            else:
                assert response.shape == (1, 1)
                assert response.isnan().all()


def test_share_of_missing_pairs():
    ds = SimulatedDataset(n_neurons=30, n_stims=20, duration_s=0.2, n_repeats=1, missing=0.4)
    assert float(ds.nrn_masks.float().mean()) == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_neurons": 0},
        {"n_stims": 0},
        {"dt_ms": 0.0},
        {"duration_s": -1.0},
        {"duration_s": (2.0, 1.0)},
        {"n_repeats": 0},
        {"n_bands": 1},
        {"snr": (0.0, 1.0)},
        {"missing": 1.0},
        {"kinds": {"purkinje": 1.0}},
        {"kinds": {"ln": 0.0}},
    ],
)
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatedDataset(**SMALL | wrong)


def test_unknown_sound():
    with pytest.raises(ValueError, match="texture"):
        draw_spectrogram("silence", np.array([500.0, 1000.0]), 10, 5.0, np.random.default_rng(0))
