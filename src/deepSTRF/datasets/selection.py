"""Selecting neurons and stimuli: by index, by attribute, by predicate.

``I`` holds the selected neurons (``[]`` reads as all) and ``S_sel`` the selected stimuli (``None`` reads as all, ``[]``
as none). Nothing is copied or dropped: a selection changes what items hold, never the attributes of the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from deepSTRF.datasets.indices import as_list, check_index, check_indices
from deepSTRF.datasets.metadata import describe_metadata, match_attribute, match_predicate
from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.datasets.storage import RecordingStorage

__all__ = ["EmptySelectionError", "SelectableRecording", "Selection"]


class EmptySelectionError(ValueError, IndexError):
    """There is no item because nothing is selected; the message says which call matched nothing."""


@dataclass(frozen=True)
class Selection:
    """Which neurons and stimuli items hold, computed once per selection.

    Parameters
    ----------
    neurons : numpy.ndarray
        Indices of the neurons in every item, in the order of the item.
    stims : list of int
        Indices of the stimuli that have an item, increasing.
    is_everyone : bool
        Whether `neurons` is the whole population in its own order.
    """

    neurons: np.ndarray
    stims: list[int]
    is_everyone: bool
    _maps: dict[int, tuple[Tensor | None, Tensor | None]] = field(default_factory=dict)

    def block_map(self, stimulus: int, block: ResponseBlock, n_neurons: int) -> tuple[Tensor | None, Tensor | None]:
        """Rows of `block` that are selected, and their places in the item; None stands for all in order."""
        if stimulus not in self._maps:
            self._maps[stimulus] = self._computed_map(block, n_neurons)
        return self._maps[stimulus]

    def _computed_map(self, block: ResponseBlock, n_neurons: int) -> tuple[Tensor | None, Tensor | None]:
        if self.is_everyone:
            complete = len(block.neurons) == n_neurons
            return None, None if complete else torch.from_numpy(block.neurons.copy())
        position = np.full(n_neurons, -1, dtype=np.int64)
        position[block.neurons] = np.arange(len(block.neurons))
        rows = position[self.neurons]
        columns = np.flatnonzero(rows >= 0)
        all_heard = len(columns) == len(rows)
        return torch.from_numpy(rows[columns]), None if all_heard else torch.from_numpy(columns)


@dataclass(frozen=True)
class _SelectionState:
    """What a :class:`Selection` was computed from; compared by content, because users change lists in place."""

    I: list[int]
    S_sel: list[int] | None
    no_neuron_because: str | None
    masks: Tensor

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _SelectionState)
            and self.masks is other.masks
            and self.no_neuron_because == other.no_neuron_because
            and self.S_sel == other.S_sel
            and self.I == other.I
        )


class SelectableRecording(RecordingStorage):
    """A recording of which neurons and stimuli can be selected."""

    def _init_contract(self, path: str, dt_ms: float) -> None:
        super()._init_contract(path, dt_ms)
        self._selected_neurons: list[int] = []
        self._selected_stims: list[int] | None = None
        self._no_neuron_because: str | None = None
        self._no_stim_because: str | None = None
        self._selection_cache: tuple[_SelectionState, Selection] | None = None

    @property
    def I(self) -> list[int]:  # noqa: E743 - the public name
        """Selected neurons, in the order of the items; ``[]`` set by the user reads as all."""
        return self._selected_neurons

    @I.setter
    def I(self, neurons: Iterable[SupportsIndex]) -> None:  # noqa: E743
        self._selected_neurons = as_list(neurons, "neuron")
        self._no_neuron_because = None

    @property
    def S_sel(self) -> list[int] | None:
        """Selected stimuli: ``None`` is all, ``[]`` is none. Items keep the order of the recording."""
        return self._selected_stims

    @S_sel.setter
    def S_sel(self, stims: Iterable[SupportsIndex] | None) -> None:
        self._selected_stims = None if stims is None else as_list(stims, "stimulus")
        self._no_stim_because = None

    def get_nrn_meta(self) -> list[Any]:
        """Metadata of the selected neurons (of all where none was selected)."""
        if not self.I:
            return [] if self._no_neuron_because else list(self.nrn_meta)
        return [self.nrn_meta[check_index(neuron, self.N_neurons, "neuron")] for neuron in self.I]

    # --- neurons -----------------------------------------------------------------------------------------------------

    def select_neuron(self, i: SupportsIndex) -> None:
        """Select one neuron.

        Parameters
        ----------
        i : int
            Index of the neuron.

        Raises
        ------
        TypeError
            If `i` is not an integer.
        IndexError
            If there is no such neuron; negative indices are none.
        """
        self.I = [check_index(i, self.N_neurons, "neuron")]

    def select_population(self, neurons: Iterable[SupportsIndex]) -> None:
        """Select several neurons; items hold them in the order of `neurons`. ``[]`` selects none.

        Raises as :meth:`select_neuron`.
        """
        self.I = check_indices(neurons, self.N_neurons, "neuron")
        self._no_neuron_because = None if self.I else "select_population([]) selects no neuron"

    def select_pop_by_nrn_attr(self, name: str, value: Any) -> list[int]:
        """Select the neurons with ``nrn_meta[n][name] == value``.

        Parameters
        ----------
        name : str
            Key of the metadata; neurons (or stimuli) without it don't match.
        value : object
            The wanted value.

        Returns
        -------
        list of int
            The selected neurons (or stimuli). Where none matches: ``[]``, and the data set has no item until another
            selection.

        Raises
        ------
        TypeError
            If an entry of the metadata is not a dict, or values cannot be compared with `value`.

        Examples
        --------
        >>> from deepSTRF.datasets import NeuralDataset
        >>> import numpy as np
        >>> ds = NeuralDataset.from_arrays(
        ...     [np.ones((3, 8))], [np.ones((2, 1, 8))], dt_ms=5.0, nrn_meta=[{"area": "A1"}, {"area": "AAF"}])
        >>> ds.select_pop_by_nrn_attr("area", "AAF")
        [1]
        >>> ds.select_pop_by_nrn_attr("area", "MGB")
        []
        >>> len(ds)
        0
        """
        chosen = match_attribute(self.nrn_meta, name, value, "nrn_meta")
        return self._take_neurons(chosen, f"select_pop_by_nrn_attr({name!r}, {value!r})", self.nrn_meta, name)

    def select_pop_by_nrn_predicate(self, predicate: Callable[[Any], Any]) -> list[int]:
        """Select the neurons for whose metadata ``predicate(nrn_meta[n])`` is true.

        Parameters
        ----------
        predicate : callable
            Takes an entry of the metadata, returns something true or false. A KeyError, IndexError or TypeError in it
            counts as false.

        Returns
        -------
        list of int
            As :meth:`select_pop_by_nrn_attr`.
        """
        chosen = match_predicate(self.nrn_meta, predicate)
        return self._take_neurons(chosen, "select_pop_by_nrn_predicate", self.nrn_meta)

    def select_pop_by_stim_attr(self, name: str, value: Any) -> list[int]:
        """Select the neurons that have data for a stimulus with ``stim_meta[s][name] == value``.

        See :meth:`select_pop_by_nrn_attr`.
        """
        chosen = self._hearing(match_attribute(self.stim_meta, name, value, "stim_meta"))
        return self._take_neurons(chosen, f"select_pop_by_stim_attr({name!r}, {value!r})", self.stim_meta, name)

    def select_pop_by_stim_predicate(self, predicate: Callable[[Any], Any]) -> list[int]:
        """Select the neurons that have data for a stimulus for which ``predicate(stim_meta[s])`` is true.

        See :meth:`select_pop_by_nrn_predicate`.
        """
        chosen = self._hearing(match_predicate(self.stim_meta, predicate))
        return self._take_neurons(chosen, "select_pop_by_stim_predicate", self.stim_meta)

    def reset_pop_selection(self) -> None:
        """Select all neurons again."""
        self.I = []

    def _hearing(self, stims: list[int]) -> list[int]:
        """The neurons that have data for any of `stims`."""
        return torch.nonzero(self.nrn_masks[stims].any(0)).flatten().tolist()

    def _take_neurons(self, chosen: list[int], call: str, metadata: list[Any], name: str | None = None) -> list[int]:
        self.I = chosen
        if not chosen:
            self._no_neuron_because = f"{call} matched no neuron; {describe_metadata(metadata, name)}"
        return list(chosen)

    # --- stimuli -----------------------------------------------------------------------------------------------------

    def select_stim(self, i: SupportsIndex) -> None:
        """Select one stimulus; neurons without data for it are hidden from the items.

        Raises as :meth:`select_neuron`.
        """
        self.S_sel = [check_index(i, self.get_S(), "stimulus")]

    def select_stims(self, stims: Iterable[SupportsIndex]) -> None:
        """Select several stimuli; neurons without data for any of them are hidden. Items keep the recording's order.

        Raises as :meth:`select_neuron`.
        """
        self.S_sel = check_indices(stims, self.get_S(), "stimulus")
        self._no_stim_because = None if self.S_sel else "select_stims([]) selects no stimulus"

    def select_stims_by_attr(self, name: str, value: Any) -> list[int]:
        """Select the stimuli with ``stim_meta[s][name] == value``; see :meth:`select_pop_by_nrn_attr`."""
        chosen = match_attribute(self.stim_meta, name, value, "stim_meta")
        return self._take_stims(chosen, f"select_stims_by_attr({name!r}, {value!r})", name)

    def select_stims_by_predicate(self, predicate: Callable[[Any], Any]) -> list[int]:
        """Select the stimuli for which ``predicate(stim_meta[s])`` is true; see :meth:`select_pop_by_nrn_predicate`."""
        return self._take_stims(match_predicate(self.stim_meta, predicate), "select_stims_by_predicate")

    def reset_stim_selection(self) -> None:
        """Select all stimuli again."""
        self.S_sel = None

    def _take_stims(self, chosen: list[int], call: str, name: str | None = None) -> list[int]:
        self.S_sel = chosen
        if not chosen:
            self._no_stim_because = f"{call} matched no stimulus; {describe_metadata(self.stim_meta, name)}"
        return list(chosen)

    # --- what items hold ---------------------------------------------------------------------------------------------

    def _selection(self) -> Selection:
        """The neurons and stimuli of the items; computed again only when the selection or the data changed."""
        masks = self.nrn_masks
        if self.I:
            self._no_neuron_because = None
        state = _SelectionState(self.I, self.S_sel, self._no_neuron_because, masks)
        if self._selection_cache is None or self._selection_cache[0] != state:
            # The lists are copied: the cache must notice when the user's own list changes.
            seen = _SelectionState(
                list(self.I), None if self.S_sel is None else list(self.S_sel), self._no_neuron_because, masks
            )
            self._selection_cache = (seen, self._computed_selection(masks.numpy()))
        return self._selection_cache[1]

    def _computed_selection(self, masks: np.ndarray) -> Selection:
        n_stims, n_neurons = masks.shape
        if self.I:
            neurons = np.array([check_index(i, n_neurons, "neuron") for i in self.I], dtype=np.int64)
        else:
            neurons = np.arange(0 if self._no_neuron_because else n_neurons)
        if self.S_sel is None:
            stims = np.arange(n_stims)
        else:
            stims = np.array(sorted({check_index(s, n_stims, "stimulus") for s in self.S_sel}), dtype=np.int64)
            neurons = neurons[np.asarray(masks[stims].any(0))[neurons]]
        stims = stims[np.asarray(masks[np.ix_(stims, neurons)].any(1))]
        return Selection(neurons, stims.tolist(), np.array_equal(neurons, np.arange(n_neurons)))

    def _why_empty(self) -> str:
        if self._no_neuron_because and not self.I:
            return self._no_neuron_because
        if self.S_sel is not None and not self.S_sel:
            return self._no_stim_because or "S_sel is [], which selects no stimulus (None selects all)"
        return "no selected neuron has data for a selected stimulus"
