"""Losses in units of a model's ``response_scale``, so that the units of a recording do not matter to training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from deepSTRF.metrics import poisson_loss
from deepSTRF.training.arguments import check_batch
from deepSTRF.training.prediction import check_front_end
from deepSTRF.training.seed import random_state, set_random_state

__all__ = ["batches_in_order", "calibrate_new_model", "check_first_batch", "in_units_of_scale"]


def in_units_of_scale(model: nn.Module, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Divide predictions and responses ``(B, N, R, T)`` by the model's ``response_scale``; as they are without one.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import Linear
    >>> model = Linear(n_frequency_bands=8, out_neurons=2)
    >>> model.set_response_scale(torch.tensor([0.5, 4.0]))
    >>> in_units_of_scale(model, torch.ones(1, 2, 1, 1))[0].flatten()
    tensor([2.0000, 0.2500])
    """
    scale = getattr(model, "response_scale", None)
    return tensors if scale is None else tuple(tensor / scale[:, None, None] for tensor in tensors)


def calibrate_new_model(model: nn.Module, loader: Iterable[Mapping[str, Any]], loss_fn: Any) -> None:
    """Calibrate a new :class:`~deepSTRF.models.NeuralModel` whose output is rectified.

    Where a rectifier meets responses of another size than its own, training can end at a constant; a model with a
    linear output finds the size by itself, and is calibrated only if its user does so. A model is new if it has no
    ``response_scale``, and predicts at least half of the neurons worse than their mean: one that was loaded or started
    from known weights stays as it is. So does every model whose loader is neither a list of batches nor a DataLoader,
    since going through it might change it. Random numbers are put back.

    Raises
    ------
    ValueError
        If the loss is a Poisson loss, and responses are negative.
    """
    from deepSTRF.models import NeuralModel  # here, because importing the Fitter should cost little
    from deepSTRF.models.output_stage import ResponseStatistics, explains_nothing

    is_poisson = getattr(loss_fn, "func", loss_fn) is poisson_loss
    if not isinstance(model, NeuralModel) or model.response_scale is not None:
        return
    rectifies = getattr(getattr(model.readout, "activation", None), "non_negative_output", False)
    batches = batches_in_order(loader)
    if batches is None or not (rectifies or is_poisson):
        return
    before = random_state([loader])
    try:
        for batch in batches:
            _, target = check_batch(batch)
            if target.shape[1] != model.O or not target.is_floating_point():
                return  # the first training step says what is wrong
        if is_poisson and ResponseStatistics(batches).signed:
            raise ValueError(
                "some training responses are negative, and a Poisson loss is for counts and rates: use mse_loss, and "
                "an output that can be negative, such as output_activation=torch.nn.Identity()"
            )
        if rectifies and explains_nothing(model, batches):
            model.calibrate(batches)
    finally:
        set_random_state(before, [loader])


def check_first_batch(model: nn.Module, loader: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError if a loader's sounds are not what the model's front end is for; random numbers are put back."""
    batches = batches_in_order(loader) if hasattr(getattr(model, "wav2spec", None), "hop") else None
    if batches is None:
        return
    before = random_state([loader])
    try:
        for batch in itertools.islice(batches, 1):
            check_front_end(model, batch)
    finally:
        set_random_state(before, [loader])


def batches_in_order(loader: Any) -> Iterable[Mapping[str, Any]] | None:
    """What a loader gives, in an order that can be gone through without changing the loader; None if there is none."""
    if isinstance(loader, Sequence):
        return loader
    if all(hasattr(getattr(loader, "dataset", None), name) for name in ("__len__", "__getitem__")):
        return _Items(loader.dataset, loader.collate_fn)
    return None


class _Items:
    """The stimuli of a data set as batches of one, in their own order, as often as asked."""

    def __init__(self, dataset: Any, collate: Any) -> None:
        self._dataset, self._collate = dataset, collate

    def __iter__(self) -> Iterator[Any]:
        return (self._collate([self._dataset[i]]) for i in range(len(self._dataset)))
