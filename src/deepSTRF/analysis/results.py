"""What the results of an analysis share: plain dataclasses that know their units and become xarray data sets."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Result", "array", "jackknife_errors"]

# Axes of one frame: of a waveform, a spectrogram, a movie, and a movie of several channels.
_FRAME_AXES: dict[int, tuple[str, ...]] = {0: (), 1: ("band",), 2: ("y", "x"), 3: ("channel", "y", "x")}


def array(dims: tuple[str, ...], units: str, default: Any = dataclasses.MISSING) -> Any:
    """Field of a result that is an array: its named axes and its units. ``frame`` is bands, pixels or nothing."""
    return dataclasses.field(default=default, metadata={"dims": dims, "units": units})


@dataclasses.dataclass(eq=False)
class Result:
    """Base of the results: a dataclass of tensors on the CPU, NaN where a number is undefined."""

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset`` with named axes, coordinates and the attribute ``units`` for each array.

        Raises
        ------
        ImportError
            If xarray is missing: ``pip install xarray``.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError("to_xarray() makes a Dataset of xarray: pip install xarray") from error
        arrays, attributes = {}, {}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if value is None:
                continue
            if isinstance(value, Tensor):
                dims = _with_frame(one.metadata["dims"], value.ndim)
                arrays[one.name] = (dims, value.numpy(), {"units": self._units(one.name, one.metadata["units"])})
            elif isinstance(value, int | float | str):
                attributes[one.name] = value
        sizes = {name: n for dims, values, _ in arrays.values() for name, n in zip(dims, values.shape, strict=True)}
        return xarray.Dataset(arrays, coords=self._coordinates(sizes), attrs=attributes)

    def _units(self, name: str, units: str) -> str:
        """Units of a field, for results in which they depend on what was known."""
        return units

    def _coordinates(self, sizes: dict[str, int]) -> dict[str, Any]:
        """Labels of the axes: lags and times in ms and bands in Hz where they are known."""
        labels: dict[str, Any] = {}
        dt_ms, frequencies = getattr(self, "dt_ms", None), getattr(self, "frequencies_hz", None)
        if dt_ms is not None and "lag" in sizes:
            labels["lag_ms"] = ("lag", dt_ms * torch.arange(sizes["lag"] - 1, -1, -1).double().numpy())
        if frequencies is not None and "band" in sizes and not isinstance(frequencies, Tensor):
            labels["frequency_hz"] = ("band", list(frequencies))
        return labels


def _with_frame(dims: tuple[str, ...], n_axes: int) -> tuple[str, ...]:
    if "frame" not in dims:
        return dims
    at = dims.index("frame")
    return (*dims[:at], *_FRAME_AXES[n_axes - len(dims) + 1], *dims[at + 1 :])


def jackknife_errors(
    leave_one_out: Float[Tensor, "S N *shape"], counted: Bool[Tensor, "S N"] | None = None
) -> Float[Tensor, N * shape]:
    """Standard errors from estimates in each of which one stimulus (or group of stimuli) was left out.

    Parameters
    ----------
    leave_one_out : Tensor, (S, N, ...)
        Estimate for every neuron without stimulus s.
    counted : Tensor of bool, (S, N), optional
        Which stimuli a neuron had heard; leaving out another one changes nothing and does not count.

    Returns
    -------
    Tensor
        ``(N, ...)``; NaN where fewer than two stimuli count, or an estimate that counts is NaN.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 11.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import jackknife_errors
    >>> values = torch.randn(50, 1)
    >>> of_the_mean = jackknife_errors((values.sum(0) - values) / 49)
    >>> torch.allclose(of_the_mean, values.std(0) / 50**0.5, atol=1e-5)
    True
    """
    values = leave_one_out
    if counted is None:
        counted = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    weights = counted.reshape(*counted.shape, *[1] * (values.ndim - 2))
    n = weights.sum(0).to(values.dtype)
    used = values.masked_fill(~weights, 0.0)
    deviations = (used - used.sum(0) / n).masked_fill(~weights, 0.0)
    errors = ((n - 1) / n * deviations.square().sum(0)).sqrt()
    return torch.where(n > 1, errors, torch.nan)
