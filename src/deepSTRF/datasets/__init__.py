"""A recording becomes a :class:`NeuralDataset`: stimuli, responses, metadata, and what is missing."""

from deepSTRF.datasets.neural_dataset import NeuralDataset

__all__ = ["NeuralDataset"]
