"""Curves in MLflow, in a local store."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepSTRF.files import expand_path, lock, to_plain
from deepSTRF.training.loggers.base import SeedLogger, import_package, run_name
from deepSTRF.training.loggers.percentiles import flat_values

__all__ = ["MLflowSeedLogger", "make_mlflow_logger_factory"]

PARAMS_PER_BATCH = 100  # MLflow takes no more


class MLflowSeedLogger(SeedLogger):
    """Write the epochs of one seed as an MLflow run into ``<tracking_dir>/mlflow.db``.

    The store is a SQLite file: MLflow 3 has given up the folders of text files of earlier releases. Look at it with
    ``mlflow ui --backend-store-uri sqlite:///<tracking_dir>/mlflow.db``. Several processes may log into one store. A
    per-neuron value ``val_cc`` gives the metrics ``val_cc`` (mean), ``val_cc/p10``, ``val_cc/p50`` and ``val_cc/p90``;
    the step is the epoch. Whatever is not a number in an epoch dict becomes a tag with its latest value.

    Parameters
    ----------
    seed : int
        The seed of the run; also written as a parameter.
    tracking_dir : str or Path
        The folder of the store; made where it does not exist.
    experiment : str, optional
        The MLflow experiment that the run belongs to; default ``deepSTRF``.
    name : str, optional
        The run is called ``<name>-seed<k>``, else ``<experiment>-seed<k>``, else ``seed<k>``.
    config : dict, optional
        Written as parameters, which MLflow never changes: not those of a run that is continued.
    run_id : str, optional
        A run of the store to continue. An epoch that is logged again stands in its curves twice.

    Attributes
    ----------
    seed : int
        The seed of the run.
    tracking_uri : str
        Address of the store.
    run_id : str
        The run in it.
    client : mlflow.MlflowClient
        For artifacts and whatever else you want to add.

    Raises
    ------
    ValueError
        If the path of `tracking_dir` contains ``%`` or ``?``, or the store has no run `run_id`.
    ImportError
        If ``mlflow`` is not installed.

    Notes
    -----
    ``MLFLOW_DISABLE_TELEMETRY`` is set to ``true`` where it is unset: without it, MLflow reports its use over the
    network.

    Examples
    --------
    >>> import tempfile, torch
    >>> from deepSTRF.training.loggers import MLflowSeedLogger
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     log = MLflowSeedLogger(0, tracking_dir=folder, experiment="linear-ns1", config={"lr": 1e-3})
    ...     log({"epoch": 0, "train_loss": 0.5, "val_cc": torch.tensor([0.25, 0.75])})
    ...     log.finalize({"test": {"cc": torch.tensor([0.3, 0.7])}})
    ...     log.close()
    ...     log.client.get_run(log.run_id).data.metrics["final/test_cc"]
    0.5
    """

    def __init__(
        self,
        seed: int,
        *,
        tracking_dir: str | Path = "mlruns",
        experiment: str | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read while mlflow is imported
        mlflow = import_package("mlflow", "MLflowSeedLogger")
        self._metric, self._param = mlflow.entities.Metric, mlflow.entities.Param
        self.seed = seed
        folder = expand_path(tracking_dir, "tracking_dir").resolve()
        if set("%?") & set(str(folder)):  # in an address they don't stand for themselves: the store would lie elsewhere
            raise ValueError(f"tracking_dir must not contain % or ?, got {folder}; choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self.tracking_uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        with lock(folder / "mlflow.db.lock"):  # two processes that make the tables at once would both fail
            self.client = mlflow.MlflowClient(self.tracking_uri)
            found = self.client.get_experiment_by_name(experiment or "deepSTRF")
            experiment_id = (
                self.client.create_experiment(experiment or "deepSTRF", (folder / "artifacts").as_uri())
                if found is None
                else found.experiment_id
            )
        if run_id is not None:
            self.run_id = run_id
            try:
                self.client.update_run(run_id, status="RUNNING")
            except mlflow.exceptions.MlflowException as error:
                raise ValueError(f"there is no run {run_id!r} to continue in {self.tracking_uri}: {error}") from error
            return
        self.run_id = self.client.create_run(experiment_id, run_name=run_name(seed, name, experiment)).info.run_id
        params = [
            self._param(str(key), value if isinstance(value, str) else json.dumps(to_plain(value), default=str))
            for key, value in {**(config or {}), "seed": seed}.items()
        ]
        for start in range(0, len(params), PARAMS_PER_BATCH):
            self.client.log_batch(self.run_id, params=params[start : start + PARAMS_PER_BATCH])

    def close(self) -> None:
        """Mark the run as finished."""
        self.client.set_terminated(self.run_id)

    def _log(self, row: Mapping[str, Any], step: int) -> None:
        now, metrics = int(time.time() * 1000), []
        for name, value in flat_values(row):
            if isinstance(value, (int, float)):
                metrics.append(self._metric(name, float(value), now, step))
            else:
                self.client.set_tag(self.run_id, name, str(value))
        self.client.log_batch(self.run_id, metrics=metrics)


make_mlflow_logger_factory = MLflowSeedLogger.factory
