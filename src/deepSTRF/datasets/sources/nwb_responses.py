"""Responses of an NWB file, read on demand: spike times unit by unit, continuous signals trial by trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from deepSTRF.datasets.sources.binning import count_in_trials
from deepSTRF.datasets.sources.nwb_contents import Contents, choose, single_columns
from deepSTRF.datasets.sources.series import series_in_trials

__all__ = ["choose_responses", "metadata_of_signals", "metadata_of_units", "responses_in_trials"]

_AREA_COLUMNS = ("area", "brain_area", "brain_region", "region", "ecephys_structure_acronym", "structure", "location")
_PEAK_COLUMNS = ("peak_channel_id", "peak_channel", "max_channel")


def choose_responses(contents: Contents, name: str | None) -> Any:
    """Return the table of units or the series that holds the responses.

    Raises
    ------
    ValueError
        If there is none, or several and no name was given.
    """
    from pynwb import TimeSeries
    from pynwb.ecephys import LFP, ElectricalSeries
    from pynwb.ophys import RoiResponseSeries

    everything = {**contents.signals, **contents.units}
    if name is not None:
        return choose("set of responses", name, everything, contents, "responses")
    signals = contents.signals.values()
    rois: list[TimeSeries] = [one for one in signals if isinstance(one, RoiResponseSeries)]
    potentials = [one for one in signals if isinstance(one, ElectricalSeries)]
    lfps = [one for one in potentials if isinstance(one.parent, LFP)]
    for found in (list(contents.units.values()), rois, lfps, potentials):
        if len(found) == 1:
            return found[0]
        if found:
            names = [key for key, one in everything.items() if any(one is other for other in found)]
            raise ValueError(
                f"{contents.path.name} has {len(found)} sets of responses; choose one with "
                f"responses={' or '.join(map(repr, names))}"
            )
    raise ValueError(
        f"{contents.path.name} has no responses: neither a table of units with spike_times nor a RoiResponseSeries "
        f"or an ElectricalSeries; expected one of them, or name another series with responses=. {contents.describe()}"
    )


def responses_in_trials(
    source: Any,
    invalid: Any,
    onsets_s: np.ndarray,
    stimulus_of_trial: np.ndarray,
    n_bins: Sequence[int],
    dt_ms: float,
    offset_s: float,
) -> list[Any]:
    """Bring the responses to the bins of the trials; per stimulus (N, R_s, T_s), None where it has no trial.

    Trials outside of the intervals in which a unit was observed, or that overlap `invalid` times, are NaN.
    """
    if "spike_times" in getattr(source, "colnames", ()):
        recorded = _observed(source)
        results = count_in_trials(
            _SpikeTimes(source), onsets_s, stimulus_of_trial, n_bins, dt_ms, offset_s, recorded=recorded
        )
    else:
        results = series_in_trials(source, onsets_s, stimulus_of_trial, n_bins, dt_ms, offset_s)
    if invalid is not None and len(invalid):
        starts, stops = (np.asarray(invalid[name].data[:], dtype=float) for name in ("start_time", "stop_time"))
        begins = onsets_s + offset_s
        ends = begins + np.asarray(n_bins)[stimulus_of_trial] * dt_ms / 1000
        overlaps = ((begins[:, None] < stops) & (ends[:, None] > starts)).any(1)
        for stimulus, values in enumerate(results):
            if values is not None:
                values[:, overlaps[stimulus_of_trial == stimulus]] = np.nan
    return results


class _SpikeTimes(Sequence[np.ndarray]):
    """Spike times of each unit in s, read from the file when they are asked for."""

    def __init__(self, units: Any):
        self._units = units
        self._ids = units.id[:]

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, unit: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, unit: slice) -> list[np.ndarray]: ...

    def __getitem__(self, unit: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(unit, slice):
            return [self[one] for one in range(len(self))[unit]]
        times = np.asarray(self._units.get_unit_spike_times(int(unit)), dtype=np.float64)
        bad = int((~np.isfinite(times)).sum())
        if bad:
            raise ValueError(
                f"unit {self._ids[unit]} has {bad} spike times that are NaN or infinite; expected times in s: write "
                "the file again without them"
            )
        return times

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[unit] for unit in range(len(self)))


def _observed(units: Any) -> list[np.ndarray | None] | None:
    """The intervals in which each unit was observed; a unit without any was observed always."""
    if "obs_intervals" not in units.colnames:
        return None
    intervals = [np.asarray(units.get_unit_obs_intervals(unit), dtype=float) for unit in range(len(units))]
    return [one if one.size else None for one in intervals]


# --- metadata --------------------------------------------------------------------------------------------------------


def metadata_of_units(units: Any) -> list[dict[str, Any]]:
    """Metadata of each unit: its id, its columns with one value each, and the area of its electrodes."""
    metadata = [{"cell_id": str(one)} for one in units.id[:]]
    for name in single_columns(units):
        column = units[name]
        if not _is_plain(column.data):
            continue
        for entry, value in zip(metadata, column.data[:], strict=True):
            entry[name] = _plain(value)
    for entry, area in zip(metadata, _areas(units, metadata), strict=True):
        if area is not None:
            entry.setdefault("area", area)
    return metadata


def metadata_of_signals(series: Any) -> list[dict[str, Any]]:
    """Metadata of each signal: the row of its region of interest or its electrode, and the area."""
    from pynwb.ecephys import ElectricalSeries
    from pynwb.ophys import RoiResponseSeries

    n_signals = series.data.shape[1] if len(series.data.shape) > 1 else 1
    if not isinstance(series, RoiResponseSeries | ElectricalSeries):
        return [{"cell_id": f"{series.name} {index}"} for index in range(n_signals)]
    is_imaging = isinstance(series, RoiResponseSeries)
    region = series.rois if is_imaging else series.electrodes
    rows, table = np.asarray(region.data[:]), region.table
    ids = table.id[:]
    metadata = [{"cell_id": str(ids[row])} for row in rows]
    for name in single_columns(table):
        column = table[name]
        if _is_plain(column.data):
            values = column.data[:]
            for entry, row in zip(metadata, rows, strict=True):
                entry[name] = _plain(values[row])
    plane = getattr(table, "imaging_plane", None)
    for entry in metadata:
        area = entry.get("location") if not is_imaging else getattr(plane, "location", None)
        if area is not None:
            entry.setdefault("area", area)
    return metadata


def _is_plain(data: Any) -> bool:
    """Whether a column holds one number or text per row."""
    shape = getattr(data, "shape", None) or (len(data),)
    first = data[0] if len(data) else None
    return len(shape) == 1 and isinstance(first, str | bytes | bool | int | float | np.generic)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _areas(units: Any, metadata: Sequence[dict[str, Any]]) -> list[Any]:
    """Where each unit was, as its own columns, its electrodes or its group say; None where nothing does."""
    for name in _AREA_COLUMNS:
        if all(name in entry for entry in metadata):
            return [entry[name] for entry in metadata]
    if "electrodes" in units.colnames:
        index = units["electrodes"]
        region = index.target
        rows, ends = np.asarray(region.data[:]), np.asarray(index.data[:])
        if "location" in region.table.colnames:
            return _joined(region.table["location"].data[:], rows, ends)
    electrodes = units.get_ancestor("NWBFile").electrodes
    if electrodes is not None and "location" in electrodes.colnames:
        row_of: dict[Any, int] = {int(one): row for row, one in enumerate(electrodes.id[:])}
        for name in _PEAK_COLUMNS:
            row_of_unit = [row_of.get(entry.get(name), -1) for entry in metadata]
            if row_of_unit and min(row_of_unit) >= 0:
                locations = electrodes["location"].data[:]
                return [_plain(locations[row]) for row in row_of_unit]
    if "electrode_group" in units.colnames:
        return [getattr(group, "location", None) for group in units["electrode_group"].data[:]]
    return [None] * len(metadata)


def _joined(locations: np.ndarray, rows: np.ndarray, ends: np.ndarray) -> list[str | None]:
    areas: list[str | None] = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        own = dict.fromkeys(str(_plain(locations[row])) for row in rows[start:end])
        areas.append(", ".join(own) or None)
    return areas
