"""Alice EEG: people who listen to the first chapter of Alice in Wonderland."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from deepSTRF.checks import check_choice, check_positive
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.spike_lines import read_sound_of
from deepSTRF.datasets.cache import cached
from deepSTRF.datasets.http_download import say
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import files_in, find_in, how_to_get, recording_folder
from deepSTRF.datasets.sources.binning import signals_in_trials
from deepSTRF.datasets.sources.parts import JoinedSessions
from deepSTRF.datasets.spectrograms import Spectrogram, spectrograms_of
from deepSTRF.registry import register_dataset

__all__ = ["AliceEEGDataset", "download_alice_eeg"]

_SEGMENTS = tuple(str(number) for number in range(1, 13))
_KINDS = {"gaussian": ("erb", 1000 * 1024 / 44100), "heeris": ("gammatone", 25.0)}  # with the window in ms
_FILE = "_alice-raw.fif"


def download_alice_eeg(dest: str | os.PathLike[str] | None = None) -> Path:
    """Download Alice EEG, 2.5 GB, what is not there yet, and return its folder.

    It is `dest`, by default ``default_cache_dir("Alice_EEG")``.
    """
    return recording_folder("Alice_EEG", dest, download=True)


@register_dataset(RECORDINGS["Alice_EEG"].card)
class AliceEEGDataset(AudioNeuralDataset):
    """Alice EEG [1]_ [2]_: the scalp EEG of 33 people and the first chapter of Alice in Wonderland, in 12 segments.

    Responses are voltages in V, band-passed without delay (a symmetric filter) and brought to the bins by a low-pass at
    half their rate. Bad channels and what annotations call bad are missing, and so are segments that a person has no
    annotation of; a line on stderr says which.

    Parameters
    ----------
    path : str or path, optional
        Folder with ``stimuli`` and ``eeg.0`` to ``eeg.2``, or some of the latter. By default
        ``default_cache_dir("Alice_EEG")``.
    subjects : sequence of str, optional
        Whom to load, such as ``["S01", "S03"]``; by default everybody in the folder.
    dt_ms : float
        Width of a bin in ms.
    n_frequency_bands : int
        Number of bands of the spectrogram.
    treat_subjects_as : {'neurons', 'repeats'}
        Each channel of each person is a neuron with one repeat; or each channel is a neuron, and the people are its
        repeats, in the same order everywhere. What is explainable is then what people share.
    hp_freq_hz, lp_freq_hz : float or None
        Corners of the band-pass in Hz; None for none. The files were high-passed at 0.1 Hz, which leaves slow drifts.
    window_ms : float, optional
        Length of the windows of the spectrogram in ms; by default 23.2 ms, or 25 ms for 'heeris'.
    fmin, fmax : float, optional
        Centres of the first and the last band in Hz; by default the last is 95 % of half the rate of the sounds.
    spec_backend : {'gaussian', 'heeris'}
        Spectra of windows in ERB-spaced bands, or a gammatone filter bank. Both are causal and in dB; the published
        ones are centred, and the bands of the first are Gaussian where ours are triangular.
    download : bool
        Fetch files that are not in the folder.
    return_waveform : bool
        Give the sounds as waveforms ``(1, T * hop)``.
    audio_fs : int
        Sampling rate of the waveforms in Hz.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file or a person is missing, or can't be read; the message says which, and how to get it.
    ValueError
        If there is no such `treat_subjects_as` or `spec_backend`, or a number is out of range.
    ImportError
        If MNE is missing: ``pip install 'deepSTRF[eeg]'``.

    Notes
    -----
    What is read of a person is kept in the cache. Onsets are those of the nearest sample of the file, counted from its
    first one, wherever the acquisition began to count.

    References
    ----------
    .. [1] Brodbeck et al. (2023), https://doi.org/10.7554/eLife.85012
    .. [2] Bhattasali et al. (2020), Proc. LREC 12

    Examples
    --------
    >>> ds = AliceEEGDataset("recordings/alice_eeg", subjects=["S01"])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        subjects: str | Sequence[str] | None = None,
        dt_ms: float = 10.0,
        n_frequency_bands: int = 8,
        treat_subjects_as: Literal["neurons", "repeats"] = "neurons",
        hp_freq_hz: float | None = 1.0,
        lp_freq_hz: float | None = None,
        window_ms: float | None = None,
        fmin: float = 80.0,
        fmax: float | None = None,
        spec_backend: Literal["gaussian", "heeris"] = "gaussian",
        download: bool = False,
        return_waveform: bool = False,
        audio_fs: int = 44100,
    ) -> None:
        check_choice("treat_subjects_as", treat_subjects_as, ("neurons", "repeats"))
        kind, usual_ms = _KINDS[check_choice("spec_backend", spec_backend, _KINDS)]
        band_hz = [
            None if corner is None else float(check_positive(name, corner))
            for name, corner in (("hp_freq_hz", hp_freq_hz), ("lp_freq_hz", lp_freq_hz))
        ]
        made_with = (
            Spectrogram("waveform", n_frequency_bands, fs=audio_fs)
            if return_waveform
            else Spectrogram(kind, n_frequency_bands, fmin, fmax, window_ms=window_ms or usual_ms)
        )
        folder = recording_folder("Alice_EEG", path, download=download)
        super().__init__(path=str(folder), dt_ms=float(dt_ms))
        files = _files_of(folder, subjects)
        sounds = [read_sound_of(k, find_in(folder, f"stimuli/{k}.wav", "Alice_EEG")) for k in _SEGMENTS]
        self.stims, self.spectrogram = spectrograms_of(sounds, self.dt, made_with)
        self.return_waveform, self.audio_fs = return_waveform, audio_fs if return_waveform else None
        self.F = n_frequency_bands
        self.frequencies_hz = None if return_waveform else self.spectrogram.frequencies_hz
        self.hearing_range_hz = (20.0, 20000.0)
        self.stim_meta = [
            {
                "name": sound.name,
                "type": "alice_chapter1",
                "sample_rate": round(sound.fs),
                "n_samples": sound.waveform.shape[1],
                "duration_s": sound.waveform.shape[1] / sound.fs,
            }
            for sound in sounds
        ]
        n_bins = [stim.shape[-1] // (self.spectrogram.hop if return_waveform else 1) for stim in self.stims]
        self.nrn_meta = []
        joined = JoinedSessions(n_bins)
        for repeat, (subject, file) in enumerate(files.items()):
            person = _read(file, band_hz, n_bins, self.dt)
            as_repeat = treat_subjects_as == "repeats"
            units = self._units(person, "all" if as_repeat else subject)
            for s, response in enumerate(person["responses"]):
                if response is not None:
                    joined.add(s, units, response[:, None], repeat if as_repeat else 0)
            absent = [name for name, own in zip(_SEGMENTS, person["responses"], strict=True) if own is None]
            if absent:
                say(f"{file} marks no segment {', '.join(absent)}: {subject} misses it")
        self.N_neurons = len(self.nrn_meta)
        joined.n_neurons = self.N_neurons
        self.responses = PackedResponses(joined.rows(), self.N_neurons)
        self.validate()

    def _units(self, person: dict[str, Any], subject: str) -> list[int]:
        """Indices of the neurons of a person's channels; those that are new are added."""
        known = {(meta["subject"], meta["channel_id"]): n for n, meta in enumerate(self.nrn_meta)}
        units = []
        for channel, xyz in zip(person["channels"], person["xyz"], strict=True):
            units.append(known.get((subject, channel), len(self.nrn_meta)))
            if units[-1] == len(self.nrn_meta):
                self.nrn_meta.append({"channel_id": channel, "subject": subject, "area": "EEG", "xyz": xyz})
        return units


def _files_of(folder: Path, subjects: str | Sequence[str] | None) -> dict[str, Path]:
    """The file of each person."""
    found: dict[str, Path] = {}
    for file in files_in(folder, f"**/S*{_FILE}"):
        subject = file.name.removesuffix(_FILE)
        if subject in found:
            raise RecordingError(f"{subject} is in {folder} twice: {found[subject]} and {file}; keep one of them")
        found[subject] = file
    if not found:
        raise FileNotFoundError(f"there is no S*{_FILE} in {folder}; {how_to_get(RECORDINGS['Alice_EEG'])}")
    asked = sorted(found) if subjects is None else [subjects] if isinstance(subjects, str) else list(subjects)
    if missing := [subject for subject in asked if subject not in found]:
        raise FileNotFoundError(f"there is no {missing[0]}{_FILE} in {folder}; it has {', '.join(sorted(found))}")
    if not asked:
        raise ValueError("subjects is empty; leave it out to load everybody")
    return {subject: found[subject] for subject in dict.fromkeys(asked)}


def _read(file: Path, band_hz: Sequence[float | None], n_bins: Sequence[int], dt_ms: float) -> dict[str, Any]:
    """Channels of a person, where they lie, and per segment the responses (n, T), or None."""
    try:
        import mne
    except ImportError as error:
        raise ImportError("Alice EEG is read by MNE: pip install 'deepSTRF[eeg]'") from error

    def make() -> dict[str, Any]:
        try:
            raw = mne.io.read_raw_fif(file, preload=True, verbose="error").pick("eeg", exclude=())
            if any(corner is not None for corner in band_hz):
                raw.filter(*band_hz, verbose="error")
            signals, rate_hz = raw.get_data(), float(raw.info["sfreq"])
        except Exception as error:  # damaged bytes lead to errors of many types
            raise RecordingError(f"{file} can't be read ({type(error).__name__}: {error})") from error
        onsets: dict[str, int] = {}
        for mark in raw.annotations:
            # MNE counts from the start of the acquisition; times in files are rounded by up to a tenth of a sample.
            begin = (mark["onset"] - raw.first_time) * rate_hz
            name = str(mark["description"])
            if name.upper().startswith("BAD"):
                first, last = np.floor(begin + 0.1), np.ceil(begin + mark["duration"] * rate_hz - 0.1)
                of = [raw.ch_names.index(channel) for channel in mark.get("ch_names") or () if channel in raw.ch_names]
                signals[of or slice(None), max(0, int(first)) : max(0, int(last))] = np.nan
            elif name in _SEGMENTS:
                if name in onsets:
                    raise RecordingError(
                        f"{file}: segment {name} begins twice, with samples {onsets[name]} and {begin:.0f}"
                    )
                onsets[name] = round(begin)
        signals[[raw.ch_names.index(bad) for bad in raw.info["bads"]]] = np.nan
        trials = [_SEGMENTS.index(name) for name in onsets]
        onsets_s = np.array(list(onsets.values())) / rate_hz
        found = signals_in_trials(signals, rate_hz, 0.0, onsets_s, trials, n_bins, dt_ms)
        return {
            "channels": list(raw.ch_names),
            "xyz": [_place(channel["loc"]) for channel in raw.info["chs"]],
            "responses": [None if own is None else torch.from_numpy(own[:, 0].copy()) for own in found],
        }

    options = {"band_hz": list(band_hz), "n_bins": list(n_bins), "dt_ms": dt_ms, "mne": mne.__version__}
    return cached("alice_eeg", [file], options, make)


def _place(loc: Float[np.ndarray, " 12"]) -> tuple[float, float, float] | None:
    """Where an electrode lies, in m; None where that is not known."""
    x, y, z = (float(coordinate) for coordinate in loc[:3])
    return (x, y, z) if np.isfinite([x, y, z]).all() else None
