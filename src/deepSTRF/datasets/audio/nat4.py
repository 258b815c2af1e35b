"""NAT4: units of ferret auditory cortex and 593 natural sounds of 1 s."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_choice
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.lbhb_archives import (
    Epoch,
    SiteArchive,
    SoundsOfEpochs,
    find_archives,
    parts_of_cell_id,
    scale_to_unit,
)
from deepSTRF.datasets.audio.published_splits import published_split
from deepSTRF.datasets.audio.release_tables import read_rows
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import find_in, recording_folder
from deepSTRF.registry import register_dataset

__all__ = ["NAT4Dataset", "download_nat4"]

_AREAS = ("A1", "PEG")
_SUBSETS = ("all", "est", "val")
_DT_MS = 10.0
_N_BINS = 150
_LEAD_MS = 250.0


def download_nat4(area: str, dest: str | os.PathLike[str] | None = None, wav: bool = False) -> Path:
    """Download NAT4, what is not there yet, and return its folder.

    Parameters
    ----------
    area : {'A1', 'PEG'}
        Which area.
    dest : str or path, optional
        The folder, by default ``default_cache_dir("NAT4")``.
    wav : bool
        Also fetch the sounds.
    """
    parts = [check_choice("area", area, _AREAS), *(["wav"] if wav else [])]
    return recording_folder("NAT4", dest, download=True, parts=parts)


@register_dataset(RECORDINGS["NAT4"].card)
class NAT4Dataset(AudioNeuralDataset):
    """NAT4 [1]_: units of the ferret's A1 or PEG, 575 natural sounds heard once and 18 heard 20 times.

    A stimulus is 0.25 s of silence, 1 s of sound and 0.25 s of silence; its spectrogram, of 18 gammatone bands, is the
    published one. All responses are spike counts in bins of 10 ms: those for validation from the spike times of each
    site, those for estimation from the file of the population, brought to the same unit.

    Parameters
    ----------
    path : str or path, optional
        Folder with the published files of the area, packed or not. By default ``default_cache_dir("NAT4")``.
    area : {'A1', 'PEG'}
        Primary or secondary auditory cortex.
    dt_ms : float
        Must be 10, the bin of the published spectrograms.
    smooth : bool
        Smooth the responses with the 21 ms Hann window, which at 10 ms changes nothing.
    download : bool
        Fetch files that are not in the folder.
    subset : {'all', 'est', 'val'}
        All sounds, those for estimation (once each), or those for validation (20 times each).
    return_waveform : bool
        Give the sounds as waveforms ``(1, T * hop)`` rather than as spectrograms; needs ``wav.zip``.
    audio_fs : int
        Sampling rate of the waveforms in Hz.
    cache : bool
        As of :class:`NS1Dataset`.

    Attributes
    ----------
    protocols : dict
        With ``subset='all'``: ``'published'``, which tests on the sounds for validation, as the paper does [1]_. Every
        tenth of the others stops the training, the rest trains.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message names it and says how to get it.
    ValueError
        If `area`, `subset` or `dt_ms` is another.
    ImportError
        If h5py is missing: ``pip install 'deepSTRF[recordings]'``.

    Notes
    -----
    The compressed spectrograms, log(1 + x), are scaled so that those for estimation lie between 0 and 1. Units that no
    site has (33 of A1) miss the sounds for validation.

    References
    ----------
    .. [1] Pennington & David (2023), https://doi.org/10.1371/journal.pcbi.1011110

    Examples
    --------
    >>> ds = NAT4Dataset("recordings/nat4", area="PEG")  # doctest: +SKIP
    >>> _ = ds.select_pop_by_nrn_attr("auditory", True)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        area: Literal["A1", "PEG"] = "A1",
        dt_ms: float = _DT_MS,
        smooth: bool = False,
        download: bool = False,
        subset: Literal["all", "est", "val"] = "all",
        return_waveform: bool = False,
        audio_fs: int = 44100,
        *,
        cache: bool = True,
    ) -> None:
        check_choice("area", area, _AREAS)
        check_choice("subset", subset, _SUBSETS)
        if dt_ms != _DT_MS:
            raise ValueError(f"the spectrograms of NAT4 have bins of 10 ms, so dt_ms must be 10; got {dt_ms!r}")
        parts = [area, "wav"] if return_waveform else [area]
        folder = recording_folder("NAT4", path, download=download, parts=parts)
        super().__init__(path=str(folder), dt_ms=_DT_MS)
        self.hearing_range_hz, self.F = (200.0, 40000.0), 18
        self.return_waveform, self.audio_fs = return_waveform, audio_fs if return_waveform else None
        population = _population(folder, area)
        singles = find_in(folder, f"{area}_single_sites", "NAT4")
        correlations = find_in(folder, f"{area}_pred_correlation.csv", "NAT4")
        wav = find_in(folder, "wav", "NAT4") if return_waveform else None

        def fill() -> None:
            every = {name: epochs[0] for name, epochs in population.presentations.items()}
            names = [name for name in every if subset == "all" or _subset(name) == subset]
            if not names:
                raise RecordingError(f"{population.path} has no stimulus for {subset!r}; download it again")
            if wav is not None:
                sounds = SoundsOfEpochs(wav, audio_fs, _LEAD_MS)
                n_samples = round(_N_BINS * _DT_MS / 1000 * audio_fs)
                self.stims = [sounds.waveform(name, n_samples, sounds.lead) for name in names]
            else:
                spectrograms = _spectrograms(population, every)
                self.stims = [torch.from_numpy(spectrograms[name])[None] for name in names]
            cells, sites, auditory = population.cell_ids, _sites(singles), _auditory(correlations)
            estimated = _Estimation(population, sites, every)
            rows = (_validation(sites, cells, s) if _subset(s) == "val" else estimated.row(every[s]) for s in names)
            self.responses = PackedResponses(rows, len(cells))
            self.nrn_meta = [
                {"cell_id": n, "area": area, "auditory": auditory.get(n), **parts_of_cell_id(n)} for n in cells
            ]
            self.stim_meta = [{"name": name, "subset": _subset(name), "unit": "spikes per bin"} for name in names]
            self.N_neurons = len(cells)
            if subset == "all":
                self.protocols = {"published": published_split([_subset(name) == "val" for name in names])}
            if smooth:
                self.smooth_responses()
            self.validate()

        options = {"path": self.path, "area": area, "smooth": smooth, "subset": subset, "audio_fs": self.audio_fs}
        files = [population.path, singles, correlations, *([] if wav is None else [wav])]
        fill_cached(self, "nat4", files, options, fill, cache=cache)


