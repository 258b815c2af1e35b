"""How the command line builds and trains each model.

The classes in :mod:`deepSTRF.models` keep the defaults that their papers and users know. A recipe may differ from them
where that scores better; ``docs/recipes.md`` says how each number was chosen, on validation scores only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from deepSTRF.checks import unknown_name
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio import AudioEncodingModel
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.models.prefiltering import make_prefiltering
from deepSTRF.models.ridge import fit_ridge
from deepSTRF.models.warm_start import start_from_ridge
from deepSTRF.registry import ModelCard, UnknownNameError, get_model, model_cards
from deepSTRF.runs.movie_recipes import convgru, convnet3d, movie_shape, video_linear_nonlinear
from deepSTRF.runs.options import FitOptions, Interrupted, RunError
from deepSTRF.training import Fitter, set_random_seed

__all__ = [
    "RECIPES",
    "RIDGE_CARD",
    "Recipe",
    "Settings",
    "fit_model",
    "get_recipe",
    "monitor_mode",
    "recipe_names",
    "resolve_settings",
]

WINDOW_MS = 150.0

# Of sounds or of movies: the card says which of them a model takes, and only those come.
Build = Callable[[Any, Any, float], FrameModel]
EpochCallback = Callable[[Fitter, dict[str, Any]], None]

RIDGE_CARD = ModelCard(
    name="ridge",
    summary="linear STRF in closed form: L2-regularised, one penalty per neuron chosen on the validation stimuli",
    paper="Machens, Wehr & Zador 2004, doi 10.1523/JNEUROSCI.4445-03.2004",
)

LOSSES: dict[str, Callable] = {"mse": mse_loss, "poisson": poisson_loss}
MONITORS = ("val_cc_norm", "val_cc", "val_loss")


@dataclass(frozen=True)
class Settings:
    """Numbers of a recipe; see :class:`deepSTRF.runs.FitOptions`.

    ``window_ms`` is the length of the receptive fields where a model has them. ``noise`` is the standard deviation of
    the white noise that is added to the standardised training stimuli, new in every step: an augmentation that is worth
    most where few sounds are recorded.
    """

    epochs: int = 200
    patience: int = 20
    batch_size: int = 1
    lr: float = 1e-3
    weight_decay: float = 1e-4
    loss: str = "mse"
    monitor: str = "val_cc_norm"
    window_ms: float = WINDOW_MS
    noise: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """One model of the command line: how it is built from a recording, and its training settings.

    Parameters
    ----------
    card : ModelCard
        What ``deepstrf models`` prints.
    settings : Settings or None
        None for a model that is fitted in closed form.
    build : callable
        ``(train, val, window_ms) -> model``, fitted already where `settings` is None.
    per_cell_best : bool
        Each neuron keeps its own best epoch.
    fast_nonlinearity : float
        Learning rate of gains, offsets and activations over that of the weights, for a start from known weights.
    """

    card: ModelCard
    settings: Settings | None
    build: Build
    per_cell_best: bool = False
    fast_nonlinearity: float = 1.0


def get_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists the names.
    """
    names = recipe_names()
    if name not in names:
        raise UnknownNameError(unknown_name("model", name, names))
    return RECIPES.get(name) or Recipe(model_cards()[name], Settings(), _network(name))


def recipe_names() -> list[str]:
    """Names of everything that can be fitted: the recipes, then registered models that have none of their own."""
    return [*RECIPES, *(name for name in model_cards() if name not in RECIPES)]


def resolve_settings(recipe: Recipe, options: FitOptions) -> Settings | None:
    """The recipe's settings with the user's own in their place.

    Raises
    ------
    RunError
        For an option that means nothing to this model, or a value out of range.
    """
    fields = {field.name for field in dataclasses.fields(Settings)}
    given = {name: value for name, value in vars(options).items() if name in fields and value is not None}
    if recipe.settings is None:
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise RunError(f"{recipe.card.name} is fitted in closed form, so {flags} would do nothing; leave it out")
        return None
    if given.get("loss", "mse") not in LOSSES:
        raise RunError(f"--loss must be one of {', '.join(LOSSES)}, got {given['loss']!r}")
    for name in ("epochs", "patience", "batch_size"):
        if given.get(name, 1) < 1:
            raise RunError(f"--{name.replace('_', '-')} must be at least 1, got {given[name]}")
    if not 0 < given.get("lr", 1.0) < math.inf or not 0 <= given.get("weight_decay", 0.0) < math.inf:
        raise RunError("--lr must be positive, --weight-decay must not be negative, and both must be finite")
    if given.get("monitor", MONITORS[0]) not in MONITORS:
        raise RunError(f"--monitor must be one of {', '.join(MONITORS)}, got {given['monitor']!r}")
    return replace(recipe.settings, **given)


