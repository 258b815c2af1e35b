"""The contract of models, as a suite of checks for any of them."""

from __future__ import annotations

import copy
import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepSTRF.models import NeuralModel
from deepSTRF.models.bin_by_bin import NotStreamableError, State, map_state
from deepSTRF.testing.errors import ContractError

__all__ = ["check_model"]

MakeStimulus = Callable[[int, int], Tensor]


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
        If `model` is no such thing, or at the first part of the contract that does not hold; an AssertionError.

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
        _check_interface(subject)
        if not isinstance(model, NeuralModel):
            _check_initialisation(model, seed)
        stimulus = make_stimulus or _frames(subject)
        with _named_errors(subject, "on stimuli of 20 bins"):
            subject(stimulus(2, 20))
        case = _Case(subject.eval(), stimulus)
        for where, check in _CHECKS.items():
            with _named_errors(subject, where):
                check(_Case(copy.deepcopy(case.model), case.stimulus))


@dataclass(frozen=True)
class _Case:
    """A model in eval mode that a check may spoil, and how to make stimuli for it."""

    model: NeuralModel
    stimulus: MakeStimulus

    @property
    def window(self) -> int:
        return int(getattr(self.model, "T", 9))

    def predict(self, stims: Tensor) -> Tensor:
        with torch.no_grad():
            return self.model(stims)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ContractError(message)


@contextmanager
def _named_errors(model: nn.Module, where: str) -> Iterator[None]:
    """Turn an error inside the model into one that says what was tried."""
    try:
        yield
    except ContractError:
        raise
    except Exception as error:
        raise ContractError(f"{type(model).__name__} fails {where}: {type(error).__name__}: {error}") from error


def _frames(model: NeuralModel) -> MakeStimulus:
    frame = _frame_shape(model)
    if frame is None:
        raise ContractError(f"{type(model).__name__} has no attribute F, or H and W: pass make_stimulus to check_model")
    return lambda batch_size, n_bins: torch.randn(batch_size, *frame, n_bins)


def _frame_shape(model: Any) -> tuple[int, ...] | None:
    """Channels and sizes of what the model sees in one bin, as far as its attributes tell."""
    if hasattr(model, "F"):
        return 1, model.F
    if hasattr(model, "H") and hasattr(model, "W"):
        return getattr(model, "C_in", 1), model.H, model.W
    return None


def _check_interface(model: object) -> None:
    _require(isinstance(model, NeuralModel), f"expected a NeuralModel, got {type(model).__name__}")
    for name in ("validate", "detach", "count_trainable_params"):
        _require(callable(getattr(model, name, None)), f"{type(model).__name__}.{name} must be a method")
    try:
        model.validate()  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ContractError(f"validate() fails on a model that was just made: {error}") from error
    expected = sum(p.numel() for p in model.parameters() if p.requires_grad)  # type: ignore[attr-defined]
    got = model.count_trainable_params()  # type: ignore[attr-defined]
    _require(got == expected, f"count_trainable_params() must be {expected}, got {got}")


def _check_initialisation(factory: Callable[[], NeuralModel], seed: int) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(seed)
        states.append(factory().state_dict())
    _require(_same_state(*states), "two models made from the same seed must have the same state_dict")


