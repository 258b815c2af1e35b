"""Checks of arguments that the models and layers share."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable

from torch import nn

__all__ = ["dropout_rate", "module_or", "positive_int", "positive_number"]


def dropout_rate(name: str, value: object) -> float:
    """Return `value` as a Python float.

    Raises
    ------
    ValueError
        If it is no number in [0, 1); the message names it.

    Examples
    --------
    >>> dropout_rate("dropout", 0)
    0.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}")
    return float(value)


def module_or(name: str, module: nn.Module | None, default: Callable[[], nn.Module]) -> nn.Module:
    """Return `module`, or ``default()`` where it is None.

    Raises
    ------
    TypeError
        If it is no module, for instance the class instead of an instance; the message names it.

    Examples
    --------
    >>> module_or("activation", None, nn.Identity)
    Identity()
    """
    if module is None:
        return default()
    if not isinstance(module, nn.Module):
        got = f"the class {module.__name__}" if isinstance(module, type) else f"a {type(module).__name__}"
        raise TypeError(f"{name} must be a torch.nn.Module (an instance, as nn.ReLU()) or None, got {got}")
    return module


def positive_int(name: str, value: object) -> int:
    """Return `value` as a Python int; also NumPy's integers pass.

    Raises
    ------
    ValueError
        If it is no integer above zero; the message names it.

    Examples
    --------
    >>> positive_int("n_bands", 34)
    34
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be a positive int, got {value!r}")
    return number


def positive_number(name: str, value: object) -> float:
    """Return `value` as a Python float.

    Raises
    ------
    ValueError
        If it is no finite number above zero; the message names it.

    Examples
    --------
    >>> positive_number("window_ms", 150)
    150.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return float(value)
