"""Counts, means and products of deviations between the repeats of a response, and the powers that follow from them.

References
----------
.. [1] Sahani, M. & Linden, J. F. (2003). How linear are auditory cortical responses? Advances in Neural Information
   Processing Systems 15, 125–132.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deepSTRF.metrics.blocks import Block
from deepSTRF.metrics.halves import ROUNDING
from deepSTRF.metrics.pieces import block_elements, slices


def power_of_repeats(
    count: Float[Tensor, "*n R R"], cross: Float[Tensor, "*n R R"]
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Signal and total power from pairwise-complete comoments between repeats; NaN where no two repeats meet.

    The signal power is the covariance between different repeats, the total power the variance of single ones, both
    averaged with degrees of freedom as weights. Without missing data that is the estimator of Sahani & Linden [1]_.

    Examples
    --------
    >>> import torch
    >>> count = torch.full((2, 2), 5.0, dtype=torch.float64)
    >>> cross = torch.tensor([[8.0, 4.0], [4.0, 12.0]], dtype=torch.float64)
    >>> power_of_repeats(count, cross)
    (tensor(1., dtype=torch.float64), tensor(2.5000, dtype=torch.float64))
    """
    enough = count >= 2
    freedom = torch.where(enough, count - 1, 0.0)
    cross = torch.where(enough, cross, 0.0)
    own, own_freedom = (matrix.diagonal(dim1=-2, dim2=-1).sum(-1) for matrix in (cross, freedom))
    between = torch.eye(count.shape[-1], dtype=torch.bool, device=count.device).logical_not()
    signal = (cross * between).sum((-2, -1)) / (freedom * between).sum((-2, -1))
    return signal, own / own_freedom


def comoments(block: Block) -> tuple[Float[Tensor, "S N R R"], Float[Tensor, "S N R R"], Float[Tensor, "S N R R"]]:
    """Count, mean and comoment of the repeats of a block; a block of complete data is taken in pieces."""
    if block.valid is not None:
        return between_repeats(block.responses, block.valid)
    batch, neurons, repeats, bins = block.responses.shape
    elements = block_elements(block.responses.device)
    pieces = [
        between_repeats(block.responses[stimuli, group], None)
        for stimuli, groups in slices((batch, neurons, repeats, bins), elements)
        for group in groups
    ]
    count, mean, cross = (torch.cat(fields, dim=1) for fields in zip(*pieces, strict=True))
    return count, mean, cross


def between_repeats(
    responses: Float[Tensor, "S N R T"], valid: Float[Tensor, "S N R T"] | None
) -> tuple[Float[Tensor, "S N R R"], Float[Tensor, "S N R R"], Float[Tensor, "S N R R"]]:
    """Count, mean of the row's repeat and comoment over the bins that two repeats share."""
    shifted, origin = _around_own_means(responses, valid)
    if valid is None:
        sums = shifted.sum(-1, keepdim=True).expand(*shifted.shape[:3], shifted.shape[2])
        count = torch.full_like(sums, shifted.shape[-1])
    else:
        valid = valid.to(shifted.dtype)
        count = valid @ valid.transpose(-1, -2)
        sums = shifted @ valid.transpose(-1, -2)
    mean = sums / count.clamp(min=1)
    cross = shifted @ shifted.transpose(-1, -2) - mean * sums.transpose(-1, -2)
    return count, mean + origin, cross


