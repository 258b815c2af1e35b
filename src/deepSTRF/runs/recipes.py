"""How the command line builds and trains each model.

The classes in :mod:`deepSTRF.models` keep the defaults that their papers and users know. A recipe may differ from them
where that scores better; ``docs/recipes.md`` says how each number was chosen, on validation scores only.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from deepSTRF.datasets import NeuralDataset
from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.models.ridge import fit_ridge
from deepSTRF.registry import ModelCard, UnknownNameError, get_model, model_cards
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.training import Fitter, set_random_seed
from deepSTRF.utils import neural_collate

__all__ = ["RECIPES", "RIDGE_CARD", "Settings", "fit_model", "get_recipe", "recipe_cards"]

EpochCallback = Callable[[Fitter, dict[str, Any]], None]

RIDGE_CARD = ModelCard(
    name="ridge",
    summary="linear STRF in closed form: L2-regularised, one penalty per neuron chosen on the validation stimuli",
    paper="Machens, Wehr & Zador 2004, doi 10.1523/JNEUROSCI.4445-03.2004",
)

LOSSES: dict[str, Callable] = {"mse": mse_loss, "poisson": poisson_loss}


@dataclass(frozen=True)
class Settings:
    """Numbers of a recipe; see :class:`deepSTRF.runs.FitOptions`."""

    epochs: int = 200
    patience: int = 20
    batch_size: int = 1
    lr: float = 1e-3
    weight_decay: float = 1e-4
    loss: str = "mse"
    monitor: str = "val_cc_norm"
    window_ms: float = 150.0


@dataclass(frozen=True)
class Recipe:
    """One model of the command line: its card, how it is built from a recording, and its training settings.

    Parameters
    ----------
    settings : Settings or None
        None for a model that is fitted in closed form.
    build : callable
        ``(train, val, settings) -> model``.
    per_cell_best : bool
        Each neuron keeps its own best epoch.
    """

    settings: Settings | None
    build: Callable[[NeuralDataset, NeuralDataset, Settings], nn.Module]
    per_cell_best: bool = False
