"""Recordings with sounds: the base class and one file per recording."""

from deepSTRF.datasets.audio.alice_eeg import AliceEEGDataset, download_alice_eeg
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.crcns_aa1 import CRCNSAA1Dataset, download_aa1
from deepSTRF.datasets.audio.crcns_aa2 import CRCNSAA2Dataset, download_aa2
from deepSTRF.datasets.audio.crcns_aa4 import AA4_ANIMAL_IDS, CRCNSAA4Dataset, download_aa4
from deepSTRF.datasets.audio.crcns_ac1 import (
    WEHR_NEURONS_SPLIT_NATURAL,
    WEHR_VALID_NEURONS,
    CRCNSAC1Dataset,
    download_ac1,
)
from deepSTRF.datasets.audio.downer2025 import Downer2025Dataset, download_downer2025
from deepSTRF.datasets.audio.espejo import EspejoDataset, download_espejo, download_espejo_nat_waveforms
from deepSTRF.datasets.audio.grasshopper import GrasshopperDataset
from deepSTRF.datasets.audio.le2025 import Le2025Dataset
from deepSTRF.datasets.audio.nat4 import NAT4Dataset, download_nat4
from deepSTRF.datasets.audio.ns1 import NS1Dataset
from deepSTRF.datasets.audio.wingert2026 import Wingert2026Dataset, download_wingert2026

__all__ = [
    "AA4_ANIMAL_IDS",
    "WEHR_NEURONS_SPLIT_NATURAL",
    "WEHR_VALID_NEURONS",
    "AliceEEGDataset",
    "AudioNeuralDataset",
    "CRCNSAA1Dataset",
    "CRCNSAA2Dataset",
    "CRCNSAA4Dataset",
    "CRCNSAC1Dataset",
    "Downer2025Dataset",
    "EspejoDataset",
    "GrasshopperDataset",
    "Le2025Dataset",
    "NAT4Dataset",
    "NS1Dataset",
    "Wingert2026Dataset",
    "download_aa1",
    "download_aa2",
    "download_aa4",
    "download_ac1",
    "download_alice_eeg",
    "download_downer2025",
    "download_espejo",
    "download_espejo_nat_waveforms",
    "download_nat4",
    "download_wingert2026",
]
