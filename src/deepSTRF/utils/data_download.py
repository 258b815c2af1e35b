"""Compatibility names of 0.1.0; the code is in :mod:`deepSTRF.datasets.single_files`, `download` and `archives`."""

from deepSTRF.datasets.archives import untar, unzip
from deepSTRF.datasets.download import default_cache_dir
from deepSTRF.datasets.single_files import (
    crcns_download,
    figshare_download,
    github_raw_download,
    osf_download,
    stream_download,
    zenodo_download,
)

__all__ = [
    "crcns_download",
    "default_cache_dir",
    "figshare_download",
    "github_raw_download",
    "osf_download",
    "stream_download",
    "untar",
    "unzip",
    "zenodo_download",
]
