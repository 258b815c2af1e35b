"""Compatibility names of 0.1.0; the code is in :mod:`deepSTRF.datasets`."""

from deepSTRF.datasets.collate import fill_missing_data, neural_collate
from deepSTRF.datasets.concatenation import concat_neural_datasets, concatenate_datasets
from deepSTRF.datasets.smoothing import ResponseSmoothingTransform, hanning_smooth

__all__ = [
    "ResponseSmoothingTransform",
    "concat_neural_datasets",
    "concatenate_datasets",
    "fill_missing_data",
    "hanning_smooth",
    "neural_collate",
]
