"""Banded ridge regression: one penalty for each group of features, so that a large group does not drown a small one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from deepSTRF.models.regression.moments import Decomposition, Moments, Segment, Trial, group_neurons
from deepSTRF.models.regression.ridge import _GRID, _held_out_pairs, _varies, cut
from deepSTRF.models.regression.trials import means

__all__ = ["BandedFit", "predict_trial", "solve_banded_ridge"]

_LOG_RATIOS = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)  # of the weights of two groups, in decades
_RANDOM = 24  # sets of weights of three and more groups, beside the even one


class BandedFit(NamedTuple):
    """Kernels (lag first, then feature) on deviations from `stim_mean`, offsets, and one penalty per group."""

    kernels: Float[Tensor, "d N"]
    offsets: Float[Tensor, " N"]
    stim_mean: Float[Tensor, " F"]
    penalties: Float[Tensor, "G N"]


class _Weighted(Moments):
    """Moments of the same features, multiplied by weights: a small weight is a large penalty."""

    def __init__(self, moments: Moments, sums: tuple[Tensor, Tensor], weights: Float[Tensor, " F"]) -> None:
        self.n_lags, self.n_features = moments.n_lags, moments.n_features
        self.stim_mean, self.psth_mean = moments.stim_mean * weights, moments.psth_mean
        self.y, self.yy, self.count = moments.y, moments.yy, moments.count
        self.weights = weights.repeat(moments.n_lags)
        self.xy = moments.xy * self.weights[:, None]
        self._sums = sums  # features_of() of the group of neurons at hand

    def features_of(self, neuron: int, others: Sequence[Any] = ()) -> tuple[Float[Tensor, "d d"], Float[Tensor, " d"]]:
        gram, total = (
            sum(sums[1:], sums[0]) for sums in zip(self._sums, *(each._sums for each in others), strict=True)
        )
        return gram * self.weights * self.weights[:, None], total * self.weights


def solve_banded_ridge(trials: list[Trial], of_group: Int[Tensor, " F"], n_lags: int, folds: int) -> BandedFit:
    """For every neuron, choose the weights of the groups and a penalty by held-out error, and fit all trials.

    Parameters
    ----------
    trials : list of Trial
        Training data; their stimuli hold the features of all groups.
    of_group : Tensor of int, (F,)
        Group of each feature, from 0.
    n_lags : int
        Length of the window in bins.
    folds : int
        Number of parts of the trials that are held out in turn.

    Returns
    -------
    BandedFit
        A neuron whose response does not vary has zero kernels, and NaN for penalties, and so does one with data in a
        single part, for which nothing can be held out.
    """
    stim_mean, psth_mean = means(trials)
    segments, gaps = cut(trials, folds, n_lags)
    parts = [Moments(n_lags, stim_mean, psth_mean, of_fold) for of_fold in segments]
    everything = [*parts, Moments(n_lags, stim_mean, psth_mean, gaps)] if gaps else parts
    n_neurons, n_groups = len(psth_mean), int(of_group.max()) + 1
    fit = BandedFit(
        torch.zeros(n_lags * len(stim_mean), n_neurons, dtype=torch.float64),
        psth_mean.clone(),
        stim_mean,
        torch.full((n_groups, n_neurons), torch.nan, dtype=torch.float64),
    )
    scale = _group_scales(trials, stim_mean, of_group, n_groups)
    least = torch.full((n_neurons,), torch.inf, dtype=torch.float64)
    varies = _varies(everything)
    for neurons in (group[varies[group]] for group in group_neurons(trials)):
        if len(neurons) == 0:
            continue
        sums = {part: part.features_of(int(neurons[0])) for part in everything}
        for shares in _candidates(n_groups):
            weights = (scale * shares.sqrt())[of_group]
            weighted = {part: _Weighted(part, sums[part], weights) for part in everything}
            _improve(fit, least, neurons, everything, parts, weighted, scale**2 * shares)
    return fit


def _improve(
    fit: BandedFit,
    least: Float[Tensor, " N"],
    neurons: Int[Tensor, " n"],
    everything: Sequence[Moments],
    parts: list[Moments],
    weighted: dict[Moments, _Weighted],
    variances: Float[Tensor, " G"],
) -> None:
    """Write the fit with these weights for those of some neurons whose held-out error is less than before."""
    whole = Decomposition([weighted[part] for part in everything], neurons)
    total = torch.zeros(len(_GRID), len(neurons), dtype=torch.float64)
    held_out = False
    for others, part in _held_out_pairs(parts, neurons):
        held_out = True
        total += Decomposition([weighted[o] for o in others], neurons, whole.unit).errors(_GRID, weighted[part])
    if not held_out:
        return
    errors, best = total.min(0)
    better = errors < least[neurons]
    if not bool(better.any()):
        return
    alphas, chosen = _GRID[best], neurons[better]
    weights = weighted[parts[0]].weights
    kernels = whole.solve(alphas)[:, better] * weights[:, None]
    count = everything[0].count[neurons[0]] + sum(part.count[neurons[0]] for part in everything[1:])
    least[chosen] = errors[better]
    fit.kernels[:, chosen] = kernels
    centre = whole.mean_features / weights
    fit.offsets[chosen] = parts[0].psth_mean[chosen] + whole.mean_response[better] - centre @ kernels
    fit.penalties[:, chosen] = alphas[better] * whole.unit / count / variances[:, None]


def predict_trial(fit: BandedFit, stim: Float[Tensor, "F T"], n_lags: int) -> Float[Tensor, "N T"]:
    """Predicted responses; before the onset, the stimulus is taken to be the mean one."""
    seen = functional.pad(stim.to(torch.float64) - fit.stim_mean[:, None], (n_lags - 1, 0))
    kernels = fit.kernels.view(n_lags, len(fit.stim_mean), -1).permute(2, 1, 0).flip(2)
    predicted: Tensor = functional.conv1d(seen[None], kernels)[0] + fit.offsets[:, None]
    return predicted


def _group_scales(
    trials: list[Trial], stim_mean: Float[Tensor, " F"], of_group: Int[Tensor, " F"], n_groups: int
) -> Float[Tensor, " G"]:
    """What makes the total variance of each group 1, whatever its unit and number of features."""
    variance = torch.zeros(n_groups, dtype=torch.float64)
    n_bins = sum(trial.stim.shape[1] for trial in trials)
    for segment in (Segment(trial, 0, trial.stim.shape[1]) for trial in trials):
        deviations = segment.trial.stim.to(torch.float64) - stim_mean[:, None]
        variance.index_add_(0, of_group, deviations.square().sum(1) / n_bins)
    return torch.where(variance > 0, variance, 1.0).rsqrt()


def _candidates(n_groups: int) -> Float[Tensor, "C G"]:
    """Shares of the groups in the prior variance of the response, the even one first, the same in each call."""
    even = torch.full((1, n_groups), 1 / n_groups, dtype=torch.float64)
    if n_groups == 1:
        return even
    if n_groups == 2:
        first = torch.sigmoid(np.log(10) * torch.tensor(_LOG_RATIOS, dtype=torch.float64))
        return torch.stack([first, 1 - first], dim=1)
    random = np.random.default_rng(0)
    # Half of the draws leave some groups nearly out, half mix all.
    drawn = [random.dirichlet(np.full(n_groups, spread), size=_RANDOM // 2) for spread in (0.3, 1.0)]
    return torch.cat([even, torch.from_numpy(np.concatenate(drawn)).clamp(min=1e-4)])
