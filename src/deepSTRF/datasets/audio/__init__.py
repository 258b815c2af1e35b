"""Recordings with sounds: the base class and one file per recording."""

from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.grasshopper import GrasshopperDataset
from deepSTRF.datasets.audio.ns1 import NS1Dataset

__all__ = [
    "AudioNeuralDataset",
    "GrasshopperDataset",
    "NS1Dataset",
]
