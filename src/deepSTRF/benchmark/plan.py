"""Which runs a benchmark is made of: models × data sets × seeds, or folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from deepSTRF.checks import check_integer, check_list
from deepSTRF.datasets.download import default_cache_dir
from deepSTRF.datasets.recording_folder import files_here, find_recording
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.files import expand_path
from deepSTRF.registry import dataset_cards, get_dataset, get_model_card, model_cards
from deepSTRF.runs.data_source import absolute_dataset, check_dataset, kind_of_data, load_dataset, options_to_look
from deepSTRF.runs.folder import absolute_name, short_name
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.runs.settings import resolve_settings
from deepSTRF.sweeps import Sweep
from deepSTRF.sweeps.config_file import sweep_over_seeds

__all__ = ["FOLDER", "SEEDS", "plan_benchmark"]

FOLDER = "runs/benchmark"
SEEDS = 3


def plan_benchmark(
    data: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    *,
    seeds: int | None = None,
    folds: int | None = None,
    split: str | None = None,
    device: str = "cpu",
    out: str | Path = FOLDER,
) -> Sweep:
    """List the runs of a benchmark: every model on every data set whose stimuli it takes.

    Parameters
    ----------
    data : sequence of str, optional
        Data sets as ``deepstrf fit`` takes them, ``NAME=PATH`` where the files of a recording lie elsewhere than in the
        default folder. Default: the public recordings of which files are on this disk.
    models : sequence of str, optional
        Models as ``deepstrf fit`` takes them. Default: all that are registered but those of waveforms, which take
        hours.
    seeds : int, optional
        Runs of each model, with the seeds 0, 1, ...; default 3, and 1 with folds. Models in closed form run once.
    folds, split, device
        As in :class:`deepSTRF.runs.FitOptions`.
    out : str or Path
        The folder of all runs and results.

    Returns
    -------
    Sweep
        Its notes say what was left out.

    Raises
    ------
    RunError
        If nothing is left to run, or an option does not fit.
    UnknownNameError, OSError, ValueError
        If there is no such model or data set.

    Examples
    --------
    >>> plan = plan_benchmark(["simulated", "simulated-movies"], ["ridge", "dnet"], seeds=2)
    >>> [run.name for run in plan.runs]
    ['simulated-ridge-seed0', 'simulated-dnet-seed0', 'simulated-dnet-seed1', 'simulated-movies-ridge-seed0']
    """
    places = _places(data)
    chosen = [absolute_name(name) for name in _models(models)]
    seeds = check_integer("seeds", (SEEDS if folds is None else 1) if seeds is None else seeds)
    points, used = [], set()
    for dataset, path in places:
        is_movie = issubclass(_class_of(dataset, path), VideoNeuralDataset)
        for model in chosen:
            if _takes(model, is_movie):
                point = FitOptions(dataset, model, data=path, split=split, folds=folds, device=device)
                resolve_settings(point)
                points.append(point)
                used.add(model)
    left = [short_name(name) for name in chosen if name not in used]
    if not points:
        raise RunError(f"none of the models {', '.join(left)} takes the stimuli of the data; choose others (`models`)")
    sweep = sweep_over_seeds(points, range(seeds), out)
    notes = [f"none of the data has stimuli for {', '.join(left)}"] if left and models is not None else []
    if models is None:
        waveforms = ", ".join(name for name, card in model_cards().items() if card.stimulus == "waveform")
        notes.append(f"models of waveforms take hours and run only when they are named: {waveforms}")
    return Sweep(sweep.out, sweep.runs, (*notes, *sweep.notes))


def _places(data: Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Absolute names of data sets, and the folder of their files where one is given."""
    if data is None:
        here = [card.name for card in dataset_cards().values() if card.recording and _is_here(card.recording)]
        if not here:
            raise RunError(
                "no public recording is on this disk; name data (`data` NAME, `data` NAME=PATH, `data` simulated), or "
                "fetch a recording (deepstrf datasets NAME --download)"
            )
        return [(name, None) for name in here]
    places: list[tuple[str, str | None]] = []
    for entry in _names("data", data):
        name, _, path = entry.partition("=")
        if path and kind_of_data(name) != "class":
            raise RunError(f"{name} is where the data are; leave {path} out")
        name = absolute_dataset(name)
        check_dataset(name)
        places.append((name, str(expand_path(path, "data").resolve()) if path else None))
    return places


def _is_here(recording: str) -> bool:
    found = find_recording(recording)
    return any(files_here(found, default_cache_dir(found.name)).values())


def _models(models: Sequence[str] | None) -> list[str]:
    if models is None:
        return [name for name, card in model_cards().items() if card.stimulus != "waveform"]
    return _names("models", models)


def _names(name: str, values: Iterable[Any]) -> list[str]:
    names = list(dict.fromkeys(map(str, check_list(name, values, "names"))))
    if not names or "" in names:
        raise RunError(f"`{name}` must be names, got {', '.join(map(repr, names)) or 'none'}")
    return names


def _class_of(dataset: str, path: str | None) -> type:
    if kind_of_data(dataset) == "class":
        return get_dataset(dataset)
    return type(load_dataset(options_to_look(dataset, data=path)))


def _takes(model: str, is_movie: bool) -> bool:
    stimulus = get_model_card(model).stimulus or ""
    return "movie" in stimulus if is_movie else stimulus != "movie"
