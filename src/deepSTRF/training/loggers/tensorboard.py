"""Curves and histograms in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepSTRF.files import expand_path, to_plain
from deepSTRF.training.loggers.base import SeedLogger, import_package, run_name
from deepSTRF.training.loggers.percentiles import flat_values, histogram_values

__all__ = ["TensorBoardSeedLogger", "make_tensorboard_logger_factory"]


class TensorBoardSeedLogger(SeedLogger):
    """Write the epochs of one seed as TensorBoard event files into ``<log_dir>/<group or 'default'>/<run name>``.

    A per-neuron value ``val_cc`` gives the curves ``val_cc`` (mean), ``val_cc/p10``, ``val_cc/p50``, ``val_cc/p90`` and
    the histograms ``val_cc/hist``; the step is the epoch. A logger on a folder that has curves already replaces them
    from the first epoch that it is given: a resumed fit adds to its curves, a new one takes their place.

    Parameters
    ----------
    seed : int
        The seed of the run.
    log_dir : str or Path
        What ``tensorboard --logdir`` is given.
    group, name : str, optional
        The run is called ``<name>-seed<k>``, else ``<group>-seed<k>``, else ``seed<k>``.
    config : dict, optional
        Shown as a table ``config``, and as ``hparams/<key>``: numbers as scalars, anything else as text.

    Attributes
    ----------
    seed : int
        The seed of the run.
    run_dir : Path
        The folder of the event files.
    writer : torch.utils.tensorboard.SummaryWriter
        For figures, sounds and whatever else you want to add.

    Raises
    ------
    ImportError
        If ``tensorboard`` is not installed.

    Examples
    --------
    >>> import tempfile, torch
    >>> from deepSTRF.training.loggers import TensorBoardSeedLogger
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = TensorBoardSeedLogger(0, log_dir=folder, group="linear-ns1", config={"lr": 1e-3})
    ...     log({"epoch": 0, "train_loss": 0.5, "val_cc": torch.tensor([0.25, 0.75])})
    ...     log.finalize({"test": {"cc": torch.tensor([0.3, 0.7])}})
    ...     log.close()
    ...     log.run_dir.relative_to(folder).as_posix()
    'linear-ns1/linear-ns1-seed0'
    """

    def __init__(
        self,
        seed: int,
        *,
        log_dir: str | Path = "tb_logs",
        group: str | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        tensorboard = import_package("torch.utils.tensorboard", "TensorBoardSeedLogger")
        self.seed = seed
        self.config = dict(config or {})
        self.run_dir = expand_path(log_dir, "log_dir") / (group or "default") / run_name(seed, name, group)
        self._has_older_curves = any(self.run_dir.glob("events.out.tfevents.*"))
        self.writer = tensorboard.SummaryWriter(self.run_dir)
        self._write_config()

    def __call__(self, epoch_dict: Mapping[str, Any]) -> None:
        """Add an epoch to the curves."""
        if self._has_older_curves:
            self._hide_older_curves(int(epoch_dict["epoch"]))
        super().__call__(epoch_dict)

    def close(self) -> None:
        """Write what is left and close the event file."""
        self.writer.close()

    def _hide_older_curves(self, epoch: int) -> None:
        """Let TensorBoard drop what was written for `epoch` and later, as ``SummaryWriter(purge_step=epoch)`` does."""
        events = import_package("tensorboard.compat.proto.event_pb2", "TensorBoardSeedLogger")
        start = events.SessionLog(status=events.SessionLog.START)
        self.writer.file_writer.add_event(events.Event(session_log=start), step=epoch)
        self._has_older_curves = False
        self._write_config()  # it was dropped too where the epoch is 0

    def _write_config(self) -> None:
        if self.config:
            rows = "".join(f"| {key} | {value} |\n" for key, value in self.config.items())
            self.writer.add_text("config", "| option | value |\n|---|---|\n" + rows, 0)
        for key, value in {**self.config, "seed": self.seed}.items():
            self._write(f"hparams/{key}", value, 0)
        self.writer.flush()

    def _log(self, row: Mapping[str, Any], step: int) -> None:
        for name, value in flat_values(row):
            self._write(name, value, step)
        for name, values in histogram_values(row):
            self.writer.add_histogram(f"{name}/hist", values, step)
        self.writer.flush()

    def _write(self, tag: str, value: Any, step: int) -> None:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.writer.add_scalar(tag, value, step)
        else:
            self.writer.add_text(tag, str(to_plain(value)), step)


make_tensorboard_logger_factory = TensorBoardSeedLogger.factory
