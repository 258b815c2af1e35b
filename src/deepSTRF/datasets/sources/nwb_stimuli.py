"""The stimuli of an NWB file, or those that a user gives for it, by the names that its tables use."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from deepSTRF.checks import first_few
from deepSTRF.datasets.sources.frames import shown_frames
from deepSTRF.datasets.sources.nwb_contents import Contents
from deepSTRF.datasets.sources.stimulus_sources import (
    Frames,
    Given,
    SoundSource,
    given_sources,
    rate_of,
    source_of_series,
)

__all__ = ["FileStimuli"]

_MOST_SHOWN = 8


class FileStimuli:
    """Stimuli by name, as sources that are read when they are needed.

    Parameters
    ----------
    contents : Contents or None
        The file, if they are for one.
    movies : bool
        Whether movies and pictures are wanted, or sounds and other bands.
    stims : optional
        Stimuli that the user gave; those of the file don't count then.
    rate : float, optional
        Sampling rate of those, if they are waveforms.
    """

    def __init__(self, contents: Contents | None, movies: bool, stims: Any = None, rate: float | None = None):
        self._presented = {} if contents is None else contents.presented
        self._movies = movies
        self._makers: dict[str, Callable[[float | None], Any]] = {}
        self._stacks: dict[str, Callable[[Sequence[int]], np.ndarray]] = {}
        self._pictures: dict[str, list[str]] = {}
        self._has_names = True
        if stims is not None:
            self._add_given(stims, rate)
        elif rate is not None:
            raise ValueError("rate is that of waveforms in stims, and there are none")
        elif contents is not None:
            for name, stimulus in contents.stimuli.items():
                self._add(name, stimulus)
            if not self._makers and not self._index_series():
                raise ValueError(self._nothing(contents))
        self._stems: dict[str, list[str]] = {}
        for name in self._makers:
            self._stems.setdefault(_stem(name), []).append(name)

    def _add_given(self, stims: Any, rate: float | None) -> None:
        sources = given_sources(stims, rate)
        if not sources:
            raise ValueError("stims is empty; expected at least one stimulus")
        if isinstance(sources, list):
            self._has_names = False
            sources = {str(index): source for index, source in enumerate(sources)}
        for name, source in sources.items():
            if isinstance(source, SoundSource) and self._movies:
                raise ValueError(
                    f"stims[{name!r}] is a sound, and VideoNeuralDataset is for movies and pictures; call the same "
                    "method of AudioNeuralDataset"
                )
            self._makers[name] = partial(_the_same, source)
            if isinstance(source, Given) and self._movies:
                self._stacks[name] = partial(_frames_of_movie, source.value)

    def _add(self, name: str, stimulus: Any) -> None:
        kind = _kind(stimulus)
        if kind == "other" or (kind in ("movie", "pictures")) != self._movies:
            return
        if kind == "pictures":
            images = _in_order(stimulus)
            self._pictures[name] = [image.name for image in images]
            self._stacks[name] = partial(_read_pictures, images)
            for index, image in enumerate(images):
                self._makers[image.name] = partial(self._still, name, index)
        elif kind != "index":
            self._makers[name] = partial(_source_of, stimulus)
            if kind == "movie":
                self._stacks[name] = partial(_read_frames, stimulus)

    def _still(self, stack: str, index: int, lasting: float | None) -> Frames:
        if lasting is None:
            raise ValueError(
                f"how long each picture of {stack} was shown is not known: the table of trials has no stop_time"
            )
        return Frames(self._stacks[stack], (index,), lasting)

    def _nothing(self, contents: Contents) -> str:
        """Why there are no stimuli of the kind that is wanted."""
        name = contents.path.name
        others = ", ".join(list(contents.stimuli)[:_MOST_SHOWN])
        if not others:
            return (
                f"{name} holds no stimuli (its stimulus/ is empty): give them with stims=, as a folder of sound "
                f"files, or a dict of the names that its trials use and files or arrays. {contents.describe()}"
            )
        if self._movies:
            return (
                f"the stimuli of {name} ({others}) are no movies or pictures: call from_nwb of AudioNeuralDataset "
                "for sounds, or give movies with stims="
            )
        return (
            f"the stimuli of {name} ({others}) are movies or pictures: call VideoNeuralDataset.from_nwb for them, or "
            "give sounds with stims="
        )

    def __contains__(self, name: str) -> bool:
        return name in self._makers or name in self._stacks

    def knows(self, label: str) -> bool:
        """Whether a cell of a table names a stimulus: by its name, or by its file name."""
        return label in self._makers or len(self._stems.get(_stem(label), ())) == 1

    def find(self, label: str, lasting_s: float | None) -> tuple[str, Any]:
        """Name and source of the stimulus that a cell names; pictures are shown for `lasting_s`."""
        name = label if label in self._makers else self._stems[_stem(label)][0]
        return name, self._makers[name](lasting_s)

    def has_frames(self, name: str) -> bool:
        """Whether a stimulus is a movie or a set of pictures, whose frames can be picked."""
        return name in self._stacks

    def frames(self, name: str, order: Sequence[int], frame_s: float, number: int | None) -> tuple[str, Frames]:
        """Name and source of some frames of a movie or a set of pictures, one of several if it has a number."""
        if len(order) == 1 and name in self._pictures:
            label = self._pictures[name][order[0]]
        else:
            label = name if number is None else f"{name} {order[0] if len(order) == 1 else number}"
        return label, Frames(self._stacks[name], order, frame_s)

    @property
    def names(self) -> list[str]:
        """Names of all stimuli."""
        return list(self._makers)

    def listed(self) -> str:
        """The names, for messages."""
        if not self._has_names:
            return f"there are {len(self._makers)}, counted from 0; a dict gives them names"
        names = [*self._makers] or [*self._stacks]
        return f"the stimuli are {first_few(map(repr, names))}" if names else "there are none"

    def presented(self) -> list[tuple[str, Any, list[float]]] | None:
        """Trials of the stimuli whose times the file says: name, source and onsets; None if there are none.

        Raises
        ------
        ValueError
            If two of them were shown at the same time.
        """
        index_series = self._index_series()
        if index_series:
            return [trial for series in index_series for trial in self._index_trials(series)]
        timed = [
            (series, _start(series))
            for name, series in self._presented.items()
            if name in self._makers and hasattr(series, "rate")
        ]
        if not timed:
            return None
        timed.sort(key=lambda pair: pair[1])
        for (first, _), (second, start) in itertools.pairwise(timed):
            if start < _stop(first) - 1e-3:
                raise ValueError(
                    f"the file says that {first.name!r} and {second.name!r} were shown at the same time (the second "
                    f"began at {start:g} s, the first ended at {_stop(first):g} s), so their starting times can't be "
                    "those of trials: name the table that has them with trials=, or give one"
                )
        return [(series.name, self._makers[series.name](None), [start]) for series, start in timed]

    def _index_series(self) -> list[Any]:
        found = [one for one in self._presented.values() if _kind(one) == "index"]
        return found if self._movies else []

    def _index_trials(self, series: Any) -> list[tuple[str, Any, list[float]]]:
        stack = series.indexed_images if series.indexed_images is not None else series.indexed_timeseries
        if stack.name not in self._stacks:
            self._add(stack.name, stack)
        frames = np.asarray(series.data[:], dtype=np.int64)
        onsets = (
            np.asarray(series.timestamps[:], dtype=float)
            if series.timestamps is not None
            else float(series.starting_time or 0) + np.arange(len(frames)) / series.rate
        )
        steps = np.diff(onsets)
        stops = onsets + np.append(steps, np.median(steps) if len(steps) else 1.0)
        shown = shown_frames(frames, onsets, stops)
        trials = []
        for index, order in enumerate(shown.stimuli):
            label, source = self.frames(
                stack.name, order, float(shown.frame_s[index]), index if len(shown.stimuli) > 1 else None
            )
            trials.append((label, source, shown.onsets_s[shown.stimulus_of_trial == index].tolist()))
        return trials


def _the_same(source: Any, _: float | None) -> Any:
    return source


def _source_of(series: Any, _: float | None) -> Any:
    return source_of_series(series)


def _kind(stimulus: Any) -> str:
    from pynwb.base import Images, TimeSeries
    from pynwb.image import ImageSeries, IndexSeries

    if isinstance(stimulus, IndexSeries):
        return "index"
    if isinstance(stimulus, ImageSeries):
        return "movie"
    if isinstance(stimulus, Images):
        return "pictures"
    return "bands" if isinstance(stimulus, TimeSeries) else "other"


def _stem(name: str) -> str:
    """A file name without folders and extension; other names stay as they are."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if re.fullmatch(r"\.[A-Za-z]\w{1,4}", path.suffix) else path.name or name


