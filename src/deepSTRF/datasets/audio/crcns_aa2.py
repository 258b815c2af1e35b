"""CRCNS AA-2: cells of four auditory areas of the zebra finch, songs, song ripple and filtered noise."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepSTRF.datasets.audio.release_tables import read_text
from deepSTRF.datasets.audio.spike_lines import HeardSound, SpikeLineDataset
from deepSTRF.datasets.download import Login
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import find_in, recording_folder
from deepSTRF.registry import register_dataset

__all__ = ["CRCNSAA2Dataset", "download_aa2"]

_FIELD_L = ("L", "L1", "L2a", "L2b", "L3")
_AREAS = ("mld", "OV", *_FIELD_L, "CM", "None")


def download_aa2(
    dest: str | os.PathLike[str] | None = None, username: str | None = None, password: str | None = None
) -> Path:
    """Download CRCNS AA-2, what is not there yet, and return its folder; as :func:`download_aa1`."""
    return recording_folder("AA2", dest, download=True, login=Login(username, password))


@register_dataset(RECORDINGS["AA2"].card)
class CRCNSAA2Dataset(SpikeLineDataset):
    """CRCNS AA-2 [1]_: 494 cells of MLd, OV, Field L and CM of anaesthetised zebra finches, 10 to 20 trials each.

    Every cell heard some of the stimuli. Responses are spike counts per bin from sound onset to the last whole bin of
    the sound; times before the onset are left out. A cell that heard none of the chosen stimuli is left out.

    Parameters
    ----------
    path : str or path, optional
        Folder with ``cell_regions.csv``, ``stim_data.csv``, ``all_cells`` and ``all_stims``, or with the archives of
        CRCNS. By default ``default_cache_dir("AA2")``.
    areas : sequence of {'Field_L', 'mld', 'OV', 'CM', 'None', 'L', 'L1', 'L2a', 'L2b', 'L3'}, or 'all'
        Which cells. ``'Field_L'`` and ``'L'`` stand for all of L, L1, L2a, L2b and L3; ``'None'`` is a cell whose
        area is not known.
    stimuli : sequence of {'conspecific', 'flatrip', 'songrip'}, or 'all'
        Songs, and two kinds of noise with the modulations of song.
    animals : 'all' or sequence of str
        Which birds, such as ``'pipu1018'``.
    dt_ms, smooth, n_mels, compression, window_ms, return_waveform, audio_fs, download, username, password, cache
        As of :class:`CRCNSAA1Dataset`.

    Raises
    ------
    FileNotFoundError, RecordingError, ValueError
        As :class:`CRCNSAA1Dataset`.

    References
    ----------
    .. [1] Theunissen et al. (2011), https://doi.org/10.6080/K0JW8BSC

    Examples
    --------
    >>> ds = CRCNSAA2Dataset("recordings/aa2", areas=["mld", "Field_L"])  # doctest: +SKIP
    """

    _recording, _areas, _stimuli = "AA2", ("Field_L", "mld", "OV", "CM", "None"), ("conspecific", "flatrip", "songrip")
    _parts = _FIELD_L

    def _places(self, folder: Path, areas: Sequence[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
        wanted = {area for name in areas for area in (_FIELD_L if name in ("Field_L", "L") else (name,))}
        cells = find_in(folder, "all_cells", "AA2")
        for name, area in _rows(folder, "cell_regions.csv", 2, lambda row: row[1] in _AREAS):
            if area not in wanted:
                continue
            if not (cells / name).is_dir():
                raise RecordingError(f"cell_regions.csv names the cell {name}, but there is no folder {cells / name}")
            parts = name.split("_")
            yield (
                cells / name,
                {
                    "cell_id": name,
                    "area": area,
                    "animal_id": parts[0],
                    "cell_seq": int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None,
                    "rig": parts[2] if len(parts) > 2 else None,
                },
            )

    def _sounds(self, folder: Path, stimuli: Sequence[str]) -> dict[str, HeardSound]:
        place = find_in(folder, "all_stims", "AA2")
        return {
            row[0]: HeardSound(place / row[0], row[-1])
            for row in _rows(folder, "stim_data.csv", 5, lambda row: row[1].isdigit())
            if row[-1] in stimuli
        }


def _rows(folder: Path, name: str, n_columns: int, is_data: Callable[[list[str]], bool]) -> list[list[str]]:
    """Rows of one of the tables, without a header if it has one."""
    file = find_in(folder, name, "AA2")
    lines = read_text(file).splitlines()
    rows = [[entry.strip() for entry in row] for row in csv.reader(lines) if row]
    if wrong := [row for row in rows if len(row) != n_columns]:
        raise RecordingError(f"{file}: expected {n_columns} columns, got the line {','.join(wrong[0])!r}")
    by_name: dict[str, list[str]] = {}
    for row in rows if rows and is_data(rows[0]) else rows[1:]:
        by_name.setdefault(row[0], row)  # what is listed twice is one
    return list(by_name.values())
