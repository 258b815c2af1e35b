"""What the option ``dataset`` stands for: a class by its name or its file, a folder, an NWB file, an object."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deepSTRF.checks import unknown_name
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.folders import class_of_stimuli
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.files import expand_path
from deepSTRF.registry import get_dataset, get_dataset_card, get_model_card
from deepSTRF.runs.folder import absolute_name
from deepSTRF.runs.options import FitOptions, RunError, name_of_dataset

__all__ = [
    "PATHS_OF_PHY",
    "absolute_dataset",
    "absolute_values",
    "can_be_downloaded",
    "check_dataset",
    "check_stimulus",
    "copy_of",
    "default_split_of",
    "kind_of_data",
    "load_dataset",
    "named_split",
    "options_to_look",
    "place_of",
    "window_of_card",
]


PATHS_OF_PHY = ("stims", "trials")
"""Arguments of ``from_phy`` that are paths on the command line; what else it needs there is in ``_NEEDED_BY_PHY``."""

_NEEDED_BY_PHY = {
    "stims": "a folder with the stimuli, as sound files or .npy arrays (`read` stims=./sounds)",
    "trials": "a table of trials with the columns onset and stimulus (`read` trials=trials.csv)",
    "unit": "the unit of its onsets, s, ms or samples (`read` unit=s)",
    "dt_ms": "the width of a bin in ms (`dt_ms` 5)",
}
_OPTIONS_OF_SPIKES = ("before_ms", "after_ms", "silence")


def kind_of_data(dataset: str | NeuralDataset, folder: Path = Path()) -> str:
    """How a data set is found: ``"class"``, ``"folder"``, ``"nwb"``, ``"phy"`` or ``"object"``.

    A registered name is a class, also where a folder has the same name; write ``./name`` for that folder.

    Examples
    --------
    >>> kind_of_data("simulated"), kind_of_data("mine.py:Mine"), kind_of_data("./mine"), kind_of_data("day1.nwb")
    ('class', 'class', 'folder', 'nwb')
    """
    if not isinstance(dataset, str):
        return "object"
    path = folder / expand_path(dataset)
    if dataset.endswith(".nwb"):
        return "nwb"
    looks_like_path = any(mark in dataset for mark in {os.sep, os.altsep or os.sep}) or dataset[:1] in ("~", ".")
    if (path / "spike_times.npy").is_file() and not (path / "recording.toml").is_file() and not _is_registered(dataset):
        return "phy"
    if ":" in dataset and not path.exists():
        return "class"
    if looks_like_path:
        return "folder"
    return "folder" if dataset and path.is_dir() and not _is_registered(dataset) else "class"


def _is_registered(name: str) -> bool:
    try:
        get_dataset_card(name)
    except KeyError:  # an UnknownNameError
        return False
    return True


def absolute_dataset(dataset: str, folder: Path = Path()) -> str:
    """Name of a data set that means the same in another working folder; relative ones start at `folder`."""
    if kind_of_data(dataset, folder) == "class":
        return absolute_name(dataset, folder)
    return str((folder / expand_path(dataset)).resolve())


def absolute_values(arguments: Mapping[str, Any] | None, paths: Iterable[str] = ()) -> Mapping[str, Any] | None:
    """Arguments of a reader, with absolute paths for those that exist and are `paths`, or written with a slash."""
    if arguments is None:
        return None
    return {
        name: str(expand_path(value).resolve())
        if isinstance(value, str) and (os.sep in value or name in paths) and expand_path(value).exists()
        else value
        for name, value in arguments.items()
    }


def check_dataset(dataset: str) -> None:
    """Raise an error if there is no such data set; without loading it."""
    kind = kind_of_data(dataset)
    if kind == "class":
        get_dataset(dataset)
    elif not expand_path(dataset).exists():
        raise FileNotFoundError(f"there is no {'file' if kind == 'nwb' else 'folder'} {dataset}")


def can_be_downloaded(dataset: str | NeuralDataset) -> bool:
    """Whether a data set is a public recording, whose class fetches its files."""
    if not isinstance(dataset, str) or kind_of_data(dataset) != "class":
        return False
    return "download" in inspect.signature(get_dataset(dataset)).parameters


def place_of(options: FitOptions) -> dict[str, Any]:
    """Where the data of a run are, for ``config.json``: kind, and the absolute path where they have one."""
    kind = kind_of_data(options.dataset)
    path = options.data if kind == "class" else None if kind == "object" else options.dataset
    return {"kind": kind, "path": None if path is None else str(expand_path(path).resolve())}


def default_split_of(dataset: NeuralDataset, options: FitOptions) -> str:
    """The split where none is named: that of the card, or what fits the number of stimuli."""
    if options.stimuli is not None:  # what the card names may be no part of it any more
        return dataset.default_split
    named = named_split(options.dataset)
    return named if named in dataset.protocols or ":" in named else dataset.default_split


def named_split(dataset: str | NeuralDataset) -> str:
    """The split that a class names for its recording; empty for one that is known only when it was read."""
    if isinstance(dataset, str) and kind_of_data(dataset) == "class":
        return get_dataset_card(dataset).default_split
    return ""


def window_of_card(dataset: str | NeuralDataset) -> float | None:
    """The window in ms that suits a recording, if its class says so."""
    if isinstance(dataset, str):
        return get_dataset_card(dataset).window_ms if kind_of_data(dataset) == "class" else None
    return getattr(getattr(dataset, "card", None), "window_ms", None)


def options_to_look(dataset: str, **options: Any) -> FitOptions:
    """Options for a look at a data set, with a model that takes its stimuli; `options` say how it is read."""
    of_waveforms = (options.get("read") or {}).get("spectrogram") == "waveform"
    return FitOptions(dataset, "icnet" if of_waveforms else "ridge", **options)  # ridge takes sounds and movies


def load_dataset(options: FitOptions, *, download: bool = False) -> NeuralDataset:
    """Load the data set that the options name, or copy the one that they hold.

    Parameters
    ----------
    options : FitOptions
        Those of the run.
    download : bool
        Fetch the files of a public recording that are not on this disk. Where they come from is no option of a run.

    Raises
    ------
    RunError
        If an option has no meaning for it, or it does not have the stimuli that the model takes, or there is nothing
        to download. Reading it raises other errors for files, names and numbers.
    """
    kind = kind_of_data(options.dataset)
    if kind != "object":
        check_dataset(options.dataset)
    if kind == "class":
        return _from_class(options, download)
    if download:
        raise RunError(f"{name_of_dataset(options.dataset)!r} is on this disk already; leave `download` out")
    return {"folder": _from_folder, "nwb": _from_nwb, "phy": _from_phy, "object": _from_object}[kind](options)


def _from_object(options: FitOptions) -> NeuralDataset:
    given: Any = options.dataset
    if options.data is not None or options.dt_ms is not None:
        raise RunError("a data set object has its data and its bins already; leave `data` and `dt_ms` out")
    if options.read is not None:
        raise RunError("a data set object is not read any more; leave `read` out")
    check_stimulus(options, type(given))
    if _takes_waveforms(options) and not getattr(given, "return_waveform", False):
        raise RunError(f"{options.model} takes waveforms, and this {type(given).__name__} gives spectrograms")
    return copy_of(given)


def copy_of(given: NeuralDataset) -> NeuralDataset:
    """A copy that can be standardised, of what is selected.

    Models and files know neurons and stimuli by their number among those that take part.
    """
    return given._taking(given._choose(()))


def _from_class(options: FitOptions, download: bool) -> NeuralDataset:
    """The arguments of the class depend on what the model takes."""
    cls = get_dataset(options.dataset)
    known = inspect.signature(cls).parameters
    arguments = dict(options.read or {})
    if unknown := [name for name in arguments if name not in known]:
        raise RunError(f"{unknown_name(f'argument of {options.dataset}', unknown[0], known)} (`read`)")
    if any(name in arguments for name in ("username", "password")):
        raise RunError("`read` is kept in config.json; for CRCNS set CRCNS_USERNAME and CRCNS_PASSWORD instead")
    if download:
        if not can_be_downloaded(options.dataset):
            raise RunError(f"the data set {options.dataset!r} has nothing to download; leave `download` out")
        arguments["download"] = True
    if options.data is not None:
        if "path" not in known:
            raise RunError(f"the data set {options.dataset!r} needs no files; leave `data` out")
        arguments["path"] = options.data
    elif "path" in known and known["path"].default is inspect.Parameter.empty and "path" not in arguments:
        raise RunError(f"the data set {options.dataset!r} reads files; say where they are (`data`)")
    if options.dt_ms is not None:
        if "dt_ms" not in known:
            raise RunError(f"the data set {options.dataset!r} has bins of its own; leave `dt_ms` out")
        arguments["dt_ms"] = options.dt_ms
    check_stimulus(options, cls)
    if _takes_waveforms(options):
        if "return_waveform" not in known:
            raise RunError(
                f"{options.model} takes waveforms, and the data set {options.dataset!r} has only spectrograms"
            )
        arguments["return_waveform"] = True
    return cls(**arguments)


def _from_folder(options: FitOptions) -> NeuralDataset:
    from deepSTRF.datasets import read_folder

    _check_no_data(options)
    if options.dt_ms is not None:
        raise RunError("the bins of a folder are those of its recording.toml, dt_ms; leave `dt_ms` out")
    if options.read is not None:
        raise RunError("what there is to choose in reading a folder stands in its recording.toml; leave `read` out")
    dataset = read_folder(options.dataset, return_waveform=_takes_waveforms(options))
    check_stimulus(options, type(dataset))
    return dataset


def _from_nwb(options: FitOptions) -> NeuralDataset:
    from deepSTRF.datasets.audio import AudioNeuralDataset

    _check_no_data(options)
    known = inspect.signature(AudioNeuralDataset.from_nwb).parameters
    arguments = _read_arguments(options, "from_nwb", [name for name in known if name not in ("path", "dt_ms")])
    if options.dt_ms is not None:
        arguments["dt_ms"] = options.dt_ms
    stimulus = get_model_card(options.model).stimulus
    if stimulus == "movie":
        return VideoNeuralDataset.from_nwb(options.dataset, **arguments)
    try:
        return AudioNeuralDataset.from_nwb(options.dataset, **arguments)
    except ValueError as error:  # the file says which of the two it has, and the error that it is not this one
        if stimulus != "spectrogram or movie" or "VideoNeuralDataset" not in str(error):
            raise
    return VideoNeuralDataset.from_nwb(options.dataset, **arguments)


def _from_phy(options: FitOptions) -> NeuralDataset:
    from deepSTRF.datasets.audio import AudioNeuralDataset

    _check_no_data(options)
    known = inspect.signature(AudioNeuralDataset.from_phy).parameters
    names = [name for name in known if name not in ("folder", "dt_ms", "options")]
    arguments = {"dt_ms": options.dt_ms, **_read_arguments(options, "from_phy", [*names, *_OPTIONS_OF_SPIKES])}
    if missing := [what for name, what in _NEEDED_BY_PHY.items() if arguments.get(name) is None]:
        raise RunError(
            f"{options.dataset} is the output folder of Kilosort or phy, which has spikes, and needs "
            f"{'; '.join(missing)}. In Python this is AudioNeuralDataset.from_phy"
        )
    has_movies = class_of_stimuli(arguments["stims"]) is VideoNeuralDataset
    cls = VideoNeuralDataset if has_movies else AudioNeuralDataset
    check_stimulus(options, cls)
    return cls.from_phy(options.dataset, **arguments)


def _read_arguments(options: FitOptions, reader: str, known: list[str]) -> dict[str, Any]:
    """The arguments of a reader, which leaves sounds as they are where the model hears waveforms.

    Raises
    ------
    RunError
        If there is no such argument, or the model takes something else.
    """
    arguments = dict(options.read or {})
    if unknown := [name for name in arguments if name not in known]:
        raise RunError(f"{unknown_name(f'argument of {reader}', unknown[0], known)} (`read`)")
    if _takes_waveforms(options) and arguments.setdefault("spectrogram", "waveform") != "waveform":
        raise RunError(f"{options.model} takes waveforms; leave `read` spectrogram={arguments['spectrogram']} out")
    if not _takes_waveforms(options) and arguments.get("spectrogram") == "waveform":
        raise RunError(f"{options.model} takes spectrograms, not waveforms; leave `read` spectrogram=waveform out")
    return arguments


def _check_no_data(options: FitOptions) -> None:
    if options.data is not None:
        raise RunError(f"{options.dataset!r} is where the data are; leave `data` out")


def _takes_waveforms(options: FitOptions) -> bool:
    return get_model_card(options.model).stimulus == "waveform"


def check_stimulus(options: FitOptions, cls: type) -> None:
    """Raise an error unless a class of data sets has the stimuli that the model takes."""
    stimulus = get_model_card(options.model).stimulus
    if stimulus != "spectrogram or movie" and (stimulus == "movie") != issubclass(cls, VideoNeuralDataset):
        takes, has = ("movies", "sounds") if stimulus == "movie" else ("sounds", "movies")
        raise RunError(
            f"{options.model} takes {takes}, and the data set {name_of_dataset(options.dataset)!r} has {has}"
        )
