"""Correlation between the PSTHs of two halves of the repeats, from the covariance matrix of the repeats."""

from __future__ import annotations

import functools
import itertools
import math
import random

import torch
from jaxtyping import Float
from torch import Tensor

# Relative size of the float64 rounding in a sum over a long recording. A power or correlation that is a difference of
# larger terms, and no larger than this part of them, is 0.
ROUNDING = 1e-12


@functools.lru_cache(maxsize=64)
def half_splits(repeats: int, max_splits: int = 126) -> Float[Tensor, "K R"]:
    """Ways to cut an even number of repeats into two halves: +1 for the half with the first repeat, −1 for the other.

    All of them if there are at most ``max_splits``; otherwise that many different random ones, from a seed that depends
    on ``repeats`` alone, so that every neuron, batch and session uses the same.

    Examples
    --------
    >>> half_splits(4)
    tensor([[ 1.,  1., -1., -1.],
            [ 1., -1.,  1., -1.],
            [ 1., -1., -1.,  1.]], dtype=torch.float64)
    >>> half_splits(20).shape
    torch.Size([126, 20])
    """
    others = range(1, repeats)
    size = repeats // 2 - 1
    if math.comb(repeats - 1, size) <= max_splits:
        chosen = list(itertools.combinations(others, size))
    else:
        generator = random.Random(repeats)
        drawn: dict[tuple[int, ...], None] = {}  # a dict keeps the order of drawing
        while len(drawn) < max_splits:
            drawn[tuple(sorted(generator.sample(others, size)))] = None
        chosen = list(drawn)
    sign = torch.full((len(chosen), repeats), -1.0, dtype=torch.float64)
    sign[:, 0] = 1.0
    if size:
        sign.scatter_(1, torch.tensor(chosen), 1.0)
    return sign


def half_correlation(
    covariance: Float[Tensor, "M R R"], level: Float[Tensor, "M R"], max_splits: int, resolution: float
) -> Float[Tensor, " M"]:
    """Mean correlation between half PSTHs over the splits in which neither half is silent; NaN without any."""
    repeats = level.shape[-1]
    sign = half_splits(repeats, max_splits).to(covariance.device)
    image = covariance @ sign.T  # (M, R, K)
    even = covariance.sum((-2, -1))[:, None] + (sign.T * image).sum(-2)
    odd = 2 * image.sum(-2)
    first, second = even + odd, even - odd  # variance of the half PSTHs × R²
    between = covariance.sum((-2, -1))[:, None] - (sign.T * image).sum(-2)
    total, contrast = level.sum(-1, keepdim=True), level @ sign.T
    # a half PSTH is silent if it varies no more than the rounding of the repeats that it was made of
    own = repeats * covariance.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    floor, rounding = (4 * resolution) ** 2, ROUNDING * own
    loud = (first > floor * (total + contrast).square() + rounding) & (
        second > floor * (total - contrast).square() + rounding
    )
    rho = between / (torch.where(loud, first, 1.0).sqrt() * torch.where(loud, second, 1.0).sqrt())
    rho = torch.where(loud, rho.clamp(-1.0, 1.0), 0.0).sum(-1)
    return rho / loud.sum(-1)  # 0 / 0 is NaN: no split counts
