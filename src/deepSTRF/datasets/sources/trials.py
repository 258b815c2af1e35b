"""Tables of trials, as laboratories have them: which stimulus began when."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepSTRF.checks import check_choice, check_list, describe_type, first_few, unknown_name
from deepSTRF.datasets.naming import named_stimuli
from deepSTRF.datasets.sources.binning import in_double
from deepSTRF.datasets.sources.tables import delimiter_of, opened_table
from deepSTRF.files import expand_path

__all__ = [
    "ONSET_COLUMNS",
    "STIMULUS_COLUMNS",
    "Trials",
    "check_heard",
    "columns_of",
    "named_stimuli",
    "seconds_per",
    "trial_table",
]

ONSET_COLUMNS = (
    "onset",
    "onset_s",
    "onsets",
    "start_time",
    "start",
    "stim_onset",
    "stimulus_onset",
    "onset_time",
    "time",
    "times",
    "timestamp",
    "timestamps",
)
STIMULUS_COLUMNS = (
    "stimulus", "stim", "stimulus_name", "stim_name", "stimulus_id", "stim_id", "name", "sound", "movie", "trial_type",
    "stimuli", "label", "condition",
)  # fmt: skip
"""Names that a column of onsets or stimuli may have, whatever their case; the first that there is counts."""

_ENDS = ("stop_time", "stop", "end", "offset", "end_time", "stim_offset")

_SECONDS = {"s": 1.0, "ms": 0.001}


class Trials(NamedTuple):
    """Trials of one session, in the order of the table."""

    onsets_s: np.ndarray
    """Onset of each trial in s, float64, shape (K,)."""
    stimulus_of_trial: np.ndarray
    """Index of the stimulus of each trial, int64, shape (K,)."""
    durations_s: np.ndarray | None = None
    """Duration of each trial in s, where the table has a column for it or for the end; it serves checks only."""


def seconds_per(unit: Any, rate_hz: float | None = None) -> float:
    """Seconds in a unit of time, "s" or "ms", or "samples" where there is a sampling rate.

    Raises
    ------
    TypeError
        If no unit is given: there is no default that would be right for everybody.
    ValueError
        If it is another one.

    Examples
    --------
    >>> seconds_per("ms")
    0.001
    """
    if unit is None:
        raise TypeError(
            'unit must be given: unit="s" if the times are in seconds, unit="ms" if in milliseconds. There is no '
            "default, because with a wrong one nearly all spikes are counted in wrong bins without anybody noticing"
        )
    seconds = _SECONDS if rate_hz is None else {**_SECONDS, "samples": 1 / rate_hz}
    return seconds[check_choice("unit", unit, seconds)]


def trial_table(
    trials: Any,
    names: Sequence[str] | int,
    *,
    unit: str | None = "s",
    rate_hz: float | None = None,
    onset_column: str | None = None,
    stimulus_column: str | None = None,
) -> Trials:
    """Read a table of trials.

    Parameters
    ----------
    trials : data frame, dict, list, path or object of Neo, NWB or pynapple
        A pandas data frame, a dict of columns, a structured array, a list of dicts, a list of (onset, stimulus) tuples,
        an object with ``to_dataframe()`` or ``as_dataframe()`` (tables of NWB, pynapple), an Event or Epoch of Neo, or
        the path of a .csv or .tsv file. A trial whose stimulus is missing (None, NaN, an empty text) is an error.
    names : sequence of str or int
        Names of the stimuli, to which the trials refer; or their number, if the trials count them from 0. Integers that
        are not names count the stimuli from 0 too.
    unit : str
        Unit of the onsets, ``"s"`` or ``"ms"``, or ``"samples"`` where there is a rate. Events of Neo have their own.
    rate_hz : float, optional
        Sampling rate of the recording.
    onset_column, stimulus_column : str, optional
        Columns with the onset and the stimulus of each trial; found by their usual names, such as ``start_time`` and
        ``stimulus``, where not given.

    Returns
    -------
    Trials
        Onsets in s and the index of each trial's stimulus, in the order of the table.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If it is empty, a column is missing, or an onset is not a number or a stimulus unknown; the message names the
        trial.

    Examples
    --------
    >>> table = trial_table({"start_time": [0.5, 2.5, 4.5], "stimulus": ["birds", "rain", "birds"]}, ["rain", "birds"])
    >>> table.onsets_s, table.stimulus_of_trial
    (array([0.5, 2.5, 4.5]), array([1, 0, 1]))
    """
    columns = columns_of(trials)
    onset_key, stimulus_key = _find_columns(columns, onset_column, stimulus_column)
    onsets, stimuli = columns[onset_key], columns[stimulus_key]
    if len(onsets) != len(stimuli):
        raise ValueError(f"trials has {len(onsets)} onsets and {len(stimuli)} stimuli; a trial needs one of each")
    if len(onsets) == 0:
        raise ValueError("trials must have at least one trial, got an empty table")
    scale = 1.0 if hasattr(getattr(trials, "times", None), "rescale") else seconds_per(unit, rate_hz)
    try:
        onsets_s = in_double(onsets) * scale
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the onsets of trials (column {onset_key!r}) must be numbers, got {_first_that_is_no_number(onsets)}"
        ) from error
    for trial in np.flatnonzero(~np.isfinite(onsets_s)):
        raise ValueError(f"trial {trial} has the onset {onsets[trial]}; leave out trials that did not happen")
    return Trials(onsets_s, _stimulus_indices(stimuli, names), _durations(columns, onsets_s, scale))


def _durations(columns: Mapping[str, Any], onsets_s: np.ndarray, scale: float) -> np.ndarray | None:
    """Durations in s; None where there is no column for them, or not a positive number for each trial."""
    for name in ("duration", *_ENDS):
        values = next((column for key, column in columns.items() if key.lower() == name), None)
        if values is None or len(values) != len(onsets_s):
            continue
        try:
            numbers = in_double(values) * scale
        except (TypeError, ValueError):
            continue
        durations = numbers if name == "duration" else numbers - onsets_s
        if (durations > 0).all():  # not NaN
            return durations
    return None


def check_heard(stimulus_of_trial: np.ndarray, names: Sequence[str] | int) -> None:
    """Raise ValueError if a stimulus has no trial."""
    count = names if isinstance(names, int) else len(names)
    absent = sorted(set(range(count)) - set(np.asarray(stimulus_of_trial).tolist()))
    if absent:
        labels = [_label(index, names) for index in absent]
        raise ValueError(
            f"{len(absent)} of {count} stimuli have no trial: {first_few(labels)}; leave them out of stims, or check "
            "that trials is complete"
        )


def _label(index: int, names: Sequence[str] | int) -> str:
    return f"stimulus {index}" if isinstance(names, int) else repr(names[index])


def columns_of(trials: Any) -> dict[str, Any]:
    """Columns of a table by name; two nameless ones are the onset and the stimulus."""
    if isinstance(trials, str | os.PathLike):
        return _read_table(trials)
    if hasattr(getattr(trials, "times", None), "rescale") and hasattr(trials, "labels"):  # Event and Epoch of Neo
        return {"onset": trials.times.rescale("s").magnitude, "stimulus": trials.labels}
    for method in ("to_dataframe", "as_dataframe"):
        if hasattr(trials, method):
            trials = getattr(trials, method)()
            break
    if hasattr(trials, "columns") and hasattr(trials, "to_numpy"):
        return {str(name): trials[name].to_numpy() for name in trials.columns}
    if isinstance(trials, Mapping):
        return {str(name): _column(name, values) for name, values in trials.items()}
    if isinstance(trials, np.ndarray) and trials.dtype.names is not None:
        return {name: trials[name] for name in trials.dtype.names}
    if not isinstance(trials, list | tuple | np.ndarray):
        raise TypeError(
            "trials must be a table with the onset and the stimulus of each trial: a data frame, a dict of columns, a "
            f"list of (onset, stimulus), or the path of a .csv file; got {describe_type(trials)}"
        )
    rows = list(trials)
    if rows and all(isinstance(row, Mapping) for row in rows):
        for index, row in enumerate(rows):
            if set(row) != set(rows[0]):
                raise ValueError(
                    f"trial {index} has the keys {', '.join(map(str, row))}, trial 0 {', '.join(map(str, rows[0]))}"
                )
        return {str(key): [row[key] for row in rows] for key in rows[0]}
    for index, row in enumerate(rows):
        if isinstance(row, str | bytes) or np.ndim(np.asarray(row, dtype=object)) != 1 or len(row) != 2:
            raise ValueError(f"trial {index} must be a pair (onset, stimulus), got {row!r}")
    return {"onset": [row[0] for row in rows], "stimulus": [row[1] for row in rows]}


def _column(name: Any, values: Any) -> Any:
    return check_list(f"the column {name!r} of trials", values.to_numpy() if hasattr(values, "to_numpy") else values,
                      "one value per trial")  # fmt: skip


def _read_table(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    file = expand_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file} with the table of trials")
    with opened_table(file, newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter_of(lines))
        numbered = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    if not numbered:
        raise ValueError(f"{file} is empty; expected a line with the names of columns and a line per trial")
    header = [name.strip() for name in numbered[0][1]]
    while header and not header[-1]:  # spreadsheets write separators after the last column
        header.pop()
    for number, row in numbered[1:]:
        if len(row) < len(header) or any(map(str.strip, row[len(header) :])):
            raise ValueError(
                f"line {number} of {file} has {len(row)} values, its first line names {len(header)} columns; write "
                "decimals with a point, and put text that has commas between double quotes"
            )
    return {name: [row[column].strip() for _, row in numbered[1:]] for column, name in enumerate(header)}


def _find_columns(columns: Mapping[str, Any], onset: str | None, stimulus: str | None) -> tuple[str, str]:
    onset_key = _find_column(columns, onset, ONSET_COLUMNS, "onset", "the onset of each trial")
    return onset_key, _find_column(columns, stimulus, STIMULUS_COLUMNS, "stimulus", "its stimulus")


def _find_column(columns: Mapping[str, Any], wanted: str | None, usual: Sequence[str], kind: str, what: str) -> str:
    if wanted is not None:
        if wanted not in columns:
            raise ValueError(unknown_name("column of trials", wanted, columns))
        return wanted
    by_lower_case = {name.lower(): name for name in reversed(list(columns))}
    for name in usual:
        if name in by_lower_case:
            return by_lower_case[name]
    raise ValueError(
        f"trials has no column with a usual name for {what} ({', '.join(usual)}); its columns are "
        f"{', '.join(columns) or 'none'}; say which with {kind}_column="
    )


def _first_that_is_no_number(values: Any) -> str:
    for value in values:
        try:
            float(value)
        except (TypeError, ValueError):
            return repr(value)
    return describe_type(values)


def _stimulus_indices(stimuli: Any, names: Sequence[str] | int) -> np.ndarray:
    index_of = {} if isinstance(names, int) else {name: index for index, name in enumerate(names)}
    count = names if isinstance(names, int) else len(names)
    # Where names look like numbers, a number that is not among them is a mistake, and no index.
    are_indices = not any(_as_index(name) is not None for name in index_of)
    indices = np.empty(len(stimuli), dtype=np.int64)
    for trial, stimulus in enumerate(stimuli):
        label = _as_text(stimulus, trial)
        index = index_of.get(label)
        if index is None:
            index = _as_index(label) if are_indices else None
            if index is None and not isinstance(names, int):
                raise ValueError(f"trial {trial}: {unknown_name('stimulus', label, names)}")
            if index is None or not 0 <= index < count:
                hint = "; stimuli are counted from 0" if index == count else ""
                raise ValueError(
                    f"trial {trial} has the stimulus {label!r}, but there are {count} stimuli"
                    f"{' without names: give stims as a dict of names and arrays' if index is None else hint}"
                )
        indices[trial] = index
    return indices


def _as_text(stimulus: Any, trial: int) -> str:
    if isinstance(stimulus, bytes):
        return stimulus.decode()
    if stimulus is None or (isinstance(stimulus, str) and stimulus == "") or stimulus is np.ma.masked:
        raise ValueError(f"trial {trial} has no stimulus ({stimulus!r}); leave it out")
    if isinstance(stimulus, float | np.floating):
        if np.isnan(stimulus):
            raise ValueError(f"trial {trial} has no stimulus ({stimulus!r}); leave it out")
        if float(stimulus).is_integer():  # pandas makes floats of integers where some are missing
            return str(int(stimulus))
    return str(stimulus)


def _as_index(label: str) -> int | None:
    try:
        number = float(label)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
