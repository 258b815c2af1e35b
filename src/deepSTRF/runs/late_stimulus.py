"""Does the stimulus before the window of a model still predict what the model left unexplained?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deepSTRF.datasets import NeuralDataset

__all__ = ["late_correlations"]

_MOST_GROUPS = 8  # of neighbouring bands, and of lags: what comes late is slow
_LEAST_BINS = 1600
_PENALTY = 0.01  # relative to the mean variance of the features


def late_correlations(
    dataset: NeuralDataset, predictions: Sequence[Float[Tensor, "N T_s"]], window: int
) -> Float[Tensor, " N"]:
    """Correlation of each neuron's residuals with what the stimulus one window earlier says of them.

    A ridge regression from `window` to twice `window` bins before is fitted to the residuals of every other stimulus,
    and predicts those of the rest, and the other way round.

    Parameters
    ----------
    dataset : NeuralDataset
        Of spectrograms.
    predictions : sequence of Tensor
        Per stimulus ``(N, T_s)``.
    window : int
        Bins that the model looks at.

    Returns
    -------
    Tensor
        Shape ``(N,)``, float64; NaN for a neuron with less than 1600 bins, in which chance would reach .1, and for all
        if twice the window is longer than the stimuli of a half.
    """
    halves: list[list[tuple[Tensor, Tensor]]] = [[], []]
    for s, block in enumerate(dataset._packed().blocks()):
        if block.n_bins > 2 * window:
            residuals = torch.full((dataset.N_neurons, block.n_bins), torch.nan, dtype=torch.float64)
            residuals[torch.from_numpy(block.neurons)] = block.summary.psth.double()
            features = _late_features(dataset.stims[s], window)[:, : block.n_bins]
            halves[s % 2].append((features, residuals - predictions[s].double()))
    if not all(halves):
        return torch.full((dataset.N_neurons,), torch.nan, dtype=torch.float64)
    joined = [tuple(torch.cat(parts, 1) for parts in zip(*half, strict=True)) for half in halves]
    kernels = [_kernels(features, residuals) for features, residuals in joined]
    predicted = torch.cat([kernel @ features for kernel, (features, _) in zip(kernels[::-1], joined, strict=True)], 1)
    return _correlations(predicted, torch.cat([residuals for _, residuals in joined], 1))


def _late_features(stim: Float[Tensor, "C F T"], window: int) -> Float[Tensor, "D T"]:
    """Groups of bands, averaged over groups of lags, as seen from each bin; zero mean where known, zero before."""
    bands = stim.double().flatten(0, -2)
    grouped = functional.adaptive_avg_pool1d(bands.T, min(_MOST_GROUPS, len(bands))).T
    grouped = grouped - grouped.mean(1, keepdim=True)
    n_groups = min(_MOST_GROUPS, window)
    edges = [window + k * window // n_groups for k in range(n_groups + 1)]
    summed = functional.pad(grouped.cumsum(1), (edges[-1], 0))  # zero before the onset
    before = [summed[:, edges[-1] - lag : summed.shape[1] - lag] for lag in edges]
    return torch.cat([near - far for near, far in itertools.pairwise(before)])


def _kernels(features: Float[Tensor, "D T"], residuals: Float[Tensor, "N T"]) -> Float[Tensor, "N D"]:
    gram = features @ features.T
    gram.diagonal().add_(_PENALTY * gram.diagonal().mean().clamp(min=torch.finfo(gram.dtype).tiny))
    centred = (residuals - residuals.nanmean(1, keepdim=True)).nan_to_num(0.0)
    return torch.linalg.solve(gram, features @ centred.T).T


def _correlations(predicted: Float[Tensor, "N T"], residuals: Float[Tensor, "N T"]) -> Float[Tensor, " N"]:
    known = residuals == residuals
    count = known.sum(1, keepdim=True)
    x, y = (
        torch.where(known, values - torch.where(known, values, 0.0).sum(1, keepdim=True) / count, 0.0)
        for values in (predicted, residuals)
    )
    correlations = (x * y).sum(1) / (x.square().sum(1) * y.square().sum(1)).sqrt()
    return torch.where(count[:, 0] >= _LEAST_BINS, correlations, torch.nan)
