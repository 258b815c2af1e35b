"""Checks of what a model needs to be trained and kept: gradients, missing data, single neurons, saving."""

from __future__ import annotations

import copy
import inspect
import tempfile

import torch

from deepSTRF.testing.errors import require
from deepSTRF.testing.model_case import Case, frame_shape, same_state


def check_gradients(case: Case) -> None:
    """Every trainable parameter receives a gradient that is not zero, in one of the modes at least.

    In train mode batch normalisation cancels offsets in front of it; in eval mode nothing is drawn, at any spread.
    """
    stims = case.stimulus(3, 4 * case.window + 13)
    reached, moved = set(), set()
    for mode in (False, True):
        case.model.train(mode).zero_grad(set_to_none=True)
        out = case.model(stims)
        (out * torch.randn_like(out)).sum().backward()
        for name, parameter in case.model.named_parameters():
            if parameter.grad is None:
                continue
            reached.add(name)
            require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")
            if bool(parameter.grad.any()):
                moved.add(name)
    for name, parameter in case.model.named_parameters():
        if parameter.requires_grad:
            require(name in reached, f"no gradient reaches the parameter {name}")
            require(name in moved, f"the gradient of {name} is zero everywhere")


def _per_neuron(case: Case) -> dict[str, int]:
    offer = getattr(case.model.readout, "per_neuron_tensors", None)
    return {} if offer is None else offer()


def check_per_neuron_tensors(case: Case) -> None:
    """Where the readout names the tensors of single neurons, changing one neuron's slice changes that neuron only."""
    state = case.model.readout.state_dict(keep_vars=True)
    named = _per_neuron(case)
    for name, axis in named.items():
        require(name in state, f"per_neuron_tensors() names {name!r}, which is not in the readout's state_dict")
        shape = tuple(state[name].shape)
        require(
            -len(shape) <= axis < len(shape) and shape[axis] == case.model.O,
            f"per_neuron_tensors() says that axis {axis} of {name} runs over the {case.model.O} neurons; its shape is "
            f"{shape}",
        )
    if not named or case.model.O < 2:
        return
    stims = case.stimulus(2, 20)
    before = case.predict(stims)
    with torch.no_grad():
        for name, axis in named.items():
            state[name].select(axis, 0).add_(0.1)
    after = case.predict(stims)
    require(torch.equal(before[:, 1:], after[:, 1:]), "the per-neuron tensors of neuron 0 change other neurons too")
    require(not torch.equal(before[:, 0], after[:, 0]), "the per-neuron tensors of neuron 0 do not change neuron 0")


def check_missing_data(case: Case) -> None:
    """Missing responses leave finite gradients, and a neuron without data keeps its own tensors."""
    stims = case.stimulus(3, 2 * case.window + 13)
    out = case.model.train()(stims)
    responses = torch.rand_like(out)
    responses[:, 0] = torch.nan
    responses[1, :, :, ::3] = torch.nan
    valid = ~responses.isnan()
    if not bool(valid.any()):  # a model of one neuron, which has no data
        return
    (out[valid] - responses[valid]).square().mean().backward()
    for name, parameter in case.model.named_parameters():
        if parameter.grad is not None:
            require(bool(parameter.grad.isfinite().all()), f"with missing data the gradient of {name} is not finite")
    parameters = dict(case.model.readout.named_parameters())
    for name, axis in _per_neuron(case).items():
        gradient = parameters[name].grad if name in parameters else None
        require(
            gradient is None or not bool(gradient.select(axis, 0).any()),
            f"a neuron without data must not train, but {name} has a gradient for it",
        )


def check_detach(case: Case) -> None:
    """After detach() a second backward pass works, and the model predicts as before."""
    stims = case.stimulus(2, 20)
    expected = case.predict(stims)
    case.model.train()(stims).sum().backward()
    case.model.detach()
    case.model.train()(stims).sum().backward()  # would fail if a state still hung on the first graph
    case.model.detach()
    require(expected.shape == case.predict(stims).shape, "detach() must leave a model that predicts")


def check_state_dict(case: Case) -> None:
    """A state_dict carries everything that the prediction depends on."""
    stims = case.stimulus(2, 30)
    expected = case.predict(stims)
    other = copy.deepcopy(case.model)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            tensor.add_(1)
    other.load_state_dict(case.model.state_dict())
    with torch.no_grad():
        require(
            torch.equal(expected, other(stims)), "a state_dict must carry everything that the prediction depends on"
        )


def check_saving(case: Case) -> None:
    """A saved model reloads to identical outputs, or saving raises a ValueError."""
    stims = case.stimulus(2, 30)
    with tempfile.TemporaryDirectory() as folder:
        try:
            case.model.save_pretrained(folder)
        except ValueError:
            return
        again = type(case.model).from_pretrained(folder)
    with torch.no_grad():
        same = torch.equal(case.predict(stims), again.eval()(stims))
    require(
        same,
        "a reloaded model must predict the same to the last bit, or save_pretrained() must raise a ValueError",
    )


def check_gradmap(case: Case) -> None:
    """STRF_gradmap gives (N, *frame, T), and leaves mode, state and gradients as found."""
    gradmap = getattr(case.model, "STRF_gradmap", None)
    if gradmap is None:
        return
    require("T" in inspect.signature(gradmap).parameters, "STRF_gradmap must take the number of bins as T")
    case.model.train()
    case.model.readout.eval()
    modes = [module.training for module in case.model.modules()]
    state = copy.deepcopy(case.model.state_dict())
    for n_bins in (None, case.window + 3):
        shape = tuple(gradmap(T=n_bins).shape)
        length = shape[-1] if n_bins is None else n_bins
        expected = (case.model.O, *(frame_shape(case.model) or shape[1:-1]), length)
        require(shape == expected and length >= 1, f"STRF_gradmap(T={n_bins}): expected {expected}, got {shape}")
    require(modes == [module.training for module in case.model.modules()], "STRF_gradmap must leave the mode as found")
    require(same_state(state, case.model.state_dict()), "STRF_gradmap must leave the state as found")
    require(
        all(parameter.grad is None for parameter in case.model.parameters()),
        "STRF_gradmap must leave no gradients on the parameters",
    )
