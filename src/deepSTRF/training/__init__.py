"""The opt-in training loop and what belongs to it: seeds, folds, early stopping, checkpoints."""

from deepSTRF.training.config import auto_config, slug_from_config
from deepSTRF.training.cross_validation import cross_validate
from deepSTRF.training.errors import AllFitsFailedError, NonFiniteLossError, ResumeError, UnknownMonitorError
from deepSTRF.training.fitter import Fitter
from deepSTRF.training.multi_seed import fit_multi_seed
from deepSTRF.training.seed import set_random_seed

__all__ = [
    "AllFitsFailedError",
    "Fitter",
    "NonFiniteLossError",
    "ResumeError",
    "UnknownMonitorError",
    "auto_config",
    "cross_validate",
    "fit_multi_seed",
    "set_random_seed",
    "slug_from_config",
]
