"""Intracellular traces: against SciPy, scaled, with missing samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d, median_filter

from deepSTRF.datasets.intracellular import (
    RepeatGating,
    detrended,
    means_in_bins,
    running_median,
    upward_crossings,
)

RATE = 1000.0


def traces(seed=0, repeats=5, n=800):
    rng = np.random.default_rng(seed)
    evoked = 4 * gaussian_filter1d(rng.normal(size=n), 5)
    return -70 + evoked + 0.3 * rng.normal(size=(repeats, n))


def test_detrending_is_that_of_scipy():
    x = traces()
    trend = [gaussian_filter1d(median_filter(line, 101), 10.0) for line in x]
    np.testing.assert_allclose(detrended(x, RATE), x - trend, atol=1e-9)


@given(st.floats(-5, 5), st.floats(-100, 100), st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_detrending_scales_and_forgets_the_offset(scale, offset, seed):
    x = traces(seed, 2, 300)
    np.testing.assert_allclose(detrended(scale * x + offset, RATE), scale * detrended(x, RATE), atol=1e-8)


def test_missing_samples_stay_missing_and_disturb_nobody():
    x = traces()
    known = detrended(x, RATE)
    x[0, 300:304] = np.nan
    x[1] = np.nan
    result = detrended(x, RATE)
    assert np.array_equal(np.isnan(result), np.isnan(x))
    assert np.array_equal(result[2:], known[2:])
    assert np.nanmax(np.abs(result[0] - known[0])) < 0.2
    assert np.isfinite(running_median(x, RATE, 20)[0]).all()


def test_a_window_longer_than_the_trace():
    assert running_median(np.arange(6.0)[None], RATE, 100).shape == (1, 6)


def test_reasons():
    x = traces(repeats=7)
    x[1, 100] = 200.0  # mV
    x[2, 500:] += 45.0
    x[3] = traces(seed=9, repeats=1)[0]
    x[4, 50:52] += 100.0  # a spike
    assert RepeatGating().reasons(x, RATE) == ["kept", "range", "step", "xcorr", "kept", "kept", "kept"]
    assert set(RepeatGating(abs_mv_max=300, step_mv=300, min_xcorr=-1).reasons(x, RATE)) == {"kept"}
    assert RepeatGating().reasons(x[[0, 3]], RATE) == ["kept", "kept"]  # nobody can say which of two is wrong
    x[5, 10:20] = np.nan
    assert RepeatGating().reasons(x, RATE)[5] == "kept"


@given(st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_gating_scales_with_its_limits(scale):
    x = traces(repeats=5)
    x[1, 500:] += 45.0
    x[2, 7] = -200.0
    scaled = RepeatGating(abs_mv_max=150 * scale, step_mv=30 * scale)
    assert scaled.reasons(scale * x, RATE) == RepeatGating().reasons(x, RATE)


@pytest.mark.parametrize("wrong", [{"abs_mv_max": 0}, {"max_step_frac": 2}, {"min_xcorr": -3}, {"step_mv": np.nan}])
def test_wrong_limits(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RepeatGating(**wrong)


@pytest.mark.parametrize(("rate", "dt"), [(4000, 5.0), (10000, 1.0), (4000, 1.3), (97656.25, 5.0)])
def test_bins(rate, dt):
    x = np.random.default_rng(0).normal(size=(2, 4003))
    n_bins = int(4003 / rate * 1000 / dt)
    bins = np.floor(np.arange(4003) / rate * 1000 / dt + 1e-6)
    expected = np.stack([x[:, bins == b].mean(1) for b in range(n_bins)], 1)
    np.testing.assert_allclose(means_in_bins(x, rate, dt), expected, atol=1e-12)
    x[1, 0] = np.nan
    assert np.isnan(means_in_bins(x, rate, dt)).sum() == 1


def test_bins_shorter_than_a_sample():
    with pytest.raises(ValueError, match="4000 Hz"):
        means_in_bins(np.ones((1, 9)), 4000, 0.1)


def test_a_crossing_is_one_spike():
    rng = np.random.default_rng(1)
    x = np.zeros(1000)
    starts = np.sort(rng.choice(np.arange(2, 990, 20), 15, replace=False))
    for start in starts:
        x[start : start + rng.integers(1, 15)] = 1.0
    assert np.array_equal(upward_crossings(x, 0.5), starts)
    x[starts[0] - 1] = np.nan  # nobody knows when it came
    assert np.array_equal(upward_crossings(x, 0.5), starts[1:])
