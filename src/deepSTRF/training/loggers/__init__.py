"""Where the epoch dicts go: JSONL, TensorBoard, Weights & Biases and MLflow.

A logger is any callable that takes an epoch dict, so it can be the ``log_fn`` of a
:class:`~deepSTRF.training.fitter.Fitter`. It may have ``finalize({"val": {...}, "test": {...}})`` for the scores of the
best epoch, and ``close()``. Per-neuron values ``(N,)`` are logged as their mean and percentiles over the neurons where
they are defined. TensorBoard, Weights & Biases and MLflow (``pip install deepSTRF[loggers]``) are imported when their
logger is made, and none of the loggers uses the network unless it is told to.
"""

from deepSTRF.training.loggers.base import LOGGER_KINDS, make_logger
from deepSTRF.training.loggers.jsonl import JsonlLogger, make_jsonl_logger_factory, read_jsonl
from deepSTRF.training.loggers.mlflow import MLflowSeedLogger, make_mlflow_logger_factory
from deepSTRF.training.loggers.percentiles import summarise
from deepSTRF.training.loggers.tensorboard import TensorBoardSeedLogger, make_tensorboard_logger_factory
from deepSTRF.training.loggers.wandb import WandbSeedLogger, make_wandb_logger_factory

__all__ = [
    "LOGGER_KINDS",
    "JsonlLogger",
    "MLflowSeedLogger",
    "TensorBoardSeedLogger",
    "WandbSeedLogger",
    "make_jsonl_logger_factory",
    "make_logger",
    "make_mlflow_logger_factory",
    "make_tensorboard_logger_factory",
    "make_wandb_logger_factory",
    "read_jsonl",
    "summarise",
]
