"""What every data set holds: stimuli, responses and their metadata, and the mask of recorded pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableSequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils.data import Dataset

from deepSTRF.checks import check_list
from deepSTRF.datasets.packed import PackedResponses

__all__ = ["RecordingStorage"]


class RecordingStorage(Dataset[dict[str, Any]], ABC):
    """Attributes of a recording, with packed responses; the base of :class:`~deepSTRF.datasets.NeuralDataset`.

    Parameters are those of :class:`~deepSTRF.datasets.NeuralDataset`.
    """

    path: str
    dt: float
    stims: list[Tensor]
    stim_meta: list[Any]
    nrn_meta: list[Any]
    N_neurons: int
    covariates: dict[str, list[Tensor]]
    uncut: Any = None  # the whole recording, where this one was cut in blocks of time
    protocols: dict[str, dict[str, tuple[int, ...]]] = {}  # noqa: RUF012 - replaced, never changed, by instances

    def __init__(self, path: str, dt_ms: float):
        self._init_contract(path, dt_ms)

    def _init_contract(self, path: str, dt_ms: float) -> None:
        """Set every attribute of the contract to its empty state (also for instances made without ``__init__``)."""
        self.path = path
        self.dt = dt_ms
        self.stims = []
        self.stim_meta = []
        self.nrn_meta = []
        self.N_neurons = 0
        self.covariates = {}
        self._responses: MutableSequence[Any] = []
        self._masks: Tensor | None = None
        self._masks_of: tuple[Any, int, int] | None = None

    @abstractmethod
    def validate(self) -> None:
        """Check that the attributes keep the data contract."""

    @property
    def responses(self) -> MutableSequence[Any]:
        """``responses[s][n]``: response (R, T) of neuron n to stimulus s; (1, 1) NaN where there is none.

        A subclass fills it with one list of N tensors per stimulus, or one tensor (N, R, T). It is packed by
        :meth:`~deepSTRF.datasets.NeuralDataset.validate`, or by the first use that needs it
        (:class:`~deepSTRF.datasets.packed.PackedResponses`), and stays readable and assignable as before. Tensors that
        are read share memory with the data set.
        """
        return self._responses

    @responses.setter
    def responses(self, rows: Any) -> None:
        check_list("responses", rows, "one entry per stimulus, each a list of (R, T) tensors or a tensor (N, R, T)")
        self._responses = rows if isinstance(rows, MutableSequence) else list(rows)
        if isinstance(rows, PackedResponses):
            rows.bins_of = self._bins_of

    def _bins_of(self, stimulus: int) -> int | None:
        """Bins that a response to a stimulus must have; None, as here, where stimuli have a time axis of their own."""
        return None

    def _bins(self) -> list[int]:
        """Number of response bins of each stimulus; samples of a stimulus that nobody heard and that tells no more."""
        return [
            block.n_bins or self._bins_of(s) or self.stims[s].shape[-1]
            for s, block in enumerate(self._packed().blocks())
        ]

    def _packed(self) -> PackedResponses:
        """The packed responses; packs what a subclass filled in."""
        responses = self._responses
        if not isinstance(responses, PackedResponses):
            responses = PackedResponses(responses, self.N_neurons)
            if len(responses) == 0:  # leave the subclass its empty list to fill
                return responses
            self.responses = responses
        if responses.n_neurons != self.N_neurons:
            raise ValueError(
                f"N_neurons is {self.N_neurons}, but the responses hold {responses.n_neurons} neurons; "
                "assign `responses` again after changing N_neurons"
            )
        return responses

    @property
    def nrn_masks(self) -> Bool[Tensor, "S N"]:
        """Which neuron has data for which stimulus: bool (S, N), False where all values are NaN.

        It is computed once. Assigning responses renews it; after writing into response tensors in place, call
        ``_invalidate_nrn_masks()``.
        """
        responses = self._responses
        revision = responses.revision if isinstance(responses, PackedResponses) else len(responses)
        of = self._masks_of
        if self._masks is None or of is None or of[0] is not responses or of[1:] != (revision, self.N_neurons):
            packed = self._packed()
            masks = torch.zeros(len(packed), self.N_neurons, dtype=torch.bool)
            for stimulus, block in enumerate(packed.blocks()):
                masks[stimulus, torch.from_numpy(block.neurons)] = torch.from_numpy(block.summary.heard)
            self._masks = masks
            revision = packed.revision if self._responses is packed else len(self._responses)
            self._masks_of = (self._responses, revision, self.N_neurons)
        return self._masks

    def _invalidate_nrn_masks(self) -> None:
        """Forget masks, PSTHs and powers: needed after response tensors were written to in place."""
        self._masks = None
        if isinstance(self._responses, PackedResponses):
            self._responses.forget_summaries()

    def _forget_protocols(self) -> None:
        """Drop the named splits of this instance, because its stimuli are not those of its class."""
        vars(self)["protocols"] = {}

    def get_N(self) -> int:
        """Number of neurons of the whole population, whatever is selected."""
        return self.N_neurons

    def get_S(self) -> int:
        """Number of stimuli, whatever is selected."""
        return len(self.stim_meta)
