"""Which frames were on the screen when: the presentations of a session as showings of movies, in bins.

Bins follow the frames as they were shown, not a clock that starts with the movie: where a frame came late, what comes
after it is late too, and what was not shown, or not as long as it should, is no data.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from deepSTRF.datasets.recording_error import RecordingError

__all__ = ["Bins", "Presented", "Showing", "bins_of", "sequences", "stills", "whole_movie"]

_PAUSE_S = 1.0
"""Frames that are further apart belong to different showings."""
_TOLERANCE = 0.25
"""A bin that lasted longer or shorter by this part of it is missing data; so are steps no frame times."""
_ROUNDING = 1e-6
_SCREEN_HZ = 60.0
_ALIKE = 0.01
"""A frame that lasts a whole number of refreshes of a screen within this part of it does."""


class Showing(NamedTuple):
    """A movie as it was shown once.

    Parameters
    ----------
    stimulus : int
        Which of the movies.
    places : ndarray of int, shape (K,)
        Places in the movie of the frames that were shown, rising.
    onsets_s : ndarray, shape (K,)
        When each of them began.
    stop_s : float
        When the last one ended.
    """

    stimulus: int
    places: np.ndarray
    onsets_s: np.ndarray
    stop_s: float


class Presented(NamedTuple):
    """Movies, and when they were shown.

    Parameters
    ----------
    frames : list of ndarray of int, shape (T_s,)
        Frames of each movie, as indices of a template.
    showings : list of Showing
        In time.
    frame_s : float
        How long a frame lasts.
    """

    frames: list[np.ndarray]
    showings: list[Showing]
    frame_s: float


class Bins(NamedTuple):
    """The bins of one showing: their edges in the time of the session, and which of them showed what they should."""

    edges_s: Float[np.ndarray, " T+1"]
    known: Bool[np.ndarray, " T"]


def whole_movie(frames: Any, onsets_s: Any, stops_s: Any, block: Any = None) -> Presented:
    """Showings of one movie, which begins again where its frames do not rise; it may lack some of them.

    Parameters
    ----------
    frames : array
        Which frame was shown; what is negative or NaN was none.
    onsets_s, stops_s : array
        When it began and ended.
    block : array, optional
        A change also begins a showing.

    Examples
    --------
    >>> shown = whole_movie([0, 1, 2, 0, 2, -1], [0.0, 0.1, 0.2, 0.3, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4, 0.6, 0.7])
    >>> shown.frames, [showing.places.tolist() for showing in shown.showings], round(shown.frame_s, 3)
    ([array([0, 1, 2])], [[0, 1, 2], [0, 2]], 0.1)
    """
    rows = _Rows(frames, onsets_s, stops_s, block)
    parts = rows.split(np.diff(rows.frames) <= 0)
    showings = [Showing(0, part.frames, part.onsets, part.stops[-1]) for part in parts]
    return Presented([np.arange(rows.frames.max() + 1)], showings, _frame_s(showings, rows))


def sequences(frames: Any, onsets_s: Any, stops_s: Any, block: Any = None) -> Presented:
    """Showings of sequences of frames between pauses; those with the same frames are one movie.

    Examples
    --------
    >>> shown = sequences([5, 3, 5, 3], [0.0, 0.5, 9.0, 9.5], [0.5, 1.0, 9.5, 10.0])
    >>> [frames.tolist() for frames in shown.frames], [showing.stimulus for showing in shown.showings], shown.frame_s
    ([[5, 3]], [0, 0], 0.5)
    """
    rows = _Rows(frames, onsets_s, stops_s, block)
    movies: dict[tuple[int, ...], int] = {}
    showings = [
        Showing(
            movies.setdefault(tuple(part.frames.tolist()), len(movies)),
            np.arange(len(part.frames)),
            part.onsets,
            part.stops[-1],
        )
        for part in rows.split(np.diff(rows.onsets) > _PAUSE_S + np.median(rows.stops - rows.onsets))
    ]
    return Presented([np.array(movie) for movie in movies], showings, _frame_s(showings, rows))


def stills(frames: Any, onsets_s: Any, stops_s: Any) -> Presented:
    """Each picture is a movie of one frame, each time it is shown a showing.

    Examples
    --------
    >>> shown = stills([4, 2, 4, -1], [0.0, 1.0, 2.0, 3.0], [0.25, 1.25, 2.25, 3.25])
    >>> [frames.tolist() for frames in shown.frames], [showing.stimulus for showing in shown.showings], shown.frame_s
    ([[2], [4]], [1, 0, 1], 0.25)
    """
    rows = _Rows(frames, onsets_s, stops_s)
    pictures, stimulus = np.unique(rows.frames, return_inverse=True)
    showings = [
        Showing(int(own), np.array([0]), rows.onsets[k : k + 1], float(rows.stops[k])) for k, own in enumerate(stimulus)
    ]
    return Presented([pictures[k : k + 1] for k in range(len(pictures))], showings, _frame_s([], rows))


def bins_of(presented: Presented, dt_ms: float) -> list[list[Bins]]:
    """The bins of every showing, by movie.

    A bin is known if all of its frames were shown, and if it lasted as long as it should.

    Examples
    --------
    >>> shown = whole_movie([0, 1, 2, 0, 1, 2], [0.0, 0.1, 0.2, 0.3, 0.45, 0.55], [0.1, 0.2, 0.3, 0.45, 0.55, 0.65])
    >>> [bins.known.tolist() for bins in bins_of(shown, 50.0)[0]]
    [[True, True, True, True, True, True], [False, False, True, True, True, True]]
    """
    dt_s = dt_ms / 1000
    found: list[list[Bins]] = [[] for _ in presented.frames]
    for showing in presented.showings:
        n_frames = len(presented.frames[showing.stimulus])
        n_bins = max(int(np.floor(n_frames * presented.frame_s / dt_s + 1e-3)), 1)  # as frames_in_bins makes them
        wanted = np.minimum(np.arange(n_bins + 1) * dt_s / presented.frame_s, n_frames)
        places = np.append(showing.places, showing.places[-1] + 1)
        edges = np.interp(wanted, places, np.append(showing.onsets_s, showing.stop_s))
        missing = np.ones(n_frames, dtype=np.int64)
        missing[showing.places] = 0
        before = np.concatenate([[0], np.cumsum(missing)])
        first = np.floor(wanted[:-1] + 1e-3).astype(int)
        last = np.ceil(wanted[1:] - 1e-3).astype(int)
        lasted = np.diff(edges) / dt_s
        known = (before[last] == before[first]) & (np.abs(lasted - 1) <= _TOLERANCE + _ROUNDING)
        found[showing.stimulus].append(Bins(edges, known))
    return found


class _Rows:
    """Frames that were shown, in time."""

    def __init__(self, frames: Any, onsets_s: Any, stops_s: Any, block: Any = None):
        wanted, onsets, stops = (np.asarray(values, dtype=np.float64) for values in (frames, onsets_s, stops_s))
        shown = np.flatnonzero(np.isfinite(wanted) & (wanted >= 0))
        if not len(shown):
            raise RecordingError("no row of the table of presentations shows a frame")
        if not (np.isfinite(onsets[shown]) & np.isfinite(stops[shown])).all():
            raise RecordingError("a presentation has no time at which it begins or ends")
        shown = shown[np.argsort(onsets[shown], kind="stable")]
        self.frames = wanted[shown].astype(np.int64)
        self.onsets, self.stops = onsets[shown], stops[shown]
        self.block = None if block is None else np.asarray(block, dtype=np.float64)[shown]

    def split(self, begins: np.ndarray) -> list[_Rows]:
        """Parts that begin after the rows in `begins`, and where the block changes."""
        if self.block is not None:
            begins = begins | (np.diff(self.block) != 0)
        edges = [0, *(np.flatnonzero(begins) + 1), len(self.frames)]
        return [self._part(slice(start, stop)) for start, stop in itertools.pairwise(edges)]

    def _part(self, rows: slice) -> _Rows:
        return _Rows(self.frames[rows], self.onsets[rows], self.stops[rows])


def _frame_s(showings: list[Showing], rows: _Rows) -> float:
    """How long a frame lasts: the mean of the steps between frames, without those where one came late.

    It is rounded to refreshes of the screen, so that sessions agree.
    """
    steps = [np.diff(showing.onsets_s) / np.diff(showing.places) for showing in showings]
    together = np.concatenate([*steps, np.empty(0)])
    if not len(together):
        together = rows.stops - rows.onsets
    usual = float(np.median(together))
    if usual <= 0:
        raise RecordingError("the presentations do not last: their times are not those of frames, in s")
    mean = float(together[np.abs(together / usual - 1) <= _TOLERANCE].mean())
    refreshes = round(mean * _SCREEN_HZ)
    return refreshes / _SCREEN_HZ if abs(mean * _SCREEN_HZ - refreshes) < _ALIKE * refreshes else mean