def fit_model(
    recipe: Recipe,
    settings: Settings | None,
    parts: Mapping[str, NeuralDataset],
    *,
    seed: int,
    device: torch.device,
    on_epoch: EpochCallback,
    checkpoint: Path,
) -> tuple[FrameModel, list[dict[str, Any]]]:
    """Fit a recipe to the training and validation parts; return the best model, in eval mode, and its history.

    The history of a closed-form fit is one row with its validation scores; `on_epoch` is not called for it. The
    state of any other training lies beside `checkpoint`, and a training goes on from what is there.

    Raises
    ------
    Interrupted
        If `on_epoch` stopped the training.
    """
    set_random_seed(seed)
    train, val = parts["train"], parts["val"]
    if settings is None:
        model = recipe.build(train, val, WINDOW_MS)
        loader = _loader(val, 1, shuffle=False)
        scores = Fitter(model, loader, loader, device=device).evaluate(loader)
        return model, [{"epoch": 0, **{f"val_{name}": value for name, value in scores.items()}}]
    model = recipe.build(train, val, settings.window_ms)
    fitter = RecipeFitter(
        model,
        # Repeats matter to the scores, not to the gradient: training on the average is the same and cheaper.
        _loader(train.averaged(), settings.batch_size, shuffle=True),
        _loader(val, settings.batch_size, shuffle=False),
        loss_fn=LOSSES[settings.loss],
        optimizer=_optimizer(model, settings, recipe.fast_nonlinearity),
        device=device,
        max_epochs=settings.epochs,
        patience=settings.patience,
        monitor=settings.monitor,
        mode=monitor_mode(settings.monitor),
        log_fn=None,
        track_train_metrics=False,
        track_per_cell_best=recipe.per_cell_best,
        ckpt_path=checkpoint,
        resume=True,
    )
    fitter.on_epoch, fitter.noise = on_epoch, settings.noise
    history = fitter.fit()
    if fitter.stopped:
        raise Interrupted(f"stopped after epoch {history[-1]['epoch']}")
    return model, history


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


def _ridge(train: AudioNeuralDataset, val: AudioNeuralDataset, window_ms: float) -> AudioEncodingModel:
    return fit_ridge(train, val, window_ms=window_ms)


def _linear(train: AudioNeuralDataset, val: AudioNeuralDataset, window_ms: float) -> AudioEncodingModel:
    return get_model("linear")(**_shape(train, window_ms))


def _linear_nonlinear(train: AudioNeuralDataset, val: AudioNeuralDataset, window_ms: float) -> AudioEncodingModel:
    ridge = fit_ridge(train, val, window_ms=window_ms)
    model = get_model("linear-nonlinear")(**_shape(train, window_ms))
    start_from_ridge(model, ridge, train.stims)
    return model


def _network(name: str, *, windowed: bool = False, soft_rectifier: bool = False, **options: Any) -> Build:
    """How to build a model in which neurons share a core: `options` of its class that differ from its defaults.

    `windowed` ones have receptive fields of the recipe's window; `soft_rectifier` is for those whose class ends in the
    identity.
    """

    def build(train: Any, val: Any, window_ms: float) -> FrameModel:
        shape = _SHAPES[model_cards()[name].stimulus](train, window_ms)
        if not windowed:
            shape.pop("temporal_window_size", None)
        if soft_rectifier:
            shape["output_activation"] = ParametricSoftplus(train.N_neurons)
        model = get_model(name)(**shape, **options)
        _start_at_mean_response(model, train)
        return model

    return build


def _transformer(train: AudioNeuralDataset, val: AudioNeuralDataset, window_ms: float) -> FrameModel:
    # Tokens of two thirds of the window: attention over single bins does not learn from a minute of sound.
    window = max(1, round(window_ms / train.dt))
    build = _network(
        "transformer",
        soft_rectifier=True,
        time_patch_size=max(1, round(window * 2 / 3)),
        context_window=window,
        norm_first=True,
        dropout=0.2,
    )
    return build(train, val, window_ms)


def _convnet2d(train: AudioNeuralDataset, val: AudioNeuralDataset, window_ms: float) -> FrameModel:
    prefiltering = make_prefiltering("adaptrans", train.F, train.dt)
    return _network("convnet2d", prefiltering=prefiltering)(train, val, window_ms)


def _icnet(train: AudioNeuralDataset, val: AudioNeuralDataset, window_ms: float) -> AudioEncodingModel:
    # A quarter of the published channels: one minute of sound does not need five million parameters.
    return get_model("icnet")(**_waveform_shape(train, window_ms), n_filters=24, encoder_channels=32)


