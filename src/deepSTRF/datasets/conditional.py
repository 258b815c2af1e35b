"""Parts of a recording by conditions: the neurons of an area, those that are reliable, the stimuli of a type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from deepSTRF.datasets.conditions import match_conditions, parse_conditions
from deepSTRF.datasets.indices import check_indices
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.quality import neuron_qualities, stimulus_qualities
from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.datasets.selection import EmptySelectionError
from deepSTRF.datasets.splits import SplittableRecording

__all__ = ["Chosen", "ConditionalRecording"]


class Chosen(NamedTuple):
    """Indices of the neurons and the stimuli that conditions leave."""

    neurons: list[int]
    stimuli: list[int]


class ConditionalRecording(SplittableRecording):
    """A recording of which a part can be made by conditions on its neurons and stimuli."""

    def select(self, *neurons: str, stimuli: str | Iterable[str] = ()) -> Self:
        """Make a data set of the neurons and stimuli that fulfil conditions.

        Unlike ``select_population`` and its relatives, which change what the items of this data set hold, it returns a
        data set that has nothing else, to be fitted, split or saved. The command line does the same with ``--neurons``
        and ``--stimuli``.

        Parameters
        ----------
        *neurons : str
            ``"key=value"``; all conditions must hold. The operators are ``= != > >= < <=``; ``=`` and ``!=`` take
            several values, ``"area=A1,AAF"``. A key is one of the metadata, or measured on the selected stimuli:
            ``snr``, ``ccmax``, ``ceiling``, ``trial_correlation``, ``rate`` (per second), ``repeats``, ``index``
            (:func:`~deepSTRF.datasets.quality.neuron_qualities`). The metadata come first where both have a key.
            Numbers are compared as numbers. A missing value fulfils no condition.
        stimuli : str or iterable of str
            The same for stimuli; measured are ``duration`` (s), ``repeats`` and ``index``.

        Returns
        -------
        NeuralDataset
            Of the same class, with the neurons that have data for a chosen stimulus. Stimuli are shared. Named splits
            are cut to the stimuli that are left. What was selected before stays the frame: nothing is added to it.

        Raises
        ------
        TypeError, ValueError
            If a condition cannot be read, no metadata has its key, or it orders what is no number.
        EmptySelectionError
            If nothing matches, a ValueError; the message says how many each condition matches.

        Notes
        -----
        Quality is measured on all selected stimuli, those that will test a model too, as is usual. It says nothing
        about the model, but the neurons that are left are better ones, by chance as well; report the condition.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays(
        ...     [np.ones((3, 8))] * 2, [np.ones((3, 4, 8))] * 2, dt_ms=5.0,
        ...     nrn_meta=[{"area": "A1"}, {"area": "AAF"}, {"area": "A1"}],
        ...     stim_meta=[{"type": "song"}, {"type": "noise"}])
        >>> ds.select("area=A1", "rate>100", stimuli="type=song")
        NeuralDataset(N_neurons=2, selected=2, N_stims=1, dt_ms=5.0)
        """
        return self._taking(self._choose(neurons, stimuli))

    def _choose(self, neurons: Any, stimuli: Any = ()) -> Chosen:
        """What :meth:`select` takes; indices in the order of the present selection."""
        of_neurons, of_stimuli = parse_conditions(neurons, "neurons"), parse_conditions(stimuli, "stimuli")
        selected = self._selection()
        everyone = selected.neurons.tolist()
        stims = list(range(self.get_S())) if self.S_sel is None else check_indices(self.S_sel, self.get_S(), "stimulus")
        if not everyone or not stims:
            raise EmptySelectionError(f"there is nothing to select from: {self._why_empty()}")
        if of_stimuli:
            metadata = [as_dict(self.stim_meta[s]) for s in stims]
            found = match_conditions(of_stimuli, metadata, stimulus_qualities(self.subset(stims)), "stimulus")
            stims = [stims[i] for i in found]
        if of_neurons:
            heard = self.subset(stims)._part(everyone)
            metadata = [as_dict(self.nrn_meta[n]) for n in everyone]
            found = match_conditions(of_neurons, metadata, neuron_qualities(heard), "neuron")
            everyone = [everyone[i] for i in found]
        with_data = self.nrn_masks[stims][:, everyone].any(0).tolist()
        left = [n for n, has in zip(everyone, with_data, strict=True) if has or not of_stimuli]
        if not left:
            raise EmptySelectionError(
                f"none of the {len(everyone)} selected neurons has data for any of the {len(stims)} stimuli with "
                f"{' and '.join(map(str, of_stimuli))}"
            )
        return Chosen(left, stims)

    def _taking(self, chosen: Chosen) -> Self:
        """The data set of the chosen neurons and stimuli."""
        whole = chosen.stimuli == list(range(self.get_S()))
        part = self.subset(chosen.stimuli)
        if whole and "protocols" not in vars(self):
            del vars(part)["protocols"]  # those of the class, as before
        else:
            vars(part)["protocols"] = self.protocols if whole else _cut_protocols(self, chosen.stimuli)
        return part._part(chosen.neurons)

    def _part(self, neurons: Sequence[int]) -> Self:
        """The same data set with some neurons only, in this order."""
        if list(neurons) == list(range(self.N_neurons)):
            part = self._shallow_copy(PackedResponses(self._packed().blocks(), self.N_neurons))
            part.I = []
            return part
        index = np.asarray(neurons, dtype=np.int64)
        blocks = [_rows(block, index, self.N_neurons) for block in self._packed().blocks()]
        part = self._shallow_copy(PackedResponses(blocks, len(index)))
        part.N_neurons = len(index)
        part.nrn_meta = [part.nrn_meta[n] for n in index]
        part.I = []
        part._neuron_copy_attrs(self, index.tolist())
        if self.uncut is not None:
            part.uncut = self.uncut._part(index.tolist())
        return part

    def _neuron_copy_attrs(self, source: Any, neurons: list[int]) -> None:
        """Cut the attributes of a subclass that run over neurons to `neurons` of `source`; none here."""


def _rows(block: ResponseBlock, neurons: np.ndarray, n_neurons: int) -> ResponseBlock:
    """What some neurons, numbered anew, have in a block."""
    position = np.full(n_neurons, -1, dtype=np.int64)
    position[block.neurons] = np.arange(len(block.neurons))
    rows = position[neurons]
    heard = np.flatnonzero(rows >= 0)
    rows = rows[heard]
    repeats = block.repeats[rows]
    if not len(rows):
        return ResponseBlock(torch.empty(0, 0, 0), heard, repeats)
    return ResponseBlock(block.values[torch.from_numpy(rows), : int(repeats.max())], heard, repeats)


def _cut_protocols(source: ConditionalRecording, stimuli: Sequence[int]) -> dict[str, dict[str, tuple[int, ...]]]:
    """The named splits with the numbers that the stimuli have now; that which the class splits by comes first."""
    card = getattr(type(source), "card", None)
    first = getattr(card, "default_split", None)
    number = {s: k for k, s in enumerate(stimuli)}
    cut = {
        name: {part: tuple(number[s] for s in stims if s in number) for part, stims in parts.items()}
        for name, parts in sorted(source.protocols.items(), key=lambda item: item[0] != first)
        if isinstance(parts, Mapping)
    }
    return {name: parts for name, parts in cut.items() if all(parts.values())}
