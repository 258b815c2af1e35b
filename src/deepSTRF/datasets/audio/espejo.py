"""Lopez Espejo 2019: units of the ferret's A1 that hear natural sounds, or noise modulated by vocalisations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from deepSTRF.checks import check_choice
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.espejo_release import DT_MS, Release
from deepSTRF.datasets.audio.lbhb_archives import SoundsOfEpochs, parts_of_cell_id
from deepSTRF.datasets.audio.published_splits import published_split
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.download import RemoteFile, default_cache_dir, fetch_file, locked_folder
from deepSTRF.datasets.hosts import bitbucket
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_folder import find_in, recording_folder
from deepSTRF.files import expand_path
from deepSTRF.registry import register_dataset

__all__ = ["EspejoDataset", "download_espejo", "download_espejo_nat_waveforms"]

_SUBSETS = ("all", "estimation", "test")
_LEAD_MS = 500.0
_SOUNDS = "Config/lbhb/SoundObjects/@NaturalSounds"
_SOUND_SETS = (*(f"sounds_set{k}" for k in (3, 4, 2, 6, 7, 8)), "sounds", "Sounds_set3")


class _Kind(NamedTuple):
    """One of the two sets of stimuli: its folder, its bands, and what its stimuli are."""

    folder: str
    n_bands: int
    type: str


_KINDS = {"nat": _Kind("NAT", 18, "natural_sound"), "vmn": _Kind("VMN", 2, "vocalization_modulated_noise")}


def download_espejo(stimuli: str, dest: str | os.PathLike[str] | None = None) -> Path:
    """Download one set of stimuli and its responses, what is not there yet, and return the folder.

    Parameters
    ----------
    stimuli : {'nat', 'vmn'}
        Natural sounds (638 MB), or noise modulated by vocalisations (25 MB).
    dest : str or path, optional
        The folder, by default ``default_cache_dir("Espejo")``.
    """
    return recording_folder("Espejo", dest, download=True, parts=[check_choice("stimuli", stimuli, _KINDS)])


def download_espejo_nat_waveforms(
    names: Iterable[str], dest: str | os.PathLike[str] | None = None, *, progress: bool = True
) -> dict[str, Path]:
    """Download natural sounds from the laboratory's software on Bitbucket, those that are not there yet.

    Parameters
    ----------
    names : iterable of str
        Names of stimuli, as in the metadata, or of files.
    dest : str or path, optional
        Folder of the recording, by default ``default_cache_dir("Espejo")``; the sounds are in ``nat_waveforms`` in it.
    progress : bool
        Say on stderr what is fetched.

    Returns
    -------
    dict of str to Path
        The file of every name.

    Raises
    ------
    RecordingError
        If a sound can't be downloaded, or is in none of the folders there; those before it are kept.
    """
    if isinstance(names, str):
        raise TypeError(f"names must be a list of names, got one string: {names!r}")
    folder = (default_cache_dir("Espejo") if dest is None else expand_path(dest, "dest")) / "nat_waveforms"
    files: dict[str, Path] = {}
    with locked_folder(folder):
        for name in names:
            file = name.removeprefix("STIM_")
            file = file if file.lower().endswith(".wav") else f"{file}.wav"
            places = tuple(bitbucket("lbhb/baphy", f"{_SOUNDS}/{sounds}/{file}") for sounds in _SOUND_SETS)
            files[name] = fetch_file(RemoteFile(file, places), folder, progress=progress)
    return files


@register_dataset(RECORDINGS["Espejo"].card)
class EspejoDataset(AudioNeuralDataset):
    """Lopez Espejo et al. 2019 [1]_: units of A1 in awake ferrets, and natural sounds or modulated noise.

    Each site heard some of the stimuli: about 30 % of all pairs have data. A unit that several recordings hold is one,
    with the repeats of all. Responses are spike counts in bins of 10 ms from the beginning of each presentation; of
    three recordings (chn002h, eno023c, eno028f) the release has no spike times, but the responses by bin, which are
    taken as counts.

    Parameters
    ----------
    path : str or path, optional
        Folder with ``A1_natural_sounds`` or ``A1_voc_mod_noise``, or the archive. By default
        ``default_cache_dir("Espejo")``.
    stimuli : {'nat', 'vmn'}
        Natural sounds of 4 s as spectrograms of 18 bands, or the envelopes of two noises that are modulated by
        vocalisations; both with 0.5 s of silence before and after.
    dt_ms : float
        Must be 10, the bin of the published stimuli.
    subset : {'all', 'estimation', 'test'}
        All stimuli, or those of one kind. Those for test were presented more often than once, and as often as any, in
        some recording.
    cells : sequence of str, optional
        Only these units, by their ``cell_id``, and the stimuli that one of them heard.
    smooth : bool
        Smooth the responses with the 21 ms Hann window, which at 10 ms changes nothing.
    return_waveform : bool
        Give the natural sounds as waveforms ``(1, T * hop)`` rather than as spectrograms. The release does not have
        them: see :func:`download_espejo_nat_waveforms`.
    audio_fs : int
        Sampling rate of the waveforms in Hz.
    download : bool
        Fetch files that are not in the folder; with `return_waveform` also the sounds.
    cache : bool
        As of :class:`NS1Dataset`.

    Attributes
    ----------
    protocols : dict
        With ``subset='all'``: ``'published'``, which tests on the stimuli for test. Every tenth of the others stops the
        training, the rest trains. Where one of the three parts is empty there is no such protocol.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message says which, and how to get it.
    ValueError
        If `stimuli`, `subset`, `cells` or `dt_ms` is another, or waveforms of modulated noise are asked for.
    ImportError
        If h5py is missing: ``pip install 'deepSTRF[recordings]'``.

    Warns
    -----
    UserWarning
        If recordings have different spectrograms of a stimulus; that of the first is used.

    Notes
    -----
    Spectrograms are the published ones, those of natural sounds log-compressed. ``n_samples`` of a stimulus are its
    bins, of a waveform its samples; ``n_repeats`` are those of the unit with most.

    References
    ----------
    .. [1] Lopez Espejo, Schwartz & David (2019), https://doi.org/10.1371/journal.pcbi.1007430

    Examples
    --------
    >>> ds = EspejoDataset("recordings/espejo", stimuli="vmn", subset="test")  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        stimuli: Literal["nat", "vmn"] = "nat",
        dt_ms: float = DT_MS,
        subset: Literal["all", "estimation", "test"] = "all",
        cells: Sequence[str] | None = None,
        smooth: bool = False,
        return_waveform: bool = False,
        audio_fs: int = 44100,
        download: bool = False,
        *,
        cache: bool = True,
    ) -> None:
        kind = _KINDS[check_choice("stimuli", stimuli, _KINDS)]
        check_choice("subset", subset, _SUBSETS)
        if dt_ms != DT_MS:
            raise ValueError(f"the stimuli of Espejo have bins of 10 ms, so dt_ms must be 10; got {dt_ms!r}")
        if return_waveform and stimuli == "vmn":
            raise ValueError("the modulated noise (stimuli='vmn') was published as envelopes only, without waveforms")
        folder = recording_folder("Espejo", path, download=download, parts=[stimuli])
        super().__init__(path=str(folder), dt_ms=DT_MS)
        self.return_waveform, self.audio_fs = return_waveform, audio_fs if return_waveform else None
        self.hearing_range_hz, self.F = (200.0, 40000.0), kind.n_bands

        wanted = [cells] if isinstance(cells, str) else None if cells is None else list(cells)
        recordings, waves = find_in(folder, kind.folder, "Espejo"), folder / "nat_waveforms"

        def fill() -> None:
            release = Release(recordings, kind.n_bands, wanted)
            chosen = [key for key in release.heard() if subset in ("all", release.split(key))]
            if not chosen:
                raise ValueError(
                    f"{folder} has no stimuli ({subset}) that these cells heard: {', '.join(release.cells)}"
                )
            if return_waveform:
                if download:
                    download_espejo_nat_waveforms([key.name for key in chosen], folder)
                how = "download_espejo_nat_waveforms, or download=True, fetches it"
                sounds = SoundsOfEpochs(waves, audio_fs, _LEAD_MS, how)
                self.stims = [sounds.waveform(key.name, key.n_bins * (self.hop or 1), sounds.lead) for key in chosen]
            else:
                self.stims = [torch.from_numpy(release.stims[key])[None] for key in chosen]
            responses = PackedResponses((release.row(key) for key in chosen), len(release.cells))
            self.responses = responses
            self.nrn_meta = [_about_cell(cell, stimuli) for cell in release.cells]
            self.stim_meta = [
                {
                    "name": key.name,
                    "type": kind.type,
                    "n_repeats": int(block.repeats.max(initial=0)),
                    "split": release.split(key),
                    "duration_s": key.n_bins * DT_MS / 1000,
                    "n_samples": stim.shape[-1],
                }
                for key, block, stim in zip(chosen, responses.blocks(), self.stims, strict=True)
            ]
            self.N_neurons = len(release.cells)
            published = published_split([release.split(key) == "test" for key in chosen])
            if subset == "all" and all(published.values()):
                self.protocols = {"published": published}
            if smooth:
                self.smooth_responses()
            self.validate()

        options = {
            "path": self.path, "stimuli": stimuli, "subset": subset, "cells": wanted, "smooth": bool(smooth),
            "audio_fs": self.audio_fs,
        }  # fmt: skip
        files = [recordings, *([waves] if return_waveform and waves.is_dir() else [])]
        fill_cached(self, "espejo", files, options, fill, cache=cache)


def _about_cell(cell: str, stimuli: str) -> dict[str, Any]:
    parts = parts_of_cell_id(cell)
    return {
        "cell_id": cell,
        "experiment_set": stimuli,
        "site": parts["site"],
        "animal_id": parts["animal"],
        "channel": parts["electrode"],
        "unit": parts["unit_in_electrode"],
    }
