"""Curves and histograms in Weights & Biases, offline unless asked otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepSTRF.files import expand_path, to_plain
from deepSTRF.training.loggers.base import SeedLogger, import_package, run_name
from deepSTRF.training.loggers.percentiles import final_row, flat_values, histogram_values

__all__ = ["WandbSeedLogger", "make_wandb_logger_factory"]


class WandbSeedLogger(SeedLogger):
    """Write the epochs of one seed as a Weights & Biases run, which ``wandb sync`` can upload later.

    A per-neuron value ``val_cc`` gives ``val_cc`` (mean), ``val_cc/p10``, ``val_cc/p50``, ``val_cc/p90`` and the
    histogram ``val_cc/hist``; the step is the epoch.

    Parameters
    ----------
    seed : int
        The seed of the run; also written into its config.
    project, entity, group : str, optional
        As in ``wandb.init``.
    name : str, optional
        The run is called ``<name>-seed<k>``, else ``<group>-seed<k>``, else ``seed<k>``.
    dir : str or Path, optional
        The folder in which ``wandb/`` is made; default is the working folder.
    mode : {"offline", "online", "disabled"}, optional
        Default: the environment variable ``WANDB_MODE``, which is set to ``offline`` where it is unset, so that nobody
        is asked for an account. ``disabled`` writes nothing at all.
    config : dict, optional
        The config of the run.
    **wandb_init_kwargs
        Anything else for ``wandb.init``.

    Attributes
    ----------
    seed : int
        The seed of the run.
    run : wandb.Run
        For media and whatever else you want to add.

    Raises
    ------
    ImportError
        If ``wandb`` is not installed.

    Notes
    -----
    ``WANDB_ERROR_REPORTING`` is set to ``false`` where it is unset: with it, wandb reports its own errors over the
    network even in offline mode.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.training.loggers import WandbSeedLogger
    >>> log = WandbSeedLogger(0, group="linear-ns1", mode="disabled")
    >>> log({"epoch": 0, "train_loss": 0.5, "val_cc": torch.tensor([0.25, 0.75])})
    >>> log.finalize({"test": {"cc": torch.tensor([0.3, 0.7])}})
    >>> log.close()
    """

    def __init__(
        self,
        seed: int,
        *,
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        name: str | None = None,
        dir: str | Path | None = None,
        mode: str | None = None,
        config: Mapping[str, Any] | None = None,
        **wandb_init_kwargs: Any,
    ) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb starts its service
        self._wandb = import_package("wandb", "WandbSeedLogger")
        self.seed = seed
        if mode is None:
            mode = os.environ.setdefault("WANDB_MODE", "offline")
        if mode == "disabled":
            dir = None  # wandb would make it
        elif dir is not None:
            dir = expand_path(dir, "dir")
            dir.mkdir(parents=True, exist_ok=True)  # wandb would write elsewhere, with no more than a warning
        options = {
            "project": project,
            "entity": entity,
            "group": group,
            "name": run_name(seed, name, group),
            "dir": None if dir is None else str(dir),
            "mode": mode,
            "config": to_plain({**(config or {}), "seed": seed}),
            "reinit": "create_new",  # a run that someone left open is not written into
        }
        self.run = self._wandb.init(**(options | wandb_init_kwargs))

    def finalize(self, final: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the scores of the best epoch to the summary, as ``<part>_<metric>`` and its percentiles."""
        self.run.summary.update(dict(flat_values(final_row(final))))

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()

    def _log(self, row: Mapping[str, Any], step: int) -> None:
        histograms = {f"{name}/hist": self._wandb.Histogram(values) for name, values in histogram_values(row)}
        # Committed: wandb would hold it back until the next one, and then over the summary of the best epoch.
        self.run.log({**dict(flat_values(row)), **histograms}, step=step, commit=True)


make_wandb_logger_factory = WandbSeedLogger.factory
