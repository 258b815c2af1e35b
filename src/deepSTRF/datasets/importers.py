"""The user's own arrays become a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import check_list

if TYPE_CHECKING:
    from deepSTRF.datasets.neural_dataset import NeuralDataset

__all__ = ["as_spectrograms", "fill_from_arrays"]


def fill_from_arrays(
    dataset: NeuralDataset,
    stims: Sequence[Any],
    responses: Sequence[Any],
    stim_meta: Sequence[dict[str, Any]] | None,
    nrn_meta: Sequence[dict[str, Any]] | None,
) -> None:
    """Fill an empty data set, see :meth:`deepSTRF.datasets.NeuralDataset.from_arrays`.

    Parameters
    ----------
    dataset : NeuralDataset
        An empty one; it is filled, not validated.
    stims, responses, stim_meta, nrn_meta : sequence
        As in ``from_arrays``.

    Raises
    ------
    TypeError, ValueError
        If an array has a wrong type, shape or length; the message names stimulus and neuron.
    """
    check_list("stims", stims, "one array per stimulus, time last")
    check_list("responses", responses, "one entry per stimulus, each an array (N, R, T) or a list of (R, T) arrays")
    n_stims = len(stims)
    if n_stims == 0:
        raise ValueError("from_arrays needs at least one stimulus, got none")
    if len(responses) != n_stims:
        raise ValueError(f"responses must have one entry per stimulus: {len(responses)} responses, {n_stims} stimuli")
    dataset._fill_stims([_tensor(stim, f"stims[{s}]") for s, stim in enumerate(stims)])
    n_neurons = _count(responses[0], "responses[0]")
    rows = []
    for s, entry in enumerate(responses):
        count = _count(entry, f"responses[{s}]")
        if count != n_neurons:
            raise ValueError(f"responses[{s}] has {count} neurons, responses[0] has {n_neurons}; use None for no data")
        rows.append(_responses(entry, s, dataset.stims[s].shape[-1]))
    dataset.N_neurons = n_neurons
    dataset.stim_meta = _metadata(stim_meta, n_stims, "stim_meta")
    dataset.nrn_meta = _metadata(nrn_meta, n_neurons, "nrn_meta")
    dataset.responses = rows


def as_spectrograms(stims: Sequence[Tensor]) -> list[Tensor]:
    """Bring spectrograms (F, T_s) or (1, F, T_s) to the latter form.

    Raises
    ------
    ValueError
        If one has another shape, or they differ in their number of bands.
    """
    spectrograms = [values[None] if values.ndim == 2 else values for values in stims]
    for index, values in enumerate(spectrograms):
        if values.ndim != 3 or values.shape[0] != 1:
            raise ValueError(
                f"stims[{index}] must be a spectrogram of shape (F, T) or (1, F, T), got {tuple(values.shape)}"
            )
    bands = {values.shape[1] for values in spectrograms}
    if len(bands) > 1:
        raise ValueError(f"all spectrograms must have the same number of bands, got {sorted(bands)}")
    return spectrograms


def _metadata(metadata: Any, count: int, name: str) -> list[dict[str, Any]]:
    if metadata is None:
        return [{} for _ in range(count)]
    check_list(name, metadata, "dicts")
    copies = []
    for index, meta in enumerate(metadata):
        try:
            copies.append(dict(meta))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}[{index}] must be a dict, got {type(meta).__name__}") from error
    return copies


def _tensor(array: Any, where: str) -> Tensor:
    """A float32 copy of an array of numbers."""
    if not isinstance(array, np.ndarray | Tensor | list | tuple):
        raise TypeError(f"{where} must be a NumPy array or a torch tensor, got {type(array).__name__}")
    try:
        values = array.detach().clone() if isinstance(array, Tensor) else torch.tensor(np.asarray(array))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{where} must be an array of numbers: {error}") from error
    if values.is_complex():
        raise TypeError(f"{where} is complex; real numbers are expected")
    return values.to(torch.float32)


def _count(entry: Any, where: str) -> int:
    if isinstance(entry, np.ndarray | Tensor):
        if entry.ndim != 3:
            raise ValueError(
                f"{where} is an array of shape {tuple(entry.shape)}, expected (N, R, T); "
                "for one neuron give a list with its (R, T) array"
            )
        return entry.shape[0]
    if not isinstance(entry, list | tuple):
        raise TypeError(
            f"{where} must be an array (N, R, T) or a list with one (R, T) array or None per neuron, "
            f"got {type(entry).__name__}"
        )
    return len(entry)


def _responses(entry: Any, stimulus: int, n_bins: int) -> Any:
    if isinstance(entry, np.ndarray | Tensor):
        values = _tensor(entry, f"responses[{stimulus}]")
        if values.shape[2] != n_bins:
            raise ValueError(f"responses[{stimulus}] has {values.shape[2]} bins, its stimulus has {n_bins}")
        return values
    row = []
    for neuron, response in enumerate(entry):
        where = f"responses[{stimulus}][{neuron}]"
        if response is None:
            row.append(torch.full((1, 1), float("nan")))
            continue
        values = _tensor(response, where)
        if values.ndim == 1:
            values = values[None]
        if values.ndim != 2:
            raise ValueError(f"{where} must have shape (R, T) or (T,), got {tuple(values.shape)}")
        is_missing_mark = values.shape == (1, 1) and bool(torch.isnan(values).all())
        if values.shape[1] != n_bins and not is_missing_mark:
            raise ValueError(f"{where} has {values.shape[1]} bins, stimulus {stimulus} has {n_bins}")
        row.append(values)
    return row
