"""What else was measured while stimuli were presented: running speed, the size of the pupil, the phase of breathing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deepSTRF.checks import check_list, describe_type
from deepSTRF.datasets.arrays import to_tensor
from deepSTRF.datasets.naming import by_stimulus

__all__ = ["Continuous", "Covariates", "check_covariates", "cut_covariates", "joined_covariates", "read_covariates"]

Covariates = dict[str, list[Tensor]]


@dataclass(frozen=True, eq=False)
class Continuous:
    """A covariate of a whole session, which is cut into the trials and brought to the bins of the stimuli.

    Parameters
    ----------
    values : array
        Shape (samples,), or (C, samples) for several channels; NaN where it was not measured.
    rate_hz : float
        Sampling rate.
    start_s : float
        Time of the first sample, in the clock of the trials.

    Examples
    --------
    >>> import numpy as np
    >>> from deepSTRF.datasets.audio import AudioNeuralDataset
    >>> ds = AudioNeuralDataset.from_spike_times(
    ...     [np.ones((4, 20))], [[0.11, 1.02]], 10.0, unit="s", trials=[(0.1, 0), (1.0, 0)],
    ...     covariates={"speed": Continuous(np.ones(50), rate_hz=25.0)},
    ... )
    >>> ds[0]["speed"].shape  # repeats, bins
    torch.Size([2, 20])
    """

    values: Any
    rate_hz: float
    start_s: float = 0.0


_KEYS_OF_ITEMS = ("stims", "responses", "valid_mask", "psth", "statistics", "stim_meta", "onset")


def read_covariates(covariates: Any, n_bins: Sequence[int], names: Sequence[str] | None) -> Covariates:
    """Covariates as tensors, one per stimulus.

    Parameters
    ----------
    covariates : dict
        Per name one array for each stimulus, time last.
    n_bins : sequence of int
        Number of bins of each stimulus.
    names : sequence of str, optional
        Names of the stimuli.

    Examples
    --------
    >>> read_covariates({"speed": [[1.0, 2.0], None]}, [2, 1], None)
    {'speed': [tensor([1., 2.]), tensor([nan])]}
    """
    if not isinstance(covariates, Mapping):
        raise TypeError(f"covariates must be a dict of names and arrays per stimulus, got {describe_type(covariates)}")
    tensors: Covariates = {}
    for name, values in covariates.items():
        if isinstance(values, Continuous):
            raise TypeError(
                f"covariates[{name!r}] is one of a whole session, which needs trials= to be cut; without, give an "
                "array for each stimulus"
            )
        entries = by_stimulus(f"covariates[{name!r}]", values, names)
        check_list(f"covariates[{name!r}]", entries, "arrays, one per stimulus, time last")
        _check_count(name, entries, n_bins)
        tensors[name] = [
            torch.full((bins,), torch.nan)
            if entry is None
            else to_tensor(entry, f"covariates[{name!r}][{s}]", is_response=True)
            for s, (entry, bins) in enumerate(zip(entries, n_bins, strict=True))
        ]
    check_covariates(tensors, n_bins)
    return tensors


def check_covariates(covariates: Covariates, n_bins: Sequence[int]) -> None:
    """Raise TypeError or ValueError unless covariates have names of their own and the bins of the stimuli."""
    for name, values in covariates.items():
        if not isinstance(name, str):
            raise TypeError(f"the name of a covariate must be a string, got {describe_type(name)}: {name!r}")
        if name in _KEYS_OF_ITEMS:
            raise ValueError(f"a covariate can't be named {name!r}, which items hold already; choose another name")
        _check_count(name, values, n_bins)
        for s, (value, bins) in enumerate(zip(values, n_bins, strict=True)):
            if value.ndim == 0 or value.shape[-1] != bins:
                raise ValueError(
                    f"covariates[{name!r}][{s}] must have the {bins} bins of its stimulus in its last dimension, got "
                    f"shape {tuple(value.shape)}"
                )


def _check_count(name: str, values: Sequence[Any], n_bins: Sequence[int]) -> None:
    if len(values) != len(n_bins):
        raise ValueError(
            f"covariates[{name!r}] must have one entry for each of {len(n_bins)} stimuli, got {len(values)}"
        )


def cut_covariates(covariates: Covariates, pieces: Sequence[tuple[int, slice]]) -> Covariates:
    """The covariates of pieces of time, each of a stimulus.

    Examples
    --------
    >>> cut_covariates({"speed": [torch.tensor([1.0, 2.0, 3.0])]}, [(0, slice(0, 1)), (0, slice(1, 3))])
    {'speed': [tensor([1.]), tensor([2., 3.])]}
    """
    return {name: [values[s][..., time] for s, time in pieces] for name, values in covariates.items()}


def joined_covariates(parts: Sequence[tuple[Covariates, Sequence[int]]]) -> Covariates:
    """Covariates of several recordings one after the other; NaN for a recording that has not measured one.

    Parameters
    ----------
    parts : sequence of (covariates, n_bins)
        The covariates of each recording, and the number of bins of its stimuli.
    """
    names = dict.fromkeys(name for covariates, _ in parts for name in covariates)
    return {
        name: [
            value
            for covariates, n_bins in parts
            for value in covariates.get(name) or [torch.full((bins,), torch.nan) for bins in n_bins]
        ]
        for name in names
    }
