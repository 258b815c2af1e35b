"""What the loggers share: names of runs, optional packages, and the choice by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

__all__ = ["LOGGER_KINDS", "Logger", "make_logger"]

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
        Go on with the MLflow run that this folder's last logger began. The others need not be told: JSONL and
        TensorBoard always go on with what is there, Weights & Biases always begins a run.

    Raises
    ------
    ValueError
        For an unknown `kind`.
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
    folder = Path(folder)
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

        begun = folder / "mlruns" / "run_id"
        run_id = begun.read_text().strip() if resume and begun.exists() else None
        log = MLflowSeedLogger(seed, tracking_dir=folder / "mlruns", name=name, config=config, run_id=run_id)
        begun.write_text(log.run_id + "\n")
        return log
    raise ValueError(f"there is no logger {kind!r}; choose one of {', '.join(LOGGER_KINDS)}")


def run_name(seed: int, name: str | None, group: str | None) -> str:
    """``<name>-seed<k>``, else ``<group>-seed<k>``, else ``seed<k>``."""
    prefix = name or group
    return f"{prefix}-seed{seed}" if prefix else f"seed{seed}"


def import_package(module: str, purpose: str) -> Any:
    """Import `module` of an optional package, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {module}, which cannot be imported ({error}); run: pip install deepSTRF[loggers]",
            name=module,
        ) from error
