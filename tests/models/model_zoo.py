"""A small instance of every registered model, for the tests that run over the whole zoo.

It is made from the registry: a new model is tested without an entry here.
"""

import functools
import inspect
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.models import NeuralModel
from deepSTRF.models.from_recording import shaped_model
from deepSTRF.registry import get_model, get_model_card, model_cards


def spectrograms(batch_size: int, n_bins: int) -> Tensor:
    return torch.randn(batch_size, 1, 12, n_bins)


def movies(batch_size: int, n_bins: int) -> Tensor:
    return torch.randn(batch_size, 1, 5, 6, n_bins)


def waveforms(batch_size: int, n_bins: int) -> Tensor:
    return torch.randn(batch_size, 1, 40 * n_bins)


STIMULI = {"spectrogram": spectrograms, "waveform": waveforms, "movie": movies}


@functools.cache
def tiny_recording(stimulus: str):
    """Three neurons and six stimuli of 160 bins of 5 ms."""
    if stimulus == "movie":
        return SimulatedMovieDataset(
            n_neurons=3, n_stims=6, duration_s=0.8, n_repeats=2, dt_ms=5.0, spatial_resol=(5, 6)
        )
    generator = torch.Generator().manual_seed(0)
    stims = list(torch.randn(6, *((1, 12, 160) if stimulus == "spectrogram" else (1, 80 * 160)), generator=generator))
    sounds = AudioNeuralDataset(path="tiny", dt_ms=5.0)
    sounds.F, sounds.N_neurons, sounds.stims = 12, 3, stims
    if stimulus == "waveform":
        sounds.audio_fs, sounds.return_waveform = 16000, True
    drive = [stim.reshape(1, -1, 160)[0, :3].relu() for stim in stims]  # so that something can be learnt
    sounds.responses = [list(torch.stack([rate, rate + torch.rand(3, 160, generator=generator)], 1)) for rate in drive]
    sounds.stim_meta, sounds.nrn_meta = [{} for _ in stims], [{} for _ in range(3)]
    sounds.validate()
    return sounds


# Options that make a model quicker to check.
SMALL = {
    "convgru": {"encoder_channels": 3, "hidden_channels": 2, "spatial_kernel": 3},
    "convnet2d": {"kernel_size": (3, 4), "c_hidden": 3, "n_hidden": 4},
    "convnet3d": {"channels": (3, 4), "spatial_kernels": (3, 3), "temporal_kernels": (3, 2)},
    "dnet": {"n_hidden": 4},
    "icnet": {
        "audio_fs": 8000,  # half of the recording's
        "n_filters": 4,
        "sincnet_kernel_size": 16,
        "encoder_channels": 5,
        "encoder_kernel_size": 8,
        "n_encoder_layers": 3,
        "bottleneck_channels": 4,
    },
    "nrf": {"n_hidden": 4},
    "transformer": {"embedding_dim": 8, "context_window": 6},
}


class Small(NamedTuple):
    """How to make a model that is quick to check, for any number of neurons and with options; and stimuli for it."""

    make: Callable[..., NeuralModel]
    stimulus: Callable[[int, int], Tensor]


def takes(name: str) -> str:
    """The stimulus of a model; of one that takes several, the first."""
    return get_model_card(name).stimulus.split(" or ")[0]


def _small(name: str) -> Small:
    stimulus = takes(name)

    def make(out_neurons: int = 3, **options) -> NeuralModel:
        options = {"out_neurons": out_neurons, **SMALL.get(name, {}), **options}
        return shaped_model(get_model(name), tiny_recording(stimulus), window_ms=25.0, **options)

    return Small(make, STIMULI[stimulus])


# Once per class; further names of a class differ in their recipes.
ZOO = {name: _small(name) for name in model_cards() if get_model(name).card.name == name}
# Models of spectrograms that take a prefiltering.
PREFILTERED = [name for name in ZOO if "prefiltering" in inspect.signature(get_model(name)).parameters]