def _start(series: Any) -> float:
    return float(series.timestamps[0]) if series.rate is None else float(series.starting_time or 0.0)


def _stop(series: Any) -> float:
    count = len(series.timestamps) if series.timestamps is not None else series.data.shape[0]
    return _start(series) + count / rate_of(series)


def _in_order(images: Any) -> list[Any]:
    """The pictures of a set in their order: as the file says, or by the numbers in their names."""
    order = images.order_of_images
    if order is not None:
        return list(order.data[:])
    parts = {
        name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)] for name in images.images
    }
    return [images.images[name] for name in sorted(parts, key=parts.__getitem__)]


def _read_pictures(images: Sequence[Any], order: Sequence[int]) -> np.ndarray:
    """Some pictures as frames (T, H, W) or (T, H, W, C)."""
    _check_order(order, len(images))
    needed = {index: np.asarray(images[index].data[:]) for index in dict.fromkeys(order)}
    shapes = {picture.shape for picture in needed.values()}
    if len(shapes) > 1:
        raise ValueError(f"pictures of different sizes can't be one movie: {', '.join(map(str, sorted(shapes)))}")
    return np.stack([needed[index] for index in order])


def _read_frames(series: Any, order: Sequence[int]) -> np.ndarray:
    """Some frames of a movie; each is read once."""
    _check_order(order, series.data.shape[0])
    first, last = min(order), max(order)
    return np.asarray(series.data[first : last + 1])[np.asarray(order) - first]


def _frames_of_movie(movie: Any, order: Sequence[int]) -> np.ndarray:
    """Some frames of a movie (H, W, T) or (C, H, W, T) that the user gave."""
    values = np.asarray(movie)
    _check_order(order, values.shape[-1])
    chosen = values[..., np.asarray(order)]
    return np.moveaxis(chosen, -1, 0) if chosen.ndim == 3 else np.moveaxis(chosen, (3, 0), (0, 3))


def _check_order(order: Sequence[int], count: int) -> None:
    if min(order) < 0 or max(order) >= count:
        raise ValueError(f"frame {max(order)} was shown, but there are {count} frames; they are counted from 0")
