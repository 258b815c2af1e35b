"""Recordings with movies: the base class, one file per recording, and a simulated retina."""

from deepSTRF.datasets.video.allen_calcium import AllenCalciumDataset
from deepSTRF.datasets.video.allen_neuropixels import AllenNeuropixelsDataset
from deepSTRF.datasets.video.simulated_movies import SimulatedMovieDataset
from deepSTRF.datasets.video.video_dataset import VideoNeuralDataset

__all__ = ["AllenCalciumDataset", "AllenNeuropixelsDataset", "SimulatedMovieDataset", "VideoNeuralDataset"]
