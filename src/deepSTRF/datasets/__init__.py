"""A recording becomes a :class:`NeuralDataset`: stimuli, responses, metadata, and what is missing."""

from deepSTRF.datasets.checkup import check_recording
from deepSTRF.datasets.chunks import ChunkLoader
from deepSTRF.datasets.covariates import Continuous
from deepSTRF.datasets.folders import read_folder
from deepSTRF.datasets.neural_dataset import NeuralDataset

__all__ = ["ChunkLoader", "Continuous", "NeuralDataset", "check_recording", "read_folder"]
