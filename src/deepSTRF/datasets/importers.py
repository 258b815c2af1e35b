"""The user's own arrays become a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import check_list, counted, describe_type
from deepSTRF.datasets.arrays import check_bin_width, column_names, to_tensor
from deepSTRF.datasets.covariates import read_covariates
from deepSTRF.datasets.metadata import copy_metadata
from deepSTRF.datasets.naming import by_stimulus, described, named_stimuli
from deepSTRF.datasets.storage import RecordingStorage
from deepSTRF.datasets.time_axis import check_time_axis

__all__ = ["ArrayRecording", "as_spectrograms", "bins_of_responses"]


class ArrayRecording(RecordingStorage):
    """A recording that can be made from arrays in memory."""

    _stimulus_kind: ClassVar[str | None] = None  # "sounds" or "movies"

    @property
    def _form(self) -> str:
        """What is presented: "spectrograms", "waveforms" or "movies"."""
        if getattr(self, "return_waveform", False):
            return "waveforms"
        return "movies" if self._stimulus_kind == "movies" else "spectrograms"

    @classmethod
    def from_arrays(
        cls,
        stims: Sequence[Any] | Mapping[Any, Any],
        responses: Sequence[Any] | Mapping[Any, Any],
        dt_ms: float,
        *,
        stim_meta: Any = None,
        nrn_meta: Any = None,
        covariates: Mapping[str, Any] | None = None,
        path: str = "arrays",
    ) -> Self:
        """Make a data set from stimuli and responses in memory; everything is copied.

        Parameters
        ----------
        stims : sequence or dict of array
            Per stimulus a spectrogram (F, T_s) or (1, F, T_s), or one band (T_s,); movies (H, W, T_s) for a
            :class:`~deepSTRF.datasets.video.VideoNeuralDataset`. Durations may differ. NumPy, torch, or anything that
            converts to NumPy; all is stored as float32. The keys of a dict are their names, and become
            ``stim_meta[s]["name"]``.
        responses : sequence or dict
            Per stimulus an array (N, R, T_s), NaN or masked where there is no data; or a list with one entry per
            neuron: (R, T_s), or (T_s,) for one repeat, or None for no data; or a data frame of one trial, with a column
            per neuron and a row per bin, whose names become ``cell_id``. A dict has the names of the stimuli as keys.
        dt_ms : float
            Width of a bin in ms.
        stim_meta, nrn_meta : sequence or data frame, optional
            Metadata of each stimulus and neuron, usually dicts; empty dicts where not given.
        covariates : dict, optional
            What else was measured, such as running speed or the size of the pupil: per name one array for each stimulus
            (a sequence, or a dict by name of the stimulus), of any shape whose last dimension are the bins; (R, T_s) if
            it differs by repeat. NaN or None where there is no data. Items have a key for each.
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
        check_bin_width(dt_ms)
        dataset = cls.__new__(cls)
        dataset._init_contract(path, dt_ms)
        dataset._forget_protocols()
        stims, names = named_stimuli(stims)
        responses = by_stimulus("responses", responses, names)
        check_list("responses", responses, "entries, one per stimulus: an array (N, R, T) or a list of (R, T) arrays")
        n_stims = len(stims)
        if n_stims == 0:
            raise ValueError("from_arrays needs at least one stimulus, got none")
        if len(responses) != n_stims:
            raise ValueError(
                f"responses must have one entry per stimulus: {counted(len(responses), 'response')}, "
                f"{counted(n_stims, 'stimulus', 'stimuli')}"
            )
        tensors = [to_tensor(stim, f"stims[{s}]", is_response=False) for s, stim in enumerate(stims)]
        bins = [bins_of_responses(responses[s]) for s in range(n_stims)]
        check_time_axis([tuple(tensor.shape) for tensor in tensors], bins, names)
        dataset._fill_stims(tensors)
        dataset.N_neurons = _count(responses[0], "responses[0]")
        rows = []
        for s, entry in enumerate(responses):
            count = _count(entry, f"responses[{s}]")
            if count != dataset.N_neurons:
                raise ValueError(
                    f"responses[{s}] has {counted(count, 'neuron')}, responses[0] has {dataset.N_neurons}; "
                    "use None for no data"
                )
            rows.append(_responses(entry, s, dataset.stims[s].shape[-1]))
        dataset.stim_meta = _metadata(described(stim_meta, names, "name", "stim_meta"), n_stims, "stim_meta")
        columns = column_names(responses[0])
        if nrn_meta is None and columns is not None:
            nrn_meta = [{"cell_id": name} for name in columns]
        dataset.nrn_meta = _metadata(described(nrn_meta, None, "cell_id", "nrn_meta"), dataset.N_neurons, "nrn_meta")
        if covariates is not None:
            dataset.covariates = read_covariates(covariates, [stim.shape[-1] for stim in dataset.stims], names)
        dataset.responses = rows
        dataset.validate()
        return dataset

    def _fill_stims(self, stims: list[Tensor]) -> None:
        """Keep the arrays that ``from_arrays`` was given as stimuli; spectrograms, unless a subclass takes others."""
        self.stims = as_spectrograms(stims)


