"""A front end next to the spectrogram that it should reproduce."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from deepSTRF import utils
from deepSTRF.models.wav2spec import CausalMelSpectrogram, SincNet
from deepSTRF.plotting import compare_wav2spec_to_groundtruth

FS = 8000


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(0)
    return SimpleNamespace(stims=[torch.randn(1, n * 40, generator=generator) for n in (50, 60)], dt=5.0)


@pytest.fixture
def mel():
    return CausalMelSpectrogram(FS, 6)


@pytest.fixture
def truths(dataset, mel):
    return [mel(stim[None])[0] for stim in dataset.stims]


def test_the_same_front_end_gives_the_same(dataset, mel, truths):
    mel.train()
    pred, truth, fig = compare_wav2spec_to_groundtruth(dataset, mel, 1, ground_truth_stims=truths, suptitle="dove")
    assert pred.shape == (6, 60)
    assert torch.equal(pred, truth)
    assert float(pred.mean()) == pytest.approx(0, abs=1e-5)
    assert float(pred.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert fig.get_suptitle() == "dove, correlation 1.00"
    assert not mel.training
    top, bottom = fig.axes[:2]
    assert (top.get_title(), bottom.get_title()) == ("CausalMelSpectrogram", "ground truth")
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("frequency (kHz)", "frequency band")
    assert bottom.get_xlabel() == "time (s)"
    assert bottom.get_xlim() == pytest.approx((0, 0.3))
    np.testing.assert_allclose(top.images[0].get_array(), pred)
    assert top.images[0].get_clim() == bottom.images[0].get_clim()


def test_without_z_scores_the_values_are_the_given_ones_and_times_are_cut_to_the_shorter(dataset, mel, truths):
    given = [np.asarray(truth[0])[:, :45] + 100 for truth in truths]
    pred, truth, fig = compare_wav2spec_to_groundtruth(dataset, mel, ground_truth_stims=given, z_score=False)
    assert pred.shape == truth.shape == (6, 45)
    torch.testing.assert_close(truth, torch.from_numpy(given[0]))
    torch.testing.assert_close(pred + 100, truth)
    assert fig.axes[0].images[0].get_clim() != fig.axes[1].images[0].get_clim()


def test_other_bands_are_drawn_without_a_correlation(dataset, truths):
    pred, truth, fig = compare_wav2spec_to_groundtruth(dataset, SincNet(FS, 9), ground_truth_stims=truths)
    assert (pred.shape, truth.shape) == ((9, 50), (6, 50))
    assert not pred.requires_grad
    assert fig.get_suptitle() == ""


def test_a_silent_ground_truth_has_no_correlation(dataset, mel):
    silent = [torch.zeros(6, 50), torch.zeros(6, 60)]
    _, truth, fig = compare_wav2spec_to_groundtruth(dataset, mel, ground_truth_stims=silent)
    assert truth.isnan().all()
    assert fig.get_suptitle() == "correlation undefined"


def test_what_does_not_fit_is_named(dataset, mel, truths):
    with pytest.raises(ValueError, match="pass ground_truth_stims"):
        compare_wav2spec_to_groundtruth(dataset, mel)
    with pytest.raises(IndexError, match="no stimulus 2: ds has 2"):
        compare_wav2spec_to_groundtruth(dataset, mel, 2, ground_truth_stims=truths)
    with pytest.raises(IndexError, match="ground_truth_stims has 1"):
        compare_wav2spec_to_groundtruth(dataset, mel, 1, ground_truth_stims=truths[:1])
    with pytest.raises(ValueError, match="return_waveform=True"):
        compare_wav2spec_to_groundtruth(SimpleNamespace(stims=truths), mel, ground_truth_stims=truths)
    with pytest.raises(ValueError, match=r"ground_truth_stims\[0\]"):
        compare_wav2spec_to_groundtruth(dataset, mel, ground_truth_stims=dataset.stims[0])
    with pytest.raises(ValueError, match=r"\(B, 1, F, T\)"):
        compare_wav2spec_to_groundtruth(dataset, nn.Identity(), ground_truth_stims=truths)
    with pytest.raises(TypeError, match="Module"):
        compare_wav2spec_to_groundtruth(dataset, CausalMelSpectrogram, ground_truth_stims=truths)


def test_the_old_addresses_lead_here():
    from deepSTRF.utils import plotting

    assert utils.compare_wav2spec_to_groundtruth is plotting.compare_wav2spec_to_groundtruth
    assert plotting.compare_wav2spec_to_groundtruth is compare_wav2spec_to_groundtruth


def test_the_ground_truth_has_kilohertz_where_its_bands_are_known():
    dataset = SimpleNamespace(stims=[torch.randn(1, 8000)], dt=5.0)
    arguments = {"ground_truth_stims": [torch.randn(20, 200)], "frequencies_hz": np.geomspace(500, 4000, 20)}
    _, _, fig = compare_wav2spec_to_groundtruth(dataset, CausalMelSpectrogram(8000, n_mels=20), **arguments)
    assert fig.axes[1].get_ylabel() == "frequency (kHz)"
    with pytest.raises(ValueError, match="one frequency per band"):
        compare_wav2spec_to_groundtruth(
            dataset, CausalMelSpectrogram(8000, n_mels=20), **arguments | {"frequencies_hz": [1.0]}
        )
