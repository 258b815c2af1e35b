"""Compatibility names of 0.1.0; the code is in :mod:`deepSTRF.datasets.download` and `archives`."""

from deepSTRF.datasets.archives import untar, unzip
from deepSTRF.datasets.download import default_cache_dir

__all__ = ["default_cache_dir", "untar", "unzip"]