_STATENET = Settings(epochs=50, patience=10, lr=3e-3)


def _backbone(rnn_type: str, paper: str, settings: Settings = _STATENET) -> Recipe:
    """StateNet with another recurrent core."""
    card = replace(
        model_cards()["statenet"],
        name=f"statenet-{rnn_type.lower()}",
        summary=f"StateNet with {rnn_type} as its recurrent core",
        paper=paper,
    )
    return Recipe(card, settings, _network("statenet", rnn_type=rnn_type))


def _start_at_mean_response(model: FrameModel, train: NeuralDataset) -> None:
    """Let a linear readout begin at each neuron's mean response, which the first epochs would be spent on."""
    layers = [module for module in model.readout.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1].bias is None:
        return
    averaged = train.averaged()
    batch = neural_collate([averaged[i] for i in range(len(averaged))])
    with torch.no_grad():
        layers[-1].bias.copy_(batch["responses"].nanmean((0, 2, 3)).nan_to_num(0.0))


def _shape(train: AudioNeuralDataset, window_ms: float) -> dict[str, Any]:
    return {
        "n_frequency_bands": train.F,
        "temporal_window_size": max(1, round(window_ms / train.dt)),
        "out_neurons": train.N_neurons,
    }


def _waveform_shape(train: AudioNeuralDataset, window_ms: float) -> dict[str, Any]:
    return {"audio_fs": train.audio_fs, "out_neurons": train.N_neurons, "dt_ms": train.dt}


_SHAPES: dict[str, Callable[[Any, float], dict[str, Any]]] = {
    "spectrogram": _shape,
    "waveform": _waveform_shape,
    "movie": movie_shape,
}

# Noise, weight decay and a Poisson loss: what feed-forward networks need with a minute of sound.
_REGULARISED = Settings(epochs=300, patience=30, lr=3e-3, weight_decay=0.1, loss="poisson", noise=0.3)

_MOVIES = Settings(epochs=20, patience=5, lr=1e-2, loss="poisson", window_ms=200.0)

RECIPES = {
    "ridge": Recipe(RIDGE_CARD, None, _ridge),
    "linear": Recipe(
        model_cards()["linear"],
        Settings(epochs=100, lr=3e-3, weight_decay=0.1, batch_size=2, patience=15, noise=0.3),
        _linear,
    ),
    "linear-nonlinear": Recipe(
        model_cards()["linear-nonlinear"],
        Settings(epochs=60, patience=10, lr=2e-4),
        _linear_nonlinear,
        fast_nonlinearity=20.0,
    ),
    "nrf": Recipe(model_cards()["nrf"], _REGULARISED, _network("nrf", windowed=True, n_hidden=50)),
    "dnet": Recipe(
        model_cards()["dnet"], _REGULARISED, _network("dnet", windowed=True, soft_rectifier=True, n_hidden=50)
    ),
    "convnet2d": Recipe(model_cards()["convnet2d"], _REGULARISED, _convnet2d),
    "transformer": Recipe(
        model_cards()["transformer"], Settings(epochs=120, patience=25, lr=5e-3, weight_decay=0.1), _transformer
    ),
    "statenet": Recipe(model_cards()["statenet"], _STATENET, _network("statenet")),
    "icnet": Recipe(model_cards()["icnet"], Settings(epochs=30, patience=10, lr=1e-3, loss="poisson"), _icnet),
    "video-ln": Recipe(model_cards()["video-ln"], _MOVIES, video_linear_nonlinear),
    "convnet3d": Recipe(model_cards()["convnet3d"], _MOVIES, convnet3d),
    # Two movies per step: a recurrent layer is slow for its bins, not for its movies.
    "convgru": Recipe(model_cards()["convgru"], replace(_MOVIES, batch_size=2, lr=2e-2, epochs=25), convgru),
}
RECIPES |= {
    recipe.card.name: recipe
    for recipe in (
        _backbone("LSTM", "Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735"),
        _backbone(
            "RNN",
            "Elman (1990), https://doi.org/10.1207/s15516709cog1402_1",
            Settings(epochs=150, patience=20, lr=5e-4),  # without gates, larger steps do not settle
        ),
        _backbone("LMU", "Voelker, Kajić & Eliasmith (2019), Legendre memory units, NeurIPS 32"),
        _backbone("Mamba", "Gu & Dao (2023), https://doi.org/10.48550/arXiv.2312.00752"),
        _backbone("S4", "Gu, Goel & Ré (2022), https://doi.org/10.48550/arXiv.2111.00396"),
        _backbone("S4D", "Gu, Gupta, Goel & Ré (2022), https://doi.org/10.48550/arXiv.2206.11893"),
    )
}
