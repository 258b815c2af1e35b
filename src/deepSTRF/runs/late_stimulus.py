"""Does the stimulus before the window of a model still predict what the model left unexplained?"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
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
    and predicts those of the rest, and the other way round; deviations are from the mean of each stimulus.

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
    blocks = list(dataset._packed().blocks())
    long = [s for s, block in enumerate(blocks) if block.n_bins > 2 * window]
    halves = long[::2], long[1::2]
    if not halves[1]:
        return torch.full((dataset.N_neurons,), torch.nan, dtype=torch.float64)

    def parts(s: int) -> tuple[Tensor, Tensor, Tensor]:
        """Features, residuals and where these are known, of one stimulus."""
        residuals = torch.full((dataset.N_neurons, blocks[s].n_bins), torch.nan)  # float32: half the time, and enough
        residuals[torch.from_numpy(blocks[s].neurons)] = blocks[s].summary.psth.float()
        residuals -= predictions[s]
        known = residuals == residuals
        return _late_features(dataset.stims[s], window)[:, : blocks[s].n_bins], _centred(residuals, known), known

    kernels = [_kernels(parts(s)[:2] for s in half) for half in halves]
    sums, count = torch.zeros(3, dataset.N_neurons, dtype=torch.float64), torch.zeros(dataset.N_neurons)
    for half, kernel in zip(halves, kernels[::-1], strict=True):
        for s in half:
            features, residuals, known = parts(s)
            predicted = _centred(kernel @ features, known)
            pairs = (predicted, residuals), (predicted, predicted), (residuals, residuals)
            sums += torch.stack([torch.linalg.vecdot(x, y) for x, y in pairs])
            count += known.sum(1)
    correlations = sums[0] / (sums[1] * sums[2]).sqrt()
    return torch.where(count >= _LEAST_BINS, correlations, torch.nan)


def _centred(values: Float[Tensor, "N T"], known: Bool[Tensor, "N T"]) -> Float[Tensor, "N T"]:
    """Deviations from the mean of the known bins, 0 where nothing is known."""
    if bool(known.all()):
        return values - values.mean(1, keepdim=True)
    filled = torch.where(known, values, 0.0)
    return torch.where(known, filled - filled.sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1), 0.0)


def _late_features(stim: Float[Tensor, "C F T"], window: int) -> Float[Tensor, "D T"]:
    """Groups of bands, averaged over groups of lags, as seen from each bin; zero mean where known, zero before."""
    bands = stim.double().flatten(0, -2)
    grouped = functional.adaptive_avg_pool1d(bands.T, min(_MOST_GROUPS, len(bands))).T
    grouped = grouped - grouped.mean(1, keepdim=True)
    n_groups = min(_MOST_GROUPS, window)
    edges = [window + k * window // n_groups for k in range(n_groups + 1)]
    summed = functional.pad(grouped.cumsum(1), (edges[-1], 0))  # zero before the onset
    before = [summed[:, edges[-1] - lag : summed.shape[1] - lag] for lag in edges]
    return torch.cat([near - far for near, far in itertools.pairwise(before)]).float()


def _kernels(parts: Iterable[tuple[Tensor, Tensor]]) -> Float[Tensor, "N D"]:
    gram, products = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for features, residuals in parts:
        gram, products = gram + features @ features.T, products + features @ residuals.T
    gram.diagonal().add_(_PENALTY * gram.diagonal().mean().clamp(min=torch.finfo(gram.dtype).tiny))
    return torch.linalg.solve(gram, products).T.float()
