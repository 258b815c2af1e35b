"""Allen Neuropixels: units of the mouse's visual system that watch natural movies and pictures, from DANDI."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepSTRF.checks import check_choice, check_number
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import find_in
from deepSTRF.datasets.video.brain_observatory import (
    fill,
    invalid_in,
    not_shown,
    numbered,
    open_session,
    plain_columns,
    session_file,
    text_of,
)
from deepSTRF.datasets.video.presentations import Bins, Presented, sequences, stills, whole_movie
from deepSTRF.datasets.video.shown_responses import counts_in
from deepSTRF.datasets.video.templates import FrameStack, PictureFile, Template, open_frames
from deepSTRF.datasets.video.video_dataset import VideoNeuralDataset
from deepSTRF.registry import register_dataset

__all__ = ["AllenNeuropixelsDataset"]

_MOVIES = {"natural_movie_one": "natural_movie_1.h5", "natural_movie_three": "natural_movie_3.h5"}
_DOWNSAMPLE = dict.fromkeys(_MOVIES, 8) | {"natural_scenes": 16, "gabors": 1}
_STILL_DT_MS = 10.0
_NAME = "Allen_Neuropixels"


@register_dataset(RECORDINGS[_NAME].card)
class AllenNeuropixelsDataset(VideoNeuralDataset):
    """Visual Coding - Neuropixels [1]_: a session of the Allen Brain Observatory, as its NWB file on DANDI (000021).

    Responses are spike counts in bins that follow the frames as they were shown: a bin is missing data where a frame
    was not shown, or came late by more than a quarter of a bin, or where the file says that the times are invalid for
    the stimulus, for all probes, or for the probe of the unit. Pixels have the grey levels of the template, 0 to 255.

    Parameters
    ----------
    path : str or path, optional
        The NWB file of a session, or a folder with it (and the templates). By default
        ``default_cache_dir("Allen_Neuropixels")``. Files of single probes hold no units, and are not needed.
    session : str or int, optional
        Number of the session, as in the name of its file, where the folder has several.
    stimulus : {'natural_movie_one', 'natural_movie_three', 'natural_scenes', 'gabors'}
        A movie is one stimulus, each picture is one, and all gabors are one. The 'gabors' that map receptive fields
        become maps of where they were, of all orientations: a pixel for each position, 1 while a gabor is there.
    areas : sequence of str, optional
        Only units of these structures, by their acronyms in the Allen atlas: ``["VISp", "LGd"]``.
    dt_ms : float, optional
        Width of a bin in ms. By default a frame (of gabors a quarter of a second), and 10 for pictures.
    rows, columns : tuple of int, optional
        Part of the frame that matters, in pixels of the template: the first, and the one after the last.
    downsample : int, optional
        Side of the squares of pixels whose mean becomes one pixel. By default 8 for movies (304 x 608 become 38 x 76),
        16 for pictures, and 1 for gabors.
    template : array or path, optional
        Frames (T, H, W), or their .npy file. By default ``natural_movie_1.h5``, ``natural_movie_3.h5`` (which are .npy
        files) and ``natural_scene_<k>.tiff`` of the folder, under which names the Allen Institute publishes them; the
        NWB files have none.
    quality : str, optional
        Only units whose column of this name has this value; None for all.
    max_amplitude_cutoff, min_presence_ratio, max_isi_violations, min_firing_rate : float, optional
        Only units whose columns are within; by default the limits of the AllenSDK. None for no limit.
    download : bool
        Fetch session 721123822 and the template, if they are not in the folder.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message says which, and how to get it.
    ValueError
        If there is no such stimulus, no unit passes, or a folder has several sessions.
    ImportError
        If h5py is missing: ``pip install 'deepSTRF[recordings]'``.

    Notes
    -----
    ``nrn_meta`` holds cell_id, area, probe, session and every column of the units with one value, ``stim_meta`` name,
    type, duration_s and frame_s; that of gabors also the positions of rows and columns in degrees.

    References
    ----------
    .. [1] Siegle, Jia et al. (2021), https://doi.org/10.1038/s41586-020-03171-x

    Examples
    --------
    >>> ds = AllenNeuropixelsDataset("recordings/allen", areas=["VISp"])  # doctest: +SKIP
    >>> fields = AllenNeuropixelsDataset("recordings/allen", stimulus="gabors", dt_ms=25.0)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        session: str | int | None = None,
        stimulus: Literal["natural_movie_one", "natural_movie_three", "natural_scenes", "gabors"] = "natural_movie_one",
        areas: str | Sequence[str] | None = None,
        dt_ms: float | None = None,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
        downsample: int | None = None,
        template: Any = None,
        quality: str | None = "good",
        max_amplitude_cutoff: float | None = 0.1,
        min_presence_ratio: float | None = 0.95,
        max_isi_violations: float | None = 0.5,
        min_firing_rate: float | None = None,
        download: bool = False,
    ) -> None:
        check_choice("stimulus", stimulus, tuple(_DOWNSAMPLE))
        parts = [] if stimulus == "gabors" or template is not None else [stimulus]
        file = session_file(_NAME, path, session, "units", "units", parts, download)
        super().__init__(path=str(file), dt_ms=1.0)
        limits = {
            "amplitude_cutoff": (None, max_amplitude_cutoff),
            "presence_ratio": (min_presence_ratio, None),
            "isi_violations": (None, max_isi_violations),
            "firing_rate": (min_firing_rate, None),
        }
        with open_session(file) as content:
            table = content.get(f"intervals/{stimulus}_presentations")
            if table is None:
                raise not_shown(file, stimulus, content["intervals"], "_presentations")
            units = _units(content, [areas] if isinstance(areas, str) else areas, quality, limits, file)
            shown, stack, rest = _presented(table, stimulus, template, file.parent)
            scale = _DOWNSAMPLE[stimulus] if downsample is None else downsample
            bins_ms = _STILL_DT_MS if dt_ms is None and stimulus == "natural_scenes" else dt_ms
            names = numbered(stimulus, len(shown.frames))
            if stimulus == "natural_scenes":
                names = [f"{stimulus} {frames[0]}" for frames in shown.frames]
            invalid = [
                [(begin, end) for begin, end, tags in invalid_in(content) if _concerns(tags, unit["probe"])]
                for unit in units.values()
            ]
            template = Template(stack, rows, columns, scale)

            def respond(bins: list[list[Bins]]) -> list[np.ndarray]:
                return counts_in(bins, _spikes(content["units"], list(units)), invalid)

            rest |= {"type": stimulus, "frame_s": shown.frame_s}
            fill(self, shown, template, names, list(units.values()), respond, bins_ms, rest)


