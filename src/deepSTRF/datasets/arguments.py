"""What a user hands in is checked once, where it comes in: whole numbers, numbers, lists."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sized
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["check_list", "positive_number", "whole_number"]


def whole_number(name: str, value: Any, least: int | None = None) -> int:
    """Return `value` as an int; a float, even 2.0, is refused rather than cut.

    Parameters
    ----------
    name : str
        What the user calls it, for the message.
    value : object
        What came in. NumPy integers and integer tensors are fine, bool is not.
    least : int, optional
        The smallest that makes sense.

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
    >>> whole_number("n_repeats", np.int64(3), least=1)
    3
    """
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}: {value!r}") from error
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got the bool {value}")
    if least is not None and number < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {number}")
    return number


def positive_number(name: str, value: Any) -> Any:
    """Return `value` if it is a number above 0 that is finite.

    Parameters
    ----------
    name : str
        What the user calls it, for the message.
    value : object
        What came in.

    Returns
    -------
    number
        The same object.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is not positive and finite; NaN is neither.

    Examples
    --------
    >>> positive_number("dt_ms", 5)
    5
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction | np.number):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


def check_list(name: str, values: Any, of: str) -> None:
    """Raise TypeError unless `values` can be counted and gone through.

    Parameters
    ----------
    name : str
        What the user calls it, for the message.
    values : object
        What came in.
    of : str
        What it should be a list of, for the message.

    Raises
    ------
    TypeError
        If it is not a list, tuple, array or the like.

    Examples
    --------
    >>> check_list("stims", [], "arrays")
    """
    if not (isinstance(values, Sized) and isinstance(values, Iterable)) or isinstance(values, str | bytes):
        raise TypeError(f"{name} must be a list of {of}, got {type(values).__name__}")
