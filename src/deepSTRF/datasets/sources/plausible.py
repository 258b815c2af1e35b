"""Whether times can be what they are said to be: most mistakes are a factor 1000, or another clock."""

from __future__ import annotations

import numpy as np

__all__ = ["CLOCK_RATIO", "TimesSeen", "check_clocks", "check_overlap"]

_FEWEST_TO_JUDGE = 10
_FEWEST_BINS = 50
_FIRST_PART = 0.003
"""Times are taken for seconds read as milliseconds where all lie in this part of stimuli of at least 50 bins."""

_FAR = 50.0
"""Times are taken for milliseconds read as seconds where most of them are later than this many stimuli."""

_MOST_OVERLAP = 10.0
_FEWEST_TRIALS = 5
"""Trials overlap by mistake where as many of them or more begin in the time of the shortest stimulus, on average."""

CLOCK_RATIO = 500.0
"""Between a factor 1000, the usual mistake, and sessions of which only a part was used."""


class TimesSeen:
    """What was seen of spike times since the onset of their stimulus, and whether it makes sense.

    Parameters
    ----------
    unit : str
        Unit that the user said.
    dt_ms : float
        Width of a bin.
    """

    def __init__(self, unit: str, dt_ms: float):
        self._unit = unit
        self._dt_s = dt_ms / 1000
        self._count = self._inside = self._far = 0
        self._first, self._last, self._longest = np.inf, -np.inf, 0.0

    def add(self, times_s: np.ndarray, inside: int, n_bins: int) -> None:
        """Count the times of some repeats, `inside` of them in the window, which ends `n_bins` bins after the onset."""
        duration = n_bins * self._dt_s
        self._longest = max(self._longest, duration)
        self._inside += inside
        if len(times_s):
            self._count += len(times_s)
            self._far += int((np.abs(times_s) > _FAR * duration).sum())
            self._first = min(self._first, float(times_s.min()))
            self._last = max(self._last, float(times_s.max()))

    def check(self) -> None:
        """Raise ValueError if these are hardly times since the onset of a stimulus in the unit that was said."""
        if self._count == 0:
            raise ValueError("spikes holds no spike at all: every repeat is empty")
        span = f"the spikes lie between {self._first:g} s and {self._last:g} s"
        if self._far > self._count / 2:
            hint = "times are counted from the onset of each stimulus; for those of one long session give trials="
            if self._unit == "s" and max(abs(self._first), abs(self._last)) / 1000 < _FAR * self._longest:
                hint = 'if they are in milliseconds, give unit="ms"; else ' + hint
            raise ValueError(f"{span}, far away from stimuli of at most {self._longest:g} s: {hint}")
        if self._inside == 0:
            raise ValueError(
                f"no spike is inside the window of its stimulus: {span} from the onset, and stimuli last at most "
                f"{self._longest:g} s. Is onset_ms right, or are they times of one long session, which needs trials=?"
            )
        if (
            self._count >= _FEWEST_TO_JUDGE
            and self._longest >= _FEWEST_BINS * self._dt_s
            and self._first >= 0
            and self._last <= _FIRST_PART * self._longest
        ):
            hint = 'if they are in seconds, give unit="s"' if self._unit == "ms" else "the unit is not in seconds"
            raise ValueError(
                f"all {self._count} spikes lie in the first {1000 * self._last:.3g} ms of stimuli that last up to "
                f"{1000 * self._longest:g} ms: {hint}"
            )


def check_clocks(stops_s: np.ndarray, last_s: float) -> None:
    """Raise ValueError if trials and spikes of a session have clocks a factor 1000 apart.

    Parameters
    ----------
    starts_s, stops_s : numpy.ndarray
        Begin and end of the window of each trial.
    first_s, last_s : float
        First and last spike of all units.
    """
    end = float(stops_s.max())
    if last_s <= 0 or end <= 0:
        return
    described = f"the last spike is at {last_s:g} s, the last trial ends at {end:g} s"
    if end / last_s > CLOCK_RATIO:
        raise ValueError(
            f"{described}: the spikes seem to be in another unit than the onsets of trials, by a factor 1000"
        )
    if last_s / end > CLOCK_RATIO:
        raise ValueError(
            f"{described}: the onsets of trials seem to be in another unit than the spikes, by a factor 1000; if only "
            "the beginning of the session was used, leave out the spikes after it"
        )


def check_overlap(starts_s: np.ndarray, stops_s: np.ndarray) -> None:
    """Raise ValueError if trials follow each other in a small part of the time that their stimuli last."""
    if len(starts_s) < _FEWEST_TRIALS:
        return
    interval = float(np.ptp(starts_s)) / (len(starts_s) - 1)
    duration = float((stops_s - starts_s).min())
    if interval * _MOST_OVERLAP < duration:
        raise ValueError(
            f"the onsets of trials are {interval:g} s apart on average, while stimuli last {duration:g} s and more; "
            "are their unit and their column right?"
        )
