"""Allen calcium imaging: neurons of the mouse's visual cortex, natural movies and sparse noise, from DANDI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepSTRF.checks import check_choice, check_number
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.video.brain_observatory import (
    fill,
    not_shown,
    numbered,
    open_session,
    plain_columns,
    session_file,
    text_of,
)
from deepSTRF.datasets.video.presentations import Bins, sequences, whole_movie
from deepSTRF.datasets.video.shown_responses import means_in
from deepSTRF.datasets.video.templates import FrameStack, Template
from deepSTRF.datasets.video.video_dataset import VideoNeuralDataset
from deepSTRF.registry import register_dataset

__all__ = ["AllenCalciumDataset"]

_MOVIES = ("natural_movie_one", "natural_movie_two", "natural_movie_three")
_NOISE = ("locally_sparse_noise", "locally_sparse_noise_4deg", "locally_sparse_noise_8deg")
_DOWNSAMPLE = dict.fromkeys(_MOVIES, 8) | dict.fromkeys(_NOISE, 1)
_RESPONSES = {"dff": "DfOverF/DfOverF", "events": "DfOverF/DfOverFEvents", "corrected": "Fluorescence/Corrected"}
_NAME = "Allen_Calcium"
_LATE = 1.5


@register_dataset(RECORDINGS[_NAME].card)
class AllenCalciumDataset(VideoNeuralDataset):
    """Visual Coding - Optical Physiology [1]_: a session of the Allen Brain Observatory, as on DANDI (000728).

    Responses are the mean of the signal in each bin; bins follow the frames as they were shown, and are missing data
    where a frame was not shown, or came late by more than a quarter of a bin, or where the microscope lost a frame.
    Pixels have the grey levels of the template, 0 to 255; the ground of sparse noise is 127.

    Parameters
    ----------
    path : str or path, optional
        The NWB file of a session (``..._behavior+image+ophys.nwb``), or a folder with it. By default
        ``default_cache_dir("Allen_Calcium")``. Files with the raw movie of the microscope are not needed.
    session : str or int, optional
        Number of the session, as in the name of its file, where the folder has several.
    stimulus : str
        'natural_movie_one' (in every session), 'natural_movie_two' (sets C, C2), 'natural_movie_three' (set A),
        'locally_sparse_noise' (set C), 'locally_sparse_noise_4deg' or 'locally_sparse_noise_8deg' (set C2). A movie is
        one stimulus, with repeats; noise has a stimulus for each of the blocks in which it was shown.
    response : {'dff', 'events', 'corrected'}
        Relative fluorescence, events that were detected in it (not every session has them), or the fluorescence.
    max_contamination_ratio : float, optional
        Only neurons whose fluorescence holds at most this part of that around them.
    dt_ms : float, optional
        Width of a bin in ms. By default a frame: 33 ms of movies, 250 ms of noise.
    rows, columns : tuple of int, optional
        Part of the frame that matters, in pixels of the template: the first, and the one after the last.
    downsample : int, optional
        Side of the squares of pixels whose mean becomes one pixel. By default 8 for movies, 1 for noise.
    download : bool
        Fetch session 530026508 (set C) if it is not in the folder.

    Raises
    ------
    FileNotFoundError, RecordingError
        If the file is missing or can't be read; the message says how to get it.
    ValueError
        If the session has no such stimulus or response, no neuron passes, or a folder has several sessions.
    ImportError
        If h5py is missing: ``pip install 'deepSTRF[recordings]'``.

    Notes
    -----
    Gratings are not read, because the files of this dandiset hold three presentations of the static ones (a fault of
    their conversion). Neither are natural scenes: blank screens, once marked by -1, seem to have become picture 0.

    ``nrn_meta`` holds cell_id (the same in all sessions of a neuron), area, session, animal_id, and contamination_ratio
    where the file has it; ``stim_meta`` holds name, type, duration_s and frame_s.

    References
    ----------
    .. [1] de Vries, Lecoq, Buice et al. (2020), https://doi.org/10.1038/s41593-019-0550-9

    Examples
    --------
    >>> ds = AllenCalciumDataset("recordings/ophys", stimulus="locally_sparse_noise")  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        session: str | int | None = None,
        stimulus: str = "natural_movie_one",
        response: Literal["dff", "events", "corrected"] = "dff",
        max_contamination_ratio: float | None = None,
        dt_ms: float | None = None,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
        downsample: int | None = None,
        download: bool = False,
    ) -> None:
        check_choice("stimulus", stimulus, tuple(_DOWNSAMPLE))
        check_choice("response", response, tuple(_RESPONSES))
        has = "processed fluorescence (processing/ophys/DfOverF)"
        file = session_file(_NAME, path, session, "processing/ophys/DfOverF", has, download=download)
        super().__init__(path=str(file), dt_ms=1.0)
        with open_session(file) as content:
            shown_as = content.get(f"stimulus/presentation/{stimulus}_stimulus")
            if shown_as is None:
                raise not_shown(file, stimulus, content["stimulus/presentation"], "_stimulus")
            signal = content.get(f"processing/ophys/{_RESPONSES[response]}")
            if signal is None:
                raise ValueError(f"{file} has no {response!r}; choose another response=")
            onsets, stops = _times(shown_as)
            order = (whole_movie if stimulus in _MOVIES else sequences)(_frames(shown_as), onsets, stops)
            stack = _stack(content["stimulus/templates"], stimulus)
            scale = _DOWNSAMPLE[stimulus] if downsample is None else downsample
            template = Template(stack, rows, columns, scale)
            names = numbered(stimulus, len(order.frames))
            neurons = _neurons(content, signal, max_contamination_ratio, file)

            def respond(bins: list[list[Bins]]) -> list[np.ndarray]:
                return [block[list(neurons)] for block in means_in(bins, signal["data"], signal["timestamps"][:])]

            rest = {"type": stimulus, "frame_s": order.frame_s}
            fill(self, order, template, names, list(neurons.values()), respond, dt_ms, rest)


