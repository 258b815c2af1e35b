"""The recording of a run: loaded, standardised and split."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

from deepSTRF.checks import counted
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.blocks import GAP_MS, assign_blocks, fold_blocks, parse_blocks
from deepSTRF.datasets.conditions import parse_condition
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.datasets.quality import FROM_RESPONSES
from deepSTRF.datasets.splits import Split, k_fold
from deepSTRF.runs.contents import contents_of
from deepSTRF.runs.data_source import copy_of, default_split_of, load_dataset
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.runs.settings import resolve_settings, window_of

__all__ = ["Recording", "Selected", "load_recording"]


class Selected(NamedTuple):
    """What the options ``neurons`` and ``stimuli`` left of a recording.

    Parameters
    ----------
    neurons, stimuli : tuple of int
        Indices in the whole recording.
    of_neurons, of_stimuli : int
        How many there are in the whole recording.
    measured : tuple of str
        The conditions for which something was measured on the responses.
    """

    neurons: tuple[int, ...]
    stimuli: tuple[int, ...]
    of_neurons: int
    of_stimuli: int
    measured: tuple[str, ...]


@dataclass(frozen=True)
class Recording:
    """A data set, standardised with the statistics of its training stimuli, and its parts.

    Parameters
    ----------
    dataset : NeuralDataset
        All of it.
    split : str
        The protocol.
    indices : dict of str to tuple of int
        The stimuli of the parts ``train``, ``val`` and ``test``.
    parts : dict of str to NeuralDataset
        The parts themselves.
    folds : tuple of Split
        The stimuli of each fold; empty without folds. With them, each part is everything.
    raw : NeuralDataset, optional
        With folds: all of it as it was recorded, since each fold is standardised with its own training stimuli.
    selected : Selected, optional
        What was selected of the recording; None for all of it.
    contents : dict, optional
        :func:`~deepSTRF.runs.contents.contents_of` it as it was read.
    """

    dataset: NeuralDataset
    split: str
    indices: dict[str, tuple[int, ...]]
    parts: dict[str, NeuralDataset]
    folds: tuple[Split, ...] = ()
    raw: NeuralDataset | None = None
    selected: Selected | None = None
    contents: dict[str, Any] | None = None

    @property
    def bins(self) -> list[int]:
        """Response bins of each stimulus; 0 where no neuron heard it."""
        return [block.n_bins for block in self.dataset._packed().blocks()]


def load_recording(options: FitOptions, dataset: NeuralDataset | None = None) -> Recording:
    """Load the data set that `options` name, standardise it, and split it by stimulus.

    Parameters
    ----------
    options : FitOptions
        Those of the run.
    dataset : NeuralDataset, optional
        What they name, where it is loaded already; it is not changed.

    Raises
    ------
    RunError
        If the data set does not fit the options or the model, or no neuron has data in one of the parts. The data set
        itself raises other errors for files, names and numbers.
    """
    loaded = load_dataset(options) if dataset is None else copy_of(dataset)
    part, selected = _select(loaded, options)
    contents = contents_of(part)
    recording = _with_split(part, options) if options.folds is None else _with_folds(part, options)
    return dataclasses.replace(recording, selected=selected, contents=contents)


def _with_split(dataset: Any, options: FitOptions) -> Recording:
    split = options.split or default_split_of(dataset, options)
    dataset, indices = _cut_and_split(dataset, split, options)
    dataset.standardize_stims(list(indices["train"]), per_band=False)
    parts = {name: dataset.subset(list(stimuli)) for name, stimuli in indices.items()}
    for name, part in parts.items():
        if not bool(part.nrn_masks.any()):
            raise RunError(
                f"no neuron has a response to any of the {len(indices[name])} {name} stimuli of split {split!r}; "
                "choose another one (`split`)"
            )
    return Recording(dataset, split, {name: tuple(map(int, stimuli)) for name, stimuli in indices.items()}, parts)


def _cut_and_split(dataset: Any, split: str, options: FitOptions) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """The data set, in blocks of time where the split says so, and the stimuli of its parts."""
    blocks = None if split in dataset.protocols else parse_blocks(split)
    if blocks is None:
        return dataset, dataset.split_indices(split)._asdict()
    n_blocks, gap_ms = blocks
    cut = _in_blocks(dataset, n_blocks, gap_ms, options)
    return cut, Split(*assign_blocks(cut, n_blocks))._asdict()


def _in_blocks(dataset: Any, n_blocks: int, gap_ms: float, options: FitOptions, why: str = "") -> Any:
    """Blocks of time whose gaps are at least as long as the model's window."""
    window_ms = window_of(options, resolve_settings(options))
    try:
        return dataset.in_blocks(n_blocks, max(gap_ms, window_ms))
    except ValueError as error:
        least = f"; a gap is at least as long as the window of the model, {window_ms:g} ms" if window_ms else ""
        raise RunError(f"{why}{error}{least}") from error


def _select(dataset: NeuralDataset, options: FitOptions) -> tuple[NeuralDataset, Selected | None]:
    """The data set with the neurons and stimuli that the options leave."""
    if options.neurons is None and options.stimuli is None:
        return dataset, None
    neurons, stimuli = options.neurons or (), options.stimuli or ()
    chosen = dataset._choose(neurons, stimuli)
    metadata = {str(key) for entry in dataset.nrn_meta for key in as_dict(entry)}
    measured = [text for text in neurons if parse_condition(text).key in {*FROM_RESPONSES} - metadata]
    return dataset._taking(chosen), Selected(
        tuple(chosen.neurons), tuple(chosen.stimuli), dataset.N_neurons, dataset.get_S(), tuple(measured)
    )


def _with_folds(dataset: Any, options: FitOptions) -> Recording:
    """Folds of stimuli; of blocks of time where the split says so, or there are fewer stimuli than folds."""
    number = options.folds or 0
    blocks = None if options.split is None else parse_blocks(options.split)
    if options.split is not None and blocks is None:
        raise RunError(
            f"`folds` tests every stimulus once, so `split` can only be blocks of time (blocks:{number}), got "
            f"{options.split!r}; leave one of the two out"
        )
    heard = dataset.nrn_masks.any(1).nonzero()[:, 0].tolist()
    if blocks is None and len(heard) < number:
        blocks = number, GAP_MS
    if blocks is None:
        drawn = k_fold(len(heard), number)
        folds = [Split(*(tuple(heard[i] for i in part) for part in split)) for split in drawn]
    else:
        n_blocks, gap_ms = blocks
        stimuli = counted(len(heard), "stimulus", "stimuli")
        why = f"{number} folds of {stimuli} are cut in time. " if options.split is None else ""
        dataset = _in_blocks(dataset, n_blocks, gap_ms, options, why)
        by_block = number == n_blocks
        folds = list(map(Split._make, fold_blocks(dataset, n_blocks))) if by_block else k_fold(dataset.get_S(), number)
    raw = dataset.subset(range(dataset.get_S()))
    everything = tuple(s for split in folds for s in split.test)
    dataset.standardize_stims(list(everything), per_band=False)
    indices = dict.fromkeys(Split._fields, tuple(range(dataset.get_S())))
    name = f"{number} folds" + ("" if blocks is None else f" of {blocks[0]} blocks")
    return Recording(dataset, name, indices, dict.fromkeys(Split._fields, dataset), tuple(folds), raw)
