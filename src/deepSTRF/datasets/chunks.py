"""Long recordings in chunks, one after the other, for models that carry their state over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from deepSTRF.checks import check_integer
from deepSTRF.datasets.collate import fill_missing_data, neural_collate
from deepSTRF.datasets.neural_dataset import NeuralDataset
from deepSTRF.lazy import LazyDict, Pending
from deepSTRF.metrics.batches import powers_of_stimuli
from deepSTRF.metrics.statistics import Powers

__all__ = ["ChunkLoader"]


class ChunkLoader:
    """Batches of consecutive chunks: a recording of an hour trains in the memory of a few seconds.

    Give it to the Fitter in place of a DataLoader for training. Stimuli run side by side in groups of `batch_size`,
    from their onset to their end, and every batch has a key ``onset`` that says whether it is the first of its group.
    The Fitter then carries the state of the model from chunk to chunk, and cuts the gradient between them (truncated
    backpropagation through time). The key ``in_stimulus``, bool (B, bins), says what is no padding: of a chunk that
    cannot be told from zeros at its end.

    Validate and test on whole stimuli: scores such as the signal power are defined per stimulus, and evaluation keeps
    no graph.

    Parameters
    ----------
    dataset : NeuralDataset
        Its selection is honoured.
    chunk_bins : int
        Longest chunk in response bins. A gradient reaches no further into the past. A stimulus is cut into as few
        chunks as that allows, of about equal length: a short rest at its end would weigh as much as a long chunk.
    batch_size : int
        Stimuli side by side. Shorter ones of a group are padded; groups of equal lengths waste nothing.
    shuffle : bool
        Draw the order of the stimuli anew in every epoch.
    generator : torch.Generator, optional
        Where the order is drawn from; torch's global generator by default.

    Raises
    ------
    TypeError
        If `chunk_bins` or `batch_size` is not an integer.
    ValueError
        If one of them is not positive, or the stimuli do not have a whole number of samples per bin.

    Notes
    -----
    A chunk in which no neuron of any stimulus has a response is left out, and the next one counts as an onset.

    References
    ----------
    Williams & Peng (1990), An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories, https://doi.org/10.1162/neco.1990.2.4.490

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.datasets import NeuralDataset
    >>> recording = NeuralDataset.from_arrays([torch.rand(8, 1000)], [torch.rand(2, 1, 1000)], dt_ms=10.0)
    >>> for batch in ChunkLoader(recording, chunk_bins=400):
    ...     print(batch["stims"].shape, batch["responses"].shape, batch["onset"])
    torch.Size([1, 1, 8, 333]) torch.Size([1, 2, 1, 333]) True
    torch.Size([1, 1, 8, 333]) torch.Size([1, 2, 1, 333]) False
    torch.Size([1, 1, 8, 334]) torch.Size([1, 2, 1, 334]) False
    """

    collate_fn = staticmethod(neural_collate)
    """As of a DataLoader: with it the Fitter calibrates a new model on whole stimuli."""

    def __init__(
        self,
        dataset: NeuralDataset,
        chunk_bins: SupportsIndex,
        batch_size: SupportsIndex = 1,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        self.dataset = dataset
        self.chunk_bins = check_integer("chunk_bins", chunk_bins)
        self.batch_size = check_integer("batch_size", batch_size)
        self.shuffle = shuffle
        self.generator = generator

    def __iter__(self) -> Iterator[dict[str, Any]]:
        n_items = len(self.dataset)
        order = torch.randperm(n_items, generator=self.generator) if self.shuffle else torch.arange(n_items)
        for group in order.split(self.batch_size):
            items = [self.dataset[i] for i in group.tolist()]
            samples = {_samples_per_bin(item) for item in items}
            if len(samples) > 1:
                raise ValueError(f"all stimuli must have the same number of samples per bin, got {sorted(samples)}")
            yield from self._chunks(items, samples.pop())

    def _chunks(self, items: list[dict[str, Any]], samples_per_bin: int) -> Iterator[dict[str, Any]]:
        # Movies are large: a chunk of them is copied when its turn comes, never a whole one.
        whole = neural_collate([LazyDict(item).replaced({"stims": item["stims"][..., :1]}) for item in items])
        lengths = torch.tensor([[item["stims"].shape[-1] // samples_per_bin] for item in items])
        lengths = lengths.to(whole["stims"].device, non_blocking=True)
        silent = whole["psth"].isnan().flatten(0, 2).all(0).cpu()  # known at once: for each chunk, a GPU would wait
        onset = True
        n_chunks = math.ceil(len(silent) / self.chunk_bins)
        cuts = [i * len(silent) // n_chunks for i in range(n_chunks + 1)]
        for start, stop in itertools.pairwise(cuts):
            if bool(silent[start:stop].all()):
                onset = True
                continue
            samples = slice(start * samples_per_bin, stop * samples_per_bin)
            psth = whole["psth"][..., start:stop]
            responses = Pending(partial(_bins, whole, "responses", start, stop))
            yield whole.replaced(
                {
                    **{name: [value[..., start:stop] for value in whole[name]] for name in self.dataset.covariates},
                    "stims": fill_missing_data([item["stims"][..., samples] for item in items], dims=-1),
                    "responses": responses,
                    "valid_mask": Pending(partial(_bins, whole, "valid_mask", start, stop)),
                    "psth": psth,
                    "statistics": Pending(partial(_powers, responses)),
                    "in_stimulus": torch.arange(start, start + psth.shape[-1], device=lengths.device) < lengths,
                    "onset": onset,
                }
            )
            onset = False


def _bins(batch: LazyDict, name: str, start: int, stop: int) -> Tensor:
    return batch[name][..., start:stop]


def _powers(responses: Pending) -> Powers:
    return powers_of_stimuli(responses.value())


def _samples_per_bin(item: dict[str, Any]) -> int:
    """1 for spectrograms and movies, ``hop`` for waveforms."""
    n_samples = item["stims"].shape[-1]
    n_bins = max(response.shape[-1] for response in _present(item))
    if n_samples % n_bins:
        raise ValueError(
            f"a stimulus of {n_samples} samples cannot be cut at the {n_bins} bins of its responses: it needs a whole "
            "number of samples per bin"
        )
    return n_samples // n_bins


def _present(item: dict[str, Any]) -> list[Tensor]:
    """Responses of the neurons that heard the stimulus; an item has at least one."""
    return [response for response, valid in zip(item["responses"], item["valid_mask"], strict=True) if valid]
