"""The sounds of the squirrel monkey recording, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_choice, check_positive
from deepSTRF.datasets.audio.spike_lines import COMPRESSIONS
from deepSTRF.datasets.mat_files import read_mat_variable
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import find_in
from deepSTRF.datasets.sound_files import rate_with_whole_bins
from deepSTRF.datasets.sounds import Sound
from deepSTRF.datasets.spectrograms import Spectrogram, spectrograms_of
from deepSTRF.scales import Hz_to_mel, mel_to_Hz

__all__ = ["Stimulus", "read_sentences", "read_vocalizations", "stimuli_in_bins", "waveforms_or_mel_to"]

_TEST_SENTENCES = (12, 13, 32, 43, 56, 163, 212, 218, 287, 308)
_TEST_VOCALIZATIONS = (7, 9, 12, 15, 24, 29, 30, 33, 44, 45, 48)
_SENTENCES = "stimuli/out_sentence_details_timit_all_loudness.mat"
_CODES = "stimuli/SqMoPhys_MVOCStimcodes.mat"
_SOUNDS = "stimuli/MonkVocs_15Blocks.wav"
_COMPRESSIONS: dict[str, str | float] = {**COMPRESSIONS, "log": "db"}
_REMEDY = "download the recording again"
_WRONG = (KeyError, ValueError, IndexError, TypeError, AttributeError)


class Stimulus(NamedTuple):
    """A sound, its number in the trials, and what is known about it."""

    stim_id: int
    sound: Sound
    meta: dict[str, Any]


def read_sentences(folder: Path, n_repeats: int) -> Iterator[Stimulus]:
    """The sentences of TIMIT without the silence before and after."""
    file = find_in(folder, _SENTENCES, "Downer2025")
    table = read_mat_variable(file.read_bytes(), "sentdet", name=str(file), remedy=_REMEDY)
    for stim_id, entry in enumerate(np.ravel(table), start=1):
        try:
            name, fs = str(np.ravel(entry["name"])[0]), float(np.ravel(entry["soundf"])[0])
            before, after = (float(length) for length in np.ravel(entry["befaft"]))
            samples = np.ravel(entry["sound"]).astype(np.float32)
            samples = samples[round(before * fs) : len(samples) - round(after * fs)]
        except _WRONG as error:
            raise RecordingError(f"{file}: sentence {stim_id} can't be read ({error!r}); {_REMEDY}") from error
        is_test = stim_id in _TEST_SENTENCES
        meta = {"befaft_s": (before, after), "n_reps_canonical": n_repeats if is_test else 1}
        yield _stimulus(file, "timit", stim_id, is_test, Sound(name, torch.from_numpy(samples)[None], fs), meta)


def read_vocalizations(folder: Path, n_repeats: int) -> Iterator[Stimulus]:
    """The vocalizations, each as it was played first, for the shortest time until the next sound began.

    Onsets are in s from the beginning of the sound file, whose first channel holds the sounds; the second marks them.
    """
    file, wave = find_in(folder, _CODES, "Downer2025"), find_in(folder, _SOUNDS, "Downer2025")
    content = file.read_bytes()
    try:
        codes, onsets = (
            read_mat_variable(content, name, name=str(file), remedy=_REMEDY).ravel().astype(np.float64)
            for name in ("mVocsStimCodes", "mVocsStimOnTimes")
        )
    except _WRONG as error:
        raise error if isinstance(error, RecordingError) else RecordingError(f"{file} holds no numbers") from error
    try:
        with soundfile.SoundFile(wave) as sounds:
            fs = sounds.samplerate
            gaps = np.diff(onsets, append=sounds.frames / fs) if len(onsets) == len(codes) else np.zeros(0)
            if not (len(gaps) and np.isfinite(codes).all() and (gaps > 0).all() and onsets[0] >= 0):
                raise RecordingError(
                    f"{file}: expected a number and a time for each vocalization, in order and within {wave.name} of "
                    f"{sounds.frames / fs:g} s; got {len(codes)} numbers and {len(onsets)} times; {_REMEDY}"
                )
            for stim_id in (int(code) for code in np.unique(codes)):
                places = np.flatnonzero(codes == stim_id)
                sounds.seek(round(onsets[places[0]] * fs))
                n_samples = round(gaps[places].min() * fs)
                samples = sounds.read(n_samples, dtype="float32", always_2d=True)[:, 0].copy()
                if len(samples) < n_samples - 1:
                    raise RecordingError(f"{wave} ends within vocalization {stim_id}; {_REMEDY}")
                is_test = stim_id in _TEST_VOCALIZATIONS
                meta = {
                    "befaft_s": (0.0, 0.0),
                    "n_reps_canonical": n_repeats if is_test else 1,
                    "n_reps_in_wav": len(places),
                }
                sound = Sound(f"mVoc_{stim_id:03d}", torch.from_numpy(samples)[None], float(fs))
                yield _stimulus(wave, "mvocs", stim_id, is_test, sound, meta)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{wave} can't be read ({error}); {_REMEDY}") from error


def _stimulus(file: Path, kind: str, stim_id: int, is_test: bool, sound: Sound, meta: dict[str, Any]) -> Stimulus:
    n_samples = sound.waveform.shape[1]
    if n_samples == 0:
        raise RecordingError(f"{file}: {sound.name} has no sound; {_REMEDY}")
    common = {
        "name": sound.name,
        "type": kind,
        "stim_id": stim_id,
        "duration_s": n_samples / sound.fs,
        "n_samples": n_samples,
        "split": "test" if is_test else "estimation",
    }
    return Stimulus(stim_id, sound, {**common, **meta})


def waveforms_or_mel_to(
    fmax: float, return_waveform: bool, audio_fs: int, dt_ms: float, n_mels: int, compression: str, window_ms: float
) -> Spectrogram:
    """Waveforms at `audio_fs`, or a mel spectrogram whose triangles lie between 0 and `fmax`, in Hz."""
    power = _COMPRESSIONS[check_choice("compression", compression, tuple(_COMPRESSIONS))]
    check_positive("audio_fs", audio_fs)
    if return_waveform:
        if rate_with_whole_bins(audio_fs, dt_ms, whole=True) != audio_fs:
            raise ValueError(f"a bin of {dt_ms:g} ms is no whole number of samples at audio_fs={audio_fs}; change one")
        return Spectrogram("waveform", n_mels, fs=audio_fs)
    if check_positive("fmax", fmax) > audio_fs / 2:
        raise ValueError(f"fmax must be at most half of audio_fs={audio_fs}, got {fmax}; raise audio_fs or lower fmax")
    step = Hz_to_mel(fmax) / (n_mels + 1)  # triangles from 0 to fmax
    low, high = float(mel_to_Hz(step)), float(mel_to_Hz(n_mels * step))
    fs = rate_with_whole_bins(audio_fs, dt_ms)
    return Spectrogram("mel", n_mels, low, high, window_ms=window_ms, compression=power, fs=fs)


def stimuli_in_bins(
    sounds: Sequence[Sound], n_bins: Sequence[int], dt_ms: float, made_with: Spectrogram, zscore: bool
) -> tuple[list[Tensor], Spectrogram]:
    """Spectrograms (1, F, T), or waveforms (1, T * hop), of sounds with so many bins, and how they were made."""
    fitted = [_fitted(sound, bins, dt_ms) for sound, bins in zip(sounds, n_bins, strict=True)]
    stims, spectrogram = spectrograms_of(fitted, dt_ms, made_with)
    per_bin = spectrogram.hop if spectrogram.kind == "waveform" else 1
    stims = [stim[..., : bins * per_bin].clone() for stim, bins in zip(stims, n_bins, strict=True)]
    return [_zscored(stim) for stim in stims] if zscore else stims, spectrogram


def _fitted(sound: Sound, n_bins: int, dt_ms: float) -> Sound:
    """The sound, ending with its last bin; half a bin more, so that rounding of samples doesn't cost a bin."""
    n_samples = round((n_bins + 0.5) * dt_ms / 1000 * sound.fs)
    waveform = sound.waveform[:, :n_samples]
    return Sound(sound.name, torch.nn.functional.pad(waveform, (0, n_samples - waveform.shape[1])), sound.fs)


def _zscored(stim: Float[Tensor, "1 F T"]) -> Float[Tensor, "1 F T"]:
    centred = stim - stim.mean(-1, keepdim=True)
    std = centred.square().mean(-1, keepdim=True).sqrt()
    return torch.where(std > 0, centred / std, torch.zeros(()))
