"""Small recordings in the forms that people have, and what from_arrays makes of them by way of numpy.histogram."""

import numpy as np
import torch

DT_MS = 5.0
N_BINS = (100, 60)
NAMES = ("rain", "birds")


def sounds(seed=0):
    """Two spectrograms by name, of 0.5 and 0.3 s."""
    rng = np.random.default_rng(seed)
    return {name: rng.random((8, bins)) for name, bins in zip(NAMES, N_BINS, strict=True)}


def nested_times(seed=1, n_neurons=3, n_repeats=4):
    """Spike times in s by stimulus, neuron and repeat; some before and after the sound."""
    rng = np.random.default_rng(seed)
    return [
        [[rng.uniform(-0.1, bins * 0.005 + 0.1, rng.poisson(15)) for _ in range(n_repeats)] for _ in range(n_neurons)]
        for bins in N_BINS
    ]


def histogram(times, n_bins, start=0.0):
    """Counts in bins, as users made them up to now."""
    return np.histogram(times, start + np.arange(n_bins + 1) * DT_MS / 1000)[0]


def session(seed=2, n_units=3, n_trials=12):
    """Spike times of units in a session of 30 s, onsets and names of trials."""
    rng = np.random.default_rng(seed)
    units = {f"unit {n}": rng.uniform(0, 30, 600) for n in range(n_units)}
    onsets = np.sort(rng.uniform(0.5, 28, n_trials))
    stimuli = [NAMES[k % 2] for k in rng.permutation(n_trials)]
    return units, onsets, stimuli


def session_counts(units, onsets, stimuli, before_bins=0, after_bins=0):
    """Counts (N, R, T) per stimulus by numpy.histogram."""
    return [
        np.array(
            [
                [
                    histogram(times, bins + before_bins + after_bins, onset - before_bins * DT_MS / 1000)
                    for onset, stimulus in zip(onsets, stimuli, strict=True)
                    if stimulus == name
                ]
                for times in units.values()
            ]
        )
        for name, bins in zip(NAMES, N_BINS, strict=True)
    ]


def assert_same_recording(one, other):
    """Equal stimuli and responses, bit by bit."""
    assert (one.dt, one.N_neurons, len(one.stims)) == (other.dt, other.N_neurons, len(other.stims))
    assert torch.equal(one.nrn_masks, other.nrn_masks)
    for s in range(len(one.stims)):
        assert torch.equal(one.stims[s], other.stims[s])
        for n in range(one.N_neurons):
            left, right = one.responses[s][n], other.responses[s][n]
            assert left.dtype == right.dtype
            assert left.shape == right.shape
            assert torch.equal(left.nan_to_num(-1), right.nan_to_num(-1))
