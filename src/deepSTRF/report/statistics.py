"""Intervals of means over neurons, and two runs compared neuron by neuron."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["compare_pair", "mean_with_interval"]

RESAMPLES = 2000
PERMUTATIONS = 10_000
SEED = 0  # the same numbers each time that a report is made
_BLOCK = 200  # resamples at a time: 2000 neurons are 3 MB then


def mean_with_interval(values: np.ndarray) -> dict[str, Any]:
    """Mean of the defined values and its 95 % interval, by the percentile bootstrap over neurons.

    Returns
    -------
    dict
        ``mean``, ``low``, ``high``, ``median`` and ``n``, the number of defined values. Undefined ones are NaN: all
        for no values, the interval for fewer than two.

    Examples
    --------
    >>> import numpy as np
    >>> result = mean_with_interval(np.array([0.2, 0.4, 0.6, np.nan]))
    >>> round(result["mean"], 3), result["n"], bool(0.2 <= result["low"] < 0.4 < result["high"] <= 0.6)
    (0.4, 3, True)
    """
    kept = np.asarray(values, dtype=float)
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return {"mean": math.nan, "low": math.nan, "high": math.nan, "median": math.nan, "n": 0}
    low, high = math.nan, math.nan
    if len(kept) > 1:
        random = np.random.default_rng(SEED)
        means = [kept[random.integers(len(kept), size=(_BLOCK, len(kept)))].mean(1) for _ in range(RESAMPLES // _BLOCK)]
        low, high = np.quantile(np.concatenate(means), [0.025, 0.975]).tolist()
    return {
        "mean": float(kept.mean()),
        "low": low,
        "high": high,
        "median": float(np.median(kept)),
        "n": len(kept),
    }


def compare_pair(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Difference ``first - second`` over the neurons that both define.

    Returns
    -------
    dict
        As :func:`mean_with_interval` for the differences; ``first_better`` and ``second_better``, numbers of neurons;
        and ``p``, two-sided, by changing the sign of each neuron's difference at random (NaN for fewer than two).

    Examples
    --------
    >>> import numpy as np
    >>> result = compare_pair(np.arange(12) / 20 + 0.1, np.arange(12) / 20)
    >>> round(result["mean"], 3), result["first_better"], result["p"] < 0.01
    (0.1, 12, True)
    """
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    kept = differences[np.isfinite(differences)]
    p = math.nan
    if len(kept) > 1:
        random = np.random.default_rng(SEED)
        observed, extreme = abs(kept.mean()), 0
        for _ in range(PERMUTATIONS // _BLOCK):
            signs = random.integers(2, size=(_BLOCK, len(kept))) * 2 - 1
            extreme += int((np.abs(signs @ kept) / len(kept) >= observed - 1e-12).sum())
        p = (extreme + 1) / (PERMUTATIONS + 1)
    return {
        **mean_with_interval(kept),
        "first_better": int((kept > 0).sum()),
        "second_better": int((kept < 0).sum()),
        "p": p,
    }
