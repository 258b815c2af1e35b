"""Which epoch of a fit is the best, and the way back to it."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from deepSTRF.training import epochs, members
from deepSTRF.training.checkpoint import load_state, save_state
from deepSTRF.training.epochs import Epoch, to_scalar
from deepSTRF.training.per_cell import BestSlices, PerCellSnapshots

__all__ = ["KeepsBest"]


class KeepsBest:
    """The part of a :class:`~deepSTRF.training.Fitter` that compares epochs, keeps the best and returns to it."""

    model: nn.Module
    device: torch.device
    monitor: str
    mode: str
    ckpt_path: Path | None
    track_per_cell_best: bool
    restore_best: bool
    resume: bool
    history: list[Epoch]

    def _forget_best(self) -> None:
        self.best_epoch: int | None = None
        self.best_score = math.nan
        self._best_value: Tensor | float = math.nan  # of each neuron, where the monitor is
        self._warned_of_lost_neurons = False
        self._best_state: dict[str, Tensor] = {}
        self._best_members: BestSlices | None = None

    def _begin_keeping(self) -> None:
        if self.track_per_cell_best:
            self._per_cell_snapshots = PerCellSnapshots(self.model, self.mode)
        self._best_members = members.best_of_members(self.model, self.mode)

    def is_better(self, value: Tensor | float) -> bool:
        """Whether a value of the monitor is a strict improvement on that of the best epoch; NaN never is.

        Means are compared over the neurons for which the best epoch defines it. A value that is undefined for one of
        them is no improvement.
        """
        return epochs.is_improvement(value, self._best_value, self.mode)

    def keep_best(self, epoch: int, value: Tensor | float) -> None:
        """Keep the weights if `value` is a strict improvement of the monitor; keep single neurons where asked."""
        if self.track_per_cell_best:
            self._per_cell_snapshots.update(value, self.monitor)
        if self._best_members is not None and "val_members" in self.history[-1]:
            self._best_members.update(self.history[-1]["val_members"])
        score = to_scalar(value)
        if math.isnan(score):
            epochs.warn_of_undefined(value, self.monitor, epoch)
        lost = epochs.lost_neurons(value, self._best_value)
        if lost and not math.isnan(score) and not self._warned_of_lost_neurons:
            epochs.warn_of_lost_neurons(lost, self.monitor, epoch)
            self._warned_of_lost_neurons = True
        if self.is_better(value):
            self.best_epoch, self.best_score, state = epoch, score, self.model.state_dict()
            self._best_value = value
            if self.ckpt_path is not None:
                save_state(state, self.ckpt_path)
            if self.restore_best or self.resume:
                self._best_state = {name: tensor.detach().clone() for name, tensor in state.items()}

    def restore(self) -> None:
        """Return to the best epoch of this fit, each member of an ensemble to its own, and each neuron where asked."""
        if self.best_epoch is not None:
            if self.restore_best or self.resume:
                self.model.load_state_dict(self._best_state)
            elif self.ckpt_path is not None:
                self.model.load_state_dict(load_state(self.ckpt_path, self.device))
        if self._best_members is not None and (self.restore_best or self.resume or self.ckpt_path is not None):
            self._best_members.restore()
        if self.track_per_cell_best:
            self._per_cell_snapshots.restore()
