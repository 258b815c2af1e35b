"""Arrays with named axes, of xarray, become a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from deepSTRF.checks import check_list, check_positive, describe_type, unknown_name
from deepSTRF.datasets.importers import ArrayRecording
from deepSTRF.datasets.sources.nwb_stimuli import FileStimuli
from deepSTRF.datasets.sources.nwb_trials import label_of
from deepSTRF.datasets.sources.responses_to_trials import Window, dataset_of_windows, windows_of
from deepSTRF.datasets.sources.stimulus_sources import make_stimuli

__all__ = ["LabelledArrayRecording"]

_DIMS = {
    "neuron": ("neuron", "unit", "cell", "unit_id", "cell_id", "neuron_id", "channel", "electrode", "roi"),
    "stimulus": ("stimulus", "stim", "stimulus_name", "stimulus_id", "stim_id", "sound", "movie", "image", "condition"),
    "repeat": ("repeat", "trial", "rep", "presentation", "stimulus_presentation_id", "trial_id"),
    "time": ("time", "bin", "t", "time_bin", "time_relative_to_stimulus_onset", "frame"),
}
"""Names that the axes of an array may have, in singular or plural."""
_CLOCK_TOLERANCE = 1e-3
"""Steps of a time axis may differ from the bins by this part: they are floats."""


class LabelledArrayRecording(ArrayRecording):
    """A recording that can be made from arrays of xarray."""

    @classmethod
    def from_xarray(
        cls,
        stims: Any,
        responses: Any,
        dt_ms: float,
        *,
        dims: Mapping[str, str] | None = None,
        rate: float | None = None,
        spectrogram: Any = "log",
        covariates: Any = None,
    ) -> Self:
        """Make a data set from counts or rates in an array with named axes.

        Parameters
        ----------
        stims : folder, dict, list or DataArray
            As for :meth:`from_pynapple`; or a DataArray with the axes stimulus, frequency and time.
        responses : DataArray, or dict or list of DataArray
            One with the axes neuron, stimulus, repeat and time, in any order; or one per stimulus, without that axis.
            Repeats may be missing (one repeat). NaN where there are no data; bins after the end of a stimulus are left
            out where all of them are NaN.
        dt_ms : float
            Width of a bin in ms. Coordinates of time, in s or ms, must agree.
        dims : dict, optional
            Names of the axes where they have unusual ones, as ``{"neuron": "site"}``.
        rate, spectrogram, covariates
            As for :meth:`from_nwb`.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on. Coordinates along the neurons become ``nrn_meta``, the axis' own
            ``cell_id``; the coordinate of the stimuli names them.

        Raises
        ------
        TypeError, ValueError
            If an object is no DataArray, or its axes don't fit.

        Examples
        --------
        >>> import numpy as np, xarray as xr  # doctest: +SKIP
        >>> counts = xr.DataArray(np.zeros((3, 1, 5, 80)), dims=("unit", "stimulus", "trial", "time"))  # doctest: +SKIP
        >>> ds = AudioNeuralDataset.from_xarray([np.ones((4, 80))], counts, dt_ms=10.0)  # doctest: +SKIP
        """
        check_positive("dt_ms", dt_ms)
        arrays = _arrays_of(responses, dict(dims or {}), dt_ms)
        if _is_data_array(stims):
            stims = _stimuli_of(stims, dict(dims or {}))
        sources = FileStimuli(None, cls._stimulus_kind == "movies", stims, rate)
        if len(sources.names) == len(arrays) and all(name.isdecimal() for name in (*arrays, *sources.names)):
            pairs = dict(zip(arrays, sources.names, strict=True))  # neither has names: by order
        else:
            pairs = {name: name for name in arrays}
        for name in pairs.values():
            if not sources.knows(name):
                raise ValueError(f"responses has the stimulus {name!r}, but {sources.listed()}")
        names, own = zip(*(sources.find(name, None) for name in pairs.values()), strict=True)
        made = make_stimuli(own, dt_ms, spectrogram)
        windows = windows_of(made, names, dt_ms, Window(dt_ms))
        values = [_cut(array, n_bins) for array, n_bins in zip(arrays.values(), windows.n_bins, strict=True)]
        first = next(iter(responses.values())) if isinstance(responses, Mapping) else responses
        metadata = _neurons_of(first if _is_data_array(first) else first[0], dict(dims or {}))
        return dataset_of_windows(cls, made, windows, values, dt_ms, metadata, "xarray", covariates)


def _is_data_array(value: Any) -> bool:
    return hasattr(value, "dims") and hasattr(value, "coords") and hasattr(value, "transpose")


def _dim(array: Any, role: str, dims: Mapping[str, str]) -> str | None:
    """Name of the axis that has a role; None if there is none."""
    if role in dims:
        if dims[role] not in array.dims:
            raise ValueError(unknown_name("axis", dims[role], map(str, array.dims)))
        return dims[role]
    by_lower = {str(name).lower().rstrip("s"): str(name) for name in array.dims}
    return next((by_lower[key.rstrip("s")] for key in _DIMS[role] if key.rstrip("s") in by_lower), None)


def _arrays_of(responses: Any, dims: dict[str, str], dt_ms: float) -> dict[str, np.ndarray]:
    """Responses (N, R, T) to each stimulus, by its name or number."""
    if hasattr(responses, "data_vars"):
        raise TypeError(
            f"responses must be a DataArray, got a Dataset with {', '.join(map(str, responses.data_vars))}: take one "
            "of its variables, as dataset['counts']"
        )
    unknown = [role for role in dims if role not in _DIMS]
    if unknown:
        raise ValueError(f"dims must name the axes {', '.join(_DIMS)}; got {unknown[0]!r}")
    if not _is_data_array(responses):
        entries: Sequence[Any] = (
            list(responses.values())
            if isinstance(responses, Mapping)
            else check_list("responses", responses, "DataArrays, one per stimulus")
        )
        names = [str(name) for name in (responses if isinstance(responses, Mapping) else range(len(entries)))]
        for name, entry in zip(names, entries, strict=True):
            if not _is_data_array(entry):
                raise TypeError(
                    f"responses[{name!r}] must be a DataArray of xarray, got {describe_type(entry)}; arrays without "
                    "names of their axes go to from_arrays"
                )
        return {name: _ordered(entry, dims, dt_ms) for name, entry in zip(names, entries, strict=True)}
    stimulus = _dim(responses, "stimulus", dims)
    if stimulus is None:
        return {"0": _ordered(responses, dims, dt_ms)}
    labels = responses.coords[stimulus].values if stimulus in responses.coords else range(responses.sizes[stimulus])
    return {
        label_of(label): _ordered(responses.isel({stimulus: index}), dims, dt_ms) for index, label in enumerate(labels)
    }


def _ordered(array: Any, dims: dict[str, str], dt_ms: float) -> np.ndarray:
    """One array as (N, R, T)."""
    roles = {role: _dim(array, role, dims) for role in ("neuron", "repeat", "time")}
    for role in ("neuron", "time"):
        if roles[role] is None:
            raise ValueError(
                f"responses has the axes {', '.join(map(str, array.dims))}, and none of them is known as {role} "
                f"({', '.join(_DIMS[role])}); say which with dims={{{role!r}: ...}}"
            )
    others = [str(name) for name in array.dims if name not in roles.values()]
    if others:
        raise ValueError(
            f"responses has the axis {others[0]!r} beside neuron, stimulus, repeat and time; take one entry of it "
            f"(responses.isel({others[0]}=0)), or say which it is with dims="
        )
    _check_clock(array, str(roles["time"]), dt_ms)
    order = [roles[role] for role in ("neuron", "repeat", "time") if roles[role] is not None]
    values = np.asarray(array.transpose(*order).values)
    return values if roles["repeat"] is not None else values[:, None]


def _check_clock(array: Any, time: str, dt_ms: float) -> None:
    """Raise ValueError if the coordinates of time don't have the steps of the bins."""
    if time not in array.coords or array.sizes[time] < 2 or array.coords[time].dtype.kind not in "fm":
        return
    steps = np.diff(array.coords[time].values)
    if steps.dtype.kind == "m":
        steps = steps / np.timedelta64(1, "ms")
    step = float(np.median(steps))
    if not any(abs(step * scale - dt_ms) <= _CLOCK_TOLERANCE * dt_ms for scale in (1.0, 1000.0)):
        raise ValueError(
            f"the coordinates of {time} have steps of {step:g}, which is dt_ms={dt_ms:g} neither in s nor in ms"
        )


