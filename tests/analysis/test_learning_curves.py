"""Scores and noise ceilings extrapolated, against SciPy and against more data."""

import numpy as np
import pytest
import scipy.stats
import torch

from deepSTRF.analysis import extrapolate_scores, extrapolated_noise_ceiling, learning_curve
from deepSTRF.metrics import corrcoef

NAN = np.nan


def test_extrapolation_is_the_line_of_scipy():
    random = np.random.default_rng(0)
    amounts = np.array([5, 5, 10, 20, 40, 40.0])
    scores = 0.7 - 1.5 / amounts[:, None] + 0.02 * random.normal(size=(6, 4))
    scores[2, 1] = NAN
    scores[2:, 2] = NAN  # one amount only
    scores[:, 3] = NAN
    curve = extrapolate_scores(amounts, scores, confidence_level=0.9)
    for n in (0, 1):
        there = ~np.isnan(scores[:, n])
        line = scipy.stats.linregress(1 / amounts[there], scores[there, n])
        half = scipy.stats.t.ppf(0.95, there.sum() - 2) * line.intercept_stderr
        assert curve.limit[n] == pytest.approx(line.intercept)
        assert curve.slope[n] == pytest.approx(line.slope)
        assert [curve.low[n], curve.high[n]] == pytest.approx([line.intercept - half, line.intercept + half])
        assert curve.at(30)[n] == pytest.approx(line.intercept + line.slope / 30)
    assert np.isnan([curve.limit[2:], curve.low[2:], curve.slope[2:]]).all()
    two = extrapolate_scores([1, 2], [[0.0], [0.5]])
    assert two.limit == pytest.approx([1.0])
    assert np.isnan(two.low).all()


def test_limit_of_a_regression_is_its_score_with_all_the_data_in_the_world():
    random = np.random.default_rng(1)
    weights = random.normal(size=(20, 3))
    x, test_x = random.normal(size=(2, 16 * 40, 20))
    y, test_y = (part @ weights + 4 * random.normal(size=(len(part), 3)) for part in (x, test_x))
    asked = []

    def fve(estimated):
        return 1 - ((test_y - test_x @ estimated) ** 2).mean(0) / test_y.var(0)

    def score(indices):
        asked.append(indices)
        bins = np.concatenate([np.arange(40 * s, 40 * s + 40) for s in indices])
        return fve(np.linalg.lstsq(x[bins], y[bins], rcond=None)[0])

    curve = learning_curve(score, 16, n_draws=4)
    assert sorted(map(len, asked)) == [4] * 4 + [8] * 4 + [12] * 4 + [16]
    assert all(set(asked[draw]) < set(asked[draw + 4]) for draw in range(4))
    best = fve(weights)
    assert curve.limit == pytest.approx(best, abs=0.02)
    assert np.abs(curve.limit - best).mean() < np.abs(curve.scores[-1] - best).mean() / 2


def test_ceiling_with_more_repeats_is_that_of_more_repeats():
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(20, 3, 1, 200, generator=generator) * torch.tensor([0.3, 1.0, 0.0])[:, None, None]
    responses = signal + torch.randn(20, 3, 40, 200, generator=generator)
    responses[:, 2] = torch.nan
    responses[:, 2, 0] = 1.0  # never repeated
    curve = extrapolated_noise_ceiling(responses[:, :, :4], [1, 4, 40], n_resamples=199)
    for row, n in enumerate(curve.n_repeats):
        reached = corrcoef(signal, responses[:, :, :n], reduction="none").numpy()
        assert curve.ceilings[row, :2] == pytest.approx(reached[:2], abs=0.05)
    assert (curve.low <= curve.ceilings)[:, :2].all()
    assert (curve.ceilings <= curve.high)[:, :2].all()
    assert np.isnan(curve.ceilings[:, 2]).all()
    noiseless = extrapolated_noise_ceiling(signal.expand(-1, -1, 3, -1), 5, n_resamples=9)
    assert noiseless.ceilings[0, :2] == pytest.approx(1.0)
    assert noiseless.low[0, :2] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda: extrapolate_scores([1, 0], [[1.0], [2.0]]), ValueError, "amounts must be positive"),
        (lambda: extrapolate_scores([1, NAN], [[1.0], [2.0]]), ValueError, "amounts must be positive"),
        (lambda: extrapolate_scores([1, 2], [[1.0]]), ValueError, "one row for each of 2 amounts"),
        (lambda: learning_curve(3, 4), TypeError, "score must be a function"),
        (lambda: learning_curve(len, 4), ValueError, "the scores that score returns must have 1 axes"),
        (lambda: learning_curve(len, 4, fractions=[0.5, 2]), ValueError, "fractions must be above 0 and at most 1"),
        (lambda: learning_curve(len, 0), ValueError, "n_stimuli must be a positive integer"),
        (lambda: extrapolated_noise_ceiling(torch.rand(2, 3, 4, 5), 0), ValueError, "n_repeats must be a positive"),
        (lambda: extrapolated_noise_ceiling(torch.rand(3, 4, 5), 1), ValueError, "responses must have the shape"),
    ],
)
def test_wrong_arguments(action, error, words):
    with pytest.raises(error, match=words):
        action()
