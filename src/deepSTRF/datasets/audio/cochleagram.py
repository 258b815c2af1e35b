"""The public name of :mod:`deepSTRF.datasets.cochleagram`."""

from deepSTRF.datasets.cochleagram import band_centres, causal_cochleagram

__all__ = ["band_centres", "causal_cochleagram"]
