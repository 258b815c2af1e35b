"""Training losses: differentiable, unaffected by missing data, one number per neuron before the reduction.

A neuron without data does not enter the reduction. One whose prediction is NaN or infinite where there are data does:
the loss is NaN or infinite then, so that a training stops instead of going on without that neuron.

Missing positions are replaced before the formula, not multiplied by zero after it: an ``exp`` that overflows or a NaN
there would otherwise reach the gradient as ``0 × inf``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from deepSTRF.checks import check_choice, check_positive
from deepSTRF.metrics._arguments import REDUCTIONS, Mask, Pred, Recorded, Score, check_pair, reduce_neurons
from deepSTRF.metrics.batches import target_of
from deepSTRF.metrics.blocks import Block, average_repeats, is_complete
from deepSTRF.metrics.statistics import Measure, has_bins


def _prepare(pred: Tensor, gt: Any, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Prediction, PSTH ``(B, N, 1, T)`` and where it is valid, checked; None if it is so everywhere.

    At least in float32: in half precision the sum over the bins overflows. No gradient goes to the responses.
    """
    gt = target_of(gt, mask)
    mask = check_pair(pred, gt, mask, "gt")
    gt = _at_least_float32(gt.detach())
    target = gt if gt.shape[2] == 1 else average_repeats(gt, mask)
    if mask is None:
        return _at_least_float32(pred), target, None if is_complete(target) else target == target
    return _at_least_float32(pred), target, mask.any(2, keepdim=True)


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float32)


def _mean_over_valid(values: Tensor, valid: Tensor | None, reduction: str) -> Tensor:
    """Mean per neuron of values that are 0 where not valid, then the reduction over neurons."""
    if valid is None:
        mean = values.sum((0, 2, 3)) / (values.numel() / values.shape[1])  # the gradient of a mean makes one more copy
        return reduce_neurons(mean, reduction, torch.ones_like(mean, dtype=torch.bool))
    count = valid.sum((0, 2, 3))
    # the clamp keeps 0 / 0, whose gradient is NaN, out of the graph
    mean = values.sum((0, 2, 3)) / count.clamp(min=1)
    return reduce_neurons(torch.where(count > 0, mean, torch.nan), reduction, count > 0)


def mse_loss(pred: Pred, gt: Recorded, mask: Mask | None = None, reduction: str = "mean") -> Score:
    """Mean squared error between prediction and PSTH over the valid bins of each neuron.

    Parameters
    ----------
    pred : Tensor
        ``(B, N, 1, T)`` predictions; gradients flow to them.
    gt : Tensor or dict
        ``(B, N, R, T)`` responses in the same unit, NaN where missing; repeats are averaged (without the missing ones).
        Or a batch of :func:`~deepSTRF.utils.neural_collate`, whose ready averages are used.
    mask : Tensor, optional
        Bool, broadcastable to ``gt``; replaces the not-NaN mask. A NaN that it marks as valid makes the neuron NaN.
    reduction : {'mean', 'sum', 'none'}
        Over the neurons with data; ``'none'`` gives ``(N,)``.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar; a neuron without a valid bin is NaN, has zero gradient and does not enter the reduction.
        A prediction that is NaN or infinite in a valid bin makes its neuron NaN or infinite, and the reduction too.

    Raises
    ------
    ValueError
        For an unknown reduction, or shapes or devices that do not fit.
    TypeError
        For arguments that are not tensors of real numbers, or a mask that is not bool.

    Examples
    --------
    >>> import torch
    >>> pred = torch.ones(1, 2, 1, 2, requires_grad=True)
    >>> loss = mse_loss(pred, torch.tensor([[[[3.0, torch.nan]], [[torch.nan, torch.nan]]]]))
    >>> loss.backward()
    >>> loss.item(), pred.grad.flatten().tolist()
    (4.0, [-4.0, 0.0, 0.0, 0.0])
    """
    check_choice("reduction", reduction, REDUCTIONS)
    pred, target, valid = _prepare(pred, gt, mask)
    if valid is not None:
        return _mean_over_valid(torch.where(valid, pred - target, 0.0).square(), valid, reduction)
    dtype = torch.promote_types(pred.dtype, target.dtype)
    return _mean_over_valid(functional.mse_loss(pred.to(dtype), target.to(dtype), reduction="none"), None, reduction)


