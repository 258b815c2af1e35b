"""Recordings with movies: the base class, and a simulated retina."""

from deepSTRF.datasets.video.simulated_movies import SimulatedMovieDataset
from deepSTRF.datasets.video.video_dataset import VideoNeuralDataset

__all__ = ["SimulatedMovieDataset", "VideoNeuralDataset"]
