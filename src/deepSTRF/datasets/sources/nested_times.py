"""Spike times per stimulus, neuron and repeat, in the nested lists, dicts and object arrays that people have."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepSTRF.checks import counted, describe_type, unknown_name
from deepSTRF.datasets.sources.binning import in_double

__all__ = ["NestedTimes", "read_nested", "read_times"]

_FEWEST_TO_JUDGE = 20

Repeats = list[np.ndarray | None]


class NestedTimes(NamedTuple):
    """Spike times in s by stimulus, neuron and repeat; None where nothing was recorded."""

    times: list[list[Repeats | None]]
    unit_ids: list[Any] | None


def read_times(values: Any, where: str, scale: float) -> np.ndarray:
    """Spike times as float64 seconds, in the order given.

    Parameters
    ----------
    values : array
        One dimension, or a row or column as MATLAB saves them. Times with a unit of their own (a SpikeTrain of Neo, a
        Quantity, Ts of pynapple) are converted from it.
    where : str
        What they are, for messages.
    scale : float
        Seconds per unit.

    Raises
    ------
    TypeError, ValueError
        If they are not times: text, a raster of bool, NaN, or counts.
    """
    if hasattr(values, "rescale"):  # a Quantity knows its unit; NumPy would drop it
        values, scale = values.rescale("s").magnitude, 1.0
    elif callable(getattr(values, "times", None)):  # pynapple counts in seconds
        values, scale = values.times(), 1.0
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise TypeError(f"{where} must be an array of spike times, got {describe_type(values)}: {values!r}")
    try:
        array = np.asarray(values)
        if array.dtype == bool:
            raise TypeError(f"{where} is an array of bool; a raster of bins goes to from_arrays, as 0 and 1")
        if array.dtype.kind not in "iuf" and array.size:
            array = np.asarray(values, dtype=np.float64)
    except ValueError as error:
        raise TypeError(
            f"{where} must be an array of spike times, but it cannot be read as one: {error}; spikes are given by "
            "stimulus, neuron and repeat"
        ) from error
    if array.ndim > 1 and array.size and max(array.shape) != array.size:
        raise ValueError(f"{where} must be an array of spike times of one repeat, got shape {array.shape}")
    times = in_double(array).ravel()
    if not np.isfinite(times).all():
        finite = np.isfinite(times)
        raise ValueError(
            f"{where} has {int((~finite).sum())} spike times that are NaN or infinite; leave them out, as "
            "times[numpy.isfinite(times)], and give None for what was not recorded"
        )
    if len(times) >= _FEWEST_TO_JUDGE:
        unique, counts = np.unique(times, return_counts=True)
        if len(unique) < len(times) / 2:
            most = unique[counts.argmax()]
            raise ValueError(
                f"{where} has the time {most:g} {counts.max()} times among {len(times)}: are these counts per bin? "
                "Those go to from_arrays"
            )
    return times * scale


def read_nested(spikes: Any, stimuli: Sequence[str] | int, scale: float) -> NestedTimes:
    """Read spike times per stimulus, neuron and repeat.

    Parameters
    ----------
    spikes : list, tuple, dict or object array
        Per stimulus an entry, by order or name; None where nobody was recorded. An entry holds neurons, by order or id;
        a neuron its repeats, or the times of a single one. None stands for what was not recorded, an empty list for a
        repeat without spike.
    stimuli : sequence of str or int
        Names of the stimuli, or their number.
    scale : float
        Seconds per unit.

    Examples
    --------
    >>> read_nested([{"a": [[1, 2], []]}, {"b": [[3.0]]}], 2, scale=0.001).times
    [[[array([0.001, 0.002]), array([], dtype=float64)], None], [None, [array([0.003])]]]
    """
    entries = _by_stimulus(spikes, stimuli)
    labels = [
        f"spikes[{s if isinstance(stimuli, int) or not isinstance(spikes, Mapping) else repr(stimuli[s])}]"
        for s in range(len(entries))
    ]
    for entry, label in zip(entries, labels, strict=True):
        if entry is not None and not _is_container(entry):
            raise TypeError(f"{label} must hold the spikes of each neuron, got {describe_type(entry)}: {entry!r}")
    ids = _unit_ids(entries, labels)
    n_units = len(ids) if ids is not None else _count(entries, labels)
    rows: list[list[Any]] = []
    for entry in entries:
        if entry is None:
            rows.append([None] * n_units)
        elif isinstance(entry, Mapping):
            rows.append([entry.get(unit) for unit in ids or ()])
        else:
            rows.append(list(entry))
    repeated = any(_holds_repeats(neuron) for row in rows for neuron in row)
    times = [
        [_repeats(neuron, f"{label}[{n if ids is None else repr(ids[n])}]", scale, repeated)
         for n, neuron in enumerate(row)]
        for label, row in zip(labels, rows, strict=True)
    ]  # fmt: skip
    return NestedTimes(times, ids)


def _is_container(entry: Any) -> bool:
    return isinstance(entry, list | tuple | Mapping) or (isinstance(entry, np.ndarray) and entry.ndim > 0)


def _by_stimulus(spikes: Any, stimuli: Sequence[str] | int) -> list[Any]:
    count = stimuli if isinstance(stimuli, int) else len(stimuli)
    if not _is_container(spikes):
        raise TypeError(
            "spikes must hold spike times by stimulus, neuron and repeat (lists, dicts or object arrays), got "
            f"{describe_type(spikes)}"
        )
    if not isinstance(spikes, Mapping):
        if len(spikes) != count:
            hint = (
                "; for one long session, with spikes per unit, give trials="
                if all(entry is None or _is_times(entry) for entry in spikes)
                else "; the order is stimulus, neuron, repeat"
            )
            raise ValueError(
                f"spikes must have one entry per stimulus: {len(spikes)} entries, "
                f"{counted(count, 'stimulus', 'stimuli')}{hint}"
            )
        return list(spikes)
    names = [str(s) for s in range(count)] if isinstance(stimuli, int) else list(stimuli)
    entries = {str(key): entry for key, entry in spikes.items()}
    for key in entries:
        if key not in names:
            what = unknown_name("stimulus", key, names)
            raise ValueError(f"spikes: {what}. If the keys are units of one long session, give trials=")
    for name in names:
        if name not in entries:
            raise ValueError(f"spikes has no entry for the stimulus {name!r}; give None if nobody was recorded")
    return [entries[name] for name in names]


def _unit_ids(entries: Sequence[Any], labels: Sequence[str]) -> list[Any] | None:
    """Ids of the neurons in order of their first appearance, if entries are dicts."""
    present = [(label, entry) for label, entry in zip(labels, entries, strict=True) if entry is not None]
    named = [isinstance(entry, Mapping) for _, entry in present]
    if not any(named):
        return None
    if not all(named):
        label, entry = present[named.index(False)]
        raise TypeError(f"{label} is {describe_type(entry)}, others are dicts by neuron; give all as dicts")
    return list(dict.fromkeys(unit for _, entry in present for unit in entry))


def _count(entries: Sequence[Any], labels: Sequence[str]) -> int:
    counts = [(label, len(entry)) for label, entry in zip(labels, entries, strict=True) if entry is not None]
    if not counts:
        raise ValueError("spikes is None for every stimulus: nothing was recorded")
    first, n_units = counts[0]
    for label, count in counts[1:]:
        if count != n_units:
            raise ValueError(
                f"{label} has {counted(count, 'neuron')}, {first} has {n_units}; the order is stimulus, neuron, "
                "repeat, and None stands for a neuron that was not recorded"
            )
    if n_units == 0:
        raise ValueError(f"{first} has no neuron")
    return n_units


def _is_times(entry: Any) -> bool:
    """Whether these are numbers, one after the other."""
    if isinstance(entry, np.ndarray) and entry.dtype != object:
        return entry.ndim == 1
    return isinstance(entry, list | tuple | np.ndarray) and all(isinstance(value, numbers.Real) for value in entry)


def _holds_repeats(neuron: Any) -> bool:
    return neuron is not None and _is_container(neuron) and len(neuron) > 0 and not _is_times(neuron)


def _repeats(neuron: Any, where: str, scale: float, repeated: bool) -> Repeats | None:
    if neuron is None:
        return None
    if hasattr(neuron, "rescale"):
        return [read_times(neuron, where, scale)]
    if isinstance(neuron, Mapping) or not _is_container(neuron):
        raise TypeError(f"{where} must be a list of repeats, each with spike times; got {describe_type(neuron)}")
    if len(neuron) == 0 and repeated:
        raise ValueError(
            f"{where} is empty, so that it has no repeat: give None if the neuron was not recorded, [[]] for one "
            "repeat without spike"
        )
    if _is_times(neuron):
        return [read_times(neuron, where, scale)]
    if isinstance(neuron, np.ndarray) and neuron.dtype != object and neuron.ndim == 2 and neuron.shape[1] == 1:
        raise ValueError(
            f"{where} has shape {neuron.shape}: {len(neuron)} repeats of one spike, or one repeat as a column? Give "
            "[times.ravel()] for one repeat"
        )
    repeats: Repeats = [
        None if repeat is None else read_times(repeat, f"{where}[{r}]", scale) for r, repeat in enumerate(neuron)
    ]
    return None if all(repeat is None for repeat in repeats) else repeats