def poisson_loss(
    pred: Pred,
    gt: Recorded,
    mask: Mask | None = None,
    reduction: str = "mean",
    log_input: bool = False,
    validate_input: bool = False,
    eps: float = 1e-8,
) -> Score:
    r"""Negative log-likelihood of Poisson counts, without the term that does not depend on the prediction.

    .. math:: \hat y - y \log \hat y \qquad\text{or, with log\_input,}\qquad e^{\hat y} - y\,\hat y

    Below ``eps`` the first form goes on as a straight line with the slope that it has at ``eps``, and at least with
    slope −1: a negative rate is finite, always costs more than ``eps``, and is pushed up.

    Parameters
    ----------
    pred : Tensor
        ``(B, N, 1, T)`` predicted counts per bin, or their logarithm with ``log_input``; gradients flow to them.
    gt, mask, reduction
        As in :func:`mse_loss`; counts per bin.
    log_input : bool
        Whether ``pred`` is the logarithm of the rate. Never inferred: pair it with a readout that can be negative.
    validate_input : bool
        Raise if a valid position has a negative rate (without ``log_input``) or a negative count. This waits for the
        device, so it is off by default.
    eps : float
        Rate below which the logarithm is replaced by its tangent.

    Returns
    -------
    Tensor
        As :func:`mse_loss`.

    Raises
    ------
    ValueError, TypeError
        As in :func:`mse_loss`. Also ValueError for ``eps`` that is not positive, or negative values if
        ``validate_input``.

    Examples
    --------
    >>> import torch
    >>> counts = torch.tensor([[[[0.0, 2.0, torch.nan]]]])
    >>> poisson_loss(torch.tensor([[[[1.0, 1.0, -5.0]]]]), counts)
    tensor(1.)
    >>> poisson_loss(torch.tensor([[[[0.0, 0.0, 1000.0]]]]), counts, log_input=True)
    tensor(1.)
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_positive("eps", eps)
    pred, target, valid = _prepare(pred, gt, mask)
    if validate_input:
        _check_not_negative(pred, target, valid, log_input)
    if valid is None:
        return _mean_over_valid(_poisson(pred, target, log_input, eps), None, reduction)
    # 0 is harmless in either formula, and so is its gradient
    rate, count = torch.where(valid, pred, 0.0), torch.where(valid, target, 0.0)
    values = torch.where(valid, _poisson(rate, count, log_input, eps), 0.0)
    return _mean_over_valid(values, valid, reduction)


def _poisson(pred: Tensor, count: Tensor, log_input: bool, eps: float) -> Tensor:
    """Negative log-likelihood at every position, none of which is missing; inf where the prediction is infinite."""
    return torch.where(pred.isinf(), torch.inf, _finite_poisson(pred, count, log_input, eps))  # not inf − inf


def _finite_poisson(pred: Tensor, count: Tensor, log_input: bool, eps: float) -> Tensor:
    if log_input:
        return pred.exp() - count * pred
    rate = pred.clamp(min=eps)
    below = (pred - eps).clamp(max=0.0)
    # slope of the tangent at eps; counts below 2 eps (silence, above all) would give a rising line, so at least −1
    slope = (1 - count / eps).clamp(max=-1.0)
    return rate - count * rate.log() + slope * below


def _check_not_negative(pred: Tensor, target: Tensor, valid: Tensor | None, log_input: bool) -> None:
    for name, values in (("gt", target),) if log_input else (("pred", pred), ("gt", target)):
        negative = values < 0
        number = int((negative if valid is None else negative & valid).sum())
        if number:
            raise ValueError(
                f"poisson_loss needs rates and counts, but {name} has negative values at {number} valid positions; "
                f"use a non-negative output activation, or log_input=True for a model that predicts the log rate"
            )


class PoissonSums(NamedTuple):
    """Summed Poisson loss and number of valid bins, each ``(N,)``; see :mod:`deepSTRF.metrics.statistics`."""

    total: Tensor
    bins: Tensor

    @staticmethod
    def source() -> str:
        """What of a batch it is computed from."""
        return "psth"

    @classmethod
    def of(cls, block: Block, log_input: bool = False, eps: float = 1e-8) -> PoissonSums:
        """Sums of each stimulus and neuron of a block, ``(S, N)``."""
        values = _poisson(block.pred, block.psth, log_input, eps)
        if block.columns is not None:
            values = torch.where(block.columns > 0, values, 0.0)
        return cls(values.sum(-1), block.bins)

    def pool(self) -> PoissonSums:
        """Join the leading axis."""
        return PoissonSums(self.total.sum(0), self.bins.sum(0))


def _poisson_mean(sums: PoissonSums) -> Tensor:
    return sums.total / sums.bins  # 0 / 0 is NaN: no valid bin


def poisson_measure(log_input: bool = False, eps: float = 1e-8) -> Measure:
    """Build the statistics and formula of :func:`poisson_loss`, for streaming (without gradients).

    Examples
    --------
    >>> len(poisson_measure(log_input=True).parts)
    1
    """
    check_positive("eps", eps)
    part = functools.partial(PoissonSums.of, log_input=log_input, eps=eps)
    return Measure((part,), _poisson_mean, has_data=has_bins)
