"""The dict of an epoch: its default metrics, its loss, and its values as one number or one line."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from deepSTRF.checks import counted
from deepSTRF.metrics import corrcoef, normalized_corrcoef
from deepSTRF.metrics.running import as_score
from deepSTRF.training.errors import NonFiniteLossError, UnknownMonitorError

__all__ = [
    "Epoch",
    "default_val_metrics",
    "format_epoch",
    "is_better",
    "is_improvement",
    "lost_neurons",
    "mean_loss",
    "monitored_value",
    "print_epoch",
    "to_scalar",
    "undefined_neurons",
    "warn_of_lost_neurons",
    "warn_of_undefined",
]

Epoch = dict[str, Any]


def default_val_metrics() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Correlation with the PSTH and its noise-corrected form, one value per neuron."""
    return {
        "cc": functools.partial(corrcoef, reduction="none"),
        "cc_norm": functools.partial(normalized_corrcoef, method="schoppe", reduction="none"),
    }


def undefined_neurons(pred: Tensor) -> list[int]:
    """Neurons whose prediction ``(B, N, 1, T)`` is NaN or infinite anywhere.

    Examples
    --------
    >>> undefined_neurons(torch.tensor([1.0, math.nan, math.inf]).reshape(1, 3, 1, 1))
    [1, 2]
    """
    return (~pred.detach().isfinite()).transpose(0, 1).flatten(1).any(1).nonzero().flatten().tolist()


def mean_loss(losses: Sequence[Tensor], epoch: int, undefined: Sequence[int] = ()) -> float:
    """Mean of the batch losses of an epoch; they come to the CPU here, once per epoch.

    The neurons `undefined`, whose prediction was NaN or infinite in the first bad batch, are named in the error.

    Raises
    ------
    ValueError
        If there is none.
    NonFiniteLossError
        If one is NaN or infinite.
    """
    if not losses:
        raise ValueError("train_loader gave no batch in this epoch. Does the data set's selection match any stimulus?")
    values = torch.stack(list(losses)).cpu().double()
    finite = values.isfinite()
    if not finite.all():
        batch = int((~finite).nonzero()[0])
        named = ", ".join(map(str, undefined[:10])) + (", ..." if len(undefined) > 10 else "")
        why = f": the prediction is NaN or infinite for neuron {named}" if undefined else ""
        raise NonFiniteLossError(
            f"the training loss is {values[batch]:g} in epoch {epoch}, batch {batch} of {len(losses)}{why}. Lower the "
            "learning rate, and look for infinite values in the data and for batches in which every response is missing"
        )
    return float(values.mean())


def monitored_value(epoch_dict: Mapping[str, Any], monitor: str) -> Tensor | float:
    """Return the entry `monitor` of an epoch dict, on the CPU.

    Raises
    ------
    UnknownMonitorError
        If there is no such entry; the message lists those there are.
    TypeError
        If it is neither a number nor a tensor.
    """
    if monitor not in epoch_dict:
        raise UnknownMonitorError(f"monitor {monitor!r} is not in the epoch dict, whose keys are {sorted(epoch_dict)}")
    return as_score(f"monitor {monitor!r}", epoch_dict[monitor])


def is_better(value: Tensor | float, than: Tensor | float, mode: str) -> Tensor:
    """Compare scores, one or one per neuron: only a strict improvement is better, any number is better than NaN.

    Examples
    --------
    >>> is_better(torch.tensor([0.5, 0.5, math.nan]), torch.tensor([0.25, math.nan, math.nan]), "max")
    tensor([ True,  True, False])
    """
    value, than = torch.as_tensor(value, dtype=torch.float64), torch.as_tensor(than, dtype=torch.float64)
    ahead = value > than if mode == "max" else value < than
    return ahead | (than.isnan() & ~value.isnan())


def is_improvement(value: Tensor | float, best: Tensor | float, mode: str) -> bool:
    """Whether an epoch's monitor is a strict improvement on that of the best epoch so far.

    They are compared by their means over the neurons for which the best is defined. If one of these is undefined now,
    it is no improvement: a mean over fewer neurons may be higher only because a poor one is gone.

    Examples
    --------
    >>> best = torch.tensor([0.9, 0.1])
    >>> [is_improvement(torch.tensor(row), best, "max") for row in ([0.8, math.nan], [0.9, 0.2])]
    [False, True]
    """
    value, best = (torch.as_tensor(each, dtype=torch.float64) for each in (value, best))
    if value.shape == best.shape and not best.isnan().all():  # otherwise nothing is best yet, or it is one number
        value, best = value[~best.isnan()].mean(), best[~best.isnan()].mean()  # NaN with a neuron that is lost
    return bool(is_better(to_scalar(value), to_scalar(best), mode))


def lost_neurons(value: Tensor | float, best: Tensor | float) -> list[int]:
    """Return the neurons for which the monitor was defined in the best epoch, and is not now.

    Examples
    --------
    >>> lost_neurons(torch.tensor([0.8, math.nan]), torch.tensor([0.9, 0.1]))
    [1]
    """
    value, best = torch.as_tensor(value), torch.as_tensor(best)
    if value.shape != best.shape or value.ndim != 1:
        return []
    return (value.isnan() & ~best.isnan()).nonzero().flatten().tolist()


def warn_of_undefined(value: Tensor | float, monitor: str, epoch: int) -> None:
    """Warn that the monitor is undefined in an epoch, and say for how many neurons."""
    values = torch.as_tensor(value)
    warnings.warn(
        f"epoch {epoch}: {monitor} is undefined for {int(values.isnan().sum())} of {values.numel()}; it counts as no "
        "improvement. Check that the validation stimuli have responses, with repeats if the metric needs them, and "
        "that the predictions are not constant",
        stacklevel=4,
    )


def warn_of_lost_neurons(lost: Sequence[int], monitor: str, epoch: int) -> None:
    """Warn that the monitor became undefined for some neurons, and name them."""
    names = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
    neurons = counted(len(lost), "neuron")
    warnings.warn(
        f"epoch {epoch}: {monitor} is undefined for {neurons} for which it was defined in the best epoch "
        f"({names}), so this and every later epoch like it counts as no improvement. Predictions that became constant "
        "are the usual reason: try a lower learning rate, or another output activation",
        stacklevel=4,
    )


def to_scalar(value: Tensor | float) -> float:
    """Mean over the defined entries as a float; NaN where there is none.

    Examples
    --------
    >>> to_scalar(torch.tensor([1.0, math.nan, 3.0]))
    2.0
    """
    if not isinstance(value, Tensor):
        return float(value)
    return float(value.detach().double().nanmean()) if value.numel() else math.nan


def format_epoch(epoch_dict: Mapping[str, Any]) -> str:
    """One line, with per-neuron values as their mean.

    Examples
    --------
    >>> format_epoch({"epoch": 3, "train_loss": 0.1234, "val_cc": torch.tensor([0.25, 0.75])})
    'epoch 0003 | train_loss=0.1234 | val_cc=0.5000'
    """
    fields = [f"epoch {int(epoch_dict.get('epoch', 0)):04d}"]
    for name, value in epoch_dict.items():
        if name != "epoch":
            number = isinstance(value, (int, float, Tensor))
            fields.append(f"{name}={to_scalar(value):.4f}" if number else f"{name}={value}")
    return " | ".join(fields)


def print_epoch(epoch_dict: Epoch) -> None:
    """Print the line of an epoch, the default `log_fn` of a Fitter."""
    print(format_epoch(epoch_dict), flush=True)
