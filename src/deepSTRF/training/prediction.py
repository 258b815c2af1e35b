"""The prediction of a batch, by any model: stateless, stateful, or chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepSTRF.lazy import LazyDict, Pending
from deepSTRF.metrics.batches import carries_statistics, powers_of_stimuli
from deepSTRF.metrics.blocks import average_repeats
from deepSTRF.training.arguments import check_batch, check_prediction

__all__ = ["check_front_end", "detach_state", "on_device", "predict_batch", "with_averages"]


def on_device(batch: Mapping[str, Any], device: torch.device) -> LazyDict:
    """The batch with tensors on a device, where each goes when it is asked for.

    A batch that was not collated by :func:`~deepSTRF.utils.neural_collate` is given a PSTH and statistics too.

    Raises
    ------
    TypeError, ValueError
        If it is not a dict of stimuli and responses.

    Examples
    --------
    >>> on_device({"stims": torch.zeros(1, 1, 3, 2), "responses": torch.ones(1, 1, 5, 2)}, torch.device("cpu"))["psth"]
    tensor([[[[1., 1.]]]])
    """
    check_batch(batch)
    moved = LazyDict(batch).mapped(lambda value: _moved(value, device))
    return moved if carries_statistics(batch) else with_averages(moved)


def with_averages(batch: LazyDict) -> LazyDict:
    """Give a batch the PSTH and the statistics of its responses.

    Examples
    --------
    >>> with_averages(LazyDict({"responses": torch.ones(1, 1, 5, 2)}))["psth"]
    tensor([[[[1., 1.]]]])
    """
    return batch.replaced(
        {
            "responses": Pending(lambda: batch["responses"]),
            "psth": Pending(lambda: average_repeats(batch["responses"])),
            "statistics": Pending(lambda: powers_of_stimuli(batch["responses"])),
        }
    )


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def predict_batch(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """Predict a batch that is on the device of the model.

    A batch with a key ``onset`` holds chunks of long recordings: the model goes on from its state, unless they begin.
    In eval mode and without gradients, long movies are predicted in pieces.

    Raises
    ------
    TypeError
        If batch or predictions have the wrong type, or the model cannot predict chunk by chunk.
    ValueError
        If the batch is incomplete, or of other sounds than the model's front end is for, or the predictions don't match
        its responses.
    """
    check_front_end(model, batch)
    stims, target = check_batch(batch)
    forward_chunk: Any = getattr(model, "forward_chunk", None)
    if "onset" not in batch:
        pred = _predict_whole(model, stims)
    elif forward_chunk is not None:
        from deepSTRF.models.layers.normalization import (
            padding_known,
        )  # here, as importing the Fitter should cost little

        with padding_known(model, batch.get("in_stimulus") if model.training else None):
            pred = forward_chunk(stims, onset=batch["onset"])
    else:
        raise TypeError(
            f"the batches are chunks of long recordings, but {type(model).__name__} has no method "
            "forward_chunk(stims, *, onset) that carries its state over; a NeuralModel has"
        )
    of_members = hasattr(model, "n_members") and pred.ndim == 5
    check_prediction(pred[0] if of_members else pred, target)
    return pred


def _predict_whole(model: nn.Module, stims: Tensor) -> Tensor:
    if model.training or torch.is_grad_enabled() or stims.ndim < 5:
        return model(stims)
    from deepSTRF.models.bin_by_bin import predict_in_pieces  # here, as importing the Fitter should cost little

    return predict_in_pieces(model, stims)


def check_front_end(model: nn.Module, batch: Any) -> None:
    """Raise ValueError if a :class:`~deepSTRF.models.NeuralModel` has a front end that is for other sounds."""
    check = getattr(model, "check_batch", None)
    if check is not None and isinstance(batch, Mapping):
        check(batch)


def detach_state(model: nn.Module) -> None:
    """Call ``model.detach()`` where it exists, so that a stateful model cannot back-propagate into the past."""
    detach = getattr(model, "detach", None)
    if detach is not None:
        detach()
