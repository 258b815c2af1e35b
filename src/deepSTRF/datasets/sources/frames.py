"""Frames on a screen: which were shown when, and as movies in the bins of the responses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Shown", "frames_in_bins", "runs", "shown_frames", "stills"]

STILL_S = 0.1
"""A picture that is shown for so long is a stimulus of its own; shorter ones are the frames of a movie."""
_GAP = 1.5
"""Frames that are so many frame times apart belong to different showings."""


class Shown(NamedTuple):
    """Trials made from the frames that were shown.

    Parameters
    ----------
    stimuli : list of tuple of int
        The frames of each stimulus, in the order in which they are shown; no two stimuli have the same.
    onsets_s : ndarray, shape (K,)
        When each trial begins.
    stimulus_of_trial : ndarray of int, shape (K,)
        Which stimulus it showed.
    frame_s : ndarray, shape (S,)
        How long a frame of each stimulus lasts.
    """

    stimuli: list[tuple[int, ...]]
    onsets_s: np.ndarray
    stimulus_of_trial: np.ndarray
    frame_s: np.ndarray


def stills(frames: Any, onsets_s: Any, stops_s: Any) -> Shown:
    """Each picture is a stimulus, each time it is shown a trial.

    Examples
    --------
    >>> shown = stills([4, 2, 4], [0.0, 1.0, 2.0], [0.5, 1.5, 2.5])
    >>> shown.stimuli, shown.stimulus_of_trial
    ([(2,), (4,)], array([1, 0, 1]))
    """
    onsets = np.asarray(onsets_s, dtype=float)
    pictures, stimulus = np.unique(np.asarray(frames, dtype=np.int64), return_inverse=True)
    durations = np.asarray(stops_s, dtype=float) - onsets
    shortest = np.array([durations[stimulus == one].min() for one in range(len(pictures))])
    return Shown([(int(one),) for one in pictures], onsets, stimulus, shortest)


def runs(frames: Any, onsets_s: Any, block: Any = None) -> Shown:
    """Frames that follow each other are a trial; trials with the same frames show the same stimulus.

    A trial ends where a gap follows, where `block` changes, or where a movie that counts its frames up begins again.

    Examples
    --------
    >>> shown = runs([0, 1, 2, 0, 1, 2], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    >>> shown.stimuli, shown.onsets_s, shown.frame_s.round(3)
    ([(0, 1, 2)], array([0. , 0.3]), array([0.1]))
    """
    frames = np.asarray(frames, dtype=np.int64)
    onsets = np.asarray(onsets_s, dtype=float)
    steps = np.diff(onsets)
    frame_s = float(np.median(steps))
    new = steps > _GAP * frame_s
    if block is not None:
        new |= np.diff(np.asarray(block, dtype=float)) != 0
    changes = np.diff(frames)
    if (changes[~new] <= 1).all() and (changes == 1).mean() > 0.5:
        new |= changes < 0
    starts = np.concatenate([[0], np.flatnonzero(new) + 1])
    ends = np.concatenate([starts[1:], [len(frames)]])
    sequences = [tuple(frames[start:end].tolist()) for start, end in zip(starts, ends, strict=True)]
    stimuli = list(dict.fromkeys(sequences))
    index_of = {sequence: index for index, sequence in enumerate(stimuli)}
    stimulus = np.array([index_of[sequence] for sequence in sequences])
    lasting = np.array(
        [
            (onsets[end - 1] - onsets[start]) / (end - 1 - start) if end - start > 1 else frame_s
            for start, end in zip(starts, ends, strict=True)
        ]
    )
    per_stimulus = np.array([np.median(lasting[stimulus == one]) for one in range(len(stimuli))])
    return Shown(stimuli, onsets[starts], stimulus, per_stimulus)


def shown_frames(frames: Any, onsets_s: np.ndarray, stops_s: np.ndarray, block: Any = None) -> Shown:
    """Pictures one by one, or runs of frames where they are shown too briefly for pictures."""
    if len(frames) < 2 or float(np.median(stops_s - onsets_s)) >= STILL_S:
        return stills(frames, onsets_s, stops_s)
    return runs(frames, onsets_s, block)


def frames_in_bins(frames: Any, frame_s: float, dt_ms: float) -> np.ndarray:
    """Bring a movie to bins: a bin holds the frame that is shown during it, or their mean over time.

    Parameters
    ----------
    frames : ndarray
        Frames (T, H, W) or (T, H, W, C); or what reads them, with a ``shape``, by index and by slice.
    frame_s : float
        How long a frame is shown, in s.
    dt_ms : float
        Width of a bin in ms.

    Returns
    -------
    ndarray
        float32 (H, W, T_bins), or (C, H, W, T_bins) of a movie with colours. Only whole bins.

    Examples
    --------
    >>> frames_in_bins(np.arange(3.0).reshape(3, 1, 1), 0.02, 10.0)[0, 0]
    array([0., 0., 1., 1., 2., 2.], dtype=float32)
    """
    frames = frames if hasattr(frames, "shape") else np.asarray(frames)  # what has a shape may read frame by frame
    n_frames = len(frames)
    step = dt_ms / 1000 / frame_s  # frames per bin
    n_bins = max(int(np.floor(n_frames / step + 1e-3)), 1)
    movie = np.empty((n_bins, *frames.shape[1:]), dtype=np.float32)
    for index in range(n_bins):
        begin, end = index * step, min((index + 1) * step, n_frames)
        first, last = int(np.floor(begin + 1e-3)), int(np.ceil(end - 1e-3))
        first = min(first, n_frames - 1)
        last = min(max(last, first + 1), n_frames)
        if last - first == 1:
            movie[index] = frames[first]
            continue
        parts = np.minimum(np.arange(first, last) + 1, end) - np.maximum(np.arange(first, last), begin)
        movie[index] = np.tensordot(parts / parts.sum(), frames[first:last].astype(np.float64), 1)
    return np.moveaxis(movie, 0, -1) if movie.ndim == 3 else np.moveaxis(movie, (3, 0), (0, -1))
