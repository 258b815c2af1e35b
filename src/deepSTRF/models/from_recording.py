"""How models are built from a recording: what the recipes beside their classes share.

A recording is known by its attributes only (F, dt, N_neurons, ...), never by its class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.cards import Options
from deepSTRF.registry import Settings

__all__ = [
    "MOVIES",
    "PLACED_SPREAD",
    "REGULARISED",
    "as_batches",
    "build_model",
    "build_with_options",
    "is_signed",
    "place_neurons",
    "shaped_model",
    "stimulus_of",
    "window_bins",
]

M = TypeVar("M", bound=nn.Module)

# Noise, weight decay and a Poisson loss: what feed-forward networks need with a minute of sound.
REGULARISED = Settings(epochs=300, patience=30, lr=3e-3, weight_decay=0.1, loss="poisson", noise=0.3)

# A neuron's place is known to within a pixel or so, and what it looks for while training blurs what it learns.
PLACED_SPREAD = 0.5

_BINS_AT_ONCE = 512

MOVIES = Settings(epochs=20, patience=8, lr=1e-2, loss="poisson", window_ms=200.0)


def window_bins(window_ms: float, dt: float) -> int:
    """Length of a window in bins, at least one.

    Examples
    --------
    >>> window_bins(150.0, 5.0)
    30
    """
    return max(1, round(window_ms / dt))


def build_model(cls: type[M], train: Any, val: Any, window_ms: float, **arguments: Any) -> M:
    """Build the model of a class that has no recipe of its own, with the defaults of its constructor."""
    return shaped_model(cls, train, window_ms, **arguments)


def build_with_options(cls: type[M], options: Options, train: Any, val: Any, window_ms: float, **arguments: Any) -> M:
    """Build the model of a class whose recipe has options for its constructor."""
    return shaped_model(cls, train, window_ms, **options(train, window_ms) | arguments)


def shaped_model(
    cls: type[M],
    train: Any,
    window_ms: float,
    *,
    signed_output: Callable[[int], nn.Module] | None = None,
    **options: Any,
) -> M:
    """Make a model with the shape that a recording asks for, and an output that can be negative if responses are.

    Parameters
    ----------
    cls : type
        Its constructor is given what it has parameters for: ``out_neurons``, ``n_frequency_bands``,
        ``temporal_window_size``, ``spatial_resol`` and ``in_channels``, ``audio_fs`` and ``dt_ms``.
    train : NeuralDataset
        The training part of the recording.
    window_ms : float
        Length of the receptive fields.
    signed_output : callable, optional
        ``n_neurons -> module``: the ``output_activation`` where responses are negative; by default the identity.
    **options : dict
        Further arguments; they take precedence.

    Raises
    ------
    TypeError
        If the constructor needs other arguments.
    """
    shape: dict[str, Any] = {
        "out_neurons": train.N_neurons,
        "n_frequency_bands": getattr(train, "F", None),
        "temporal_window_size": window_bins(window_ms, train.dt),
        "spatial_resol": (train.H, train.W) if hasattr(train, "H") else None,
        "in_channels": getattr(train, "C", None),
        "audio_fs": getattr(train, "audio_fs", None),
        "dt_ms": train.dt,
    }
    parameters = inspect.signature(cls).parameters
    if "output_activation" in parameters and is_signed(train):
        shape["output_activation"] = signed_output(train.N_neurons) if signed_output else nn.Identity()
        options.pop("output_activation", None)
    arguments = {name: value for name, value in shape.items() if name in parameters and value is not None} | options
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in arguments
    ]
    if missing:
        raise TypeError(
            f"{cls.__name__} needs the arguments {', '.join(missing)}, which a recording does not give: give them "
            "defaults, or register the class with a Recipe that builds it"
        )
    return cls(**arguments)


def stimulus_of(cls: type) -> str:
    """What a model class without a card takes, by the parameters of its constructor and those of its bases.

    Examples
    --------
    >>> from deepSTRF.models.video import ConvNet3D
    >>> stimulus_of(ConvNet3D)
    'movie'
    """
    if "audio_fs" in inspect.signature(cls).parameters:
        return "waveform"
    takes_frames = any("spatial_resol" in inspect.signature(base).parameters for base in cls.__mro__[:-1])
    return "movie" if takes_frames else "spectrogram"


def is_signed(train: Any) -> bool:
    """Whether any response, averaged over repeats, is negative, as of a membrane potential, EEG or z-scores."""
    return any(bool((train[i]["psth"] < 0).any()) for i in range(len(train)))


def as_batches(train: Any) -> Iterator[dict[str, Tensor]]:
    """Responses of each stimulus, averaged over repeats, as a batch of one: ``responses`` (1, N, 1, T)."""
    return ({"responses": train[i]["psth"][None, :, None]} for i in range(len(train)))


def place_neurons(train: Any, n_lags: int) -> Int64[Tensor, "N 2"]:
    """Where each neuron looks: row and column of the pixel that its responses follow most.

    Two maps are asked: the spike-triggered average, and that of the products of each pixel with itself and with its
    neighbours, which shows where a complex cell looks although its average is flat. For each neuron the map whose peak
    stands out more from its median decides.
    """
    pictures = (train.N_neurons, train.C, train.H, train.W)
    average, products = torch.zeros(n_lags, *pictures), torch.zeros(n_lags, 5, *pictures)
    for i in range(len(train)):
        movie = train[i]["stims"]
        responses = train[i]["psth"].to(movie)
        deviations = (responses - responses.nanmean(1, keepdim=True)).nan_to_num(0.0)
        # a part of a long movie at a time, because its products are copies
        for start in range(0, movie.shape[-1], _BINS_AT_ONCE):
            frames = movie[..., start : start + _BINS_AT_ONCE]
            squares = _local_products(frames)
            for lag in range(n_lags):
                later = deviations[:, start + lag :][:, : frames.shape[-1]]
                n_bins = later.shape[1]
                average[lag] += torch.einsum("nt,chwt->nchw", later, frames[..., :n_bins])
                products[lag] += torch.einsum("nt,kchwt->knchw", later, squares[..., :n_bins])
    maps = torch.stack([average.square().sum((0, 2)), products.square().sum((0, 1, 3))]).flatten(-2)
    peak, place = maps.max(-1)
    stands_out = peak / maps.median(-1).values.clamp(min=torch.finfo(peak.dtype).tiny)
    strongest = place.gather(0, stands_out.argmax(0, keepdim=True))[0]
    return torch.stack([strongest // train.W, strongest % train.W], 1)


def _local_products(frames: Float[Tensor, "C H W T"]) -> Float[Tensor, "5 C H W T"]:
    """Each pixel times itself, and times those one and two below and to the right: a grating has a phase of both."""
    height, width = frames.shape[1:3]
    products = [frames.square()]
    for step in (1, 2):
        below, right = frames[:, :-step] * frames[:, step:], frames[:, :, :-step] * frames[:, :, step:]
        products.append(functional.pad(below, (0, 0, 0, 0, 0, min(step, height))))
        products.append(functional.pad(right, (0, 0, 0, min(step, width))))
    return torch.stack(products)
