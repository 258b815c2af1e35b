"""A trained core that reads out another population."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from deepSTRF.checks import check_integer, describe_type
from deepSTRF.models.neural_model import NeuralModel
from deepSTRF.models.saving.rebuildable import Rebuildable

__all__ = ["transfer"]

M = TypeVar("M", bound=NeuralModel)

# What the parts of this library call the number of neurons.
_SIZES = ("num_features", "out_neurons", "C_out")


def transfer(model: M, out_neurons: int, *, freeze: bool = True, **arguments: Any) -> M:
    """Take the core of a trained model over to another population: a copy of it, and a new readout.

    What a core has learned from many neurons describes others too, so that a new recording needs data for the readout
    alone [1]_. With a frozen core, a linear readout is a *linear probe* of what the core represents [2]_.

    Parameters
    ----------
    model : NeuralModel
        The trained model; it is left as it is. All of it that is not under ``readout`` is copied, bit by bit.
    out_neurons : int
        Number of neurons of the new population.
    freeze : bool
        Whether the copied core stays as it is while the readout trains, as after
        :meth:`~deepSTRF.models.freezing.FreezableModel.freeze`. With ``new.unfreeze()`` all of it can train later
        (fine-tuning).
    **arguments
        Arguments of the constructor that shall differ, for instance ``output_activation``.

    Returns
    -------
    NeuralModel
        Of the class, with the options, on the device and in the precision of `model`; in train mode. Its readout is
        initialised from torch's global generator.

    Raises
    ------
    TypeError
        If `model` is not a NeuralModel.
    ValueError
        If nothing of `model` is outside its readout, if the core was changed after construction, or if an argument
        cannot be made again for another number of neurons; the message says which one to pass.

    References
    ----------
    .. [1] Pennington & David (2023), A convolutional neural network provides a generalizable model of natural sound
       coding by neural populations in auditory cortex, https://doi.org/10.1371/journal.pcbi.1011110
    .. [2] Alain & Bengio (2016), Understanding intermediate layers using linear classifier probes,
       https://arxiv.org/abs/1610.01644

    Examples
    --------
    >>> from deepSTRF.models.audio import StateNet
    >>> trained = StateNet(n_frequency_bands=34, out_neurons=119)
    >>> new = transfer(trained, out_neurons=12)
    >>> new.O, new.count_trainable_params()  # 12 x (70 weights, bias, 2 of the activation)
    (12, 876)
    """
    if not isinstance(model, NeuralModel):
        raise TypeError(f"model must be a NeuralModel, got {describe_type(model)}")
    out_neurons = check_integer("out_neurons", out_neurons)
    core = _core_state(model)
    if not core:
        raise ValueError(f"there is nothing to transfer: all tensors of this {type(model).__name__} are in its readout")
    kwargs = _arguments_for(model, out_neurons, arguments)
    new = type(model)(**kwargs)
    _check_same_core(model, new)
    _check_per_neuron(model, new)
    reference = next((tensor for tensor in core.values() if tensor.is_floating_point()), None)
    if reference is not None:
        new.to(reference)
    try:
        problems = new.load_state_dict(core, strict=False, assign=True)  # assign: every tensor keeps its precision
    except RuntimeError as error:
        raise ValueError(f"the core does not fit into a {type(model).__name__} of {out_neurons}: {error}") from error
    missing = sorted(set(problems.missing_keys) & _core_state(new).keys())
    if missing or problems.unexpected_keys:
        raise ValueError(
            f"the core does not fit into a {type(model).__name__} of {out_neurons} neurons: the new one has {missing} "
            f"more, and lacks {problems.unexpected_keys}. Was the core changed after construction?"
        )
    if freeze:
        new.freeze()
    return new


def _core_state(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the tensors of a model that are not in its readout."""
    readout = {id(tensor) for tensor in model.get_submodule("readout").state_dict(keep_vars=True).values()}
    tensors = model.state_dict(keep_vars=True)
    return {name: tensor.detach().clone() for name, tensor in tensors.items() if id(tensor) not in readout}


def _arguments_for(model: NeuralModel, out_neurons: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of the constructor, for another number of neurons."""
    cls = type(model).__name__
    if "out_neurons" not in model._init_kwargs:
        raise ValueError(f"{cls} cannot read out another population: its constructor has no argument out_neurons")
    if "out_neurons" in given:
        raise ValueError(f"out_neurons is given twice: {out_neurons} and {given['out_neurons']}")
    for name, kind in model._init_unsaved.items():
        if name not in given:
            raise ValueError(f"the argument {name} ({kind}) of this {cls} was not recorded: pass it as {name}=...")
    arguments = {**model._init_kwargs, "out_neurons": out_neurons}
    readout = set(model.readout.modules())
    for name, module in model._init_modules.items():
        if name in given:
            continue
        arguments[name] = (
            _make_again(module, f"{name}=", model.O, out_neurons) if module in readout else copy.deepcopy(module)
        )
    return {**arguments, **given}


def _make_again(module: nn.Module, argument: str, old: int, new: int) -> nn.Module:
    """Make a part of the readout again with fresh initial values, for `new` neurons where it was for `old`."""
    if not (any(True for _ in module.parameters()) or any(True for _ in module.buffers())):
        return copy.deepcopy(module)
    if not isinstance(module, Rebuildable) or module._init_unsaved:
        raise ValueError(
            f"cannot make the {type(module).__name__} of the readout again for {new} neurons: pass a new one "
            f"as {argument}..."
        )
    kwargs = {name: new if name in _SIZES and value == old else value for name, value in module._init_kwargs.items()}
    modules = {name: _make_again(part, argument, old, new) for name, part in module._init_modules.items()}
    return type(module)(**kwargs, **modules)


def _check_same_core(model: NeuralModel, new: NeuralModel) -> None:
    old_parts, new_parts = dict(model.named_children()), dict(new.named_children())
    for name in {**old_parts, **new_parts}:
        parts = old_parts.get(name), new_parts.get(name)
        if name != "readout" and parts[0] is not model.readout and repr(parts[0]) != repr(parts[1]):
            raise ValueError(
                f"cannot transfer this {type(model).__name__}: another {name} is made from its arguments and "
                "those given here. A core that was changed after construction cannot be made again.\n"
                f"The model:\n{parts[0]}\nThe new one:\n{parts[1]}"
            )


def _check_per_neuron(model: NeuralModel, new: NeuralModel) -> None:
    """Raise a ValueError if a part of the new readout is still for the old number of neurons."""
    named: dict[str, int] = getattr(new.readout, "per_neuron_tensors", dict)()
    tensors = new.readout.state_dict()
    for name, axis in named.items():
        if tensors[name].shape[axis] not in (1, new.O):
            raise ValueError(
                f"the readout's {name} is still for {tensors[name].shape[axis]} neurons, not {new.O}: pass the "
                f"argument that it comes from, one of {sorted(model._init_modules)}"
            )
