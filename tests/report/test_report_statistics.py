"""Intervals cover the mean as often as they say, and p is small as often as it should be, on simulations."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from deepSTRF.report.statistics import compare_pair, mean_with_interval


def test_mean_of_defined_values():
    result = mean_with_interval(np.array([0.1, np.nan, 0.5]))
    assert (result["mean"], result["median"], result["n"]) == (pytest.approx(0.3), pytest.approx(0.3), 2)
    for values, n in (([], 0), ([math.nan], 0), ([0.4], 1)):
        result = mean_with_interval(np.array(values))
        assert result["n"] == n
        assert math.isnan(result["low"])
        assert math.isnan(result["high"])


def test_intervals_cover_the_mean():
    random = np.random.default_rng(1)
    results = [mean_with_interval(random.beta(4, 2, size=40)) for _ in range(200)]
    covered = np.mean([result["low"] <= 4 / 6 <= result["high"] for result in results])
    assert 0.89 < covered < 0.99


def test_false_alarms_are_as_rare_as_they_should_be():
    random = np.random.default_rng(2)
    p = [compare_pair(*random.normal(size=(2, 30)))["p"] for _ in range(60)]
    assert np.mean(np.array(p) < 0.05) < 0.15
    assert abs(np.median(p) - 0.5) < 0.2


def test_p_is_close_to_that_of_a_t_test():
    random = np.random.default_rng(3)
    first = random.normal(0.15, 0.4, size=60)
    second = random.normal(size=60) * 0.1
    assert compare_pair(first, second)["p"] == pytest.approx(ttest_rel(first, second).pvalue, abs=0.01)


def test_pairs_count_the_neurons_that_both_define():
    result = compare_pair(np.array([0.5, 0.5, np.nan, 0.2]), np.array([0.4, 0.6, 0.1, np.nan]))
    assert (result["n"], result["first_better"], result["second_better"]) == (2, 1, 1)
    assert math.isnan(compare_pair(np.array([0.5]), np.array([0.1]))["p"])
