"""A recording kept on a device: an epoch then copies nothing to it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.utils.data import Dataset

from deepSTRF.datasets.collate import source_of
from deepSTRF.datasets.packed import ItemBlock
from deepSTRF.lazy import LazyDict, Pending

__all__ = ["ItemsOnDevice", "bytes_on_device"]


class ItemsOnDevice(Dataset[dict[str, Any]]):
    """The items of a data set, made once, with stimuli and averaged responses on a device.

    Batches of them are collated there. Single repeats stay where they are, and are copied only where a loss or a metric
    asks for them. What is changed in the data set later is not seen.

    Parameters
    ----------
    dataset : NeuralDataset
        Its selection is honoured.
    device : torch.device
        Where they go.

    Examples
    --------
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> items = ItemsOnDevice(SimulatedDataset(n_neurons=2, n_stims=3, duration_s=0.5), torch.device("cpu"))
    >>> len(items), items[2]["stims"].device
    (3, device(type='cpu'))
    """

    def __init__(self, dataset: Any, device: torch.device) -> None:
        self.covariates = dataset.covariates
        self._items = [_moved(dataset[i], device) for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._items[index]


def _moved(item: dict[str, Any], device: torch.device) -> LazyDict:
    entries: dict[str, Any] = {"stims": item["stims"].to(device)}
    source = source_of(item)
    if source is not None:
        block = dataclasses.replace(source.block, summary=source.block.summary.on(device))
        kept = ItemBlock(block, source.n_neurons, source.rows, source.columns, source.missing)
        entries |= {"responses": Pending(kept.responses, kept), "psth": Pending(kept.psth)}
    return LazyDict(item).replaced(entries)


def bytes_on_device(dataset: Any) -> int:
    """What the items of a data set take there.

    Examples
    --------
    >>> from deepSTRF.datasets import NeuralDataset
    >>> bytes_on_device(NeuralDataset.from_arrays([torch.ones(8, 100)], [torch.ones(3, 5, 100)], dt_ms=5.0))
    4400
    """
    total = 0
    for item in (dataset[i] for i in range(len(dataset))):
        source = source_of(item)
        total += item["stims"].nbytes + (0 if source is None else source.block.summary.psth.nbytes)
    return total
