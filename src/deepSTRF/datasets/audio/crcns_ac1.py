"""CRCNS AC-1: membrane potentials and spikes of the rat's auditory cortex and thalamus, natural sounds."""

from __future__ import annotations

import math
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.datasets.audio.ac1_release import SoundFile, concatenated
from deepSTRF.datasets.audio.ac1_responses import Cell, Preparation, gather
from deepSTRF.datasets.audio.ac1_splits import WEHR_NEURONS_SPLIT_NATURAL, WEHR_VALID_NEURONS, SplitsOfOneCell
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.spike_lines import chosen, warn_of_missing_sounds
from deepSTRF.datasets.download import Login
from deepSTRF.datasets.intracellular import RepeatGating, as_gating
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import find_in, recording_folder
from deepSTRF.datasets.smoothing import convolved_where_known, hann_taps
from deepSTRF.datasets.spectrograms import Spectrogram
from deepSTRF.registry import register_dataset

__all__ = ["WEHR_NEURONS_SPLIT_NATURAL", "WEHR_VALID_NEURONS", "CRCNSAC1Dataset", "download_ac1"]

_NAME = "CRCNS_AC1"
_EXPERIMENTERS, _SITES = ("wehr", "asari"), ("A1", "MGB")
_SMOOTH_MS = 21.0


def download_ac1(
    dest: str | os.PathLike[str] | None = None, *, username: str | None = None, password: str | None = None
) -> Path:
    """Download CRCNS AC-1, all three archives, what is not there yet, and return its folder.

    Parameters
    ----------
    dest, username, password
        As of :func:`download_aa1`; the folder is ``default_cache_dir("CRCNS_AC1")`` by default.
    """
    return recording_folder(_NAME, dest, download=True, parts=["asari"], login=Login(username, password))


