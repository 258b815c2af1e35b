"""Poisson regression with a softplus, started from a ridge and regularised like it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from deepSTRF.models.regression.descent import minimize
from deepSTRF.models.regression.moments import Segment, Trial
from deepSTRF.models.regression.ridge import RidgeFit, cut
from deepSTRF.models.regression.trials import means

__all__ = ["SOFTNESS", "PoissonFit", "solve_poisson"]

SOFTNESS = 2.0  # of the rectifier, in mean rates
_SHARES = (0.3, 0.1, 0.03, 0.01)  # of the penalty of the ridge
_BLOCK = 16384  # bins at a time
_ELEMENTS = 2**24  # responses that are fitted at a time

# Squared length of the gradient at which a descent ends, where 1 is the standard error of one weight.
_CLOSE = 0.01
_CLOSE_IN_FOLDS = 4.0

_LEAST = 1e-35  # rate that still has a logarithm in single precision


class PoissonFit(NamedTuple):
    """Kernels (lag first, then band), offsets, softness of the rectifier, penalties in the unit of the ridge's."""

    kernels: Float[Tensor, "d N"]
    offsets: Float[Tensor, " N"]
    softness: Float[Tensor, " N"]
    alphas: Float[Tensor, " N"]


def solve_poisson(trials: list[Trial], ridge: RidgeFit, basis: Float[Tensor, "L K"], folds: int) -> PoissonFit:
    """Choose for every neuron a share of the ridge's penalty by held-out likelihood, and fit all trials with it.

    Everything is computed in units of the mean rate of each neuron, so that the unit of the responses plays no role.

    Parameters
    ----------
    trials : list of Trial
        Training data, which are not negative.
    ridge : RidgeFit
        Of the same trials, in the same basis.
    basis : Tensor, (L, K)
        Orthonormal functions of the lag.
    folds : int
        Number of parts of the trials that are held out in turn.
    """
    stim_mean, rate = means(trials)
    unit = torch.where(rate > 0, rate, 1.0)
    softness = SOFTNESS * unit
    fit = PoissonFit(torch.zeros_like(ridge.kernels), _before_softplus(rate, softness), softness, ridge.alphas.clone())
    neurons = (ridge.kernels != 0).any(0).nonzero()[:, 0]
    parts, gaps = cut(trials, folds, len(basis))
    design = _Design([*parts, gaps] if gaps else parts, stim_mean, basis)
    for some in neurons.split(max(1, _ELEMENTS // len(design.features))):
        population = _Population(design, some, unit[some], ridge.kernels[:, some])
        shares, start = population.best_shares(len(parts), ridge.alphas[some].float())
        every = torch.ones(len(design.features), dtype=torch.bool)
        weights, offsets = population.descend(start, every, ridge.alphas[some].float() * shares, _CLOSE)
        in_basis = (design.axes @ weights.double()) * unit[some]
        in_lags = (basis @ in_basis.view(basis.shape[1], -1)).view(-1, len(some))
        from_mean = design.mean.double() @ in_basis + stim_mean.repeat(len(basis)) @ in_lags
        fit.kernels[:, some] = in_lags
        fit.offsets[some] = offsets.double() * unit[some] - from_mean
        fit.alphas[some] *= shares
    return fit


def _before_softplus(rate: Tensor, softness: Tensor) -> Tensor:
    """The drive at which the model predicts a rate; far below zero for a rate of zero."""
    return softness * torch.log(torch.expm1((rate / softness).clamp(min=1e-12)))


class _Design:
    """Features of every bin, in single precision and in the basis of their principal axes."""

    def __init__(
        self, parts: Sequence[Sequence[Segment]], stim_mean: Float[Tensor, " F"], basis: Float[Tensor, "L K"]
    ) -> None:
        self.basis, self.segments = basis, [segment for part in parts for segment in part]
        self.features = torch.cat([self._windows(segment, stim_mean) for segment in self.segments])
        lengths = torch.tensor([sum(segment.stop - segment.start for segment in part) for part in parts])
        self.part_of = torch.arange(len(parts)).repeat_interleave(lengths)
        self.mean = self.features.mean(0)
        self.features -= self.mean
        gram = torch.stack([(block.T @ block).double() for block in self.features.split(_BLOCK)]).sum(0)
        values, self.axes = torch.linalg.eigh(gram)
        self.values = values.clamp(min=0)  # negative ones are rounding
        for block in self.features.split(_BLOCK):
            block.copy_(block @ self.axes.float())

    def _windows(self, segment: Segment, stim_mean: Float[Tensor, " F"]) -> Float[Tensor, "t d"]:
        """Windows that end at each bin, in the basis; before the onset, the stimulus is taken to be the mean one."""
        first = segment.start - len(self.basis) + 1
        stim = segment.trial.stim[:, max(first, 0) : segment.stop].float() - stim_mean.float()[:, None]
        seen = functional.pad(stim, (max(-first, 0), 0))
        filtered = functional.conv1d(seen[:, None], self.basis.T.flip(1)[:, None].float())  # (F, K, t)
        return filtered.permute(2, 1, 0).flatten(1)


class _Population:
    """Responses of some neurons in units of their mean rates; weights ``(d, n)`` of the principal axes, and offsets."""

    def __init__(
        self, design: _Design, neurons: Tensor, unit: Float[Tensor, " n"], ridge: Float[Tensor, "c n"]
    ) -> None:
        self.design = design
        responses = torch.cat([(segment.psth[neurons].T / unit).float() for segment in design.segments])
        self.missing = responses.isnan() if bool(responses.isnan().any()) else None
        self.responses = responses.nan_to_num(nan=0.0)
        self.heard = torch.ones(len(neurons)) if self.missing is None else 1 - self.missing.float().mean(0)
        basis = design.basis
        in_basis = (basis.T @ (ridge / unit).view(len(basis), -1)).view(-1, len(neurons))
        weights = (design.axes.T @ in_basis).float()
        squares = (design.features @ weights + 1 - self.responses).square_()
        self.scatter = self._where_heard(squares, self.missing).sum(0) / (self.heard * len(responses)).clamp(min=1)
        slope = -math.expm1(-1 / SOFTNESS)  # of the rectifier at the mean rate
        offset = SOFTNESS * math.log(math.expm1(1 / SOFTNESS))
        self.start = weights / slope, torch.full((len(neurons),), offset)

    @staticmethod
    def _where_heard(values: Tensor, missing: Tensor | None) -> Tensor:
        return values if missing is None else values.masked_fill_(missing, 0.0)

    def best_shares(
        self, n_parts: int, alphas: Float[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], tuple[Tensor, Tensor]]:
        """The share of the ridge's penalty from which the held-out deviance rises; mean weights and offsets there."""
        part_of, population = self.design.part_of, self
        best, least = torch.full_like(alphas, _SHARES[0]), torch.full_like(alphas, torch.inf)
        means = tuple(each.clone() for each in self.start)
        falling = torch.arange(len(alphas))  # neurons whose deviance has not risen yet
        fits = [self.start] * n_parts
        for share in _SHARES:
            deviance = torch.zeros(len(falling))
            for part in range(n_parts):
                here = part_of == part
                fits[part] = population.descend(
                    fits[part], ~here & (part_of < n_parts), alphas[falling] * share, _CLOSE_IN_FOLDS
                )
                deviance += population._deviance(fits[part], here)
            falls = deviance < least[falling]
            falling = falling[falls]
            if len(falling) == 0:
                break
            if not bool(falls.all()):
                population = population._some(falls)
                fits = [(weights[:, falls], offsets[falls]) for weights, offsets in fits]
            best[falling], least[falling] = share, deviance[falls]
            for mean, of_parts in zip(means, zip(*fits, strict=True), strict=True):
                mean[..., falling] = torch.stack(of_parts).mean(0)
        return best, (means[0], means[1])

    def _some(self, chosen: Bool[Tensor, " n"]) -> _Population:
        """Only some of the neurons."""
        population = copy.copy(self)
        population.responses = self.responses[:, chosen]
        population.missing = None if self.missing is None else self.missing[:, chosen]
        population.heard, population.scatter = self.heard[chosen], self.scatter[chosen]
        return population

    def descend(
        self, start: tuple[Tensor, Tensor], rows: Bool[Tensor, " t"], alphas: Float[Tensor, " n"], close: float
    ) -> tuple[Tensor, Tensor]:
        """Weights and offsets with the least penalised deviance in some bins."""
        design = self.design
        features, responses = design.features[rows], self.responses[rows]
        missing = None if self.missing is None else self.missing[rows]
        penalty = alphas * self.heard * float(design.values.mean())
        # of a unit step, such that the curvature is about one, the same in all directions
        part = self.heard * len(features) / len(design.features)
        scale = (design.values.float()[:, None] * part + penalty).rsqrt()
        root = math.sqrt(len(features))

        def objective(x: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
            y, weights = responses.index_select(1, columns), x[:-1] * scale[:, columns]
            drive = torch.addmm(x[-1] / root, features, weights).div_(SOFTNESS)
            predicted = functional.softplus(drive).mul_(SOFTNESS).clamp_(min=_LEAST)
            values = predicted - y * predicted.log()
            slopes = (1 - y / predicted).mul_(drive.sigmoid_())
            if missing is not None:
                values, slopes = (self._where_heard(of_bins, missing[:, columns]) for of_bins in (values, slopes))
            value = values.sum(0) + penalty[columns] * weights.square().sum(0) / 2
            gradient = (features.T @ slopes + penalty[columns] * weights) * scale[:, columns]
            return value, torch.cat([gradient, slopes.sum(0, keepdim=True) / root])

        found = minimize(objective, torch.cat([start[0] / scale, start[1][None] * root]), close * self.scatter)
        return found[:-1] * scale, found[-1] / root

    def _deviance(self, fit: tuple[Tensor, Tensor], rows: Bool[Tensor, " t"]) -> Float[Tensor, " n"]:
        """Half the deviance in some bins, up to a constant of the data."""
        drive = torch.addmm(fit[1], self.design.features[rows], fit[0]).div_(SOFTNESS)
        predicted = functional.softplus(drive).mul_(SOFTNESS).clamp_(min=_LEAST)
        values = predicted - self.responses[rows] * predicted.log()
        return self._where_heard(values, None if self.missing is None else self.missing[rows]).sum(0)
