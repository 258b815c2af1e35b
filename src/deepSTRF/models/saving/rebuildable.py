"""Modules that remember the arguments they were made with, so that they can be saved and made again."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

from torch import nn

__all__ = ["Rebuildable"]


class Rebuildable(nn.Module):
    """A module that remembers how it was made.

    Subclass it, and every instance carries three plain attributes, filled after the outermost ``__init__`` returns
    (also where the subclass has no ``__init__`` of its own, or calls its parents'):

    ``_init_kwargs`` : dict
        The arguments that JSON can hold, defaults applied.
    ``_init_modules`` : dict
        The arguments that are modules.
    ``_init_unsaved`` : dict
        The remaining ones: argument name to the name of its type. A model that has any cannot be saved.

    Examples
    --------
    >>> class Scale(Rebuildable):
    ...     def __init__(self, factor=2.0):
    ...         super().__init__()
    ...         self.factor = factor
    >>> Scale()._init_kwargs
    {'factor': 2.0}
    """

    _init_kwargs: dict[str, Any]
    _init_modules: dict[str, nn.Module]
    _init_unsaved: dict[str, str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    def _after_init(self) -> None:
        """Run once per instance, after the outermost ``__init__``; a hook for checks."""


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap one ``__init__`` so that the outermost call on an instance records its arguments."""

    @functools.wraps(init)
    def recording_init(self: Rebuildable, *args: Any, **kwargs: Any) -> None:
        # Written to __dict__ because nn.Module.__setattr__ does not work before nn.Module.__init__ in all versions.
        if "_under_construction" in self.__dict__:  # a super().__init__ call: the outermost one records
            init(self, *args, **kwargs)
            return
        self.__dict__["_under_construction"] = True
        try:
            init(self, *args, **kwargs)
        finally:
            del self.__dict__["_under_construction"]
        _record(self, inspect.signature(init), args, kwargs)
        self._after_init()

    return recording_init


def _record(module: Rebuildable, signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]) -> None:
    bound = signature.bind(module, *args, **kwargs)
    bound.apply_defaults()
    arguments: dict[str, Any] = {}
    unsaved: dict[str, str] = {}
    for name, value in list(bound.arguments.items())[1:]:  # the first one is self
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            if value:
                unsaved[f"*{name}"] = "positional arguments without a name"
        else:
            arguments[name] = value
    module._init_kwargs, module._init_modules = {}, {}
    for name, value in arguments.items():
        if isinstance(value, nn.Module):
            # A plain dict, so that nothing is registered twice.
            module._init_modules[name] = value
            continue
        plain = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
        try:
            json.dumps(plain)
        except (TypeError, ValueError):
            unsaved[name] = type(value).__name__
        else:
            module._init_kwargs[name] = plain
    module._init_unsaved = unsaved
