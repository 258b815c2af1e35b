"""Sufficient statistics of a recording: computed per batch, merged exactly, small.

Every metric is a formula on one or two of these. Each is a ``NamedTuple`` of float64 tensors whose last axes are
given below; ``of(block)`` computes it for the stimuli and neurons of a :class:`~deepSTRF.metrics.blocks.Block` (shape
``(S, N, ...)``), ``pool()`` joins the leading axis, and ``merge(other)`` joins two pooled ones. Means and centred
second moments are combined by the formula of Chan, Golub & LeVeque [1]_, so neither the order of the stimuli nor the
way in which they are cut into batches changes the result beyond float64 rounding, and a large offset of the data
costs no digits.

References
----------
.. [1] Chan, T. F., Golub, G. H. & LeVeque, R. J. (1983). Algorithms for computing the sample variance: analysis and
   recommendations. The American Statistician 37, 242–247. doi:10.1080/00031305.1983.10483115
.. [2] Sahani, M. & Linden, J. F. (2003). How linear are auditory cortical responses? Advances in Neural Information
   Processing Systems 15, 125–132.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor
from torch.nn.functional import pad

from deepSTRF.metrics.blocks import Block, block_elements, blocks, centre, slices
from deepSTRF.metrics.halves import ROUNDING, half_correlation


class Moments(NamedTuple):
    """Pooled first and second moments of prediction and PSTH over the valid bins, each ``(N,)``.

    ``square_pred``, ``square_resp`` and ``cross`` are sums over centred values; divided by ``bins - 1`` they are the
    unbiased variances and covariance. ``resolution`` is the machine epsilon of the data, which tells a constant from
    a variable one.
    """

    bins: Tensor
    mean_pred: Tensor
    mean_resp: Tensor
    square_pred: Tensor
    square_resp: Tensor
    cross: Tensor
    resolution: Tensor

    @classmethod
    def of(cls, block: Block) -> Moments:
        """Moments of each stimulus and neuron of a block, ``(S, N)``."""
        bins = block.bins
        mean_pred, pred = centre(block.pred, block.columns, bins)
        mean_resp, resp = block.mean_and_centred_psth
        return cls(
            bins,
            mean_pred,
            mean_resp,
            torch.linalg.vector_norm(pred, dim=-1).square_(),
            block.square_psth,
            pred.mul_(resp).sum(-1),
            torch.full_like(bins, block.resolution),
        )

    def pool(self) -> Moments:
        """Join the leading axis."""
        bins = self.bins.sum(0)
        total = bins.clamp(min=1)
        mean_pred = (self.bins * self.mean_pred).sum(0) / total
        mean_resp = (self.bins * self.mean_resp).sum(0) / total
        shift_pred = self.mean_pred - mean_pred
        shift_resp = self.mean_resp - mean_resp
        return Moments(
            bins,
            mean_pred,
            mean_resp,
            (self.square_pred + self.bins * shift_pred.square()).sum(0),
            (self.square_resp + self.bins * shift_resp.square()).sum(0),
            (self.cross + self.bins * shift_pred * shift_resp).sum(0),
            self.resolution.amax(0),
        )

    def merge(self, *others: Moments) -> Moments:
        """Join pooled statistics of different stimuli."""
        return Moments(*map(_stack, self, *others)).pool()


class Powers(NamedTuple):
    """Signal and noise power within stimuli, summed with the number of bins as weight, each ``(N,)``.

    ``level`` is the squared mean response, the scale below which a power is rounding noise; ``repeats`` the largest
    number of repeats in any stimulus.
    """

    signal: Tensor
    noise: Tensor
    level: Tensor
    weight: Tensor
    repeats: Tensor
    resolution: Tensor

    @classmethod
    def of(cls, block: Block) -> Powers:
        """Powers of each stimulus and neuron of a block times its bins, ``(S, N)``.

        Where all repeats of a pair cover the same bins this is the estimator of Sahani & Linden [2]_, written by the
        residuals from the PSTH: no cancellation, and identical repeats give a noise power of 0. Elsewhere the
        covariances come from the bins that each pair of repeats shares, weighted by their degrees of freedom.
        """
        repeats, bins = block.repeats, block.bins
        if block.responses.shape[2] == 1:
            zero = torch.zeros_like(bins)
            return cls(zero, zero, zero, zero, repeats, torch.full_like(bins, block.resolution))
        qualifies = (repeats >= 2) & (bins >= 2)
        noise = block.scatter / ((repeats - 1) * (bins - 1)).clamp(min=1)
        signal = block.square_psth / (bins - 1).clamp(min=1) - noise / repeats.clamp(min=1)
        if block.valid is not None:
            regular = block.bins_of_repeat.sum(-1) == repeats * bins
            signal, noise, qualifies = _patch_irregular(block, regular, signal, noise, qualifies)
        weight = torch.where(qualifies, bins, 0.0)
        level = block.mean_and_centred_psth[0].square()
        return cls(
            torch.where(qualifies, weight * signal, 0.0),
            torch.where(qualifies, weight * noise, 0.0),
            weight * level,
            weight,
            repeats,
            torch.full_like(bins, block.resolution),
        )

    def pool(self) -> Powers:
        """Join the leading axis."""
        return Powers(
            self.signal.sum(0),
            self.noise.sum(0),
            self.level.sum(0),
            self.weight.sum(0),
            self.repeats.amax(0),
            self.resolution.amax(0),
        )

    def merge(self, *others: Powers) -> Powers:
        """Join pooled statistics of different stimuli."""
        return Powers(*map(_stack, self, *others)).pool()


class RepeatMoments(NamedTuple):
    """Pairwise-complete moments between repeats, as if all stimuli were one long one, each ``(N, R, R)``.

    ``shared`` counts the bins that two repeats share. ``mean[n, r, s]`` is the mean of repeat ``r`` over the bins
    that it shares with ``s``; ``cross`` is the sum of products of deviations from those means. Repeats are in the
    order in which they are valid; ``fewest`` and ``most`` ``(N,)`` tell whether their number differs between
    stimuli.
    """

    shared: Tensor
    mean: Tensor
    cross: Tensor
    fewest: Tensor
    most: Tensor

    @classmethod
    def of(cls, block: Block) -> RepeatMoments:
        """Moments between the repeats of each stimulus and neuron of a block, ``(S, N, R, R)``."""
        repeats = block.repeats
        count, mean, cross = _comoments(block)
        if block.valid is not None:
            count, mean, cross = _valid_first(block.bins_of_repeat > 0, count, mean, cross)
        return cls(count, mean, cross, torch.where(repeats > 0, repeats, torch.inf), repeats)

    def pool(self) -> RepeatMoments:
        """Join the leading axis."""
        shared = self.shared.sum(0)
        mean = (self.shared * self.mean).sum(0) / shared.clamp(min=1)
        shift = self.mean - mean
        cross = (self.cross + self.shared * shift * shift.transpose(-1, -2)).sum(0)
        return RepeatMoments(shared, mean, cross, self.fewest.amin(0), self.most.amax(0))

    def merge(self, *others: RepeatMoments) -> RepeatMoments:
        """Join pooled statistics of different stimuli, also with different numbers of repeats."""
        return RepeatMoments(*map(_stack, self, *others)).pool()


class HalfSplits(NamedTuple):
    """Half-split ceilings per stimulus, summed with the number of bins as weight, each ``(N,)``.

    ``repeats`` is the largest number of repeats in any stimulus.
    """

    ceiling: Tensor
    weight: Tensor
    repeats: Tensor

    @classmethod
    def of(cls, block: Block, max_splits: int = 126) -> HalfSplits:
        """Ceiling of each stimulus and neuron of a block times its bins, ``(S, N)``.

        The correlation between the PSTHs of two halves of the repeats is a ratio of quadratic forms in the covariance
        matrix of the repeats, so no half PSTH is ever made.
        """
        bins = block.bins
        if block.responses.shape[2] == 1:
            return cls(torch.zeros_like(bins), torch.zeros_like(bins), block.repeats)
        count, mean, cross = _comoments(block)
        usable = count.diagonal(dim1=-2, dim2=-1) >= 2
        if block.valid is not None:
            count, mean, cross = _valid_first(usable, count, mean, cross)
        covariance = _fill_unshared(cross, count)
        level = mean.diagonal(dim1=-2, dim2=-1)
        rho = torch.full_like(bins, torch.nan)
        available = usable.sum(-1)
        # at most R different numbers; one when nothing is missing
        for repeats in available.unique().tolist():
            if repeats >= 2:
                here = available == repeats
                even = repeats - repeats % 2
                rho[here] = half_correlation(
                    covariance[here][:, :even, :even], level[here][:, :even], max_splits, block.resolution
                )
        broken = covariance.isnan().any(-1).any(-1) & (available >= 2)  # a mask that marks NaN as valid
        counts = (rho > ROUNDING) | broken
        ceiling = torch.where(broken, torch.nan, (2 * rho / (1 + rho)).sqrt())
        weight = torch.where(counts, bins, 0.0)
        return cls(torch.where(counts, weight * ceiling, 0.0), weight, block.repeats)

    def pool(self) -> HalfSplits:
        """Join the leading axis."""
        return HalfSplits(self.ceiling.sum(0), self.weight.sum(0), self.repeats.amax(0))

    def merge(self, *others: HalfSplits) -> HalfSplits:
        """Join pooled statistics of different stimuli."""
        return HalfSplits(*map(_stack, self, *others)).pool()


# Any of the classes above, or a user's own with of, pool and merge.
Statistic = Any
Part = Callable[[Block], Statistic]


class Measure(NamedTuple):
    """A metric in two halves: the statistics that it needs of every block, and the formula on them.

    Attributes
    ----------
    parts : tuple of callable
        ``block -> statistic``, e.g. ``Moments.of``.
    compute : callable
        ``(*statistics) -> (N,)`` float64 tensor; undefined neurons are NaN.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics import corrcoef
    >>> from deepSTRF.metrics.correlation import CORRCOEF
    >>> pred, responses = torch.rand(6, 3, 1, 50), torch.rand(6, 3, 4, 50)
    >>> statistics = None
    >>> for batch in (slice(0, 4), slice(4, 6)):
    ...     statistics = update(statistics, CORRCOEF.parts, pred[batch], responses[batch])
    >>> whole = corrcoef(pred, responses, reduction="none")
    >>> torch.allclose(CORRCOEF.compute(*statistics).float(), whole)
    True
    """

    parts: tuple[Part, ...]
    compute: Callable[..., Tensor]


@torch.no_grad()
def collect(
    parts: tuple[Part, ...],
    responses: Num[Tensor, "B N R T"],
    pred: Num[Tensor, "B N 1 T"] | None = None,
    mask: Bool[Tensor, "B N R T"] | None = None,
    psth: Float[Tensor, "B N 1 T"] | None = None,
) -> tuple[Statistic, ...]:
    """Compute statistics of a batch in one pass over it.

    Parameters
    ----------
    parts : tuple of callable
        ``block -> statistic``; those of several metrics share the pass.
    responses : Tensor
        ``(B, N, R, T)``; NaN where missing, unless ``mask`` is given.
    pred : Tensor, optional
        ``(B, N, 1, T)``; without it the PSTH takes its place.
    mask : Tensor, optional
        Bool ``(B, N, R, T)``; replaces the not-NaN mask.
    psth : Tensor, optional
        ``average_repeats(responses, mask)``, where that is at hand.

    Returns
    -------
    tuple
        One pooled statistic per part. The arguments are not checked here; the public metrics do that.

    Examples
    --------
    >>> import torch
    >>> (moments,) = collect((Moments.of,), torch.tensor([[[[1.0, 2.0, 6.0]]]]))
    >>> moments.mean_resp, moments.square_resp
    (tensor([3.], dtype=torch.float64), tensor([14.], dtype=torch.float64))
    """
    total: tuple[Statistic, ...] | None = None
    for group in blocks(responses, pred, mask, psth):
        pieces = [[part(block) for part in parts] for block in group]
        chunk = tuple(_pool(_join_neurons(piece)) for piece in zip(*pieces, strict=True))
        total = chunk if total is None else merge(total, chunk)
    if total is None:
        raise RuntimeError("no block was made of the responses; please report this as a bug")
    return total


def merge(*batches: tuple[Statistic, ...]) -> tuple[Statistic, ...]:
    """Join the statistics of two or more batches: what :func:`collect` gives for all of them together.

    Examples
    --------
    >>> import torch
    >>> a, b = (collect((Moments.of,), torch.full((1, 1, 1, 4), value)) for value in (1.0, 3.0))
    >>> merge(a, b)[0].mean_resp
    tensor([2.], dtype=torch.float64)
    """
    return tuple(own[0].merge(*own[1:]) for own in zip(*batches, strict=True))


def update(
    statistics: tuple[Statistic, ...] | None,
    parts: tuple[Part, ...],
    pred: Num[Tensor, "B N 1 T"] | None,
    responses: Num[Tensor, "B N R T"],
    mask: Bool[Tensor, "B N R T"] | None = None,
) -> tuple[Statistic, ...]:
    """Add a batch to running statistics; ``None`` starts them. See :func:`collect` and :class:`Measure`."""
    fresh = collect(parts, responses, pred, mask)
    return fresh if statistics is None else merge(statistics, fresh)


def power_of_repeats(
    count: Float[Tensor, "*n R R"], cross: Float[Tensor, "*n R R"]
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Signal and total power from pairwise-complete comoments between repeats; NaN where no two repeats meet.

    The signal power is the covariance between different repeats, the total power the variance of single ones, both
    averaged with degrees of freedom as weights. Without missing data that is the estimator of Sahani & Linden [2]_.

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


def _comoments(block: Block) -> tuple[Float[Tensor, "S N R R"], Float[Tensor, "S N R R"], Float[Tensor, "S N R R"]]:
    """Count, mean and comoment of the repeats of a block; a block of complete data is taken in pieces."""
    if block.valid is not None:
        return _between_repeats(block.responses, block.valid, block.psth, block.columns)
    batch, neurons, repeats, bins = block.responses.shape
    elements = block_elements(block.responses.device)
    pieces = [
        _between_repeats(block.responses[stimuli, group], None, block.psth[stimuli, group], None)
        for stimuli, groups in slices((batch, neurons, repeats, bins), elements)
        for group in groups
    ]
    count, mean, cross = (torch.cat(fields, dim=1) for fields in zip(*pieces, strict=True))
    return count, mean, cross


def _between_repeats(
    responses: Float[Tensor, "S N R T"],
    valid: Float[Tensor, "S N R T"] | None,
    psth: Float[Tensor, "S N T"],
    columns: Float[Tensor, "S N T"] | None,
) -> tuple[Float[Tensor, "S N R R"], Float[Tensor, "S N R R"], Float[Tensor, "S N R R"]]:
    """Count, mean of the row's repeat and comoment over the bins that two repeats share."""
    bins = psth.shape[-1] if columns is None else columns.sum(-1, keepdim=True).clamp(min=1)
    origin = (psth.sum(-1, keepdim=True) / bins)[..., None]
    shifted = responses - origin
    if valid is None:
        sums = shifted.sum(-1, keepdim=True).expand(*shifted.shape[:3], shifted.shape[2])
        count = torch.full_like(sums, shifted.shape[-1])
    else:
        valid = valid.to(shifted.dtype)
        shifted.mul_(valid)
        count = valid @ valid.transpose(-1, -2)
        sums = shifted @ valid.transpose(-1, -2)
    mean = sums / count.clamp(min=1)
    cross = shifted @ shifted.transpose(-1, -2) - mean * sums.transpose(-1, -2)
    return count, mean + origin, cross


