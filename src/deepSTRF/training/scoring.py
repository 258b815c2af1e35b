"""What a pass over a loader adds up to: running statistics where they suffice, the data where they don't."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.metrics.running import RunningScores, recognise

__all__ = ["PassScores", "as_score", "pad_and_cat"]

Metric = Callable[[Tensor, Tensor], Tensor]


class PassScores:
    """Every metric of one pass, as if all its batches were one.

    The library's metrics and losses, also through ``functools.partial``, are computed from statistics that are updated
    batch by batch. For any other callable, predictions and responses are kept on the CPU and concatenated at the end,
    padded with NaN.

    Parameters
    ----------
    metrics : dict of str to callable
        ``(pred, responses) -> tensor``, NumPy array or number.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics import corrcoef
    >>> scores = PassScores({"cc": corrcoef, "stimuli": lambda pred, responses: len(pred)})
    >>> for _ in range(3):
    ...     scores.update(torch.rand(2, 4, 1, 50), torch.rand(2, 4, 5, 50))
    >>> scores.compute()["stimuli"]
    6
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics
        recognised = {name: recognise(metric) for name, metric in metrics.items()}
        self.own = {name: metric for name, metric in metrics.items() if recognised[name] is None}
        known = {name: metric for name, metric in recognised.items() if metric is not None}
        self.running = RunningScores(known) if known else None
        self.kept: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def update(self, pred: Tensor, responses: Tensor, psth: Tensor | None = None) -> None:
        """Add a batch: ``pred`` (B, N, 1, T), ``responses`` (B, N, R, T), their average over repeats if at hand."""
        if self.running is not None:
            self.running.update(pred, responses, psth)
        if self.own:
            self.kept.append((pred.detach().cpu(), responses.cpu()))

    @torch.no_grad()
    def compute(self) -> dict[str, Any]:
        """Return the value of every metric, in the order in which they were given.

        Raises
        ------
        ValueError
            If there was no batch.
        TypeError
            If a metric gave something else than a tensor, an array or a number.
        """
        values: dict[str, Any] = {}
        if self.running is not None:
            values |= self.running.compute()
        if self.own:
            pred = pad_and_cat([pred for pred, _ in self.kept])
            responses = pad_and_cat([responses for _, responses in self.kept])
            values |= {
                name: as_score(f"the value of metric {name!r}", metric(pred, responses))
                for name, metric in self.own.items()
            }
        return {name: values[name] for name in self.metrics}


def as_score(what: str, value: Any) -> Tensor | float:
    """Return a score as a number or a tensor on the CPU; NumPy's arrays become tensors.

    Raises
    ------
    TypeError
        If it is neither, with `what` it is.

    Examples
    --------
    >>> import numpy as np
    >>> as_score("the monitor", np.array([0.25, 0.5]))
    tensor([0.2500, 0.5000], dtype=torch.float64)
    >>> as_score("the monitor", "high")
    Traceback (most recent call last):
        ...
    TypeError: the monitor must be a number, or a tensor or array with one number per neuron; got 'high'
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.as_tensor(np.array(value))
    if isinstance(value, Tensor) and not value.is_complex():
        return value.detach().cpu()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, numbers.Real):
        return value  # type: ignore[return-value]
    raise TypeError(f"{what} must be a number, or a tensor or array with one number per neuron; got {value!r:.60}")


def pad_and_cat(tensors: list[Tensor]) -> Tensor:
    """Concatenate ``(B, N, R, T)`` tensors along B, padding R and T with NaN to the largest.

    Padded predictions meet padded responses, which are missing, so they count nowhere.

    Raises
    ------
    ValueError
        For an empty list.

    Examples
    --------
    >>> import torch
    >>> pad_and_cat([torch.zeros(1, 2, 3, 4), torch.zeros(2, 2, 1, 6)]).shape
    torch.Size([3, 2, 3, 6])
    """
    if not tensors:
        raise ValueError("cannot concatenate an empty list of batches: the loader gave none")
    if len({tensor.shape[1:] for tensor in tensors}) == 1:
        return torch.cat(tensors)
    n_repeats = max(tensor.shape[2] for tensor in tensors)
    n_bins = max(tensor.shape[3] for tensor in tensors)
    n_stims = sum(tensor.shape[0] for tensor in tensors)
    padded = tensors[0].new_full((n_stims, tensors[0].shape[1], n_repeats, n_bins), math.nan)
    start = 0
    for tensor in tensors:
        stop = start + tensor.shape[0]
        padded[start:stop, :, : tensor.shape[2], : tensor.shape[3]] = tensor
        start = stop
    return padded
