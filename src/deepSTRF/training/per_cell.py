"""Own best epochs: the slices of tensors that belong to a neuron or a member are kept when its own score improves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepSTRF.training.epochs import is_better

__all__ = ["BestSlices", "PerCellSnapshots"]


class BestSlices:
    """Slices of tensors, each as it was when its own score was best.

    Parameters
    ----------
    live : sequence of (Tensor, int)
        The tensors, with the axis along which they are cut.
    number : int
        Number of slices, and of scores.
    mode : {"max", "min"}
        Whether a higher or a lower score is better.
    """

    def __init__(self, live: Sequence[tuple[Tensor, int]], number: int, mode: str) -> None:
        self.live, self.mode = list(live), mode
        self.best = torch.full((number,), math.nan, dtype=torch.float64)
        self.kept = [tensor.detach().clone() for tensor, _ in self.live]

    def update(self, scores: Tensor) -> None:
        """Keep the slices whose score is a strict improvement on their best; NaN never is."""
        scores = scores.detach().double().cpu()
        improved = is_better(scores, self.best, self.mode).nonzero().squeeze(1)
        self.best[improved] = scores[improved]
        self._copy(improved, [tensor.detach() for tensor, _ in self.live], self.kept)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs."""
        return {"best": self.best, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned."""
        self.best.copy_(state["best"])
        for kept, saved in zip(self.kept, state["kept"], strict=True):
            kept.copy_(saved)

    def restore(self) -> None:
        """Write the kept slices that ever had a score back."""
        known = (~self.best.isnan()).nonzero().squeeze(1)
        self._copy(known, self.kept, [tensor.detach() for tensor, _ in self.live])

    def _copy(self, which: Tensor, sources: list[Tensor], targets: list[Tensor]) -> None:
        for source, target, (_, axis) in zip(sources, targets, self.live, strict=True):
            index = which.to(source.device)
            target.index_copy_(axis, index, source.index_select(axis, index))


class PerCellSnapshots(BestSlices):
    """The readout slices of every neuron at that neuron's best epoch.

    Parameters
    ----------
    model : nn.Module
        Has ``readout`` and the number of neurons ``O``. A readout names its per-neuron tensors and their neuron axis by
        ``per_neuron_tensors() -> {name: axis}``; for one that doesn't, every parameter and buffer whose first axis has
        length ``O`` is taken to be per neuron.
    mode : {"max", "min"}
        Whether a higher or a lower score is better.

    Raises
    ------
    ValueError
        If the model has no readout, or the readout no per-neuron tensor.
    """

    def __init__(self, model: nn.Module, mode: str) -> None:
        readout, n_neurons = getattr(model, "readout", None), getattr(model, "O", None)
        if not isinstance(readout, nn.Module) or not isinstance(n_neurons, int):
            raise ValueError(
                "track_per_cell_best needs a model with a `readout` module and its number of neurons `O`, as "
                f"deepSTRF.models.NeuralModel has them; {type(model).__name__} does not"
            )
        tensors = {**dict(readout.named_parameters()), **dict(readout.named_buffers())}
        names_its_tensors = getattr(readout, "per_neuron_tensors", None)
        if callable(names_its_tensors):
            axes = dict(names_its_tensors())
        else:
            axes = {name: 0 for name, tensor in tensors.items() if tensor.ndim and tensor.shape[0] == n_neurons}
        if not axes:
            raise ValueError(f"track_per_cell_best: the readout {type(readout).__name__} has no per-neuron tensor")
        super().__init__([(tensors[name], axis) for name, axis in axes.items()], n_neurons, mode)

    def update(self, scores: Tensor | float, name: str = "monitor") -> None:
        """Keep the slices of the neurons whose score is a strict improvement on their best; NaN never is.

        Raises
        ------
        ValueError
            If `scores` is not one number per neuron.
        """
        if not isinstance(scores, Tensor) or scores.shape != self.best.shape:
            came = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"the single number {scores!r}"
            raise ValueError(
                f"track_per_cell_best needs a per-cell monitor, one value per neuron of shape ({len(self.best)},), but "
                f"{name!r} is {came}; use a metric with reduction='none'"
            )
        super().update(scores)
