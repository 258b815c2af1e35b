"""Per-neuron values in a few numbers, the same in every logger."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["summarise"]

PERCENTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


def defined_values(value: Any) -> Tensor | None:
    """The finite entries of a tensor or an array as float64 on the CPU; None for anything that has no axis."""
    if not isinstance(value, (Tensor, np.ndarray)) or value.ndim == 0:
        return None
    values = torch.as_tensor(value).detach().double().cpu()
    return values[values.isfinite()]


def summarise(value: Any) -> Any:
    """Mean and percentiles of per-neuron values; anything else as it is.

    Parameters
    ----------
    value : Any
        An ``(N,)`` tensor or array, or a single number.

    Returns
    -------
    dict or Any
        For per-neuron values ``{"mean", "p10", "p50", "p90", "n_valid"}`` over the `n_valid` neurons whose value is
        finite; NaN where there is none.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.training.loggers import summarise
    >>> summarise(torch.tensor([0.0, 0.5, 1.0, float("nan")]))
    {'mean': 0.5, 'p10': 0.1, 'p50': 0.5, 'p90': 0.9, 'n_valid': 3}
    >>> summarise(0.25)
    0.25
    """
    values = defined_values(value)
    if values is None:
        return value
    if len(values) == 0:
        return {"mean": math.nan, **dict.fromkeys(PERCENTILES, math.nan), "n_valid": 0}
    quantiles = values.quantile(torch.tensor(list(PERCENTILES.values()), dtype=torch.float64)).tolist()
    return {"mean": float(values.mean()), **dict(zip(PERCENTILES, quantiles, strict=True)), "n_valid": len(values)}


def flat_values(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of all but the epoch; per-neuron values as ``val_cc`` (mean), ``val_cc/p10``, ..."""
    for name, value in row.items():
        if name == "epoch":
            continue
        if defined_values(value) is None:
            yield name, value.item() if isinstance(value, (Tensor, np.ndarray, np.generic)) else value
        else:
            summary = summarise(value)
            yield name, summary["mean"]
            yield from ((f"{name}/{percentile}", summary[percentile]) for percentile in PERCENTILES)


def histogram_values(row: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and defined values of every per-neuron entry of `row` that has any."""
    for name, value in row.items():
        values = defined_values(value)
        if values is not None and len(values):
            yield name, values.numpy()


def final_row(final: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """``{"test": {"cc": ...}}`` as ``{"test_cc": ...}``, named as in an epoch dict."""
    return {f"{part}_{name}": value for part, values in final.items() for name, value in values.items()}
