"""Where 0.1.0 kept the names of :mod:`deepSTRF.datasets.download` and :mod:`deepSTRF.datasets.archives`."""

from deepSTRF.datasets.archives import untar, unzip
from deepSTRF.datasets.download import default_cache_dir

__all__ = ["default_cache_dir", "untar", "unzip"]