@register_dataset(RECORDINGS[_NAME].card)
class CRCNSAC1Dataset(AudioNeuralDataset):
    """CRCNS AC-1 [1]_: cells of the anaesthetised rat's A1 and MGB that heard fragments of natural sounds.

    Whole-cell recordings give the membrane potential in mV, without its drift, averaged in bins (``signal_type`` of the
    cell ``'subthresh'``; values are positive and negative). Cell-attached ones, those of the MGB, give spike counts per
    bin, smoothed by the 21 ms Hann window (``'spikes'``): every crossing of a threshold counts once. A data set with
    both is ``'mixed'``, and says so in a warning: no loss suits both.

    Parameters
    ----------
    path : str or path, optional
        Folder with the archives of CRCNS or what they unpack to. By default ``default_cache_dir("CRCNS_AC1")``.
    experimenter : 'wehr', 'asari' or both
        Wehr's cells come first, sorted by session, and have ``_wehr_cell_idx``. Each experimenter used own sounds.
    sites : 'A1', 'MGB' or both
        Wehr recorded in A1 only.
    dt_ms : float
        Width of a bin in ms.
    fmin, fmax : float
        The bands of the spectrogram lie ``1 / bins_per_octave`` octaves apart, from `fmin` up to `fmax` at most, in Hz.
    bins_per_octave : int
        Bands per octave: with the defaults there are 53.
    window_ms : float, optional
        Length of the window, which ends with its bin; by default two bins.
    detrend_med_ms, detrend_gauss_ms : float
        Drift is the running median in so many ms, smoothed by a Gaussian of this standard deviation in ms.
    gating : RepeatGating or False, optional
        Which repeats of whole-cell recordings are artefacts and left out, by default ``RepeatGating()``; False keeps
        all. ``_rejection_counter`` says how many went for which reason; ``'short'`` ended in the first half of a sound.
    return_waveform : bool
        Give the sounds as waveforms ``(1, T * hop)`` at `audio_fs`.
    audio_fs : int
        Sampling rate of the waveforms in Hz.
    download, username, password
        As of :class:`CRCNSAA1Dataset`.

    Attributes
    ----------
    signal_type : {'subthresh', 'spikes', 'mixed'}
        What the responses are.
    protocols : dict
        ``'wehr'`` where one of Wehr's cells is selected: its natural sounds, in the order of the data set, train,
        validate and test, as many as :data:`WEHR_NEURONS_SPLIT_NATURAL` says. There is none where the cell heard
        another number of sounds than that, or a part is lost to artefacts.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message says which, and how to get it.
    ValueError
        If there is no such experimenter or site, none of the cells is of both, or a number is out of range.

    Warns
    -----
    RuntimeWarning, UserWarning
        If the data set is mixed; if the release lacks sounds that cells heard: the responses to them are left out.

    Notes
    -----
    Detrending windows are centred; the spectrogram is causal. A sound and the responses to it are cut to the shortest
    repeat of any cell. Cells of whom no repeat is left stay, so that numbers of cells don't depend on `gating`. Spikes
    cross 2.5 standard deviations of their repeat, above its running median of 10 ms. Prepared cells are cached.

    References
    ----------
    .. [1] Machens, Wehr & Zador (2004), https://doi.org/10.1523/JNEUROSCI.4445-03.2004, and Asari & Zador (2009),
       https://doi.org/10.1152/jn.00577.2009; the recording: https://doi.org/10.6080/K0KW5CXR

    Examples
    --------
    >>> ds = CRCNSAC1Dataset("recordings/ac1", experimenter="wehr")  # doctest: +SKIP
    >>> ds.select_neuron(WEHR_VALID_NEURONS[0])  # doctest: +SKIP
    >>> train, val, test = ds.split("wehr")  # doctest: +SKIP
    """

    behavioral_state = "anesthetized"
    protocols = SplitsOfOneCell()

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        experimenter: str | Sequence[str] = _EXPERIMENTERS,
        sites: str | Sequence[str] = _SITES,
        dt_ms: float = 5.0,
        fmin: float = 100.0,
        fmax: float = 45000.0,
        bins_per_octave: int = 6,
        window_ms: float | None = None,
        detrend_med_ms: float = 100.0,
        detrend_gauss_ms: float = 10.0,
        gating: RepeatGating | bool | None = None,
        return_waveform: bool = False,
        audio_fs: int = 96000,
        download: bool = False,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        people = [who for who in _EXPERIMENTERS if who in chosen("experimenter", experimenter, _EXPERIMENTERS)]
        sites = chosen("sites", sites, _SITES)
        preparation = Preparation(
            float(check_positive("dt_ms", dt_ms)),
            float(check_positive("detrend_med_ms", detrend_med_ms)),
            float(check_positive("detrend_gauss_ms", detrend_gauss_ms)),
            as_gating(gating),
        )
        n_bands = _number_of_bands(fmin, fmax, bins_per_octave)
        if return_waveform:
            spectrogram = Spectrogram("waveform", n_bands, fs=audio_fs)
        else:
            high = fmin * 2 ** ((n_bands - 1) / bins_per_octave)
            window = 2 * dt_ms if window_ms is None else window_ms
            spectrogram = Spectrogram("log", n_bands, low_hz=fmin, high_hz=high, window_ms=window, compression="db")
        parts = ["asari"] if "asari" in people else []
        folder = recording_folder(_NAME, path, download=download, parts=parts, login=Login(username, password))
        super().__init__(path=str(folder), dt_ms=float(dt_ms))
        self._rejection_counter: Counter[str] = Counter()
        self.return_waveform, self.audio_fs = return_waveform, audio_fs if return_waveform else None
        self.hearing_range_hz, self.F = (250.0, 76000.0), n_bands

        cells: list[Cell] = []
        files: dict[str, list[SoundFile]] = {}
        missing: set[str] = set()
        for who in people:
            names = ["wehr/Results"] if who == "wehr" else ["asari-results-1", "asari-results-2"]
            results = [find_in(folder, name, _NAME) for name in names]
            found = gather(who, find_in(folder, f"{who}/Stimuli", _NAME), results, sites, preparation)
            cells += found.cells
            files |= found.files
            missing.update(found.missing)
            self._rejection_counter.update(found.counts)
        warn_of_missing_sounds(folder, missing)
        if not files:
            raise RecordingError(f"no cell of {', '.join(people)} in {', '.join(sites)} heard a natural sound")
        wehr = [cell for cell in cells if cell.meta["experimenter"] == "wehr"]
        self._wehr_sounds = [tuple(s for s, name in enumerate(files) if name in cell.heard) for cell in wehr]
        numbers = [*range(len(wehr)), *[None] * (len(cells) - len(wehr))]
        self.nrn_meta = [{**cell.meta, "_wehr_cell_idx": k} for cell, k in zip(cells, numbers, strict=True)]
        self._fill(cells, files, spectrogram)
        self.signal_type = _signal_type([meta["signal_type"] for meta in self.nrn_meta])
        self.validate()

    def _fill(self, cells: list[Cell], files: dict[str, list[SoundFile]], spectrogram: Spectrogram) -> None:
        """Make the stimuli, sound by sound, and cut them and the responses to the bins that both have."""
        resolved = spectrogram.resolve([own.fs for parts in files.values() for own in parts], self.dt)
        levels = [resolved.levels(concatenated(name, parts)) for name, parts in files.items()]
        self.spectrogram = resolved.with_reference(levels)
        self.frequencies_hz = None if self.return_waveform else self.spectrogram.frequencies_hz
        hop = self.spectrogram.hop if self.return_waveform else 1
        types = [cell.meta["signal_type"] for cell in cells]
        taps = hann_taps(_SMOOTH_MS, self.dt, unit_gain=False, stacklevel=3) if "spikes" in types else None
        missing = torch.full((1, 1), torch.nan)
        rows = []
        for name, level in zip(files, levels, strict=True):
            own = [cell.heard[name]["repeats"] if cell.has_data(name) else missing for cell in cells]
            n_bins = min([level.shape[-1] // hop, *(one.shape[1] for one in own if one is not missing)])
            cut = zip((one[:, :n_bins] for one in own), types, strict=True)
            rows.append(
                [one if taps is None or kind != "spikes" else convolved_where_known(one, taps) for one, kind in cut]
            )
            self.stims.append(self.spectrogram.compress(level[:, : n_bins * hop]))
            self.stim_meta.append(next(cell.heard[name]["meta"] for cell in cells if name in cell.heard))
        self.responses = PackedResponses(rows, len(cells))
        self.N_neurons = len(cells)


def _number_of_bands(fmin: float, fmax: float, bins_per_octave: int) -> int:
    check_positive("fmin", fmin)
    if not check_positive("fmax", fmax) > fmin:
        raise ValueError(f"fmin must be below fmax, got {fmin:g} and {fmax:g}")
    return math.floor(check_integer("bins_per_octave", bins_per_octave) * math.log2(fmax / fmin) + 1e-9) + 1


def _signal_type(types: Sequence[str]) -> str:
    if len(set(types)) == 1:
        return types[0]
    warnings.warn(
        f"the data set holds membrane potentials in mV ({types.count('subthresh')} cells) and smoothed spike counts "
        f"({types.count('spikes')}); select those of one signal_type before a fit",
        RuntimeWarning,
        stacklevel=3,
    )
    return "mixed"
