"""The prediction of a batch, by any model: stateless, stateful, or chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepSTRF.training.arguments import check_batch, check_prediction

__all__ = ["check_front_end", "detach_state", "predict_batch"]


def predict_batch(model: nn.Module, batch: Mapping[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Move a batch to the device; return the predictions and the responses.

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
    stims, responses = (tensor.to(device, non_blocking=True) for tensor in check_batch(batch))
    forward_chunk: Any = getattr(model, "forward_chunk", None)
    if "onset" not in batch:
        pred = _predict_whole(model, stims)
    elif forward_chunk is not None:
        from deepSTRF.models.layers.normalization import (
            padding_known,
        )  # here, as importing the Fitter should cost little

        valid = batch.get("in_stimulus") if model.training else None
        with padding_known(model, None if valid is None else valid.to(device)):
            pred = forward_chunk(stims, onset=batch["onset"])
    else:
        raise TypeError(
            f"the batches are chunks of long recordings, but {type(model).__name__} has no method "
            "forward_chunk(stims, *, onset) that carries its state over; a NeuralModel has"
        )
    check_prediction(pred, responses)
    return pred, responses


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
