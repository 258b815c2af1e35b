"""Packed storage of responses: per stimulus one tensor and the indices of the neurons that heard it.

A population often hears its stimuli in parts: one list per stimulus and neuron would hold mostly placeholders, and a
batch would be copied neuron by neuron. A :class:`ResponseBlock` holds what was recorded for one stimulus,
:class:`PackedResponses` holds one block per stimulus and still reads (and is assigned) as ``responses[s][n]``.
Blocks are never written to, only replaced, so that data sets can share them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["ItemResponses", "PackedResponses", "ResponseBlock", "StimulusResponses", "has_data"]


def has_data(values: Float[Tensor, "N R T"]) -> np.ndarray:
    """For each neuron, whether any of its values is not NaN.

    Parameters
    ----------
    values : Tensor
        Responses, shape (N, R, T).

    Returns
    -------
    numpy.ndarray
        bool, shape (N,).
    """
    if values.shape[0] == 0 or values[0].numel() == 0:
        return np.zeros(values.shape[0], dtype=bool)
    # Recorded responses start with a number nearly always: only the others are searched whole.
    first = values[:, 0, 0]
    found = (first == first).cpu().numpy().copy()
    for neuron in np.flatnonzero(~found):
        found[neuron] = not bool(torch.isnan(values[neuron]).all())
    return found


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
    """

    values: Float[Tensor, "N_s R_s T_s"]
    neurons: np.ndarray
    repeats: np.ndarray

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

    def replaced(self, values: Float[Tensor, "N_s R_new T_s"]) -> ResponseBlock:
        """The same neurons with other values; repeats beyond those of `values` are gone."""
        return ResponseBlock(values, self.neurons, np.minimum(self.repeats, values.shape[1]))

    def shifted(self, offset: int) -> ResponseBlock:
        """The same values, shared, for neurons that are numbered from `offset` on."""
        return ResponseBlock(self.values, self.neurons + offset, self.repeats)


def _checked(response: Any, where: str) -> Tensor:
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


def pack_row(row: Any, n_neurons: int, stimulus: int) -> ResponseBlock:
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
        response = _checked(entry, f"{where}[{neuron}]")
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


class StimulusResponses(Sequence[Tensor]):
    """The responses to one stimulus, read and assigned as a list with one (R, T) tensor per neuron.

    Assigned tensors are kept aside, as a list would keep them, and packed when the block is needed next. So a loop that
    assigns neuron after neuron packs once, and tensors that were read before keep their values.
    """

    __slots__ = ("_block", "_changes", "_owner")

    def __init__(self, block: ResponseBlock, owner: PackedResponses):
        self._block = block
        self._changes: dict[int, Tensor] = {}
        self._owner = owner

    @property
    def block(self) -> ResponseBlock:
        """What was recorded, with all assignments packed in."""
        if self._changes:
            packed = pack_row(list(self), len(self), self._owner.position_of(self))
            self._block, self._changes = packed, {}
        return self._block

    def __len__(self) -> int:
        return self._owner.n_neurons

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self[neuron] for neuron in range(len(self))[index]]
        neuron = self._neuron(index)
        if neuron in self._changes:
            return self._changes[neuron]
        position = self._block.find(neuron)
        return self._owner.missing if position is None else self._block.view(position)

    def __iter__(self) -> Iterator[Tensor]:
        responses = [self._owner.missing] * len(self)
        for neuron, view in zip(self._block.neurons, self._block.views(), strict=True):
            responses[neuron] = view
        for neuron, response in self._changes.items():
            responses[neuron] = response
        return iter(responses)

    def __setitem__(self, index: int, response: Tensor) -> None:
        neuron = self._neuron(index)
        response = _checked(response, f"the response of neuron {neuron}")
        if response.shape[1] != self._block.n_bins and not bool(response.isnan().all()):
            self._owner.check_bins(self, neuron, response.shape[1])
        self._changes[neuron] = response
        self._owner.revision += 1

    def _neuron(self, index: int) -> int:
        try:
            neuron = operator.index(index)
        except TypeError as error:
            raise TypeError(f"a neuron index must be an integer, got {type(index).__name__}: {index!r}") from error
        if neuron < 0:
            neuron += len(self)
        if not 0 <= neuron < len(self):
            raise IndexError(f"there is no neuron {index}; there are {len(self)}")
        return neuron

    def __repr__(self) -> str:
        return f"<responses of {len(self)} neurons, {len(self._block.neurons)} with data>"


