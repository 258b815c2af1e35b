"""Selecting neurons and stimuli: by index, by attribute, by predicate.

``I`` holds the selected neurons (``[]`` reads as all) and ``S_sel`` the selected stimuli (``None`` reads as all, ``[]``
as none). Nothing is copied or dropped: a selection changes what items hold, never the attributes of the data set.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from deepSTRF.datasets.packed import ResponseBlock
from deepSTRF.datasets.storage import RecordingStorage

__all__ = ["EmptySelectionError", "SelectableRecording", "Selection"]

_SHOWN_VALUES = 12


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


def _index(value: Any, size: int, what: str) -> int:
    """`value` as an int from 0 to `size` - 1; NumPy integers and 0-d tensors are fine, bool is not."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        raise TypeError(f"a {what} index must be an integer, got the bool {value}")
    try:
        index = operator.index(value)
    except TypeError as error:
        raise TypeError(f"a {what} index must be an integer, got {type(value).__name__}") from error
    if not 0 <= index < size:
        raise IndexError(f"there is no {what} {index}; there are {size}, numbered from 0 (negative ones don't count)")
    return index


def _indices(values: Any, size: int, what: str) -> list[int]:
    """`values` as a list of ints, each from 0 to `size` - 1."""
    return [_index(value, size, what) for value in _as_list(values, what)]


def _as_list(values: Any, what: str) -> Any:
    """Lists stay the same object, so that changing them in place is seen; other sequences become lists."""
    if not isinstance(values, Iterable):
        raise TypeError(f"expected a list of {what} indices, got {type(values).__name__}: {values!r}")
    return values if isinstance(values, list) else list(values)


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
        self._selected_neurons = _as_list(neurons, "neuron")
        self._no_neuron_because = None

    @property
    def S_sel(self) -> list[int] | None:
        """Selected stimuli: ``None`` is all, ``[]`` is none. Items keep the order of the recording."""
        return self._selected_stims

    @S_sel.setter
    def S_sel(self, stims: Iterable[SupportsIndex] | None) -> None:
        self._selected_stims = None if stims is None else _as_list(stims, "stimulus")
        self._no_stim_because = None

    def get_nrn_meta(self) -> list[dict[str, Any]]:
        """Metadata of the selected neurons (of all where none was selected)."""
        if not self.I:
            return [] if self._no_neuron_because else list(self.nrn_meta)
        return [self.nrn_meta[_index(neuron, self.N_neurons, "neuron")] for neuron in self.I]

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
            If there is no such neuron.
        """
        self.I = [_index(i, self.N_neurons, "neuron")]

    def select_population(self, neurons: Iterable[SupportsIndex]) -> None:
        """Select several neurons; items hold them in this order.

        Parameters
        ----------
        neurons : iterable of int
            Indices. An empty one leaves an explicitly empty selection.

        Raises
        ------
        TypeError
            If an index is not an integer.
        IndexError
            If there is no such neuron.
        """
        chosen = _indices(neurons, self.N_neurons, "neuron")
        self._take_neurons(chosen, lambda: "select_population([]) selects no neuron")

    def select_pop_by_nrn_attr(self, name: str, value: Any) -> list[int]:
        """Select the neurons with ``nrn_meta[n][name] == value``.

        Parameters
        ----------
        name : str
            Key of the neurons' metadata; neurons without it don't match.
        value : object
            The wanted value.

        Returns
        -------
        list of int
            The selected neurons. Where none matches: ``[]``, and the data set has no item until another selection.

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
        chosen = _matching(self.nrn_meta, name, value)
        return self._take_neurons(
            chosen,
            lambda: f"select_pop_by_nrn_attr({name!r}, {value!r}) matched no neuron; {_values(self.nrn_meta, name)}",
        )

    def select_pop_by_nrn_predicate(self, predicate: Callable[[dict[str, Any]], Any]) -> list[int]:
        """Select the neurons whose metadata the predicate accepts.

        Parameters
        ----------
        predicate : callable
            Takes a metadata dict, returns something true or false. A KeyError or TypeError in it counts as false.

        Returns
        -------
        list of int
            The selected neurons, ``[]`` (and no items) where none matches.
        """
        return self._take_neurons(
            _accepted(self.nrn_meta, predicate),
            lambda: f"select_pop_by_nrn_predicate matched no neuron; {_keys(self.nrn_meta)}",
        )

    def select_pop_by_stim_attr(self, name: str, value: Any) -> list[int]:
        """Select the neurons that have data for a stimulus with ``stim_meta[s][name] == value``.

        Parameters
        ----------
        name : str
            Key of the stimuli's metadata; stimuli without it don't match.
        value : object
            The wanted value.

        Returns
        -------
        list of int
            The selected neurons, ``[]`` (and no items) where none matches.
        """
        stims = _matching(self.stim_meta, name, value)
        return self._take_neurons(
            self._hearing(stims),
            lambda: f"select_pop_by_stim_attr({name!r}, {value!r}) matched no neuron; {_values(self.stim_meta, name)}",
        )

    def select_pop_by_stim_predicate(self, predicate: Callable[[dict[str, Any]], Any]) -> list[int]:
        """Select the neurons that have data for a stimulus whose metadata the predicate accepts.

        Parameters
        ----------
        predicate : callable
            Takes a metadata dict, returns something true or false. A KeyError or TypeError in it counts as false.

        Returns
        -------
        list of int
            The selected neurons, ``[]`` (and no items) where none matches.
        """
        return self._take_neurons(
            self._hearing(_accepted(self.stim_meta, predicate)),
            lambda: f"select_pop_by_stim_predicate matched no neuron; {_keys(self.stim_meta)}",
        )

    def reset_pop_selection(self) -> None:
        """Select all neurons again."""
        self.I = []

    def _hearing(self, stims: list[int]) -> list[int]:
        return torch.nonzero(self.nrn_masks[stims].any(0)).flatten().tolist()

    def _take_neurons(self, chosen: list[int], why_none: Callable[[], str]) -> list[int]:
        self.I = chosen
        self._no_neuron_because = None if chosen else why_none()
        return list(chosen)

    # --- stimuli -----------------------------------------------------------------------------------------------------

    def select_stim(self, i: SupportsIndex) -> None:
        """Select one stimulus; neurons without data for it are hidden from the items.

        Parameters
        ----------
        i : int
            Index of the stimulus.

        Raises
        ------
        TypeError
            If `i` is not an integer.
        IndexError
            If there is no such stimulus; negative indices are none.
        """
        self.S_sel = [_index(i, self.get_S(), "stimulus")]

    def select_stims(self, stims: Iterable[SupportsIndex]) -> None:
        """Select several stimuli; neurons without data for any of them are hidden from the items.

        Parameters
        ----------
        stims : iterable of int
            Indices. Items keep the order of the recording.

        Raises
        ------
        TypeError
            If an index is not an integer.
        IndexError
            If there is no such stimulus; negative indices are none.
        """
        chosen = _indices(stims, self.get_S(), "stimulus")
        self._take_stims(chosen, lambda: "select_stims([]) selects no stimulus")

    def select_stims_by_attr(self, name: str, value: Any) -> list[int]:
        """Select the stimuli with ``stim_meta[s][name] == value``.

        Parameters
        ----------
        name : str
            Key of the stimuli's metadata; stimuli without it don't match.
        value : object
            The wanted value.

        Returns
        -------
        list of int
            The selected stimuli, ``[]`` (and no items) where none matches.
        """
        chosen = _matching(self.stim_meta, name, value)
        return self._take_stims(
            chosen,
            lambda: f"select_stims_by_attr({name!r}, {value!r}) matched no stimulus; {_values(self.stim_meta, name)}",
        )

    def select_stims_by_predicate(self, predicate: Callable[[dict[str, Any]], Any]) -> list[int]:
        """Select the stimuli whose metadata the predicate accepts.

        Parameters
        ----------
        predicate : callable
            Takes a metadata dict, returns something true or false. A KeyError or TypeError in it counts as false.

        Returns
        -------
        list of int
            The selected stimuli, ``[]`` (and no items) where none matches.
        """
        return self._take_stims(
            _accepted(self.stim_meta, predicate),
            lambda: f"select_stims_by_predicate matched no stimulus; {_keys(self.stim_meta)}",
        )

    def reset_stim_selection(self) -> None:
        """Select all stimuli again."""
        self.S_sel = None

    def _take_stims(self, chosen: list[int], why_none: Callable[[], str]) -> list[int]:
        self.S_sel = chosen
        self._no_stim_because = None if chosen else why_none()
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
            neurons = np.array([_index(i, n_neurons, "neuron") for i in self.I], dtype=np.int64)
        else:
            neurons = np.arange(0 if self._no_neuron_because else n_neurons)
        if self.S_sel is None:
            stims = np.arange(n_stims)
        else:
            stims = np.array(sorted({_index(s, n_stims, "stimulus") for s in self.S_sel}), dtype=np.int64)
            neurons = neurons[np.asarray(masks[stims].any(0))[neurons]]
        stims = stims[np.asarray(masks[np.ix_(stims, neurons)].any(1))]
        return Selection(neurons, stims.tolist(), np.array_equal(neurons, np.arange(n_neurons)))

    def _why_empty(self) -> str:
        if self._no_neuron_because and not self.I:
            return self._no_neuron_because
        if self.S_sel is not None and not self.S_sel:
            return self._no_stim_because or "S_sel is [], which selects no stimulus (None selects all)"
        return "no selected neuron has data for a selected stimulus"


