"""Saved models under the names of deepSTRF 0.1.0; the code is in :mod:`deepSTRF.models.pretrained`."""

from deepSTRF.models.pretrained import (
    CONFIG_FILE,
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
    "load_pretrained_from_dir",
    "save_pretrained_to_dir",
]
