"""What all sources have in common: stimuli with bins before and after them, names, and memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import check_number, check_positive
from deepSTRF.datasets.arrays import check_bin_width, to_tensor
from deepSTRF.datasets.naming import described, named_stimuli

__all__ = ["HandedOver", "Windows", "check_unit_ids", "fill_windows", "onsets_in_s", "stimulus_windows", "whole_bins"]


class Windows(NamedTuple):
    """Stimuli with the bins before and after them, in which responses are counted."""

    stims: list[Tensor]
    names: list[str] | None
    n_bins: list[int]
    before: int
    after: int = 0

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the stimuli as they came, without the bins before and after them."""
        own = [(*stim.shape[:-1], stim.shape[-1] - self.before - self.after) for stim in self.stims]
        return [tuple(map(int, shape)) for shape in own]

    @property
    def named_stims(self) -> list[Tensor] | dict[str, Tensor]:
        """The stimuli as from_arrays takes them."""
        return self.stims if self.names is None else dict(zip(self.names, self.stims, strict=True))

    @property
    def keys(self) -> list[str] | int:
        """What a trial can refer to a stimulus by: its name, or its index."""
        return len(self.stims) if self.names is None else self.names


def stimulus_windows(
    stims: Any, dt_ms: float, before_ms: float = 0.0, after_ms: float = 0.0, silence: float = 0.0
) -> Windows:
    """Stimuli as tensors, padded in time on both sides.

    Parameters
    ----------
    stims : sequence or dict
        One array per stimulus, time last; a dict gives them names.
    dt_ms : float
        Width of a bin.
    before_ms, after_ms : float
        Time before and after each stimulus, a whole number of bins.
    silence : float
        Value of the stimulus there.

    Examples
    --------
    >>> windows = stimulus_windows({"rain": [[1.0, 1.0]]}, 5.0, before_ms=5.0)
    >>> windows.stims, windows.names, windows.n_bins, windows.before
    ([tensor([[0., 1., 1.]])], ['rain'], [3], 1)
    """
    check_positive("dt_ms", dt_ms)
    check_bin_width(dt_ms)
    if isinstance(stims, str | os.PathLike):
        raise TypeError(
            f"stims must be arrays, one per stimulus, time last, got the path {stims}: sound files go to "
            "AudioNeuralDataset.from_waveforms, with spikes= or signals="
        )
    arrays, names = named_stimuli(stims)
    before = whole_bins("before_ms", before_ms, dt_ms)
    after = whole_bins("after_ms", after_ms, dt_ms)
    value = float(check_number("silence", silence))
    labels = [f"stims[{s}]" if names is None else f"stims[{names[s]!r}]" for s in range(len(arrays))]
    if not arrays:
        raise ValueError("stims must have at least one stimulus, got none")
    tensors = [to_tensor(stim, label, is_response=False) for stim, label in zip(arrays, labels, strict=True)]
    for tensor, label in zip(tensors, labels, strict=True):
        if tensor.ndim == 0 or tensor.numel() == 0:
            raise ValueError(f"{label} must have at least one band and one bin, got shape {tuple(tensor.shape)}")
    if before or after:
        tensors = [torch.nn.functional.pad(tensor, (before, after), value=value) for tensor in tensors]
    return Windows(tensors, names, [tensor.shape[-1] for tensor in tensors], before, after)


def whole_bins(name: str, duration_ms: Any, dt_ms: float) -> int:
    """A duration in bins.

    Raises
    ------
    TypeError, ValueError
        If it is no number, negative, or not a whole number of bins.

    Examples
    --------
    >>> whole_bins("before_ms", 50.0, 5.0)
    10
    """
    if check_number(name, duration_ms) < 0:
        raise ValueError(f"{name} must be at least 0, got {duration_ms}")
    bins = round(duration_ms / dt_ms)
    if abs(bins - duration_ms / dt_ms) > 1e-6 * max(bins, 1):
        raise ValueError(
            f"{name} must be a whole number of bins of {dt_ms:g} ms, got {duration_ms}; next to it are "
            f"{int(duration_ms // dt_ms) * dt_ms:g} and {(int(duration_ms // dt_ms) + 1) * dt_ms:g}"
        )
    return bins


def fill_windows(
    cls: Any,
    windows: Windows,
    responses: list[Any],
    dt_ms: float,
    nrn_meta: Any,
    ids: Sequence[Any] | None = None,
    **options: Any,
) -> Any:
    """Make a data set of the class `cls` from stimuli in their windows and the responses in them, which are let go.

    Ids of the neurons become their ``cell_id``; everything else is as for ``from_arrays``.

    Raises
    ------
    ValueError
        If two neurons have the same id, and as ``from_arrays``.
    """
    if ids is not None:
        check_unit_ids(ids)
    metadata = described(nrn_meta, ids, "cell_id", "nrn_meta")
    return cls.from_arrays(windows.named_stims, HandedOver(responses), dt_ms, nrn_meta=metadata, **options)


def onsets_in_s(onset_ms: Any, n_stims: int) -> list[float]:
    """Onsets of stimuli in s, from one for all or one for each in ms."""
    if np.ndim(onset_ms) == 0:
        return [check_number("onset_ms", onset_ms) / 1000] * n_stims
    if len(onset_ms) != n_stims:
        raise ValueError(f"onset_ms must be a number or one for each of {n_stims} stimuli, got {len(onset_ms)}")
    return [check_number(f"onset_ms[{s}]", onset) / 1000 for s, onset in enumerate(onset_ms)]


def check_unit_ids(ids: Sequence[Any]) -> None:
    """Raise ValueError if two units have the same id, also if one is a number and one its text."""
    twice = [unit for unit, count in Counter(str(unit) for unit in ids).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} ids stand for more than one unit, such as {twice[0]!r}; give each unit an id of its own, "
            "for instance with the name of its probe in front"
        )


class HandedOver(Sequence[Any]):
    """Responses of which each is let go once it was read, so that a copy of all of them needs little more memory.

    The first stays, because its kind says what the others are.

    Examples
    --------
    >>> responses = HandedOver([1, 2, 3])
    >>> list(responses), responses[0], responses[2]
    ([1, 2, 3], 1, None)
    """

    def __init__(self, entries: list[Any]):
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        return self._entries[index]

    def __iter__(self) -> Iterator[Any]:
        for index, entry in enumerate(self._entries):
            if index > 0:
                self._entries[index] = None
            yield entry
