"""Training the model of a run: on its training part, or fold by fold and then on everything."""

from __future__ import annotations

import dataclasses
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deepSTRF.datasets.splits import Split
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.registry import Settings
from deepSTRF.runs.folder import TRAINING_FOLDER
from deepSTRF.runs.options import Interrupted
from deepSTRF.runs.run import EpochCallback, Run
from deepSTRF.runs.scores import predict
from deepSTRF.training.checkpoint import load_state, save_state
from deepSTRF.training.recipes import RecipeFit, fit_recipe

__all__ = ["FoldFits", "fit_folds", "fit_model"]


class FoldFits(NamedTuple):
    """What the models of all folds predicted.

    Parameters
    ----------
    predictions : dict of str to list of Tensor
        For ``val`` and ``test``, per stimulus ``(N, T_s)``: by the model that it stopped, and by the one that never saw
        it. NaN for a stimulus that no neuron heard.
    best_epochs : list of int
        The best epoch of each fold, from 0; empty for a model in closed form.
    """

    predictions: dict[str, list[Tensor]]
    best_epochs: list[int]


def fit_model(
    run: Run, on_epoch: EpochCallback, best_epochs: Sequence[int] = ()
) -> tuple[FrameModel, list[dict[str, Any]]]:
    """Fit the recipe of a run: to its training and validation parts, or, with folds, to everything.

    Training is resumed from the state that an earlier session left in the folder of the run.

    Parameters
    ----------
    run : Run
        What to fit.
    on_epoch : callable
        ``(fitter, epoch_dict)``, once per epoch; not called for a model in closed form.
    best_epochs : sequence of int
        Those of the folds: the model is trained for their median.

    Returns
    -------
    tuple of FrameModel and list of dict
        The best model, in eval mode, and its history: for a model in closed form one row with its validation scores.

    Raises
    ------
    Interrupted
        If `on_epoch` stopped the training.
    """
    train, val = run.recording.parts["train"], run.recording.parts["val"]
    if not run.recording.folds:
        fit = _fit(run, run.settings, train, val, run.folder / TRAINING_FOLDER, on_epoch)
        return fit.model, fit.history
    settings = run.settings
    if settings is not None:
        # without a best epoch, no score was ever defined; 0 is better than a guess
        settings = dataclasses.replace(settings, epochs=1 + round(statistics.median(best_epochs or [0])))
    fit = _fit(run, settings, train, None, run.folder / TRAINING_FOLDER / "everything", on_epoch)
    return fit.model, fit.history


def fit_folds(run: Run, on_epoch: Callable[[int, Any, dict[str, Any]], None]) -> FoldFits:
    """Fit the recipe of a run once per fold, and let each model predict the stimuli that it was not fitted to.

    A fold that an earlier session finished is read from the folder of the run.

    Parameters
    ----------
    run : Run
        What to fit; its recording has folds.
    on_epoch : callable
        ``(fold, fitter, epoch_dict)``, once per epoch, and once for a model in closed form, whose fitter is None.

    Raises
    ------
    Interrupted
        If `on_epoch` stopped the training.
    """
    recording = run.recording
    predictions = {
        part: [torch.full((recording.dataset.N_neurons, n), torch.nan) for n in recording.bins]
        for part in ("val", "test")
    }
    best_epochs = []
    for k, split in enumerate(recording.folds):
        folder = run.folder / TRAINING_FOLDER / f"fold{k}"
        done = folder / "predictions.pt"
        if not done.exists():
            folder.mkdir(parents=True, exist_ok=True)
            save_state(_fit_fold(run, k, split, folder, on_epoch), done)
        saved = load_state(done, torch.device("cpu"))
        for part in predictions:
            for s in getattr(split, part):
                predictions[part][s] = saved[f"{part}_{s}"]
        best_epochs += saved["best_epoch"].tolist()
    return FoldFits(predictions, best_epochs)


def _fit_fold(
    run: Run, k: int, split: Split, folder: Path, on_epoch: Callable[[int, Any, dict[str, Any]], None]
) -> dict[str, Tensor]:
    """Predictions of the validation and test stimuli, and the best epoch, if there are epochs."""
    raw: Any = run.recording.raw
    own = raw.subset(range(raw.get_S()))  # that the other folds are not standardised with it
    own.standardize_stims(split.train, per_band=False)
    parts = Split(*(own.subset(part) for part in split))
    fit = _fit(run, run.settings, parts.train, parts.val, folder, lambda fitter, row: on_epoch(k, fitter, row))
    if run.settings is None:
        on_epoch(k, None, fit.history[0])
    saved = {"best_epoch": torch.tensor([] if fit.fitter.best_epoch is None else [fit.fitter.best_epoch]).long()}
    for name in ("val", "test"):
        of_part = predict(fit.model, getattr(parts, name), run.device)
        saved |= {f"{name}_{s}": prediction for s, prediction in zip(getattr(split, name), of_part, strict=True)}
    return saved


def _fit(run: Run, settings: Settings | None, train: Any, val: Any, folder: Path, on_epoch: EpochCallback) -> RecipeFit:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the best penalty")  # it is in the notes of the run
        fit = fit_recipe(
            run.recipe,
            settings,
            train,
            val,
            seed=run.options.seed,
            on_epoch=on_epoch,
            window_ms=run.window_ms,
            arguments=run.options.arguments,
            device=run.device,
            ckpt_path=folder / "best.pt",
            resume=True,
        )
    if fit.fitter.stopped:
        raise Interrupted(f"stopped after epoch {fit.history[-1]['epoch']}")
    return fit
