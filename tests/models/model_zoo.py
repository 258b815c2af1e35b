"""A small instance of every registered model, for the tests that run over the whole zoo.

A model that is registered and not listed here fails test_every_registered_model_is_tested.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from deepSTRF.models import NeuralModel
from deepSTRF.registry import get_model


def spectrograms(batch_size: int, n_bins: int) -> Tensor:
    return torch.randn(batch_size, 1, 12, n_bins)


def movies(batch_size: int, n_bins: int) -> Tensor:
    return torch.randn(batch_size, 1, 5, 6, n_bins)


def waveforms(batch_size: int, n_bins: int) -> Tensor:
    return torch.randn(batch_size, 1, 40 * n_bins)


class Small(NamedTuple):
    """How to make a model that is quick to check, for any number of neurons and with options; and stimuli for it."""

    make: Callable[..., NeuralModel]
    stimulus: Callable[[int, int], Tensor] = spectrograms


def _bands(name: str, **fixed) -> Small:
    def make(out_neurons: int = 3, **options) -> NeuralModel:
        return get_model(name)(n_frequency_bands=12, out_neurons=out_neurons, **fixed, **options)

    return Small(make)


def _pixels(name: str, **fixed) -> Small:
    def make(out_neurons: int = 3, **options) -> NeuralModel:
        return get_model(name)((5, 6), out_neurons=out_neurons, **fixed, **options)

    return Small(make, movies)


def _samples(name: str, **fixed) -> Small:
    def make(out_neurons: int = 3, **options) -> NeuralModel:
        return get_model(name)(8000, out_neurons, dt_ms=5.0, **fixed, **options)

    return Small(make, waveforms)


ZOO = {
    "convgru": _pixels("convgru", encoder_channels=3, hidden_channels=2, spatial_kernel=3),
    "convnet2d": _bands("convnet2d", kernel_size=(3, 4), c_hidden=3, n_hidden=4),
    "convnet3d": _pixels(
        "convnet3d", channels=(3, 4), spatial_kernels=(3, 3), temporal_kernels=(3, 2), factorised=True
    ),
    "dnet": _bands("dnet", temporal_window_size=5, n_hidden=4),
    "icnet": _samples(
        "icnet",
        n_filters=4,
        sincnet_kernel_size=16,
        encoder_channels=5,
        encoder_kernel_size=8,
        n_encoder_layers=3,
        bottleneck_channels=4,
    ),
    "linear": _bands("linear"),
    "linear-nonlinear": _bands("linear-nonlinear"),
    "nrf": _bands("nrf", temporal_window_size=5, n_hidden=4),
    "ridge": _bands("ridge"),
    "statenet": _bands("statenet"),
    "transformer": _bands("transformer", embedding_dim=8, context_window=6),
    "video-ln": _pixels("video-ln", temporal_window_size=4),
}
# Models of spectrograms that take a prefiltering.
PREFILTERED = ("convnet2d", "dnet", "linear", "linear-nonlinear", "nrf", "statenet", "transformer")