def _stimuli_of(array: Any, dims: dict[str, str]) -> dict[str, np.ndarray]:
    """Spectrograms of a DataArray, by the names of the stimuli; NaN after their end is left out."""
    stimulus, time = _dim(array, "stimulus", dims), _dim(array, "time", dims)
    if stimulus is None or time is None:
        raise ValueError(
            f"stims has the axes {', '.join(map(str, array.dims))}; expected stimulus, those of a spectrogram or "
            "movie, and time. Say which they are with dims="
        )
    labels = array.coords[stimulus].values if stimulus in array.coords else range(array.sizes[stimulus])
    rest = [str(name) for name in array.dims if name not in (stimulus, time)]
    values = np.asarray(array.transpose(stimulus, *rest, time).values)
    found = {}
    for label, own in zip(labels, values, strict=True):
        known = np.flatnonzero(~np.isnan(own).reshape(-1, own.shape[-1]).all(0))
        found[label_of(label)] = own[..., : known[-1] + 1 if len(known) else 0]
    return found


def _cut(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Responses without the bins after the end of their stimulus, if nothing was recorded there."""
    return values[..., :n_bins] if values.shape[-1] > n_bins and np.isnan(values[..., n_bins:]).all() else values


def _neurons_of(array: Any, dims: dict[str, str]) -> list[dict[str, Any]]:
    """Metadata of the neurons: the coordinates along their axis."""
    neuron = str(_dim(array, "neuron", dims))
    count = array.sizes[neuron]
    metadata: list[dict[str, Any]] = [{} for _ in range(count)]
    if neuron in array.coords:
        metadata = [{"cell_id": label_of(one)} for one in array.coords[neuron].values]
    for name, coordinate in array.coords.items():
        if coordinate.dims == (neuron,) and name != neuron:
            for entry, value in zip(metadata, coordinate.values.tolist(), strict=True):
                entry[str(name)] = value
    return metadata
