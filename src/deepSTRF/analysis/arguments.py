"""Arguments that several analyses take: the neurons, the width of a bin, the bands, and a recording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_integer, check_list, check_positive, describe_type
from deepSTRF.models.frame_model import FrameModel

__all__ = ["as_axes", "as_model", "as_neurons", "as_recording"]


def as_model(model: Any) -> FrameModel:
    """Return `model`; raise a TypeError if it is not one of spectrograms or movies."""
    if not isinstance(model, FrameModel):
        raise TypeError(f"model must be an AudioEncodingModel or a VideoEncodingModel, got {describe_type(model)}")
    return model


def as_neurons(neurons: int | Sequence[int] | None, n_neurons: int, name: str = "neurons") -> list[int]:
    """Indices of the neurons (or bins) asked for; None is all of them."""
    if neurons is None:
        return list(range(n_neurons))
    asked = neurons if hasattr(neurons, "__iter__") else [neurons]
    indices = [check_integer(name, index, least=None) for index in asked]
    for index in indices:
        if not 0 <= index < n_neurons:
            raise ValueError(f"{name} must be indices from 0 to {n_neurons - 1}, got {index}")
    if not indices:
        raise ValueError(f"{name} is empty: give one index or more, or None for all")
    return indices


def as_axes(
    source: Any, dt_ms: float | None, frequencies_hz: Any, n_bands: int | None = None
) -> tuple[float | None, tuple[float, ...] | None]:
    """Width of a bin and the centres of the bands, as given or else as `source` (a data set, a result) has them."""
    dt_ms = getattr(source, "dt_ms", getattr(source, "dt", None)) if dt_ms is None else dt_ms
    given = getattr(source, "frequencies_hz", None) if frequencies_hz is None else frequencies_hz
    dt_ms = None if dt_ms is None else float(check_positive("dt_ms", dt_ms))
    if given is None:
        return dt_ms, None
    values = check_list("frequencies_hz", given, "frequencies in Hz")
    centres = tuple(float(check_positive("frequencies_hz", f)) for f in torch.as_tensor(values).double().tolist())
    if n_bands is not None and len(centres) != n_bands:
        raise ValueError(f"frequencies_hz must have one entry for each of {n_bands} bands, got {len(centres)}")
    if any(high <= low for low, high in pairwise(centres)):
        raise ValueError("frequencies_hz must rise from band to band")
    return dt_ms, centres


def as_recording(data: Any) -> tuple[list[Float[Tensor, "*frame T"]], Any]:
    """Stimuli and responses of a data set."""
    if not (hasattr(data, "stims") and hasattr(data, "responses") and hasattr(data, "nrn_masks")):
        raise TypeError(f"data must be a NeuralDataset, with stims and responses, got {describe_type(data)}")
    if len(data.stims) == 0:
        raise ValueError("data has no stimuli")
    return data.stims, data.responses
