"""Sounds with responses or spike times become a data set that knows its front end."""

import re

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.cache import cache_entries
from deepSTRF.datasets.concatenation import concat_neural_datasets
from deepSTRF.datasets.sources import waveforms
from deepSTRF.datasets.spectrograms import Spectrogram, sound_stimuli

RNG = np.random.default_rng(0)
FS = 44100
SOUNDS = {"rain": RNG.normal(0, 0.1, FS), "birds": RNG.normal(0, 0.03, FS // 2)}  # 1 s and 0.5 s
COUNTS = {"rain": RNG.poisson(0.3, (3, 4, 200)), "birds": RNG.poisson(0.3, (3, 2, 100))}


def test_the_same_as_from_arrays():
    made = AudioNeuralDataset.from_waveforms(SOUNDS, FS, COUNTS, 5.0, nrn_meta=[{"area": "A1"}] * 3)
    stims, spectrogram, names = sound_stimuli(SOUNDS, FS, 5.0)
    arrays = AudioNeuralDataset.from_arrays(stims, list(COUNTS.values()), 5.0)
    assert [meta["name"] for meta in made.stim_meta] == names == ["rain", "birds"]
    for s in range(2):
        torch.testing.assert_close(made.stims[s], arrays.stims[s], rtol=0, atol=1e-3)  # one bin more was heard
        for one, other in zip(made.responses[s], arrays.responses[s], strict=True):
            assert torch.equal(one, other)
    assert made.frequencies_hz == tuple(spectrogram.frequencies_hz.tolist())
    assert made.nrn_meta[0] == {"area": "A1"}
    for s, name in enumerate(names):  # a new sound is treated as these were
        sound = torch.tensor(SOUNDS[name], dtype=torch.float32)[None]
        assert torch.equal(made.spectrogram(sound, FS), made.stims[s])


def test_spike_times_per_stimulus_and_of_a_session():
    spikes = {"rain": {"a": [[0.0005, 0.7012, 0.999], []]}, "birds": {"a": [[0.25]]}}
    made = AudioNeuralDataset.from_waveforms(SOUNDS, FS, spikes=spikes, unit="s", dt_ms=1.0)
    assert [float(made.responses[s][0].sum()) for s in range(2)] == [3, 1]
    assert float(made.responses[0][0][0, 701]) == 1
    trials = pd.DataFrame({"start_time": [1.0, 3.0, 5.0], "stimulus": ["birds", "rain", "birds"]})
    session = AudioNeuralDataset.from_waveforms(
        SOUNDS, FS, spikes={7: [0.95, 1.1, 3.5, 4.02, 5.3]}, trials=trials, unit="s", dt_ms=5.0,
        before_ms=100.0, after_ms=50.0,
    )  # fmt: skip
    assert [stim.shape[-1] for stim in session.stims] == [230, 130]
    assert session.responses[1][0].sum(-1).tolist() == [2, 1]
    assert session.responses[0][0].sum(-1).tolist() == [2]
    assert (session.stims[0][..., :20] == -80).all()  # silence, as the front end makes it
    assert (session.stims[0][..., 20:220] > -80).any(1).all()
    by_index = [(1.0, 1), (3.0, 0)]
    unnamed = AudioNeuralDataset.from_waveforms(
        list(SOUNDS.values()), FS, spikes=[[1.1, 3.5]], trials=by_index, unit="s", dt_ms=5.0
    )
    assert [float(unnamed.responses[s][0].sum()) for s in range(2)] == [1, 1]


def test_responses_that_end_a_little_before_or_after_the_sound():
    made = AudioNeuralDataset.from_waveforms([SOUNDS["rain"]], FS, [COUNTS["rain"][..., :195]], 5.0)
    assert made.stims[0].shape[-1] == 195
    longer = np.concatenate([COUNTS["rain"], COUNTS["rain"][..., :1]], -1)
    made = AudioNeuralDataset.from_waveforms([SOUNDS["rain"][:-50]], FS, [longer[..., :200]], 5.0)
    assert made.stims[0].shape[-1] == 200


def test_waveforms_for_models_with_a_front_end():
    made = AudioNeuralDataset.from_waveforms(SOUNDS, FS, COUNTS, 5.0, spectrogram="waveform")
    assert (made.return_waveform, made.audio_fs, made.hop) == (True, 44200, 221)
    assert made.stims[0].shape == (1, 200 * 221)
    made = AudioNeuralDataset.from_waveforms(SOUNDS, FS, COUNTS, 5.0, spectrogram={"kind": "waveform", "fs": 24000})
    assert made.stims[1].shape == (1, 100 * 120)
    sound = torch.tensor(SOUNDS["birds"], dtype=torch.float32)[None]
    assert torch.equal(made.spectrogram(sound, FS), made.stims[1])


def test_the_front_end_stays_with_parts_and_joined_recordings():
    made = AudioNeuralDataset.from_waveforms(SOUNDS, FS, COUNTS, 5.0)
    parts = [made.subset([1]), made.in_blocks(2, gap_ms=20), made.averaged(), made + made.subset([0])]
    assert all(part.spectrogram == made.spectrogram for part in parts)
    other = AudioNeuralDataset.from_waveforms([SOUNDS["birds"]], FS, [COUNTS["birds"]], 5.0)
    with pytest.raises(ValueError, match="the spectrograms differ in reference_db; make the second"):
        made + other
    same = AudioNeuralDataset.from_waveforms(
        [SOUNDS["birds"]], FS, [COUNTS["birds"]], 5.0, spectrogram=made.spectrogram
    )
    assert concat_neural_datasets([made, same]).spectrogram == made.spectrogram


def test_a_joined_recording_knows_its_front_end_only_if_all_do():
    made = AudioNeuralDataset.from_waveforms(SOUNDS, FS, COUNTS, 5.0)
    arrays = AudioNeuralDataset.from_arrays([made.stims[1]], [COUNTS["birds"]], 5.0)
    assert (made + arrays).spectrogram is None
    made.standardize_stims()
    assert (made + made).spectrogram is None


def test_files_of_other_rates_and_channels(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([SOUNDS["rain"]] * 2, 1), FS)
    soundfile.write(tmp_path / "b.wav", RNG.normal(0, 0.1, 16000), 16000)
    made = AudioNeuralDataset.from_waveforms(tmp_path, responses=[np.ones((1, 2, 100))] * 2, dt_ms=10.0)
    assert made.stim_meta == [{"channels": 2, "name": "a"}, {"name": "b"}]
    assert made.spectrogram.fs == 16000


def test_bad_inputs_say_what_to_do():
    rain, counts = [SOUNDS["rain"]], [COUNTS["rain"]]
    for arguments, options, message in [
        ((rain, FS), {}, "give either responses in bins, or spikes (spike times), or signals"),
        ((rain, FS, counts, 5.0), {"spikes": [], "unit": "s"}, "got responses and spikes"),
        ((rain, FS, counts), {}, "dt_ms is missing"),
        ((rain, FS, counts, 10.0), {}, "have 200 bins (2 s), the sound has 100 (1 s), 2 times as many: is dt_ms=10"),
        ((rain, 2 * FS, counts, 5.0), {}, "2 times as many: is dt_ms=5 right, and the rate of the sound?"),
        ((rain, FS, [COUNTS["birds"]], 5.0), {}, "the sound has 200 (1 s), 0.5 times as many"),
        ((rain, FS, counts * 2, 5.0), {}, "one entry per sound: 2 and 1 sounds"),
        ((SOUNDS, FS, {"rain": counts[0], "bird": counts[0]}, 5.0), {}, "unknown stimulus 'bird'"),
        ((SOUNDS, FS, {"rain": counts[0]}, 5.0), {}, "no entry for the stimulus 'birds'"),
        ((rain, FS, counts, 5.0), {"before_ms": 7.0}, "before_ms must be a whole number of bins"),
        ((rain, FS), {"spikes": [[[0.1]]], "dt_ms": 5.0}, "unit"),
        ((rain, FS, counts, 5.0), {"spectrogram": Spectrogram(dt_ms=1.0)}, "has bins of 1 ms, not of dt_ms=5"),
    ]:
        with pytest.raises((ValueError, TypeError), match=re.escape(message)):
            AudioNeuralDataset.from_waveforms(*arguments, **options)


def test_spectrograms_of_files_come_from_the_cache(tmp_path, monkeypatch):
    for name, sound in SOUNDS.items():
        soundfile.write(tmp_path / f"{name}.wav", np.stack([sound, -sound / 2], 1), FS)
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    options = {"responses": COUNTS, "dt_ms": 5.0, "stim_meta": None}
    made = [AudioNeuralDataset.from_waveforms(tmp_path, cache=cache, **options) for cache in (False, True)]
    assert [entry.kind for entry in cache_entries()] == ["spectrograms"]
    with monkeypatch.context() as patched:
        patched.setattr(waveforms, "read_sounds", None)
        made.append(AudioNeuralDataset.from_waveforms(tmp_path, **options))
    for other in made[1:]:
        assert other.spectrogram == made[0].spectrogram
        assert other.stim_meta == made[0].stim_meta == [{"channels": 2, "name": name} for name in ("birds", "rain")]
        assert all(torch.equal(one, two) for one, two in zip(made[0].stims, other.stims, strict=True))
        other.stims[0] += 1  # not that of the file
    for change in ({"dt_ms": 10.0, "responses": {name: c[..., ::2] for name, c in COUNTS.items()}},
                   {"spectrogram": "mel"}):  # fmt: skip
        AudioNeuralDataset.from_waveforms(tmp_path, **options | change)
    assert len(cache_entries()) == 3
    AudioNeuralDataset.from_waveforms(tmp_path, spectrogram="waveform", **options)
    AudioNeuralDataset.from_waveforms(SOUNDS, FS, **options)
    assert len(cache_entries()) == 3


def test_sounds_with_continuous_signals():
    eeg = RNG.normal(size=(2, 6000))
    trials = {"onset": [0.5, 2.0, 4.0], "stimulus": ["rain", "birds", "rain"]}
    options = {"dt_ms": 5.0, "trials": trials, "unit": "s", "before_ms": 20, "after_ms": 50}
    made = AudioNeuralDataset.from_waveforms(SOUNDS, FS, signals=eeg, rate_hz=512.0, **options)
    stims, _, names = sound_stimuli(SOUNDS, FS, 5.0)
    expected = AudioNeuralDataset.from_signals(dict(zip(names, stims, strict=True)), eeg, 512.0, **options)
    assert made.spectrogram is not None
    assert made.stims[0].shape == expected.stims[0].shape == (1, 34, 214)
    for s in range(2):
        assert torch.equal(made.responses[s].block.values, expected.responses[s].block.values)
    for bad, words in (
        ({"signals": eeg}, "signals and rate_hz belong together"),
        ({"signals": eeg, "rate_hz": 512.0, "spikes": {}}, "got spikes and signals"),
        ({}, "or signals with their rate_hz, got neither"),
    ):
        with pytest.raises(ValueError, match=words):
            AudioNeuralDataset.from_waveforms(SOUNDS, FS, dt_ms=5.0, **bad)
    with pytest.raises(TypeError, match="sound files go to AudioNeuralDataset"):
        AudioNeuralDataset.from_signals("sounds/", eeg, 512.0, dt_ms=5.0)


def test_spikes_after_a_short_sound_are_no_transposed_spectrogram():
    """As many bins of spikes as there are bands say nothing: the spectrogram was made here."""
    sounds = {name: sound[: FS // 10] for name, sound in SOUNDS.items()}  # 20 bins of 34 bands
    spikes = {name: {"a": [np.sort(RNG.uniform(0, 0.17, 40))]} for name in sounds}
    assert AudioNeuralDataset.from_waveforms(sounds, FS, spikes=spikes, unit="s", dt_ms=5.0).stims[0].shape[-1] == 20
