"""How scores grow with the amount of data, and noise ceilings with the number of repeats; both extrapolated.

References
----------
- Sahani, M. & Linden, J. F. (2003). How linear are auditory cortical responses? Advances in Neural Information
  Processing Systems 15, 125–132.
- Schoppe, O., Harper, N. S., Willmore, B. D. B., King, A. J. & Schnupp, J. W. H. (2016). Measuring the
  performance of neural models. Frontiers in Computational Neuroscience 10, 10. doi:10.3389/fncom.2016.00010
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepSTRF.analysis.bootstrap import as_numbers, check_level, generator_of, resample_stimuli
from deepSTRF.checks import check_integer, check_list, check_number, check_positive
from deepSTRF.metrics._arguments import Responses
from deepSTRF.metrics.reliability import SNR

__all__ = ["CeilingCurve", "LearningCurve", "extrapolate_scores", "extrapolated_noise_ceiling", "learning_curve"]


@dataclass(frozen=True)
class LearningCurve:
    """Scores for several amounts of data, and their extrapolation, see :func:`extrapolate_scores`.

    Attributes
    ----------
    amounts : ndarray, (K,)
        Amounts of data.
    scores : ndarray, (K, N)
        Score of each neuron.
    limit, low, high : ndarray, (N,)
        Score expected at unlimited data, and its confidence interval; NaN where undefined.
    slope : ndarray, (N,)
        Change of the score with 1 / amount, negative for scores that grow with data.
    """

    amounts: np.ndarray
    scores: np.ndarray
    limit: np.ndarray
    low: np.ndarray
    high: np.ndarray
    slope: np.ndarray

    def at(self, amount: float) -> np.ndarray:
        """Score ``(N,)`` that the fitted curve has at an amount of data."""
        return self.limit + self.slope / float(check_positive("amount", amount))


@dataclass(frozen=True)
class CeilingCurve:
    """Noise ceilings for some numbers of repeats, see :func:`extrapolated_noise_ceiling`.

    Attributes
    ----------
    n_repeats : ndarray of int, (K,)
        Numbers of repeats.
    ceilings, low, high : ndarray, (K, N)
        Best correlation that a model can have with the PSTH of so many repeats, and its confidence interval.
    """

    n_repeats: np.ndarray
    ceilings: np.ndarray
    low: np.ndarray
    high: np.ndarray


def extrapolate_scores(amounts: Any, scores: Any, *, confidence_level: float = 0.95) -> LearningCurve:
    r"""Extrapolate scores to unlimited data, by a line in one over the amount of data (Sahani & Linden, 2003).

    .. math:: \mathrm{score}(T) = \mathrm{limit} + \mathrm{slope} / T

    The line is fitted by least squares. The curve is straight in 1 / T where the error of estimation is small; leave
    out amounts that are so small that the model fails.

    Parameters
    ----------
    amounts : array-like, (K,)
        Amount of training data of each row of `scores`: numbers of stimuli, seconds, bins. An amount may occur more
        than once.
    scores : array-like, (K, N)
        Scores on the same test data, NaN where undefined.
    confidence_level : float
        Of the intervals, from the residuals of the line (t distribution); they take the rows to be independent, so for
        subsets of one recording, which overlap, they are too narrow. For a population, use
        :func:`~deepSTRF.analysis.bootstrap_interval` on the limits.

    Returns
    -------
    LearningCurve
        Neurons with fewer than two different amounts have no limit, those with fewer than three rows no interval.

    Raises
    ------
    TypeError
        If they are not real numbers.
    ValueError
        If the shapes do not fit, or an amount is not positive.

    Examples
    --------
    >>> curve = extrapolate_scores([10, 20, 40], [[0.4], [0.5], [0.55]])
    >>> curve.limit.round(3), curve.at(80).round(3)
    (array([0.6]), array([0.575]))
    """
    x, y = as_numbers("amounts", amounts, 1), as_numbers("scores", scores, 2)
    level = check_level(confidence_level)
    if len(x) != len(y):
        raise ValueError(f"scores must have one row for each of {len(x)} amounts, got the shape {y.shape}")
    if not (x > 0).all():
        raise ValueError("amounts must be positive")
    fits = np.array([_line(1 / x, own, level) for own in y.T]).reshape(-1, 4)
    return LearningCurve(x, y, *fits.T)


def learning_curve(
    score: Callable[[list[int]], Any],
    n_stimuli: int,
    *,
    fractions: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    n_draws: int = 3,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> LearningCurve:
    """Fit and score a model on growing parts of the training stimuli, and extrapolate.

    Parameters
    ----------
    score : callable
        ``score(indices)`` fits a model to these stimuli, and returns its scores ``(N,)`` on test data that stay the
        same.
    n_stimuli : int
        Number of training stimuli.
    fractions : sequence of float
        Parts of the stimuli, each at least one stimulus.
    n_draws : int
        Orders in which the stimuli are taken; one of them is enough for all stimuli.
    confidence_level : float
        As in :func:`extrapolate_scores`.
    seed : int
        Of the orders.

    Returns
    -------
    LearningCurve
        One row per fit; amounts are numbers of stimuli.

    Raises
    ------
    TypeError
        If `score` is not callable.
    ValueError
        If a fraction is not above 0 and at most 1.

    Examples
    --------
    >>> curve = learning_curve(lambda indices: [1 - 1 / len(indices), 0.5], n_stimuli=12)
    >>> curve.amounts, curve.limit.round(3)
    (array([ 3.,  3.,  3.,  6.,  6.,  6.,  9.,  9.,  9., 12.]), array([1. , 0.5]))
    """
    if not callable(score):
        raise TypeError(f"score must be a function of the indices of training stimuli, got {score!r}")
    n_stimuli, n_draws = check_integer("n_stimuli", n_stimuli), check_integer("n_draws", n_draws)
    level, random = check_level(confidence_level), generator_of(seed)
    parts = [float(check_number("fractions", part)) for part in check_list("fractions", fractions, "numbers")]
    if not parts or not all(0 < part <= 1 for part in parts):
        raise ValueError(f"fractions must be above 0 and at most 1, got {fractions!r}")
    orders = [random.permutation(n_stimuli) for _ in range(n_draws)]
    amounts, rows = [], []
    for size in sorted({max(1, round(part * n_stimuli)) for part in parts}):
        for order in orders[:1] if size == n_stimuli else orders:
            amounts.append(size)
            rows.append(as_numbers("the scores that score returns", score(sorted(order[:size].tolist())), 1))
    return extrapolate_scores(amounts, rows, confidence_level=level)


def extrapolated_noise_ceiling(
    responses: Responses,
    n_repeats: int | Sequence[int],
    *,
    confidence_level: float = 0.95,
    n_resamples: int = 999,
    seed: int = 0,
) -> CeilingCurve:
    r"""Noise ceiling that the neurons would have with other numbers of repeats, as more than were recorded.

    The noise power of a PSTH falls with the number of repeats, the signal power stays (Schoppe et al., 2016):

    .. math:: \mathrm{ceiling}(n) = \sqrt{\frac{SP}{SP + NP / n}}

    With ``n_repeats=1`` it is the ceiling of the correlation with single repeats.

    Parameters
    ----------
    responses : Tensor, (B, N, R, T)
        Single repeats, NaN where missing.
    n_repeats : int or sequence of int
        Numbers of repeats.
    confidence_level : float
        Of the percentile intervals over stimuli (bootstrap).
    n_resamples, seed
        As in :func:`~deepSTRF.analysis.bootstrap_interval`.

    Returns
    -------
    CeilingCurve
        NaN for a neuron without repeats or without positive signal power, the interval also for fewer than two stimuli.

    Raises
    ------
    TypeError, ValueError
        If `responses` is not a tensor of this shape, or a number of repeats is not a positive integer.

    Examples
    --------
    >>> import torch
    >>> signal = torch.randn(6, 1, 1, 400, generator=torch.Generator().manual_seed(0))
    >>> noise = torch.randn(6, 1, 4, 400, generator=torch.Generator().manual_seed(1))
    >>> extrapolated_noise_ceiling(signal + noise, [1, 100]).ceilings.round(1)
    array([[0.7],
           [1. ]])
    """
    asked = [n_repeats] if not hasattr(n_repeats, "__iter__") else list(n_repeats)
    numbers = np.array([check_integer("n_repeats", n) for n in asked])
    level, random = check_level(confidence_level), generator_of(seed)
    found = resample_stimuli(SNR, None, responses, check_integer("n_resamples", n_resamples), random)
    # Of the ends of the ratio: the ceiling rises with it. Draws without a signal have the ceiling 0.
    ends = np.full((2, len(found.scores)), math.nan)
    for n in np.flatnonzero((found.scores > 0) & (found.heard.sum(0) > 1)):
        own = found.resamples[:, n]
        own = own[~np.isnan(own)].clip(min=0)
        if len(own):
            ends[:, n] = np.quantile(own, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return CeilingCurve(numbers, *(_ceiling(ratio, numbers) for ratio in (found.scores, *ends)))


def _ceiling(ratio: np.ndarray, n_repeats: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        noise = 1 / np.where(ratio >= 0, ratio, math.nan)
    ceiling: np.ndarray = np.sqrt(1 / (1 + noise / n_repeats[:, None]))
    return ceiling


def _line(x: np.ndarray, y: np.ndarray, level: float) -> tuple[float, float, float, float]:
    """Limit, the ends of its interval, and slope of the line through the defined points."""
    from scipy.special import stdtrit

    there = ~np.isnan(y)
    x, y = x[there], y[there]
    n = len(x)
    deviations = x - x.mean() if n else x
    spread = float((deviations**2).sum())
    if n < 2 or len(np.unique(x)) < 2:
        return math.nan, math.nan, math.nan, math.nan
    slope = float(deviations @ y) / spread
    limit = float(y.mean()) - slope * float(x.mean())
    half = math.nan
    if n > 2:
        residual = float(((y - limit - slope * x) ** 2).sum()) / (n - 2)
        half = float(stdtrit(n - 2, (1 + level) / 2)) * math.sqrt(residual * (1 / n + float(x.mean()) ** 2 / spread))
    return limit, limit - half, limit + half, slope
