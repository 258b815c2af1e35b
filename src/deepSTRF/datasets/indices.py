"""Checks of indices of neurons, stimuli and items."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_list", "check_index", "check_indices"]


def check_index(value: Any, size: int, kind: str) -> int:
    """Return `value` as an int from 0 to `size` - 1; NumPy integers and 0-d tensors are fine, bool is not.

    Parameters
    ----------
    value : object
        The index.
    size : int
        How many there are.
    kind : str
        What is counted, for the message.

    Raises
    ------
    TypeError
        If it is not an integer.
    IndexError
        If it is negative or too large.

    Examples
    --------
    >>> check_index(np.int64(2), 3, "neuron")
    2
    """
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        raise TypeError(f"a {kind} index must be an integer, got the bool {value}")
    try:
        index = operator.index(value)
    except TypeError as error:
        raise TypeError(f"a {kind} index must be an integer, got {type(value).__name__}") from error
    if not 0 <= index < size:
        raise IndexError(f"there is no {kind} {index}; there are {size}, numbered from 0 (negative ones don't count)")
    return index


def check_indices(values: Any, size: int, kind: str) -> list[int]:
    """Return `values` as a list of ints, each checked by :func:`check_index`."""
    return [check_index(value, size, kind) for value in as_list(values, kind)]


def as_list(values: Any, kind: str) -> Any:
    """Return a list as the same object, so that changing it in place is seen, and other iterables as a new list.

    Raises
    ------
    TypeError
        If `values` cannot be iterated.
    """
    if not isinstance(values, Iterable):
        raise TypeError(f"expected a list of {kind} indices, got {type(values).__name__}: {values!r}")
    return values if isinstance(values, list) else list(values)
