"""Sessions of the Allen Brain Observatory in NWB files, read with h5py: what they hold, and under which names."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepSTRF.checks import check_positive
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import files_in, find_recording, how_to_get, recording_folder
from deepSTRF.datasets.sources.frames import frames_in_bins
from deepSTRF.datasets.video.presentations import Bins, Presented, bins_of
from deepSTRF.datasets.video.templates import ShownFrames, Template
from deepSTRF.files import expand_path

__all__ = [
    "fill",
    "invalid_in",
    "not_shown",
    "numbered",
    "open_session",
    "plain_columns",
    "session_file",
    "text_of",
]


def session_file(
    recording: str,
    path: str | os.PathLike[str] | None,
    session: str | int | None,
    part: str,
    has: str,
    parts: Sequence[str] = (),
    download: bool = False,
) -> Path:
    """Find the file of a session.

    Parameters
    ----------
    recording : str
        Key in :data:`~deepSTRF.datasets.public_recordings.RECORDINGS`.
    path : str or path, optional
        The file, or a folder with it; by default that of the recording.
    session : str or int, optional
        Its number, as in the name of the file; needed where there are several.
    part, has : str
        What it must hold as HDF5, and what that is in words.
    parts, download
        As of :func:`~deepSTRF.datasets.recording_folder.recording_folder`.

    Raises
    ------
    FileNotFoundError
        If there is none; the message says how to get it.
    RecordingError
        If the file holds no `part`.
    ValueError
        If there are several.
    """
    if path is not None and expand_path(path).is_file():
        if not _holds(expand_path(path), part):
            raise RecordingError(f"{path} holds no {has}; give the file of the session that does")
        return expand_path(path)
    folder = recording_folder(recording, path, download=download, parts=parts)
    mark = re.compile("" if session is None else rf"(?<!\d){re.escape(str(session))}(?!\d)")
    files = [file for file in files_in(folder, "**/*.nwb") if mark.search(file.name) and _holds(file, part)]
    if not files:
        of = "" if session is None else f" of session {session}"
        raise FileNotFoundError(
            f"there is no NWB file{of} with {has} in {folder}; {how_to_get(find_recording(recording))}"
        )
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:8])
        raise ValueError(f"{folder} has {len(files)} sessions ({names}); choose one with session=, or give its file")
    return files[0]


def _holds(file: Path, part: str) -> bool:
    with open_session(file) as content:
        return part in content


@contextlib.contextmanager
def open_session(file: Path) -> Iterator[Any]:
    """Open a file for reading; whatever is missing in it becomes an error that names the file.

    Raises
    ------
    ImportError
        If h5py is missing.
    RecordingError
        If it is no such file.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "files of the Brain Observatory are read by h5py: pip install 'deepSTRF[recordings]'"
        ) from error
    try:
        with h5py.File(file, "r") as content:
            yield content
    except (OSError, KeyError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise RecordingError(f"{file} is not a session of the Brain Observatory, or damaged ({error})") from error


def text_of(value: Any) -> str:
    """A cell that holds text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def plain_columns(table: Any) -> dict[str, list[Any]]:
    """Columns of a table of NWB that hold one number or text per row, without its id."""
    from h5py import check_string_dtype

    n_rows = len(table["id"])
    columns: dict[str, list[Any]] = {}
    for name, column in table.items():
        if name == "id" or not hasattr(column, "shape") or column.shape != (n_rows,) or f"{name}_index" in table:
            continue
        if name.endswith("_index") and name.removesuffix("_index") in table:
            continue
        if column.dtype.kind in "iufb":
            columns[name] = column[:].tolist()
        elif check_string_dtype(column.dtype) is not None:
            columns[name] = [text_of(value) for value in column[:]]
    return columns


def invalid_in(content: Any) -> list[tuple[float, float, set[str]]]:
    """Times that are not to be analysed: begin, end, and their tags."""
    table = content.get("intervals/invalid_times")
    if table is None:
        return []
    tags: list[set[str]] = [set() for _ in range(len(table["id"]))]
    if "tags" in table:
        words, ends = [text_of(word) for word in table["tags"][:]], table["tags_index"][:].astype(int)
        tags = [set(words[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return list(zip(table["start_time"][:].tolist(), table["stop_time"][:].tolist(), tags, strict=True))


def not_shown(file: Path, stimulus: str, there: Iterable[str], suffix: str) -> ValueError:
    """The error of a session in which a stimulus was not shown; `there` are what it has, with `suffix` or others."""
    shown = ", ".join(name.removesuffix(suffix) for name in there if name.endswith(suffix))
    return ValueError(f"{file} has no presentations of {stimulus!r}, but: {shown}")


def numbered(name: str, count: int) -> list[str]:
    """Names of the parts of a stimulus: its own, or with their numbers.

    Examples
    --------
    >>> numbered("film", 1), numbered("noise", 2)
    (['film'], ['noise 0', 'noise 1'])
    """
    return [name] if count == 1 else [f"{name} {number}" for number in range(count)]


def fill(
    dataset: Any,
    presented: Presented,
    template: Template,
    names: Sequence[str],
    nrn_meta: Sequence[dict[str, Any]],
    respond: Callable[[list[list[Bins]]], list[np.ndarray]],
    dt_ms: float | None,
    rest: dict[str, Any],
) -> None:
    """Fill a data set with movies, responses and metadata, and validate it.

    Parameters
    ----------
    names : sequence of str
        Of the movies.
    respond : callable
        Gives the responses in bins.
    dt_ms : float or None
        Width of a bin; that of a frame where it is None.
    rest : dict
        What the metadata of all movies say.
    """
    dataset.dt = 1000 * presented.frame_s if dt_ms is None else float(check_positive("dt_ms", dt_ms))
    for frames, name in zip(presented.frames, names, strict=True):
        movie = frames_in_bins(ShownFrames(template, frames), presented.frame_s, dataset.dt)
        dataset.stims.append(torch.from_numpy(movie)[None])
        dataset.stim_meta.append({"name": name, "duration_s": len(frames) * presented.frame_s, **rest})
    dataset.H, dataset.W = template.size
    dataset.nrn_meta, dataset.N_neurons = list(nrn_meta), len(nrn_meta)
    dataset.responses = [torch.from_numpy(block) for block in respond(bins_of(presented, dataset.dt))]
    dataset.validate()
