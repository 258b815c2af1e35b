"""What losses and metrics need of a block of responses, so that an epoch does not see its repeats."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.metrics.batches import powers_of_stimuli
from deepSTRF.metrics.blocks import average_repeats
from deepSTRF.metrics.statistics import Powers

__all__ = ["BlockSummary", "has_data"]


def has_data(values: Float[Tensor, "N R T"]) -> np.ndarray:
    """For each neuron, whether any of its values is not NaN.

    Parameters
    ----------
    values : Tensor
        Responses, shape (N, R, T).

    Returns
    -------
    numpy.ndarray
        bool, shape (N,).
    """
    if values.shape[0] == 0 or values[0].numel() == 0:
        return np.zeros(values.shape[0], dtype=bool)
    # Recorded responses start with a number nearly always: only the others are searched whole.
    first = values[:, 0, 0]
    found = (first == first).cpu().numpy().copy()
    for neuron in np.flatnonzero(~found):
        found[neuron] = not bool(torch.isnan(values[neuron]).all())
    return found


class BlockSummary:
    """PSTH, powers and checksums of the responses to one stimulus, and who has any; computed when first needed.

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

    __slots__ = ("_checksums", "_heard", "_powers", "_psth", "_values", "_version")

    def __init__(self, values: Float[Tensor, "N R T"]) -> None:
        self._values = values
        self.forget()

    def forget(self) -> None:
        """Compute everything again when it is needed next: after changes that torch doesn't see, as by NumPy."""
        self._psth: Tensor | None = None
        self._powers: Powers | None = None
        self._checksums: list[int] | None = None
        self._heard: np.ndarray | None = None
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

    @property
    def heard(self) -> np.ndarray:
        """Which neurons have any data, bool (N,)."""
        self._check()
        if self._heard is None:
            self._heard = has_data(self._values)
        return self._heard

    def checksums(self, repeats: Sequence[int]) -> list[int]:
        """CRC-32 of the response of each neuron, which has so many repeats: tells responses apart, and no more."""
        self._check()
        if self._checksums is None:
            arrays = (own[:number].contiguous().numpy() for own, number in zip(self._values, repeats, strict=True))
            self._checksums = [zlib.crc32(own.data, zlib.crc32(str(own.shape).encode())) for own in arrays]
        return self._checksums

    def stored(self, repeats: Sequence[int]) -> dict[str, Any]:
        """All of it, to be kept beside the values; a PSTH of single trials is not, which is a part of these."""
        return {
            "psth": None if self._values.shape[1] <= 1 else self.psth,
            "powers": tuple(self.powers),
            "checksums": np.array(self.checksums(repeats), dtype=np.int64),
            "heard": self.heard,
        }

    @classmethod
    def restored(cls, values: Float[Tensor, "N R T"], stored: Mapping[str, Any]) -> BlockSummary:
        """The summary of the same values, from what :meth:`stored` gave."""
        summary = cls(values)
        summary._psth, summary._powers = stored["psth"], Powers(*stored["powers"])
        summary._checksums, summary._heard = stored["checksums"].tolist(), stored["heard"]
        return summary

    def on(self, device: torch.device) -> BlockSummary:
        """The same with the PSTH on a device. Powers are few, and in float64, which not every device has: they stay."""
        twin = BlockSummary(self._values)
        twin._psth, twin._powers = self.psth.to(device), self.powers
        return twin

    def _full_precision(self) -> Tensor:
        return self._values.to(torch.promote_types(self._values.dtype, torch.float32))

    def _present_version(self) -> int | None:
        return None if self._values.is_inference() else self._values._version

    def _check(self) -> None:
        if self._version != self._present_version():
            self.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockSummary, (self._values,)  # cheaper to compute again than to send
