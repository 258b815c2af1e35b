"""What the loggers share: the steps of an epoch, names of runs, optional packages, and the choice by name."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from deepSTRF.checks import unknown_name
from deepSTRF.files import expand_path
from deepSTRF.training.loggers.percentiles import final_row

__all__ = ["LOGGER_KINDS", "Logger", "SeedLogger", "make_logger"]

LOGGER_KINDS = ("jsonl", "tensorboard", "wandb", "mlflow")


@runtime_checkable
class Logger(Protocol):
    """What every logger of this package can do; of a logger of your own only the call is asked for."""

    def __call__(self, epoch_dict: Mapping[str, Any]) -> None:
        """Log one epoch."""

    def finalize(self, final: Mapping[str, Mapping[str, Any]]) -> None:
        """Log the scores of the best epoch, ``{"val": {...}, "test": {...}}``."""

    def close(self) -> None:
        """Write what is left and let go of files and processes."""


class SeedLogger:
    """Base of the loggers that write the curves of one seed: a subclass has ``_log(row, step)`` and :meth:`close`.

    Attributes
    ----------
    seed : int
        The seed of the run.
    """

    seed: int

    @classmethod
    def factory(cls, **options: Any) -> Callable[[int], Self]:
        """Give a ``logger_factory`` for ``fit_multi_seed``; `options` are those of the class, without `seed`.

        Examples
        --------
        >>> from deepSTRF.training.loggers import make_tensorboard_logger_factory
        >>> logger_factory = make_tensorboard_logger_factory(log_dir="tb_logs", group="linear-ns1")
        """
        return functools.partial(cls, **options)

    def __call__(self, epoch_dict: Mapping[str, Any]) -> None:
        """Log an epoch; the step is its number."""
        self._log(epoch_dict, int(epoch_dict["epoch"]))

    def finalize(self, final: Mapping[str, Mapping[str, Any]]) -> None:
        """Log the scores of the best epoch as ``final/<part>_<metric>``, at step 0."""
        self._log({f"final/{name}": value for name, value in final_row(final).items()}, 0)

    def close(self) -> None:
        """Write what is left and let go of files and processes."""

    def _log(self, row: Mapping[str, Any], step: int) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no _log(row, step)")


def make_logger(
    kind: str,
    folder: str | Path,
    *,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Logger:
    """Make the logger that is called `kind`, with everything that it writes inside `folder`.

    Parameters
    ----------
    kind : {"jsonl", "tensorboard", "wandb", "mlflow"}
        ``jsonl`` writes ``history.jsonl``, and leaves seed and config to the ``config.json`` of the run folder.
    folder : str or Path
        The folder of the run, which also gives the run its name.
    seed : int
        The seed of the run.
    config : dict, optional
        What to show as the run's configuration.
    resume : bool
        Continue the MLflow run that this folder's last logger started. For the others it makes no difference: JSONL and
        TensorBoard always continue what is there, Weights & Biases always starts a run.

    Raises
    ------
    ValueError
        If `kind` is unknown.
    ImportError
        If the package behind it is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from deepSTRF.training.loggers import make_logger
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = make_logger("jsonl", folder)
    ...     log({"epoch": 0, "train_loss": 0.5})
    ...     log.path.read_text()
    '{"epoch": 0, "train_loss": 0.5}\\n'
    """
    folder = expand_path(folder, "folder")
    name = folder.resolve().name
    if kind == "jsonl":
        from deepSTRF.training.loggers.jsonl import JsonlLogger

        return JsonlLogger(folder / "history.jsonl")
    if kind == "tensorboard":
        from deepSTRF.training.loggers.tensorboard import TensorBoardSeedLogger

        return TensorBoardSeedLogger(seed, log_dir=folder / "tensorboard", name=name, config=config)
    if kind == "wandb":
        from deepSTRF.training.loggers.wandb import WandbSeedLogger

        return WandbSeedLogger(seed, project="deepSTRF", name=name, dir=folder, config=config)
    if kind == "mlflow":
        from deepSTRF.training.loggers.mlflow import MLflowSeedLogger

        run_file = folder / "mlruns" / "run_id"
        run_id = run_file.read_text().strip() if resume and run_file.exists() else None
        log = MLflowSeedLogger(seed, tracking_dir=folder / "mlruns", name=name, config=config, run_id=run_id)
        run_file.write_text(log.run_id + "\n")
        return log
    raise ValueError(unknown_name("logger", kind, LOGGER_KINDS))


def run_name(seed: int, name: str | None, group: str | None) -> str:
    """``<name>-seed<k>``, else ``<group>-seed<k>``, else ``seed<k>``."""
    prefix = name or group
    return f"{prefix}-seed{seed}" if prefix else f"seed{seed}"


def import_package(module: str, purpose: str) -> Any:
    """Import `module` of an optional package; raises ImportError with how to install it if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {module}, which cannot be imported ({error}); run: pip install deepSTRF[loggers]",
            name=module,
        ) from error
