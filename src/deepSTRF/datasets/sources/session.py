"""One long session: spike times of units, and the trials in which stimuli were presented."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepSTRF.checks import check_number, check_positive, describe_type
from deepSTRF.datasets.arrays import to_tensor
from deepSTRF.datasets.covariates import Continuous
from deepSTRF.datasets.sources.binning import count_in_trials, signals_in_trials
from deepSTRF.datasets.sources.nested_times import read_times
from deepSTRF.datasets.sources.plausible import check_clocks, check_overlap
from deepSTRF.datasets.sources.trials import Trials, check_heard, seconds_per, trial_table
from deepSTRF.datasets.sources.windows import Windows, check_unit_ids
from deepSTRF.datasets.time_axis import check_time_axis

__all__ = ["SessionCounts", "check_durations", "covariates_in_trials", "session_counts"]

_SILENT_INTERVALS = 100
"""A trial is beyond the recording where the population was silent for as many of its mean intervals before it."""


class SessionCounts(NamedTuple):
    """Counts in the bins of trials, and what is known of the units."""

    responses: list[Any]
    unit_ids: list[Any] | None
    unit_meta: list[dict[str, Any]] | None
    trials: Trials


class _Units(NamedTuple):
    times_s: list[np.ndarray]
    ids: list[Any] | None
    meta: list[dict[str, Any]] | None


def session_counts(
    spikes: Any,
    trials: Any,
    windows: Windows,
    dt_ms: float,
    unit: str,
    *,
    onset_column: str | None = None,
    stimulus_column: str | None = None,
    recorded: Any = None,
) -> SessionCounts:
    """Count the spikes of a session in the bins of its trials, after checking that both belong together.

    Parameters
    ----------
    spikes, trials, dt_ms, unit, onset_column, stimulus_column, recorded
        As for ``from_spike_times``.
    windows : Windows
        The stimuli.
    """
    scale = seconds_per(unit)
    table = trial_table(trials, windows.keys, unit=unit, onset_column=onset_column, stimulus_column=stimulus_column)
    check_heard(table.stimulus_of_trial, windows.keys)
    check_durations(table, windows, dt_ms)
    units = _units(spikes, scale)
    dt_s = dt_ms / 1000
    starts = table.onsets_s - windows.before * dt_s
    stops = starts + np.asarray(windows.n_bins)[table.stimulus_of_trial] * dt_s
    check_overlap(starts, stops)
    intervals = _intervals(recorded, len(units.times_s), scale)
    _check_plausible(units.times_s, starts, stops, is_recorded_known=intervals is not None)
    responses = count_in_trials(
        units.times_s, table.onsets_s, table.stimulus_of_trial, windows.n_bins, dt_ms,
        offset_s=-windows.before * dt_s, recorded=intervals,
    )  # fmt: skip
    _check_counts(responses, units.times_s, table)
    return SessionCounts(list(responses), units.ids, units.meta, table)


def check_durations(trials: Trials, windows: Windows, dt_ms: float) -> None:
    """Raise ValueError if trials last as long as another axis of their stimuli than the last one."""
    if trials.durations_s is None:
        return
    bins = [
        float(np.median(trials.durations_s[trials.stimulus_of_trial == s])) * 1000 / dt_ms
        for s in range(len(windows.stims))
    ]
    check_time_axis(windows.shapes, bins, windows.names)


def covariates_in_trials(covariates: Any, trials: Trials, windows: Windows, dt_ms: float) -> Any:
    """Covariates with those of the whole session cut into trials: (R, T_s), or (C, R, T_s), for each stimulus.

    Parameters
    ----------
    covariates : dict or None
        As for ``from_arrays``; the entries that are :class:`~deepSTRF.datasets.covariates.Continuous` are cut.
    trials : Trials
        The trials of the session.
    windows : Windows
        The stimuli.
    dt_ms : float
        Width of a bin.

    Raises
    ------
    ValueError
        If one has the wrong shape, or none of it was measured during a trial.
    """
    if not isinstance(covariates, Mapping):
        return covariates
    return {
        name: _cut(values, name, trials, windows, dt_ms) if isinstance(values, Continuous) else values
        for name, values in covariates.items()
    }


def _cut(covariate: Continuous, name: Any, trials: Trials, windows: Windows, dt_ms: float) -> list[Any]:
    where = f"covariates[{name!r}]"
    values = to_tensor(covariate.values, where, is_response=True).numpy()
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"{where} must have shape (samples,) or (C, samples), got {values.shape}")
    rate = float(check_positive(f"rate_hz of {where}", covariate.rate_hz))
    start_s = float(check_number(f"start_s of {where}", covariate.start_s))
    parts = signals_in_trials(
        np.atleast_2d(values), rate, start_s, trials.onsets_s, trials.stimulus_of_trial, windows.n_bins, dt_ms,
        offset_s=-windows.before * dt_ms / 1000,
    )  # fmt: skip
    if all(part is None or np.isnan(part).all() for part in parts):
        raise ValueError(
            f"{where} was not measured in any trial: it lasts from {start_s:g} s to "
            f"{start_s + values.shape[-1] / rate:g} s, the trials begin between {trials.onsets_s.min():g} s and "
            f"{trials.onsets_s.max():g} s"
        )
    return [part if part is None or values.ndim == 2 else part[0] for part in parts]


def _units(spikes: Any, scale: float) -> _Units:
    """Times, ids and metadata of the units."""
    meta = None
    if hasattr(spikes, "columns") and hasattr(spikes, "to_numpy"):
        if "spike_times" not in spikes.columns:
            raise ValueError(
                f"spikes has the columns {', '.join(map(str, spikes.columns))}; a table of units needs the column "
                "spike_times, with an array per unit"
            )
        ids = spikes.index.tolist()
        others = [name for name in spikes.columns if np.ndim(spikes[name].iloc[0]) == 0] if len(spikes) else []
        meta = spikes[others].to_dict("records")
        entries = spikes["spike_times"].tolist()
    elif isinstance(spikes, Mapping):
        ids, entries = list(spikes), list(spikes.values())
    elif isinstance(spikes, list | tuple) or (isinstance(spikes, np.ndarray) and spikes.ndim > 0):
        ids, entries = None, list(spikes)
    else:
        raise TypeError(
            "with trials=, spikes must hold the times of each unit: a dict of ids and times, a list, or a data frame "
            f"with a column spike_times; got {describe_type(spikes)}"
        )
    if not entries:
        raise ValueError("spikes has no unit")
    if ids is not None:
        check_unit_ids(ids)
    labels = [f"spikes[{n if ids is None else repr(ids[n])}]" for n in range(len(entries))]
    for entry, label in zip(entries, labels, strict=True):
        if isinstance(entry, numbers.Real):
            raise TypeError(
                f"{label} must be an array of spike times of one unit, got {describe_type(entry)}: {entry!r}; times of "
                "a single unit go in a list, [times]"
            )
    return _Units([read_times(entry, label, scale) for entry, label in zip(entries, labels, strict=True)], ids, meta)


def _intervals(recorded: Any, n_units: int, scale: float) -> list[Any] | None:
    """Intervals in s in which each unit was recorded."""
    if recorded is None:
        return None
    if not isinstance(recorded, Sequence | np.ndarray) or isinstance(recorded, str):
        raise TypeError(
            f"recorded must be (start, stop) or one array of intervals (I, 2) per unit, got {describe_type(recorded)}"
        )
    entries: Sequence[Any]
    if len(recorded) == 2 and all(np.ndim(edge) == 0 and edge is not None for edge in recorded):
        entries = [np.asarray([recorded])] * n_units
    else:
        entries = list(recorded)
    if len(entries) != n_units:
        raise ValueError(
            f"recorded must be (start, stop) or have one entry for each of {n_units} units, got {len(entries)}"
        )
    intervals: list[Any] = []
    for index, entry in enumerate(entries):
        if entry is None:
            intervals.append(None)
            continue
        edges = np.asarray(entry, dtype=np.float64)
        if edges.ndim != 2 or edges.shape[1] != 2 or not (edges[:, 1] >= edges[:, 0]).all():
            raise ValueError(f"recorded[{index}] must be intervals (start, stop) of shape (I, 2), got {entry!r}")
        intervals.append(edges * scale)
    return intervals


def _check_plausible(
    times: list[np.ndarray], starts: np.ndarray, stops: np.ndarray, *, is_recorded_known: bool
) -> None:
    total = sum(len(unit) for unit in times)
    if total == 0:
        raise ValueError("spikes holds no spike at all: the times of every unit are empty")
    first = min(float(unit.min()) for unit in times if len(unit))
    last = max(float(unit.max()) for unit in times if len(unit))
    check_clocks(stops, last)
    if is_recorded_known:
        return
    if first < 0 <= starts.min():
        n_negative = sum(int((unit < 0).sum()) for unit in times)
        raise ValueError(
            f"{n_negative} of {total} spike times are negative, the first at {first:g} s, and no trial is: times and "
            "onsets need the same clock. If the times are since the onset of each stimulus, give them by stimulus, "
            "neuron and repeat, without trials="
        )
    if starts.min() < 0 <= first:
        trial = int(starts.argmin())
        raise ValueError(
            f"the window of trial {trial} begins at {starts[trial]:g} s, before the recording; leave the trial out, "
            "take a shorter before_ms, or say when was recorded, as recorded=(0, 3600), to have it as missing data"
        )
    silence = _SILENT_INTERVALS * (last - first) / total
    beyond = np.flatnonzero(starts > last + silence)
    if len(beyond):
        trial = int(beyond[0])
        raise ValueError(
            f"{len(beyond)} of {len(starts)} trials are beyond the recording: trial {trial} begins at "
            f"{starts[trial]:g} s, the last spike of all units is at {last:g} s. Leave them out, or say when was "
            "recorded, as recorded=(0, 3600)"
        )


def _check_counts(responses: Sequence[Any], times: list[np.ndarray], table: Trials) -> None:
    if all(np.isnan(block).all() for block in responses):
        raise ValueError("no trial is wholly inside the intervals of recorded")
    if not any((block > 0).any() for block in responses):
        last = max(float(unit.max()) for unit in times if len(unit))
        raise ValueError(
            f"no spike is inside a trial: spikes end at {last:g} s, the trials begin between {table.onsets_s.min():g} "
            f"s and {table.onsets_s.max():g} s; do they have the same clock, and the same unit?"
        )
