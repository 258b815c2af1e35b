"""Objects of Neo become a data set: segments as repeats, or one segment with its epochs as trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self, Unpack

import numpy as np

from deepSTRF.checks import check_number, describe_type
from deepSTRF.datasets.importers import ArrayRecording
from deepSTRF.datasets.sources.binning import bin_spike_times, count_in_trials
from deepSTRF.datasets.sources.nwb_stimuli import FileStimuli
from deepSTRF.datasets.sources.nwb_trials import Columns, Session, check_skip, label_of, table_session
from deepSTRF.datasets.sources.responses_to_trials import (
    Respond,
    Window,
    WindowOptions,
    check_fires,
    dataset_of_session,
)
from deepSTRF.datasets.sources.series import series_in_trials
from deepSTRF.datasets.sources.trials import STIMULUS_COLUMNS

__all__ = ["NeoRecording"]

_ID_KEYS = ("unit_id", "id", "unit", "unit_name", "cell_id")
_SLACK = 1e-6
"""Parts of a bin by which a recording may end before the bin does, by rounding."""


class NeoRecording(ArrayRecording):
    """A recording that can be made from objects of Neo."""

    @classmethod
    def from_neo(
        cls,
        stims: Any,
        recording: Any,
        dt_ms: float,
        *,
        stimulus: str | None = None,
        rate: float | None = None,
        spectrogram: Any = "log",
        skip: Any = (),
        covariates: Any = None,
        **around: Unpack[WindowOptions],
    ) -> Self:
        """Make a data set from objects of Neo. Times and rates are read in the units that they have.

        Parameters
        ----------
        stims : folder, dict or list
            As for :meth:`from_pynapple`.
        recording : Block, Segment or list of Segment
            Several segments are the trials, in order: an annotation of each names its stimulus, or else its name does.
            Its clock is that of the stimulus where it includes 0; else the stimulus begins with the segment. A single
            segment is one long session if it has epochs or events whose labels name stimuli. Spike trains respond, or
            analog signals where there is none.
        dt_ms : float
            Width of a bin in ms.
        stimulus : str, optional
            The annotation of the segments that names the stimulus, or the name of the epochs or events.
        rate, spectrogram, skip, covariates, onset_ms, before_ms, after_ms, silence
            As for :meth:`from_nwb`.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on. Neurons go by an annotation (``unit_id``, ``id``, ...) or the name of
            their trains, if all have one of their own; else by order. Annotations become ``nrn_meta``. Bins outside of
            ``t_start`` and ``t_stop``, and units that a segment lacks, are missing data.

        Raises
        ------
        TypeError, ValueError
            If an object is of another type, segments can't be matched with stimuli, or trains with neurons.
        """
        window = Window(dt_ms, **around)
        segments = _segments(recording)
        stimuli = FileStimuli(None, cls._stimulus_kind == "movies", stims, rate)
        skipped = check_skip(skip)
        population = _population(segments)
        marks = _marks(segments[0], stimuli, stimulus, skipped) if len(segments) == 1 else None
        if marks is not None:
            table = {"onset": _seconds(marks.times), "stimulus": list(marks.labels)}
            session = table_session("the epochs", table, stimuli, Columns("stimulus", None, skipped))
            respond: Respond = _Session(population)
        else:
            session, respond = _repeats(segments, population, stimuli, stimulus, skipped)
        return dataset_of_session(cls, session, respond, window, spectrogram, population.metadata, "neo", covariates)


@dataclass
class _Population:
    """Spike trains or channels by segment: ``members[segment][neuron]``, None where a segment has none of it."""

    members: list[list[Any]]
    metadata: list[dict[str, Any]]
    is_spikes: bool


def _segments(recording: Any) -> list[Any]:
    segments = recording.segments if type(recording).__name__ == "Block" else recording
    segments = [segments] if hasattr(segments, "spiketrains") else segments
    if not isinstance(segments, list | tuple) and not (hasattr(segments, "__iter__") and hasattr(segments, "__len__")):
        raise TypeError(f"recording must be a Block, a Segment or a list of Segments, got {describe_type(recording)}")
    segments = list(segments)
    if not segments:
        raise ValueError("recording has no segment")
    for index, segment in enumerate(segments):
        if not hasattr(segment, "spiketrains"):
            raise TypeError(f"recording[{index}] must be a Segment of Neo, got {describe_type(segment)}")
    return segments


def _population(segments: Sequence[Any]) -> _Population:
    is_spikes = any(len(segment.spiketrains) for segment in segments)
    members = [list(segment.spiketrains if is_spikes else segment.analogsignals) for segment in segments]
    if not any(members):
        raise ValueError("the segments hold neither spike trains nor analog signals")
    if not is_spikes:
        return _channels(members)
    ids = [[_id_of(train) for train in trains] for trains in members]
    order: list[Any]
    rows: list[list[Any]]
    if all(None not in own and len(set(own)) == len(own) for own in ids):
        order = list(dict.fromkeys(one for own in ids for one in own))
        rows = [
            [dict(zip(own, trains, strict=True)).get(one) for one in order]
            for own, trains in zip(ids, members, strict=True)
        ]
    elif len({len(trains) for trains in members}) == 1:
        order, rows = [str(index) for index in range(len(members[0]))], members
    else:
        counts = ", ".join(str(len(trains)) for trains in members[:8])
        raise ValueError(
            f"the segments have different numbers of spike trains ({counts} ...), and these have no names of their "
            "own: say which neuron each is of, as train.annotate(unit_id=7), or with its name"
        )
    first: dict[Any, Any] = {
        one: next(row[index] for row in rows if row[index] is not None) for index, one in enumerate(order)
    }
    return _Population(rows, [{"cell_id": one, **_plain(first[one].annotations)} for one in order], True)


def _channels(members: list[list[Any]]) -> _Population:
    """Analog signals, whose channels are the neurons."""
    names = []
    for signal in next(signals for signals in members if signals):
        labels = signal.array_annotations.get("channel_names", [str(index) for index in range(signal.shape[1])])
        names += [f"{signal.name} {label}" if signal.name else str(label) for label in labels]
    counts = {sum(signal.shape[1] for signal in signals) for signals in members if signals}
    if len(counts) > 1:
        raise ValueError(f"the segments have different numbers of channels: {', '.join(map(str, sorted(counts)))}")
    rows = [signals or [None] for signals in members]
    return _Population(rows, [{"cell_id": name} for name in names], False)


def _id_of(train: Any) -> str | None:
    for key in _ID_KEYS:
        if key in train.annotations:
            return label_of(train.annotations[key])
    return train.name or None


def _plain(annotations: Any) -> dict[str, Any]:
    return {key: value for key, value in annotations.items() if isinstance(value, str | int | float | bool)}


def _seconds(times: Any) -> np.ndarray:
    """Times with a unit, in s."""
    return np.asarray(times.rescale("s").magnitude, dtype=np.float64)


def _marks(segment: Any, stimuli: FileStimuli, name: str | None, skipped: tuple[str, ...]) -> Any:
    """The epochs or events of a session that name stimuli; None if there are none."""
    marks = [one for one in (*segment.epochs, *segment.events) if len(one)]
    if name is not None and any(one.name == name for one in marks):
        return next(one for one in marks if one.name == name)
    naming = [
        one
        for one in marks
        if len(one.labels) == len(one)
        and all(str(label) in skipped or stimuli.knows(str(label)) for label in one.labels)
    ]
    if len(naming) > 1:
        raise ValueError(
            f"the labels of {len(naming)} epochs or events name stimuli: "
            f"{', '.join(repr(one.name) for one in naming)}; choose one with stimulus="
        )
    return naming[0] if naming else None


def _repeats(
    segments: Sequence[Any], population: _Population, stimuli: FileStimuli, key: str | None, skipped: tuple[str, ...]
) -> tuple[Session, _Repeats]:
    """Segments as trials; their index stands for their onset."""
    labels = [_label(segment, index, stimuli, key) for index, segment in enumerate(segments)]
    session = Session()
    kept = [index for index, label in enumerate(labels) if label not in skipped]
    for index in kept:
        if not stimuli.knows(labels[index]):
            raise ValueError(
                f"segment {index} has the stimulus {labels[index]!r}, but {stimuli.listed()}; give it with stims=, "
                f"or leave its segments out with skip={labels[index]!r}"
            )
        session.add(*stimuli.find(labels[index], None), [float(index)])
    return session, _Repeats(segments, population)


def _label(segment: Any, index: int, stimuli: FileStimuli, key: str | None) -> str:
    """The stimulus of a segment."""
    if key is not None:
        if key not in segment.annotations:
            raise ValueError(
                f"segment {index} has no annotation {key!r}; its annotations are "
                f"{', '.join(segment.annotations) or 'none'}"
            )
        return label_of(segment.annotations[key])
    lower = {name.lower(): value for name, value in segment.annotations.items()}
    for name in STIMULUS_COLUMNS:
        if name in lower:
            return label_of(lower[name])
    if segment.name and stimuli.knows(segment.name):
        return str(segment.name)
    if len(stimuli.names) == 1:
        return stimuli.names[0]
    raise ValueError(
        f"segment {index} doesn't say which stimulus it had: neither an annotation "
        f"({', '.join(segment.annotations) or 'it has none'}) nor its name ({segment.name!r}) does, and "
        f"{stimuli.listed()}. Annotate it, as segment.annotate(stimulus=...), or say which annotation it is with "
        "stimulus="
    )


class _Session:
    """Responses of one long segment."""

    def __init__(self, population: _Population):
        self._population = population

    def __call__(self, onsets: Any, stimulus: Any, n_bins: list[int], dt_ms: float, offset_s: float) -> list[Any]:
        members = self._population.members[0]
        if not self._population.is_spikes:
            parts = [series_in_trials(_series(signal), onsets, stimulus, n_bins, dt_ms, offset_s) for signal in members]
            return [np.concatenate(own) for own in zip(*parts, strict=True)]
        times = [_seconds(train.times) for train in members]
        recorded = [[[float(train.t_start.rescale("s")), float(train.t_stop.rescale("s"))]] for train in members]
        return check_fires(count_in_trials(times, onsets, stimulus, n_bins, dt_ms, offset_s, recorded), "recording")


class _Repeats:
    """Responses of segments, one trial each."""

    def __init__(self, segments: Sequence[Any], population: _Population):
        self._segments, self._population = segments, population

    def __call__(self, onsets: Any, stimulus: Any, n_bins: list[int], dt_ms: float, offset_s: float) -> list[Any]:
        repeats = np.bincount(stimulus, minlength=len(n_bins))
        n_neurons = len(self._population.metadata)
        results = [np.full((n_neurons, r, t), np.nan, dtype=np.float32) for r, t in zip(repeats, n_bins, strict=True)]
        done = np.zeros(len(n_bins), dtype=int)
        for index, own in zip(np.asarray(onsets, dtype=int), stimulus, strict=True):
            block = results[own][:, done[own]]
            members = self._population.members[index]
            if all(member is None for member in members):  # nothing was recorded
                done[own] += 1
                continue
            start = _onset_of(members) + offset_s
            if self._population.is_spikes:
                for line, train in zip(block, members, strict=True):
                    if train is not None:
                        _count(line, train, start, dt_ms)
            else:
                block[:] = _samples(members, start, n_bins[own], dt_ms)
            done[own] += 1
        return check_fires(results, "recording") if self._population.is_spikes else results


def _onset_of(members: Sequence[Any]) -> float:
    """When the stimulus of a segment begins: at 0 if that lies inside, else with the segment."""
    start = min(float(one.t_start.rescale("s")) for one in members if one is not None)
    stop = max(float(one.t_stop.rescale("s")) for one in members if one is not None)
    return 0.0 if start <= 0 < stop else start


def _count(line: np.ndarray, train: Any, start_s: float, dt_ms: float) -> None:
    """Count the spikes of a train; bins that it does not cover stay NaN."""
    dt_s = dt_ms / 1000
    first = (float(train.t_start.rescale("s")) - start_s) / dt_s
    last = (float(train.t_stop.rescale("s")) - start_s) / dt_s
    begin, end = max(int(np.ceil(first - _SLACK)), 0), min(int(np.floor(last + _SLACK)), len(line))
    if end > begin:
        line[begin:end] = bin_spike_times(_seconds(train.times), start_s, len(line), dt_ms)[begin:end]


def _samples(signals: Sequence[Any], start_s: float, n_bins: int, dt_ms: float) -> Any:
    if signals[0] is None:
        return np.nan
    parts = [
        series_in_trials(_series(one), np.array([start_s]), np.array([0]), [n_bins], dt_ms, 0.0)[0] for one in signals
    ]
    return np.concatenate([part for part in parts if part is not None])[:, 0]


def _series(signal: Any) -> Any:
    """What :func:`series_in_trials` reads."""
    rate = float(signal.sampling_rate.rescale("Hz"))
    return SimpleNamespace(
        name=signal.name, data=np.asarray(signal.magnitude), rate=check_number("sampling_rate", rate),
        starting_time=float(signal.t_start.rescale("s")), timestamps=None, conversion=1.0, offset=0.0,
    )  # fmt: skip
