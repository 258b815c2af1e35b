"""Wingert 2026: units of the ferret's auditory cortex and hippocampus, and sequences of natural sounds of 20 s."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from deepSTRF.checks import check_choice, check_number
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.lbhb_archives import SoundsOfEpochs, find_archives
from deepSTRF.datasets.audio.wingert2026_units import BandScaling, Units, read_cell_list, warn_of_duplicates
from deepSTRF.datasets.bands import band_corners
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_folder import find_in, recording_folder
from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.datasets.smoothing import smoother_of_counts
from deepSTRF.registry import register_dataset

__all__ = ["Wingert2026Dataset", "download_wingert2026"]

_AREAS = ("A1", "PEG", "AC", "HC")
_SUBSETS = ("all", "est", "val")
_DT_MS = 10.0
_N_BANDS = 32
_FOR_VALIDATION = 10  # every so many-th sequence of the estimation set stops the training


def download_wingert2026(dest: str | os.PathLike[str] | None = None, wav: bool = False) -> Path:
    """Download Wingert 2026 (4.4 GB), what is not there yet, and return its folder.

    Parameters
    ----------
    dest : str or path, optional
        The folder, by default ``default_cache_dir("Wingert2026")``.
    wav : bool
        Also fetch the sounds (3.7 GB).
    """
    return recording_folder("Wingert2026", dest, download=True, parts=["wav"] if wav else [])


@register_dataset(RECORDINGS["Wingert2026"].card)
class Wingert2026Dataset(AudioNeuralDataset):
    """Wingert et al. 2026 [1]_: 3128 units of 67 sites in four ferrets, each with about 100 sequences of sounds.

    Responses are spike counts in bins of 10 ms from the beginning of each presentation, not scaled by unit;
    ``ds.normalize_responses(...)`` does that from training stimuli. Stimuli are kept apart by session, also where two
    sessions presented the same. Spectrograms are the published ones, gammatone bands from 200 Hz to 20 kHz.

    Parameters
    ----------
    path : str or path, optional
        Folder with ``cell_list.csv`` and ``recordings``. By default ``default_cache_dir("Wingert2026")``.
    area : {'A1', 'PEG', 'AC', 'HC'}, optional
        Only units of this area.
    site : str, optional
        Only units of this site, as the list of cells names it (``"SLJ032a-B"`` is the second probe of SLJ032a), or of
        this session, as the file is named (``"SLJ032a"``: both probes).
    dt_ms : float
        Must be 10, the bin of the published spectrograms.
    subset : {'all', 'est', 'val'}
        All sequences, those for estimation (once each), or those for validation (5 to 30 times each).
    smooth : bool
        Smooth the responses with the 21 ms Hann window, which at 10 ms changes nothing.
    log_compress : bool
        Compress the spectrograms x: log((x + d) / d), where d is 10 to the power of `log_offset`.
    log_offset : float
        Beyond 2 and -2 only a fiftieth of it counts.
    download : bool
        Fetch files that are not in the folder.
    include_unlabeled : bool
        Add units that the list of cells does not have (131, of PRN010b, PRN011b and PRN020b), whatever `area` is; what
        is not known of them is None.
    return_waveform : bool
        Give the sounds as waveforms ``(1, T * hop)`` rather than as spectrograms; needs ``wav.zip``.
    audio_fs : int
        Sampling rate of the waveforms in Hz.
    prestim_ms : float
        Silence before the sound in the waveforms, in ms.
    cache : bool
        As of :class:`NS1Dataset`; from the cache, responses are read from the disk when they are used.

    Attributes
    ----------
    read_elsewhere : dict
        Sessions with units that were read from the file of another session, and that session.
    protocols : dict
        With ``subset='all'``: ``'published'``, which tests on the sequences for validation of the release. Every tenth
        of the others, by name, stops the training in all sessions that presented it, the rest trains.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message says which, and how to get it.
    ValueError
        If `area`, `site`, `subset` or `dt_ms` is another.
    ImportError
        If h5py is missing: ``pip install 'deepSTRF[recordings]'``.

    Warns
    -----
    UserWarning
        If a file holds units that another one has (PRN018b those of PRN018a); they are read from the first.

    Notes
    -----
    Every band is scaled so that the loaded stimuli for estimation lie between 0 and 1; values below 1e-6 become 0.
    The files don't list the frequencies: ``frequencies_hz`` takes the bands as evenly spaced on the ERB scale.
    Sites are read one at a time. The whole of A1 takes several minutes and about 10 GB of memory.

    References
    ----------
    .. [1] Wingert et al. (2026), https://doi.org/10.1038/s41593-026-02216-0

    Examples
    --------
    >>> ds = Wingert2026Dataset("recordings/wingert2026", area="PEG")  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        area: Literal["A1", "PEG", "AC", "HC"] | None = None,
        site: str | None = None,
        dt_ms: float = _DT_MS,
        subset: Literal["all", "est", "val"] = "all",
        smooth: bool = False,
        log_compress: bool = True,
        log_offset: float = -1.0,
        download: bool = False,
        include_unlabeled: bool = False,
        return_waveform: bool = False,
        audio_fs: int = 44100,
        prestim_ms: float = 1000.0,
        _enumerate_only: bool = False,
        *,
        cache: bool = True,
    ) -> None:
        if area is not None:
            check_choice("area", area, _AREAS)
        check_choice("subset", subset, _SUBSETS)
        if dt_ms != _DT_MS:
            raise ValueError(f"the spectrograms of Wingert 2026 have bins of 10 ms, so dt_ms must be 10; got {dt_ms!r}")
        scaling = BandScaling(_N_BANDS, check_number("log_offset", log_offset) if log_compress else None)
        if check_number("prestim_ms", prestim_ms) < 0:
            raise ValueError(f"prestim_ms must be 0 or more, got {prestim_ms!r}")
        parts = ["wav"] if return_waveform else []
        folder = recording_folder("Wingert2026", path, download=download, parts=parts)
        super().__init__(path=str(folder), dt_ms=_DT_MS)
        self.return_waveform, self.audio_fs = return_waveform, audio_fs if return_waveform else None
        self.hearing_range_hz, self.F = (200.0, 40000.0), _N_BANDS
        self.frequencies_hz = None if return_waveform else tuple(band_corners("erb", _N_BANDS, 200.0, 20000.0)[1:-1])
        sounds = SoundsOfEpochs(find_in(folder, "wav", "Wingert2026"), audio_fs, prestim_ms) if parts else None
        cells_file, recordings = (find_in(folder, name, "Wingert2026") for name in ("cell_list.csv", "recordings"))
        units = Units(read_cell_list(cells_file), area, site, include_unlabeled)
        smoothed = smoother_of_counts(smooth, self.dt)

        def fill() -> None:
            blocks: list[ResponseBlock] = []
            for archive in find_archives(recordings):
                if not units.may_be_in(archive.session):
                    continue
                first = len(self.nrn_meta)
                self.nrn_meta += units.of_session(archive.session, archive.cell_ids)
                cells = [meta["cell_id"] for meta in self.nrn_meta[first:]]
                if not cells:
                    continue
                stims = {} if _enumerate_only else archive.stimuli(_N_BANDS, _DT_MS)
                for name, epochs in archive.presentations.items():
                    kind = _subset(name)
                    stim = scaling.compressed(stims.pop(name), kind) if stims else None
                    if subset not in ("all", kind):
                        continue
                    self.stim_meta.append({"name": name, "subset": kind, "session": archive.session})
                    if stim is None:
                        continue
                    n_bins = stim.shape[1]
                    block = archive.block(cells, epochs, n_bins, _DT_MS, first)
                    blocks.append(block.replaced(smoothed(block.values)))
                    self.stims.append(
                        torch.from_numpy(stim)[None]
                        if sounds is None
                        else sounds.waveform(name, n_bins * (self.hop or 1))
                    )
            self.N_neurons, self.read_elsewhere = len(self.nrn_meta), units.twice
            warn_of_duplicates(units.twice)
            if not self.stim_meta:
                raise ValueError(f"{folder} has no stimuli ({subset}) of {units}")
            if subset == "all":
                self.protocols = {"published": _published(self.stim_meta)}
            if _enumerate_only:  # metadata alone, to see what there is
                return
            if sounds is None:
                scaling.scale(self.stims, folder)
            self.responses = PackedResponses(blocks, self.N_neurons)
            self.validate()

        options = {
            "path": self.path, "area": area, "site": site, "subset": subset, "smooth": bool(smooth),
            "log_offset": float(log_offset) if log_compress else None, "include_unlabeled": bool(include_unlabeled),
            "audio_fs": self.audio_fs, "prestim_ms": float(prestim_ms),
        }  # fmt: skip
        files = [cells_file, recordings, *([] if sounds is None else [sounds.folder])]
        fill_cached(self, "wingert2026", files, options, fill, cache=cache and not _enumerate_only)


def _subset(name: str) -> str:
    return "val" if name.startswith("STIM_00") else "est"


def _published(stims: Sequence[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    names = list(dict.fromkeys(stim["name"] for stim in stims if stim["subset"] == "est"))
    stopping = set(names[_FOR_VALIDATION - 1 :: _FOR_VALIDATION])
    split: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for s, stim in enumerate(stims):
        part = "test" if stim["subset"] == "val" else "val" if stim["name"] in stopping else "train"
        split[part].append(s)
    return {part: tuple(indices) for part, indices in split.items()}
