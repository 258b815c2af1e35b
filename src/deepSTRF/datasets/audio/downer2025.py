"""Downer 2025: multi-unit activity of the squirrel monkey's auditory cortex, and speech and vocalizations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from deepSTRF.checks import check_choice
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.downer_release import AREAS, SessionTable, counts_by_stimulus, find_sessions
from deepSTRF.datasets.audio.downer_stimuli import (
    read_sentences,
    read_vocalizations,
    stimuli_in_bins,
    waveforms_or_mel_to,
)
from deepSTRF.datasets.audio.paper_tuning import PaperTuning
from deepSTRF.datasets.audio.spike_lines import chosen
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import find_in, recording_folder
from deepSTRF.datasets.smoothing import smoother_of_counts
from deepSTRF.registry import register_dataset

__all__ = ["Downer2025Dataset", "download_downer2025"]

_STIMULI = {"timit": ("timitStimcode", read_sentences), "mvocs": ("mVocStimcode", read_vocalizations)}
_REPEATS_OF = {"timit": "timit", "mvocs": "mVocs"}
_SUBSETS = ("all", "estimation", "test")
_ANIMALS = ("b", "c", "f")
_GROUPS = ("core", "non-primary")
_FOR_VALIDATION = 10  # every so many-th stimulus for estimation stops the training


def download_downer2025(dest: str | os.PathLike[str] | None = None) -> Path:
    """Download the recording, 29 GB that need twice as much while they are unpacked, and return its folder.

    It is `dest`, by default ``default_cache_dir("Downer2025")``.
    """
    return recording_folder("Downer2025", dest, download=True)


@register_dataset(RECORDINGS["Downer2025"].card)
class Downer2025Dataset(PaperTuning, AudioNeuralDataset):
    """Downer 2025 [1]_ [2]_: multi-unit activity on 1718 channels of three monkeys, sentences and vocalizations.

    Responses are spike counts from the onset of a sound, without the silence around a sentence, to the bin nearest to
    its end; a trial without spikes counts as one. Spikes are read session by session. Channels of one number but with
    another suffix (``p``, ``s2``, ``ps2``) are units of their own. Spectrograms are causal, of 25 ms windows that end
    with their bin; those of the papers are centred and of a pre-emphasized sound.

    Parameters
    ----------
    path : str or path, optional
        Folder with ``sessions``, ``stimuli`` and ``sessions_metadata.yml``. By default
        ``default_cache_dir("Downer2025")``.
    stimuli : {'timit', 'mvocs'}
        Sentences, or vocalizations of the species. Not all channels heard all vocalizations.
    dt_ms : float
        Width of a bin in ms.
    n_mels : int
        Number of bands, evenly spaced in mel from 0 to `fmax`.
    compression : {'log1p', 'log', 'cubic', 'none'}
        Of the spectrogram: log(1 + amplitude), dB, cube root of power, or power.
    spec_zscore : bool
        Bring every band of every stimulus to mean 0 and variance 1, as the papers do. It takes the whole stimulus, so
        that the bands of a new sound can't be made in the same way: then ``spectrogram`` is None.
    smooth : bool
        Smooth the responses with the 21 ms Hann window.
    subset : {'all', 'estimation', 'test'}
        Which stimuli. Those for the test were heard 11 times (sentences) or 15 times (vocalizations).
    animals : 'all' or sequence of {'b', 'c', 'f'}
        Which animals.
    areas : sequence of str, optional
        Which areas: ``'core'``, ``'non-primary'``, or fields: ``'A1'``, ``'R'``, ``'CL'``, ``'ML'``, ``'AL'``,
        ``'CPB'``, ``'RPB'``.
    sessions : sequence of str, optional
        Which sessions, also those that the authors call bad. By default all but the latter.
    audio_fs : int
        Rate in Hz at which spectrograms are computed, and of the waveforms.
    fmax : float
        Where the last band ends, in Hz; at most half of `audio_fs`, and less than half of the rate of the sounds.
    window_ms : float
        Length of the windows in ms.
    return_waveform : bool
        Give the sounds as waveforms ``(1, T * hop)``.
    download : bool
        Fetch files that are not in the folder.
    cache : bool
        As of :class:`NS1Dataset`; from the cache, responses are read from the disk when they are used.

    Attributes
    ----------
    protocols : dict
        With ``subset='all'``: ``'published'``, which tests on the repeated stimuli, as the paper does [1]_. Every tenth
        of the others stops the training, the rest trains.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file or a session is missing, or can't be read; the message says which, and how to get it.
    ValueError
        If there is no such kind of stimuli, animal, area, subset or compression, or a number is out of range.
    ImportError
        If PyYAML is missing: ``pip install 'deepSTRF[recordings]'``.

    Notes
    -----
    The channels that the paper found well tuned are not listed in the files; :meth:`compute_paper_tuning` finds them.

    References
    ----------
    .. [1] Ahmed et al. (2025), https://doi.org/10.1371/journal.pcbi.1013334
    .. [2] Downer et al. (2021), https://doi.org/10.1152/jn.00709.2020

    Examples
    --------
    >>> ds = Downer2025Dataset("recordings/downer2025", areas=["A1"], dt_ms=10.0)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        stimuli: Literal["timit", "mvocs"] = "timit",
        dt_ms: float = 5.0,
        n_mels: int = 80,
        compression: Literal["log1p", "log", "cubic", "none"] = "log1p",
        spec_zscore: bool = True,
        smooth: bool = True,
        subset: Literal["all", "estimation", "test"] = "all",
        animals: str | Sequence[str] = "all",
        areas: str | Sequence[str] | None = None,
        sessions: str | Iterable[Any] | None = None,
        audio_fs: int = 16000,
        fmax: float = 8000.0,
        window_ms: float = 25.0,
        return_waveform: bool = False,
        download: bool = False,
        _enumerate_only: bool = False,
        *,
        cache: bool = True,
    ) -> None:
        code, read_stimuli = _STIMULI[check_choice("stimuli", stimuli, _STIMULI)]
        check_choice("subset", subset, _SUBSETS)
        made_with = waveforms_or_mel_to(fmax, return_waveform, audio_fs, dt_ms, n_mels, compression, window_ms)
        animals = chosen("animals", animals, _ANIMALS)
        areas = None if areas is None else chosen("areas", areas, (*_GROUPS, *AREAS))
        folder = recording_folder("Downer2025", path, download=download)
        super().__init__(path=str(folder), dt_ms=float(dt_ms))
        table = SessionTable(folder)
        channels = [
            channel
            for session in find_sessions(find_in(folder, "sessions", "Downer2025"), table, sessions)
            for channel in table.channels(session)
            if channel.meta["animal_id"] in animals
            and (areas is None or {channel.meta["area"], channel.meta["area_group"]} & set(areas))
        ]
        if not channels:
            raise ValueError(f"no session in {folder} is of animals={animals}, areas={areas} and sessions={sessions}")
        self.nrn_meta, self.N_neurons = [channel.meta for channel in channels], len(channels)
        self.protocols = {}
        if _enumerate_only:
            return

        zscore = spec_zscore and not return_waveform
        smoothed = smoother_of_counts(smooth, self.dt)
        self.return_waveform, self.audio_fs, self.F = return_waveform, audio_fs, n_mels
        self.hearing_range_hz = (250.0, 43000.0)

        def fill() -> None:
            every = list(read_stimuli(folder, table.repeats.get(_REPEATS_OF[stimuli], 1)))
            heard = [stimulus for stimulus in every if subset in ("all", stimulus.meta["split"])]
            if not heard:
                raise RecordingError(f"{folder} has no stimulus for {subset!r}; download the recording again")
            self.stim_meta = [stimulus.meta for stimulus in heard]
            n_bins = [max(1, int(meta["duration_s"] * 1000 / dt_ms + 0.5)) for meta in self.stim_meta]
            sounds = [stimulus.sound for stimulus in heard]
            self.stims, spectrogram = stimuli_in_bins(sounds, n_bins, self.dt, made_with, zscore)
            self.spectrogram = None if zscore else spectrogram
            self.frequencies_hz = None if return_waveform else spectrogram.frequencies_hz
            known, loaded = {stimulus.stim_id for stimulus in every}, [stimulus.stim_id for stimulus in heard]
            rows = counts_by_stimulus(channels, code, known, loaded, n_bins, self.dt, smoothed)
            self.responses = PackedResponses(rows, len(channels))
            if subset == "all":
                self.protocols = {"published": _published(self.stim_meta)}
            self.validate()

        files = [find_in(folder, name, "Downer2025") for name in ("stimuli", "sessions_metadata.yml")]
        options = {
            "path": self.path, "stimuli": stimuli, "dt_ms": self.dt, "smooth": bool(smooth), "subset": subset,
            "made_with": made_with.as_dict(), "spec_zscore": bool(zscore), "audio_fs": audio_fs,
        }  # fmt: skip
        fill_cached(self, "downer2025", [*files, *(channel.file for channel in channels)], options, fill, cache=cache)


def _published(stim_meta: Sequence[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    estimation = [s for s, meta in enumerate(stim_meta) if meta["split"] == "estimation"]
    val = estimation[_FOR_VALIDATION - 1 :: _FOR_VALIDATION]
    test = tuple(s for s, meta in enumerate(stim_meta) if meta["split"] == "test")
    return {"train": tuple(s for s in estimation if s not in set(val)), "val": tuple(val), "test": test}
