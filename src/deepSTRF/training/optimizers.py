"""Optimizers and schedulers as the Fitter takes them: ready, or as a function that makes one."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

__all__ = ["checked_optimizer", "checked_scheduler"]

DEFAULT = functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=1e-4)


def checked_optimizer(optimizer: Any, model: nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer where needed; refuse one that would leave the model as it is, without a word.

    Examples
    --------
    >>> checked_optimizer(None, nn.Linear(2, 1)).defaults["lr"]
    0.001
    """
    optimizer = DEFAULT if optimizer is None else optimizer
    own = {id(parameter): parameter for parameter in model.parameters() if parameter.requires_grad}
    if not isinstance(optimizer, torch.optim.Optimizer):
        if not callable(optimizer):
            raise TypeError(
                "optimizer must be a torch.optim.Optimizer or a function of the parameters, such as "
                f"functools.partial(torch.optim.AdamW, lr=1e-3); got {optimizer!r}"
            )
        if not own:
            raise ValueError(f"nothing would be trained: the model {type(model).__name__} has no parameters that train")
        made, optimizer = optimizer, optimizer(list(own.values()))
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"the function optimizer={made!r} must return a torch.optim.Optimizer, but gave {optimizer!r}"
            )
    if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError(
            "the optimizer holds none of the model's parameters that train, so nothing would be; make it from them: "
            "optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3)"
        )
    return optimizer


def checked_scheduler(scheduler: Any, optimizer: torch.optim.Optimizer, mode: str) -> Any:
    """Make the scheduler where needed; refuse one that moves another optimizer or looks the other way.

    Examples
    --------
    >>> optimizer = checked_optimizer(None, nn.Linear(2, 1))
    >>> checked_scheduler(functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9), optimizer, "max").gamma
    0.9
    """
    kinds = torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau
    if scheduler is None:
        return None
    if not isinstance(scheduler, kinds):
        if not callable(scheduler):
            raise TypeError(
                f"scheduler must be one of torch.optim.lr_scheduler or a function of the optimizer, got {scheduler!r}"
            )
        made, scheduler = scheduler, scheduler(optimizer)
        if not isinstance(scheduler, kinds):
            raise TypeError(
                f"the function scheduler={made!r} must return one of torch.optim.lr_scheduler, but gave {scheduler!r}"
            )
    if scheduler.optimizer is not optimizer:
        raise ValueError(
            "the scheduler belongs to another optimizer than the Fitter's; give optimizer= together with it"
        )
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) and scheduler.mode != mode:
        raise ValueError(
            f"ReduceLROnPlateau has mode {scheduler.mode!r}, but the monitor has mode {mode!r}; give both the same"
        )
    return scheduler
