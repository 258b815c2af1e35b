"""Confidence intervals over neurons, over groups of them, and over stimuli, by the bootstrap.

References
----------
- Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical Association 82,
  171–185. doi:10.1080/01621459.1987.10478410
- Saravanan, V., Berman, G. J. & Sober, S. J. (2020). Application of the hierarchical bootstrap to multi-level data
  in neuroscience. Neurons, Behavior, Data Analysis, and Theory 3(5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import check_choice, check_integer, check_number, describe_type
from deepSTRF.metrics._arguments import Pred, Responses
from deepSTRF.metrics.correlation import CORRCOEF, FVE, normalized_corrcoef_measure
from deepSTRF.metrics.statistics import Measure, collect

__all__ = ["Interval", "ScoreIntervals", "bootstrap_interval", "score_intervals"]

METHODS = ("BCa", "percentile")
_AT_ONCE = 2_000_000  # resampled values at a time: 16 MB
_STATISTICS: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median}
_MEASURES: dict[str, Callable[[], Measure]] = {
    "corrcoef": lambda: CORRCOEF,
    "normalized_corrcoef": normalized_corrcoef_measure,
    "fve": lambda: FVE,
}


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes
    ----------
    estimate : float
        Mean or median of the defined values; NaN if there are none.
    low, high : float
        Ends of the interval; NaN for fewer than two values (or groups of them).
    confidence_level : float
        As 0.95.
    n : int
        Number of defined values.
    """

    estimate: float
    low: float
    high: float
    confidence_level: float
    n: int


@dataclass(frozen=True)
class ScoreIntervals:
    """Scores with their confidence intervals, see :func:`score_intervals`.

    Attributes
    ----------
    scores, low, high : ndarray, (N,)
        Score of each neuron, and its interval over stimuli; NaN where undefined.
    population : Interval
        Mean score of the population, over neurons and stimuli.
    """

    scores: np.ndarray
    low: np.ndarray
    high: np.ndarray
    population: Interval


