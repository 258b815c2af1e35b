"""Sufficient statistics of a recording: computed per batch, merged exactly, small.

Every metric is a formula on one or two of these. Each is a ``NamedTuple`` of float64 tensors whose last axes are
given below. ``of(block)`` computes it for the stimuli and neurons of a :class:`~deepSTRF.metrics.blocks.Block` (shape
``(S, N, ...)``), and ``pool()`` joins the leading axis, be it of stimuli or (in :func:`merge`) of batches. Means and
centred second moments are combined by the formula of Chan, Golub & LeVeque [1]_, so neither the order of the stimuli
nor the way in which they are cut into batches changes the result beyond float64 rounding, and a large offset of the
data costs no digits.

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
from jaxtyping import Bool, Num
from torch import Tensor
from torch.nn.functional import pad

from deepSTRF.metrics._arguments import check_pair, check_responses, reduce_neurons
from deepSTRF.metrics.blocks import Block, blocks, centre
from deepSTRF.metrics.comoments import comoments, fill_unshared, replace_irregular, valid_first
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

    @staticmethod
    def source() -> str:
        """What of a batch it is computed from."""
        return "psth"

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

    @staticmethod
    def source() -> str:
        """What of a batch it is: the statistics that go with its PSTH."""
        return "statistics"

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
            signal, noise, qualifies = replace_irregular(block, regular, signal, noise, qualifies)
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
        count, mean, cross = comoments(block)
        if block.valid is not None:
            count, mean, cross = valid_first(block.bins_of_repeat > 0, count, mean, cross)
        return cls(count, mean, cross, torch.where(repeats > 0, repeats, torch.inf), repeats)

    def pool(self) -> RepeatMoments:
        """Join the leading axis."""
        shared = self.shared.sum(0)
        mean = (self.shared * self.mean).sum(0) / shared.clamp(min=1)
        shift = self.mean - mean
        cross = (self.cross + self.shared * shift * shift.transpose(-1, -2)).sum(0)
        return RepeatMoments(shared, mean, cross, self.fewest.amin(0), self.most.amax(0))


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
        count, mean, cross = comoments(block)
        usable = count.diagonal(dim1=-2, dim2=-1) >= 2
        if block.valid is not None:
            count, mean, cross = valid_first(usable, count, mean, cross)
        covariance = fill_unshared(cross, count)
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


# Any of the classes above, or a user's own NamedTuple with of and pool.
Statistic = Any
Part = Callable[[Block], Statistic]


def has_bins(statistic: Statistic) -> Bool[Tensor, " N"]:
    """Whether a neuron has a valid bin, by a statistic that counts them."""
    return statistic.bins > 0


class Measure(NamedTuple):
    """A metric in two halves: the statistics that it needs of every block, and the formula on them.

    Attributes
    ----------
    parts : tuple of callable
        ``block -> statistic``, e.g. ``Moments.of``.
    compute : callable
        ``(*statistics) -> (N,)`` float64 tensor; undefined neurons are NaN.
    of_responses : bool
        Whether it is a measure of the responses alone, without a prediction.
    has_data : callable, optional
        ``(*statistics) -> (N,)`` bool tensor, of a loss: a neuron with data enters a reduction even if it is NaN.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics import corrcoef
    >>> from deepSTRF.metrics.correlation import CORRCOEF
    >>> pred, responses = torch.rand(6, 3, 1, 50), torch.rand(6, 3, 4, 50)
    >>> first, second = (collect(CORRCOEF.parts, responses[b], pred[b]) for b in (slice(0, 4), slice(4, 6)))
    >>> whole = corrcoef(pred, responses, reduction="none")
    >>> torch.allclose(CORRCOEF.compute(*merge(first, second)).float(), whole)
    True
    """

    parts: tuple[Part, ...]
    compute: Callable[..., Tensor]
    of_responses: bool = False
    has_data: Callable[..., Tensor] | None = None

    def reduced(self, reduction: str, *statistics: Statistic) -> Tensor:
        """Value of the statistics after a reduction over neurons, in float64."""
        counts = None if self.has_data is None else self.has_data(*statistics)
        return reduce_neurons(self.compute(*statistics), reduction, counts)

    def check(self, pred: Any, responses: Tensor, mask: Tensor | None, name: str) -> Tensor | None:
        """Check the data of a batch, whose responses are called `name` in messages; return the expanded mask."""
        if self.of_responses:
            return check_responses(responses, mask, name)
        return check_pair(pred, responses, mask, name)


@torch.no_grad()
def collect(
    parts: tuple[Part, ...],
    responses: Num[Tensor, "B N R T"],
    pred: Num[Tensor, "B N 1 T"] | None = None,
    mask: Bool[Tensor, "B N R T"] | None = None,
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
    for group in blocks(responses, pred, mask):
        pieces = [[part(block) for part in parts] for block in group]
        chunk = tuple(_pool(join_neurons(piece)) for piece in zip(*pieces, strict=True))
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
    return tuple(type(own[0])(*map(_stack, *own)).pool() for own in zip(*batches, strict=True))


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


def join_neurons(pieces: tuple[Statistic, ...]) -> Statistic:
    """Concatenate the statistics of blocks of neurons along the neuron axis."""
    if len(pieces) == 1:
        return pieces[0]
    return type(pieces[0])(*(torch.cat(fields, dim=1) for fields in zip(*pieces, strict=True)))
