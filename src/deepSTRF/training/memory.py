"""What fits in memory: how long the chunks are that a model is trained on, and whether data stay on a device."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from deepSTRF.devices import free_memory
from deepSTRF.models.bin_by_bin import NotStreamableError
from deepSTRF.modes import evaluating

__all__ = ["Chunks", "chunks_in_memory", "kept_on", "saved_bytes_per_bin"]

# What a step may keep for its backward pass. At its peak it needs up to four times as much (ConvNet3D on a CPU:
# gradients, copies in the layout of the convolutions), so 256 MB.
_MOST_SAVED = 64 * 2**20
# Gradients reach no further back than the begin of a chunk, so that it should be some windows long.
_WINDOWS, _LEAST_WINDOWS = 4, 2
_MEASURED_BINS = 4
# Of what is free on a device, the part that one data set may take; training and validation data leave a third.
_SHARE_OF_DATA = 0.4


class Chunks(NamedTuple):
    """Length of the chunks in bins, and how many stimuli run side by side."""

    bins: int
    batch_size: int


def chunks_in_memory(
    model: Any, dataset: Any, batch_size: int, chunk_bins: int | None = None, most_bytes: float = _MOST_SAVED
) -> Chunks | None:
    """Choose chunks of movies so that the feature maps of a training step fit in memory.

    Parameters
    ----------
    model : NeuralModel
        What is trained.
    dataset : NeuralDataset
        On what. Spectrograms and waveforms, whose frames are small, are left whole unless `chunk_bins` is given.
    batch_size : int
        Stimuli in a step. Where chunks would be shorter than four windows of the model, fewer run side by side.
    chunk_bins : int, optional
        How long a chunk is at most, but for the two windows.
    most_bytes : float
        What a step may keep for its backward pass. Chunks are at least two windows long, also where that is more.

    Returns
    -------
    Chunks or None
        None if whole batches fit, or the model can't run bin by bin.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.datasets.video import VideoNeuralDataset
    >>> from deepSTRF.models.video import ConvNet3D
    >>> movies = VideoNeuralDataset.from_arrays([torch.rand(36, 64, 900)], [torch.rand(2, 1, 900)], dt_ms=20.0)
    >>> chunks_in_memory(ConvNet3D((36, 64), out_neurons=2), movies, batch_size=1).bins < 100
    True
    """
    items = [dataset[i]["stims"] for i in range(len(dataset))]
    longest = max(item.shape[-1] for item in items)
    if items[0].ndim < 4 and chunk_bins is None:
        return None
    try:
        per_bin = saved_bytes_per_bin(model, items[0].shape[:-1])
    except NotStreamableError:
        return None
    bins_at_once = max(1, int(most_bytes / max(1.0, per_bin)))
    window = getattr(model, "T", 1)
    chunk_bins = None if chunk_bins is None else max(chunk_bins, _LEAST_WINDOWS * window)
    side_by_side = min(batch_size, len(items), max(1, bins_at_once // (chunk_bins or _WINDOWS * window)))
    bins = max(bins_at_once // side_by_side, _LEAST_WINDOWS * window)
    bins = bins if chunk_bins is None else min(bins, chunk_bins)
    return None if bins >= longest and side_by_side == min(batch_size, len(items)) else Chunks(bins, side_by_side)


def saved_bytes_per_bin(model: Any, frame: tuple[int, ...]) -> float:
    """What autograd keeps for each bin of a stimulus, measured on a few bins.

    Raises NotStreamableError if the model cannot run bin by bin.

    Examples
    --------
    >>> from deepSTRF.models.video import ConvGRUNet
    >>> model = ConvGRUNet((9, 8))
    >>> saved_bytes_per_bin(model, (1, 9, 8)) < saved_bytes_per_bin(ConvGRUNet((18, 8)), (1, 18, 8))
    True
    """
    reference = next(model.parameters(), torch.zeros(1))
    totals = []
    for n_bins in (_MEASURED_BINS, 2 * _MEASURED_BINS):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()  # what is saved twice counts once
            return tensor

        stims = reference.new_zeros(1, *frame, n_bins)
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with evaluating(model), torch.enable_grad(), hooks:
            prediction, _ = model.step(stims)  # while it lives, nothing that it needs is freed
        totals.append(sum(kept.values()))
        del prediction
    return (totals[1] - totals[0]) / _MEASURED_BINS


def kept_on(device: torch.device, dataset: Any) -> Any:
    """The items of a data set on a device with memory of its own, where they fit beside a model; else the data set.

    Examples
    --------
    >>> kept_on(torch.device("cpu"), "a data set")
    'a data set'
    """
    free = free_memory(device)
    if not free:
        return dataset
    from deepSTRF.datasets.device_items import ItemsOnDevice, bytes_on_device

    return ItemsOnDevice(dataset, device) if bytes_on_device(dataset) <= _SHARE_OF_DATA * free else dataset