def _patch_irregular(
    block: Block,
    regular: Bool[Tensor, "S N"],
    signal: Float[Tensor, "S N"],
    noise: Float[Tensor, "S N"],
    qualifies: Bool[Tensor, "S N"],
) -> tuple[Float[Tensor, "S N"], Float[Tensor, "S N"], Bool[Tensor, "S N"]]:
    """Replace the powers of the pairs whose repeats cover different bins by the pairwise-complete ones."""
    if block.valid is None or block.columns is None:
        return signal, noise, qualifies
    irregular = ~regular
    if signal.device.type != "cpu":
        irregular = torch.ones_like(regular)  # on a GPU, picking would wait for the device: recompute all
    elif regular.all():
        return signal, noise, qualifies
    here = irregular.nonzero(as_tuple=True) if signal.device.type == "cpu" else (...,)
    pick = [tensor[here] for tensor in (block.responses, block.valid, block.psth, block.columns)]
    if signal.device.type == "cpu":
        pick = [tensor[None] for tensor in pick]  # the pairs as one stimulus
    count, _, cross = _between_repeats(*pick)
    paired, total = power_of_repeats(count, cross)
    met = ((count >= 2).sum((-2, -1)) - (count.diagonal(dim1=-2, dim2=-1) >= 2).sum(-1)) > 0
    signal[here] = paired
    noise[here] = total - paired
    qualifies[here] = met
    return signal, noise, qualifies


