"""What the recipes beside the models share."""

import numpy as np
import pytest
import torch

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import SimulatedMovieDataset, VideoNeuralDataset
from deepSTRF.models.audio import ICNet, Linear, Transformer
from deepSTRF.models.from_recording import (
    build_model,
    place_neurons,
    shaped_model,
    stimulus_of,
)
from deepSTRF.models.video import ConvNet3D, VideoEncodingModel


class Sounds:
    """The attributes of a recording of waveforms, and nothing else."""

    N_neurons, dt, audio_fs = 3, 5.0, 6400


def test_a_model_has_the_shape_of_the_recording():
    sounds = AudioNeuralDataset.from_arrays([torch.rand(8, 50)], [torch.rand(2, 3, 50)], dt_ms=5.0)
    linear = shaped_model(Linear, sounds, window_ms=102.0)
    assert (linear.F, linear.T, linear.O) == (8, 20, 2)
    movies = SimulatedMovieDataset(n_neurons=2, n_stims=3, duration_s=0.5, spatial_resol=(8, 12))
    assert build_model(ConvNet3D, movies, movies, 100.0)._frame == (1, 8, 12)
    model = shaped_model(ICNet, Sounds, 100.0, n_filters=4, encoder_channels=4)
    assert (model.wav2spec.hop, model.O) == (32, 3)


def test_arguments_that_a_recording_does_not_give_are_named():
    class Needy(Linear):
        def __init__(self, depth, out_neurons=1):
            super().__init__(out_neurons=out_neurons)

    with pytest.raises(
        TypeError, match="Needy needs the arguments depth, which a recording does not give: give them defaults"
    ):
        shaped_model(Needy, Sounds, 100.0)
    assert shaped_model(Needy, Sounds, 100.0, depth=3).O == 3


def test_neurons_are_placed_where_they_look():
    ds = SimulatedMovieDataset(n_neurons=6, n_stims=4, spatial_resol=(8, 12))
    ds.responses[1][0] = torch.full_like(ds.responses[1][0], torch.nan)
    centres = torch.tensor([[meta["row"], meta["column"]] for meta in ds.nrn_meta])
    assert ((place_neurons(ds, n_lags=12) - centres).abs() < 1.1).all()


def test_a_complex_cell_is_placed_where_it_looks_although_its_average_is_flat():
    rng = np.random.default_rng(0)
    bars = np.where(rng.random((20, 5, 8000)) < 0.5, 1.0, -1.0)  # their squares say nothing, only their products do
    phases = np.cos(1.5 * np.arange(5)), np.sin(1.5 * np.arange(5))
    energy = sum((np.tensordot(phase, bars[9:14, 2], 1)) ** 2 for phase in phases)
    spikes = rng.poisson(0.1 * np.roll(energy, 3))
    ds = VideoNeuralDataset.from_arrays([bars], [spikes[None, None]], dt_ms=10.0)
    row, column = place_neurons(ds, n_lags=8)[0].tolist()
    assert row in range(9, 14)
    assert column == 2


def test_a_class_tells_what_it_takes():
    class Fixed(VideoEncodingModel):
        def __init__(self, out_neurons=1):
            super().__init__((4, 5), 3, out_neurons)

    assert [stimulus_of(cls) for cls in (Transformer, ICNet, Fixed)] == ["spectrogram", "waveform", "movie"]
