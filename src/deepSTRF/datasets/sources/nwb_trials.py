"""Which stimulus began when: from the tables of an NWB file, or from the times of its stimuli themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepSTRF.checks import check_list, first_few
from deepSTRF.datasets.sources.frames import shown_frames
from deepSTRF.datasets.sources.nwb_contents import Contents, choose, single_columns
from deepSTRF.datasets.sources.nwb_stimuli import FileStimuli
from deepSTRF.datasets.sources.trials import ONSET_COLUMNS, STIMULUS_COLUMNS, columns_of

__all__ = ["Columns", "Session", "check_skip", "find_session", "label_of", "table_session"]

_SUFFIXES = ("_presentations", "_presentation", "_stimulus", "_trials")
PRESENTED = "presentation"
"""Stands for the times of the stimuli themselves, as a choice of trials."""
_FRAME_COLUMNS = ("frame", "image_index")
_ONSET_COLUMNS = tuple(
    f"{what}_{when}"
    for what in ("stimulus", "stim", "sound", "image")
    for when in ("onset", "onset_time", "start", "start_time", "on", "on_time")
)
_MOST_SHOWN = 8


@dataclass
class Session:
    """Trials of a session: when each began and which stimulus it showed.

    Attributes
    ----------
    names : list of str
        Names of the stimuli that were shown.
    sources : list
        What they are made from.
    onsets_s : list of float
        Onset of each trial.
    stimulus_of_trial : list of int
        Index of its stimulus.
    """

    names: list[str] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    onsets_s: list[float] = field(default_factory=list)
    stimulus_of_trial: list[int] = field(default_factory=list)

    def add(self, name: str, source: Any, onsets_s: Sequence[float]) -> None:
        """Add the trials of one stimulus."""
        if name not in self.names:
            self.names.append(name)
            self.sources.append(source)
        self.onsets_s.extend(float(onset) for onset in onsets_s)
        self.stimulus_of_trial.extend([self.names.index(name)] * len(onsets_s))

    @classmethod
    def joined(cls, sessions: Sequence[Session]) -> Session:
        """The trials of several tables."""
        whole = cls()
        for session in sessions:
            for onset, own in zip(session.onsets_s, session.stimulus_of_trial, strict=True):
                whole.add(session.names[own], session.sources[own], [onset])
        return whole

    def in_time(self) -> Session:
        """The same with the trials as they happened, and the stimuli in the order in which they came first."""
        onsets, own = np.asarray(self.onsets_s), np.asarray(self.stimulus_of_trial)
        trials = np.argsort(onsets, kind="stable")
        stimuli = list(dict.fromkeys(own[trials].tolist()))
        place = {stimulus: index for index, stimulus in enumerate(stimuli)}
        return Session(
            [self.names[stimulus] for stimulus in stimuli],
            [self.sources[stimulus] for stimulus in stimuli],
            onsets[trials].tolist(),
            [place[stimulus] for stimulus in own[trials].tolist()],
        )


@dataclass(frozen=True)
class Columns:
    """What was said about the columns of the tables.

    Parameters
    ----------
    stimulus, onset : str, optional
        Names of the columns of stimuli and of onsets; found where not given.
    skip : tuple of str
        Stimuli whose trials are left out; ``""`` stands for trials without one.
    """

    stimulus: str | None = None
    onset: str | None = None
    skip: tuple[str, ...] = ()


def label_of(value: Any) -> str:
    """The text of a cell that names a stimulus; ``""`` where it is missing.

    Examples
    --------
    >>> label_of(b"rain"), label_of(3.0), label_of(float("nan")), label_of(None)
    ('rain', '3', '', '')
    """
    if isinstance(value, bytes):
        return value.decode()
    if value is None or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def find_session(contents: Contents, stimuli: FileStimuli, trials: Any, columns: Columns) -> Session:
    """Find the trials of a file, or of a table that the user gave.

    Raises
    ------
    TypeError, ValueError
        If they can't be found without doubt; the message says what the file holds and which argument chooses.
    """
    if trials is not None and (not isinstance(trials, str) or trials.lower().endswith((".csv", ".tsv"))):
        return table_session("trials", columns_of(trials), stimuli, columns)
    if isinstance(trials, str) and trials == PRESENTED:
        try:
            return _presented(contents, stimuli)
        except _NoMatch as reason:
            raise ValueError(str(reason)) from reason
    if isinstance(trials, str):
        table = choose("table of intervals", trials, contents.tables, contents, "trials")
        return table_session(trials, _NWBColumns(table), stimuli, columns)
    found: dict[str, Session] = {}
    reasons = []
    for name, table in contents.tables.items():
        try:
            found[name] = _read_table(name, _NWBColumns(table), stimuli, columns)
        except _NoMatch as reason:
            reasons.append(reason)
    if len(found) > 1:
        stimuli_of = [set(session.names) for session in found.values()]
        if len(set.union(*stimuli_of)) < sum(map(len, stimuli_of)):
            raise ValueError(
                f"{contents.path.name} has several tables whose rows name the same stimuli: {', '.join(found)}; "
                "choose one with trials="
            )
    if found:
        return Session.joined(list(found.values()))
    if not any(reason.names_others for reason in reasons):
        try:
            return _presented(contents, stimuli)
        except _NoMatch as reason:
            reasons = reasons or [reason]
    if not contents.tables:
        raise ValueError(str(reasons[0]))
    raise ValueError(
        f"can't tell which stimulus each trial had: {'; '.join(map(str, reasons))}; or take the times at which the "
        f"file says that its stimuli were presented, trials={PRESENTED!r}. {contents.describe()}"
    )


def _presented(contents: Contents, stimuli: FileStimuli) -> Session:
    """Trials at the times of the stimuli themselves."""
    presented = stimuli.presented()
    if presented is None:
        raise _NoMatch(
            f"{contents.path.name} has no trials: no table of intervals says when a stimulus began. Give a table "
            f"with the onset (s) and the stimulus of each trial, trials=. {contents.describe()}"
        )
    session = Session()
    for name, source, onsets in presented:
        session.add(name, source, onsets)
    return session


class _NoMatch(ValueError):
    """A table says nothing about the stimuli, and why; `names_others` if it seems to name other stimuli."""

    def __init__(self, reason: str, names_others: bool = False):
        super().__init__(reason)
        self.names_others = names_others


class _NWBColumns(Mapping[str, Any]):
    """Columns of a table of NWB with one value per row, read when they are asked for."""

    def __init__(self, table: Any):
        self._table = table
        self._names = single_columns(table)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._table[name].data[:]

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def table_session(name: str, table: Mapping[str, Any], stimuli: FileStimuli, columns: Columns) -> Session:
    """Trials of one table.

    Raises
    ------
    ValueError
        If its rows don't name stimuli, or not without doubt, or an onset is missing.
    """
    try:
        return _read_table(name, table, stimuli, columns)
    except _NoMatch as reason:
        raise ValueError(str(reason)) from reason


def _read_table(name: str, table: Mapping[str, Any], stimuli: FileStimuli, columns: Columns) -> Session:
    own = _own_stimulus(name, stimuli)
    frame = next((column for column in _FRAME_COLUMNS if column in table), None)
    if columns.stimulus is None and own is not None and frame is not None and stimuli.has_frames(own):
        return _frames_session(name, own, table, frame, stimuli)
    try:
        column, labels = _stimulus_column(name, table, stimuli, columns)
    except _NoMatch:
        if own is None or columns.stimulus is not None:
            raise
        labels = [own] * len(next(iter(table.values())))
        column = None
    kept = [index for index, label in enumerate(labels) if label not in columns.skip]
    if not kept:
        raise ValueError(f"skip= leaves none of the {len(labels)} trials of {name}")
    onsets = _onsets(name, table, columns.onset)
    bad = [index for index in kept if not np.isfinite(onsets[index])]
    if bad:
        raise ValueError(
            f"row {bad[0]} of {name} begins at {onsets[bad[0]]} s, and so do {len(bad) - 1} more; give a table "
            "without them, trials="
        )
    empty = [index for index in kept if labels[index] == ""]
    if empty:
        raise ValueError(
            f"{len(empty)} of {len(labels)} rows of {name} have no stimulus in the column {column!r}, the first is "
            f"row {empty[0]}; leave them out with skip={[*columns.skip, '']!r}"
        )
    stops = np.asarray(table["stop_time"], dtype=float) if "stop_time" in table else None
    session = Session()
    by_label: dict[str, list[int]] = {}
    for index in kept:
        by_label.setdefault(labels[index], []).append(index)
    for label, rows in by_label.items():
        lasting = None if stops is None else float(np.min(stops[rows] - onsets[rows]))
        stimulus, source = stimuli.find(label, lasting)
        session.add(stimulus, source, onsets[rows].tolist())
    return session


def _own_stimulus(name: str, stimuli: FileStimuli) -> str | None:
    """The stimulus that a table is named after."""
    stems = [name, *(name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix))]
    return next((stem for stem in stems if stem in stimuli), None)


def _frames_session(name: str, own: str, table: Mapping[str, Any], column: str, stimuli: FileStimuli) -> Session:
    """Trials of a table with a row per frame or picture."""
    frames, onsets, stops = (np.asarray(table[key], dtype=float) for key in (column, "start_time", "stop_time"))
    known = np.isfinite(frames) & (frames >= 0)  # blanks between the pictures are -1 or NaN
    if not known.any():
        raise _NoMatch(f"no row of {name} has a {column}")
    block = np.asarray(table["stimulus_block"], dtype=float)[known] if "stimulus_block" in table else None
    shown = shown_frames(frames[known], onsets[known], stops[known], block)
    session = Session()
    for index, order in enumerate(shown.stimuli):
        label, source = stimuli.frames(
            own, order, float(shown.frame_s[index]), index if len(shown.stimuli) > 1 else None
        )
        session.add(label, source, shown.onsets_s[shown.stimulus_of_trial == index].tolist())
    return session


def _stimulus_column(
    name: str, table: Mapping[str, Any], stimuli: FileStimuli, columns: Columns
) -> tuple[str, list[str]]:
    """The column whose cells name stimuli, and its labels."""
    if columns.stimulus is not None:
        if columns.stimulus not in table:
            raise _NoMatch(f"{name} has no column {columns.stimulus!r}; its columns are {', '.join(table)}")
        candidates = [columns.stimulus]
    else:
        candidates = [column for column in table if column not in ("start_time", "stop_time")]
    unknown: dict[str, list[str]] = {}
    matching: dict[str, list[str]] = {}
    for column in candidates:
        cells = np.asarray(table[column])
        if cells.ndim != 1 or cells.dtype.kind not in "OUSTiuf":
            continue
        labels = [label_of(cell) for cell in cells]
        strangers = [one for one in dict.fromkeys(labels) if one and one not in columns.skip and not stimuli.knows(one)]
        if not strangers and any(labels):
            matching[column] = labels
        unknown[column] = strangers
    if len(matching) > 1:
        lower = {column.lower(): column for column in matching}
        usual = next((lower[key] for key in STIMULUS_COLUMNS if key in lower), None)
        if usual is None:
            raise ValueError(
                f"the columns {', '.join(map(repr, matching))} of {name} all name stimuli; choose one with "
                "stimulus_column="
            )
        return usual, matching[usual]
    if matching:
        return next(iter(matching.items()))
    lower = {column.lower(): column for column in unknown}
    usual = columns.stimulus or next((lower[key] for key in STIMULUS_COLUMNS if key in lower), None)
    if usual is not None and unknown.get(usual):
        raise _NoMatch(
            f"the column {usual!r} of {name} names {first_few(map(repr, unknown[usual]))}, for which there is no "
            f"stimulus ({stimuli.listed()}); give them with stims=, or leave these trials out with "
            f"skip={unknown[usual][:_MOST_SHOWN]!r}",
            names_others=True,
        )
    raise _NoMatch(
        f"no column of {name} ({', '.join(table)}) names stimuli ({stimuli.listed()}); say which does with "
        "stimulus_column=, and give its stimuli with stims="
    )


def _onsets(name: str, table: Mapping[str, Any], column: str | None) -> np.ndarray:
    """When the stimulus of each row began: its own column counts before the start of the row."""
    if column is not None:
        if column not in table:
            raise ValueError(f"{name} has no column {column!r} with onsets; its columns are {', '.join(table)}")
        return np.asarray(table[column], dtype=float)
    lower = {key.lower(): key for key in reversed(list(table))}
    own = next((lower[key] for key in _ONSET_COLUMNS if key in lower), None)
    start = next((lower[key] for key in ("start_time", *ONSET_COLUMNS) if key in lower), None)
    if start is None and own is None:
        raise ValueError(
            f"{name} has no column of onsets; its columns are {', '.join(table)}: say which with onset_column="
        )
    if own is None or start is None or own == start:
        return np.asarray(table[own or start or ""], dtype=float)
    starts, onsets = (np.asarray(table[key], dtype=float) for key in (start, own))
    stops = np.asarray(table["stop_time"], dtype=float) if "stop_time" in table else np.inf
    if not ((onsets >= starts) & (onsets <= stops)).all():
        raise ValueError(
            f"{name} has the columns {start!r} and {own!r}, and {own!r} is not always between start and stop of the "
            f"trial: choose one with onset_column={start!r} or onset_column={own!r}"
        )
    return onsets


def check_skip(skip: Any) -> tuple[str, ...]:
    """Names of stimuli whose trials are left out."""
    if isinstance(skip, str):
        return (skip,)
    return tuple(label_of(one) for one in check_list("skip", skip, "names of stimuli"))
