"""Training a model by its recipe."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.registry import Settings
from deepSTRF.runs.folder import TRAINING_FOLDER
from deepSTRF.runs.options import Interrupted
from deepSTRF.runs.run import EpochCallback, Run
from deepSTRF.training import Fitter, set_random_seed
from deepSTRF.training.units import batches_in_order

__all__ = ["LOSSES", "fit_model", "monitor_mode"]

LOSSES: dict[str, Callable] = {"mse": mse_loss, "poisson": poisson_loss}


def fit_model(run: Run, on_epoch: EpochCallback) -> tuple[FrameModel, list[dict[str, Any]]]:
    """Fit the recipe of a run to its training and validation parts.

    Training is resumed from the state that an earlier session left in the folder of the run.

    Parameters
    ----------
    run : Run
        What to fit.
    on_epoch : callable
        ``(fitter, epoch_dict)``, once per epoch; not called for a model in closed form.

    Returns
    -------
    tuple of FrameModel and list of dict
        The best model, in eval mode, and its history: for a model in closed form one row with its validation scores.

    Raises
    ------
    Interrupted
        If `on_epoch` stopped the training.
    """
    set_random_seed(run.options.seed)
    recipe, settings = run.recipe, run.settings
    train, val = run.recording.parts["train"], run.recording.parts["val"]
    if settings is None:
        model = _build(run)
        loader = _loader(val, 1, shuffle=False)
        scores = Fitter(model, loader, loader, device=run.device).evaluate(loader)
        return model, [{"epoch": 0, **{f"val_{name}": value for name, value in scores.items()}}]
    model = _build(run)
    # Repeats matter to the scores, not to the gradient: training on the average is the same and cheaper.
    train_loader = _loader(train.averaged(), settings.batch_size, shuffle=True)
    if model.response_scale is None:
        model.calibrate(batches_in_order(train_loader) or [])
    fitter = RecipeFitter(
        model,
        train_loader,
        _loader(val, settings.batch_size, shuffle=False),
        loss_fn=LOSSES[settings.loss],
        optimizer=_optimizer(model, settings, recipe.fast_nonlinearity),
        device=run.device,
        max_epochs=settings.epochs,
        patience=settings.patience,
        monitor=settings.monitor,
        mode=monitor_mode(settings.monitor),
        log_fn=None,
        track_train_metrics=False,
        track_per_cell_best=recipe.per_cell_best,
        ckpt_path=run.folder / TRAINING_FOLDER / "best.pt",
        resume=True,
    )
    fitter.on_epoch, fitter.noise = on_epoch, settings.noise
    history = fitter.fit()
    if fitter.stopped:
        raise Interrupted(f"stopped after epoch {history[-1]['epoch']}")
    return model, history


def _build(run: Run) -> FrameModel:
    train, val = run.recording.parts["train"], run.recording.parts["val"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the best penalty")  # it is in the notes of the run
        model: FrameModel = run.recipe.build(train, val, run.window_ms, **(run.options.arguments or {}))
    return model


class RecipeFitter(Fitter):
    """Reports every epoch together with itself, so that a progress line can show the best score so far; adds noise."""

    on_epoch: EpochCallback
    noise: float

    def forward(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Predict a batch; in training, of stimuli to which noise was added."""
        if self.noise and self.model.training:
            stims = batch["stims"]
            # padding stays silent, so that batch normalisation still knows it
            batch = {**batch, "stims": stims + self.noise * torch.randn_like(stims) * (stims != 0)}
        return super().forward(batch)

    def on_epoch_end(self, epoch: int, epoch_dict: dict[str, Any]) -> None:
        """Pass the epoch on."""
        self.on_epoch(self, epoch_dict)


def monitor_mode(monitor: str) -> str:
    """Losses are minimised, scores maximised."""
    return "min" if monitor.endswith("loss") else "max"


def _optimizer(model: FrameModel, settings: Settings, fast: float) -> torch.optim.Optimizer:
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights},
        {"params": others, "lr": fast * settings.lr, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)


def _loader(dataset: NeuralDataset, batch_size: int, shuffle: bool) -> DataLoader:
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, collate_fn=neural_collate)
