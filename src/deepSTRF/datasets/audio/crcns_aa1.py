"""CRCNS AA-1: cells of the zebra finch's midbrain and forebrain, songs and noise that ripples like them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deepSTRF.datasets.audio.spike_lines import HeardSound, SpikeLineDataset
from deepSTRF.datasets.download import Login
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import files_in, find_in, recording_folder
from deepSTRF.registry import register_dataset

__all__ = ["CRCNSAA1Dataset", "download_aa1"]


def download_aa1(
    dest: str | os.PathLike[str] | None = None, username: str | None = None, password: str | None = None
) -> Path:
    """Download CRCNS AA-1, what is not there yet, and return its folder.

    Parameters
    ----------
    dest : str or path, optional
        The folder, by default ``default_cache_dir("AA1")``.
    username, password : str, optional
        Of a CRCNS account, by default ``CRCNS_USERNAME`` and ``CRCNS_PASSWORD`` of the environment.
    """
    return recording_folder("AA1", dest, download=True, login=Login(username, password))


@register_dataset(RECORDINGS["AA1"].card)
class CRCNSAA1Dataset(SpikeLineDataset):
    """CRCNS AA-1 [1]_: 50 cells of Field L and 50 of MLd of anaesthetised zebra finches, about 10 trials each.

    Responses are spike counts per bin from sound onset to the last whole bin of the sound; times before the onset are
    left out. A cell that heard none of the chosen stimuli is left out: pipu1018_2_A and pipu1018_2_B heard no song.

    Parameters
    ----------
    path : str or path, optional
        Folder with ``all_stims``, ``Field_L_cells`` and ``MLd_cells``, or with the archive of CRCNS.
        By default ``default_cache_dir("AA1")``.
    areas : sequence of {'Field_L', 'MLd'}, or 'all'
        Which cells.
    stimuli : sequence of {'conspecific', 'flatrip'}, or 'all'
        Songs, and noise with the modulations of song.
    animals : 'all' or sequence of str
        Which birds, such as ``'pipu1018'``.
    dt_ms : float
        Width of a bin in ms.
    smooth : bool
        Smooth the responses with the 21 ms Hann window.
    n_mels, compression, window_ms
        Of the causal mel spectrogram from 250 Hz to 8 kHz: number of bands; cube root (``'cubic'``) or ``'log1p'`` of
        power, or power itself (``'none'``); length of its Hann window.
    return_waveform : bool
        Give the sounds as waveforms ``(1, T * hop)`` at `audio_fs`.
    audio_fs : int
        Sampling rate of the waveforms in Hz.
    download : bool
        Fetch files that are not in the folder; a free CRCNS account is needed.
    username, password : str, optional
        Of that account, by default ``CRCNS_USERNAME`` and ``CRCNS_PASSWORD`` of the environment.
    cache : bool
        As of :class:`NS1Dataset`.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message says which, and how to get it.
    ValueError
        If there is no such area, stimulus class, animal or compression.

    References
    ----------
    .. [1] Theunissen et al. (2009), https://doi.org/10.6080/K0F769GP

    Examples
    --------
    >>> ds = CRCNSAA1Dataset("recordings/aa1", areas=["MLd"], stimuli=["conspecific"])  # doctest: +SKIP
    """

    _recording, _areas, _stimuli = "AA1", ("Field_L", "MLd"), ("conspecific", "flatrip")

    def _places(self, folder: Path, areas: Sequence[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
        for area in areas:
            for place in sorted(find_in(folder, f"{area}_cells", "AA1").iterdir()):
                if place.is_dir() and not place.name.startswith("."):
                    yield place, {"cell_id": place.name, "area": area, **_parts_of(place)}

    def _sounds(self, folder: Path, stimuli: Sequence[str]) -> dict[str, HeardSound]:
        return {
            file.name: HeardSound(file, kind)
            for kind in stimuli
            for file in files_in(find_in(folder, f"all_stims/{kind}", "AA1"), "*.wav")
        }


def _parts_of(place: Path) -> dict[str, Any]:
    """Animal, number of the cell and rig, from a name such as ``pipu1018_2_A``."""
    parts = place.name.split("_")
    if len(parts) not in (2, 3) or not parts[1].isdigit():
        raise RecordingError(f"{place}: expected the name of a cell, <animal>_<number> or <animal>_<number>_<rig>")
    return {"animal_id": parts[0], "cell_seq": int(parts[1]), "rig": parts[2] if len(parts) == 3 else None}
