"""Training a model by the recipe that is registered with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from deepSTRF.checks import check_choice, check_device
from deepSTRF.devices import computing_in
from deepSTRF.lazy import LazyDict
from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.registry import Recipe, Settings
from deepSTRF.training.adamw import AdamW
from deepSTRF.training.epochs import Epoch, default_val_metrics
from deepSTRF.training.fitter import Fitter
from deepSTRF.training.seed import set_random_seed
from deepSTRF.training.units import batches_in_order

if TYPE_CHECKING:  # a Fitter needs no data sets
    from torch.utils.data import DataLoader

    from deepSTRF.datasets import NeuralDataset

__all__ = [
    "LOSSES",
    "PRECISIONS",
    "RecipeFit",
    "RecipeFitter",
    "fit_recipe",
    "has_repeats",
    "make_loader",
    "monitor_mode",
    "settings_for",
]

LOSSES: dict[str, Callable] = {"mse": mse_loss, "poisson": poisson_loss}
PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bf16": torch.bfloat16}

_EVALUATION = ("device", "loss_fn", "val_metrics")  # arguments of a Fitter that matter to a model in closed form

_LEAST_STEPS, _MOST_STEPS = 12, 100  # of the optimizer in an epoch
_LEAST_CHUNK = 100  # bins, over which gradients reach back

EpochCallback = Callable[[Any, dict[str, Any]], None]


class RecipeFit(NamedTuple):
    """A fitted model, in eval mode; its Fitter, which in closed form only evaluates; and the history of the fit."""

    model: Any
    fitter: Fitter
    history: list[Epoch]


def fit_recipe(
    recipe: Recipe,
    settings: Settings | None,
    train: NeuralDataset,
    val: NeuralDataset | None,
    *,
    seed: int,
    on_epoch: EpochCallback | None = None,
    window_ms: float | None = None,
    arguments: Mapping[str, Any] | None = None,
    **fitter_kwargs: Any,
) -> RecipeFit:
    """Build a model from a training part, and train it until it no longer improves on the validation part.

    Parameters
    ----------
    recipe : Recipe
        How it is built and trained.
    settings : Settings or None
        Those of the recipe, or others in their place; None for a model in closed form.
    train, val : NeuralDataset
        The parts. Without `val` it is trained for exactly as many epochs as the settings have, and the last one counts.
    seed : int
        Of the initialisation and the batch order.
    on_epoch : callable, optional
        ``(fitter, epoch_dict)``, once per epoch; not called for a model in closed form.
    window_ms : float, optional
        Length of the receptive fields; by default that of the settings.
    arguments : dict, optional
        Further arguments of the model's constructor.
    **fitter_kwargs
        Arguments of the Fitter that replace those of the recipe.

    Returns
    -------
    RecipeFit
        In closed form, its history is one row with the validation scores, without any if there is no `val`. Where
        `val` has single trials only, there is no cc_norm, and cc decides in its place.

    Examples
    --------
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> from deepSTRF.registry import get_recipe
    >>> train, val, test = SimulatedDataset(n_neurons=2, n_stims=6, duration_s=1.0).split("holdout:1")
    >>> recipe = get_recipe("linear")
    >>> fit = fit_recipe(recipe, recipe.settings, train, val, seed=0, max_epochs=2)
    >>> type(fit.model).__name__, len(fit.history)
    ('Linear', 2)
    """
    set_random_seed(seed)
    if val is not None and "val_metrics" not in fitter_kwargs and not has_repeats(val):
        settings = settings_for(settings, train, val)
        fitter_kwargs["val_metrics"] = {"cc": default_val_metrics()["cc"]}
    window_ms = (settings or Settings()).window_ms if window_ms is None else window_ms
    model = _built(recipe, settings, train, train if val is None else val, window_ms, arguments or {})
    if settings is None:
        loader = make_loader(train if val is None else val, 1)
        of_evaluation = {name: value for name, value in fitter_kwargs.items() if name in _EVALUATION}
        fitter = Fitter(model, loader, loader, optimizer=_NoOptimizer, **of_evaluation)
        scores = {} if val is None else fitter.evaluate(loader)
        return RecipeFit(model.eval(), fitter, [{"epoch": 0, **{f"val_{name}": v for name, v in scores.items()}}])
    device = check_device(fitter_kwargs.get("device", "cpu"))
    train_loader = _training_loader(model, train, settings, device)
    if getattr(model, "response_scale", model) is None:
        model.calibrate(batches_in_order(make_loader(train, 1)) or [])
    model.to(device)  # before there is an optimizer of its parameters
    kwargs: dict[str, Any] = {
        "loss_fn": LOSSES[settings.loss],
        "optimizer": _optimizer(model, settings, recipe.fast_nonlinearity),
        "scheduler": partial(CosineAnnealingLR, T_max=settings.epochs) if settings.anneal else None,
        "max_epochs": settings.epochs,
        "patience": settings.patience,
        "monitor": settings.monitor,
        "mode": monitor_mode(settings.monitor),
        "log_fn": None,
        "track_train_metrics": False,
        "track_per_cell_best": recipe.per_cell_best,
        "restore_best": True,
        **fitter_kwargs,
    }
    if val is None:
        kwargs |= {"monitor": "train_loss", "mode": "min", "track_per_cell_best": False, "restore_best": False}
        fitter = _WithoutValidation(model, train_loader, train_loader, **kwargs)
    else:
        fitter = RecipeFitter(model, train_loader, make_loader(val, train_loader.batch_size, device=device), **kwargs)
    fitter.on_epoch, fitter.noise = on_epoch, settings.noise
    fitter.dtype = PRECISIONS[check_choice("precision", settings.precision, PRECISIONS)]
    return RecipeFit(model, fitter, fitter.fit())


class _NoOptimizer(torch.optim.Optimizer):
    """Of a Fitter that only evaluates: making a real one imports the compiler of torch, which takes seconds."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.param_groups = [{"params": list(parameters)}]


