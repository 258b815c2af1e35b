"""A time basis for receptive fields: few smooth functions of the lag in the place of one weight per bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.models.layers.kernels import raised_cosines
from deepSTRF.models.regression.moments import Moments

__all__ = ["InBasis", "time_basis"]

_LAST = 0.8  # of the window, where the last cosine peaks
_LINEAR = 0.1  # of the window, up to which lags are spaced about evenly


def time_basis(n_basis: int, n_lags: int) -> Float[Tensor, "L K"]:
    """Orthonormal basis of what raised cosines on a logarithmic axis of lags span, current bin first.

    Being orthonormal, a penalty on the coefficients is the same penalty on the kernel.

    Parameters
    ----------
    n_basis : int
        Number of raised cosines; a window of fewer bins has one function per bin.
    n_lags : int
        Length of the window in bins.

    Examples
    --------
    >>> basis = time_basis(4, 30)
    >>> basis.shape, bool(torch.allclose(basis.T @ basis, torch.eye(4, dtype=torch.float64)))
    (torch.Size([30, 4]), True)
    """
    if n_basis >= n_lags:
        return torch.eye(n_lags, dtype=torch.float64)
    bumps = raised_cosines(n_lags, n_basis, offset=max(1.0, _LINEAR * n_lags), last=_LAST * (n_lags - 1))
    return torch.linalg.qr(torch.from_numpy(bumps).T.flip(0)).Q


class InBasis(Moments):
    """Moments of the coefficients of a basis, from those of all lags.

    Parameters
    ----------
    moments : Moments
        Of all lags.
    basis : Tensor, (L, K)
        With orthonormal columns.
    """

    def __init__(self, moments: Moments, basis: Float[Tensor, "L K"]) -> None:
        self._moments, self._basis = moments, basis
        self.n_lags, self.n_features = basis.shape[1], moments.n_features
        self.stim_mean, self.psth_mean = moments.stim_mean, moments.psth_mean
        self.y, self.yy, self.count = moments.y, moments.yy, moments.count
        self.xy = self._coefficients(moments.xy)

    def _coefficients(self, rows: Float[Tensor, "d n"]) -> Float[Tensor, "c n"]:
        return (self._basis.T @ rows.reshape(len(self._basis), -1)).view(self.n_lags * self.n_features, -1)

    def features_of(self, neuron: int, others: Sequence[Any] = ()) -> tuple[Float[Tensor, "c c"], Float[Tensor, " c"]]:
        """As for all lags, in the basis; `others` are in the same."""
        gram, total = self._moments.features_of(neuron, [part._moments for part in others])
        # symmetric, so that the columns are rows of the transpose
        return self._coefficients(self._coefficients(gram).T), self._coefficients(total[:, None])[:, 0]

    def in_lags(self, kernels: Float[Tensor, "c n"]) -> Float[Tensor, "d n"]:
        """Kernels of all lags."""
        return (self._basis @ kernels.reshape(self.n_lags, -1)).view(len(self._basis) * self.n_features, -1)