def _same_state(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- output ----------------------------------------------------------------------------------------------------------


def _check_shapes(case: _Case) -> None:
    """(B, N, 1, T) for any batch size and length, and the same twice."""
    lengths = sorted({1, 2, max(1, case.window - 1), case.window, case.window + 1, 2 * case.window + 13})
    for batch_size in (1, 3):
        for n_bins in lengths:
            stims = case.stimulus(batch_size, n_bins)
            before = stims.clone()
            state = copy.deepcopy(case.model.state_dict())
            out = case.predict(stims)
            expected = (batch_size, case.model.O, 1, n_bins)
            _require(
                tuple(out.shape) == expected,
                f"expected (B, N, 1, T) = {expected} for {n_bins} bins, got {tuple(out.shape)}",
            )
            _require(bool(out.isfinite().all()), f"the prediction for {n_bins} bins has values that are not finite")
            _require(torch.equal(stims, before), "forward must not change the stimuli that it is given")
            _require(_same_state(state, case.model.state_dict()), "forward in eval mode must not change the model")
            _require(
                torch.equal(out, case.predict(stims)),
                "the same stimuli must give the same prediction in eval mode: a state is carried over, or drawn",
            )


def _check_causality(case: _Case) -> None:
    """With the same length and another future, the past is the same to the last bit."""
    n_bins = 2 * case.window + 13
    stims = case.stimulus(2, n_bins)
    samples_per_bin = stims.shape[-1] // n_bins
    out = case.predict(stims)
    for cut in sorted({1, case.window, n_bins // 2, n_bins - 1}):
        changed = stims.clone()
        future = changed[..., cut * samples_per_bin :]
        future.copy_(10 * torch.randn_like(future))
        past, past_after = out[..., :cut], case.predict(changed)[..., :cut]
        difference = float((past - past_after).abs().max())
        _require(
            torch.equal(past, past_after),
            f"not causal: changing the stimulus from bin {cut} on changes the prediction before, by {difference:.2g}",
        )
        shorter = case.predict(stims[..., : cut * samples_per_bin])
        difference = float((past - shorter).abs().max())
        _require(
            difference <= 1e-4 * float(1 + past.abs().max()),
            f"the prediction of the first {cut} bins depends on how long the stimulus is, by {difference:.2g}",
        )


def _check_jacobian(case: _Case) -> None:
    """The gradient of a prediction with respect to later bins is exactly zero, and not everywhere else."""
    n_bins = case.window + 7
    stims = case.stimulus(2, n_bins).requires_grad_()
    samples_per_bin = stims.shape[-1] // n_bins
    out = case.model(stims)
    for bin in (n_bins // 2, n_bins - 2):
        (gradient,) = torch.autograd.grad(out[..., bin].sum(), stims, retain_graph=True)
        past, future = gradient.tensor_split([(bin + 1) * samples_per_bin], -1)
        _require(not bool(future.any()), f"the prediction for bin {bin} has a gradient with respect to later bins")
        _require(bool(past.any()), f"the prediction for bin {bin} has no gradient with respect to the stimulus")


def _check_batch_independence(case: _Case) -> None:
    """In eval mode the stimuli of a batch do not see each other."""
    stims = case.stimulus(3, 20)
    changed = torch.cat([stims[:1], case.stimulus(2, 20)])
    _require(
        torch.equal(case.predict(stims)[0], case.predict(changed)[0]),
        "in eval mode the prediction for a stimulus must not depend on the others in the batch",
    )


def _check_stream(case: _Case) -> None:
    """Bin by bin and in pieces of any length the prediction is that of the whole, from a state that does not grow."""
    n_bins = 2 * case.window + 13
    stims = case.stimulus(2, n_bins)
    expected = case.predict(stims)
    samples_per_bin = stims.shape[-1] // n_bins
    for lengths in ((1,) * n_bins, (case.window + 2, 1, 3, n_bins - case.window - 6)):
        try:
            stream = case.model.stream(batch_size=2)
            pieces = list(stims.split([length * samples_per_bin for length in lengths], -1))
            predictions = [stream.step(pieces[0])]
        except NotStreamableError:
            return  # as with saving: it works, or says that it can't
        size = _state_size(stream.state)
        onset = map_state(torch.zeros_like, stream.state)
        for piece in pieces[1:]:
            predictions.append(stream.step(piece))
            _require(
                _state_size(stream.state) == size,
                f"the state must keep its size, it went from {size} to {_state_size(stream.state)} elements",
            )
        difference = float((torch.cat(predictions, -1) - expected).abs().max())
        _require(
            difference <= 1e-5 * float(1 + expected.abs().max()),
            f"in pieces of {lengths[0]}, {lengths[1]}, ... bins the prediction differs from the one at once, by "
            f"{difference:.2g}",
        )
        stream.state = onset
        difference = float((stream.step(pieces[0]) - predictions[0]).abs().max())
        _require(difference <= 1e-5, f"a state of zeros must be the onset; the prediction differs by {difference:.2g}")


def _state_size(state: State) -> int:
    return state.numel() if isinstance(state, Tensor) else sum(map(_state_size, state))


def _check_zero_padding(case: _Case) -> None:
    """A batch padded with silence trains: finite output in train mode."""
    stims = case.stimulus(3, 40)
    stims[1:, ..., stims.shape[-1] // 2 :] = 0
    out = case.model.train()(stims)
    _require(bool(out.isfinite().all()), "the prediction for zero-padded stimuli is not finite in train mode")


def _check_float64(case: _Case) -> None:
    stims = case.stimulus(2, 30)
    single = case.predict(stims)
    case.model.double()
    double = case.predict(stims.double())
    _require(double.dtype == torch.float64, f"a model in float64 must predict in float64, got {double.dtype}")
    difference = float((single - double).abs().max())
    _require(
        difference <= 1e-3 * float(1 + double.abs().max()),
        f"predictions in float32 and float64 differ by {difference:.2g}",
    )


# --- gradients and neurons -------------------------------------------------------------------------------------------


def _check_gradients(case: _Case) -> None:
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
            _require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")
            if bool(parameter.grad.any()):
                moved.add(name)
    for name, parameter in case.model.named_parameters():
        if parameter.requires_grad:
            _require(name in reached, f"no gradient reaches the parameter {name}")
            _require(name in moved, f"the gradient of {name} is zero everywhere")


def _per_neuron(case: _Case) -> dict[str, int]:
    offer = getattr(case.model.readout, "per_neuron_tensors", None)
    return {} if offer is None else offer()


def _check_per_neuron_tensors(case: _Case) -> None:
    """Where the readout names the tensors of single neurons, changing one neuron's slice changes that neuron only."""
    state = case.model.readout.state_dict(keep_vars=True)
    named = _per_neuron(case)
    for name, axis in named.items():
        _require(name in state, f"per_neuron_tensors() names {name!r}, which is not in the readout's state_dict")
        shape = tuple(state[name].shape)
        _require(
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
    _require(torch.equal(before[:, 1:], after[:, 1:]), "the per-neuron tensors of neuron 0 change other neurons too")
    _require(not torch.equal(before[:, 0], after[:, 0]), "the per-neuron tensors of neuron 0 do not change neuron 0")


def _check_missing_data(case: _Case) -> None:
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
            _require(bool(parameter.grad.isfinite().all()), f"with missing data the gradient of {name} is not finite")
    parameters = dict(case.model.readout.named_parameters())
    for name, axis in _per_neuron(case).items():
        gradient = parameters[name].grad if name in parameters else None
        _require(
            gradient is None or not bool(gradient.select(axis, 0).any()),
            f"a neuron without data must not train, but {name} has a gradient for it",
        )


# --- what must be left as found --------------------------------------------------------------------------------------


def _check_detach(case: _Case) -> None:
    stims = case.stimulus(2, 20)
    expected = case.predict(stims)
    case.model.train()(stims).sum().backward()
    case.model.detach()
    case.model.train()(stims).sum().backward()  # would fail if a state still hung on the first graph
    case.model.detach()
    _require(expected.shape == case.predict(stims).shape, "detach() must leave a model that predicts")


def _check_state_dict(case: _Case) -> None:
    stims = case.stimulus(2, 30)
    expected = case.predict(stims)
    other = copy.deepcopy(case.model)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            tensor.add_(1)
    other.load_state_dict(case.model.state_dict())
    with torch.no_grad():
        _require(
            torch.equal(expected, other(stims)), "a state_dict must carry everything that the prediction depends on"
        )


def _check_saving(case: _Case) -> None:
    """A saved model reloads to identical outputs, or saving refuses with a ValueError."""
    stims = case.stimulus(2, 30)
    with tempfile.TemporaryDirectory() as folder:
        try:
            case.model.save_pretrained(folder)
        except ValueError:
            return
        again = type(case.model).from_pretrained(folder)
    with torch.no_grad():
        same = torch.equal(case.predict(stims), again.eval()(stims))
    _require(same, "a saved and reloaded model must predict the same to the last bit, or refuse to be saved")


def _check_gradmap(case: _Case) -> None:
    gradmap = getattr(case.model, "STRF_gradmap", None)
    if gradmap is None:
        return
    _require("T" in inspect.signature(gradmap).parameters, "STRF_gradmap must take the number of bins as T")
    case.model.train()
    case.model.readout.eval()
    modes = [module.training for module in case.model.modules()]
    state = copy.deepcopy(case.model.state_dict())
    for n_bins in (None, case.window + 3):
        shape = tuple(gradmap(T=n_bins).shape)
        length = shape[-1] if n_bins is None else n_bins
        expected = (case.model.O, *(_frame_shape(case.model) or shape[1:-1]), length)
        _require(shape == expected and length >= 1, f"STRF_gradmap(T={n_bins}): expected {expected}, got {shape}")
    _require(modes == [module.training for module in case.model.modules()], "STRF_gradmap must leave the mode as found")
    _require(_same_state(state, case.model.state_dict()), "STRF_gradmap must leave the state as found")
    _require(
        all(parameter.grad is None for parameter in case.model.parameters()),
        "STRF_gradmap must leave no gradients on the parameters",
    )


_CHECKS: dict[str, Callable[[_Case], None]] = {
    "on stimuli of other lengths": _check_shapes,
    "on stimuli with another future": _check_causality,
    "in other batches": _check_batch_independence,
    "in the gradient with respect to the stimulus": _check_jacobian,
    "bin by bin": _check_stream,
    "on zero-padded stimuli": _check_zero_padding,
    "in float64": _check_float64,
    "in the backward pass": _check_gradients,
    "when its per-neuron tensors are changed": _check_per_neuron_tensors,
    "with missing data": _check_missing_data,
    "in a second backward pass after detach()": _check_detach,
    "to load a state_dict": _check_state_dict,
    "to be saved and loaded": _check_saving,
    "in STRF_gradmap": _check_gradmap,
}
