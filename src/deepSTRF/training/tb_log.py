"""The TensorBoard logger under its name of deepSTRF 0.1.0; it lives in :mod:`deepSTRF.training.loggers`."""

from deepSTRF.training.loggers.tensorboard import TensorBoardSeedLogger, make_tensorboard_logger_factory

__all__ = ["TensorBoardSeedLogger", "make_tensorboard_logger_factory"]
