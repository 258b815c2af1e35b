"""Models: a stimulus becomes one prediction per neuron."""

from deepSTRF.models.neural_model import NeuralModel

__all__ = ["NeuralModel"]
