"""The contract of models, as a suite of checks for any of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import nn

from deepSTRF.models import NeuralModel
from deepSTRF.testing import model_predictions, model_training
from deepSTRF.testing.errors import ContractError, contract_errors, require
from deepSTRF.testing.model_case import Case, MakeStimulus, default_stimulus, same_state

__all__ = ["check_model"]


def check_model(
    model: NeuralModel | Callable[[], NeuralModel],
    *,
    make_stimulus: MakeStimulus | None = None,
    seed: int = 0,
) -> None:
    """Check that a model keeps the contract of :class:`~deepSTRF.models.NeuralModel`.

    Shapes at any length and batch size, bitwise causality, independence of the stimuli of a batch, gradients, neurons
    without data, per-neuron tensors, initialisation from a seed, saving, float64, and that nothing is changed on the
    way. A model that is passed is copied first; the global random state is left as found.

    Parameters
    ----------
    model : NeuralModel or callable
        A model, or a function without arguments that makes one: with it, the initialisation is checked too.
    make_stimulus : callable, optional
        ``(batch_size, n_bins) -> stimuli``, time last, a whole number of samples per bin, drawn from torch's global
        generator. By default normal: spectrograms ``(B, 1, model.F, n_bins)``, or movies
        ``(B, model.C_in, model.H, model.W, n_bins)``.
    seed : int
        Seed of everything that is drawn.

    Raises
    ------
    ContractError
        If `model` is something else, or at the first part of the contract that does not hold; an AssertionError.

    Examples
    --------
    >>> from deepSTRF.models.audio import Linear
    >>> check_model(lambda: Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3))
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a load that differs in class name and such is judged by its result
        torch.manual_seed(seed)
        if isinstance(model, nn.Module) and not isinstance(model, NeuralModel):
            raise ContractError(f"expected a NeuralModel or a function that makes one, got {type(model).__name__}")
        subject = copy.deepcopy(model) if isinstance(model, NeuralModel) else model()
        name = type(subject).__name__
        _check_interface(subject)
        if not isinstance(model, NeuralModel):
            _check_initialisation(model, seed)
        stimulus = make_stimulus or default_stimulus(subject)
        with contract_errors(f"{name} fails on stimuli of 20 bins"):
            subject(stimulus(2, 20))
        case = Case(subject.eval(), stimulus)
        for where, check in _CHECKS.items():
            with contract_errors(f"{name} fails {where}"):
                check(Case(copy.deepcopy(case.model), case.stimulus))


def _check_interface(model: object) -> None:
    require(isinstance(model, NeuralModel), f"expected a NeuralModel, got {type(model).__name__}")
    for name in ("validate", "detach", "count_trainable_params"):
        require(callable(getattr(model, name, None)), f"{type(model).__name__}.{name} must be a method")
    try:
        model.validate()  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ContractError(f"validate() fails on a model that was just made: {error}") from error
    expected = sum(p.numel() for p in model.parameters() if p.requires_grad)  # type: ignore[attr-defined]
    got = model.count_trainable_params()  # type: ignore[attr-defined]
    require(got == expected, f"count_trainable_params() must be {expected}, got {got}")


def _check_initialisation(factory: Callable[[], NeuralModel], seed: int) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(seed)
        states.append(factory().state_dict())
    require(same_state(*states), "two models made from the same seed must have the same state_dict")


_CHECKS: dict[str, Callable[[Case], None]] = {
    "on stimuli of other lengths": model_predictions.check_shapes,
    "on stimuli with another future": model_predictions.check_causality,
    "in other batches": model_predictions.check_batch_independence,
    "in the gradient with respect to the stimulus": model_predictions.check_jacobian,
    "bin by bin": model_predictions.check_stream,
    "on zero-padded stimuli": model_predictions.check_zero_padding,
    "in float64": model_predictions.check_float64,
    "in the backward pass": model_training.check_gradients,
    "when its per-neuron tensors are changed": model_training.check_per_neuron_tensors,
    "with missing data": model_training.check_missing_data,
    "in a second backward pass after detach()": model_training.check_detach,
    "to load a state_dict": model_training.check_state_dict,
    "to be saved and loaded": model_training.check_saving,
    "in STRF_gradmap": model_training.check_gradmap,
}
