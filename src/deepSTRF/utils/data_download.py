"""Where 0.1.0 kept the names of :mod:`deepSTRF.datasets.download`."""

from deepSTRF.datasets.download import default_cache_dir

__all__ = ["default_cache_dir"]
