"""Spikes and signals in bins, against numpy.histogram and scipy.signal."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from deepSTRF.datasets.sources.binning import bin_spike_times, count_in_trials, in_double, signals_in_trials

seconds = st.floats(-10, 4000, allow_nan=False)


@given(
    times=st.lists(seconds, max_size=40),
    start=seconds,
    n_bins=st.integers(1, 300),
    dt_ms=st.sampled_from([0.5, 1.0, 5.0, 10.0, 8.333333]),
)
def test_counts_are_counts(times, start, n_bins, dt_ms):
    counts = bin_spike_times(times, start, n_bins, dt_ms)
    position = (np.array(times) - start) * 1000 / dt_ms
    assert counts.dtype == np.float32
    assert counts.shape == (n_bins,)
    assert counts.sum() == np.sum((position >= -1e-6) & (position < n_bins - 1e-6))


@pytest.mark.parametrize("start", [0.0, 0.3, 1234.567])
@pytest.mark.parametrize("dt_ms", [1.0, 5.0, 8.333])
def test_equal_numpy_histogram(start, dt_ms):
    times = np.random.default_rng(0).uniform(start - 1, start + 11, 5000)
    edges = start + np.arange(1001) * dt_ms / 1000
    np.testing.assert_array_equal(bin_spike_times(times, start, 1000, dt_ms), np.histogram(times, edges)[0])


@given(onset=st.integers(0, 4_000_000), bin_=st.integers(0, 999), dt_ms=st.sampled_from([1, 5, 10]))
def test_a_time_on_an_edge_belongs_to_the_bin_that_begins_there(onset, bin_, dt_ms):
    start = onset / 1000
    time_s = (onset + bin_ * dt_ms) / 1000  # rounded apart from start + bin * dt
    assert bin_spike_times([time_s], start, 1000, dt_ms).argmax() == bin_


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), offset_s=st.sampled_from([0.0, -0.25, 0.1]))
def test_trials_equal_bins_of_each_trial(seed, offset_s):
    rng = np.random.default_rng(seed)
    spikes = [rng.uniform(-1, 30, rng.integers(0, 300)) for _ in range(3)]
    onsets, stimuli = rng.uniform(0, 28, 12), rng.integers(0, 3, 12)  # trials overlap
    n_bins = [20, 7, 55]
    counts = count_in_trials(spikes, onsets, stimuli, n_bins, 10.0, offset_s)
    for stimulus, block in enumerate(counts):
        trials = np.flatnonzero(stimuli == stimulus)
        if len(trials) == 0:
            assert block is None
            continue
        expected = [
            [bin_spike_times(times, onsets[trial] + offset_s, n_bins[stimulus], 10.0) for trial in trials]
            for times in spikes
        ]
        np.testing.assert_array_equal(block, expected)


def test_trials_outside_of_what_was_recorded_are_missing():
    counts = count_in_trials(
        [[0.5, 2.5], [0.5, 2.5], [0.5]], [0.0, 2.0], [0, 0], [2], 500.0, recorded=[[[0, 1.5], [1.5, 2.5]], None, []]
    )
    expected = np.array([[[0, 1], [np.nan] * 2], [[0, 1], [0, 1]], [[np.nan] * 2] * 2])
    np.testing.assert_array_equal(counts[0], expected)
    joined = count_in_trials([[0.5]], [0.0], [0], [2], 500.0, recorded=[[[0.7, 1.0], [0.0, 0.7]]])
    assert not np.isnan(joined[0]).any()  # intervals that touch are one


@pytest.mark.slow
def test_an_hour_of_300_units_takes_seconds():
    rng = np.random.default_rng(0)
    spikes = [np.sort(rng.uniform(0, 3600, 18_000)) for _ in range(300)]
    start = time.perf_counter()
    counts = count_in_trials(spikes, np.arange(4000) * 0.9, np.arange(4000) % 20, [180] * 20, 5.0)
    assert time.perf_counter() - start < 30
    np.testing.assert_allclose(sum(block.sum() for block in counts), 300 * 18_000, rtol=1e-3)


@pytest.mark.parametrize("ratio", [1, 3, 25])
def test_downsampling_equals_scipy(ratio):
    signals = np.random.default_rng(0).normal(size=(2, 3000))
    dt_ms = ratio * 1.0
    n_bins = 3000 // ratio
    values = signals_in_trials(signals, 1000.0, 0.0, [0.0], [0], [n_bins], dt_ms)[0][:, 0]
    # With an odd ratio the centre of a bin is a sample, as it is for scipy.
    expected = signals if ratio == 1 else resample_poly(signals[:, (ratio - 1) // 2 :], 1, ratio, axis=1)[:, :n_bins]
    inner = slice(11, -11)
    np.testing.assert_allclose(values[:, inner], expected[:, inner], atol=2e-6)
    if ratio == 1:
        np.testing.assert_array_equal(values, signals.astype(np.float32))


def test_what_is_too_fast_for_the_bins_is_filtered_out():
    t = (np.arange(20_000) + 0.5) / 1000
    slow, fast = np.sin(2 * np.pi * 7 * t), np.sin(2 * np.pi * 70 * t)
    onsets = [2.0, 5.00037]
    values = signals_in_trials([slow + fast], 1000.0, 0.0, onsets, [0, 0], [400], 10.0)[0][0]
    centres = np.array(onsets)[:, None] + (np.arange(400) + 0.5) / 100
    np.testing.assert_allclose(values, np.sin(2 * np.pi * 7 * centres), atol=4e-3)


def test_slow_signals_are_interpolated():
    t = (np.arange(600) + 0.5) / 30  # a microscope at 30 frames per second
    values = signals_in_trials([np.sin(2 * np.pi * 2 * t)], 30.0, 0.0, [3.01], [0], [500], 5.0)[0][0, 0]
    np.testing.assert_allclose(values, np.sin(2 * np.pi * 2 * (3.01 + (np.arange(500) + 0.5) / 200)), atol=4e-3)


def test_missing_samples_stay_missing_and_spoil_nothing_else():
    signals = np.full((2, 1000), 3.0)
    signals[0, 405] = np.nan
    values = signals_in_trials(signals, 1000.0, 10.0, [9.98, 10.3], [0, 0], [20], 10.0)[0]
    expected = np.full((2, 2, 20), 3.0)
    expected[:, 0, :2] = np.nan  # before the recording
    expected[0, 1, 10] = np.nan
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    after = signals_in_trials(signals, 1000.0, 0.0, [50.0], [0], [20], 10.0)[0]
    assert np.isnan(after).all()


def test_long_trials_equal_short_ones():
    signals = np.random.default_rng(0).normal(size=(1, 60_000))
    whole = signals_in_trials(signals, 1000.0, 0.0, [0.0], [0], [6000], 10.0)[0][0, 0]
    part = signals_in_trials(signals, 1000.0, 0.0, [20.4], [0], [100], 10.0)[0][0, 0]
    np.testing.assert_allclose(whole[2040:2140], part, atol=1e-6)


@pytest.mark.parametrize("start_s", [0.0, 1000.0])
def test_times_in_float32_lie_in_the_bins_of_their_decimals(start_s):
    times = start_s + np.arange(1, 1000) / 1000
    single = times.astype(np.float32)
    expected = [0.0] + [1.0] * 999
    assert bin_spike_times(single, start_s, 1000, 1.0).tolist() == expected
    (counts,) = count_in_trials([single], [start_s], [0], [1000], 1.0)
    assert counts[0, 0].tolist() == expected


def test_float32_that_is_no_short_decimal_stays_what_it_was():
    rng = np.random.default_rng(0)
    single = np.concatenate([rng.uniform(-1, 1, 500), rng.uniform(0, 4000, 500), [0.0, np.nan, np.inf]]).astype("f4")
    np.testing.assert_array_equal(in_double(single).astype(np.float32), single)
    shortest = [float(str(value)) for value in single]
    np.testing.assert_array_equal(in_double(single), shortest)