class PackedResponses(MutableSequence[StimulusResponses]):
    """Responses to all stimuli, read and assigned as ``responses[s][n]``.

    Parameters
    ----------
    rows : iterable
        Per stimulus a list of one (R, T) tensor per neuron, a tensor (N, R, T), or a :class:`ResponseBlock`.
    n_neurons : int
        Size of the population.

    Attributes
    ----------
    missing : Tensor
        The (1, 1) NaN tensor that every pair without data reads as.
    revision : int
        Grows with every assignment, so that what was derived from the responses can tell that it is outdated.
    bins_of : callable or None
        Gives the bins that the responses to a stimulus must have, or None; asked when one response is assigned.

    Examples
    --------
    >>> import torch
    >>> responses = PackedResponses([[torch.ones(2, 4), torch.full((1, 1), float("nan"))]], n_neurons=2)
    >>> responses[0][0].shape, responses[0][1].shape
    (torch.Size([2, 4]), torch.Size([1, 1]))
    >>> responses[0][1] = torch.zeros(3, 4)
    >>> responses[0].block.values.shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, rows: Iterable[Any], n_neurons: int):
        self.n_neurons = n_neurons
        self.missing = torch.full((1, 1), float("nan"))
        self.revision = 0
        self.bins_of: Callable[[int], int | None] | None = None
        self._rows: list[StimulusResponses] = []
        for stimulus, row in enumerate(rows):
            self._rows.append(self._packed(row, stimulus))

    def _packed(self, row: Any, stimulus: int) -> StimulusResponses:
        if isinstance(row, StimulusResponses) and len(row) == self.n_neurons:
            row = row.block
        if not isinstance(row, ResponseBlock):
            row = pack_row(row, self.n_neurons, stimulus)
        return StimulusResponses(row, self)

    def blocks(self) -> Iterator[ResponseBlock]:
        """The block of each stimulus."""
        return (row.block for row in self._rows)

    def check_bins(self, row: StimulusResponses, neuron: int, n_bins: int) -> None:
        """Raise ValueError if the stimulus of `row` has other than `n_bins` bins, as far as that is known."""
        stimulus = self.position_of(row)
        expected = None if self.bins_of is None or stimulus < 0 else self.bins_of(stimulus)
        if expected not in (None, n_bins):
            raise ValueError(
                f"the response of neuron {neuron} has {n_bins} bins, stimulus {stimulus} has {expected}; cut it or pad "
                f"it with NaN, or, for other bins, change the stimulus first: stims[{stimulus}] = ..."
            )

    def position_of(self, row: StimulusResponses) -> int:
        """Index of the stimulus that `row` belongs to, -1 if it was replaced."""
        return next((s for s, own in enumerate(self._rows) if own is row), -1)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> StimulusResponses: ...

    @overload
    def __getitem__(self, index: slice) -> list[StimulusResponses]: ...

    def __getitem__(self, index: int | slice) -> StimulusResponses | list[StimulusResponses]:
        try:
            return self._rows[index]
        except IndexError as error:
            raise IndexError(f"there is no stimulus {index}; there are {len(self)}") from error

    def __setitem__(self, index: int | slice, row: Any) -> None:
        if isinstance(index, slice):
            start = index.indices(len(self._rows))[0]
            self._rows[index] = [self._packed(one, start + k) for k, one in enumerate(row)]
        else:
            self._rows[index] = self._packed(row, range(len(self._rows))[index])
        self.revision += 1

    def __delitem__(self, index: int | slice) -> None:
        del self._rows[index]
        self.revision += 1

    def insert(self, index: int, row: Any) -> None:
        """Insert the responses to one stimulus before `index`."""
        self._rows.insert(index, self._packed(row, min(index, len(self._rows))))
        self.revision += 1

    def __repr__(self) -> str:
        return f"<packed responses of {self.n_neurons} neurons to {len(self)} stimuli>"


class ItemResponses(list[Tensor]):
    """The responses of one item: a list of (R, T) tensors that remembers the block it was made from.

    :func:`deepSTRF.utils.neural_collate` copies the whole block at once as long as nothing was exchanged in the list.

    Parameters
    ----------
    responses : list of Tensor
        One (R, T) tensor per selected neuron, views into `values`.
    values : Tensor
        The values of the :class:`ResponseBlock`, shape (N_s, R_s, T_s).
    rows : Tensor or None
        Which neurons of the block were selected, shape (N_heard,); None is all.
    columns : Tensor or None
        Where they stand in the list, shape (N_heard,); None is everywhere.
    repeats : int
        The most repeats of a selected neuron.
    """

    __slots__ = ("_originals", "columns", "repeats", "rows", "values")

    def __init__(
        self,
        responses: list[Tensor],
        values: Float[Tensor, "N_s R_s T_s"],
        rows: Tensor | None,
        columns: Tensor | None,
        repeats: int,
    ):
        super().__init__(responses)
        self.values, self.rows, self.columns, self.repeats = values, rows, columns, repeats
        self._originals = tuple(responses)

    def is_untouched(self) -> bool:
        """Whether every element is still the tensor that it was made with."""
        return len(self) == len(self._originals) and all(map(operator.is_, self, self._originals))

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickling views one by one would write the whole block once per neuron.
        return list, ([response.clone() for response in self],)
