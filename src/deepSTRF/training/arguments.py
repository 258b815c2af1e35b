"""Checks of the Fitter's arguments before work starts, and of what loaders, models and losses give it later.

None of them waits for a number from the device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from deepSTRF.checks import describe_type
from deepSTRF.metrics.batches import carries_statistics
from deepSTRF.training.adamw import AdamW

__all__ = [
    "check_batch",
    "check_function",
    "check_loader",
    "check_loss",
    "check_metrics",
    "check_model",
    "check_prediction",
    "make_optimizer",
    "make_scheduler",
]

_DEFAULT_OPTIMIZER = functools.partial(AdamW, lr=1e-3, weight_decay=1e-4)
_COLLATE = "deepSTRF.utils.neural_collate makes it: DataLoader(..., collate_fn=neural_collate)"


# ---------------------------------------------------------------------- before work starts


def check_model(model: Any) -> nn.Module:
    """Return a model that can be trained.

    Raises
    ------
    TypeError
        If it is not a module.
    ValueError
        If it is on the meta device.
    """
    if not isinstance(model, nn.Module):
        make = "; make an instance of it" if isinstance(model, type) else ""
        raise TypeError(f"model must be a torch.nn.Module, got {describe_type(model)}{make}")
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise ValueError("the model is on the meta device, which holds no numbers; make it on the cpu")
    return model


def check_function(name: str, function: Any, signature: str) -> Any:
    """Return `function`; raises TypeError if it cannot be called.

    Examples
    --------
    >>> check_function("log_fn", print, "(epoch_dict)") is print
    True
    """
    if not callable(function):
        raise TypeError(f"{name} must be a function {signature}, got {describe_type(function)}")
    return function


def check_metrics(metrics: Any) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return metrics as a dict.

    Raises
    ------
    TypeError
        If they are not a dict of names and functions.
    ValueError
        If one is called ``loss``.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"val_metrics must be a dict such as {{'cc': corrcoef}}, got {describe_type(metrics)}")
    for name, metric in metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"the names of val_metrics must be strings, got {describe_type(name)}: {name!r}")
        check_function(f"val_metrics[{name!r}]", metric, "(pred, responses) -> (N,) or scalar")
    if "loss" in metrics:
        raise ValueError("a metric cannot be called 'loss': it would hide the loss in the epoch dict; rename it")
    return dict(metrics)


def make_optimizer(optimizer: Any, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer, made of the model's trainable parameters if a function (or nothing) is given.

    Raises
    ------
    TypeError
        If it is neither an optimizer nor a function that makes one.
    ValueError
        If the model has no trainable parameters, or the optimizer none of them.

    Examples
    --------
    >>> make_optimizer(None, nn.Linear(2, 1)).defaults["lr"]
    0.001
    """
    trainable = {id(parameter): parameter for parameter in model.parameters() if parameter.requires_grad}
    optimizer = _DEFAULT_OPTIMIZER if optimizer is None else optimizer
    if not trainable and not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"nothing would be trained: the model {type(model).__name__} has no trainable parameters")
    hint = "or a function of the parameters, such as functools.partial(torch.optim.AdamW, lr=1e-3)"
    made: torch.optim.Optimizer = _make(
        "optimizer", optimizer, list(trainable.values()), torch.optim.Optimizer, "a torch.optim.Optimizer", hint
    )
    if not any(id(parameter) in trainable for group in made.param_groups for parameter in group["params"]):
        raise ValueError(
            "the optimizer has none of the model's trainable parameters; make it from them: "
            "optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3)"
        )
    return made


def make_scheduler(scheduler: Any, optimizer: torch.optim.Optimizer, mode: str) -> LRScheduler | None:
    """Return the scheduler, made of `optimizer` if a function is given.

    Raises
    ------
    TypeError
        If it is neither a scheduler nor a function that makes one.
    ValueError
        If it belongs to another optimizer, or is a ``ReduceLROnPlateau`` of another mode.

    Examples
    --------
    >>> optimizer = make_optimizer(None, nn.Linear(2, 1))
    >>> make_scheduler(functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9), optimizer, "max").gamma
    0.9
    """
    if scheduler is None:
        return None
    hint = "or a function of the optimizer"
    made = _make("scheduler", scheduler, optimizer, LRScheduler, "one of torch.optim.lr_scheduler", hint)
    if made.optimizer is not optimizer:
        raise ValueError(
            "the scheduler belongs to another optimizer than the Fitter's; give optimizer= together with it"
        )
    if isinstance(made, ReduceLROnPlateau) and made.mode != mode:
        raise ValueError(
            f"ReduceLROnPlateau has mode {made.mode!r}, but the monitor has mode {mode!r}; give both the same"
        )
    return made


def _make(name: str, given: Any, ingredient: Any, kind: type, expected: str, hint: str) -> Any:
    """Return what is given, or what it makes of `ingredient` if it is a function."""
    if isinstance(given, kind):
        return given
    if not callable(given):
        raise TypeError(f"{name} must be {expected} {hint}; got {given!r}")
    made = given(ingredient)
    if not isinstance(made, kind):
        raise TypeError(f"the function {name}={given!r} must return {expected}, got {made!r}")
    return made


def check_loader(name: str, loader: Any, n_passes: int) -> None:
    """Check that a loader can be iterated `n_passes` times.

    Raises
    ------
    TypeError
        If it cannot be iterated.
    ValueError
        If it is empty, or an iterator that is used up after one pass.
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


# ---------------------------------------------------------------------- at every batch


def check_batch(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the stimuli of a batch and what its predictions are compared with: the PSTH that it carries, or responses.

    Raises
    ------
    TypeError
        If it is not a dict of tensors.
    ValueError
        If one of the two is missing, or the responses don't have the shape ``(B, N, R, T)``.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"a batch must be a dict with 'stims' and 'responses', got {describe_type(batch)}; {_COLLATE}")
    found: list[Tensor] = []
    for name in ("stims", "psth" if carries_statistics(batch) else "responses"):
        if name not in batch:
            raise ValueError(f"a batch needs {name!r}, but has {sorted(map(str, batch))}; {_COLLATE}")
        found.append(batch[name])
        if not isinstance(found[-1], Tensor):
            raise TypeError(f"{name} of a batch must be a tensor, got {describe_type(found[-1])}; {_COLLATE}")
    stims, target = found
    if target.ndim != 4:
        raise ValueError(f"responses of a batch must have the shape (B, N, R, T), got {tuple(target.shape)}")
    return stims, target


def check_prediction(pred: Any, target: Tensor) -> None:
    """Check that a prediction belongs to responses ``(B, N, R, T)``, or to their PSTH.

    Raises
    ------
    TypeError
        If it is not a tensor.
    ValueError
        If its shape is not ``(B, N, 1, T)``.
    """
    batch, neurons, _, bins = target.shape
    expected = (batch, neurons, 1, bins)
    if not isinstance(pred, Tensor):
        raise TypeError(
            f"the model must return its predictions as a tensor (B, N, 1, T) = {expected}, got {describe_type(pred)}"
        )
    if pred.shape != expected:
        raise ValueError(
            f"the model predicts {tuple(pred.shape)} where the responses (B, N, R, T) need {expected}; build it with "
            f"out_neurons={neurons} and one output per response bin"
        )


def check_loss(loss: Any) -> None:
    """Check that gradients can be computed from a training loss.

    Raises
    ------
    TypeError
        If it is not a tensor, or not real.
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
            ".detach(), torch.no_grad() and NumPy between the model and the loss, and for a frozen model"
        )
