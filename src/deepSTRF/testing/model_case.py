"""What the checks of models are given, and what they compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deepSTRF.models import NeuralModel
from deepSTRF.testing.errors import ContractError

MakeStimulus = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class Case:
    """A model in eval mode that a check may spoil, and how to make stimuli for it."""

    model: NeuralModel
    stimulus: MakeStimulus

    @property
    def window(self) -> int:
        """Bins that the model sees at once, as far as it tells."""
        return int(getattr(self.model, "T", 9))

    def predict(self, stims: Tensor) -> Tensor:
        """Predict without gradients."""
        with torch.no_grad():
            return self.model(stims)


def default_stimulus(model: NeuralModel) -> MakeStimulus:
    """Return a function that draws normal spectrograms or movies of the model's size."""
    frame = frame_shape(model)
    if frame is None:
        raise ContractError(f"{type(model).__name__} has no attribute F, or H and W: pass make_stimulus to check_model")
    return lambda batch_size, n_bins: torch.randn(batch_size, *frame, n_bins)


def frame_shape(model: Any) -> tuple[int, ...] | None:
    """Channels and sizes of what the model sees in one bin, as far as its attributes tell."""
    if hasattr(model, "F"):
        return 1, model.F
    if hasattr(model, "H") and hasattr(model, "W"):
        return getattr(model, "C_in", 1), model.H, model.W
    return None


def same_state(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two state_dicts are equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