def noise_of_pairs(responses: Float[Tensor, "S N R T"], valid: Float[Tensor, "S N R T"]) -> Float[Tensor, "S N"]:
    """Half the variance of the difference between two repeats over the bins that both have, averaged over the pairs.

    The weights are the degrees of freedom, as in :func:`power_of_repeats`; NaN where no two repeats meet. Where all
    repeats cover the same bins it is the total minus the signal power.

    Examples
    --------
    >>> responses = torch.tensor([[[[0.0, 1.0, 5.0], [0.0, 1.0, 0.0]]]])
    >>> noise_of_pairs(responses, torch.tensor([[[[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]]]))
    tensor([[0.]], dtype=torch.float64)
    """
    shifted, _ = _around_own_means(responses, valid)
    valid = valid.to(shifted.dtype)
    count = valid @ valid.transpose(-1, -2)
    sums = shifted @ valid.transpose(-1, -2)  # of the row's repeat over the bins shared with the column's
    own = shifted.square() @ valid.transpose(-1, -2) - sums.square() / count.clamp(min=1)
    cross = shifted @ shifted.transpose(-1, -2) - sums * sums.transpose(-1, -2) / count.clamp(min=1)
    counts = (count >= 2) & ~torch.eye(count.shape[-1], dtype=torch.bool, device=count.device)
    freedom = torch.where(counts, count - 1, 0.0).sum((-2, -1))
    own, cross = (torch.where(counts, values, 0.0).sum((-2, -1)) for values in (own, cross))
    noise = own - cross
    return torch.where(noise <= ROUNDING * own, 0.0, noise) / freedom


def _around_own_means(responses: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Responses minus the mean of each repeat over its own bins, in float64, and these means ``(S, N, R, 1)``.

    Before any product: a repeat at another offset would leave no digits for the rest.
    """
    sums = responses.sum(-1, keepdim=True, dtype=torch.float64)
    number = responses.shape[-1] if valid is None else valid.sum(-1, keepdim=True).clamp(min=1)
    origin = sums / number
    shifted = responses - origin
    return shifted if valid is None else shifted.mul_(valid), origin


def fill_unshared(cross: Float[Tensor, "S N R R"], count: Float[Tensor, "S N R R"]) -> Float[Tensor, "S N R R"]:
    """Covariances; two repeats without a common bin get the signal power, their expected covariance."""
    covariance = cross / (count - 1).clamp(min=1)
    shared = count >= 2
    signal = power_of_repeats(count, cross)[0].nan_to_num(nan=0.0)
    return torch.where(shared, covariance, signal[..., None, None])


def valid_first(first: Bool[Tensor, "S N R"], *matrices: Float[Tensor, "S N R R"]) -> list[Tensor]:
    """Permute rows and columns so that the marked repeats lead, in their own order."""
    order = torch.argsort(first.logical_not().to(torch.uint8), dim=-1, stable=True)
    rows = order[..., None].expand_as(matrices[0])
    columns = order[..., None, :].expand_as(matrices[0])
    return [matrix.gather(-2, rows).gather(-1, columns) for matrix in matrices]


def replace_irregular(
    block: Block,
    regular: Bool[Tensor, "S N"],
    signal: Float[Tensor, "S N"],
    noise: Float[Tensor, "S N"],
    qualifies: Bool[Tensor, "S N"],
) -> tuple[Float[Tensor, "S N"], Float[Tensor, "S N"], Bool[Tensor, "S N"]]:
    """Replace the powers of the pairs whose repeats cover different bins by the pairwise-complete ones."""
    if block.valid is None:
        return signal, noise, qualifies
    irregular = ~regular
    if signal.device.type != "cpu":
        irregular = torch.ones_like(regular)  # on a GPU, picking would wait for the device: recompute all
    elif regular.all():
        return signal, noise, qualifies
    here = irregular.nonzero(as_tuple=True) if signal.device.type == "cpu" else (...,)
    pick = [tensor[here] for tensor in (block.responses, block.valid)]
    if signal.device.type == "cpu":
        pick = [tensor[None] for tensor in pick]  # the pairs as one stimulus
    count, _, cross = between_repeats(*pick)
    paired, _ = power_of_repeats(count, cross)
    met = ((count >= 2).sum((-2, -1)) - (count.diagonal(dim1=-2, dim2=-1) >= 2).sum(-1)) > 0
    signal[here] = paired
    noise[here] = noise_of_pairs(*pick)
    qualifies[here] = met
    return signal, noise, qualifies