def bootstrap_interval(
    values: Any,
    *,
    statistic: str = "mean",
    groups: Any = None,
    method: str = "BCa",
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> Interval:
    """Confidence interval of the mean or median over neurons.

    Any bootstrap is too narrow for few neurons: 95 % BCa intervals of the mean of 10, 20 or 40 and more normal values
    hold the truth in 89, 92 and 94 % of cases, as theory says of plain quantiles (90.4, 92.9 and 94.0 %).

    Parameters
    ----------
    values : array-like, (N,)
        One number per neuron, as scores or tuning widths, in any unit. NaN is left out.
    statistic : {'mean', 'median'}
        What the interval is of.
    groups : sequence, (N,), optional
        Animal, session or recording site of each neuron. Groups are resampled, and then neurons within each group
        drawn (hierarchical bootstrap, Saravanan et al., 2020): the interval is for new groups, of which ten are few.
    method : {'BCa', 'percentile'}
        Bias-corrected and accelerated (Efron, 1987), or plain quantiles of the resamples.
    confidence_level : float
        Between 0 and 1.
    n_resamples, seed : int
        Number of resamples, and the seed of them: the same values give the same interval.

    Returns
    -------
    Interval
        In the unit of `values`.

    Raises
    ------
    TypeError
        If `values` are not real numbers.
    ValueError
        If `values` is not one-dimensional or has infinite values, or an option is unknown or out of range.

    Examples
    --------
    >>> result = bootstrap_interval([0.2, 0.4, 0.5, 0.6, float("nan")])
    >>> round(result.estimate, 3), result.low < 0.4 < result.high, result.n
    (0.425, True, 4)
    """
    numbers = as_numbers("values", values, 1)
    check_choice("statistic", statistic, _STATISTICS)
    confidence_level, n_resamples, random = _options(method, confidence_level, n_resamples, seed)
    of = _STATISTICS[statistic]
    defined = ~np.isnan(numbers)
    kept = numbers[defined]
    members = as_groups(groups, defined)
    estimate = float(of(kept)) if len(kept) else math.nan
    low = high = math.nan
    if len(members) > 1:
        resamples = np.concatenate([of(part, axis=1) for part in _resampled(kept, members, n_resamples, random)])
        without = None
        if method == "BCa":
            without = np.array([of(np.delete(kept, some)) for some in members])
        low, high = (float(end) for end in _ends(resamples, estimate, confidence_level, without))
    return Interval(estimate, low, high, confidence_level, len(kept))


def score_intervals(
    pred: Pred,
    responses: Responses,
    metric: str = "corrcoef",
    *,
    method: str = "BCa",
    confidence_level: float = 0.95,
    n_resamples: int = 999,
    seed: int = 0,
) -> ScoreIntervals:
    """Confidence intervals of scores: of each neuron over stimuli, and of the population over stimuli and neurons.

    Stimuli are drawn with replacement, the same for all neurons, and the metric is computed anew from what was drawn.
    For the population, neurons are drawn, too. The model is not fitted again: the intervals say how much the scores
    depend on which test stimuli were chosen. Fewer than about ten stimuli make them too narrow.

    Parameters
    ----------
    pred : Tensor, (B, N, 1, T)
        Predictions, one stimulus per row.
    responses : Tensor, (B, N, R, T)
        Single repeats in the same unit, NaN where missing.
    metric : {'corrcoef', 'normalized_corrcoef', 'fve'}
        Of :mod:`deepSTRF.metrics`, with its default options.
    method : {'BCa', 'percentile'}
        Of the intervals of the neurons; that of the population is always the percentile interval.
    confidence_level, n_resamples, seed
        As in :func:`bootstrap_interval`.

    Returns
    -------
    ScoreIntervals
        A neuron with data in fewer than two stimuli has no interval (NaN). Draws in which the metric of a neuron is
        undefined do not count.

    Raises
    ------
    ValueError
        For shapes that do not fit, or an unknown option.
    TypeError
        If `pred` or `responses` are not tensors of real numbers.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import score_intervals
    >>> generator = torch.Generator().manual_seed(0)
    >>> pred = torch.rand(12, 3, 1, 100, generator=generator)
    >>> result = score_intervals(pred, pred + 0.3 * torch.randn(12, 3, 4, 100, generator=generator))
    >>> result.population.low < result.population.estimate < result.population.high
    True
    """
    check_choice("metric", metric, _MEASURES)
    confidence_level, n_resamples, random = _options(method, confidence_level, n_resamples, seed)
    found = resample_stimuli(_MEASURES[metric](), pred, responses, n_resamples, random)
    scores = found.scores
    low, high = np.full(len(scores), math.nan), np.full(len(scores), math.nan)
    for n in np.flatnonzero(~np.isnan(scores) & (found.heard.sum(0) > 1)):
        own = found.resamples[~np.isnan(found.resamples[:, n]), n]
        if len(own):
            without = found.without[found.heard[:, n], n] if method == "BCa" else None
            low[n], high[n] = _ends(own, scores[n], confidence_level, without)
    return ScoreIntervals(scores, low, high, _population(scores, found.resamples, confidence_level, random))


class Resamples(NamedTuple):
    """A measure with stimuli drawn anew: of all stimuli, of each draw, without each stimulus; and who heard what."""

    scores: np.ndarray  # (N,)
    resamples: np.ndarray  # (n_resamples, N), no rows for a single stimulus
    without: np.ndarray  # (B, N)
    heard: np.ndarray  # (B, N), bool


def resample_stimuli(
    measure: Measure, pred: Pred | None, responses: Responses, n_resamples: int, random: np.random.Generator
) -> Resamples:
    """Compute a measure from stimuli drawn with replacement; the data are gone through once.

    Examples
    --------
    >>> import torch
    >>> data = torch.rand(5, 2, 3, 40)
    >>> resample_stimuli(CORRCOEF, data[:, :, :1], data, 10, generator_of(0)).resamples.shape
    (10, 2)
    """
    measure.check(pred, responses, None, "responses")
    if len(responses) == 0:
        raise ValueError("there are no stimuli in responses (B, N, R, T): B must be at least 1")
    n_stimuli, n_neurons = responses.shape[:2]
    of_stimuli = [
        collect(measure.parts, responses[b : b + 1], None if pred is None else pred[b : b + 1])
        for b in range(n_stimuli)
    ]
    stacked = _stacked(of_stimuli)

    def scores_of(drawn: np.ndarray) -> np.ndarray:
        picked = torch.as_tensor(drawn, device=responses.device)
        return (
            measure.compute(*[type(part)(*(field[picked] for field in part)).pool() for part in stacked]).cpu().numpy()
        )

    every = np.arange(n_stimuli)
    draws = random.integers(n_stimuli, size=(n_resamples if n_stimuli > 1 else 0, n_stimuli))
    return Resamples(
        scores_of(every),
        np.array([scores_of(drawn) for drawn in draws]).reshape(len(draws), n_neurons),
        np.array([scores_of(np.delete(every, one)) for one in every if n_stimuli > 1]).reshape(-1, n_neurons),
        (~responses.isnan()).flatten(2).any(2).cpu().numpy(),
    )


def _population(scores: np.ndarray, resamples: np.ndarray, level: float, random: np.random.Generator) -> Interval:
    """Interval of the mean over neurons, where each resample of the stimuli has one of the neurons, too."""
    defined = np.flatnonzero(~np.isnan(scores))
    if not len(defined):
        return Interval(math.nan, math.nan, math.nan, level, 0)
    low = high = math.nan
    if len(defined) > 1 and len(resamples):
        picked = defined[random.integers(len(defined), size=(len(resamples), len(defined)))]
        drawn = np.take_along_axis(resamples, picked, axis=1)
        counts = (~np.isnan(drawn)).sum(1)
        means = np.nansum(drawn, axis=1)[counts > 0] / counts[counts > 0]
        low, high = (float(end) for end in _ends(means, float("nan"), level, None)) if len(means) else (low, high)
    return Interval(float(scores[defined].mean()), low, high, level, len(defined))


def _stacked(of_stimuli: list[tuple[Any, ...]]) -> list[Any]:
    """The statistics of single stimuli, with an axis of stimuli in front."""
    return [
        type(own[0])(*(torch.stack(fields) for fields in zip(*own, strict=True)))
        for own in zip(*of_stimuli, strict=True)
    ]


def _resampled(
    values: np.ndarray, members: list[np.ndarray], n_resamples: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Resamples ``(some, n)`` of values; where there are groups, those are drawn first."""
    n = len(values)
    at_once = max(1, _AT_ONCE // n)
    sizes = np.array([len(some) for some in members])
    flat, starts = np.concatenate(members), np.concatenate([[0], np.cumsum(sizes)[:-1]])
    for first in range(0, n_resamples, at_once):
        rows = min(at_once, n_resamples - first)
        if len(members) == n:
            yield values[random.integers(n, size=(rows, n))]
            continue
        for _ in range(rows):
            groups = random.integers(len(members), size=len(members))
            lengths = sizes[groups]
            within = np.floor(random.random(lengths.sum()) * np.repeat(lengths, lengths)).astype(int)
            yield values[flat[np.repeat(starts[groups], lengths) + within]][None]


def _ends(
    resamples: np.ndarray, estimate: float, level: float, without: np.ndarray | None
) -> tuple[np.floating[Any], np.floating[Any]]:
    """Quantiles of the resamples; with the leave-one-out estimates, those of the BCa interval."""
    from scipy.special import ndtr, ndtri

    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if without is not None:
        without = without[~np.isnan(without)]
        share = ((resamples < estimate).mean() + (resamples <= estimate).mean()) / 2
        deviations = without.mean() - without if len(without) else without
        spread = (deviations**2).sum()
        # Without spread, or with all resamples on one side, there is nothing to correct by.
        if 0 < share < 1 and spread > 0:
            bias, acceleration = ndtri(share), (deviations**3).sum() / (6 * spread**1.5)
            moved = bias + ndtri(tails)
            tails = ndtr(bias + moved / (1 - acceleration * moved))
    low, high = np.quantile(resamples, tails)
    return low, high


def _options(method: str, level: float, n_resamples: int, seed: int) -> tuple[float, int, np.random.Generator]:
    check_choice("method", method, METHODS)
    return check_level(level), check_integer("n_resamples", n_resamples), generator_of(seed)


def check_level(level: Any) -> float:
    """Return a confidence level as a float between 0 and 1.

    Examples
    --------
    >>> check_level(0.9)
    0.9
    """
    if not 0 < float(check_number("confidence_level", level)) < 1:
        raise ValueError(f"confidence_level must be between 0 and 1, as 0.95, got {level}")
    return float(level)


def generator_of(seed: Any) -> np.random.Generator:
    """Random numbers of a seed.

    Examples
    --------
    >>> int(generator_of(0).integers(100)) == int(generator_of(0).integers(100))
    True
    """
    return np.random.default_rng(check_integer("seed", seed, least=0))


def as_numbers(name: str, values: Any, *axes: int) -> np.ndarray:
    """Return an array, tensor or list as float64; it has one of some numbers of axes, and NaN but no infinite values.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers; if the shape is another, or there are infinite values.

    Examples
    --------
    >>> as_numbers("values", [1, 2], 1)
    array([1., 2.])
    """
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, got lists of different lengths") from error
    if array.dtype.kind not in "fiu":
        got = describe_type(values) if array.ndim == 0 else f"values of type {array.dtype}"
        raise TypeError(f"{name} must hold real numbers, got {got}")
    if array.ndim not in axes:
        expected = " or ".join(map(str, axes))
        raise ValueError(f"{name} must have {expected} axes, got the shape {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"{name} must be finite or NaN, got infinite values")
    return array.astype(np.float64)


def as_groups(groups: Any, defined: np.ndarray) -> list[np.ndarray]:
    """For each group, the indices of its neurons among the defined ones; without groups, each neuron is one.

    Raises ValueError if there is not one label per neuron.

    Examples
    --------
    >>> as_groups(["a", "b", "a"], np.array([True, True, True]))
    [array([0, 2]), array([1])]
    """
    if groups is None:
        return list(np.arange(int(defined.sum()))[:, None])
    labels = np.asarray(groups.detach().cpu() if isinstance(groups, Tensor) else groups)
    if labels.shape != defined.shape:
        raise ValueError(f"groups must have one label for each of {len(defined)} neurons, got the shape {labels.shape}")
    kept = labels[defined]
    return [np.flatnonzero(kept == label) for label in np.unique(kept)]
