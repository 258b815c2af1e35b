"""What the Fitter is given: its arguments before work starts, and what loaders, models and losses hand it then.

All of it is looked at without a number leaving the device.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from torch import Tensor, nn

from deepSTRF.checks import describe_type

__all__ = [
    "check_arguments",
    "check_batch",
    "check_loader",
    "check_loss",
    "check_prediction",
]

_COLLATE = "deepSTRF.utils.neural_collate makes it: DataLoader(..., collate_fn=neural_collate)"


def check_arguments(
    *,
    model: Any,
    loss_fn: Any,
    val_metrics: Any,
    log_fn: Any,
    mode: Any,
    patience: Any,
    max_epochs: Any,
    max_grad_norm: Any,
    ckpt_path: Any,
    resume: Any,
) -> None:
    """Refuse arguments of a :class:`deepSTRF.training.Fitter` that would fail after hours, or mean nothing.

    Raises
    ------
    TypeError
        For a model, function or path that is none.
    ValueError
        For values out of range.
    """
    if not isinstance(model, nn.Module):
        make = "; make an instance of it" if isinstance(model, type) else ""
        raise TypeError(f"model must be a torch.nn.Module, got {describe_type(model)}{make}")
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise ValueError("the model is on the meta device, which holds no numbers; make it on the cpu")
    if mode not in ("max", "min"):
        raise ValueError(f"mode must be 'max' or 'min', got {mode!r}")
    for name, number in (("patience", patience), ("max_epochs", max_epochs)):
        if isinstance(number, bool) or not isinstance(number, numbers.Integral) or number < 1:
            raise ValueError(f"{name} must be a whole number of epochs, at least 1; got {number!r}")
    if max_grad_norm is not None and not (
        isinstance(max_grad_norm, numbers.Real) and 0 < float(max_grad_norm) < math.inf
    ):
        raise ValueError(f"max_grad_norm must be positive and finite, got {max_grad_norm!r}; leave it out to not clip")
    if ckpt_path is not None and not isinstance(ckpt_path, (str, os.PathLike)):
        raise TypeError(f"ckpt_path must be a path such as 'best.pt', got {describe_type(ckpt_path)}: {ckpt_path!r}")
    if resume and ckpt_path is None:
        raise ValueError("resume=True needs a ckpt_path: the state of the training is kept beside it")
    _check_functions(loss_fn, val_metrics, log_fn)


def _check_functions(loss_fn: Any, val_metrics: Any, log_fn: Any) -> None:
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be a function (pred, responses) -> scalar tensor, got {describe_type(loss_fn)}")
    if log_fn is not None and not callable(log_fn):
        raise TypeError(
            f"log_fn must be a function of the epoch dict, or None for silence; got {describe_type(log_fn)}"
        )
    if val_metrics is None:
        return
    if not isinstance(val_metrics, Mapping):
        raise TypeError(f"val_metrics must be a dict such as {{'cc': corrcoef}}, got {describe_type(val_metrics)}")
    for name, metric in val_metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"the names of val_metrics must be strings, got {describe_type(name)}: {name!r}")
        if not callable(metric):
            raise TypeError(
                f"val_metrics[{name!r}] must be a function (pred, responses) -> (N,) or scalar, "
                f"got {describe_type(metric)}"
            )
    if "loss" in val_metrics:
        raise ValueError("a metric cannot be called 'loss': it would hide the loss in the epoch dict; rename it")


def check_loader(name: str, loader: Any, n_passes: int) -> None:
    """Refuse a loader that gives no batch, or none after its first pass.

    Raises
    ------
    TypeError
        If it cannot be iterated.
    ValueError
        If it is empty, or an iterator that would be used up.
    """
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise TypeError(f"{name} must be a DataLoader or a list of batches, got {describe_type(loader)}")
    if isinstance(loader, Iterator) and n_passes > 1:
        raise ValueError(
            f"{name} is {describe_type(loader)}, which is used up after one epoch; give a DataLoader, a list of "
            "batches, or an object whose __iter__ starts again"
        )
    if isinstance(loader, Sized):
        try:
            length = len(loader)
        except TypeError:  # a DataLoader has a length only where its data set has one
            return
        if length == 0:
            raise ValueError(f"{name} is empty: it has no batch. Does the data set's selection match any stimulus?")


def check_batch(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the stimuli and the responses of a batch.

    Raises
    ------
    TypeError
        If it is no dict, or one of the two is no tensor.
    ValueError
        If one of them is missing, or the responses have not the shape ``(B, N, R, T)``.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"a batch must be a dict with 'stims' and 'responses', got {describe_type(batch)}; {_COLLATE}")
    for name in ("stims", "responses"):
        if name not in batch:
            raise ValueError(f"a batch needs {name!r}, but has {sorted(map(str, batch))}; {_COLLATE}")
        if not isinstance(batch[name], Tensor):
            raise TypeError(f"{name} of a batch must be a tensor, got {describe_type(batch[name])}; {_COLLATE}")
    stims, responses = batch["stims"], batch["responses"]
    if responses.ndim != 4:
        raise ValueError(f"responses of a batch must have the shape (B, N, R, T), got {tuple(responses.shape)}")
    return stims, responses


def check_prediction(pred: Any, responses: Tensor) -> None:
    """Refuse what does not belong to responses ``(B, N, R, T)``.

    Raises
    ------
    TypeError
        If the prediction is no tensor.
    ValueError
        If its shape is not ``(B, N, 1, T)``.
    """
    batch, neurons, _, bins = responses.shape
    expected = (batch, neurons, 1, bins)
    if not isinstance(pred, Tensor):
        raise TypeError(
            f"the model must return its predictions as a tensor (B, N, 1, T) = {expected}, got {describe_type(pred)}"
        )
    if pred.shape != expected:
        raise ValueError(
            f"the model predicts {tuple(pred.shape)} where the responses {tuple(responses.shape)} = (B, N, R, T) "
            f"need {expected}; build it with out_neurons={neurons} and one output per response bin"
        )


def check_loss(loss: Any) -> None:
    """Refuse a training loss from which no gradient comes.

    Raises
    ------
    TypeError
        If it is no tensor of a real number.
    ValueError
        If it is more than one number, or depends on no parameter.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"the training loss must be a tensor, got {describe_type(loss)}; leave out .item() and float()")
    if loss.ndim:
        raise ValueError(
            f"the training loss must be a single number, got shape {tuple(loss.shape)}; give the loss a reduction, "
            "such as functools.partial(mse_loss, reduction='mean')"
        )
    if loss.is_complex():
        raise TypeError(f"the training loss must be a real number, got {loss.dtype}")
    if not loss.requires_grad:
        raise ValueError(
            "the training loss depends on no parameter that requires a gradient, so nothing would be trained; look for "
            ".detach(), torch.no_grad() and NumPy between the model and the loss, and for a model that is frozen"
        )
