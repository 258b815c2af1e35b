"""What is registered with a class: the card of a data set or a model, and the recipe of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Build", "DatasetCard", "ModelCard", "Options", "Recipe", "Settings"]


@dataclass(frozen=True)
class DatasetCard:
    """What a user wants to know about a recording before loading it."""

    name: str
    """The name on the command line, lower case."""
    summary: str
    """One line on what it is."""
    species: str
    """Which animal."""
    area: str
    """Which part of its brain."""
    size: str
    """Neurons, stimuli and repeats, in words."""
    paper: str
    """Short citation with its DOI."""
    licence: str
    """The terms that the recording was published under."""
    default_split: str
    """The protocol that the command line uses: a key of the class attribute ``protocols``, ``"holdout:K"`` or
    ``"blocks:B"``; empty for one that depends on the number of stimuli."""
    recording: str = ""
    """Its key in :data:`deepSTRF.datasets.public_recordings.RECORDINGS`, for one that can be downloaded; else empty."""
    window_ms: float | None = None
    """Length of the receptive fields that suits it, where that is unlike the one of the recipes."""


@dataclass(frozen=True)
class ModelCard:
    """What a user wants to know about a model before fitting it."""

    name: str
    """The name on the command line, lower case."""
    summary: str
    """One line on what it is."""
    paper: str
    """Short citation with its DOI."""
    stimulus: str | None = None
    """What it takes: "spectrogram", "waveform", "movie" or "spectrogram or movie"; seen from the class by default."""


@dataclass(frozen=True)
class Settings:
    """Numbers of a recipe; see :class:`deepSTRF.runs.FitOptions`.

    ``window_ms`` is the length of the receptive fields where a model has them. ``noise`` is the standard deviation of
    the white noise that is added to the standardised training stimuli, new in every step: an augmentation that is worth
    most where few sounds are recorded. ``chunk_bins`` cuts the training stimuli into chunks of so many bins, over
    which the state of the model is carried (:class:`~deepSTRF.datasets.ChunkLoader`): more steps per epoch. Movies
    too large for the memory are cut by themselves. With ``anneal`` the learning rate falls to zero over the epochs,
    along a cosine. With ``members`` above 1, so many models are trained as one
    (:class:`~deepSTRF.models.Ensemble`), and their mean is the prediction. With ``precision`` ``"bf16"`` in place of
    ``"float32"``, the products of training steps are in bfloat16 (autocast); weights, losses and scores are not.
    """

    epochs: int = 200
    patience: int = 20
    batch_size: int = 1
    lr: float = 1e-3
    weight_decay: float = 1e-4
    loss: str = "mse"
    monitor: str = "val_cc_norm"
    window_ms: float = 150.0
    noise: float = 0.0
    chunk_bins: int | None = None
    anneal: bool = False
    members: int = 1
    precision: str = "float32"


# From the training and the validation part of a recording and the window in ms. Which kind of recording, the card says.
Build = Callable[[Any, Any, float], Any]
# From the training part and the window in ms.
Options = Callable[[Any, float], dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """How a model is built from a recording and trained.

    The classes keep the defaults that their papers and users know. A recipe may differ from them where that scores
    better; ``docs/reference/recipes.md`` says how each number was chosen, on validation scores only.

    Parameters
    ----------
    settings : Settings or None
        None for a model that is fitted in closed form.
    build : callable, optional
        ``(train, val, window_ms) -> model``, fitted already where `settings` is None. By default
        :func:`deepSTRF.models.from_recording.build_model`.
    per_cell_best : bool
        Each neuron keeps its own best epoch.
    fast_nonlinearity : float
        Learning rate of gains, offsets and activations over that of the weights, for a start from known weights.
    options : callable, optional
        ``(train, window_ms) -> dict``: arguments of the constructor that depend on the recording, or differ from the
        defaults of the class. Those that a user gives take precedence.

    Raises
    ------
    ValueError
        If there are both `build` and `options`.
    """

    settings: Settings | None = field(default_factory=Settings)
    build: Build = None  # type: ignore[assignment]  # get_recipe puts the default in its place
    per_cell_best: bool = False
    fast_nonlinearity: float = 1.0
    options: Options | None = None

    def __post_init__(self) -> None:
        if self.build is not None and self.options is not None:
            raise ValueError("give a Recipe either build, which makes the model, or options for its constructor")
