"""Files and objects of other packages become a data set."""

from __future__ import annotations

from deepSTRF.datasets.sources.labelled_arrays import LabelledArrayRecording
from deepSTRF.datasets.sources.neo_objects import NeoRecording
from deepSTRF.datasets.sources.nwb import NWBRecording
from deepSTRF.datasets.sources.pynapple_objects import PynappleRecording
from deepSTRF.datasets.sources.tidy_tables import TableRecording

__all__ = ["ConvertibleRecording"]


class ConvertibleRecording(NWBRecording, PynappleRecording, NeoRecording, TableRecording, LabelledArrayRecording):
    """A recording that can be made from NWB files, objects of pynapple and Neo, tidy tables and arrays of xarray."""
