"""Spikes listed by neuron, stimulus and repeat become counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.sources.binning import bin_of
from deepSTRF.datasets.sources.plausible import TimesSeen
from deepSTRF.datasets.sources.tables import SpikeTable

__all__ = ["ListedSpikes"]


@dataclass(frozen=True)
class ListedSpikes:
    """Spikes by neuron, stimulus and repeat, all numbered from 0.

    Parameters
    ----------
    neuron, stimulus, repeat : ndarray of int, shape (K,)
        Of each line.
    time_s : ndarray, shape (K,)
        Since the stimulus began; NaN says that the trial was recorded.
    n_repeats : list of int
        Repeats of each stimulus.
    n_neurons : int
        Size of the population.
    listed : bool
        A neuron was recorded only in the trials that have a line with it; otherwise in all of them.
    first : int
        Number of the first repeat in the file: 0 or 1.
    before : int
        Bins of the response before the stimulus begins.
    """

    neuron: np.ndarray
    stimulus: np.ndarray
    repeat: np.ndarray
    time_s: np.ndarray
    n_repeats: list[int]
    n_neurons: int
    listed: bool
    first: int = 1
    before: int = 0

    @classmethod
    def of(
        cls,
        table: SpikeTable,
        neurons: Sequence[int],
        stimuli: Sequence[int],
        declared: Sequence[Any],
        names: Sequence[str],
        *,
        seconds: float,
        onset_ms: float,
        n_neurons: int,
        listed: bool,
        before: int = 0,
    ) -> ListedSpikes:
        """Number what a table names.

        Parameters
        ----------
        table : SpikeTable
            What the file holds.
        neurons, stimuli : sequence of int
            Index in the data set of each name of the table.
        declared : sequence of int or None
            Number of repeats of each stimulus of the data set, where the user gave it.
        names : sequence of str
            Name of each stimulus of the data set, for messages.
        seconds : float
            Seconds in the unit of the times.
        onset_ms : float
            When the stimulus begins in the clock of these times.
        n_neurons : int
            Size of the population.
        listed, before
            As above.

        Raises
        ------
        RecordingError
            If repeats are not numbered 1, 2, 3, or there are more than were declared.
        """
        stimulus = np.asarray(stimuli, dtype=np.int64)[table.stimulus]
        first = int(table.repeat.min() > 0)  # from 0 or from 1, whatever the file has
        repeat = table.repeat - first
        n_repeats = []
        for index, name in enumerate(names):
            own = np.unique(repeat[stimulus == index])
            last = int(own[-1]) + 1 if len(own) else 0
            if declared[index] is not None:
                if last > declared[index]:
                    raise RecordingError(
                        f"stimulus {name!r} has spikes in repeat {last}, but `repeats` of stimuli.csv says that it has "
                        f"{declared[index]}; number the repeats of each stimulus 1, 2, 3 ..."
                    )
                last = declared[index]
            elif last > 2 * len(own) + 10:
                raise RecordingError(
                    f"the repeats of stimulus {name!r} are numbered up to {last}, but only {len(own)} of them have a "
                    "spike: number the repeats of each stimulus 1, 2, 3 ..., not the trials of the session; or say how "
                    "many there are in a column `repeats` of stimuli.csv"
                )
            n_repeats.append(last)
        neuron = np.asarray(neurons, dtype=np.int64)[table.neuron]
        time_s = table.time * seconds - onset_ms / 1000
        return cls(neuron, stimulus, repeat, time_s, n_repeats, n_neurons, listed, first, before)

    def silent_pair(self) -> tuple[int, int] | None:
        """The first neuron and stimulus without a line, where others have one: silent, or not recorded."""
        has_line = np.zeros((self.n_neurons, len(self.n_repeats)), dtype=bool)
        has_line[self.neuron, self.stimulus] = True
        missing = np.argwhere(~has_line & has_line.any(0))
        return None if len(missing) == 0 else (int(missing[0, 0]), int(missing[0, 1]))

    def counts(self, n_bins: Sequence[int], dt_ms: float, seen: TimesSeen) -> list[Any]:
        """Count the spikes in the bins of the stimuli.

        Parameters
        ----------
        n_bins : sequence of int
            Bins of each stimulus.
        dt_ms : float
            Width of a bin.
        seen : TimesSeen
            Is shown all times, and can tell then whether they make sense.

        Returns
        -------
        list
            Per stimulus float32 (N, R_s, T_s), NaN where a neuron was not recorded; a list of None where nobody was.
        """
        order = np.lexsort((self.neuron, self.stimulus))
        edges = np.searchsorted(
            self.stimulus[order] * self.n_neurons + self.neuron[order],
            np.arange(len(n_bins) * self.n_neurons + 1),
        )
        responses: list[Any] = []
        for s, (repeats, bins) in enumerate(zip(self.n_repeats, n_bins, strict=True)):
            if repeats == 0:
                responses.append([None] * self.n_neurons)
                continue
            block = np.empty((self.n_neurons, repeats, bins), dtype=np.float32)
            for n in range(self.n_neurons):
                own = order[slice(*edges[s * self.n_neurons + n :][:2])]
                time, repeat = self.time_s[own], self.repeat[own]
                place = bin_of(time, dt_ms) + self.before
                inside = (place >= 0) & (place < bins)  # NaN is not
                at = repeat[inside] * bins + place[inside].astype(np.int64)
                block[n] = np.bincount(at, minlength=repeats * bins).reshape(repeats, bins)
                if self.listed:
                    block[n, np.setdiff1d(np.arange(repeats), repeat)] = np.nan
                seen.add(time[~np.isnan(time)], int(inside.sum()), bins - self.before)
            responses.append(block)
        return responses

    def places(self, dt_ms: float) -> np.ndarray:
        """Bin of the response that each spike is in; NaN where there is none."""
        return bin_of(self.time_s, dt_ms) + self.before

    def last_bins(self, n_bins: Sequence[int], dt_ms: float) -> tuple[list[float], int]:
        """Bin of the stimulus at its last spike, not finite where there is none; and how many come after the window."""
        place = self.places(dt_ms)
        place = np.where(np.isnan(place), -np.inf, place)
        last = [float(place[self.stimulus == s].max(initial=-np.inf)) - self.before for s in range(len(n_bins))]
        return last, int((place >= np.asarray(n_bins)[self.stimulus]).sum())
