"""What was recorded for one stimulus: one tensor and the indices of the neurons that heard it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.datasets.block_summary import BlockSummary, has_data
from deepSTRF.lazy import LazyDict, Pending
from deepSTRF.metrics.statistics import Powers

__all__ = ["ResponseBlock", "check_response", "has_data", "has_infinite", "pack_responses"]


def has_infinite(values: Float[Tensor, "N R T"]) -> bool:
    """Whether any value is infinite, found without a temporary of the size of the values."""
    if math.isfinite(values.sum()):  # nothing is NaN either, as in most recordings
        return False
    return any(bool(torch.isinf(one).any()) for one in values)


@dataclass(frozen=True, eq=False)
class ResponseBlock:
    """What was recorded for one stimulus.

    Parameters
    ----------
    values : Tensor
        Responses, shape (N_s, R_s, T_s): the neurons that heard the stimulus, NaN where a neuron has fewer repeats.
    neurons : numpy.ndarray
        Indices of these neurons in the population, shape (N_s,), increasing.
    repeats : numpy.ndarray
        Number of repeats of each of these neurons, shape (N_s,).
    summary : BlockSummary
        What `values` are in short; made of them by default.
    """

    values: Float[Tensor, "N_s R_s T_s"]
    neurons: np.ndarray
    repeats: np.ndarray
    summary: BlockSummary = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.summary is None:
            object.__setattr__(self, "summary", BlockSummary(self.values))

    @property
    def n_bins(self) -> int:
        """Number of response bins; 0 where nobody heard the stimulus."""
        return self.values.shape[2]

    def find(self, neuron: int) -> int | None:
        """Position of `neuron` in this block, None if it did not hear the stimulus."""
        position = int(np.searchsorted(self.neurons, neuron))
        if position < len(self.neurons) and self.neurons[position] == neuron:
            return position
        return None

    def view(self, position: int) -> Float[Tensor, "R T"]:
        """The unpadded response of the neuron at `position`, sharing memory with the block."""
        return self.values[position, : self.repeats[position]]

    def views(self) -> list[Tensor]:
        """The unpadded responses of all neurons of this block."""
        views = list(self.values.unbind(0))
        for position in np.flatnonzero(self.repeats < self.values.shape[1]):
            views[position] = views[position][: self.repeats[position]]
        return views

    @property
    def checksums(self) -> list[int]:
        """CRC-32 of the response of each of these neurons."""
        return self.summary.checksums(self.repeats.tolist())

    def as_batch(self) -> LazyDict:
        """The block as a batch of one stimulus, for metrics of the responses."""
        psth, powers = self.summary.psth[None, :, None], Powers(*(field[None] for field in self.summary.powers))
        return LazyDict({"responses": Pending(lambda: self.values[None]), "psth": psth, "statistics": powers})

    def replaced(self, values: Float[Tensor, "N_s R_new T_s"]) -> ResponseBlock:
        """The same neurons with other values; repeats beyond those of `values` are gone."""
        return ResponseBlock(values, self.neurons, np.minimum(self.repeats, values.shape[1]))

    def shifted(self, offset: int) -> ResponseBlock:
        """The same values, shared, for neurons that are numbered from `offset` on."""
        return ResponseBlock(self.values, self.neurons + offset, self.repeats, self.summary)


def check_response(response: Any, where: str) -> Tensor:
    """One response as a floating point (R, T) tensor; counts become float32."""
    if not isinstance(response, Tensor):
        raise TypeError(
            f"{where} must be a torch tensor of shape (R, T), got {type(response).__name__}; "
            "convert it with torch.as_tensor, or let NeuralDataset.from_arrays do it"
        )
    if response.ndim != 2 or response.numel() == 0:
        raise ValueError(
            f"{where} must have shape (R, T) with at least one repeat and one bin, got {tuple(response.shape)}; "
            "a neuron without data for a stimulus is torch.full((1, 1), float('nan'))"
        )
    return _floating(response, where)


def _floating(values: Tensor, where: str) -> Tensor:
    if values.is_floating_point():
        return values
    if values.is_complex():
        raise TypeError(f"{where} is complex ({values.dtype}); responses are real numbers")
    return values.to(torch.float32)


def pack_responses(row: Any, n_neurons: int, stimulus: int) -> ResponseBlock:
    """Pack the responses to one stimulus.

    Parameters
    ----------
    row : sequence of Tensor, or Tensor
        One (R, T) tensor per neuron, where (1, 1) NaN means no data; or all of them as one (N, R, T) tensor, NaN where
        a neuron has fewer repeats or no data. A complete (N, R, T) tensor is kept as it is, without a copy.
    n_neurons : int
        Size of the population.
    stimulus : int
        Index of the stimulus, for the messages.

    Returns
    -------
    ResponseBlock

    Raises
    ------
    TypeError
        If a response is not a real tensor.
    ValueError
        If the number of neurons, a shape, or the number of bins is wrong.
    """
    where = f"responses[{stimulus}]"
    if isinstance(row, Tensor):
        return _pack_tensor(row, n_neurons, where)
    if not isinstance(row, Sequence):
        raise TypeError(
            f"{where} must be a list of one (R, T) tensor per neuron or a tensor (N, R, T), got {type(row).__name__}"
        )
    if len(row) != n_neurons:
        raise ValueError(f"{where} has {len(row)} entries, expected one per neuron: N_neurons is {n_neurons}")

    neurons: list[int] = []
    responses: list[Tensor] = []
    # Sparse recordings hold one tensor in most places: it is looked at once. The list keeps it alive, so that ids hold.
    row = list(row)
    missing: set[int] = set()
    for neuron, entry in enumerate(row):
        if id(entry) in missing:
            continue
        response = check_response(entry, f"{where}[{neuron}]")
        first = response[0, 0].item()
        if first != first and bool(torch.isnan(response).all()):
            missing.add(id(entry))
            continue
        if responses and response.shape[1] != responses[0].shape[1]:
            raise ValueError(
                f"stimulus {stimulus}: neuron {neuron} has {response.shape[1]} response bins, neuron {neurons[0]} "
                f"has {responses[0].shape[1]}; all neurons share the bins of a stimulus: "
                "pad the shorter response with NaN or cut the longer one"
            )
        neurons.append(neuron)
        responses.append(response)

    repeats = np.array([response.shape[0] for response in responses], dtype=np.int64)
    if not responses:
        values = torch.empty(0, 0, 0)
    elif (repeats == repeats[0]).all():
        values = torch.stack(_same_dtype(responses))
    else:
        responses = _same_dtype(responses)
        values = responses[0].new_full((len(responses), int(repeats.max()), responses[0].shape[1]), float("nan"))
        for position, response in enumerate(responses):
            values[position, : response.shape[0]] = response
    return ResponseBlock(values.detach(), np.array(neurons, dtype=np.int64), repeats)


def _same_dtype(responses: list[Tensor]) -> list[Tensor]:
    dtypes = {response.dtype for response in responses}
    if len(dtypes) == 1:
        return responses
    widest = max(dtypes, key=lambda dtype: torch.finfo(dtype).bits)
    return [response.to(widest) for response in responses]


def _pack_tensor(values: Tensor, n_neurons: int, where: str) -> ResponseBlock:
    if values.ndim != 3 or values.shape[0] != n_neurons or values.numel() == 0:
        raise ValueError(
            f"{where} has shape {tuple(values.shape)}, expected (N, R, T) with N = N_neurons = {n_neurons} and at "
            "least one repeat and bin"
        )
    values = _floating(values.detach(), where)
    neurons = np.flatnonzero(has_data(values)).astype(np.int64)
    if len(neurons) < n_neurons:
        values = values[torch.as_tensor(neurons, device=values.device)]
    if len(neurons) == 0:
        return ResponseBlock(torch.empty(0, 0, 0), neurons, np.zeros(0, dtype=np.int64))
    repeats = np.full(len(neurons), values.shape[1], dtype=np.int64)
    # Repeats that are NaN to the end of the repeat axis are padding.
    first = values[:, -1, 0]
    for position in np.flatnonzero((first != first).cpu().numpy()):
        repeat_has_data = torch.isnan(values[position]).logical_not().any(1).cpu().numpy()
        repeats[position] = int(np.flatnonzero(repeat_has_data)[-1]) + 1
    return ResponseBlock(values[:, : int(repeats.max())], neurons, repeats)
