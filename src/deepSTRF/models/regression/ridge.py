"""Ridge regression: each neuron has the penalty with the least held-out squared error."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deepSTRF.models.regression.basis import InBasis
from deepSTRF.models.regression.moments import Decomposition, Moments, Segment, Trial, group_neurons
from deepSTRF.models.regression.trials import means

__all__ = ["RidgeFit", "cut", "solve_ridge"]

_GRID = torch.logspace(-5, 4, 361, dtype=torch.float64)  # 40 per decade: more of them cost next to nothing

# Variances below this part of the mean square are rounding noise of a constant.
_CONSTANT = 1e-12


class RidgeFit(NamedTuple):
    """Kernels (lag first, then band), offsets, penalties, whether these are the last of the grid, standard errors."""

    kernels: Float[Tensor, "d N"]
    offsets: Float[Tensor, " N"]
    alphas: Float[Tensor, " N"]
    at_edge: Bool[Tensor, " N"]
    standard_errors: Float[Tensor, "d N"] | None


def solve_ridge(
    trials: list[Trial],
    val_trials: list[Trial],
    n_lags: int,
    candidates: Float[Tensor, " A"] | None,
    folds: int,
    jackknife: bool,
    basis: Float[Tensor, "L K"] | None = None,
) -> RidgeFit:
    """Choose a penalty for every neuron, and fit its kernel to all trials.

    Parameters
    ----------
    trials, val_trials : list of Trial
        Training data; further data to choose penalties by, may be empty.
    n_lags : int
        Length of the window in bins.
    candidates : Tensor, (A,), optional
        Penalties to choose of; by default a fine grid. A single one is used as it is.
    folds : int
        Number of parts of the trials that are held out in turn.
    jackknife : bool
        Also compute standard errors.
    basis : Tensor, (L, K), optional
        Orthonormal functions of the lag, of which kernels are made.

    Raises
    ------
    ValueError
        If the stimuli are constant, or no neuron has held-out data to choose by.
    """
    stim_mean, psth_mean = means(trials)
    segments, gaps = cut(trials, folds, n_lags)

    def moments(of: list[Segment]) -> Moments:
        in_lags = Moments(n_lags, stim_mean, psth_mean, of)
        return in_lags if basis is None else InBasis(in_lags, basis)

    parts = [moments(of_fold) for of_fold in segments]
    everything = [*parts, moments(gaps)] if gaps else parts
    val = moments([Segment(trial, 0, trial.stim.shape[1]) for trial in val_trials])

    n_neurons, n_weights = len(psth_mean), n_lags * len(stim_mean)
    fit = RidgeFit(
        kernels=torch.zeros(n_weights, n_neurons, dtype=torch.float64),
        offsets=psth_mean.clone(),
        alphas=torch.full((n_neurons,), math.nan, dtype=torch.float64),
        at_edge=torch.zeros(n_neurons, dtype=torch.bool),
        standard_errors=torch.full((n_weights, n_neurons), math.nan, dtype=torch.float64) if jackknife else None,
    )
    varies = _varies(everything)
    undecided: list[Tensor] = []
    for group in group_neurons([*trials, *val_trials]):
        neurons = group[varies[group]]
        if len(neurons) == 0:
            continue
        whole = Decomposition(everything, neurons)
        if candidates is not None and len(candidates) == 1:
            fit.alphas[neurons] = candidates
        else:
            fit.alphas[neurons], fit.at_edge[neurons] = _choose(candidates, whole, parts, val)
        if fit.alphas[neurons].isnan().any():
            undecided.append(neurons)
            continue
        _fill(fit, whole, parts)
    if undecided:
        median = fit.alphas.nanquantile(0.5, interpolation="lower")
        if median.isnan():
            raise ValueError(
                "no neuron has held-out data to choose a penalty by: it needs data in two stimuli or more, or give one "
                "number in alphas"
            )
        for neurons in undecided:
            fit.alphas[neurons] = median
            _fill(fit, Decomposition(everything, neurons), parts)
    return fit


def _fill(fit: RidgeFit, whole: Decomposition, parts: list[Moments]) -> None:
    """Write the kernels of the neurons of a decomposition, each with its penalty."""
    neurons, stim_mean = whole.neurons, parts[0].stim_mean
    kernels = whole.solve(fit.alphas[neurons])
    in_lags = parts[0].in_lags(kernels)
    fit.kernels[:, neurons] = in_lags
    # The features of the regression are deviations from the mean stimulus.
    from_mean = stim_mean.repeat(len(in_lags) // len(stim_mean)) @ in_lags
    fit.offsets[neurons] += whole.mean_response - whole.mean_features @ kernels - from_mean
    if fit.standard_errors is not None:
        without = [
            parts[0].in_lags(Decomposition(others, neurons, whole.unit).solve(fit.alphas[neurons]))
            for others, _ in _held_out_pairs(parts, neurons)
        ]
        if len(without) > 1:
            spread = torch.stack(without).var(0, correction=0)
            fit.standard_errors[:, neurons] = (spread * (len(without) - 1)).sqrt()


def _held_out_pairs(parts: list[Moments], neurons: Tensor) -> Iterator[tuple[list[Moments], Moments]]:
    """Each part in which the neurons have data, and the other parts, if they have data there too."""
    first = int(neurons[0])
    with_data = [part for part in parts if bool(part.count[first] > 0)]
    for part in with_data if len(with_data) > 1 else ():
        yield [other for other in with_data if other is not part], part


def _choose(
    candidates: Float[Tensor, " A"] | None, whole: Decomposition, parts: list[Moments], val: Moments
) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """The penalty with the least held-out squared error, and whether it is the first or last; NaN without data."""
    neurons, grid = whole.neurons, _GRID if candidates is None else candidates
    total = torch.zeros(len(grid), len(neurons), dtype=torch.float64)
    n_held_out = val.count[int(neurons[0])].clone()
    if bool(n_held_out > 0):
        total += whole.errors(grid, val)
    for others, part in _held_out_pairs(parts, neurons):
        total += Decomposition(others, neurons, whole.unit).errors(grid, part)
        n_held_out += part.count[int(neurons[0])]
    best = total.argmin(0)
    # The default grid begins where a penalty no longer does anything.
    at_edge = (best == len(grid) - 1) | ((best == 0) & (candidates is not None))
    if not bool(n_held_out > 0):
        return torch.full((len(neurons),), math.nan, dtype=torch.float64), torch.zeros_like(at_edge)
    return grid[best], at_edge


def _varies(parts: list[Moments]) -> Bool[Tensor, " N"]:
    """Whether the response of each neuron varies."""
    count, y, yy = (torch.stack([getattr(part, name) for part in parts]).sum(0) for name in ("count", "y", "yy"))
    mean = y / count.clamp(min=1)
    # y is a deviation from the mean, so what is left of a constant is rounding.
    return (count > 1) & (yy - y * mean > _CONSTANT * (yy + count * parts[0].psth_mean.square()))


def cut(trials: list[Trial], folds: int, n_lags: int) -> tuple[list[list[Segment]], list[Segment]]:
    """Parts that hold each other out: every so many-th stimulus, or blocks of time if there are one or two stimuli.

    Returns
    -------
    parts : list of list of Segment
    gaps : list of Segment
        One window between two blocks, which is in no part.
    """
    shortest = min(trial.stim.shape[1] for trial in trials)
    n_blocks = min(folds, shortest // (3 * n_lags))  # so that two thirds of a block are not gap
    gaps: list[Segment] = []
    if len(trials) > 2 or n_blocks < 2:
        n_parts = min(folds, len(trials))
        every = [Segment(trial, 0, trial.stim.shape[1]) for trial in trials]
        return [every[first::n_parts] for first in range(n_parts)], gaps
    parts: list[list[Segment]] = [[] for _ in range(n_blocks)]
    for trial in trials:
        edges = [k * trial.stim.shape[1] // n_blocks for k in range(n_blocks + 1)]
        for k, (start, stop) in enumerate(itertools.pairwise(edges)):
            first = start + n_lags if k else start
            parts[k].append(Segment(trial, first, stop))
            if k:
                gaps.append(Segment(trial, start, first))
    return parts, gaps