def _subset(name: str) -> str:
    return "val" if name.startswith("STIM_00cat") else "est"


def _population(folder: Path, area: str) -> SiteArchive:
    stem = f"{area}_NAT4_ozgf.fs100.ch18"
    try:
        return SiteArchive(find_in(folder, stem, "NAT4"))
    except FileNotFoundError:
        return SiteArchive(find_in(folder, f"{stem}.tgz", "NAT4"))


def _spectrograms(population: SiteArchive, epochs: dict[str, Epoch]) -> dict[str, Float[np.ndarray, "F T"]]:
    table = population.table("stim.csv")
    stims = {name: np.log1p(_cut(table, epoch, population).T) for name, epoch in epochs.items()}
    if not all(np.isfinite(stim).all() for stim in stims.values()):
        raise RecordingError(f"{population.path}: a spectrogram has missing values; download it again")
    return scale_to_unit(stims, [name for name in stims if _subset(name) == "est"] or list(stims))


def _cut(table: np.ndarray, epoch: Epoch, population: SiteArchive) -> np.ndarray:
    first = round(epoch.start * 1000 / _DT_MS)
    rows = table[first : first + _N_BINS]
    if len(rows) < _N_BINS:
        raise RecordingError(f"{population.path} ends within {epoch.name}; download it again")
    return rows


def _sites(folder: Path) -> dict[str, SiteArchive]:
    return {cell: archive for archive in find_archives(folder) for cell in archive.spikes_s}


def _validation(sites: dict[str, SiteArchive], cells: Sequence[str], name: str) -> list[Tensor]:
    missing = torch.full((1, 1), torch.nan)
    return [
        sites[cell].counts(cell, epochs, _N_BINS, _DT_MS)
        if cell in sites and (epochs := sites[cell].presentations.get(name))
        else missing
        for cell in cells
    ]


class _Estimation:
    """Responses to the sounds that were heard once, of all cells, in spikes per bin.

    The unit of the file is measured where spike times are known too, in the responses to the sounds for validation.
    """

    def __init__(self, population: SiteArchive, sites: dict[str, SiteArchive], epochs: dict[str, Epoch]) -> None:
        self.population, self.table = population, population.table("resp.csv")
        if self.table.shape[1] != len(population.cell_ids):
            raise RecordingError(
                f"{population.path}: expected a column for each of {len(population.cell_ids)} cells, got "
                f"{self.table.shape[1]}; download it again"
            )
        in_file = in_spikes = 0.0
        for name in (name for name in epochs if _subset(name) == "val"):
            rows = _cut(self.table, epochs[name], population)
            for column, row in enumerate(_validation(sites, population.cell_ids, name)):
                if row.shape[1] > 1 and np.isfinite(rows[:, column]).all():
                    in_file += float(rows[:, column].sum())
                    in_spikes += float(row.mean(0).sum())
        # counts or rates in Hz; rounded, as both are sums of many spikes
        self.per_spike = 100.0 if in_spikes > 0 and in_file / in_spikes > 10 else 1.0

    def row(self, epoch: Epoch) -> list[Tensor]:
        """Responses (1, T) to one sound; missing where the file has NaN throughout."""
        rows = torch.from_numpy(_cut(self.table, epoch, self.population)) / self.per_spike
        return [row[None] if not bool(row.isnan().all()) else torch.full((1, 1), torch.nan) for row in rows.T]


def _auditory(file: Path) -> dict[str, bool]:
    rows = read_rows(file, ("cellid", "sig_auditory"))
    return {row["cellid"]: row["sig_auditory"].strip().lower() in ("true", "1", "1.0") for row in rows}