def _fill_unshared(cross: Float[Tensor, "S N R R"], count: Float[Tensor, "S N R R"]) -> Float[Tensor, "S N R R"]:
    """Covariances; two repeats without a common bin get the signal power, their expected covariance."""
    covariance = cross / (count - 1).clamp(min=1)
    shared = count >= 2
    signal = power_of_repeats(count, cross)[0].nan_to_num(nan=0.0)
    return torch.where(shared, covariance, signal[..., None, None])


def _valid_first(first: Bool[Tensor, "S N R"], *matrices: Float[Tensor, "S N R R"]) -> list[Tensor]:
    """Permute rows and columns so that the marked repeats lead, in their own order."""
    order = torch.argsort(first.logical_not().to(torch.uint8), dim=-1, stable=True)
    rows = order[..., None].expand_as(matrices[0])
    columns = order[..., None, :].expand_as(matrices[0])
    return [matrix.gather(-2, rows).gather(-1, columns) for matrix in matrices]


def _stack(*fields: Tensor) -> Tensor:
    """Stack pooled fields, zero-padding the repeat axes to the longest."""
    if fields[0].ndim == 3 and len({field.shape for field in fields}) > 1:
        longest = max(field.shape[-1] for field in fields)
        fields = tuple(pad(field, (0, longest - field.shape[-1]) * 2) for field in fields)
    return torch.stack(fields)


def _pool(statistic: Statistic) -> Statistic:
    """Join the leading axis; a single stimulus is its own total."""
    if len(statistic[0]) == 1:
        return type(statistic)(*(field[0] for field in statistic))
    return statistic.pool()


def _join_neurons(pieces: tuple[Statistic, ...]) -> Statistic:
    """Concatenate the statistics of blocks of neurons along the neuron axis."""
    if len(pieces) == 1:
        return pieces[0]
    return type(pieces[0])(*(torch.cat(fields, dim=1) for fields in zip(*pieces, strict=True)))
