"""What ridge regression reads of a recording: stimuli as features per bin, and responses averaged over repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_positive, describe_type
from deepSTRF.lazy import LazyDict, stored
from deepSTRF.models.regression.moments import Trial

__all__ = ["Recording", "check_compatible", "check_recording", "means", "read_trials"]

_BLOCK = 16384  # bins at a time


@runtime_checkable
class Recording(Protocol):
    """What :func:`deepSTRF.models.fit_ridge` needs of a data set."""

    dt: float

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, Any]: ...


def check_recording(name: str, recording: object) -> None:
    """Raise TypeError or ValueError unless it is a data set with a bin width."""
    if not isinstance(recording, Recording):
        raise TypeError(
            f"{name} must be a data set, with dt, a length, and dicts of 'stims' and 'responses' as items; got "
            f"{type(recording).__name__}"
        )
    check_positive(f"dt of {name} (ms)", recording.dt)


def check_compatible(train: Recording, trials: list[Trial], val: Recording, val_trials: list[Trial]) -> None:
    """Raise ValueError unless training and validation data have the same bins, bands and neurons."""
    for what, of_train, of_val in (
        ("dt (ms)", train.dt, val.dt),
        ("number of bands", len(trials[0].stim), len(val_trials[0].stim)),
        ("number of neurons", len(trials[0].psth), len(val_trials[0].psth)),
    ):
        if of_train != of_val:
            raise ValueError(f"train and val differ in {what}: {of_train} and {of_val}")


def read_trials(recording: Recording, name: str) -> list[Trial]:
    """The stimuli of a recording, each with the responses averaged over repeats."""
    trials: list[Trial] = []
    for index in range(len(recording)):
        item = recording[index]
        where = f"{name}, stimulus {index}"
        if not isinstance(item, Mapping) or not {"stims", "responses"} <= item.keys():
            came = f"the keys {sorted(item)}" if isinstance(item, Mapping) else describe_type(item)
            raise TypeError(f"{where}: expected a dict with 'stims' and 'responses', got {came}")
        stim = _check_stimulus(item["stims"], where)
        trials.append(Trial(stim, _psth_of(item, stim.shape[1], where)))
        if (len(stim), len(trials[-1].psth)) != (n_sizes := (len(trials[0].stim), len(trials[0].psth))):
            raise ValueError(
                f"{where}: expected {n_sizes[0]} bands and {n_sizes[1]} neurons as in the first item, got {len(stim)} "
                f"and {len(trials[-1].psth)}"
            )
    if not trials:
        raise ValueError(f"{name} has no stimulus with a response: nothing to fit on")
    if not any(bool(trial.psth.isfinite().any()) for trial in trials):
        raise ValueError(f"no neuron has data in {name}: nothing to fit on")
    return trials


def _check_tensor(value: object, what: str) -> None:
    if not isinstance(value, Tensor) or value.is_complex():
        came = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{what} must be a tensor of real numbers, got {came}")


def _check_stimulus(stim: Tensor, where: str) -> Float[Tensor, "F T"]:
    """The features of each bin: bands, or the pixels of a movie."""
    _check_tensor(stim, f"{where}: the stimulus")
    if stim.ndim not in (3, 4) or (stim.ndim == 3 and stim.shape[0] != 1) or stim.numel() == 0:
        raise ValueError(
            f"{where}: expected a spectrogram (1, F, T) or a movie (C, H, W, T), got a tensor of shape "
            f"{tuple(stim.shape)}"
        )
    if not bool(stim.isfinite().all()):
        raise ValueError(f"{where}: the stimulus has values that are not finite")
    return stim.detach().cpu().flatten(0, -2)


def _psth_of(item: Mapping[str, Any], n_bins: int, where: str) -> Float[Tensor, "N T"]:
    """Average over repeats: that which an item of a data set carries, so that repeats are not read, or a new one."""
    if isinstance(item, LazyDict) and "psth" in item and item.is_as_made("responses"):
        source: Any = getattr(stored(item, "psth"), "source", None)
        psth = source.psth_to_read() if hasattr(source, "psth_to_read") else item["psth"]  # no copy of a recording
        if psth.shape[1] == n_bins and not bool(psth.isinf().any()):
            return psth.detach().cpu()
    return _average(item["responses"], n_bins, where)


def _average(responses: Sequence[Tensor], n_bins: int, where: str) -> Float[Tensor, "N T"]:
    """Average over the repeats that have data, bin by bin."""
    psth = torch.full((len(responses), n_bins), math.nan)
    for neuron, response in enumerate(responses):
        _check_tensor(response, f"{where}: the response of neuron {neuron}")
        if response.shape == (1, 1) and bool(response.isnan()):
            continue  # never recorded
        if response.ndim != 2 or response.shape[1] != n_bins:
            raise ValueError(
                f"{where}: expected responses of shape (R, {n_bins}) as the stimulus has {n_bins} bins, got "
                f"{tuple(response.shape)} for neuron {neuron}"
            )
        response = response.detach().cpu()
        if bool(response.sum().isfinite()):  # complete, which is cheaper to see and to average
            mean = response.mean(0)
        elif bool(response.isinf().any()):
            raise ValueError(f"{where}: the response of neuron {neuron} has infinite values; NaN marks missing data")
        else:
            mean = response.nanmean(0)
        psth = psth.to(torch.promote_types(psth.dtype, mean.dtype))
        psth[neuron] = mean
    return psth


def means(trials: list[Trial]) -> tuple[Float[Tensor, " F"], Float[Tensor, " N"]]:
    """Of the stimuli per band, and of the responses per neuron, 0 without data."""
    n_bins = sum(trial.stim.shape[1] for trial in trials)
    stim = torch.stack([trial.stim.sum(1, dtype=torch.float64) for trial in trials]).sum(0) / n_bins
    count, total = (torch.zeros(len(trials[0].psth), dtype=torch.float64) for _ in range(2))
    for trial in trials:
        for block in trial.psth.split(_BLOCK, 1):  # no copy of a long recording is made
            count += block.isfinite().sum(1)
            total += block.nansum(1, dtype=torch.float64)
    return stim, total / count.clamp(min=1)
