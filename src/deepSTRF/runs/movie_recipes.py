"""How the command line builds each model of movies; :mod:`deepSTRF.runs.recipes` holds their training settings."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional

from deepSTRF.datasets.collate import neural_collate
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.registry import get_model

__all__ = ["convgru", "convnet3d", "movie_shape", "video_linear_nonlinear"]


def movie_shape(train: VideoNeuralDataset, window_ms: float) -> dict[str, Any]:
    """The arguments that every model of movies takes from a recording."""
    return {
        "spatial_resol": (train.H, train.W),
        "temporal_window_size": max(1, round(window_ms / train.dt)),
        "out_neurons": train.N_neurons,
        "in_channels": train.C,
    }


def video_linear_nonlinear(train: VideoNeuralDataset, val: VideoNeuralDataset, window_ms: float) -> FrameModel:
    """Fields of two products of space and time: a centre and a surround that lags."""
    return get_model("video-ln")(**movie_shape(train, window_ms), rank=2)


def convnet3d(train: VideoNeuralDataset, val: VideoNeuralDataset, window_ms: float) -> FrameModel:
    """The layers together see the window; neurons begin at their places."""
    shape = movie_shape(train, window_ms)
    n_lags = shape.pop("temporal_window_size")
    last = min(5, n_lags)
    model = get_model("convnet3d")(**shape, temporal_kernels=(n_lags - last + 1, last))
    model.readout.place(_places(train, n_lags))
    return model


def convgru(train: VideoNeuralDataset, val: VideoNeuralDataset, window_ms: float) -> FrameModel:
    """The encoder sees the window, so that the recurrent layer learns what is slower; neurons begin at their places."""
    model = get_model("convgru")(**movie_shape(train, window_ms))
    model.readout.place(_places(train, model.T))
    return model


def _places(train: VideoNeuralDataset, n_lags: int) -> Int64[Tensor, "N 2"]:
    """Where each neuron looks: row and column of the strongest pixel of its spike-triggered average."""
    average = torch.zeros(train.N_neurons, train.C, train.H, train.W, n_lags)
    averaged = train.averaged()
    for i in range(len(averaged)):
        batch = neural_collate([averaged[i]])
        movie, responses = batch["stims"][0], batch["responses"][0, :, 0]
        deviations = (responses - responses.nanmean(1, keepdim=True)).nan_to_num(0.0)
        seen = functional.pad(movie, (n_lags - 1, 0))
        for lag in range(n_lags):
            average[..., lag] += torch.einsum("nt,chwt->nchw", deviations, seen[..., lag : lag + movie.shape[-1]])
    strongest = average.square().sum((1, 4)).flatten(1).argmax(1)
    return torch.stack([strongest // train.W, strongest % train.W], 1)