def _built(
    recipe: Recipe,
    settings: Settings | None,
    train: NeuralDataset,
    val: NeuralDataset,
    window_ms: float,
    arguments: Mapping[str, Any],
) -> Any:
    """The model of a recipe, or an ensemble of them."""
    from deepSTRF.models.ensemble import Ensemble

    n_members = 1 if settings is None else settings.members
    models = [recipe.build(train, val, window_ms, **arguments) for _ in range(n_members)]
    return models[0] if n_members == 1 else Ensemble.of(models)


class RecipeFitter(Fitter):
    """Reports every epoch together with itself, so that a progress line can show the best score so far.

    Training steps see noise, and may be computed in another dtype.
    """

    on_epoch: EpochCallback | None = None
    noise: float = 0.0
    dtype: torch.dtype | None = None

    def predict(self, batch: Mapping[str, Any]) -> Tensor:
        """Predict a batch; in training, of stimuli to which noise was added, and in the dtype of training steps."""
        if not self.model.training:
            return super().predict(batch)
        if self.noise:
            stims = batch["stims"]
            # padding stays silent, so that batch normalisation still knows it
            noisy = stims + self.noise * torch.randn_like(stims) * (stims != 0)
            batch = LazyDict(batch).replaced({"stims": noisy})
        with computing_in(self.device, self.dtype):
            pred = super().predict(batch)
        return pred if self.dtype is None else pred.float()

    def on_epoch_end(self, epoch: int, epoch_dict: dict[str, Any]) -> None:
        """Pass the epoch on."""
        super().on_epoch_end(epoch, epoch_dict)
        if self.on_epoch is not None:
            self.on_epoch(self, epoch_dict)


class _WithoutValidation(RecipeFitter):
    """Trains for a number of epochs that is known, on everything: nothing is left to choose the best one by."""

    def run_epoch(self, epoch: int) -> Epoch:
        return {"epoch": epoch, "train_loss": self._train_one_epoch()["loss"]}

    def keep_best(self, epoch: int, value: Tensor | float) -> None:
        """The last epoch counts."""

    @property
    def patience_left(self) -> int:
        """Never 0."""
        return self.max_epochs