def _accepted(metadata: list[dict[str, Any]], predicate: Callable[[dict[str, Any]], Any]) -> list[int]:
    if not callable(predicate):  # or the TypeError of calling it would count as "no match"
        raise TypeError(f"the predicate must be a function of a metadata dict, got {type(predicate).__name__}")
    accepted = []
    for index, meta in enumerate(metadata):
        try:
            if predicate(meta):
                accepted.append(index)
        except (KeyError, TypeError):  # documented: metadata without the key, or None, don't match
            continue
    return accepted


def _matching(metadata: list[dict[str, Any]], name: str, value: Any) -> list[int]:
    if not isinstance(name, Hashable):
        raise TypeError(f"the name of a metadata key must be a string, got {type(name).__name__}: {name!r}")
    matching = []
    for index, meta in enumerate(metadata):
        try:
            if name in meta and meta[name] == value:
                matching.append(index)
        except (ValueError, RuntimeError) as error:  # arrays compare number by number
            raise TypeError(
                f"the values of {name!r} can't be compared with {value!r} ({error}); select with a predicate instead"
            ) from error
    return matching


def _values(metadata: list[dict[str, Any]], name: str) -> str:
    values = list(dict.fromkeys(repr(meta[name]) for meta in metadata if name in meta))
    if not values:
        return f"no metadata has the key {name!r}; {_keys(metadata)}"
    more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
    return f"values of {name!r}: {', '.join(values[:_SHOWN_VALUES])}{more}"


def _keys(metadata: list[dict[str, Any]]) -> str:
    return f"metadata keys: {', '.join(sorted({str(key) for meta in metadata for key in meta})) or 'none'}"
