"""What a user gives to a figure, checked: arrays, band centres, titles and panels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from deepSTRF.checks import check_list, check_positive, describe_type
from deepSTRF.metrics import corrcoef

Array = np.ndarray | Tensor


def as_array(values: Any, name: str, ndims: tuple[int, ...]) -> np.ndarray:
    """Return `values` as a float64 NumPy array with one of the numbers of dimensions `ndims`."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().resolve_conj().resolve_neg()
        values = (values if values.is_complex() else values.to(torch.float64)).numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, but is ragged: {error}") from error
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be an array of real numbers, but is complex ({array.dtype})")
    try:
        array = array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of real numbers, got {describe_type(values)}: {error}") from error
    if array.ndim not in ndims:
        wanted = " or ".join(str(n) for n in ndims)
        raise ValueError(f"{name} must have {wanted} dimensions, got shape {tuple(array.shape)}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {tuple(array.shape)}")
    return array


def as_spectrogram(values: Any, name: str) -> np.ndarray:
    """Return `values`, of shape (F, T) or (1, F, T), as an array (F, T)."""
    array = as_array(values, name, (2, 3))
    if array.ndim == 3:
        if array.shape[0] != 1:
            raise ValueError(f"{name} must be (F, T) or (1, F, T), got shape {array.shape}")
        array = array[0]
    return array


def as_fields(fields: Any, name: str, shape: str, read: Callable[[Any, str], np.ndarray]) -> list[np.ndarray]:
    """Return receptive fields as a list of arrays of one shape, each converted by `read`; `shape` is for messages."""
    if not isinstance(fields, Iterable):
        raise TypeError(f"{name} must be (K, {shape}) or a sequence of ({shape}), got {describe_type(fields)}")
    arrays = [read(field, f"{name}[{k}]") for k, field in enumerate(fields)]
    if not arrays:
        raise ValueError(f"{name} is empty: expected at least one receptive field")
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(f"{name} are ragged: all receptive fields must have one shape ({shape}), got {shapes}")
    return arrays


def check_same_length(name: str, values: np.ndarray, n_bins: int) -> np.ndarray:
    """Return `values` if it has as many bins as the response."""
    if len(values) != n_bins:
        raise ValueError(f"{name} must have as many bins as the response: expected {n_bins}, got {len(values)}")
    return values


def check_dt(dt_ms: float | None) -> None:
    """Raise an error unless `dt_ms` is None or a positive number."""
    if dt_ms is not None:
        check_positive("dt_ms", dt_ms)


def check_axes(axes: Sequence[Any]) -> None:
    """Raise TypeError unless all are panels of matplotlib."""
    for ax in axes:
        if not isinstance(ax, Axes):
            raise TypeError(f"panels to draw into must be matplotlib Axes, got {describe_type(ax)}")


def check_titles(titles: Sequence[str] | None, count: int) -> list[str]:
    """Return one title per receptive field, all of them empty if `titles` is None."""
    if titles is None:
        return [""] * count
    if len(check_list("titles", titles, "one title per receptive field")) != count:
        raise ValueError(f"titles must have one entry per receptive field: expected {count}, got {len(titles)}")
    return [str(title) for title in titles]


def check_frequencies(frequencies_hz: Any, n_bands: int) -> np.ndarray | None:
    """Return the band centres as an array, or None; there must be one per band, and they must rise."""
    if frequencies_hz is None:
        return None
    frequencies = as_array(frequencies_hz, "frequencies_hz", (1,))
    if len(frequencies) != n_bands:
        raise ValueError(f"frequencies_hz must hold one frequency per band: expected {n_bands}, got {len(frequencies)}")
    if not np.isfinite(frequencies).all() or frequencies[0] < 0 or (np.diff(frequencies) <= 0).any():
        raise ValueError(
            "frequencies_hz must rise from the first band to the last, without negative or missing values; "
            "flip the bands of stimulus and kernels if they fall"
        )
    return frequencies


def correlation(first: Array, second: Array) -> float:
    """Pearson correlation over all entries that are finite in both; NaN where it is undefined."""
    x, y = (torch.as_tensor(values).double().flatten() for values in (first, second))
    both = x.isfinite() & y.isfinite()
    return float(corrcoef(x[both].view(1, 1, 1, -1), y[both].view(1, 1, 1, -1), reduction="none"))
