"""Checks of arguments that several rooms need: each returns the checked value or raises an error.

One policy everywhere: the wrong type is a TypeError, the wrong value of the right type a ValueError. torch is imported
only where it is needed, so that the command line can check its options without loading it.
"""

from __future__ import annotations

import difflib
import math
import numbers
import operator
from collections.abc import Callable, Iterable, Sized
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "check_choice",
    "check_device",
    "check_fraction",
    "check_integer",
    "check_list",
    "check_module",
    "check_number",
    "check_pair",
    "check_positive",
    "counted",
    "describe_type",
    "first_few",
    "unknown_name",
]


def check_integer(name: str, value: Any, least: int | None = 1) -> int:
    """Return `value` as an int; a float is an error, even 2.0.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        NumPy integers and integer tensors are fine, bool is not.
    least : int, optional
        Smallest allowed value; None for no limit.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is smaller than `least`.

    Examples
    --------
    >>> import numpy as np
    >>> check_integer("n_repeats", np.int64(3))
    3
    """
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {describe_type(value)}: {value!r}") from error
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got the bool {value}")
    if least is not None and number < least:
        raise ValueError(f"{name} must be {'a positive integer' if least == 1 else f'at least {least}'}, got {number}")
    return number


def check_pair(name: str, values: Any, of: str) -> tuple[int, int]:
    """Return `values` as two positive ints.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    values : object
        A list, tuple or array.
    of : str
        What the two are, for the message.

    Raises
    ------
    TypeError
        If it is not a list of integers.
    ValueError
        If it has another length, or one of them is not positive.

    Examples
    --------
    >>> check_pair("kernel_size", [3, 9], "bands and bins")
    (3, 9)
    """
    pair = tuple(check_list(name, values, f"two integers ({of})"))
    if len(pair) != 2:
        raise ValueError(f"{name} must be two integers ({of}), got {values!r}")
    return check_integer(f"{name}[0]", pair[0]), check_integer(f"{name}[1]", pair[1])


def check_number(name: str, value: Any) -> Any:
    """Return `value` as a Python number.

    Raises
    ------
    TypeError
        If it is not a real number; bool is not one.
    ValueError
        If it is NaN or infinite.

    Examples
    --------
    >>> check_number("low_hz", 20)
    20
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {describe_type(value)}: {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value if isinstance(value, numbers.Rational | int | float) else float(value)


def check_positive(name: str, value: Any) -> Any:
    """Return `value` as a Python number above 0.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is not positive and finite; NaN is neither.

    Examples
    --------
    >>> check_positive("dt_ms", 5)
    5
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {describe_type(value)}: {value!r}")
    if not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return check_number(name, value)


def check_fraction(name: str, value: Any) -> float:
    """Return `value`, for example a dropout rate, as a float in [0, 1).

    Raises
    ------
    TypeError, ValueError
        If it is not a real number, or not in this range.

    Examples
    --------
    >>> check_fraction("dropout", 0)
    0.0
    """
    number = float(check_number(name, value))
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")
    return number


def check_choice(name: str, value: Any, choices: Iterable[str]) -> Any:
    """Return `value` if it is one of `choices`.

    Raises
    ------
    ValueError
        If it is not; the message lists the choices.

    Examples
    --------
    >>> check_choice("reduction", "mean", ("none", "mean", "sum"))
    'mean'
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    return value


def check_list(name: str, values: Any, of: str) -> Any:
    """Return `values` if it has a length and can be iterated: a list, tuple or array.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    values : object
        What came in.
    of : str
        What it should hold, for the message.

    Raises
    ------
    TypeError
        If it is anything else; a string is not a list.

    Examples
    --------
    >>> check_list("stims", [], "arrays")
    []
    """
    if not (isinstance(values, Sized) and isinstance(values, Iterable)) or isinstance(values, str | bytes):
        raise TypeError(f"{name} must be a list of {of}, got {describe_type(values)}")
    return values


def check_module(name: str, module: Any, default: Callable[[], nn.Module]) -> nn.Module:
    """Return `module`, or ``default()`` if it is None.

    Raises
    ------
    TypeError
        If it is not a module, for instance the class instead of an instance.

    Examples
    --------
    >>> from torch import nn
    >>> check_module("activation", None, nn.Identity)
    Identity()
    """
    from torch import nn

    if module is None:
        return default()
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"{name} must be a torch.nn.Module (an instance, as nn.ReLU()) or None, got {describe_type(module)}"
        )
    return module


def check_device(device: Any) -> torch.device:
    """Return the device, if a tensor can be made on it here.

    Raises
    ------
    TypeError
        If it is not the name of a device.
    ValueError
        If there is no such device, with torch's reason in brief.

    Examples
    --------
    >>> check_device("cpu")
    device(type='cpu')
    >>> check_device("toaster")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: device toaster cannot be used here: Expected one of cpu, cuda, ...
    """
    import torch

    if isinstance(device, bool) or not isinstance(device, (str, int, torch.device)):
        raise TypeError(f"device must be a name such as 'cpu' or 'cuda:0', got {describe_type(device)}: {device!r}")
    try:
        checked = torch.device(device)
        torch.empty(1, device=checked)
    except (RuntimeError, AssertionError, ImportError) as error:  # which of them depends on how torch was built
        reason = str(error).splitlines()[0].split(". ")[0]  # it goes on to list everything it knows
        raise ValueError(f"device {device} cannot be used here: {reason}") from error
    if checked.type == "meta":
        raise ValueError("device meta holds no numbers, so nothing can be fitted on it; use cpu or cuda")
    return checked


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number of things, in words that fit it.

    Examples
    --------
    >>> counted(1, "neuron"), counted(2, "neuron"), counted(0, "stimulus", "stimuli")
    ('1 neuron', '2 neurons', '0 stimuli')
    """
    return f"{number} {one if number == 1 else several or one + 's'}"


def describe_type(value: Any) -> str:
    """Say what came in, for an error message.

    Examples
    --------
    >>> describe_type([]), describe_type(3), describe_type(None), describe_type(dict)
    ('a list', 'an int', 'None', 'the class dict')
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def first_few(names: Iterable[object], most: int = 8) -> str:
    """The first of several names, and how many more there are.

    Examples
    --------
    >>> first_few(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    texts = list(map(str, names))
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def unknown_name(kind: str, name: object, available: Iterable[str]) -> str:
    """Message for a name that does not exist, with the available ones and the closest of them.

    Examples
    --------
    >>> unknown_name("model", "linaer", ["linear", "ridge"])
    "unknown model 'linaer'; available: linear, ridge. Did you mean 'linear'?"
    """
    available = list(available)
    close = [own for own in available if own.lower() == str(name).lower()]
    close = close or difflib.get_close_matches(str(name), available, n=1)
    close = close or [own for own in available if name and own.startswith(f"{name}_")]  # a unit was left out
    hint = f". Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {name!r}; available: {', '.join(available)}{hint}"
