"""Joining populations that were recorded apart: block-diagonal responses, nothing copied."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from deepSTRF.checks import check_list, describe_type
from deepSTRF.datasets.covariates import joined_covariates
from deepSTRF.datasets.metadata import copy_metadata
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.storage import RecordingStorage

if TYPE_CHECKING:
    from deepSTRF.datasets.neural_dataset import NeuralDataset

__all__ = ["JoinableRecording", "concat_neural_datasets", "concatenate_datasets"]


class JoinableRecording(RecordingStorage):
    """A recording that can be joined with others by ``+``."""

    def __add__(self, other: Any) -> NeuralDataset:  # type: ignore[override]
        if not isinstance(other, JoinableRecording):
            return NotImplemented
        return concat_neural_datasets([self, other])  # type: ignore[list-item]

    def _concat_check_compat(self, other: Any) -> None:
        """Raise if `other` cannot be joined with this data set; a subclass adds its own checks."""
        if abs(self.dt - other.dt) > 1e-9 * abs(self.dt):
            raise ValueError(f"dt mismatch: {self.dt} ms and {other.dt} ms; load both with the same dt_ms")

    def _front_end_is_known(self) -> bool:
        """Whether ``spectrogram`` makes of a sound what ``stims`` holds: not where they were standardised since."""
        unchanged = not getattr(self, "stim_normalizations", ())
        return unchanged and getattr(self, "spectrogram", None) is not None

    def _concat_copy_attrs(self, source: Any) -> None:
        """Take the attributes of the subclass from `source` when this is a new concatenation; none here."""


def concat_neural_datasets(datasets: Iterable[NeuralDataset], names: Sequence[str] | None = None) -> NeuralDataset:
    """Join populations: all stimuli, all neurons, and no data where a neuron was not recorded with a stimulus.

    Stimuli and responses are shared with the inputs, not copied. Metadata dicts are shallow copies with the key
    ``'dataset'`` set; entries of other types stay as they are. Selections and named split protocols of the inputs don't
    carry over, since indices change.

    Parameters
    ----------
    datasets : sequence of NeuralDataset
        At least one; a single one is returned unchanged.
    names : sequence of str, optional
        One name per data set for ``meta['dataset']``; the class names where not given.

    Returns
    -------
    NeuralDataset
        Of the inputs' class if they have the same, else of the first common ancestor in the first one's MRO.

    Raises
    ------
    TypeError
        If an input is not a NeuralDataset, or not of a kind that fits the first.
    ValueError
        If there is no input, `names` has another length, or the inputs differ in what must agree (dt, F, ...).

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.datasets import NeuralDataset
    >>> left = NeuralDataset.from_arrays([torch.rand(4, 50)], [torch.rand(2, 3, 50)], dt_ms=5.0)
    >>> right = NeuralDataset.from_arrays([torch.rand(4, 30)], [torch.rand(1, 6, 30)], dt_ms=5.0)
    >>> both = concat_neural_datasets([left, right], names=["left", "right"])
    >>> both.nrn_masks
    tensor([[ True,  True, False],
            [False, False,  True]])
    >>> [meta["dataset"] for meta in both.nrn_meta]
    ['left', 'left', 'right']
    """
    if not isinstance(datasets, Iterable):
        raise TypeError(f"datasets must be a list of NeuralDatasets, got {describe_type(datasets)}")
    datasets = list(datasets)
    if not datasets:
        raise ValueError("concat_neural_datasets needs at least one data set, got none")
    for position, dataset in enumerate(datasets):
        if not isinstance(dataset, JoinableRecording):
            raise TypeError(f"input {position} must be a NeuralDataset, got {type(dataset).__name__}")
    if names is not None and len(check_list("names", names, "strings, one per data set")) != len(datasets):
        raise ValueError(f"names must have one entry per dataset: {len(names)} names, {len(datasets)} data sets")
    first = datasets[0]
    if len(datasets) == 1:
        return first
    for other in datasets[1:]:
        first._concat_check_compat(other)

    labels = [type(dataset).__name__ for dataset in datasets] if names is None else list(names)
    cls = next(c for c in type(first).__mro__ if all(isinstance(dataset, c) for dataset in datasets))
    joined: Any = cls.__new__(cls)  # type: ignore[call-overload]
    joined._init_contract("+".join(dataset.path for dataset in datasets), first.dt)
    joined._forget_protocols()
    joined.N_neurons = sum(dataset.N_neurons for dataset in datasets)
    blocks = []
    offset = 0
    for dataset, label in zip(datasets, labels, strict=True):
        joined.stims += dataset.stims
        joined.stim_meta += copy_metadata(dataset.stim_meta, dataset=label)
        joined.nrn_meta += copy_metadata(dataset.nrn_meta, dataset=label)
        blocks += [block.shifted(offset) for block in dataset._packed().blocks()]
        offset += dataset.N_neurons
    joined.covariates = joined_covariates([(dataset.covariates, dataset._bins()) for dataset in datasets])
    joined.responses = PackedResponses(blocks, joined.N_neurons)
    joined._concat_copy_attrs(first)
    if not all(dataset._front_end_is_known() for dataset in datasets):
        joined.spectrogram = None
    return joined


def concatenate_datasets(a: NeuralDataset, b: NeuralDataset) -> NeuralDataset:
    """Join two data sets: the old name of :func:`concat_neural_datasets`.

    .. deprecated:: 0.2
        Use ``a + b`` or :func:`concat_neural_datasets`.
    """
    warnings.warn(
        "concatenate_datasets(a, b) is deprecated: use a + b or concat_neural_datasets([a, b])",
        DeprecationWarning,
        stacklevel=2,
    )
    return concat_neural_datasets([a, b])
