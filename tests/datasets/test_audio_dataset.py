import pytest
import torch

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset as SameClass

BINS = (30, 20, 40, 25)


def waveforms(make, hop=80, audio_fs=16000):
    ds = make(AudioNeuralDataset)
    ds.audio_fs = audio_fs
    ds.return_waveform = True
    ds.stims = [torch.rand(1, bins * hop) for bins in BINS]
    return ds


def test_attributes(make):
    assert SameClass is AudioNeuralDataset
    ds = AudioNeuralDataset("x", 5.0)
    assert (ds.F, ds.audio_fs, ds.hearing_range_hz, ds.hop) == (-1, None, None, None)
    ds.audio_fs = 44100
    assert ds.hop == 220
    ds = make(AudioNeuralDataset)
    ds.validate()
    assert ds.get_F() == 8
    assert len(ds) == 4


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"F": -1}, ValueError, "F must be a positive"),
        ({"F": 0}, ValueError, "F must be a positive"),
        ({"F": 8.0}, TypeError, "F must be an integer"),
        ({"F": 9}, ValueError, r"stims\[0\] must have shape \(1, F=9, T\)"),
        ({"hearing_range_hz": 100}, ValueError, "hearing_range_hz"),
        ({"hearing_range_hz": (100,)}, ValueError, "hearing_range_hz"),
        ({"hearing_range_hz": (200, 100)}, ValueError, "hearing_range_hz"),
        ({"hearing_range_hz": (-1, 100)}, ValueError, "hearing_range_hz"),
        ({"hearing_range_hz": "ab"}, ValueError, "hearing_range_hz"),
    ],
)
def test_validate(make, changes, error, message):
    ds = make(AudioNeuralDataset)
    for name, value in changes.items():
        setattr(ds, name, value)
    with pytest.raises(error, match=message):
        ds.validate()


def test_spectrogram_and_response_lengths(make):
    ds = make(AudioNeuralDataset)
    ds.stims[2] = torch.rand(1, 8, 41)
    with pytest.raises(ValueError, match=r"stims\[2\] has 41 frames, the responses to it have 40 bins"):
        ds.validate()
    ds.responses[2] = [torch.full((1, 1), float("nan"))] * 3  # heard by nobody
    ds.validate()


def test_waveforms(make):
    ds = waveforms(make)
    ds.validate()
    assert ds.hop == 80
    assert ds[0]["stims"].shape == (1, 2400)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ds: setattr(ds, "audio_fs", None), TypeError, "audio_fs"),
        (lambda ds: setattr(ds, "audio_fs", 0), ValueError, "audio_fs"),
        (lambda ds: setattr(ds, "audio_fs", 16000.0), TypeError, "audio_fs"),
        (lambda ds: setattr(ds, "audio_fs", 44100), ValueError, "integer number of samples"),
        (lambda ds: ds.stims.__setitem__(1, torch.rand(2, 1600)), ValueError, r"\(1, T_audio\)"),
        (lambda ds: ds.stims.__setitem__(1, torch.rand(1, 8, 20)), ValueError, r"\(1, T_audio\)"),
        (lambda ds: ds.stims.__setitem__(1, torch.rand(1, 1601)), ValueError, "multiple of"),
        (lambda ds: ds.stims.__setitem__(1, torch.rand(1, 1680)), ValueError, "neural"),
    ],
)
def test_waveform_grid(make, change, error, message):
    ds = waveforms(make)
    change(ds)
    with pytest.raises(error, match=message):
        ds.validate()


def test_an_unheard_waveform_is_not_checked(make):
    ds = waveforms(make)
    ds.stims[1] = torch.rand(1, 7)
    ds.responses[1] = [torch.full((1, 1), float("nan"))] * 3
    ds.validate()
    assert not ds.nrn_masks[1].any()


def test_concatenation(make):
    ds, other = waveforms(make), waveforms(make)
    ds.hearing_range_hz = (20.0, 2e4)
    joined = ds + other
    assert (joined.F, joined.audio_fs, joined.hearing_range_hz) == (8, 16000, (20.0, 2e4))
    assert joined.return_waveform is True  # so that the grid is still checked
    joined.stims[0] = torch.rand(1, 81)
    with pytest.raises(ValueError, match="multiple of"):
        joined.validate()


@pytest.mark.parametrize("name", ["F", "audio_fs", "return_waveform"])
def test_what_does_not_fit(make, name):
    ds, other = make(AudioNeuralDataset), make(AudioNeuralDataset)
    setattr(other, name, 9)
    with pytest.raises(ValueError, match=f"{name} mismatch"):
        ds + other
