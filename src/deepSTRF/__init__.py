"""deepSTRF: fit encoding models of sensory neurons and score them honestly.

A recording becomes a :class:`deepSTRF.datasets.NeuralDataset`, a model from :mod:`deepSTRF.models` is trained by
:class:`deepSTRF.training.Fitter`, and :mod:`deepSTRF.metrics` say how much of the explainable response it explains.
Importing this package loads nothing; import the rooms that you need.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("deepSTRF")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
