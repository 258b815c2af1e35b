"""What an :class:`~deepSTRF.models.Ensemble` asks of a training loop: a loss and a best epoch for every member."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from deepSTRF.metrics.running import RunningScores
from deepSTRF.training.epochs import to_scalar
from deepSTRF.training.per_cell import BestSlices

__all__ = ["Scores", "apart", "best_of_members", "joined", "members_of"]


def apart(model: Any) -> contextlib.AbstractContextManager[None]:
    """While it is open, an ensemble predicts ``(M, B, N, 1, T)``, by every member; other models predict as always."""
    separate = getattr(model, "members_apart", None)
    return contextlib.nullcontext() if separate is None else separate()


def members_of(pred: Tensor) -> tuple[Tensor, ...]:
    """The predictions ``(B, N, 1, T)`` of every member; that of a model by itself is the only one.

    Examples
    --------
    >>> import torch
    >>> len(members_of(torch.zeros(2, 5, 1, 100))), len(members_of(torch.zeros(8, 2, 5, 1, 100)))
    (1, 8)
    """
    return pred.unbind(0) if pred.ndim == 5 else (pred,)


def joined(pred: Tensor) -> Tensor:
    """The mean prediction ``(B, N, 1, T)`` of the members."""
    return pred.mean(0) if pred.ndim == 5 else pred


class Scores:
    """One metric of every member of an ensemble, over the batches of a pass; of a model by itself, nothing."""

    def __init__(self, model: Any, metrics: Mapping[str, Any]) -> None:
        self._running = [RunningScores(metrics) for _ in range(getattr(model, "n_members", 0) if metrics else 0)]

    def update(self, pred: Tensor, recorded: Any) -> None:
        """Add a batch, predicted by every member."""
        for own, of_member in zip(self._running, members_of(pred) if self._running else (), strict=True):
            own.update(of_member, recorded)

    def compute(self) -> dict[str, Tensor]:
        """Return the metric (M,), averaged over neurons, as ``members``."""
        values = [to_scalar(value) for own in self._running for value in own.compute().values()]
        return {"members": torch.tensor(values, dtype=torch.float64)} if values else {}


def best_of_members(model: Any, mode: str) -> BestSlices | None:
    """Every member at its own best epoch; None for a model by itself."""
    stacked = getattr(model, "stacked", None)
    if not hasattr(model, "n_members") or stacked is None:
        return None
    tensors = [*stacked.parameters(), *stacked.buffers()]
    return BestSlices([(tensor, 0) for tensor in tensors], model.n_members, mode)