def as_spectrograms(stims: Sequence[Tensor]) -> list[Tensor]:
    """Bring spectrograms (F, T_s) or (1, F, T_s), and single bands (T_s,), to the form (1, F, T_s).

    Raises
    ------
    ValueError
        If one has another shape, or they differ in their number of bands.
    """
    spectrograms = [values.reshape((1,) * (3 - values.ndim) + tuple(values.shape)) for values in stims]
    for index, values in enumerate(spectrograms):
        if values.ndim != 3 or values.shape[0] != 1:
            raise ValueError(
                f"stims[{index}] must be a spectrogram of shape (F, T) or (1, F, T), or one band (T,), got "
                f"{tuple(values.shape)}"
            )
    bands = {values.shape[1] for values in spectrograms}
    if len(bands) > 1:
        last = {values.shape[2] for values in spectrograms}
        hint = (
            f"; the last axis has {last.pop()} in all of them: time comes last, as in stim.T" if len(last) == 1 else ""
        )
        raise ValueError(f"all spectrograms must have the same number of bands, got {sorted(bands)}{hint}")
    return spectrograms


def bins_of_responses(entry: Any) -> int | None:
    """Bins of the responses to one stimulus; None where it is not clear, which ``from_arrays`` then says."""
    if column_names(entry) is not None:
        return len(entry)
    if hasattr(entry, "shape"):
        return int(entry.shape[-1]) if len(entry.shape) == 3 else None
    if not isinstance(entry, list | tuple):
        return None
    return max((length for length in map(_length, entry) if length > 1), default=None)  # 1 may mark missing data


def _length(response: Any) -> int:
    """Bins of (R, T) or (T,); 0 where it is neither."""
    if hasattr(response, "shape"):
        return int(response.shape[-1]) if len(response.shape) else 0
    if not isinstance(response, list | tuple) or not response:
        return 0
    return _length(response[0]) if isinstance(response[0], list | tuple) or np.ndim(response[0]) else len(response)


def _metadata(metadata: Any, count: int, name: str) -> list[Any]:
    if metadata is None:
        return [{} for _ in range(count)]
    return copy_metadata(check_list(name, metadata, "dicts"))


def _count(entry: Any, where: str) -> int:
    columns = column_names(entry)
    if columns is not None:
        return len(columns)
    if _is_array(entry):
        if entry.ndim == 2:
            first = entry.shape[0]
            raise ValueError(
                f"{where} is an array of shape {tuple(entry.shape)}, expected (N, R, T): for single trials of {first} "
                f"neurons pass responses[:, None], for {first} repeats of one neuron responses[None]"
            )
        if entry.ndim != 3:
            raise ValueError(
                f"{where} is an array of shape {tuple(entry.shape)}, expected (N, R, T); for one neuron give a list "
                "with its (R, T) array"
            )
        return entry.shape[0]
    if not isinstance(entry, list | tuple):
        raise TypeError(
            f"{where} must be an array (N, R, T), a data frame with one column per neuron, or a list with one (R, T) "
            f"array or None per neuron; got {describe_type(entry)}"
        )
    return len(entry)


def _is_array(entry: Any) -> bool:
    return hasattr(entry, "shape") and hasattr(entry, "ndim")


def _responses(entry: Any, stimulus: int, n_bins: int) -> Any:
    where = f"responses[{stimulus}]"
    if column_names(entry) is not None or _is_array(entry):
        values = to_tensor(entry, where, is_response=True)
        if values.ndim == 2:  # a data frame: one trial
            values = values[:, None]
        _check_bins(values, n_bins, where, "its stimulus")
        return values
    row = []
    for neuron, response in enumerate(entry):
        where = f"responses[{stimulus}][{neuron}]"
        if response is None:
            row.append(torch.full((1, 1), float("nan")))
            continue
        if isinstance(response, list | tuple) and len({np.size(repeat) for repeat in response}) > 1:
            raise TypeError(
                f"expected {where} of shape (R, T), got {len(response)} lists of different lengths. If these are spike "
                "times, give them to from_spike_times"
            )
        values = to_tensor(response, where, is_response=True)
        if values.ndim == 1:
            values = values[None]
        if values.ndim != 2:
            raise ValueError(f"{where} must have shape (R, T) or (T,), got {tuple(values.shape)}")
        is_missing_mark = values.shape == (1, 1) and bool(torch.isnan(values).all())
        if not is_missing_mark:
            _check_bins(values, n_bins, where, f"stimulus {stimulus}")
        row.append(values)
    return row


def _check_bins(values: Tensor, n_bins: int, where: str, stimulus: str) -> None:
    """Raise ValueError unless a response has as many bins as its stimulus, and say what may have happened."""
    own = values.shape[-1]
    if own == n_bins:
        return
    shorter, longer = sorted((own, n_bins))
    if longer - shorter <= 2:
        hint = f"cut both to the shorter: [..., :{shorter}]"
    elif own > n_bins and own % n_bins == 0:
        hint = (
            f"if it has {own // n_bins} bins per bin of the stimulus, add them up: counts.reshape(*counts.shape[:-1], "
            f"{n_bins}, {own // n_bins}).sum(-1)"
        )
    elif n_bins > own and n_bins >= 20 * own:
        hint = (
            "if the stimulus is a waveform, make a spectrogram of it first, with one frame per response bin "
            "(deepSTRF.models.wav2spec.make_wav2spec); if the response holds spike times, give them "
            "to from_spike_times"
        )
    else:
        hint = (
            "resample one of them to the bins of the other; if the response holds spike times, give them to "
            "from_spike_times"
        )
    raise ValueError(f"{where} has {own} bins, {stimulus} has {n_bins}; {hint}")
