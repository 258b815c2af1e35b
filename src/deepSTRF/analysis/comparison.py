"""Two models compared over neurons, and neuron by neuron over stimuli, by sign-flip permutation.

References
----------
- Nichols, T. E. & Holmes, A. P. (2002). Nonparametric permutation tests for functional neuroimaging: a primer with
  examples. Human Brain Mapping 15, 1–25. doi:10.1002/hbm.1058
- Phipson, B. & Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in
  Genetics and Molecular Biology 9, 39. doi:10.2202/1544-6115.1585
- Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6,
  65–70.
- Benjamini, Y. & Hochberg, Y. (1995). Controlling the false discovery rate. Journal of the Royal Statistical
  Society B 57, 289–300. doi:10.1111/j.2517-6161.1995.tb02031.x
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepSTRF.analysis.bootstrap import Interval, as_groups, as_numbers, bootstrap_interval, generator_of
from deepSTRF.checks import check_choice, check_integer

__all__ = ["NeuronComparison", "PairedComparison", "adjust_p_values", "compare_per_neuron", "paired_comparison"]

CORRECTIONS = ("holm", "bh", "none")
_AT_ONCE = 4_000_000  # signs at a time


@dataclass(frozen=True)
class PairedComparison:
    """Scores of two models over neurons, see :func:`paired_comparison`.

    Attributes
    ----------
    differences : ndarray, (N,)
        First minus second; NaN where one of them is undefined.
    effect : Interval
        Mean (or median) difference with its confidence interval.
    cohens_d : float
        Mean difference over the standard deviation of the differences.
    p_value : float
        Two-sided; NaN for fewer than two neurons (or groups of them).
    n_first_better, n_second_better : int
        Neurons with a positive and a negative difference.
    """

    differences: np.ndarray
    effect: Interval
    cohens_d: float
    p_value: float
    n_first_better: int
    n_second_better: int


@dataclass(frozen=True)
class NeuronComparison:
    """Scores of two models per neuron, see :func:`compare_per_neuron`; each ``(N,)``, NaN where undefined.

    Attributes
    ----------
    differences, low, high : ndarray
        Mean difference over stimuli, and its confidence interval.
    p_values, adjusted_p_values : ndarray
        Two-sided; as they are, and corrected for the number of neurons.
    """

    differences: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray
    adjusted_p_values: np.ndarray


def paired_comparison(
    first: Any,
    second: Any,
    *,
    statistic: str = "mean",
    groups: Any = None,
    n_permutations: int = 9999,
    seed: int = 0,
    **interval: Any,
) -> PairedComparison:
    """Compare the scores of two models over the same neurons.

    The p-value is that of a sign-flip test (Nichols & Holmes, 2002): if neither model is better, each neuron's
    difference might as well have had the other sign. With up to ``log2(n_permutations)`` neurons or groups all signs
    are tried, otherwise random ones, counted with the observed one (Phipson & Smyth, 2010). It is
    the mean that is tested, whatever `statistic` is.

    Parameters
    ----------
    first, second : array-like, (N,)
        Scores, one per neuron, NaN where undefined; in the same order.
    statistic : {'mean', 'median'}
        What the effect is.
    groups : sequence, (N,), optional
        Animal or session of each neuron, where neurons of one group are not independent. Groups are resampled, and
        the signs of a whole group are flipped; six groups are needed to get below p = 0.05.
    n_permutations : int
        Number of random sign changes.
    seed, **interval
        As in :func:`~deepSTRF.analysis.bootstrap_interval`: `method`, `confidence_level` and `n_resamples`.

    Returns
    -------
    PairedComparison

    Raises
    ------
    TypeError
        If the scores are not real numbers.
    ValueError
        If they have not the same one-dimensional shape, or an option is out of range.

    Examples
    --------
    >>> result = paired_comparison([0.5, 0.6, 0.7, 0.4, 0.5, 0.8], [0.4, 0.5, 0.5, 0.3, 0.3, 0.6])
    >>> round(result.effect.estimate, 3), result.p_value, result.n_first_better
    (0.15, 0.03125, 6)
    """
    differences = as_pair(first, second, 1)
    effect = bootstrap_interval(differences, statistic=statistic, groups=groups, seed=seed, **interval)
    defined = ~np.isnan(differences)
    kept = differences[defined]
    sums = np.array([kept[some].sum() for some in as_groups(groups, defined)])
    spread = kept.std(ddof=1) if len(kept) > 1 else 0.0
    return PairedComparison(
        differences=differences,
        effect=effect,
        cohens_d=float(kept.mean() / spread) if spread > 0 else math.nan,
        p_value=sign_flip_p(sums, check_integer("n_permutations", n_permutations), generator_of(seed)),
        n_first_better=int((kept > 0).sum()),
        n_second_better=int((kept < 0).sum()),
    )


def compare_per_neuron(
    first: Any,
    second: Any,
    *,
    correction: str = "holm",
    n_permutations: int = 9999,
    seed: int = 0,
    **interval: Any,
) -> NeuronComparison:
    """For every neuron, compare two models over stimuli.

    Parameters
    ----------
    first, second : array-like, (S, N)
        Scores per test stimulus (or block of time that is long beside the neuron's memory) and neuron, NaN where
        undefined, as from :func:`~deepSTRF.metrics.corrcoef` on one stimulus at a time. At least six stimuli are needed
        for p < 0.05 in one neuron, and more to stay there after the correction.
    correction : {'holm', 'bh', 'none'}
        For the number of neurons, see :func:`adjust_p_values`.
    n_permutations, seed, **interval
        As in :func:`paired_comparison`.

    Returns
    -------
    NeuronComparison
        Intervals and p-values of neurons with fewer than two stimuli are NaN.

    Raises
    ------
    TypeError, ValueError
        As :func:`paired_comparison`.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(12, 2))
    >>> result = compare_per_neuron(noise + [0.0, 5.0], np.zeros((12, 2)))
    >>> result.adjusted_p_values < 0.05
    array([False,  True])
    """
    differences = as_pair(first, second, 2)
    check_choice("correction", correction, CORRECTIONS)
    n_permutations = check_integer("n_permutations", n_permutations)
    random = generator_of(seed)
    effects = [bootstrap_interval(column, seed=seed, **interval) for column in differences.T]
    p_values = np.array([sign_flip_p(own[~np.isnan(own)], n_permutations, random) for own in differences.T])
    return NeuronComparison(
        differences=np.array([effect.estimate for effect in effects]),
        low=np.array([effect.low for effect in effects]),
        high=np.array([effect.high for effect in effects]),
        p_values=p_values,
        adjusted_p_values=adjust_p_values(p_values, correction),
    )


def adjust_p_values(p_values: Any, correction: str = "holm") -> np.ndarray:
    """Correct p-values for their number.

    Parameters
    ----------
    p_values : array-like, (N,)
        NaN where there was no test; those do not count.
    correction : {'holm', 'bh', 'none'}
        Holm's (1979) controls the chance of a single false positive, Benjamini and Hochberg's (1995) the expected
        share of false ones among the positives (for independent or positively dependent tests).

    Returns
    -------
    ndarray, (N,)
        To be compared with the level, as 0.05.

    Raises
    ------
    TypeError, ValueError
        If they are not real numbers; if they are not between 0 and 1, or the correction is unknown.

    Examples
    --------
    >>> adjust_p_values([0.01, 0.04, float("nan"), 0.03])
    array([0.03, 0.06,  nan, 0.06])
    """
    check_choice("correction", correction, CORRECTIONS)
    adjusted = as_numbers("p_values", p_values, 1)
    defined = np.flatnonzero(~np.isnan(adjusted))
    if ((adjusted[defined] < 0) | (adjusted[defined] > 1)).any():
        raise ValueError("p_values must be between 0 and 1")
    order = defined[np.argsort(adjusted[defined])]
    n = len(order)
    if correction == "holm":
        adjusted[order] = np.maximum.accumulate(adjusted[order] * np.arange(n, 0, -1))
    elif correction == "bh":
        adjusted[order] = np.minimum.accumulate((adjusted[order] * n / np.arange(1, n + 1))[::-1])[::-1]
    return np.where(adjusted > 1, 1.0, adjusted)


def as_pair(first: Any, second: Any, axes: int) -> np.ndarray:
    """Difference of two arrays of scores of the same shape.

    Examples
    --------
    >>> as_pair([2, 3], [1, 1], 1)
    array([1., 2.])
    """
    one, other = as_numbers("first", first, axes), as_numbers("second", second, axes)
    if one.shape != other.shape:
        raise ValueError(f"first and second must have the same shape, got {one.shape} and {other.shape}")
    return one - other


def sign_flip_p(values: np.ndarray, n_permutations: int, random: np.random.Generator) -> float:
    """Two-sided p-value of the sum of some values, under all or some changes of their signs; NaN for fewer than two.

    Examples
    --------
    >>> sign_flip_p(np.array([1.0, 2.0, 3.0]), 999, np.random.default_rng(0))
    0.25
    """
    n = len(values)
    if n < 2:
        return math.nan
    # Sums that differ by rounding only are equal.
    observed = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    exact = n < 40 and 2**n <= n_permutations + 1
    total = 2**n if exact else n_permutations
    extreme = sum(int((np.abs(signs @ values) >= observed).sum()) for signs in _signs(n, total, exact, random))
    return extreme / total if exact else (extreme + 1) / (total + 1)


def _signs(n: int, total: int, exact: bool, random: np.random.Generator) -> Iterator[np.ndarray]:
    at_once = max(1, _AT_ONCE // n)
    for first in range(0, total, at_once):
        rows = min(at_once, total - first)
        bits = (
            np.arange(first, first + rows)[:, None] >> np.arange(n) & 1 if exact else random.integers(2, size=(rows, n))
        )
        yield bits * 2.0 - 1.0