def _frames(shown_as: Any) -> np.ndarray:
    """Indices of the template; -1 that was stored without a sign is a blank screen again."""
    return shown_as["data"][:].astype(np.uint32).astype(np.int32)


def _times(shown_as: Any) -> tuple[np.ndarray, np.ndarray]:
    """When frames begin and end: with the next one, or after their usual time before a pause."""
    onsets = shown_as["timestamps"][:]
    usual = float(np.median(np.diff(onsets)))
    steps = np.append(np.diff(onsets), usual)
    return onsets, onsets + np.where(steps > _LATE * usual, usual, steps)


def _stack(templates: Any, stimulus: str) -> Any:
    """The frames of a template: one array, or an array for each picture, numbered."""
    found = templates[stimulus if stimulus in templates else f"{stimulus}_template"]
    if "data" in found:
        return found["data"]
    pictures = {name: found[name] for name in found if name[-1:].isdigit()}
    return FrameStack([pictures[name] for name in sorted(pictures, key=_number)])


def _number(name: str) -> int:
    return int(name[len(name.rstrip("0123456789")) :])


def _neurons(content: Any, signal: Any, most: float | None, file: Path) -> dict[int, dict[str, Any]]:
    """Metadata of the neurons that are wanted, by their column in the signal."""
    regions = content["processing/ophys/ImageSegmentation/PlaneSegmentation"]
    rows = signal["rois"][:]
    ids = regions["global_roi_id" if "global_roi_id" in regions else "id"][:]
    table = content.get("processing/ophys/ContaminationRatios")
    ratios = None if table is None else plain_columns(table)["ratios"]
    everyone: dict[str, Any] = {"area": text_of(content["general/optophysiology/ImagingPlane/location"][()])}
    for key, place in (("session", "general/session_id"), ("animal_id", "general/subject/subject_id")):
        if place in content:
            everyone[key] = text_of(content[place][()])
    neurons = {}
    for column, row in enumerate(rows):
        ratio = {} if ratios is None else {"contamination_ratio": ratios[row]}
        if most is None or ratio.get("contamination_ratio", np.nan) <= check_number("max_contamination_ratio", most):
            neurons[column] = {"cell_id": str(ids[row]), **everyone, **ratio}
    if not neurons:
        raise ValueError(f"none of the {len(rows)} neurons of {file} has a contamination ratio of at most {most}")
    return neurons
