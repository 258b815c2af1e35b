"""The Weights & Biases logger under its name of deepSTRF 0.1.0; it lives in :mod:`deepSTRF.training.loggers`."""

from deepSTRF.training.loggers.wandb import WandbSeedLogger, make_wandb_logger_factory

__all__ = ["WandbSeedLogger", "make_wandb_logger_factory"]
