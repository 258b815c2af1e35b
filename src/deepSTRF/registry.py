"""The registries: which data sets and which models there are, and how each model is built and trained.

A class registers itself with a card, ``@register_dataset(DatasetCard(...))`` or ``@register_model(ModelCard(...),
Recipe(...))``. The command line, the docs, the benchmark and the contract tests read the registries, so a new class is
listed, documented and tested on the day it is written.

A class that is not part of deepSTRF is named by its file or its module, ``path/to/mymodel.py:MyModel`` or
``mylab.models:MyModel``, wherever a name is expected. An installed package adds names of its own by entry points of the
groups ``deepstrf.datasets`` and ``deepstrf.models``, each of which is a class, or a module that registers some.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from deepSTRF.cards import DatasetCard, ModelCard, Recipe, Settings
from deepSTRF.checks import describe_type, unknown_name
from deepSTRF.user_files import import_file

__all__ = [
    "DatasetCard",
    "ModelCard",
    "Recipe",
    "Settings",
    "UnknownNameError",
    "dataset_cards",
    "get_dataset",
    "get_dataset_card",
    "get_model",
    "get_model_card",
    "get_recipe",
    "model_cards",
    "models_in_file",
    "register_dataset",
    "register_model",
]

C = TypeVar("C", bound=type)


class UnknownNameError(KeyError):
    """A name that is in no registry; the message lists what there is."""

    def __str__(self) -> str:  # KeyError would print the message quoted
        return str(self.args[0])


class _Entry(NamedTuple):
    card: Any
    cls: Any
    recipe: Recipe | None = None


@dataclass
class _Registry:
    """The classes of one kind.

    Parameters
    ----------
    kind : str
        What to call them in messages.
    base : str
        Module and name of the class that they derive from.
    modules : tuple of str
        Importing these runs the decorators of all classes of deepSTRF.
    group : str
        The entry points by which installed packages add classes.
    own : str
        How a user names what is not registered, for messages; ``CLASS`` stands for the class.
    default_card : callable
        ``(name, summary, cls)`` to the card of a class that has none.
    """

    kind: str
    base: str
    modules: tuple[str, ...]
    group: str
    own: str
    default_card: Callable[[str, str, Any], Any]
    entries: dict[str, _Entry] = field(default_factory=dict)
    has_plugins: bool = False

    def register(self, card: Any, recipe: Recipe | None) -> Callable[[C], C]:
        if not isinstance(card, DatasetCard | ModelCard):
            raise TypeError(f"a class is registered with a DatasetCard or ModelCard, got {describe_type(card)}")
        if recipe is not None and not isinstance(recipe, Recipe):
            raise TypeError(f"recipe must be a Recipe or None, got {describe_type(recipe)}")

        def decorate(cls: Any) -> Any:
            known = self.entries.get(card.name)
            if known is not None and known.cls.__qualname__ != cls.__qualname__:
                raise ValueError(f"the name {card.name!r} is already registered for {known.cls}")
            own = card
            if isinstance(card, ModelCard) and card.stimulus is None:
                own = replace(card, stimulus=importlib.import_module(_FROM_RECORDING).stimulus_of(cls))
            self.entries[card.name] = _Entry(own, cls, recipe)
            if "card" not in vars(cls) or cls.card.name == card.name:  # the first one of several names
                cls.card = own
            return cls

        return decorate

    def cards(self) -> dict[str, Any]:
        self._import_own()
        self._import_plugins()
        return {name: self.entries[name].card for name in sorted(self.entries)}

    def _import_own(self) -> None:
        for module in self.modules:
            importlib.import_module(module)

    def _import_plugins(self) -> None:
        """Load what installed packages add, once; one that is broken is named, and the others are there."""
        if self.has_plugins:
            return
        self.has_plugins = True
        for point in importlib.metadata.entry_points(group=self.group):
            try:
                self._add(point.name, point.load())
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a stranger's code raises
                package = "an installed package" if point.dist is None else f"the package {point.dist.name!r}"
                warnings.warn(
                    f"the {self.kind} {point.name!r} of {package} cannot be loaded ({type(error).__name__}: {error}); "
                    "update or uninstall that package"
                )

    def _add(self, name: str, loaded: Any) -> None:
        if isinstance(loaded, ModuleType):  # its decorators have run
            return
        self._check_base(loaded, f"the entry point {name!r}")
        if "card" not in vars(loaded):
            self.register(self._entry_of(loaded, name).card, None)(loaded)

    def _check_base(self, cls: Any, what: str) -> None:
        module, _, base = self.base.rpartition(".")
        if not isinstance(cls, type) or not issubclass(cls, getattr(importlib.import_module(module), base)):
            raise ValueError(f"{what} must be a class that derives from {self.base}, got {describe_type(cls)}")

    def find(self, name: str) -> _Entry:
        if not isinstance(name, str):
            raise TypeError(f"the name of a {self.kind} must be a string, got {describe_type(name)}")
        path, _, inner = name.rpartition(":")
        if path.endswith(".py"):
            return self._find_in_file(path, inner)
        if name.endswith(".py"):
            raise UnknownNameError(f"add the name of the class: {' or '.join(self.cards_in_file(name))}")
        if path and all(part.isidentifier() for part in path.split(".")):
            return self._find_in_module(path, inner)
        self._import_own()
        if name not in self.entries and name not in self.cards():
            message = unknown_name(self.kind, name, self.cards())
            own = self.own.replace("CLASS", inner if ":" in name else "CLASS")
            raise UnknownNameError(f"{message}{'' if message.endswith('?') else '.'} For one of your own, give {own}")
        return self.entries[name]

    def _find_in_module(self, path: str, name: str) -> _Entry:
        try:
            module = importlib.import_module(path)
        except Exception as error:
            raise ImportError(
                f"cannot import the module {path} of {path}:{name} ({type(error).__name__}: {error}); for a class in a "
                f"file give {path.replace('.', '/')}.py:{name}"
            ) from error
        if not hasattr(module, name):
            raise UnknownNameError(unknown_name(f"{self.kind} in {path}", name, self._names_in(module)))
        self._check_base(getattr(module, name), f"{path}:{name}")
        return self._entry_of(getattr(module, name), f"{path}:{name}")

    def _names_in(self, module: ModuleType) -> list[str]:
        base_module, _, base_name = self.base.rpartition(".")
        base = getattr(importlib.import_module(base_module), base_name)
        return [
            name
            for name, cls in vars(module).items()
            if isinstance(cls, type) and issubclass(cls, base) and cls.__module__ == module.__name__ and name[0] != "_"
        ]

    def cards_in_file(self, path: str) -> dict[str, Any]:
        found = self._entries_in_file(path)
        if not found:
            raise ValueError(f"{path} defines no class that derives from {self.base}")
        return {f"{path}:{name}": entry.card for name, entry in found.items()}

    def _find_in_file(self, path: str, name: str) -> _Entry:
        found = self._entries_in_file(path)
        if name in found:
            return found[name]
        if hasattr(import_file(path), name):
            raise ValueError(f"{path}:{name} must be a class that the file defines and that derives from {self.base}")
        raise UnknownNameError(unknown_name(self.kind, name, found) + f" (in {path})")

    def _entries_in_file(self, path: str) -> dict[str, _Entry]:
        """The classes that the file defines, by their own names; a class may have more that it was registered under."""
        module = import_file(path)
        found = {name: self._entry_of(vars(module)[name], f"{path}:{name}") for name in self._names_in(module)}
        more = {name: entry for name, entry in self.entries.items() if entry.cls.__module__ == module.__name__}
        return found | {name: entry for name, entry in more.items() if entry.cls.card.name != name}

    def _entry_of(self, cls: Any, name: str) -> _Entry:
        if "card" in vars(cls):
            return self.entries[cls.card.name]
        summary = (inspect.getdoc(cls) if cls.__doc__ else None) or cls.__name__
        return _Entry(self.default_card(name, summary.splitlines()[0], cls), cls)


def _default_dataset_card(name: str, summary: str, cls: Any) -> DatasetCard:
    split = next(iter(cls.protocols), "")
    return DatasetCard(name, summary, "", "", "", "", "", split)


def _default_model_card(name: str, summary: str, cls: Any) -> ModelCard:
    return ModelCard(name, summary, "", importlib.import_module(_FROM_RECORDING).stimulus_of(cls))


_FROM_RECORDING = "deepSTRF.models.from_recording"
_datasets = _Registry(
    "data set",
    "deepSTRF.datasets.NeuralDataset",
    ("deepSTRF.datasets.simulated", "deepSTRF.datasets.audio", "deepSTRF.datasets.video"),
    "deepstrf.datasets",
    "its folder, FILE.nwb, FILE.py:CLASS or PACKAGE.MODULE:CLASS",
    _default_dataset_card,
)
_models = _Registry(
    "model",
    "deepSTRF.models.NeuralModel",
    ("deepSTRF.models.audio", "deepSTRF.models.video"),
    "deepstrf.models",
    "FILE.py:CLASS or PACKAGE.MODULE:CLASS",
    _default_model_card,
)


def register_dataset(card: DatasetCard) -> Callable[[C], C]:
    """Register the decorated :class:`~deepSTRF.datasets.NeuralDataset` class under ``card.name``."""
    return _datasets.register(card, None)


def register_model(card: ModelCard, recipe: Recipe | None = None) -> Callable[[C], C]:
    """Register the decorated :class:`~deepSTRF.models.NeuralModel` class under ``card.name``.

    Parameters
    ----------
    card : ModelCard
        A class may have several, each with a name and a recipe of its own.
    recipe : Recipe, optional
        How ``deepstrf fit`` builds and trains it; ``Recipe()`` by default.

    Examples
    --------
    >>> from deepSTRF.models.audio import Linear
    >>> from deepSTRF.models.from_recording import build_model
    >>> def build(train, val, window_ms):
    ...     return build_model(Wide, train, val, window_ms)
    >>> @register_model(ModelCard("wide", "twice the window", "unpublished"), Recipe(Settings(lr=3e-3), build))
    ... class Wide(Linear):
    ...     def __init__(self, n_frequency_bands=34, temporal_window_size=9, out_neurons=1):
    ...         super().__init__(n_frequency_bands, 2 * temporal_window_size, out_neurons)
    >>> get_model("wide") is Wide, get_recipe("wide").settings.lr
    (True, 0.003)
    """
    return _models.register(card, recipe)


def dataset_cards() -> dict[str, DatasetCard]:
    """All registered data sets: name to card, sorted by name."""
    return _datasets.cards()


def model_cards() -> dict[str, ModelCard]:
    """All registered models: name to card, sorted by name."""
    return _models.cards()


def models_in_file(path: str) -> dict[str, ModelCard]:
    """The models that a file defines: the names that :func:`get_model` takes, ``path:Class``, to their cards.

    Raises
    ------
    FileNotFoundError, ImportError
        If there is no such file, or it cannot be imported.
    ValueError
        If it defines no model.
    """
    return _models.cards_in_file(path)


def get_dataset(name: str) -> Any:
    """Return the data set class registered as `name`.

    Parameters
    ----------
    name : str
        A key of :func:`dataset_cards`, ``path/to/mydata.py:MyDataset`` or ``package.module:MyDataset``.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists the names.
    FileNotFoundError, ImportError, ValueError
        If there is no such file, it cannot be imported, or the name in it is not a data set class.
    """
    return _datasets.find(name).cls


def get_dataset_card(name: str) -> DatasetCard:
    """Return the card of the data set that :func:`get_dataset` returns."""
    return _datasets.find(name).card


def get_model(name: str) -> Any:
    """Return the model class registered as `name`, or that of a file or a module; as :func:`get_dataset`."""
    return _models.find(name).cls


def get_model_card(name: str) -> ModelCard:
    """Return the card of the model that :func:`get_model` returns."""
    return _models.find(name).card


def get_recipe(name: str) -> Recipe:
    """Return how the model that :func:`get_model` returns is built and trained; its ``build`` is callable."""
    entry = _models.find(name)
    recipe = entry.recipe or Recipe()
    if recipe.build is not None:
        return recipe
    how = importlib.import_module(_FROM_RECORDING)
    if recipe.options is None:
        return replace(recipe, build=partial(how.build_model, entry.cls))
    return replace(recipe, build=partial(how.build_with_options, entry.cls, recipe.options), options=None)
