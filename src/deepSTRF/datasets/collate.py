"""Batches for a DataLoader: stimuli zero-padded, responses NaN-padded."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deepSTRF.checks import check_list, describe_type
from deepSTRF.datasets.packed import ItemBlock, ItemResponses
from deepSTRF.lazy import LazyDict, Pending, stored
from deepSTRF.metrics.batches import powers_of_stimuli
from deepSTRF.metrics.blocks import average_repeats
from deepSTRF.metrics.statistics import Powers

__all__ = ["fill_missing_data", "neural_collate", "source_of"]

_CONTRACT_KEYS = ("stims", "responses")


def neural_collate(batch: Sequence[dict[str, Any]]) -> LazyDict:
    """Make one batch of several items: stimuli zero-padded, responses NaN-padded, both on the right.

    Pass it to a DataLoader as ``collate_fn``. A batch never shares memory with the data set. What comes from the
    responses is collated when it is read, so that whoever needs their average only does not copy the repeats.

    Parameters
    ----------
    batch : sequence of dict
        Items of a :class:`~deepSTRF.datasets.NeuralDataset`, with ``'stims'`` (..., T) and ``'responses'``, a list of N
        tensors (R, T). Items of other data sets may have lists of any such tensors, also exchanged by a transform.

    Returns
    -------
    dict
        ``'stims'`` (B, ..., T_max); ``'responses'`` (B, N, R_max, T_max of the responses), in dtype and device of the
        stimuli; ``'valid_mask'``, bool, of the same shape, True where there is a number; ``'psth'`` (B, N, 1, T), the
        mean over the repeats that there are; ``'statistics'``, the :class:`~deepSTRF.metrics.statistics.Powers` of each
        stimulus and neuron, (B, N); and each other key of the items, as ``'stim_meta'``, as a list of B entries.

    Raises
    ------
    ValueError
        If the batch is empty, or items differ in their keys, the number of neurons, or a dimension of the stimuli other
        than time; or if a stimulus holds NaN or infinity (looked for on the CPU only, where it costs no waiting).
    TypeError
        If an item is no dict, a stimulus not a floating point tensor, responses no list of real tensors, or stimuli
        differ in dtype or device.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader
    >>> from deepSTRF.datasets import NeuralDataset
    >>> ds = NeuralDataset.from_arrays(
    ...     [torch.rand(8, 100), torch.rand(8, 60)], [torch.rand(2, 3, 100), [torch.rand(5, 60), None]], dt_ms=5.0)
    >>> batch = next(iter(DataLoader(ds, batch_size=2, collate_fn=neural_collate)))
    >>> batch["stims"].shape, batch["responses"].shape
    (torch.Size([2, 1, 8, 100]), torch.Size([2, 2, 5, 100]))
    >>> bool(batch["valid_mask"][1, 1].any()), batch["psth"].shape, batch["statistics"].repeats.tolist()
    (False, torch.Size([2, 2, 1, 100]), [[3.0, 3.0], [5.0, 0.0]])
    """
    if not isinstance(batch, Sequence):
        came = "a dict; give one item as [item]" if isinstance(batch, Mapping) else describe_type(batch)
        raise TypeError(f"neural_collate takes a list of items, got {came}")
    if len(batch) == 0:
        raise ValueError("neural_collate needs at least one item, got an empty batch")
    for index, item in enumerate(batch):
        if not isinstance(item, Mapping):
            raise TypeError(f"item {index} must be a dict with {', '.join(_CONTRACT_KEYS)}, got {type(item).__name__}")
        missing = [key for key in _CONTRACT_KEYS if key not in item]
        if missing or set(item) != set(batch[0]):
            raise ValueError(
                f"item {index} has the keys {sorted(item)}, expected {sorted({*batch[0], *_CONTRACT_KEYS})} in every "
                "item"
            )
    stims = _padded_stims([item["stims"] for item in batch])
    collated = LazyDict({"stims": stims, **_collated_responses(batch, stims)})
    for key in batch[0]:
        if key not in collated:
            collated[key] = [item[key] for item in batch]
    return collated


def _padded_stims(stims: list[Tensor]) -> Tensor:
    first = stims[0]
    for index, stim in enumerate(stims):
        if not isinstance(stim, Tensor) or not stim.is_floating_point():
            kind = stim.dtype if isinstance(stim, Tensor) else type(stim).__name__
            raise TypeError(f"the stimulus of item {index} must be a floating point tensor, got {kind}")
        if stim.dtype != first.dtype or stim.device != first.device:
            raise TypeError(
                f"the stimulus of item {index} is {stim.dtype} on {stim.device}, that of item 0 {first.dtype} on "
                f"{first.device}; they must agree"
            )
        if stim.ndim == 0 or stim.shape[:-1] != first.shape[:-1]:
            raise ValueError(
                f"the stimulus of item {index} has shape {tuple(stim.shape)}, that of item 0 {tuple(first.shape)}; "
                "they may differ in time only, the last dimension"
            )
    padded = first.new_empty(len(stims), *first.shape[:-1], max(stim.shape[-1] for stim in stims))
    for row, stim in zip(padded, stims, strict=True):
        row[..., : stim.shape[-1]] = stim
        row[..., stim.shape[-1] :] = 0
    # A sum is quick and finite if all is well; on an accelerator, asking would wait for it.
    if padded.device.type == "cpu" and not math.isfinite(padded.sum()):
        for index, stim in enumerate(stims):
            if not bool(torch.isfinite(stim).all()):
                raise ValueError(
                    f"the stimulus of item {index} holds NaN or infinite values; a stimulus is known at every time"
                )
    return padded


def _collated_responses(batch: Sequence[Mapping[str, Any]], like: Tensor) -> dict[str, Any]:
    """The entries of a batch that come from responses: from the blocks of a data set where none was exchanged."""
    sources = [source_of(item) for item in batch]
    lists = [item["responses"] if source is None else [] for item, source in zip(batch, sources, strict=True)]
    for index, (responses, source) in enumerate(zip(lists, sources, strict=True)):
        if source is None and not isinstance(responses, Sequence | Tensor):
            raise TypeError(
                f"the responses of item {index} must be a list of tensors (R, T), got {type(responses).__name__}"
            )
    both = list(zip(sources, lists, strict=True))
    counts = [len(responses) if source is None else source.n_neurons for source, responses in both]
    if len(set(counts)) > 1:
        raise ValueError(f"all items must have the same number of neurons, got {counts}")
    sizes = [
        _largest(responses) if source is None else (source.repeats, source.block.n_bins) for source, responses in both
    ]
    shape, bins = (len(both), counts[0]), max(n_bins for _, n_bins in sizes)
    precise = torch.promote_types(like.dtype, torch.float32)  # half precision would lose digits of an average

    def collate() -> Float[Tensor, "B N R T"]:
        padded = like.new_empty(*shape, max(repeats for repeats, _ in sizes), bins)
        for row, (source, responses) in zip(padded, both, strict=True):
            if source is None:
                _copy_each(row, responses)
            else:
                source.place(source.block.values[:, : source.repeats], row)
        return padded

    def average() -> Float[Tensor, "B N 1 T"]:
        padded = like.new_empty(*shape, 1, bins, dtype=precise)
        for row, source in zip(padded, known, strict=True):
            source.place(source.block.summary.psth[:, None], row)
        return padded

    def statistics() -> Powers:
        fields = Powers(*(torch.stack(field) for field in zip(*(source.statistics() for source in known), strict=True)))
        resolution = torch.finfo(like.dtype).eps  # the responses would have this dtype
        return fields._replace(resolution=fields.resolution.clamp(min=resolution))

    all_of_them = Pending(collate)
    known = [source for source in sources if source is not None]
    if len(known) == len(both):
        averages = {"psth": Pending(average), "statistics": Pending(statistics)}
    else:
        repeats = all_of_them.value()  # says what is wrong with them, if anything is
        averages = {
            "psth": Pending(lambda: average_repeats(repeats.to(precise))),
            "statistics": Pending(lambda: powers_of_stimuli(repeats)),
        }
    return {"responses": all_of_them, "valid_mask": Pending(lambda: _is_number(all_of_them.value())), **averages}


def source_of(item: Mapping[str, Any]) -> ItemBlock | None:
    """The block that the responses of an item are; None if any was exchanged, or they come from elsewhere."""
    responses = stored(item, "responses")
    if isinstance(responses, Pending):
        if responses.source is not None:
            return responses.source
        responses = responses.value()
    return responses.source if isinstance(responses, ItemResponses) else None


def _largest(responses: Sequence[Tensor]) -> tuple[int, int]:
    """Most repeats and most bins of one item."""
    for neuron, response in enumerate(responses):
        if not isinstance(response, Tensor) or response.ndim != 2 or response.numel() == 0:
            shape = tuple(response.shape) if isinstance(response, Tensor) else type(response).__name__
            raise ValueError(f"the response of neuron {neuron} must be a tensor (R, T) that is not empty, got {shape}")
        if response.is_complex():
            raise TypeError(
                f"the response of neuron {neuron} is complex ({response.dtype}); responses are real numbers"
            )
    if len(responses) == 0:
        return 1, 1
    return max(response.shape[0] for response in responses), max(response.shape[1] for response in responses)


def _copy_each(row: Float[Tensor, "N R T"], responses: Sequence[Tensor]) -> None:
    row.fill_(float("nan"))
    for target, response in zip(row, responses, strict=True):
        target[: response.shape[0], : response.shape[1]] = response


def _is_number(values: Tensor) -> Bool[Tensor, "*shape"]:
    """Where `values` is not NaN; on the CPU NumPy compares in a fifth of torch's time, with all of a batch to check."""
    if values.device.type != "cpu" or values.dtype not in (torch.float32, torch.float64):
        return values == values
    array = values.numpy()
    return torch.from_numpy(np.equal(array, array))


