"""What a model and its training are, as a flat dict for loggers, and as a short name for folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

__all__ = ["auto_config", "slug_from_config"]

_LONGEST_REPR = 60
_SIZES = {"n_frequency_bands": "F", "temporal_window_size": "T", "out_neurons": "O"}
_PARTS = ("prefiltering", "core", "readout", "output_activation", "readout.kernel", "readout.activation")
_FIELDS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("model", str.lower),
    ("dataset", str.lower),
    ("temporal_window_size", "T{}".format),
    ("n_frequency_bands", "F{}".format),
)


def auto_config(
    model: nn.Module,
    fitter_kwargs: Mapping[str, Any] | None = None,
    dataset_name: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe a model and its training in a dict that JSON can hold.

    Parameters
    ----------
    model : nn.Module
        Its class, its sizes (``F``, ``T``, ``O``) and the classes of its parts are noted, as far as it has them.
    fitter_kwargs : dict, optional
        Numbers, strings, bool and None are copied; of anything else the first 60 characters of its ``repr``.
    dataset_name : str, optional
        Entry ``dataset``.
    extra : dict, optional
        More entries, which replace others of the same name. What JSON cannot hold becomes its ``repr`` too.

    Returns
    -------
    dict
        Keys ``model``, ``dataset``, ``n_frequency_bands``, ``temporal_window_size``, ``out_neurons``, ``prefiltering``,
        ``core``, ``readout``, ``output_activation``, ``readout.kernel``, ``readout.activation``, those of
        `fitter_kwargs` and those of `extra`.

    Examples
    --------
    >>> from deepSTRF.models.audio import Linear
    >>> from deepSTRF.training import auto_config
    >>> model = Linear(n_frequency_bands=34, temporal_window_size=9, out_neurons=5)
    >>> config = auto_config(model, {"patience": 10}, "NS1")
    >>> config["model"], config["out_neurons"], config["readout.kernel"], config["patience"]
    ('Linear', 5, 'Conv2d', 10)
    """
    config: dict[str, Any] = {"model": type(model).__name__}
    if dataset_name is not None:
        config["dataset"] = dataset_name
    for name, attribute in _SIZES.items():
        size = getattr(model, attribute, None)
        if isinstance(size, int):
            config[name] = size
    # The kernel of a receptive field lies one level deeper.
    modules = {name.replace("readout.strf.kernel", "readout.kernel"): part for name, part in model.named_modules()}
    config |= {name: type(modules[name]).__name__ for name in _PARTS if name in modules}
    config |= {name: _number_or_repr(value) for name, value in (fitter_kwargs or {}).items()}
    return config | {name: _json_or_repr(value) for name, value in (extra or {}).items()}


def slug_from_config(
    config: Mapping[str, Any], fields: Iterable[tuple[str, Callable[[Any], str]]] | None = None
) -> str:
    """Make a short name of a configuration.

    Parameters
    ----------
    config : dict
        As :func:`auto_config` makes it.
    fields : iterable of (str, callable), optional
        Which entries, and how each is written. Default: model, data set, window, bands. Entries that are missing or
        None are left out.

    Returns
    -------
    str
        The parts, joined by hyphens.

    Examples
    --------
    >>> from deepSTRF.training import slug_from_config
    >>> config = {"model": "Linear", "dataset": "NS1", "temporal_window_size": 9, "n_frequency_bands": 34, "lr": 1e-3}
    >>> slug_from_config(config)
    'linear-ns1-T9-F34'
    >>> slug_from_config(config, [("model", str), ("lr", "lr{:g}".format)])
    'Linear-lr0.001'
    """
    chosen = _FIELDS if fields is None else fields
    return "-".join(formatter(config[name]) for name, formatter in chosen if config.get(name) is not None)


def _number_or_repr(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float, str, bool)) else repr(value)[:_LONGEST_REPR]


def _json_or_repr(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):  # of a type that JSON doesn't know, or a list that holds itself
        return repr(value)[:_LONGEST_REPR]
    return value
