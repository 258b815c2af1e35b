"""Pass over a population's responses in pieces that fit the processor's cache.

A recording's response tensor ``(B, N, R, T)`` easily has gigabytes. One broadcast over all of it writes temporaries of
the same size to main memory and is bound by that; the same arithmetic in pieces of about a megabyte stays in the cache
and costs little more than reading the data once. Every statistic of :mod:`deepSTRF.metrics.statistics` is computed
from such a :class:`Block`, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

# Elements of a block for each CPU thread, 4 MB as float64: the measured optimum. Larger ones leave the cache; smaller
# ones cost calls, and many short parallel regions, which suffer most where other processes want the same cores.
BLOCK_ELEMENTS = 2**19
# The most threads that a block grows with: more would leave the cache that they share.
BLOCK_THREADS = 4
# A GPU has no such cache, but much memory and costly calls.
BLOCK_ELEMENTS_GPU = 2**24


@dataclass(frozen=True, eq=False)
class Block:
    """Some stimuli × some neurons, in float64, with zeros where data are missing.

    Attributes
    ----------
    responses : Tensor
        ``(S, N, R, T)``; 0 where missing.
    valid : Tensor or None
        ``(S, N, R, T)``; 1 where there is a response and 0 elsewhere; None if nothing is missing.
    psth : Tensor
        ``(S, N, T)``, mean over the valid repeats of each bin; 0 where there is none.
    columns : Tensor or None
        ``(S, N, T)``; 1 where at least one repeat is valid; None if nothing is missing.
    pred : Tensor
        ``(S, N, T)``, prediction; 0 where no repeat is valid. The PSTH itself where a pass has no prediction.
    resolution : float
        Machine epsilon of the coarsest dtype among the inputs.
    """

    responses: Float[Tensor, "S N R T"]
    valid: Float[Tensor, "S N R T"] | None
    psth: Float[Tensor, "S N T"]
    columns: Float[Tensor, "S N T"] | None
    pred: Float[Tensor, "S N T"]
    resolution: float

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
        return self.valid.sum(-1)

    @cached_property
    def repeats(self) -> Float[Tensor, "S N"]:
        """Number of repeats with at least one valid bin."""
        return (self.bins_of_repeat > 0).sum(-1).to(self.psth.dtype)

    def centred_psth(self) -> Float[Tensor, "S N T"]:
        """Return the PSTH minus its mean over time; 0 where it is missing."""
        return centre(self.psth, self.columns, self.bins)[1]


def centre(
    values: Float[Tensor, "S N T"], columns: Float[Tensor, "S N T"] | None, bins: Float[Tensor, "S N"]
) -> tuple[Float[Tensor, "S N"], Float[Tensor, "S N T"]]:
    """Return mean over the valid bins, and the values minus it (0 where missing)."""
    mean = values.sum(-1) / bins.clamp(min=1)
    deviation = values - mean[..., None]
    return mean, deviation if columns is None else deviation.mul_(columns)


def average_valid(
    responses: Float[Tensor, "S N R T"], mask: Bool[Tensor, "S N R T"] | None
) -> tuple[
    Float[Tensor, "S N R T"],
    Float[Tensor, "S N R T"] | None,
    Float[Tensor, "S N T"],
    Float[Tensor, "S N T"] | None,
]:
    """Return ``(responses with zeros where missing, valid, psth, columns)`` as a :class:`Block` holds them.

    ``responses`` must be a fresh float64 tensor: it is changed in place.
    """
    # One small look on the CPU saves the masked arithmetic for complete data; on a GPU the look would be a wait.
    if responses.device.type == "cpu":
        complete = not responses.sum(-1).isnan().any() if mask is None else mask.all()
        if complete:
            return responses, None, responses.mean(2), None
    if mask is None:
        # several times as fast as a bool tensor that is converted
        valid = torch.eq(responses, responses, out=torch.empty_like(responses))
        responses = responses.nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    else:
        valid = mask.to(responses.dtype)
        responses = responses.masked_fill_(~mask, 0.0)
    count = valid.sum(2)
    return responses, valid, responses.sum(2).div_(count.clamp(min=1)), (count > 0).to(responses.dtype)


def _epsilon(tensor: Tensor) -> float:
    return torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0


def _make_block(responses: Tensor, pred: Tensor | None, mask: Tensor | None) -> Block:
    resolution = max(_epsilon(responses), _epsilon(responses if pred is None else pred))
    # copy=True: the data of the caller are never changed, not even when they are float64 already
    filled, valid, psth, columns = average_valid(responses.to(torch.float64, copy=True), mask)
    if pred is None:
        rate = psth
    else:
        rate = pred[:, :, 0].to(torch.float64)
        if columns is not None:
            rate = rate.masked_fill(columns == 0, 0.0)
    return Block(filled, valid, psth, columns, rate, resolution)


def block_elements(device: torch.device) -> int:
    """Elements of a block on a device, for the number of threads that torch may use now."""
    if device.type != "cpu":
        return BLOCK_ELEMENTS_GPU
    return BLOCK_ELEMENTS * min(torch.get_num_threads(), BLOCK_THREADS)


def slices(shape: tuple[int, int, int, int], elements: int) -> Iterator[tuple[slice, list[slice]]]:
    """Cut ``(B, N, R, T)`` into pieces of about ``elements``: stimuli first, then neurons.

    Examples
    --------
    >>> [(s.start, s.stop, len(neurons)) for s, neurons in slices((3, 494, 20, 511), 2**19)]
    [(0, 1, 10), (1, 2, 10), (2, 3, 10)]
    """
    batch, neurons, repeats, bins = shape
    stimuli = max(1, elements // (neurons * repeats * bins))
    step = neurons if stimuli > 1 else max(1, elements // (repeats * bins))
    for start in range(0, batch, stimuli):
        yield (
            slice(start, min(start + stimuli, batch)),
            [slice(first, min(first + step, neurons)) for first in range(0, neurons, step)],
        )


def blocks(
    responses: Num[Tensor, "B N R T"],
    pred: Num[Tensor, "B N 1 T"] | None = None,
    mask: Bool[Tensor, "B N R T"] | None = None,
) -> Iterator[Iterator[Block]]:
    """Yield, for each group of stimuli, an iterator over its blocks of neurons, in order.

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
        Together these cover all neurons for the same stimuli.
    """
    batch, neurons, repeats, bins = responses.shape
    if responses.numel() == 0:  # no stimulus at all: every neuron is there, and has no data
        responses = torch.full((1, neurons, 1, 1), torch.nan, device=responses.device)
        pred, mask, batch, repeats, bins = None, None, 1, 1, 1
        if neurons == 0:
            raise ValueError("a population needs at least one neuron; got N = 0")
    for stimuli, groups in slices((batch, neurons, repeats, bins), block_elements(responses.device)):
        yield (
            _make_block(
                responses[stimuli, group],
                None if pred is None else pred[stimuli, group],
                None if mask is None else mask[stimuli, group],
            )
            for group in groups
        )


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

    Examples
    --------
    >>> import torch
    >>> average_repeats(torch.tensor([[[[1.0, 2.0], [3.0, torch.nan]]]]))
    tensor([[[[2., 2.]]]])
    """
    batch, neurons, _, bins = responses.shape
    dtype = responses.dtype if responses.is_floating_point() else torch.float32
    result = torch.empty(batch, neurons, 1, bins, dtype=dtype, device=responses.device)
    if responses.numel() == 0:
        return result.fill_(torch.nan)
    for stimuli, groups in slices((batch, neurons, responses.shape[2], bins), block_elements(responses.device)):
        for group in groups:
            piece = responses[stimuli, group].to(torch.float64, copy=True)
            *_, psth, columns = average_valid(piece, None if mask is None else mask[stimuli, group])
            if columns is not None:
                psth = psth.masked_fill_(columns == 0, torch.nan)
            result[stimuli, group, 0] = psth
    return result
