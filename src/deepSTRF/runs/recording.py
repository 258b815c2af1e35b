"""The recording of a run: loaded, standardised and split."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.blocks import assign_blocks, parse_blocks
from deepSTRF.datasets.splits import Split
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.registry import get_dataset, get_dataset_card, get_model_card
from deepSTRF.runs.options import FitOptions, RunError, name_of_dataset
from deepSTRF.runs.settings import resolve_settings, window_of

__all__ = ["Recording", "load_recording"]


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
    """

    dataset: NeuralDataset
    split: str
    indices: dict[str, tuple[int, ...]]
    parts: dict[str, NeuralDataset]


def load_recording(options: FitOptions) -> Recording:
    """Load the data set that `options` name, standardise it, and split it by stimulus.

    Raises
    ------
    RunError
        If the data set does not fit the options or the model, or no neuron has data in one of the parts. The data set
        itself raises other errors for files, names and numbers.
    """
    dataset = _load(options)
    split = options.split or _default_split(dataset, options)
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
    cut = dataset.in_blocks(n_blocks, max(gap_ms, window_of(options, resolve_settings(options))))
    return cut, Split(*assign_blocks(cut, n_blocks))._asdict()


def _load(options: FitOptions) -> NeuralDataset:
    """The data set that the options name, or a copy of the one that they hold."""
    given = options.dataset
    if isinstance(given, str):
        cls = get_dataset(given)
        return cls(**_arguments(cls, options))
    if options.data is not None or options.dt_ms is not None:
        raise RunError("a data set object has its data and its bins already; leave `data` and `dt_ms` out")
    stimulus = get_model_card(options.model).stimulus
    _check_stimulus(options, type(given))
    if stimulus == "waveform" and not getattr(given, "return_waveform", False):
        raise RunError(f"{options.model} takes waveforms, and this {type(given).__name__} gives spectrograms")
    copy = given.subset(range(given.get_S()))  # which forgets the protocols
    copy.protocols = given.protocols
    return copy


def _default_split(dataset: NeuralDataset, options: FitOptions) -> str:
    given = options.dataset
    own = get_dataset_card(given).default_split if isinstance(given, str) else given.default_split
    return own or dataset.default_split


def _check_stimulus(options: FitOptions, cls: type) -> None:
    stimulus = get_model_card(options.model).stimulus
    if stimulus != "spectrogram or movie" and (stimulus == "movie") != issubclass(cls, VideoNeuralDataset):
        takes, has = ("movies", "sounds") if stimulus == "movie" else ("sounds", "movies")
        name = name_of_dataset(options.dataset)
        raise RunError(f"{options.model} takes {takes}, and the data set {name!r} has {has}")


def _arguments(cls: type, options: FitOptions) -> dict[str, Any]:
    """Arguments of the data set's class, which depend on what the model takes."""
    known = inspect.signature(cls).parameters
    arguments: dict[str, Any] = {}
    if options.data is not None:
        if "path" not in known:
            raise RunError(f"the data set {options.dataset!r} needs no files; leave `data` out")
        arguments["path"] = options.data
    if options.dt_ms is not None:
        arguments["dt_ms"] = options.dt_ms
    _check_stimulus(options, cls)
    if get_model_card(options.model).stimulus == "waveform":
        if "return_waveform" not in known:
            raise RunError(
                f"{options.model} takes waveforms, and the data set {options.dataset!r} has only spectrograms"
            )
        arguments["return_waveform"] = True
    return arguments
