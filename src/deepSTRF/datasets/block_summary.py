"""What losses and metrics need of a block of responses, so that an epoch does not see its repeats."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.metrics.batches import powers_of_stimuli
from deepSTRF.metrics.blocks import average_repeats
from deepSTRF.metrics.statistics import Powers

__all__ = ["BlockSummary"]


class BlockSummary:
    """PSTH and powers of the responses to one stimulus, computed when they are first needed.

    They are computed again after the responses were written to in place, as torch counts such changes.

    Parameters
    ----------
    values : Tensor
        Responses, shape (N, R, T), NaN where missing.

    Examples
    --------
    >>> import torch
    >>> values = torch.tensor([[[1.0, 2.0], [3.0, torch.nan]]])
    >>> summary = BlockSummary(values)
    >>> summary.psth
    tensor([[2., 2.]])
    >>> _ = values[0, 0].fill_(5.0)
    >>> summary.psth
    tensor([[4., 5.]])
    """

    __slots__ = ("_powers", "_psth", "_values", "_version")

    def __init__(self, values: Float[Tensor, "N R T"]) -> None:
        self._values = values
        self.forget()

    def forget(self) -> None:
        """Compute everything again when it is needed next: after changes that torch doesn't see, as by NumPy."""
        self._psth: Tensor | None = None
        self._powers: Powers | None = None
        self._version = self._present_version()

    @property
    def psth(self) -> Float[Tensor, "N T"]:
        """Mean over the repeats that there are, NaN where there is none; at least in float32."""
        self._check()
        if self._psth is None:
            values = self._full_precision()
            # no copy is made of single trials
            self._psth = values[:, 0] if values.shape[1] == 1 else average_repeats(values[None])[0, :, 0]
        return self._psth

    @property
    def powers(self) -> Powers:
        """Signal and noise power of each neuron, (N,)."""
        self._check()
        if self._powers is None:
            values = self._full_precision()
            if values.numel() == 0:
                self._powers = Powers(*torch.zeros(len(Powers._fields), 0, dtype=torch.float64))
            else:
                self._powers = Powers(*(field[0] for field in powers_of_stimuli(values[None])))
        return self._powers

    def _full_precision(self) -> Tensor:
        return self._values.to(torch.promote_types(self._values.dtype, torch.float32))

    def _present_version(self) -> int | None:
        return None if self._values.is_inference() else self._values._version

    def _check(self) -> None:
        if self._version != self._present_version():
            self.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockSummary, (self._values,)  # cheaper to compute again than to send
