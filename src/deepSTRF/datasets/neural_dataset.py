"""The data contract: a recording of N neurons that hear S stimuli, served stimulus by stimulus.

NaN is the only mark of missing data. Stimuli never hold NaN; they are zero-padded when batched, responses NaN-padded.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.datasets.concatenation import JoinableRecording
from deepSTRF.datasets.conditional import ConditionalRecording
from deepSTRF.datasets.covariates import check_covariates
from deepSTRF.datasets.packed import ItemBlock
from deepSTRF.datasets.preprocessing import PreprocessableRecording
from deepSTRF.datasets.response_block import has_infinite
from deepSTRF.datasets.selection import EmptySelectionError
from deepSTRF.datasets.sources.folder import FolderRecording
from deepSTRF.datasets.sources.formats import ConvertibleRecording
from deepSTRF.datasets.sources.phy import PhyRecording
from deepSTRF.datasets.sources.signals import SignalRecording
from deepSTRF.lazy import LazyDict, Pending

__all__ = ["EmptySelectionError", "NeuralDataset"]


class NeuralDataset(
    ConvertibleRecording,
    PhyRecording,
    SignalRecording,
    FolderRecording,
    PreprocessableRecording,
    ConditionalRecording,
    JoinableRecording,
):
    """Responses of a population of neurons to a set of stimuli.

    A subclass reads a recording in its ``__init__``: it calls ``super().__init__(path, dt_ms)``, fills the attributes,
    and calls :meth:`validate` last. For data that are in memory already there is :meth:`from_arrays`.

    Parameters
    ----------
    path : str
        Where the recording came from.
    dt_ms : float
        Width of a response bin in ms.

    Attributes
    ----------
    stims : list of Tensor
        S stimuli: spectrogram (1, F, T_s), waveform (1, T_audio) or video (1, H, W, T). Never NaN.
    responses : sequence
        ``responses[s][n]`` is a float tensor (R_sn, T_s): repeats by bins, (1, 1) NaN where neuron n has no data for
        stimulus s. Integers and bool become float32, since counts are counts; floating types are kept.
    stim_meta, nrn_meta : list
        Metadata of the S stimuli and the N neurons: dicts, to select by attribute; otherwise anything.
    N_neurons : int
        Size of the population.
    covariates : dict
        What else was measured: per name a tensor (..., T_s) for each stimulus. Items have a key for each, batches a
        list.
    I : list of int
        Selected neurons; ``[]`` reads as all.
    S_sel : list of int or None
        Selected stimuli; ``None`` reads as all, ``[]`` as none.
    about : dict
        Species, area, citation, licence and description, as far as a folder that was read says them.
    protocols : dict
        Named splits: ``{name: {'train': indices, 'val': indices, 'test': indices}}``.

    Examples
    --------
    >>> import torch
    >>> ds = NeuralDataset("nowhere", dt_ms=5.0)
    >>> ds.stims = [torch.rand(1, 8, 100), torch.rand(1, 8, 60)]
    >>> no_data = torch.full((1, 1), float("nan"))
    >>> ds.responses = [[torch.rand(3, 100), torch.rand(2, 100)], [torch.rand(4, 60), no_data]]
    >>> ds.stim_meta = [{"name": "rain"}, {"name": "birds"}]
    >>> ds.nrn_meta = [{"area": "A1"}, {"area": "AAF"}]
    >>> ds.N_neurons = 2
    >>> ds.validate()
    >>> ds
    NeuralDataset(N_neurons=2, selected=2, N_stims=2, dt_ms=5.0)
    >>> ds.nrn_masks
    tensor([[ True,  True],
            [ True, False]])
    >>> item = ds[1]
    >>> [tuple(response.shape) for response in item["responses"]], item["valid_mask"]
    ([(4, 60), (1, 1)], tensor([ True, False]))
    """

    # --- items -------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._selection().stims)

    def __getitem__(self, index: Any) -> dict[str, Any]:
        if isinstance(index, slice):
            self._check_not_empty()
            return _transposed([self[i] for i in range(len(self))[index]], self._item_keys())
        if isinstance(index, list | tuple) or (isinstance(index, np.ndarray | Tensor) and index.ndim == 1):
            self._check_not_empty()
            return _transposed([self[i] for i in index], self._item_keys())
        return self._item(self._stimulus_at(index))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.get_S() > 0:
            self._check_not_empty()
        return (self[i] for i in range(len(self)))

    def _stimulus_at(self, index: Any) -> int:
        """Index of the stimulus of item `index`."""
        if isinstance(index, bool | np.bool_) or (isinstance(index, Tensor) and index.dtype == torch.bool):
            raise TypeError("an item index must be an integer, a slice or a list of integers, got bool")
        try:
            number = operator.index(index)
        except TypeError as error:
            raise TypeError(
                "an item index must be an integer, a slice or a list of integers, "
                f"got {type(index).__name__}: {index!r}"
            ) from error
        self._check_not_empty()
        stims = self._selection().stims
        if not -len(stims) <= number < len(stims):
            raise IndexError(f"item {number} is out of range: {len(stims)} stimuli have data for the selected neurons")
        return stims[number]

    def _check_not_empty(self) -> None:
        if len(self) == 0:
            raise EmptySelectionError(f"the data set has no items: {self._why_empty()}")

    def _item_keys(self) -> list[str]:
        return list(self._item(self._selection().stims[0]))

    def _item(self, stimulus: int) -> dict[str, Any]:
        """The item of one stimulus. A subclass that serves more than this overrides it and adds keys."""
        selection = self._selection()
        mask = self.nrn_masks[stimulus]
        packed = self._packed()
        block = packed[stimulus].block
        source = ItemBlock(
            block, len(selection.neurons), *selection.block_map(stimulus, block, self.N_neurons), packed.missing
        )
        return LazyDict(
            {
                "stims": self.stims[stimulus],
                "responses": Pending(source.responses, source),
                "valid_mask": mask.clone() if selection.is_everyone else mask[torch.from_numpy(selection.neurons)],
                "psth": Pending(source.psth, source),
                "statistics": Pending(source.statistics),
                "stim_meta": self.stim_meta[stimulus],
                **{name: values[stimulus] for name, values in self.covariates.items()},
            }
        )

    def __repr__(self) -> str:
        selected = len(self.I) or (0 if self._no_neuron_because else self.N_neurons)
        return (
            f"{type(self).__name__}(N_neurons={self.N_neurons}, selected={selected}, "
            f"N_stims={self.get_S()}, dt_ms={self.dt})"
        )

    # --- validation --------------------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Check that the attributes keep the data contract, and pack the responses. A subclass calls it last.

        Raises
        ------
        TypeError
            If ``path`` is not a string, ``dt`` or ``N_neurons`` not a number, a stimulus not a floating point tensor,
            or a response not a real tensor.
        ValueError
            If there are no neurons or stimuli, lengths disagree, stimuli hold NaN or infinity, responses hold infinity,
            or the neurons that heard a stimulus differ in bins.
        """
        self._validate_scalars()
        n_stims = len(self.stim_meta)
        if n_stims == 0:
            raise ValueError("the data set has no stimuli: stim_meta is empty (expected one entry per stimulus)")
        if not len(self.stims) == len(self.responses) == n_stims:
            raise ValueError(
                "stims, responses and stim_meta must have one entry per stimulus, got "
                f"{len(self.stims)}, {len(self.responses)} and {n_stims}"
            )
        if len(self.nrn_meta) != self.N_neurons:
            raise ValueError(f"nrn_meta has {len(self.nrn_meta)} entries, expected one per neuron: {self.N_neurons}")
        for index, stim in enumerate(self.stims):
            _validate_stim(stim, index)
        for index, block in enumerate(self._packed().blocks()):
            # an infinite response is in the PSTH, which every item needs
            if not math.isfinite(block.summary.psth.sum()) and has_infinite(block.values):
                neuron = block.neurons[int(torch.isinf(block.values).flatten(1).any(1).nonzero()[0])]
                raise ValueError(f"responses[{index}][{neuron}] holds infinite values; use NaN where data are missing")
            _ = block.summary.powers  # now, so that worker processes of a DataLoader find them ready
        if self.covariates:
            check_covariates(self.covariates, self._bins())

    def _validate_scalars(self) -> None:
        if not isinstance(self.path, str):
            raise TypeError(f"path must be a string, got {type(self.path).__name__}")
        if isinstance(self.dt, bool) or not isinstance(self.dt, int | float | np.number):
            raise TypeError(f"dt must be a number of ms, got {type(self.dt).__name__}")
        if not 0 < self.dt < float("inf"):
            raise ValueError(f"dt must be a positive number of ms, got {self.dt}")
        if isinstance(self.N_neurons, bool) or not isinstance(self.N_neurons, int | np.integer):
            raise TypeError(f"N_neurons must be an integer, got {type(self.N_neurons).__name__}")
        if self.N_neurons < 1:
            raise ValueError(f"N_neurons must be positive, got {self.N_neurons}")


def _validate_stim(stim: Any, index: int) -> None:
    if not isinstance(stim, Tensor) or not stim.is_floating_point():
        kind = stim.dtype if isinstance(stim, Tensor) else type(stim).__name__
        raise TypeError(f"stims[{index}] must be a floating point tensor, got {kind}; convert it with .float()")
    if stim.ndim < 2 or stim.numel() == 0:
        raise ValueError(
            f"stims[{index}] must be a spectrogram (1, F, T), a waveform (1, T) or a video (1, H, W, T) that is not "
            f"empty, got shape {tuple(stim.shape)}"
        )
    if not bool(torch.isfinite(stim).all()):
        raise ValueError(f"stims[{index}] holds NaN or infinite values; a stimulus is known at every time")


def _transposed(items: list[dict[str, Any]], keys: list[str]) -> dict[str, Any]:
    return {key: [item[key] for item in items] for key in keys}
