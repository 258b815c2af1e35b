"""Recordings with movies: the base class."""

from deepSTRF.datasets.video.video_dataset import VideoNeuralDataset

__all__ = ["VideoNeuralDataset"]
