import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.datasets import NeuralDataset
from deepSTRF.metrics import batches as batches_module
from deepSTRF.metrics import ccmax, noise_power, signal_power, snr
from deepSTRF.metrics.statistics import collect
from deepSTRF.utils import hanning_smooth, neural_collate

NAN = float("nan")


# --- stimuli


def test_standardize_per_band(ds):
    raw = np.concatenate([stim.numpy() for stim in ds.stims[:2]], axis=-1).astype(np.float64)
    originals = [stim.clone() for stim in ds.stims]
    stats = ds.standardize_stims([0, 1])
    assert stats is ds.stim_normalization
    assert set(stats) == {"mean", "std", "per_band", "stim_indices"}
    assert stats["mean"].shape == stats["std"].shape == (1, 8, 1)
    assert stats["stim_indices"] == [0, 1]
    np.testing.assert_allclose(stats["mean"].numpy(), raw.mean(-1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(stats["std"].numpy(), raw.std(-1, keepdims=True, ddof=1), rtol=1e-6)
    for stim, original in zip(ds.stims, originals, strict=True):
        torch.testing.assert_close(stim, (original - stats["mean"]) / stats["std"])


def test_standardize_globally(ds):
    raw = np.concatenate([stim.numpy().ravel() for stim in ds.stims]).astype(np.float64)
    stats = ds.standardize_stims(per_band=False)
    assert stats["mean"].shape == stats["std"].shape == ()
    assert stats["mean"].dtype == torch.float32
    assert stats["stim_indices"] is None
    np.testing.assert_allclose([float(stats["mean"]), float(stats["std"])], [raw.mean(), raw.std(ddof=1)], rtol=1e-6)
    assert abs(float(torch.cat([s.flatten() for s in ds.stims]).std()) - 1) < 1e-5


def test_standardize_with_a_large_offset():
    stims = [torch.randn(1, 4, 1000) + 1e4 for _ in range(3)]
    ds = NeuralDataset.from_arrays(stims, [torch.ones(1, 1, 1000)] * 3, dt_ms=1.0)
    ds.standardize_stims()
    joined = torch.cat(ds.stims, -1).double()
    assert joined.mean(-1).abs().max() < 2e-3
    assert (joined.std(-1) - 1).abs().max() < 1e-5


def test_a_band_that_is_constant_in_training_does_not_explode_in_test(ds):
    """It is divided by the deviation of the others, whatever the units are."""
    for unit in (1.0, 1e-12):
        stims = [torch.randn(1, 4, 500) * unit for _ in range(3)]
        stims[0][:, 3] = 7.0 * unit
        data = NeuralDataset.from_arrays(stims, [torch.ones(1, 1, 500)] * 3, dt_ms=1.0)
        stats = data.standardize_stims([0])
        others = stats["std"][0, :3].double().square().mean().sqrt()
        assert float(stats["std"][0, 3]) == pytest.approx(float(others), rel=1e-5)
        assert not data.stims[0][:, 3].any()
        assert 5 < data.stims[1].abs().max() < 15
    for silent in (0.0, 7.0):  # nothing to compare with: only the mean is taken away
        data = NeuralDataset.from_arrays([torch.full((1, 2, 9), silent)], [torch.ones(1, 1, 9)], dt_ms=1.0)
        assert data.standardize_stims()["std"].flatten().tolist() == [1.0, 1.0]
        assert not data.stims[0].any()


@pytest.mark.parametrize("method", ["max", "zscore"])
@pytest.mark.parametrize("unit", [1e-13, 1.0, 1e6])
def test_units_of_responses_do_not_matter(method, unit):
    """MEG comes in tesla."""
    responses = torch.randn(2, 3, 200, generator=torch.Generator().manual_seed(0))
    responses[1] = 0.0
    data = NeuralDataset.from_arrays([torch.rand(4, 200)], [responses * unit], dt_ms=1.0)
    scale = data.normalize_responses(method)["scale"]
    reference = NeuralDataset.from_arrays([torch.rand(4, 200)], [responses], dt_ms=1.0)
    reference.normalize_responses(method)
    torch.testing.assert_close(data.responses[0][0], reference.responses[0][0])
    assert scale[1] == scale[0]  # a silent neuron has that of the others
    assert not data.responses[0][1].any()


def test_standardize_refuses(ds):
    with pytest.raises(ValueError, match="no stims"):
        ds.standardize_stims([])
    with pytest.raises(ValueError, match="no stims"):
        NeuralDataset("x", 1.0).standardize_stims()
    with pytest.raises(IndexError, match="no stimulus 4"):
        ds.standardize_stims([4])


def test_preprocessing_never_writes_into_tensors(ds):
    stims, responses = list(ds.stims), [list(row) for row in ds.responses]
    copies = [stim.clone() for stim in stims], [[r.clone() for r in row] for row in responses]
    ds.standardize_stims()
    ds.smooth_responses()
    ds.normalize_responses("zscore")
    ds.compute_neuron_quality()
    torch.testing.assert_close((stims, responses), copies, rtol=0, atol=0, equal_nan=True)


# --- Hann window


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0.5, 60), st.sampled_from([0.5, 1.0, 2.5, 5.0, 10.0]), st.booleans())
def test_smoothing_is_a_convolution(bins, window, dt, unit_gain):
    response = torch.rand(2, 3, bins, dtype=torch.float64)
    length = max(1, int(window // dt))
    length += 1 - length % 2
    kernel = np.hanning(length)
    if unit_gain:
        kernel = kernel / kernel.sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        smooth = hanning_smooth(response, window, dt, unit_gain=unit_gain)
    half = length // 2
    for row, original in zip(smooth.reshape(-1, bins), response.reshape(-1, bins), strict=True):
        full = np.convolve(original.numpy(), kernel)
        np.testing.assert_allclose(row.numpy(), full[half : half + bins], rtol=1e-9, atol=1e-12)


def test_gains_of_the_published_window():
    impulse = torch.zeros(61)
    impulse[30] = 1
    assert float(hanning_smooth(impulse, 21, 1).sum()) == pytest.approx(10)
    assert hanning_smooth(impulse, 21, 5)[28:33].tolist() == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert float(hanning_smooth(impulse, 21, 5, unit_gain=True).sum()) == pytest.approx(1)


@pytest.mark.parametrize(("window", "dt"), [(21, 10), (1, 5), (19, 5)])
def test_a_window_that_does_not_smooth_warns(ds, window, dt):
    with pytest.warns(UserWarning, match="too short to smooth") as caught:
        out = hanning_smooth(torch.arange(5.0), window, dt)
    assert caught[0].filename == __file__
    assert out.tolist() == [0, 1, 2, 3, 4]
    ds.dt = dt
    with pytest.warns(UserWarning, match="too short to smooth") as caught:
        ds.smooth_responses(window)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_hanning_smooth_arguments():
    for window, dt in ((0, 1), (-1, 1), (21, 0), (21, -5), (NAN, 5)):
        with pytest.raises(ValueError, match="must be positive"):
            hanning_smooth(torch.ones(3), window, dt)
    with pytest.raises(TypeError, match="torch tensor"):
        hanning_smooth(np.ones(3), 21, 5)
    assert hanning_smooth(torch.ones(9, dtype=torch.int64), 21, 5).dtype == torch.float32
    spread = hanning_smooth(torch.tensor([1.0, 1, 1, NAN, 1, 1, 1]), 21, 5)
    assert torch.isnan(spread).tolist() == [False, False, True, True, True, False, False]


def test_smoothing_responses_equals_hanning_smooth_exactly(ds):
    expected = [[hanning_smooth(r, 21.0, 5.0) for r in row] for row in ds.responses]
    masks = ds.nrn_masks
    ds.smooth_responses()
    for row, wanted in zip(ds.responses, expected, strict=True):
        for response, want in zip(row, wanted, strict=True):
            torch.testing.assert_close(response, want, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(ds.nrn_masks, masks)


def test_smoothing_leaves_missing_bins_out():
    response = torch.full((2, 40), 3.0)
    response[0, 10:13] = NAN
    response[1, 20] = NAN
    ds = NeuralDataset.from_arrays([torch.rand(2, 40)], [response[None]], dt_ms=1.0)
    ds.smooth_responses(unit_gain=True)
    smooth = ds.responses[0][0]
    assert torch.equal(torch.isnan(smooth), torch.isnan(response))
    inside = smooth[:, 10:30]
    torch.testing.assert_close(inside[~torch.isnan(inside)], torch.full((36,), 3.0))  # a constant stays constant
    assert ds.nrn_masks.all()


# --- scale of responses


def gathered(ds, n, stims):
    values = np.concatenate([ds.responses[s][n].numpy().ravel() for s in stims]).astype(np.float64)
    return values[~np.isnan(values)]


@pytest.mark.parametrize("stims", [None, [0, 2]])
def test_normalize(ds, stims, make):
    ds.responses[0][1] = torch.cat([ds.responses[0][1], torch.full((1, 30), NAN)])
    which = range(4) if stims is None else stims
    before = [gathered(ds, n, which) for n in range(3)]
    other = make()
    original = [list(row) for row in ds.responses]
    result = ds.normalize_responses("max", stim_indices=stims)
    assert result is ds.response_normalization
    np.testing.assert_allclose(result["scale"], [np.abs(v).max() for v in before], rtol=1e-6)
    assert not result["offset"].any()
    for s in range(4):
        for n in range(3):
            torch.testing.assert_close(ds.responses[s][n], original[s][n] / result["scale"][n], equal_nan=True)
    result = other.normalize_responses("zscore", stim_indices=stims)
    values = [gathered(make(), n, which) for n in range(3)]
    np.testing.assert_allclose(result["offset"], [v.mean() for v in values], rtol=1e-5)
    np.testing.assert_allclose(result["scale"], [v.std(ddof=1) for v in values], rtol=1e-5)
    assert other.responses[0][2].shape == (1, 1)
    assert result["stim_indices"] == stims


def test_normalize_edges():
    ds = NeuralDataset.from_arrays(
        [torch.rand(2, 3)] * 2,
        [[torch.tensor([[5.0, NAN, NAN]]), torch.zeros(2, 3), None], [None, None, None]],
        dt_ms=5.0,
    )
    for method in ("max", "zscore"):
        result = ds.normalize_responses(method)
        assert result["scale"][[0, 2]].tolist() == [1, 1]
        assert not result["offset"].any()
        assert float(ds.responses[0][0][0, 0]) == 5
        assert not ds.responses[0][1].any()
    with pytest.raises(ValueError, match="'max', 'zscore'; got 'min'"):
        ds.normalize_responses("min")
    with pytest.raises(ValueError, match="no stims"):
        ds.normalize_responses(stim_indices=[])


# --- quality


def test_quality_equals_the_metrics_on_one_tensor(make):
    torch.manual_seed(0)
    signal = torch.randn(6, 50)
    stims, responses = [], []
    for s, bins in enumerate((50, 30, 41)):
        stims.append(torch.rand(4, bins))
        row = [signal[n, :bins] + torch.randn(2 + n, bins) for n in range(4)]
        row[2][0, 5:9] = NAN
        row.append(torch.randn(1, bins))
        row.append(None)
        if s == 1:
            row[0] = None
        responses.append(row)
    ds = NeuralDataset.from_arrays(stims, responses, dt_ms=5.0)
    quality = ds.compute_neuron_quality(max_ccmax_iters=20)
    padded = neural_collate([ds[i] for i in range(3)])["responses"]
    expected = snr(padded, reduction="none")
    torch.testing.assert_close(quality["snr"], expected, equal_nan=True)
    ratio = signal_power(padded, reduction="none") / noise_power(padded, reduction="none")
    torch.testing.assert_close(quality["snr"], ratio, equal_nan=True)
    torch.testing.assert_close(quality["ccmax"], ccmax(padded, reduction="none", ccmax_iters=20), equal_nan=True)
    assert torch.isnan(quality["snr"][4:]).all()
    assert float(quality["ccmax"][4]) == 1  # single trials only
    assert torch.isnan(quality["ccmax"][5])  # no data
    assert isinstance(ds.nrn_meta[0]["snr"], float)
    assert ds.nrn_meta[1]["ccmax"] == pytest.approx(float(quality["ccmax"][1]))
    with pytest.raises(ValueError, match="ccmax_iters"):
        ds.compute_neuron_quality(0)
    with pytest.raises(TypeError, match="ccmax_iters"):
        ds.compute_neuron_quality(1.5)


def test_quality_looks_at_one_stimulus_at_a_time(ds, monkeypatch):
    shapes = []

    def recording_collect(parts, responses, pred):
        shapes.append(tuple(responses.shape))
        return collect(parts, responses, pred)

    monkeypatch.setattr(batches_module, "collect", recording_collect)
    ds.compute_neuron_quality()
    assert shapes == [(1, 2, 3, 30), (1, 1, 2, 20), (1, 3, 4, 40), (1, 1, 1, 25)]


def test_quality_without_any_data():
    ds = NeuralDataset.from_arrays([torch.rand(2, 3)], [[None, None]], dt_ms=5.0)
    assert all(torch.isnan(values).all() for values in ds.compute_neuron_quality().values())
