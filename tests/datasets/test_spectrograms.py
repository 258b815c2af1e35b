"""Sounds become spectrograms: exact bins, causal, whatever their units and rates."""

import json
import re

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import hilbert

from deepSTRF.datasets.audio.cochleagram import causal_cochleagram
from deepSTRF.datasets.spectrograms import KINDS, Spectrogram, rate_with_whole_bins, sound_stimuli

RNG = np.random.default_rng(0)
SPECTROGRAMS = [kind for kind in KINDS if kind != "waveform"]
NOISE = RNG.normal(0, 0.1, 24000).astype(np.float32)


def tone(frequency, fs, seconds=0.5):
    return np.sin(2 * np.pi * frequency * np.arange(round(fs * seconds)) / fs)


def test_log_is_the_cochleagram_of_ns1():
    made = Spectrogram("log", low_hz=500, high_hz=22627.417, reference_db=0, range_db=40)(
        torch.from_numpy(NOISE)[None], 48000, 5.0
    )
    assert torch.equal(made, causal_cochleagram(torch.from_numpy(NOISE)[None], 48000, 240))
    defaults = Spectrogram().resolve([48000], 5.0)
    assert (round(defaults.low_hz, 2), round(defaults.high_hz, 2), defaults.window_ms) == (500.0, 22627.42, 10.0)


@pytest.mark.parametrize("kind", ["log", "mel", "erb", "gammatone"])
@pytest.mark.parametrize("fs", [16000, 44100, 48828.125])
def test_a_tone_is_loudest_in_its_own_band(kind, fs):
    spectrogram = Spectrogram(kind).resolve([fs], 5.0)
    frequencies = spectrogram.frequencies_hz
    for band in (8, 20, 30):
        levels = spectrogram(torch.tensor(tone(float(frequencies[band]), fs), dtype=torch.float32)[None], fs)
        assert int(levels[0, :, -1].argmax()) == band
        assert levels.max() == 0
        assert levels.min() >= -80


def test_the_envelope_is_that_of_the_waveform():
    fs, seconds = 16000, 1.0
    modulation = 1 + 0.8 * np.sin(2 * np.pi * 3 * np.arange(fs) / fs)
    sound = modulation * tone(2000, fs, seconds)
    made = Spectrogram("envelope", compression=1.0)(torch.tensor(sound, dtype=torch.float32)[None], fs, 10.0)
    power = np.abs(hilbert(sound)) ** 2
    expected = np.sqrt(power.reshape(100, 160).mean(1))
    np.testing.assert_allclose(made[0, 0, 1:-1], (expected / expected.max())[1:-1], rtol=0.01)
    assert made.shape == (1, 1, 100)
    assert Spectrogram("envelope").frequencies_hz is None


@pytest.mark.parametrize("kind", SPECTROGRAMS)
def test_no_frame_depends_on_a_later_sample(kind):
    sound = torch.from_numpy(NOISE)[None]
    spectrogram = Spectrogram(kind, reference_db=0).resolve([44100], 5.0)
    changed = sound.clone()
    edge = int(44100 * 0.3)
    changed[:, edge:] *= 100
    one, other = spectrogram(sound, 44100), spectrogram(changed, 44100)
    torch.testing.assert_close(one[..., :60], other[..., :60], rtol=1e-5, atol=1e-5)
    assert (other[..., 62:] > one[..., 62:] + 10).all()


