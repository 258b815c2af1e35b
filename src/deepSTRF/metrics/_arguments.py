"""What every metric checks before it computes, and the reduction over neurons that every metric ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from deepSTRF.checks import describe_type

# Types of the arguments and the value of every metric.
Pred: TypeAlias = Num[Tensor, "B N 1 T"]
Responses: TypeAlias = Num[Tensor, "B N R T"]
Recorded: TypeAlias = Num[Tensor, "B N R T"] | Mapping[str, Any]  # or a batch that holds them
Mask: TypeAlias = Bool[Tensor, "..."]
Score: TypeAlias = Float[Tensor, "..."]  # (N,), or a scalar after a reduction

REDUCTIONS = ("none", "mean", "sum")


def check_real(name: str, values: object) -> None:
    """Raise TypeError unless ``values`` is a dense tensor of real numbers; bool tensors are masks, not data."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {describe_type(values)}: convert it with torch.as_tensor")
    if values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must hold real numbers, as float32, got {values.dtype}")
    if values.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got {values.layout}: convert it with .to_dense()")


def check_same_device(name: str, values: Tensor, other_name: str, other: Tensor) -> None:
    """Raise ValueError unless two tensors lie on the same device."""
    if values.device != other.device:
        raise ValueError(
            f"{name} is on {values.device} and {other_name} on {other.device}; move one with .to({str(other.device)!r})"
        )


def check_responses(responses: Tensor, mask: Tensor | None, name: str = "responses") -> Tensor | None:
    """Check a ``(B, N, R, T)`` tensor and its mask; return the mask expanded to it.

    Raises
    ------
    TypeError
        If ``responses`` is not a tensor of real numbers or ``mask`` is not a bool tensor.
    ValueError
        If ``responses`` has not four axes, or ``mask`` cannot be broadcast to it or is on another device.
    """
    check_real(name, responses)
    if responses.ndim != 4:
        raise ValueError(f"{name} must have the shape (B, N, R, T), got {tuple(responses.shape)}")
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, Tensor) else describe_type(mask)
        raise TypeError(f"mask must be a bool tensor, True where data count, got {got}")
    check_same_device("mask", mask, name, responses)
    try:
        return mask.expand(responses.shape)
    except RuntimeError as error:
        raise ValueError(
            f"mask must be broadcastable to {name} {tuple(responses.shape)}, got the shape {tuple(mask.shape)}"
        ) from error


def check_pair(pred: Tensor, responses: Tensor, mask: Tensor | None, name: str = "ground_truth") -> Tensor | None:
    """Check that ``pred`` is ``(B, N, 1, T)`` beside ``(B, N, R, T)`` responses; return the expanded mask."""
    check_real("pred", pred)
    if pred.ndim != 4:
        raise ValueError(f"pred must have the shape (B, N, 1, T), got {tuple(pred.shape)}")
    mask = check_responses(responses, mask, name)
    if pred.shape[2] != 1:
        raise ValueError(
            f"the R-axis of pred must have length 1, shape (B, N, 1, T): a model predicts one rate for all "
            f"repeats, got {tuple(pred.shape)}"
        )
    batch, neurons, _, bins = responses.shape
    if (pred.shape[0], pred.shape[1], pred.shape[3]) != (batch, neurons, bins):
        raise ValueError(
            f"shape mismatch: pred {tuple(pred.shape)} must be {(batch, neurons, 1, bins)} to go with "
            f"{name} {tuple(responses.shape)}"
        )
    check_same_device("pred", pred, name, responses)
    return mask


def reduce_neurons(values: Tensor, reduction: str, counts: Tensor | None = None) -> Tensor:
    """Reduce ``(N,)`` values over the neurons that count; NaN if there is none.

    By default those count that are defined (not NaN). The bool tensor `counts` names them where a NaN among them must
    not be overlooked, as in a loss.
    """
    if reduction == "none":
        return values
    counts = values.isnan().logical_not() if counts is None else counts
    number = counts.sum()
    mean = torch.where(counts, values, 0.0).sum() / number  # 0 / 0 is NaN
    if reduction == "mean":
        return mean
    # mean × number rather than the sum: without a neuron that counts it is NaN, not 0
    return mean * number


def result_dtype(*tensors: Tensor) -> torch.dtype:
    """Dtype of the public result: that of the data, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        if tensor.is_floating_point():
            dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
