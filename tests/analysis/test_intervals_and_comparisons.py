"""Bootstrap intervals and paired comparisons, against SciPy and against counting by hand."""

import itertools

import numpy as np
import pytest
import scipy.stats
import torch

from deepSTRF.analysis import (
    adjust_p_values,
    bootstrap_interval,
    compare_per_neuron,
    paired_comparison,
    score_intervals,
)
from deepSTRF.metrics import corrcoef, fve, normalized_corrcoef

NAN = np.nan
SKEWED = np.random.default_rng(3).exponential(size=30)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_interval_is_that_of_scipy(method, statistic):
    ours = bootstrap_interval(np.append(SKEWED, NAN), statistic=statistic, method=method, n_resamples=40_000)
    theirs = scipy.stats.bootstrap(
        (SKEWED,), getattr(np, statistic), method=method, n_resamples=40_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.estimate == pytest.approx(getattr(np, statistic)(SKEWED))
    assert ours.n == 30
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.03)


def test_groups_widen_the_interval_to_their_own_spread():
    random = np.random.default_rng(0)
    of_group = random.normal(size=20)
    groups = np.repeat(np.arange(20), 10)
    values = of_group[groups] + 0.1 * random.normal(size=200)
    single, grouped = bootstrap_interval(values), bootstrap_interval(values, groups=groups, n_resamples=1999)
    expected = 2 * 1.96 * values.reshape(20, 10).mean(1).std(ddof=1) / 20**0.5
    assert grouped.high - grouped.low == pytest.approx(expected, rel=0.15)
    assert single.high - single.low < 0.5 * expected
    names = np.array([f"animal {g}" for g in groups])
    assert bootstrap_interval(torch.tensor(values), groups=names, n_resamples=1999).estimate == grouped.estimate


@pytest.mark.parametrize(("values", "estimate"), [([], NAN), ([NAN, NAN], NAN), ([NAN, 2.0], 2.0)])
def test_too_few_values_have_no_interval(values, estimate):
    result = bootstrap_interval(np.array(values))
    assert result.estimate == pytest.approx(estimate, nan_ok=True)
    assert np.isnan([result.low, result.high]).all()
    assert np.isnan(paired_comparison(np.array(values), np.zeros(len(values))).p_value)


@pytest.mark.parametrize(
    ("metric", "function"), [("corrcoef", corrcoef), ("fve", fve), ("normalized_corrcoef", normalized_corrcoef)]
)
def test_score_intervals_resample_stimuli(metric, function):
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(10, 4, 1, 60, generator=generator)
    responses = pred + torch.rand(10, 1, 1, 1, generator=generator) * torch.randn(10, 4, 5, 60, generator=generator)
    responses[3, 1, 2] = torch.nan
    responses[1:, 2] = torch.nan  # one stimulus only
    responses[:, 3] = torch.nan
    result = score_intervals(pred, responses, metric, method="percentile", n_resamples=250, seed=1)
    assert result.scores == pytest.approx(function(pred, responses, reduction="none").numpy(), nan_ok=True, abs=1e-5)
    random = np.random.default_rng(5)
    draws = [random.integers(10, size=10) for _ in range(250)]
    by_hand = np.array([function(pred[d], responses[d], reduction="none").numpy() for d in draws])[:, :2]
    ends = np.quantile(by_hand, [0.025, 0.975], axis=0)
    width = np.diff(ends, axis=0)[0]
    assert (np.abs(result.low[:2] - ends[0]) < 0.3 * width).all()
    assert (np.abs(result.high[:2] - ends[1]) < 0.3 * width).all()
    assert np.isnan(result.low[2:]).all()
    assert np.isnan(result.high[2:]).all()
    assert result.population.n == np.isfinite(result.scores).sum()
    assert result.population.low < result.population.estimate < result.population.high


def test_exact_sign_flip_is_that_of_scipy_and_of_counting():
    differences = np.random.default_rng(2).normal(0.5, size=10)
    result = paired_comparison(differences, np.zeros(10))
    theirs = scipy.stats.permutation_test(
        (differences, np.zeros(10)), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True
    )
    assert result.p_value == pytest.approx(theirs.pvalue)
    every = np.array(list(itertools.product([-1, 1], repeat=10))) @ differences
    assert result.p_value == np.mean(np.abs(every) >= abs(differences.sum()) - 1e-9)
    assert result.cohens_d == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert (result.n_first_better, result.n_second_better) == ((differences > 0).sum(), (differences < 0).sum())


