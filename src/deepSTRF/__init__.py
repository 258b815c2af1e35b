"""deepSTRF: fit encoding models of sensory neurons and score them honestly.

A recording becomes a :class:`deepSTRF.datasets.NeuralDataset`, a model from :mod:`deepSTRF.models` is trained by
:class:`deepSTRF.training.Fitter`, and :mod:`deepSTRF.metrics` say how much of the explainable response it explains.
Importing this package loads nothing; import the rooms that you need.
"""

from typing import TYPE_CHECKING

__version__: str

__all__ = ["__version__"]

if not TYPE_CHECKING:

    def __getattr__(name):
        """Look the version up when it is asked for: what reads it takes longer to import than the rest."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("deepSTRF")
        except PackageNotFoundError:  # a source tree that is not installed
            return "0+unknown"
