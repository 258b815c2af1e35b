"""Models: a stimulus becomes one prediction per neuron."""

from deepSTRF.models.neural_model import NeuralModel  # first: the models import it from here

from deepSTRF.models.audio.poisson import fit_poisson  # isort: skip
from deepSTRF.models.audio.ridge import fit_ridge  # isort: skip
from deepSTRF.models.ensemble import Ensemble

__all__ = ["Ensemble", "NeuralModel", "fit_poisson", "fit_ridge"]
