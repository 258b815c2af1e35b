"""Files and objects of other packages become a data set."""

from __future__ import annotations

from deepSTRF.datasets.sources.nwb import NWBRecording

__all__ = ["ConvertibleRecording"]


class ConvertibleRecording(NWBRecording):
    """A recording that can be made from NWB files."""
