"""The user's own arrays become a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import check_list
from deepSTRF.datasets.metadata import copy_metadata
from deepSTRF.datasets.storage import RecordingStorage

__all__ = ["ArrayRecording", "as_spectrograms"]


class ArrayRecording(RecordingStorage):
    """A recording that can be made from arrays in memory."""

    @classmethod
    def from_arrays(
        cls,
        stims: Sequence[Any],
        responses: Sequence[Any],
        dt_ms: float,
        *,
        stim_meta: Sequence[Any] | None = None,
        nrn_meta: Sequence[Any] | None = None,
        path: str = "arrays",
    ) -> Self:
        """Make a data set from stimuli and responses in memory; everything is copied.

        Parameters
        ----------
        stims : sequence of array
            Per stimulus a spectrogram (F, T_s) or (1, F, T_s), NumPy or torch; movies (H, W, T_s) for a
            :class:`~deepSTRF.datasets.video.VideoNeuralDataset`. Durations may differ.
        responses : sequence
            Per stimulus an array (N, R, T_s), NaN where there is no data; or a list with one entry per neuron:
            (R, T_s), or (T_s,) for one repeat, or None for no data.
        dt_ms : float
            Width of a bin in ms.
        stim_meta, nrn_meta : sequence, optional
            Metadata of each stimulus and neuron, usually dicts; empty dicts where not given.
        path : str
            What to say where the data came from.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on, validated, with the sizes of its stimuli set (``F``; ``H``, ``W``).

        Raises
        ------
        TypeError, ValueError
            If an array has a wrong type, shape or length; the message names stimulus and neuron.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets.audio import AudioNeuralDataset
        >>> stims = [np.random.rand(16, 100), np.random.rand(16, 80)]
        >>> responses = [np.random.poisson(0.2, (2, 5, 100)), [np.random.poisson(0.2, (3, 80)), None]]
        >>> ds = AudioNeuralDataset.from_arrays(stims, responses, dt_ms=5.0)
        >>> ds.F, ds.N_neurons, ds.responses[1][0].shape
        (16, 2, torch.Size([3, 80]))
        """
        dataset = cls.__new__(cls)
        dataset._init_contract(path, dt_ms)
        dataset._forget_protocols()
        check_list("stims", stims, "arrays, one per stimulus, time last")
        check_list("responses", responses, "entries, one per stimulus: an array (N, R, T) or a list of (R, T) arrays")
        n_stims = len(stims)
        if n_stims == 0:
            raise ValueError("from_arrays needs at least one stimulus, got none")
        if len(responses) != n_stims:
            raise ValueError(
                f"responses must have one entry per stimulus: {len(responses)} responses, {n_stims} stimuli"
            )
        dataset._fill_stims([_tensor(stim, f"stims[{s}]") for s, stim in enumerate(stims)])
        dataset.N_neurons = _count(responses[0], "responses[0]")
        rows = []
        for s, entry in enumerate(responses):
            count = _count(entry, f"responses[{s}]")
            if count != dataset.N_neurons:
                raise ValueError(
                    f"responses[{s}] has {count} neurons, responses[0] has {dataset.N_neurons}; use None for no data"
                )
            rows.append(_responses(entry, s, dataset.stims[s].shape[-1]))
        dataset.stim_meta = _metadata(stim_meta, n_stims, "stim_meta")
        dataset.nrn_meta = _metadata(nrn_meta, dataset.N_neurons, "nrn_meta")
        dataset.responses = rows
        dataset.validate()
        return dataset

    def _fill_stims(self, stims: list[Tensor]) -> None:
        """Keep the arrays that ``from_arrays`` was given as stimuli; spectrograms, unless a subclass takes others."""
        self.stims = as_spectrograms(stims)


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


def _metadata(metadata: Any, count: int, name: str) -> list[Any]:
    if metadata is None:
        return [{} for _ in range(count)]
    return copy_metadata(check_list(name, metadata, "dicts"))


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
