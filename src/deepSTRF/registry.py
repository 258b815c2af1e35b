"""The two registries: which data sets and which models there are.

A class registers itself with a small card, ``@register_dataset(DatasetCard(...))``. The command line, the tables in the
docs and the contract tests read the registries, so a new class is listed and tested on the day it is written.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from deepSTRF.checks import unknown_name

__all__ = [
    "DatasetCard",
    "ModelCard",
    "UnknownNameError",
    "dataset_cards",
    "get_dataset",
    "get_model",
    "model_cards",
    "register_dataset",
    "register_model",
]

C = TypeVar("C", bound=type)

# Importing these modules runs the decorators.
_DATASET_MODULES = ("deepSTRF.datasets.simulated", "deepSTRF.datasets.audio", "deepSTRF.datasets.video")
_MODEL_MODULES = ("deepSTRF.models.audio", "deepSTRF.models.video")


class UnknownNameError(KeyError):
    """A name that is in no registry; the message lists what there is."""

    def __str__(self) -> str:  # KeyError would print the message quoted
        return str(self.args[0])


@dataclass(frozen=True)
class DatasetCard:
    """What a user wants to know about a recording before loading it.

    Parameters
    ----------
    name : str
        The name on the command line, lower case.
    summary : str
        One line.
    species, area : str
        Which animal and which part of its brain.
    size : str
        Neurons, stimuli and repeats, in words.
    paper : str
        Short citation with its DOI.
    licence : str
        The terms that the recording was published under.
    default_split : str
        The protocol that the command line uses, a key of the class attribute ``protocols`` or ``"holdout:K"``.
    """

    name: str
    summary: str
    species: str
    area: str
    size: str
    paper: str
    licence: str
    default_split: str


@dataclass(frozen=True)
class ModelCard:
    """What a user wants to know about a model before fitting it.

    Parameters
    ----------
    name : str
        The name on the command line, lower case.
    summary : str
        One line.
    paper : str
        Short citation with its DOI.
    stimulus : {"spectrogram", "waveform", "movie"}
        What it takes.
    """

    name: str
    summary: str
    paper: str
    stimulus: str = "spectrogram"


_datasets: dict[str, tuple[DatasetCard, type]] = {}
_models: dict[str, tuple[ModelCard, type]] = {}


def _register(registry: dict[str, Any], card: Any) -> Callable[[C], C]:
    if not isinstance(card, DatasetCard | ModelCard):
        raise TypeError(f"a class is registered with a DatasetCard or ModelCard, got {type(card).__name__}: {card!r}")

    def decorate(cls: C) -> C:
        if card.name in registry and registry[card.name][1].__qualname__ != cls.__qualname__:
            raise ValueError(f"the name {card.name!r} is already registered for {registry[card.name][1]}")
        registry[card.name] = (card, cls)
        cls.card = card  # type: ignore[attr-defined]
        return cls

    return decorate


def register_dataset(card: DatasetCard) -> Callable[[C], C]:
    """Register the decorated :class:`~deepSTRF.datasets.NeuralDataset` class under ``card.name``."""
    return _register(_datasets, card)


def register_model(card: ModelCard) -> Callable[[C], C]:
    """Register the decorated :class:`~deepSTRF.models.NeuralModel` class under ``card.name``."""
    return _register(_models, card)


def _cards(registry: dict[str, Any], modules: tuple[str, ...]) -> dict[str, Any]:
    for module in modules:
        importlib.import_module(module)
    return {name: registry[name][0] for name in sorted(registry)}


def dataset_cards() -> dict[str, DatasetCard]:
    """All registered data sets: name to card, sorted by name."""
    return _cards(_datasets, _DATASET_MODULES)


def model_cards() -> dict[str, ModelCard]:
    """All registered models: name to card, sorted by name."""
    return _cards(_models, _MODEL_MODULES)


def _get(kind: str, registry: dict[str, Any], cards: dict[str, Any], name: str) -> type:
    if not isinstance(name, str):
        raise TypeError(f"the name of a {kind} is a string, got {type(name).__name__}; there are: {', '.join(cards)}")
    if name not in cards:
        raise UnknownNameError(unknown_name(kind, name, cards))
    return registry[name][1]


def get_dataset(name: str) -> type:
    """Return the data set class registered as `name`.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists the names.
    """
    return _get("data set", _datasets, dataset_cards(), name)


def get_model(name: str) -> type:
    """Return the model class registered as `name`.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists the names.
    """
    return _get("model", _models, model_cards(), name)