@pytest.mark.parametrize("kind", SPECTROGRAMS)
def test_units_and_number_types_do_not_matter(kind):
    pascals, _, _ = sound_stimuli([NOISE * 3.7e-3], 48000, 5.0, kind)
    unit, _, _ = sound_stimuli([torch.from_numpy(NOISE).double()], 48000, 5.0, kind)
    integers = np.round(NOISE * 32768).astype(np.int16)
    from_integers, _, _ = sound_stimuli([integers], 48000, 5.0, kind)
    torch.testing.assert_close(pascals[0], unit[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(from_integers[0], unit[0], rtol=0, atol=0.1)


@pytest.mark.parametrize("dt_ms", [1.0, 2.5, 3.0, 5.0, 10.0, 1000 / 60])
@pytest.mark.parametrize("fs", [16000, 22050, 44100, 48828.125, 195312.5])
def test_bins_are_exact(fs, dt_ms):
    rate = rate_with_whole_bins(fs, dt_ms)
    assert fs <= rate < fs + 1000 / dt_ms
    hop = rate * dt_ms / 1000
    assert abs(hop - round(hop)) < 1e-6


@pytest.mark.slow
def test_an_hour_does_not_drift():
    fs, dt_ms = 11025, 3.0  # a bin has 33.075 samples
    sound = np.zeros(fs * 3600, np.float32)
    clicks_s = (np.array([333, 600_000, 1_199_600]) + 0.5) * dt_ms / 1000
    sound[np.round(clicks_s * fs).astype(int)] = 1
    stims, _, _ = sound_stimuli([sound], fs, dt_ms, Spectrogram("envelope", window_ms=3.0))
    assert stims[0].shape[-1] == 3600 * 1000 // 3
    loud = np.flatnonzero(stims[0][0, 0] > -3)
    np.testing.assert_array_equal(loud, [333, 600_000, 1_199_600])


def test_long_sounds_are_computed_in_blocks_without_a_seam():
    sound = RNG.normal(0, 0.1, 150_000).astype(np.float32)
    for kind in SPECTROGRAMS:
        spectrogram = Spectrogram(kind, reference_db=0, window_ms=20).resolve([16000], 1.0)
        whole = spectrogram(torch.from_numpy(sound)[None], 16000)
        later = spectrogram(torch.from_numpy(sound[50_000:])[None], 16000)
        assert whole.shape[-1] == 9375
        torch.testing.assert_close(whole[..., 3300:], later[..., 175:], rtol=1e-4, atol=1e-3)


def test_stereo_files_and_rates(tmp_path):
    stereo = np.stack([NOISE, np.zeros_like(NOISE)], 1)
    soundfile.write(tmp_path / "b.wav", stereo, 48000, subtype="FLOAT")
    soundfile.write(tmp_path / "a.flac", NOISE[:16000], 16000)
    (tmp_path / "notes.txt").write_text("not a sound")
    stims, spectrogram, names = sound_stimuli(tmp_path, None, 5.0)
    assert names == ["a", "b"]
    assert [stim.shape[-1] for stim in stims] == [200, 100]
    assert spectrogram.fs == 16000
    assert spectrogram.high_hz == 7600
    from_files, _, names = sound_stimuli([tmp_path / "b.wav", str(tmp_path / "a.flac")], None, 5.0)
    assert names == ["b", "a"]
    assert torch.equal(from_files[0], stims[1])
    mean = {"half": NOISE / 2, "rows": stereo.T, "columns": stereo}
    halves, _, names = sound_stimuli(mean, 48000, 5.0)
    assert names == ["half", "rows", "columns"]
    assert torch.equal(halves[0], halves[1])
    assert torch.equal(halves[0], halves[2])
    sound_stimuli(tmp_path / "b.wav", 48000.4, 5.0)  # a rate more precise than that of the header


def test_settings_survive_json():
    _, spectrogram, _ = sound_stimuli([NOISE], 44100, 5.0, {"kind": "mel", "n_bands": 20})
    again = Spectrogram.from_dict(json.loads(json.dumps(spectrogram.as_dict())))
    assert again == spectrogram
    sound = torch.from_numpy(NOISE)[None]
    assert torch.equal(again(sound, 44100), spectrogram(sound, 44100))


def test_bad_inputs_say_what_to_do(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "low.wav", NOISE[:8000], 8000)
    nan = NOISE.copy()
    nan[7] = np.nan
    for arguments, kind, message in [
        (([tmp_path / "gone.wav"], None, 5.0), FileNotFoundError, "sound 'gone': there is no file"),
        ((tmp_path / "nowhere", None, 5.0), FileNotFoundError, "no sound file or folder"),
        (
            ([tmp_path / "text.wav"], None, 5.0),
            ValueError,
            "can't be read as a sound file (expected WAV, FLAC or the like): Format not recognised",
        ),
        (([tmp_path / "low.wav"], 44100, 5.0), ValueError, "the file says 8000 Hz; leave rate out"),
        (([NOISE], None, 5.0), ValueError, "needs its sampling rate: pass rate, in Hz"),
        (([NOISE], 44.1, 5.0), ValueError, "was it given in kHz? 44.1 kHz are 44100 Hz"),
        (([NOISE], "44100", 5.0), TypeError, "rate must be a number"),
        (([NOISE], 48000, 0.005), ValueError, "0.005"),
        (([NOISE], 48000, 600.0), ValueError, "lasts 500 ms, less than one bin of dt_ms=600"),
        (([np.zeros(4800)], 48000, 5.0), ValueError, "every sound is silent"),
        (([nan], 48000, 5.0), ValueError, "'sound 0' holds NaN or infinite samples, the first at sample 7"),
        (([NOISE.reshape(150, 160)], 48000, 5.0), ValueError, "which axis is time?"),
        (([NOISE[:4].reshape(2, 2)], 48000, 5.0), ValueError, "which axis is time?"),
        (([NOISE.reshape(2, 2, -1)], 48000, 5.0), ValueError, "of shape (T,), (C, T) or (T, C), got (2, 2, 6000)"),
        (([NOISE], 48000, 5.0, "cochlea"), ValueError, "unknown spectrogram 'cochlea'; available: log, mel"),
        (([NOISE], 48000, 5.0, 34), TypeError, "spectrogram must be one of"),
        (([NOISE], 48000, 5.0, {"bands": 34}), ValueError, "Did you mean 'n_bands'?"),
        (([NOISE], 16000, 5.0, {"high_hz": 20000}), ValueError, "'sound 0' of 16000 Hz ends at 8000 Hz: lower high_hz"),
        (([NOISE], 16000, 5.0, {"low_hz": 9000}), ValueError, "lower it"),
        (([NOISE], 16000, 5.0, {"low_hz": 900, "high_hz": 500}), ValueError, "low_hz must be below high_hz"),
        (([], 16000, 5.0), ValueError, "sounds is empty"),
        (([0.1, 0.2], 16000, 5.0), TypeError, "a list of numbers"),
        ((3, 16000, 5.0), TypeError, "sounds must be a list"),
        (([["a"]], 16000, 5.0), TypeError, "must be the path of a sound file"),
        (([NOISE.astype(complex)], 16000, 5.0), TypeError, "complex"),
    ]:
        with pytest.raises(kind, match=re.escape(message)):
            sound_stimuli(*arguments)
