"""The configuration of a saved model: constructor arguments as JSON, and modules and models made from them.

It names only classes of this library, of :mod:`torch.nn`'s activations, or ones that the caller has imported.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from deepSTRF.checks import unknown_name
from deepSTRF.models.saving.rebuildable import Rebuildable
from deepSTRF.registry import model_cards

__all__ = ["CONFIG_FILE", "class_to_build", "config_of", "made_again", "make", "rebuilt"]

CONFIG_FILE = "config.json"

# Modules of torch.nn that may be an argument, with the attributes that are all they were made with.
_TORCH_MODULES: dict[str, tuple[str, ...]] = {
    "CELU": ("alpha", "inplace"),
    "ELU": ("alpha", "inplace"),
    "GELU": ("approximate",),
    "Hardsigmoid": ("inplace",),
    "Hardtanh": ("min_val", "max_val", "inplace"),
    "Identity": (),
    "LeakyReLU": ("negative_slope", "inplace"),
    "LogSigmoid": (),
    "PReLU": ("num_parameters",),
    "ReLU": ("inplace",),
    "ReLU6": ("inplace",),
    "SELU": ("inplace",),
    "SiLU": ("inplace",),
    "Sigmoid": (),
    "Softplus": ("beta", "threshold"),
    "Softsign": (),
    "Tanh": (),
}

M = TypeVar("M", bound=Rebuildable)


def config_of(model: nn.Module) -> dict[str, Any]:
    """Return the name of the class and all arguments of the constructor, for JSON."""
    if not isinstance(model, Rebuildable):
        raise AttributeError(
            f"{type(model).__name__} has no _init_kwargs: only subclasses of deepSTRF.models.NeuralModel can be saved"
        )
    return {"_model_class": type(model).__name__, **_described_arguments(model, type(model).__name__)}


def _described_arguments(module: Rebuildable, owner: str) -> dict[str, Any]:
    """Return all constructor arguments in a form for JSON; raises ValueError for one that has none."""
    for name, kind in module._init_unsaved.items():
        raise ValueError(f"{owner} cannot be saved: its argument {name} ({kind}) cannot be written to {CONFIG_FILE}")
    arguments = dict(module._init_kwargs)
    for name, value in module._init_modules.items():
        arguments[name] = _described(value, f"{owner}: its argument {name}")
    return arguments


def _described(module: nn.Module, where: str) -> dict[str, Any]:
    kind = type(module)
    if getattr(nn, kind.__name__, None) is kind and kind.__name__ in _TORCH_MODULES:
        kwargs = {name: getattr(module, name) for name in _TORCH_MODULES[kind.__name__]}
        return {"_module": f"torch.nn.{kind.__name__}", "kwargs": kwargs}
    if isinstance(module, Rebuildable):
        return {"_module": _path(kind), "kwargs": _described_arguments(module, where)}
    raise ValueError(
        f"cannot save {where} is a {kind.__module__}.{kind.__qualname__}, which cannot be made again from a file; "
        f"available: torch.nn's {', '.join(_TORCH_MODULES)}, and subclasses of {Rebuildable.__module__}.Rebuildable"
    )


def made_again(module: M) -> M:
    """Make a module again from its recorded arguments, with initial values of its own.

    Raises ValueError if an argument cannot be written down.

    Examples
    --------
    >>> from deepSTRF.models.audio import Linear
    >>> made_again(Linear(n_frequency_bands=8, out_neurons=3)).O
    3
    """
    return rebuilt(_described(module, type(module).__name__))


def rebuilt(value: Any) -> Any:
    """Undo :func:`_described`; other values pass."""
    if not (isinstance(value, dict) and "_module" in value):
        return value
    path, kwargs = value["_module"], value.get("kwargs", {})
    if not isinstance(path, str) or not isinstance(kwargs, dict):
        raise ValueError(f"damaged module entry in {CONFIG_FILE}: {value!r}")
    prefix, _, name = path.rpartition(".")
    kind: type | None
    if prefix == "torch.nn" and name in _TORCH_MODULES:
        kind = getattr(nn, name)
    else:
        if prefix.startswith("deepSTRF.models.") and all(part.isidentifier() for part in prefix.split(".")):
            # The only imports that a file can cause: modules of this package.
            _import_if_there(prefix)
        kind = next((cls for cls in _subclasses(Rebuildable) if _path(cls) == path), None)
    if kind is None:
        raise ValueError(
            f"{CONFIG_FILE} names the module {path!r}, which is unknown: import it before loading, or pass the "
            "argument in extra_kwargs"
        )
    return kind(**{key: rebuilt(argument) for key, argument in kwargs.items()})


def _import_if_there(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"{CONFIG_FILE} names the module {module!r}, which this version does not have") from error


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _subclasses(cls: type) -> Iterator[type]:
    children: list[type] = cls.__subclasses__()
    for child in reversed(children):  # a class that was defined again is meant, not its old version
        yield child
        yield from _subclasses(child)


def class_to_build(cls: type[M], saved_as: str) -> type[M]:
    """Return the class of a model that was saved as `saved_as`, where ``from_pretrained`` is called on `cls`."""
    model_cards()  # imports all models of the library, so that they can be found by name
    if cls.__name__ == saved_as:
        return cls
    if not cls.__module__.startswith("deepSTRF.") or hasattr(cls, "card"):  # not one of the library's base classes
        warnings.warn(
            f"this model was saved as {saved_as!r}; it is loaded as {cls.__name__!r}", UserWarning, stacklevel=4
        )
        return cls
    known: dict[str, type] = {}
    for candidate in _subclasses(cls):
        known.setdefault(candidate.__name__, candidate)
    if saved_as not in known:
        raise ValueError(
            f"the model was saved as {saved_as!r}: {unknown_name('class', saved_as, sorted(known))}. Import the module "
            "that defines it first"
        )
    return known[saved_as]


def make(model_class: type[M], config: Mapping[str, Any], overrides: Mapping[str, Any], folder: Path) -> M:
    """Make a model from a configuration without ``_model_class``; raises ValueError where that is not possible."""
    try:
        # Overridden modules are not even looked up: they may be the reason for overriding.
        kwargs = {name: rebuilt(value) for name, value in config.items() if name not in overrides}
        return model_class(**kwargs, **overrides)
    except (ImportError, OSError):  # an optional part that is not installed, and says so
        raise
    except Exception as error:  # a constructor may raise anything for what it was never meant to get
        raise ValueError(
            f"{model_class.__name__} cannot be made from {folder / CONFIG_FILE} with the arguments "
            f"{sorted({*config, *overrides})}: {error}"
        ) from error
