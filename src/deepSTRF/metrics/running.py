"""Recognise the library's own metrics and losses, and compute several of them in one pass over many batches."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deepSTRF.checks import check_choice
from deepSTRF.metrics._arguments import REDUCTIONS, check_pair, reduce_neurons, result_dtype
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
from deepSTRF.metrics.statistics import Measure, Part, Statistic, collect, merge

__all__ = ["Recognised", "RunningScores", "recognise"]

# So many batches' numbers per neuron wait to be merged at once, which costs hardly more than merging two.
KEPT = 16

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
    """Several recognised metrics over all batches of a pass: what they give for the concatenated data.

    Metrics share the statistics that they have in common, so each batch is read once. Nothing of a batch is kept but
    numbers per neuron, and nothing waits for the device before :meth:`compute`.

    Parameters
    ----------
    metrics : dict of str to Recognised
        At least one.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics import corrcoef, mse_loss
    >>> scores = RunningScores({"loss": recognise(mse_loss), "cc": recognise(corrcoef)})
    >>> pred, responses = torch.rand(4, 3, 1, 50), torch.rand(4, 3, 2, 50)
    >>> for i in range(4):
    ...     scores.update(pred[i : i + 1], responses[i : i + 1])
    >>> torch.allclose(scores.compute()["cc"], corrcoef(pred, responses))
    True
    """

    def __init__(self, metrics: Mapping[str, Recognised]) -> None:
        self.metrics = dict(metrics)
        parts = [part for metric in self.metrics.values() for part in metric.measure.parts]
        self.parts: tuple[Part, ...] = tuple(part for i, part in enumerate(parts) if part not in parts[:i])
        self.batches: list[tuple[Statistic, ...]] = []
        self.dtype = torch.float32

    def update(self, pred: Tensor, responses: Tensor, psth: Tensor | None = None) -> None:
        """Add a batch: ``pred`` (B, N, 1, T) and ``responses`` (B, N, R, T) with NaN where missing.

        `psth` (B, N, 1, T) is the average of the responses over repeats, where that is at hand.
        """
        check_pair(pred, responses, None, "responses")
        self.dtype = result_dtype(pred, responses)
        self.batches.append(collect(self.parts, responses, pred.detach(), psth=psth))
        if len(self.batches) == KEPT:
            self.batches = [merge(*self.batches)]

    def compute(self) -> dict[str, Tensor]:
        """Return every metric of the batches so far, on the CPU.

        Raises
        ------
        ValueError
            If there was no batch.
        """
        if not self.batches:
            raise ValueError("there is nothing to score: the loader gave no batch (an empty list of batches)")
        statistics = merge(*self.batches)
        values: dict[str, Any] = {}
        for name, (measure, reduction) in self.metrics.items():
            own = [statistics[self.parts.index(part)] for part in measure.parts]
            values[name] = reduce_neurons(measure.compute(*own), reduction).to(self.dtype).cpu()
        return values
