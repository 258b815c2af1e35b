"""Packed storage of responses: per stimulus one tensor and the indices of the neurons that heard it.

A population often hears its stimuli in parts: one list per stimulus and neuron would hold mostly placeholders, and a
batch would be copied neuron by neuron. :class:`PackedResponses` holds one
:class:`~deepSTRF.datasets.response_block.ResponseBlock` per stimulus and still reads (and is assigned) as
``responses[s][n]``.
Blocks are never written to, only replaced, so that data sets can share them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.datasets.response_block import ResponseBlock, check_response, pack_responses
from deepSTRF.metrics.statistics import Powers

__all__ = ["ItemBlock", "ItemResponses", "PackedResponses", "StimulusResponses"]


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
            packed = pack_responses(list(self), len(self), self._owner.position_of(self))
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
        response = check_response(response, f"the response of neuron {neuron}")
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
            row = pack_responses(row, self.n_neurons, stimulus)
        return StimulusResponses(row, self)

    def blocks(self) -> Iterator[ResponseBlock]:
        """The block of each stimulus."""
        return (row.block for row in self._rows)

    def forget_summaries(self) -> None:
        """Compute PSTHs and powers again when they are needed next."""
        for row in self._rows:
            row._block.summary.forget()

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


class ItemBlock:
    """Which neurons of a block an item holds, and where: all that a batch needs of its responses.

    Parameters
    ----------
    block : ResponseBlock
        What was recorded, of N_s neurons.
    n_neurons : int
        Number of neurons N of the item.
    rows : Tensor or None
        Which neurons of the block were selected, shape (N_heard,); None is all.
    columns : Tensor or None
        Where they stand in the item, shape (N_heard,); None is everywhere.
    missing : Tensor
        What the others have for a response.
    """

    __slots__ = ("block", "columns", "missing", "n_neurons", "rows")

    def __init__(
        self, block: ResponseBlock, n_neurons: int, rows: Tensor | None, columns: Tensor | None, missing: Tensor
    ):
        self.block, self.n_neurons, self.rows, self.columns, self.missing = block, n_neurons, rows, columns, missing

    def responses(self) -> ItemResponses:
        """One (R, T) tensor per neuron, views into the block where there are data."""
        block = self.block
        views = block.views() if self.rows is None else [block.view(position) for position in self.rows.tolist()]
        if self.columns is None:
            return ItemResponses(views, self)
        responses = [self.missing] * self.n_neurons
        for column, view in zip(self.columns.tolist(), views, strict=True):
            responses[column] = view
        return ItemResponses(responses, self)

    @property
    def repeats(self) -> int:
        """The most repeats of a selected neuron."""
        return int(self.block.repeats[... if self.rows is None else self.rows.numpy()].max())

    def psth(self) -> Float[Tensor, "N T"]:
        """Mean over repeats, NaN where there is none."""
        psth = self.block.summary.psth
        return self.place(psth[:, None], psth.new_empty(self.n_neurons, 1, psth.shape[1]))[:, 0]

    def psth_to_read(self) -> Float[Tensor, "N T"]:
        """The same, that of the block itself where the item has just its neurons: nobody may write to it."""
        return self.block.summary.psth if self.rows is None and self.columns is None else self.psth()

    def statistics(self) -> Powers:
        """Signal and noise power of each neuron, (N,); those of a neuron without data weigh nothing."""
        fields = torch.stack(self.block.summary.powers, 1)[:, :, None]
        whole = self.place(fields, fields.new_empty(self.n_neurons, fields.shape[1], 1), 0.0)
        return Powers(*whole[:, :, 0].unbind(1))

    def place(
        self, values: Float[Tensor, "N_s R t"], row: Float[Tensor, "N R_max T"], missing: float = math.nan
    ) -> Float[Tensor, "N R_max T"]:
        """Copy what the neurons of the block have into a row of a batch, and `missing` where nothing is copied to."""
        if self.rows is not None:
            rows = self.rows.to(values.device, non_blocking=True)
            values = values.index_select(0, rows)  # a fifth of the time of values[rows]
        repeats, bins = values.shape[1:]
        row[:, repeats:] = missing
        row[:, :repeats, bins:] = missing
        target = row[:, :repeats, :bins]
        later = row.device.type != "cpu"  # a device gets what it needs while nobody waits
        if self.columns is None:
            target.copy_(values, non_blocking=later)
            return row
        absent = torch.ones(len(row), dtype=torch.bool)
        absent[self.columns] = False
        places = (absent.nonzero().flatten(), self.columns)
        without, columns = (place.to(row.device, non_blocking=later) for place in places)
        target.index_fill_(0, without, missing)
        target.index_copy_(0, columns, values.to(target, non_blocking=later))
        return row


class ItemResponses(list[Tensor]):
    """The responses of one item: a list of (R, T) tensors that remembers the block it was made from.

    :func:`~deepSTRF.datasets.collate.neural_collate` copies the whole block at once, and takes PSTH and powers from it,
    as long as nothing was exchanged in the list.

    Parameters
    ----------
    responses : list of Tensor
        One (R, T) tensor per neuron.
    source : ItemBlock
        Where they come from.
    """

    __slots__ = ("_originals", "_source")

    def __init__(self, responses: list[Tensor], source: ItemBlock):
        super().__init__(responses)
        self._originals, self._source = tuple(responses), source

    @property
    def source(self) -> ItemBlock | None:
        """Where they come from; None if any of them was exchanged."""
        untouched = len(self) == len(self._originals) and all(map(operator.is_, self, self._originals))
        return self._source if untouched else None

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickling views one by one would write the whole block once per neuron.
        return list, ([response.clone() for response in self],)