def test_random_sign_flips_approach_the_t_test():
    differences = np.random.default_rng(2).normal(0.25, size=80)
    expected = scipy.stats.ttest_1samp(differences, 0).pvalue
    assert paired_comparison(differences, np.zeros(80), n_permutations=20_000).p_value == pytest.approx(
        expected, abs=0.01
    )
    swapped = paired_comparison(np.zeros(80), differences, n_permutations=20_000)
    assert swapped.effect.estimate == pytest.approx(-differences.mean())


def test_groups_are_flipped_as_a_whole():
    groups = np.repeat(np.arange(6), 50)
    result = paired_comparison(np.ones(300), np.zeros(300), groups=groups, n_resamples=99)
    assert result.p_value == 2 / 2**6


@pytest.mark.parametrize("correction", ["holm", "bh"])
def test_corrections(correction):
    p = np.random.default_rng(0).uniform(size=40) ** 3
    with_nan = np.insert(p, 7, NAN)
    adjusted = adjust_p_values(with_nan, correction)
    assert np.isnan(adjusted[7])
    adjusted = np.delete(adjusted, 7)
    if correction == "bh":
        assert adjusted == pytest.approx(scipy.stats.false_discovery_control(p))
    else:
        rank = p.argsort().argsort()
        by_hand = [min(1, max(p[j] * (40 - rank[j]) for j in range(40) if rank[j] <= rank[i])) for i in range(40)]
        assert adjusted == pytest.approx(by_hand)


def test_compare_per_neuron():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 12, 5))
    first[:, 1] += 3
    first[1:, 4] = NAN
    result = compare_per_neuron(first, second, n_resamples=199)
    alone = [paired_comparison(first[:, n], second[:, n], n_resamples=199) for n in range(5)]
    assert result.p_values == pytest.approx([one.p_value for one in alone], nan_ok=True)
    assert result.low == pytest.approx([one.effect.low for one in alone], nan_ok=True)
    assert result.adjusted_p_values == pytest.approx(adjust_p_values(result.p_values), nan_ok=True)
    assert (result.adjusted_p_values < 0.05).tolist() == [False, True, False, False, False]
    assert np.isnan(result.p_values[4])
    assert not np.isnan(result.differences[4])


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda: bootstrap_interval("abc"), TypeError, "values must hold real numbers, got a str"),
        (lambda: bootstrap_interval([[1.0], [2.0, 3.0]]), ValueError, "different lengths"),
        (lambda: bootstrap_interval([[1.0]]), ValueError, "must have 1 axes"),
        (lambda: bootstrap_interval([1.0, np.inf]), ValueError, "finite or NaN"),
        (lambda: bootstrap_interval([1.0, 2.0], method="bca"), ValueError, "'BCa', 'percentile'"),
        (lambda: bootstrap_interval([1.0, 2.0], confidence_level=95), ValueError, "between 0 and 1"),
        (lambda: bootstrap_interval([1.0, 2.0], groups=["a"]), ValueError, "one label for each of 2 neurons"),
        (lambda: bootstrap_interval([1.0, 2.0], seed=-1), ValueError, "seed must be at least 0"),
        (lambda: paired_comparison([1.0], [1.0, 2.0]), ValueError, "the same shape"),
        (lambda: adjust_p_values([1.5]), ValueError, "between 0 and 1"),
        (lambda: adjust_p_values([0.5], "fdr"), ValueError, "'holm', 'bh', 'none'"),
        (lambda: score_intervals(torch.rand(2, 3, 1, 9), torch.rand(2, 3, 2, 8)), ValueError, "shape mismatch"),
        (lambda: score_intervals(None, torch.rand(2, 3, 2, 8)), TypeError, "pred must be a torch.Tensor"),
    ],
)
def test_wrong_arguments(action, error, words):
    with pytest.raises(error, match=words):
        action()
