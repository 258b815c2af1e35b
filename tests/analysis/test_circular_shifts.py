"""Significance against circularly shifted responses, against rolling by hand."""

import numpy as np
import pytest
import scipy.stats
import torch

from deepSTRF.analysis import adjust_p_values, shift_test


def recording(n_neurons=3, n_bins=80, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randn(3, n_neurons, 1, n_bins, generator=generator, dtype=torch.float64)
    responses = 0.15 * pred + torch.randn(3, n_neurons, 4, n_bins, generator=generator, dtype=torch.float64)
    return pred, responses


def test_shifts_are_those_of_numpy():
    pred, responses = recording()
    responses[1, :, :, 60:] = torch.nan  # a shorter stimulus
    responses[0, 1, :2, 5] = torch.nan  # repeats that miss a bin
    result = shift_test(pred, responses, min_shift=7)
    for n in range(3):
        psth = responses[:, n].nanmean(1).numpy().ravel()
        there = ~np.isnan(psth)
        x, y = pred[:, n, 0].numpy().ravel()[there], psth[there]
        rolled = [scipy.stats.pearsonr(x, np.roll(y, -s)).statistic for s in range(7, len(y) - 6)]
        score = scipy.stats.pearsonr(x, y).statistic
        assert result.scores[n] == pytest.approx(score)
        assert result.p_values[n] == (1 + np.sum(rolled >= score)) / (1 + len(rolled))
        assert (result.chance[n], result.chance_std[n]) == pytest.approx((np.mean(rolled), np.std(rolled)))
        assert result.n_shifts[n] == len(rolled)
    assert result.adjusted_p_values == pytest.approx(adjust_p_values(result.p_values))


def test_undefined_neurons_are_nan():
    pred, responses = recording(5)
    pred[:, 0] = 0.1
    responses[:, 1] = 3.0
    responses[:, 2] = torch.nan
    responses[:, 3] = torch.nan
    responses[0, 3, 0, :2] = torch.tensor([1.0, 2.0])  # two bins: a correlation, and one shift
    result = shift_test(pred, responses, correction="none")
    assert np.isnan(result.p_values[:3]).all()
    assert np.isnan(result.scores).tolist() == [True, True, True, False, False]
    assert result.n_shifts[2] == 0
    assert np.isnan(shift_test(pred, responses, min_shift=1000).p_values).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"min_shift": 0}, ValueError, "min_shift must be a positive integer"),
        ({"min_shift": 1.5}, TypeError, "min_shift must be an integer"),
        ({"correction": "fdr"}, ValueError, "correction must be one of"),
        ({"pred": torch.rand(1, 2, 3)}, ValueError, r"pred must have the shape \(B, N, 1, T\)"),
    ],
)
def test_wrong_arguments(change, error, words):
    pred, responses = recording()
    with pytest.raises(error, match=words):
        shift_test(change.pop("pred", pred), responses, **change)
