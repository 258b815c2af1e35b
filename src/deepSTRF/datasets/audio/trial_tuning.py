"""Whether a neuron is tuned: its trials correlate more than trials that are shifted in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deepSTRF.checks import check_integer

__all__ = ["TrialTuning", "trial_tuning"]

_AT_ONCE = 1000  # resamples, which bounds the memory


class TrialTuning(NamedTuple):
    """How well the trials of a neuron correlate; NaN where it has no two trials of a stimulus."""

    correlation: float
    """Mean correlation of two trials."""
    null_correlation: float
    """The same with one of them shifted in time."""
    null_std: float
    """Standard deviation of the latter over resamples."""
    effect_size: float
    """Difference of the means in units of `null_std`."""
    p_value: float
    """Of the one-sided rank-sum test."""


def trial_tuning(repeats: Sequence[np.ndarray], n_resamples: int, rng: np.random.Generator) -> TrialTuning:
    """Correlate pairs of trials, and the same pairs with one trial shifted in time, circularly.

    Every resample draws two different trials of each stimulus and joins the stimuli to two long responses.

    Parameters
    ----------
    repeats : sequence of numpy.ndarray
        Responses of the neuron to each stimulus, shape (R, T). Those with a single trial don't count.
    n_resamples : int
        Number of pairs. Pairs of which one has no variance, or a missing bin, don't count.
    rng : numpy.random.Generator
        Draws trials and shifts.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> psth = rng.gamma(1.0, 3.0, 200)
    >>> tuning = trial_tuning([rng.poisson(psth, (11, 200))], 500, rng)
    >>> bool(tuning.p_value < 0.05), bool(tuning.effect_size > 0.5)
    (True, True)
    """
    from scipy.stats import ranksums

    check_integer("n_resamples", n_resamples)
    usable = [np.asarray(trials, dtype=np.float64) for trials in repeats if len(trials) > 1]
    n_bins = sum(trials.shape[1] for trials in usable)
    if n_bins < 2:
        return TrialTuning(*[np.nan] * 5)
    true, null = [], []
    for start in range(0, n_resamples, _AT_ONCE):
        size = min(_AT_ONCE, n_resamples - start)
        pairs = []
        for trials in usable:
            one = rng.integers(len(trials), size=size)
            other = (one + rng.integers(1, len(trials), size=size)) % len(trials)
            pairs.append((trials[one], trials[other]))
        first, second = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
        shifts = rng.integers(1, n_bins, size=(size, 1))
        true.append(_correlations(first, second))
        null.append(_correlations(first, np.take_along_axis(second, (np.arange(n_bins) + shifts) % n_bins, axis=1)))
    known, shifted = (values[np.isfinite(values)] for values in (np.concatenate(true), np.concatenate(null)))
    if len(known) == 0 or len(shifted) == 0:
        return TrialTuning(*[np.nan] * 5)
    mean, null_mean, null_std = (float(x) for x in (known.mean(), shifted.mean(), shifted.std()))
    effect = (mean - null_mean) / null_std if null_std > 0 else np.nan
    p_value = float(ranksums(known, shifted, alternative="greater").pvalue)
    return TrialTuning(mean, null_mean, null_std, effect, p_value)


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation of each row of one array with that of the other; NaN without variance."""
    first = first - first.mean(1, keepdims=True)
    second = second - second.mean(1, keepdims=True)
    norm = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return np.divide((first * second).sum(1), norm, out=np.full(len(norm), np.nan), where=norm > 0)
