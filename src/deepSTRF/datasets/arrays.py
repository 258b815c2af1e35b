"""Arrays as people have them: what becomes a tensor, and what else it might be."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import describe_type

__all__ = ["check_bin_width", "column_names", "to_tensor"]

_SHORTEST_DT_MS = 0.1


def to_tensor(array: Any, where: str, *, is_response: bool) -> Tensor:
    """Return a float32 copy of an array of real numbers.

    Parameters
    ----------
    array : array
        NumPy (any byte order, strides and precision; masked arrays too) or torch; what converts to NumPy, such as a
        pandas frame (transposed: rows are bins), an xarray DataArray, an h5py data set or a sparse matrix; lists.
    where : str
        What it is, for messages.
    is_response : bool
        Masked entries of a response are missing data, NaN; a stimulus cannot have any.

    Raises
    ------
    TypeError
        If it is not an array of real numbers.
    ValueError
        If a stimulus has masked entries.
    """
    if isinstance(array, Tensor):
        if array.is_complex():
            raise TypeError(f"{where} is complex; real numbers are expected")
        return array.detach().clone().to(torch.float32)
    if not hasattr(array, "__len__") or isinstance(array, str | bytes | dict):
        raise TypeError(f"{where} must be a NumPy array or a torch tensor, got {type(array).__name__}")
    if hasattr(array, "toarray"):  # scipy.sparse
        array = array.toarray()
    is_frame = column_names(array) is not None
    try:
        masked = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
        values = np.asarray(array)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{where} must be an array of numbers: {error}") from error
    if values.dtype.names is not None:
        raise TypeError(
            f"{where} is a struct with the fields {', '.join(values.dtype.names)}, as MATLAB files hold: give one of "
            "its fields, an array of numbers"
        )
    if values.dtype.kind == "O":
        raise TypeError(
            f"{where} must be an array of numbers, got one of objects ({_first_type(values)}). Spike times, with as "
            "many per repeat as there happen to be, go to from_spike_times"
        )
    if values.dtype.kind == "c":
        raise TypeError(f"{where} is complex; real numbers are expected")
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{where} must be an array of numbers, got dtype {values.dtype}")
    with np.errstate(over="ignore"):  # infinite values are an error where the data are checked
        values = np.array(values, dtype=np.float32)  # a copy in native byte order, with positive strides
    if masked is not None and masked.any():
        if not is_response:
            raise ValueError(
                f"{where} has {int(masked.sum())} masked values, and a stimulus cannot have missing ones: fill them "
                "in, or cut the stimulus and mark the responses there as missing (NaN)"
            )
        values[masked] = np.nan
    return torch.from_numpy(values.T.copy() if is_frame else values)


def column_names(array: Any) -> list[str] | None:
    """Names of the columns of a data frame, None for any other array."""
    columns = getattr(array, "columns", None)
    return None if columns is None or not hasattr(array, "to_numpy") else [str(name) for name in columns]


def _first_type(values: np.ndarray) -> str:
    return describe_type(values.flat[0]) if values.size else "empty"


def check_bin_width(dt_ms: Any) -> None:
    """Raise ValueError for a bin width that looks like seconds."""
    if isinstance(dt_ms, int | float) and 0 < dt_ms < _SHORTEST_DT_MS:
        raise ValueError(f"dt_ms is the width of a bin in milliseconds, got {dt_ms}; did you mean {1000 * dt_ms:g}?")
