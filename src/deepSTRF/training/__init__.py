"""The opt-in training loop and what belongs to it: seeds, early stopping, checkpoints."""

from deepSTRF.training.fitter import Fitter, NonFiniteLossError, UnknownMonitorError
from deepSTRF.training.resume import ResumeError
from deepSTRF.training.seed import set_random_seed

__all__ = ["Fitter", "NonFiniteLossError", "ResumeError", "UnknownMonitorError", "set_random_seed"]
