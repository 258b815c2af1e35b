"""What simulated recordings share: the rates behind the responses go where the stimuli go."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from deepSTRF.datasets.blocks import Piece
from deepSTRF.datasets.neural_dataset import NeuralDataset
from deepSTRF.registry import DatasetCard

__all__ = ["KnownRates", "simulated_card"]


def simulated_card(name: str, summary: str, area: str, size: str, default_split: str) -> DatasetCard:
    """Card of a recording that is made on the fly."""
    return DatasetCard(
        name=name,
        summary=summary,
        species="none (simulated)",
        area=area,
        size=size,
        paper="none; made on the fly from a seed",
        licence="BSD-3-Clause, as deepSTRF",
        default_split=default_split,
    )


class KnownRates(NeuralDataset):
    """Keeps ``true_rates``, the expected spikes (N, T_s) for each stimulus, with a subset and with blocks of time.

    Joined populations and data sets ``from_arrays`` have no known rates.
    """

    true_rates: list[Tensor]

    def _subset_copy_attrs(self, source: Any, stim_indices: list[int]) -> None:
        super()._subset_copy_attrs(source, stim_indices)
        if hasattr(source, "true_rates"):
            self.true_rates = [source.true_rates[s] for s in stim_indices]

    def _block_copy_attrs(self, source: Any, pieces: list[Piece]) -> None:
        super()._block_copy_attrs(source, pieces)
        if hasattr(source, "true_rates"):
            self.true_rates = [source.true_rates[p.stimulus][..., p.start : p.stop] for p in pieces]

    def _neuron_copy_attrs(self, source: Any, neurons: list[int]) -> None:
        super()._neuron_copy_attrs(source, neurons)
        if hasattr(source, "true_rates"):
            self.true_rates = [rates[neurons] for rates in source.true_rates]
