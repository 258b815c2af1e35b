"""Score a saved run again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import counted
from deepSTRF.datasets import NeuralDataset
from deepSTRF.files import expand_path
from deepSTRF.models import NeuralModel
from deepSTRF.modes import cpu_threads
from deepSTRF.registry import get_model_card
from deepSTRF.runs import folder as files
from deepSTRF.runs.data_source import kind_of_data, load_dataset
from deepSTRF.runs.notes import run_notes
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.runs.recording import Recording, load_recording
from deepSTRF.runs.scores import PARTS, predict, score_parts, summarise

__all__ = ["Evaluation", "evaluate_run", "load_saved_recording", "saved_options"]

SCORES = ("cc", "cc_norm", "ceiling")


@dataclass(frozen=True)
class Evaluation:
    """The scores of a saved run, computed again, and how far they are from the saved ones."""

    scores: dict[str, dict[str, Tensor]]
    summary: dict[str, Any]
    largest_difference: float
    notes: tuple[str, ...] = ()
    folds: dict[str, Any] | None = None


def evaluate_run(run: str | Path, *, data: str | NeuralDataset | None = None, download: bool = False) -> Evaluation:
    """Load the model and the data of a run, and score every part again.

    Parameters
    ----------
    run : str or Path
        The folder that ``deepstrf fit`` wrote.
    data : str or NeuralDataset, optional
        Where the recording lies now, if it moved; for a run that was fitted to a data set object, that object.
    download : bool
        Fetch the files of a public recording that are not on this disk.

    Raises
    ------
    RunError
        If the folder is not a finished run, or the data are not those of the run.
    """
    run = expand_path(run, "run")
    if not run.is_dir():
        raise RunError(f"there is no run folder {run}; give the folder that `deepstrf fit` wrote")
    if (run / files.COMPARISON_FILE).is_file():
        runs = ", ".join(str(path.parent) for path in sorted(run.glob(f"*/{files.SCORES_FILE}"))) or "none is complete"
        raise RunError(f"{run} is a comparison of several runs; give one of them: {runs}")
    config, options, saved = _read(run, data)
    get_model_card(options.model)  # imports the file of a model that is no part of deepSTRF
    model = NeuralModel.from_pretrained(run / files.MODEL_FOLDER)
    recording = load_saved_recording(run, config, options, load_dataset(options, download=True) if download else None)
    if recording.dataset.N_neurons != model.O:
        raise RunError(
            f"{run / files.MODEL_FOLDER} is a model of {counted(model.O, 'neuron')}, but the run has "
            f"{recording.dataset.N_neurons}"
        )
    with cpu_threads(options.threads):  # as many as the run had, so that the numbers can be the same
        predictions: Any = predict(model, recording.dataset)
        if recording.folds:  # the models of the folds were not saved, only what they predicted
            predictions = {"train": predictions, **_predictions_of_folds(run / files.PREDICTIONS_FILE, recording)}
        scores = score_parts(predictions, recording.indices, recording.parts)
    summary = summarise(scores)
    folds = {"number": len(recording.folds)} if recording.folds else None
    notes = tuple(run_notes(scores, predictions, recording, model))
    return Evaluation(scores, summary, _largest_difference(saved, summary), notes, folds)


def _read(run: Path, data: str | NeuralDataset | None) -> tuple[dict[str, Any], FitOptions, dict[str, Any]]:
    """The configuration of a run, its options, and the scores that it saved, all of them as a run writes them."""
    summary, config = files.read_json(run / files.SCORES_FILE), files.read_json(run / files.CONFIG_FILE)
    with files.reading(run / files.SCORES_FILE):
        saved = {part: {name: files.read_score(summary["parts"][part][name]) for name in SCORES} for part in PARTS}
    return config, saved_options(run, config, data), saved


def saved_options(run: Path, config: dict[str, Any], data: str | NeuralDataset | None) -> FitOptions:
    """The options of a saved run, with the place of its data, or the data set, where `data` says so.

    Raises
    ------
    RunError
        If ``config.json`` was not written by a run, or its data are nowhere.
    """
    with files.reading(run / files.CONFIG_FILE):
        options = FitOptions(**config["options"] | _where(data, config["options"]["dataset"]))
        if not isinstance(config["data_sha256"], str):
            raise TypeError(f"data_sha256 is {config['data_sha256']!r}")
    if isinstance(options.dataset, str) and options.dataset.startswith("object:"):
        raise RunError(
            f"{run} was fitted to a data set object, of class {config.get('dataset_class')}; give it: data=dataset"
        )
    if kind_of_data(options.dataset) in files.PATH_KINDS and not Path(options.dataset).exists():
        raise RunError(
            f"the data of {run} were at {options.dataset}, and nothing is there; say where they are (`data`)"
        )
    return options


def load_saved_recording(
    run: Path, config: dict[str, Any], options: FitOptions, dataset: NeuralDataset | None = None
) -> Recording:
    """Load what a saved run was fitted to; `dataset` is what the options name, where it is loaded already.

    Raises
    ------
    RunError
        If the data are not those of the run. Reading them raises other errors.
    """
    recording = load_recording(options, dataset)
    if files.data_fingerprint(recording.dataset) != config["data_sha256"]:
        raise RunError(
            "the data are not those that the run was fitted on: "
            f"{files.data_changes(run, recording.contents or {})} (the run was made with deepSTRF "
            f"{config.get('deepSTRF', 'of an unknown version')})"
        )
    return recording


def _where(data: str | NeuralDataset | None, dataset: Any) -> dict[str, Any]:
    """The options that say where the recording is now."""
    if data is None:
        return {}
    if isinstance(data, NeuralDataset):
        return {"dataset": data, "data": None, "dt_ms": None, "read": None}
    is_path = isinstance(dataset, str) and kind_of_data(dataset) in files.PATH_KINDS
    return {"dataset": str(expand_path(data, "data").resolve())} if is_path else {"data": data}


def _predictions_of_folds(path: Path, recording: Recording) -> dict[str, list[Tensor]]:
    numbers = range(recording.dataset.get_S())
    with files.reading(path), np.load(path) as arrays:
        return {
            part: [torch.from_numpy(arrays[f"{name}_{s:03d}"]) for s in numbers]
            for part, name in (("val", "val"), ("test", "pred"))
        }


def _largest_difference(old: dict[str, Any], new: dict[str, Any]) -> float:
    differences = [0.0]
    for part in PARTS:
        for name in SCORES:
            for statistic in ("mean", "median"):
                before, now = old[part][name][statistic], new[part][name][statistic]
                if before is not None and math.isfinite(now):
                    differences.append(abs(before - now))
                elif before is not None or math.isfinite(now):  # one of the two is undefined
                    differences.append(math.inf)
            if old[part][name]["defined"] != new[part][name]["defined"]:
                differences.append(math.inf)
    return max(differences)
