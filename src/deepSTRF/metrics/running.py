"""Several metrics over many batches, as if these were one: running statistics where they suffice, else the data."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import check_choice
from deepSTRF.metrics._arguments import REDUCTIONS, Recorded, check_pair, result_dtype
from deepSTRF.metrics.batches import statistics_of, target_of
from deepSTRF.metrics.correlation import (
    CORRCOEF,
    FVE,
    MEAN_SQUARE,
    corrcoef,
    fve,
    normalized_corrcoef,
    normalized_corrcoef_measure,
)
from deepSTRF.metrics.losses import mse_loss, poisson_loss, poisson_measure
from deepSTRF.metrics.statistics import Measure, Statistic, merge

__all__ = ["Recognised", "RunningScores", "as_score", "pad_and_cat", "recognise"]

# Statistics of so many batches are merged at once, which costs hardly more than merging two.
MERGED_AT_ONCE = 16

Metric = Callable[[Tensor, Tensor], Tensor]

# Of every function: how its keyword arguments, without mask and reduction, make a measure.
_MEASURES: dict[Callable[..., Tensor], Callable[..., Measure]] = {
    corrcoef: lambda: CORRCOEF,
    fve: lambda: FVE,
    mse_loss: lambda: MEAN_SQUARE,
    normalized_corrcoef: normalized_corrcoef_measure,
    poisson_loss: poisson_measure,
}


@functools.cache
def _default_reduction(function: Callable[..., Tensor]) -> str:
    return inspect.signature(function).parameters["reduction"].default


class Recognised(NamedTuple):
    """A metric that can be computed batch by batch: its statistics and formula, and its reduction over neurons."""

    measure: Measure
    reduction: str


def recognise(metric: Metric) -> Recognised | None:
    """Find out whether a callable is one of the library's metrics or losses, also through ``functools.partial``.

    Parameters
    ----------
    metric : callable
        ``(pred, responses) -> tensor``.

    Returns
    -------
    Recognised or None
        None for any other callable, and where the arguments ask for more than statistics can give (a mask, the
        validation of every value).

    Examples
    --------
    >>> import functools
    >>> from deepSTRF.metrics import corrcoef
    >>> recognise(functools.partial(corrcoef, reduction="none")).reduction
    'none'
    >>> recognise(lambda pred, responses: pred.mean()) is None
    True
    """
    function, keywords = metric, {}
    if isinstance(metric, functools.partial):
        if metric.args:
            return None
        function, keywords = metric.func, dict(metric.keywords)
    if not isinstance(function, Hashable) or function not in _MEASURES:
        return None
    reduction = keywords.pop("reduction", _default_reduction(function))
    check_choice("reduction", reduction, REDUCTIONS)
    if keywords.pop("mask", None) is not None or keywords.pop("validate_input", False):
        return None
    return Recognised(_MEASURES[function](**keywords), reduction)


class RunningScores:
    """Every metric of a pass over batches: what it gives for the concatenated data.

    The library's metrics and losses, also through ``functools.partial``, are computed from the statistics of the
    batches. Those that they have in common are computed once, and nothing of a batch is kept but numbers per neuron;
    nothing waits for the device before :meth:`compute`. For any other callable, predictions and responses are kept on
    the CPU and concatenated at the end, padded with NaN.

    Parameters
    ----------
    metrics : dict of str to callable
        ``(pred, responses) -> tensor``, NumPy array or number.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics import corrcoef, mse_loss
    >>> scores = RunningScores({"loss": mse_loss, "cc": corrcoef, "stimuli": lambda pred, responses: len(pred)})
    >>> pred, responses = torch.rand(4, 3, 1, 50), torch.rand(4, 3, 2, 50)
    >>> for i in range(4):
    ...     scores.update(pred[i : i + 1], responses[i : i + 1])
    >>> values = scores.compute()
    >>> torch.allclose(values["cc"], corrcoef(pred, responses)), values["stimuli"]
    (True, 4)
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = dict(metrics)
        recognised = {name: recognise(metric) for name, metric in metrics.items()}
        self.recognised = {name: metric for name, metric in recognised.items() if metric is not None}
        self.parts = tuple(dict.fromkeys(part for metric in self.recognised.values() for part in metric.measure.parts))
        self.statistics: list[tuple[Statistic, ...]] = []
        self.data: list[tuple[Tensor, Tensor]] = []
        self.dtype = torch.float32

    @torch.no_grad()
    def update(self, pred: Tensor, responses: Recorded) -> None:
        """Add a batch.

        Parameters
        ----------
        pred : Tensor
            ``(B, N, 1, T)`` predictions.
        responses : Tensor or mapping
            ``(B, N, R, T)`` responses, NaN where missing; or the batch that holds them, on the same device: they are
            read only if a metric needs more than its PSTH and statistics.
        """
        if self.recognised:
            target = target_of(responses)
            check_pair(pred, target, None, "responses")
            self.dtype = result_dtype(pred, target)
            self.statistics.append(statistics_of(self.parts, responses, pred.detach()))
            if len(self.statistics) == MERGED_AT_ONCE:
                self.statistics = [merge(*self.statistics)]
        if len(self.recognised) < len(self.metrics):
            repeats = responses["responses"] if isinstance(responses, Mapping) else responses
            self.data.append((pred.detach().cpu(), repeats.cpu()))

    @torch.no_grad()
    def compute(self) -> dict[str, Any]:
        """Return the value of every metric over the batches so far, on the CPU, in the order of the metrics.

        Raises
        ------
        ValueError
            If there was no batch.
        TypeError
            If a metric gave something else than a tensor, an array or a number.
        """
        if self.metrics and not (self.statistics or self.data):
            raise ValueError("cannot compute metrics of an empty list of batches: the loader gave none")
        merged = merge(*self.statistics) if self.statistics else ()
        on_cpu = (type(statistic)(*(field.cpu() for field in statistic)) for statistic in merged)
        statistics = dict(zip(self.parts, on_cpu, strict=False))  # nothing is merged where nothing is recognised
        data = [pad_and_cat(list(tensors)) for tensors in zip(*self.data, strict=True)]
        values: dict[str, Any] = {}
        for name, metric in self.metrics.items():
            if name in self.recognised:
                measure, reduction = self.recognised[name]
                value = measure.reduced(reduction, *(statistics[part] for part in measure.parts))
                values[name] = value.to(self.dtype)
            else:
                values[name] = as_score(f"the value of metric {name!r}", metric(*data))
        return values


def as_score(what: str, value: Any) -> Tensor | float:
    """Return a score as a number or a tensor on the CPU; NumPy's arrays become tensors.

    Raises
    ------
    TypeError
        If it is neither; the message begins with `what`.

    Examples
    --------
    >>> import numpy as np
    >>> as_score("the monitor", np.array([0.25, 0.5]))
    tensor([0.2500, 0.5000], dtype=torch.float64)
    >>> as_score("the monitor", "high")
    Traceback (most recent call last):
        ...
    TypeError: the monitor must be a number, or a tensor or array with one number per neuron, got 'high'
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.as_tensor(np.array(value))
    if isinstance(value, Tensor) and not value.is_complex():
        return value.detach().cpu()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, numbers.Real):
        return value  # type: ignore[return-value]
    raise TypeError(f"{what} must be a number, or a tensor or array with one number per neuron, got {value!r:.60}")


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
