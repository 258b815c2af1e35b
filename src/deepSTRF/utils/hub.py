"""Compatibility names of 0.1.0; the code is in :mod:`deepSTRF.models.saving`."""

from deepSTRF.models.saving.configuration import CONFIG_FILE
from deepSTRF.models.saving.hub import download_pretrained, upload_pretrained
from deepSTRF.models.saving.pretrained import (
    METADATA_FILE,
    MODEL_CARD_FILE,
    WEIGHTS_FILE,
    load_pretrained_from_dir,
    save_pretrained_to_dir,
)

__all__ = [
    "CONFIG_FILE",
    "METADATA_FILE",
    "MODEL_CARD_FILE",
    "WEIGHTS_FILE",
    "download_pretrained",
    "load_pretrained_from_dir",
    "save_pretrained_to_dir",
    "upload_pretrained",
]
