"""Pass over a population's responses in pieces that fit the processor's cache.

A recording's response tensor ``(B, N, R, T)`` easily has gigabytes. One broadcast over all of it writes temporaries of
the same size to main memory and is bound by that; the same arithmetic in pieces of about a megabyte stays in the cache
and costs little more than reading the data once. Every statistic of :mod:`deepSTRF.metrics.statistics` is computed
from such a :class:`Block`, in float64; only sums over the repeats of one bin, and squares where they lose no digits,
stay in the dtype of complete data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from deepSTRF.devices import has_float64
from deepSTRF.metrics._arguments import check_responses
from deepSTRF.metrics.pieces import block_elements, slices

# Sums of float32 squares serve as long as what is wanted of them is not much smaller than they are, and sums of values
# as long as they vary; otherwise differences between repeats are taken, which costs about three times as much.
DIGITS_KEPT = 1 / 16
OFFSET_ALLOWED = 0.999


@dataclass(frozen=True, eq=False)
class Block:
    """Some stimuli × some neurons, in float64, with zeros where data are missing.

    Attributes
    ----------
    responses : Tensor
        ``(S, N, R, T)``; 0 where missing; the caller's own data if nothing is. Float32 or float64.
    valid : Tensor or None
        ``(S, N, R, T)``; 1 where there is a response and 0 elsewhere, in the dtype of ``responses``; None if nothing
        is missing.
    psth : Tensor
        ``(S, N, T)``, mean over the valid repeats of each bin; 0 where there is none.
    columns : Tensor or None
        ``(S, N, T)``; 1 where at least one repeat is valid; None if nothing is missing.
    pred : Tensor
        ``(S, N, T)``, prediction; 0 where no repeat is valid. The PSTH itself where a pass has no prediction.
    resolution : float
        Machine epsilon of the coarsest dtype among the inputs.
    known_scatter : Tensor or None
        ``(S, N)``, the :attr:`scatter` where it was computed already.
    """

    responses: Float[Tensor, "S N R T"]
    valid: Float[Tensor, "S N R T"] | None
    psth: Float[Tensor, "S N T"]
    columns: Float[Tensor, "S N T"] | None
    pred: Float[Tensor, "S N T"]
    resolution: float
    known_scatter: Float[Tensor, "S N"] | None = None

    @cached_property
    def bins(self) -> Float[Tensor, "S N"]:
        """Number of bins with at least one valid repeat."""
        if self.columns is None:
            return self.psth.new_full(self.psth.shape[:2], self.psth.shape[2])
        return self.columns.sum(-1)

    @cached_property
    def bins_of_repeat(self) -> Float[Tensor, "S N R"]:
        """Number of valid bins of each repeat."""
        if self.valid is None:
            return self.psth.new_full(self.responses.shape[:3], self.psth.shape[2])
        return self.valid.sum(-1).to(self.psth.dtype)

    @cached_property
    def repeats(self) -> Float[Tensor, "S N"]:
        """Number of repeats with at least one valid bin."""
        if self.valid is None:
            return self.psth.new_full(self.psth.shape[:2], self.responses.shape[2] if self.psth.shape[2] else 0)
        return (self.bins_of_repeat > 0).sum(-1).to(self.psth.dtype)

    @cached_property
    def mean_and_centred_psth(self) -> tuple[Float[Tensor, "S N"], Float[Tensor, "S N T"]]:
        """Mean of the PSTH over time, and the PSTH minus it; 0 where it is missing."""
        return centre(self.psth, self.columns, self.bins)

    @cached_property
    def square_psth(self) -> Float[Tensor, "S N"]:
        """Sum over time of the squares of the centred PSTH."""
        centred = self.mean_and_centred_psth[1]
        return torch.linalg.vector_norm(centred, dim=-1).square_()

    @cached_property
    def scatter(self) -> Float[Tensor, "S N"]:
        """Sum of squared deviations of the repeats from the PSTH, after the mean over time of each is removed.

        Exactly 0 where all repeats of complete data are the same. Of use where the repeats that are there cover the
        same bins.
        """
        if self.known_scatter is not None:
            return self.known_scatter
        residual = self.responses - self.psth[:, :, None]
        if self.valid is not None:
            residual.mul_(self.valid)
        # before the squares: a repeat at another offset would leave no digits for the rest
        residual -= (residual.sum(-1) / self.bins_of_repeat.clamp(min=1))[..., None]
        if self.valid is not None:
            residual.mul_(self.valid)
        return torch.linalg.vector_norm(residual, dim=(-2, -1)).square()


def _without_constants(
    square: Float[Tensor, "S N"], sums: Float[Tensor, "S N R"], bins: Float[Tensor, "S N"] | int
) -> Float[Tensor, "S N"]:
    """Take from sums of squares what comes from the mean over time of each repeat, given by its sum."""
    bins = max(bins, 1) if isinstance(bins, int) else bins.clamp(min=1)
    # what is left is rounding where the repeats differ by nothing else
    return (square - sums.square().sum(-1) / bins).clamp(min=0)


def centre(
    values: Float[Tensor, "S N T"], columns: Float[Tensor, "S N T"] | None, bins: Float[Tensor, "S N"]
) -> tuple[Float[Tensor, "S N"], Float[Tensor, "S N T"]]:
    """Return mean over the valid bins, and the values minus it (0 where missing)."""
    mean = values.sum(-1) / bins.clamp(min=1)
    deviation = values - mean[..., None]
    return mean, deviation if columns is None else deviation.mul_(columns)


def valid_and_filled(responses: Float[Tensor, "*axes T"]) -> tuple[Float[Tensor, "*axes T"], Float[Tensor, "*axes T"]]:
    """Return 1 where there is a number and 0 where not, and the responses with 0 where missing.

    Examples
    --------
    >>> import torch
    >>> valid_and_filled(torch.tensor([[[[1.0, torch.nan]]]]))
    (tensor([[[[1., 0.]]]]), tensor([[[[1., 0.]]]]))
    """
    # several times as fast as a bool tensor that is converted
    valid = torch.eq(responses, responses, out=torch.empty_like(responses))
    return valid, responses.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)


def average_valid(
    responses: Float[Tensor, "S N R T"], mask: Bool[Tensor, "S N R T"] | None
) -> tuple[
    Float[Tensor, "S N R T"],
    Float[Tensor, "S N R T"],
    Float[Tensor, "S N T"],
    Float[Tensor, "S N T"],
]:
    """Return ``(responses with zeros where missing, valid, psth, columns)`` as a :class:`Block` holds them."""
    responses = responses.to(torch.float64 if has_float64(responses.device) else torch.float32)
    if mask is None:
        valid, responses = valid_and_filled(responses)
    else:
        valid = mask.to(responses.dtype)
        responses = responses.masked_fill(~mask, 0.0)
    count = valid.sum(2)
    return responses, valid, responses.sum(2).div_(count.clamp(min=1)), (count > 0).to(responses.dtype)


def may_be_complete(responses: Tensor, mask: Tensor | None) -> bool:
    """Whether to try arithmetic that holds for complete data only, and to see from its result whether it did.

    On a GPU that look would be a wait.
    """
    if responses.device.type != "cpu" or responses.dtype not in (torch.float32, torch.float64):
        return False
    return mask is None or bool(mask.all())


def is_complete(values: Tensor) -> bool:
    """Whether there are values and none of them is NaN, as far as a look may be had; see :func:`may_be_complete`."""
    return values.numel() > 0 and may_be_complete(values, None) and not _has_nan(values)


def _has_nan(small: Tensor) -> bool:
    return math.isnan(small.sum().item())


def _epsilon(tensor: Tensor) -> float:
    return torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0


def _resolution(responses: Tensor, pred: Tensor | None) -> float:
    return max(_epsilon(responses), _epsilon(responses if pred is None else pred))


def _make_block(responses: Tensor, pred: Tensor | None, mask: Tensor | None) -> Block:
    filled, valid, psth, columns = average_valid(responses, mask)
    rate = psth if pred is None else pred[:, :, 0].to(torch.float64).masked_fill(columns == 0, 0.0)
    return Block(filled, valid, psth, columns, rate, _resolution(responses, pred))


def _left_range(squares: Float[Tensor, "S N"], sums: Float[Tensor, "S N R"], number: int) -> bool:
    """Whether float32 squares, `number` in each of these sums, were too large or too small for it.

    Zeros are fine where ``sums`` of the numbers that were squared show that they are no lost squares.
    """
    lowest, highest = (value.item() for value in squares.aminmax())
    floor = number * 1e-30
    if math.isfinite(highest) and lowest > floor:
        return False
    return not math.isfinite(highest) or not ((squares > floor) | (sums == 0).all(-1)).all()


def _complete_block(responses: Tensor, pred: Tensor | None, neurons: list[slice], *, check: bool) -> Block | None:
    """All neurons of some stimuli without missing data; None if, with `check`, there is a NaN.

    Whatever is wanted of the repeats is computed while they are in the cache.
    """
    repeats, bins = responses.shape[2:]
    pieces = [responses[:, group] for group in neurons]
    norms = torch.cat([torch.linalg.vector_norm(piece, dim=-1) for piece in pieces], 1)
    sums = torch.cat([piece.sum(-1) for piece in pieces], 1).to(torch.float64)
    squares = norms.to(torch.float64).square_().sum(-1)
    if check and _has_nan(squares):
        return None
    if responses.dtype == torch.float32 and _left_range(squares, sums, repeats * bins):
        return _complete_block(responses.to(torch.float64), pred, neurons, check=check)
    mean = torch.cat([sum_repeats(piece) for piece in pieces], 1).to(torch.float64).div_(repeats)
    own, level = torch.linalg.vector_norm(mean, dim=-1).square_(), mean.sum(-1)
    scatter = _without_constants(squares - repeats * own, sums - level[..., None], bins)
    imprecise = (scatter < DIGITS_KEPT * squares) | (level.square() > OFFSET_ALLOWED * bins * own)
    if imprecise.any():
        for group, piece in zip(neurons, pieces, strict=True):
            if imprecise[:, group].any():
                mean[:, group], scatter[:, group] = _by_differences(piece)
    rate = mean if pred is None else pred[:, :, 0].to(torch.float64)
    return Block(responses, None, mean, None, rate, _resolution(responses, pred), scatter)


def _incomplete_block(responses: Tensor, pred: Tensor | None) -> Block:
    """Some stimuli and neurons, NaN where missing, in the dtype of the data where that is precise enough."""
    repeats, bins = responses.shape[2:]
    valid, filled = valid_and_filled(responses)
    sums, squares = filled.sum(-1).double(), torch.linalg.vector_norm(filled, dim=-1).double().square_().sum(-1)
    count = sum_repeats(valid).double()
    mean = sum_repeats(filled).double().div_(count.clamp(min=1))
    columns = (count > 0).to(torch.float64)
    own, level, covered = (count * mean).mul_(mean).sum(-1), mean.sum(-1), columns.sum(-1)
    there = valid.amax(-1)
    scatter = _without_constants(squares - own, sums - there * level[..., None], covered)
    level_of_all = torch.linalg.vector_norm(mean, dim=-1).square_() * covered
    left_range = responses.dtype == torch.float32 and _left_range(squares, sums, repeats * bins)
    if left_range or ((scatter < DIGITS_KEPT * squares) | (level.square() > OFFSET_ALLOWED * level_of_all)).any():
        return _make_block(responses, pred, None)
    rate = mean if pred is None else pred[:, :, 0].to(torch.float64).masked_fill(columns == 0, 0.0)
    return Block(filled, valid, mean, columns, rate, _resolution(responses, pred), scatter)


def _one_repeat(responses: Float[Tensor, "S N 1 T"], pred: Tensor | None) -> Block:
    """Some stimuli of which there is a single repeat, or the PSTH: there is nothing to average and no scatter."""
    psth = responses[:, :, 0].to(torch.float64)
    rate = psth if pred is None else pred[:, :, 0].to(torch.float64)
    resolution, no_scatter = _resolution(responses, pred), psth.new_zeros(psth.shape[:2])
    if not _has_nan(psth):
        return Block(responses, None, psth, None, rate, resolution, no_scatter)
    columns, psth = valid_and_filled(psth)
    finite = math.isfinite(rate.sum().item())
    rate = rate * columns if finite else rate.masked_fill(columns == 0, 0.0)  # the product is several times as fast
    return Block(psth[:, :, None], columns[:, :, None], psth, columns, rate, resolution, no_scatter)


def _by_differences(
    responses: Float[Tensor, "S N R T"],
) -> tuple[Float[Tensor, "S N T"], Float[Tensor, "S N"]]:
    """PSTH and scatter of complete data, by the differences to the first repeat, minus their own means over time.

    They lose no digits to a large offset, of all repeats or of one, and are exactly 0 where all repeats are the same.
    """
    first = responses[:, :, :1].double()
    deviation = responses - first
    offset = deviation.mean(-1, keepdim=True)
    deviation -= offset
    mean = deviation.mean(2)
    scatter = deviation.sub_(mean[:, :, None]).square_().sum((-2, -1))
    return mean.add_(offset.mean(2)).add_(first[:, :, 0]), scatter


def sum_repeats(responses: Float[Tensor, "S N R T"]) -> Float[Tensor, "S N T"]:
    """Sum over the repeats, in the dtype of the data.

    Examples
    --------
    >>> import torch
    >>> sum_repeats(torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]]))
    tensor([[[4., 7.]]])
    """
    exact = responses.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    if exact and torch.get_float32_matmul_precision() == "highest":
        # a product with ones is three times as fast as a sum over the last axis but one
        return torch.matmul(responses.new_ones(1, responses.shape[2]), responses)[:, :, 0]
    return responses.sum(2)


def blocks(
    responses: Num[Tensor, "B N R T"],
    pred: Num[Tensor, "B N 1 T"] | None = None,
    mask: Bool[Tensor, "B N R T"] | None = None,
) -> Iterator[Iterator[Block]]:
    """Yield, for each group of stimuli, an iterator over its blocks of neurons; on the CPU for want of float64.

    Use a block before taking the next one, and let it go: that is what keeps it in the cache.

    Parameters
    ----------
    responses : Tensor
        ``(B, N, R, T)``; NaN where missing, unless ``mask`` is given.
    pred : Tensor, optional
        ``(B, N, 1, T)``. Without it the PSTH takes its place.
    mask : Tensor, optional
        ``(B, N, R, T)``, True where data count; replaces the not-NaN mask.

    Yields
    ------
    iterator of Block
        Together these cover all neurons for the same stimuli; a single one does where nothing is missing.
    """
    if not has_float64(responses.device):
        responses = responses.cpu()
        pred, mask = (None if tensor is None else tensor.cpu() for tensor in (pred, mask))
    batch, neurons, repeats, bins = responses.shape
    if responses.numel() == 0:  # no stimulus at all: every neuron is there, and has no data
        responses = torch.full((1, neurons, 1, 1), torch.nan, device=responses.device)
        pred, mask, batch, repeats, bins = None, None, 1, 1, 1
        if neurons == 0:
            raise ValueError("a population needs at least one neuron, got N = 0")
    for stimuli, groups in slices((batch, neurons, repeats, bins), block_elements(responses.device)):
        here = responses[stimuli]
        rates, marks = (None if tensor is None else tensor[stimuli] for tensor in (pred, mask))
        if repeats > 1 and may_be_complete(here, marks):
            block = _complete_block(here, rates, groups, check=mask is None)
            if block is not None:
                yield iter((block,))
                continue
        yield (_some_neurons(here, rates, marks, group) for group in groups)


def _some_neurons(responses: Tensor, pred: Tensor | None, mask: Tensor | None, neurons: slice) -> Block:
    here, rate = responses[:, neurons], None if pred is None else pred[:, neurons]
    if mask is None and may_be_complete(here, None):
        return _one_repeat(here, rate) if here.shape[2] == 1 else _incomplete_block(here, rate)
    return _make_block(here, rate, None if mask is None else mask[:, neurons])


@torch.no_grad()
def average_repeats(
    responses: Num[Tensor, "B N R T"], mask: Bool[Tensor, "B N R T"] | None = None
) -> Float[Tensor, "B N 1 T"]:
    """Mean over the valid repeats of every bin (the PSTH); NaN where there is none.

    Equal to ``torch.nanmean(responses, 2, keepdim=True)`` without its temporaries, and several times as fast.

    Parameters
    ----------
    responses : Tensor
        ``(B, N, R, T)``; NaN where missing, unless ``mask`` is given.
    mask : Tensor, optional
        Bool ``(B, N, R, T)``; replaces the not-NaN mask.

    Returns
    -------
    Tensor
        ``(B, N, 1, T)`` in the dtype of ``responses`` (float32 if that is an integer).

    Raises
    ------
    TypeError
        If ``responses`` is not a tensor of real numbers or ``mask`` is not a bool tensor.
    ValueError
        For shapes or devices that do not fit.

    Examples
    --------
    >>> import torch
    >>> average_repeats(torch.tensor([[[[1.0, 2.0], [3.0, torch.nan]]]]))
    tensor([[[[2., 2.]]]])
    """
    mask = check_responses(responses, mask)
    batch, neurons, repeats, bins = responses.shape
    dtype = responses.dtype if responses.is_floating_point() else torch.float32
    result = torch.empty(batch, neurons, 1, bins, dtype=dtype, device=responses.device)
    if responses.numel() == 0:
        return result.fill_(torch.nan)
    for stimuli, groups in slices((batch, neurons, repeats, bins), block_elements(responses.device)):
        for group in groups:
            piece, piece_mask = responses[stimuli, group], None if mask is None else mask[stimuli, group]
            if may_be_complete(piece, piece_mask):
                psth = sum_repeats(piece).div_(repeats)
                if mask is None and _has_nan(psth):
                    valid, filled = valid_and_filled(piece)
                    psth = sum_repeats(filled).div_(sum_repeats(valid))  # 0 / 0 is NaN: no repeat
                result[stimuli, group, 0] = psth
                continue
            *_, psth, columns = average_valid(piece, piece_mask)
            result[stimuli, group, 0] = psth.masked_fill_(columns == 0, torch.nan)
    return result