def settings_for(settings: Settings | None, train: NeuralDataset, val: NeuralDataset | None = None) -> Settings | None:
    """The settings that fit the responses.

    Where responses are negative, the squared error takes the place of a Poisson loss, which is for counts; where `val`
    has single trials only, cc takes that of cc_norm, which there is none of.
    """
    from deepSTRF.models.from_recording import is_signed

    if settings is not None and settings.loss == "poisson" and is_signed(train):
        settings = replace(settings, loss="mse")
    if settings is not None and settings.monitor == "val_cc_norm" and val is not None and not has_repeats(val):
        settings = replace(settings, monitor="val_cc")
    return settings


def has_repeats(dataset: NeuralDataset) -> bool:
    """Whether any neuron has more than one repeat of any stimulus, so that noise can be told from signal."""
    return any(len(response) > 1 for i in range(len(dataset)) for response in dataset[i]["responses"])


def monitor_mode(monitor: str) -> str:
    """Losses are minimised, scores maximised."""
    return "min" if monitor.endswith("loss") else "max"


def make_loader(
    dataset: NeuralDataset, batch_size: int, *, shuffle: bool = False, device: torch.device | None = None
) -> DataLoader:
    """Batches of a data set; of one that fits on `device`, they are made there."""
    from torch.utils.data import DataLoader

    from deepSTRF.datasets.collate import neural_collate
    from deepSTRF.training.memory import kept_on

    items = dataset if device is None else kept_on(device, dataset)
    # copies from pinned memory go on while the device computes
    pins = items is dataset and device is not None and device.type == "cuda"
    return DataLoader(items, batch_size=batch_size, shuffle=shuffle, collate_fn=neural_collate, pin_memory=pins)


def _training_loader(model: nn.Module, train: NeuralDataset, settings: Settings, device: torch.device) -> Any:
    """Whole stimuli in a drawn order; chunks where they are few, or too long for the memory, or by the recipe."""
    from deepSTRF.datasets.chunks import ChunkLoader
    from deepSTRF.training.memory import chunks_in_memory, kept_on

    chunk_bins = _chunk_bins(model, train, settings)
    chunks = chunks_in_memory(model, train, settings.batch_size, chunk_bins)
    if chunks is None:
        return make_loader(train, settings.batch_size, shuffle=True, device=device)
    return ChunkLoader(kept_on(device, train), chunks.bins, chunks.batch_size, shuffle=True)


def _chunk_bins(model: nn.Module, train: NeuralDataset, settings: Settings) -> int | None:
    """Length of the chunks: that of the recipe, unless an epoch would have too many steps; or that of few stimuli.

    None where neither asks for chunks, and for waveforms, whose recipes were chosen on whole ones.

    The recipes were chosen on recordings for which an epoch has a dozen to a hundred steps. From three steps nothing is
    learnt before patience ends; many short ones hold a handful of spikes each, and a step follows their noise.
    """
    side_by_side = min(settings.batch_size, len(train))
    few = math.ceil(len(train) / side_by_side) < _LEAST_STEPS and train[0]["stims"].ndim > 2
    if settings.chunk_bins is None and not few:
        return None
    n_bins = sum(max(response.shape[1] for response in train[i]["responses"]) for i in range(len(train)))
    if settings.chunk_bins is not None:
        return max(settings.chunk_bins, math.ceil(n_bins / (side_by_side * _MOST_STEPS)))
    return max(math.ceil(n_bins / (side_by_side * _LEAST_STEPS)), _LEAST_CHUNK, 2 * getattr(model, "T", 1))


def _optimizer(model: nn.Module, settings: Settings, fast: float) -> torch.optim.Optimizer:
    n_axes = 2 if hasattr(model, "n_members") else 1  # of a bias: in an ensemble, there is one over the members
    weights = [parameter for parameter in model.parameters() if parameter.ndim > n_axes]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= n_axes]
    groups: list[dict[str, Any]] = [
        {"params": weights},
        {"params": others, "lr": fast * settings.lr, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)