def _units(
    content: Any,
    areas: Sequence[str] | None,
    quality: str | None,
    limits: dict[str, tuple[float | None, float | None]],
    file: Path,
) -> dict[int, dict[str, Any]]:
    """Metadata of the units that are wanted, by their row in the table."""
    columns = plain_columns(content["units"])
    ids = content["units/id"][:]
    electrodes = content["general/extracellular_ephys/electrodes"]
    places = {int(number): row for row, number in enumerate(electrodes["id"][:])}
    of_electrode = plain_columns(electrodes)
    passes = np.ones(len(ids), dtype=bool)
    if quality is not None:
        passes &= np.array(_column(columns, "quality", file)) == quality
    for name, (least, most) in limits.items():
        for limit, sign in ((least, 1), (most, -1)):
            if limit is not None:  # a unit whose value is NaN does not pass
                passes &= sign * np.array(_column(columns, name, file), dtype=float) >= sign * check_number(name, limit)
    session = {"session": text_of(content["general/session_id"][()])} if "general/session_id" in content else {}
    units: dict[int, dict[str, Any]] = {}
    there: dict[str, None] = {}
    for row in np.flatnonzero(passes):
        place = places[int(_column(columns, "peak_channel_id", file)[row])]
        area = of_electrode["location"][place]
        there[area] = None
        if areas is None or area in areas:
            meta = {"cell_id": str(ids[row]), "area": area, "probe": of_electrode["group_name"][place], **session}
            units[int(row)] = meta | {name: values[row] for name, values in columns.items()}
    if not units:
        raise ValueError(
            f"none of the {len(ids)} units of {file} passes: {int(passes.sum())} have the quality that is asked for, "
            f"in the areas {', '.join(there) or 'none'}; areas= is {areas}"
        )
    return units


def _column(columns: dict[str, list[Any]], name: str, file: Path) -> list[Any]:
    if name not in columns:
        raise RecordingError(f"the units of {file} have no column {name!r}; switch its limit off with None")
    return columns[name]


def _concerns(tags: set[str], probe: str) -> bool:
    """Whether invalid times are those of a unit: of the stimulus, all probes or its own; or nobody says of what."""
    return not tags or bool(tags & {"stimulus", "all_probes", probe})


def _spikes(units: Any, rows: Sequence[int]) -> Iterator[np.ndarray]:
    ends = np.concatenate([[0], units["spike_times_index"][:].astype(np.int64)])
    for row in rows:
        yield units["spike_times"][ends[row] : ends[row + 1]]


def _presented(table: Any, stimulus: str, template: Any, folder: Path) -> tuple[Presented, Any, dict[str, Any]]:
    """What was shown when, the frames to choose from, and what else the metadata of the stimulus say."""
    onsets, stops = table["start_time"][:], table["stop_time"][:]
    if stimulus == "gabors":
        x, y = table["x_position"][:], table["y_position"][:]
        across, down = np.unique(x), np.unique(y)[::-1]
        place = np.searchsorted(across, x) + len(across) * (len(down) - 1 - np.searchsorted(down[::-1], y))
        maps = np.eye(len(across) * len(down), dtype=np.uint8).reshape(-1, len(down), len(across))
        positions = {"x_positions_deg": across.tolist(), "y_positions_deg": down.tolist()}
        return sequences(place, onsets, stops, table["stimulus_block"][:]), maps, positions
    frames = table["frame"][:]
    if stimulus == "natural_scenes":
        shown = stills(frames, onsets, stops)
        last = max(int(pictures[0]) for pictures in shown.frames)
        if template is not None:
            return shown, open_frames(template), {}
        files = [find_in(folder, f"natural_scene_{k}.tiff", _NAME) for k in range(last + 1)]
        return shown, FrameStack([PictureFile(file) for file in files]), {}
    given = find_in(folder, _MOVIES[stimulus], _NAME) if template is None else template
    return whole_movie(frames, onsets, stops, table["stimulus_block"][:]), open_frames(given), {}
