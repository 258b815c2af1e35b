"""A tidy table of spikes, or of samples, becomes a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from deepSTRF.checks import check_positive, describe_type, unknown_name
from deepSTRF.datasets.importers import ArrayRecording
from deepSTRF.datasets.sources.binning import bin_of
from deepSTRF.datasets.sources.nwb_stimuli import FileStimuli
from deepSTRF.datasets.sources.nwb_trials import label_of
from deepSTRF.datasets.sources.plausible import TimesSeen
from deepSTRF.datasets.sources.responses_to_trials import Window, dataset_of_windows, windows_of
from deepSTRF.datasets.sources.stimulus_sources import make_stimuli
from deepSTRF.datasets.sources.trials import columns_of, seconds_per
from deepSTRF.datasets.sources.windows import Windows

__all__ = ["TableRecording"]


class TableRecording(ArrayRecording):
    """A recording that can be made from a tidy table."""

    @classmethod
    def from_frame(
        cls,
        stims: Any,
        frame: Any,
        dt_ms: float,
        *,
        unit: str | None = None,
        neuron: str = "neuron",
        stimulus: str = "stimulus",
        repeat: str = "repeat",
        time: str = "time",
        value: str | None = None,
        complete: bool = True,
        rate: float | None = None,
        spectrogram: Any = "log",
        before_ms: float = 0.0,
        after_ms: float = 0.0,
        silence: float | None = None,
        covariates: Any = None,
    ) -> Self:
        """Make a data set from a tidy table with a row per spike: its neuron, stimulus, repeat and time.

        Parameters
        ----------
        stims : folder, dict or list
            As for :meth:`from_pynapple`; the table counts those of a list from 0.
        frame : data frame, dict of columns or path of a .csv file
            Times since the stimulus began. A row without time (NaN) says that a repeat without spikes was recorded.
        dt_ms : float
            Width of a bin in ms.
        unit : str
            Unit of the times, ``"s"`` or ``"ms"``. It has no default.
        neuron, stimulus, repeat, time : str
            Names of the columns.
        value : str, optional
            A column of values: rows are then samples of a continuous response, one for each bin, not spikes. Bins
            without a row are missing data.
        complete : bool
            Whether every neuron was recorded in every repeat of every stimulus that has a row, so that it had no spike
            where it has none. If not, a neuron has missing data where no row has that neuron, stimulus and repeat.
        rate, spectrogram, before_ms, after_ms, silence, covariates
            As for :meth:`from_nwb`.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on. Neurons (``cell_id``) and repeats are sorted; stimuli are in the order
            of `stims`, without those that have no row.

        Raises
        ------
        TypeError, ValueError
            If a column is missing, a stimulus unknown, or the times are not what they are said to be.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets.audio import AudioNeuralDataset
        >>> frame = {"neuron": ["a", "b", "a"], "stimulus": ["rain"] * 3, "repeat": [1, 1, 2], "time": [0.1, 0.12, 0.3]}
        >>> ds = AudioNeuralDataset.from_frame({"rain": np.ones((4, 40))}, frame, dt_ms=10.0, unit="s")
        >>> ds.responses[0][1].sum(-1), ds.nrn_meta
        (tensor([1., 0.]), [{'cell_id': 'a'}, {'cell_id': 'b'}])
        """
        scale = seconds_per(unit)
        check_positive("dt_ms", dt_ms)
        columns = _named_columns(frame, {"neuron": neuron, "stimulus": stimulus, "repeat": repeat, "time": time}, value)
        sources = FileStimuli(None, cls._stimulus_kind == "movies", stims, rate)
        rows = _Rows(columns, sources, scale)
        names, own = zip(*(sources.find(label, None) for label in rows.stimuli), strict=True)
        made = make_stimuli(own, dt_ms, spectrogram)
        window = Window(dt_ms, 0.0, before_ms, after_ms, silence)
        windows = windows_of(made, names, dt_ms, window)
        responses = rows.responses(windows, dt_ms, str(unit), complete)
        return dataset_of_windows(
            cls, made, windows, responses, dt_ms, [{"cell_id": one} for one in rows.neurons], "a table", covariates
        )


def _named_columns(frame: Any, wanted: Mapping[str, str], value: str | None) -> dict[str, np.ndarray]:
    if not hasattr(frame, "columns") and not isinstance(frame, Mapping | str) and not hasattr(frame, "__fspath__"):
        raise TypeError(f"frame must be a table, such as a data frame or a dict of columns, got {describe_type(frame)}")
    columns = columns_of(frame)
    if value is not None:
        wanted = {**wanted, "value": value}
    for role, name in wanted.items():
        if name not in columns:
            unknown = unknown_name("column", name, columns)
            raise ValueError(
                f"{unknown}{'' if unknown.endswith('?') else '.'} The column with the {role} of each row is named with "
                f"{role}="
            )
    return {role: np.asarray(columns[name]) for role, name in wanted.items()}


class _Rows:
    """The rows of a tidy table, with neurons, stimuli and repeats as indices."""

    def __init__(self, columns: Mapping[str, np.ndarray], sources: FileStimuli, scale: float):
        if len(columns["time"]) == 0:
            raise ValueError("frame has no rows")
        labels = {role: _labels(columns[role], role) for role in ("neuron", "stimulus")}
        self.neurons, self._neuron = _sorted_labels(labels["neuron"])
        heard, index = np.unique(labels["stimulus"], return_inverse=True)
        for label in heard:
            if not sources.knows(str(label)):
                raise ValueError(f"frame has the stimulus {str(label)!r}, but {sources.listed()}")
        found = [sources.names.index(sources.find(str(label), None)[0]) for label in heard]
        order = sorted(set(found))
        self.stimuli = [sources.names[one] for one in order]
        self._stimulus = np.array([order.index(one) for one in found])[index]
        self._repeat = columns["repeat"]
        self._times = _numbers(columns["time"], "time") * scale
        self._values = None if "value" not in columns else _numbers(columns["value"], "value")
        infinite = np.flatnonzero(np.isinf(self._times))
        if len(infinite):
            raise ValueError(f"row {infinite[0]} of frame has the time {self._times[infinite[0]]}; expected a number")

    def responses(self, windows: Windows, dt_ms: float, unit: str, complete: bool) -> list[np.ndarray]:
        """Counts, or values, of each stimulus (N, R_s, T_s)."""
        seen = TimesSeen(unit, dt_ms)
        blocks = []
        start = windows.before * dt_ms / 1000
        for stimulus, n_bins in enumerate(windows.n_bins):
            rows = np.flatnonzero(self._stimulus == stimulus)
            repeats, repeat = np.unique(self._repeat[rows], return_inverse=True)
            shape = (len(self.neurons), len(repeats), n_bins)
            times = self._times[rows]
            known = np.isfinite(times)
            bins = bin_of(times + start, dt_ms)
            inside = known & (bins >= 0) & (bins < n_bins)
            trial = self._neuron[rows] * len(repeats) + repeat
            place = trial[inside] * n_bins + bins[inside].astype(np.int64)
            if self._values is not None:
                blocks.append(_samples(shape, place, self._values[rows][inside], rows[inside]))
                continue
            block = np.bincount(place, minlength=int(np.prod(shape))).astype(np.float32).reshape(shape)
            seen.add(times[known], int(inside.sum()), n_bins - windows.before)
            if not complete:
                has_row = np.zeros(shape[:2], dtype=bool)
                has_row.ravel()[trial] = True
                block[~has_row] = np.nan
            blocks.append(block)
        if self._values is None:
            seen.check()
        return blocks


def _labels(cells: np.ndarray, role: str) -> np.ndarray:
    if cells.dtype.kind in "iu":
        return cells.astype(str)
    labels = np.array([label_of(cell) for cell in cells])
    empty = np.flatnonzero(labels == "")
    if len(empty):
        raise ValueError(f"row {empty[0]} of frame has no {role}, and {len(empty) - 1} more")
    return labels


def _sorted_labels(labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Different labels, as numbers if all are, and the index of each row's."""
    names, index = np.unique(labels, return_inverse=True)
    if all(name.isdecimal() for name in names):
        order = np.argsort([int(name) for name in names], kind="stable")
        return [str(names[one]) for one in order], np.argsort(order)[index]
    return [str(name) for name in names], index


def _numbers(cells: np.ndarray, role: str) -> np.ndarray:
    try:
        return (
            np.array([np.nan if cell in ("", None) else cell for cell in cells.tolist()], dtype=np.float64)
            if (cells.dtype.kind in "OUST")
            else cells.astype(np.float64)
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"the column of {role} must hold numbers: {error}") from error


def _samples(shape: tuple[int, ...], place: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Samples in their bins; NaN in bins without one."""
    block = np.full(shape, np.nan, dtype=np.float32)
    order = np.argsort(place, kind="stable")
    twice = np.flatnonzero(np.diff(place[order]) == 0)
    if len(twice):
        first, second = rows[order[twice[0]]], rows[order[twice[0] + 1]]
        raise ValueError(f"rows {first} and {second} of frame have values for the same bin; expected one for each bin")
    block.ravel()[place] = values
    return block
