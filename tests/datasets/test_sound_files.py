"""Sound files in, float32 waveforms out."""

import io

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from recording_files import sound_file

from deepSTRF.datasets import sound_files
from deepSTRF.datasets.audio.sound_files import load_resampled_mono_wav, load_wav, resample


def write(path, samples, fs, **kwargs):
    soundfile.write(path, samples, fs, format="WAV", **kwargs)
    return path


@pytest.mark.parametrize(("subtype", "tolerance"), [("FLOAT", 1e-7), ("PCM_16", 1e-4), ("PCM_24", 1e-6)])
def test_load_wav(tmp_path, subtype, tolerance):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (100, 2))
    waveform, fs = load_wav(write(tmp_path / "no-extension", samples, 44100, subtype=subtype))
    assert fs == 44100
    assert waveform.dtype == torch.float32
    np.testing.assert_allclose(waveform.numpy(), samples.T, atol=tolerance)
    again, _ = load_wav(io.BytesIO((tmp_path / "no-extension").read_bytes()))
    assert torch.equal(again, waveform)


def test_float_files_are_not_clipped(tmp_path):
    waveform, _ = load_wav(write(tmp_path / "a.wav", np.array([14.0, -3.0]), 48000, subtype="FLOAT"))
    assert waveform.tolist() == [[14.0, -3.0]]


def test_load_wav_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_wav(tmp_path / "nowhere.wav")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.wav"):
        load_wav(str(tmp_path / "text.wav"))
    with pytest.raises(ValueError, match="no samples"):
        load_wav(write(tmp_path / "empty.wav", np.zeros(0), 48000))


@pytest.mark.parametrize(("fs", "target"), [(48828.125, 48000), (48000, 16000), (44100, 48000), (8000, 48000)])
def test_resampling_keeps_a_tone(fs, target):
    n = int(fs)
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(n, dtype=torch.float64) / fs)[None].float()
    got = resample(tone, fs, target)[0].double().numpy()
    assert len(got) == int(np.ceil(n * target / fs))
    expected = np.sin(2 * np.pi * 440 * np.arange(len(got)) / target)
    np.testing.assert_allclose(got[500:-500], expected[500:-500], atol=5e-3)


def test_resampling_to_the_same_rate_changes_nothing():
    sound = torch.rand(2, 10)
    assert resample(sound, 48000, 48000.0) is sound
    with pytest.raises(ValueError, match="positive"):
        resample(sound, 0, 48000)


@pytest.mark.parametrize("length", [None, 480, 2000])
def test_resampled_mono(tmp_path, length):
    stereo = np.stack([np.full(441, 0.2), np.full(441, 0.6)], 1)
    path = write(tmp_path / "a.wav", stereo, 44100, subtype="FLOAT")
    mono = load_resampled_mono_wav(path, 48000, length)
    assert mono.shape == (1, length or 480)
    assert float(mono[0, 240]) == pytest.approx(0.4, abs=1e-2)
    assert (mono[0, 480:] == 0).all()
    with pytest.raises(ValueError, match="target_length"):
        load_resampled_mono_wav(path, 48000, 0)


def test_mono_at_its_own_rate_is_only_averaged_and_cropped(tmp_path):
    path = write(tmp_path / "a.wav", np.arange(20).reshape(10, 2) / 100, 48000, subtype="FLOAT")
    mono = load_resampled_mono_wav(path, 48000, 4)
    np.testing.assert_allclose(mono[0].numpy(), [0.005, 0.025, 0.045, 0.065], atol=1e-7)


# --- damaged files ---------------------------------------------------------------------------------------------------

BAD_SOUNDS = [
    ("empty-file", b"", ValueError, ["sound.wav", "expected WAV"]),
    ("text", b"hello", ValueError, ["sound.wav", "expected WAV"]),
    ("cut-in-the-header", sound_file(np.zeros(100))[:20], ValueError, ["sound.wav"]),
    ("cut-before-the-samples", sound_file(np.zeros(100))[:44], ValueError, ["sound.wav", "no samples"]),
    ("no-samples", sound_file(np.zeros(0)), ValueError, ["sound.wav", "no samples"]),
    ("nan", sound_file(np.array([0.0, np.nan]), subtype="FLOAT"), ValueError, ["sound.wav", "damaged", "NaN"]),
    ("inf", sound_file(np.array([0.0, np.inf]), subtype="FLOAT"), ValueError, ["sound.wav", "damaged", "infinite"]),
    ("folder", None, IsADirectoryError, ["sound.wav"]),
]


@pytest.mark.parametrize(("content", "error", "words"), [pytest.param(*row[1:], id=row[0]) for row in BAD_SOUNDS])
@pytest.mark.parametrize("load", [load_wav, lambda path: load_resampled_mono_wav(path, 16000)])
def test_bad_sounds(tmp_path, load, content, error, words):
    path = tmp_path / "sound.wav"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(error) as caught:
        load(path)
    assert [word for word in words if word not in str(caught.value)] == []
    assert content is None or path.read_bytes() == content


def wav_bytes(n_samples=4800):
    file = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, n_samples)
    soundfile.write(file, samples, 48000, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_wav_file_that_is_cut_off_is_an_error(kept):
    content = wav_bytes()
    with pytest.raises(ValueError, match=r"cut off: its header promises 9600 bytes of samples, and there are \d+"):
        load_wav(io.BytesIO(content[: int(kept * len(content))]))


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_headers_of_streams_do_not_know_the_length(size):
    content = wav_bytes()
    streamed = content[:40] + size.to_bytes(4, "little") + content[44:]
    assert torch.equal(load_wav(io.BytesIO(streamed))[0], load_wav(io.BytesIO(content))[0])


@pytest.mark.parametrize(
    ("up", "down", "n_samples"),
    [(3072, 3125, 9000), (160, 147, 4800), (1, 2, 1001), (2, 1, 777), (3, 2, 5), (7, 5, 1), (1, 4, 900), (1, 30, 4000)],
)
def test_resampling_is_that_of_scipy(up, down, n_samples, monkeypatch):
    """Also in blocks, and where the sound is shorter than a period of the ratio."""
    sound = np.random.default_rng(0).normal(size=(2, n_samples)).astype(np.float32)
    expected = scipy.signal.resample_poly(sound.astype(np.float64), up, down, axis=-1)
    for block in (sound_files._BLOCK, 300):
        monkeypatch.setattr(sound_files, "_BLOCK", block)
        result = sound_files.resample(torch.from_numpy(sound), down * 1000, up * 1000)
        np.testing.assert_allclose(result, expected, atol=1e-6)
