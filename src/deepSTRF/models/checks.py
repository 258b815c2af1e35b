"""Checks of arguments that the models and layers share."""

from __future__ import annotations

import operator

__all__ = ["positive_int"]


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