def fill_missing_data(stims: Sequence[Tensor], dims: int | Sequence[int], value: float = 0.0) -> Tensor:
    """Pad tensors on the right to their largest size along some dimensions, and stack them.

    Parameters
    ----------
    stims : sequence of Tensor
        S tensors that agree in everything but their sizes along `dims`.
    dims : int or sequence of int
        Dimensions to pad; negative ones count from the last.
    value : float
        What to pad with.

    Returns
    -------
    Tensor
        Shape (S, ...).

    Raises
    ------
    ValueError
        If there are no tensors, or they differ in dtype, device, number of dimensions, or a size that is not padded; or
        if `value` is nothing that their dtype can hold.
    TypeError
        If one is not a tensor, or a dimension is not an integer.
    IndexError
        If there is no such dimension.

    Examples
    --------
    >>> import torch
    >>> fill_missing_data([torch.ones(1, 3), torch.ones(1, 2)], dims=-1)
    tensor([[[1., 1., 1.]],
    <BLANKLINE>
            [[1., 1., 0.]]])
    """
    check_list("stims", stims, "tensors")
    stims = list(stims)
    if not stims:
        raise ValueError("fill_missing_data needs at least one tensor, got none")
    for index, stim in enumerate(stims):
        if not isinstance(stim, Tensor):
            raise TypeError(f"stims[{index}] must be a tensor, got {type(stim).__name__}")
    first = stims[0]
    padded_dims = {_dimension(d, first.ndim) for d in ([dims] if not isinstance(dims, Sequence) else dims)}
    for index, stim in enumerate(stims):
        for name in ("ndim", "dtype", "device"):
            if getattr(stim, name) != getattr(first, name):
                raise ValueError(
                    f"stims[{index}] has {name} {getattr(stim, name)}, stims[0] has {getattr(first, name)}"
                )
        for dim in set(range(first.ndim)) - padded_dims:
            if stim.shape[dim] != first.shape[dim]:
                raise ValueError(
                    f"stims[{index}] has size {stim.shape[dim]} in dimension {dim}, stims[0] has {first.shape[dim]}; "
                    f"only the dimensions {sorted(padded_dims)} are padded"
                )
    size = [max(stim.shape[dim] for stim in stims) for dim in range(first.ndim)]
    try:
        stacked = first.new_full((len(stims), *size), value)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"value must be a number that {first.dtype} can hold, got {value!r}") from error
    for row, stim in zip(stacked, stims, strict=True):
        row[tuple(slice(n) for n in stim.shape)] = stim
    return stacked


def _dimension(dim: Any, ndim: int) -> int:
    try:
        number = operator.index(dim)
    except TypeError as error:
        raise TypeError(f"dims must be integers, got {type(dim).__name__}") from error
    if not -ndim <= number < ndim:
        raise IndexError(f"there is no dimension {number} in tensors with {ndim} dimensions")
    return number % ndim
