"""What a training's numbers depend on, as text: model, data, loss, optimizer, options and versions."""

from __future__ import annotations

import difflib
import functools
import hashlib
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import deepSTRF
from deepSTRF.training.code import code_digest, is_installed
from deepSTRF.training.errors import ResumeError
from deepSTRF.training.seed import random_state, set_random_state

if TYPE_CHECKING:
    from deepSTRF.training.fitter import Fitter

__all__ = ["check_identity", "describe", "describe_model", "fingerprint", "identity"]

_FROM_RESPONSES = {"psth", "statistics"}
OPTIONS = ("monitor", "mode", "patience", "max_grad_norm", "track_train_metrics", "track_per_cell_best")


def identity(fitter: Fitter) -> dict[str, str]:
    """Describe all that a training's numbers depend on, except `max_epochs`: what must be the same to resume it."""
    return {
        "version": f"deepSTRF {deepSTRF.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "fitter": _with_code(type(fitter).__qualname__, type(fitter)),
        "model": describe_model(fitter.model),
        "training data": fingerprint(fitter.train_loader),
        "validation data": fingerprint(fitter.val_loader),
        "loss": describe(fitter.loss_fn),
        "metrics": str({name: describe(metric) for name, metric in fitter.val_metrics.items()}),
        "device": fitter.device.type,
        **{name: str(getattr(fitter, name)) for name in OPTIONS},
    }


def describe(value: Any) -> str:
    """One line for a setting: a function by its name and code, an optimizer or scheduler by its class and numbers.

    Functions of installed packages are known by their names.

    Examples
    --------
    >>> from deepSTRF.metrics import mse_loss
    >>> describe(functools.partial(mse_loss, reduction="sum"))
    "mse_loss(reduction='sum')"
    """
    if isinstance(value, functools.partial):
        named = (f"{name}={_argument(entry)}" for name, entry in value.keywords.items())
        arguments = [*map(_argument, value.args), *named]
        return f"{describe(value.func)}({', '.join(arguments)})"
    if isinstance(value, torch.optim.Optimizer):
        groups = [{name: entry for name, entry in group.items() if name != "params"} for group in value.param_groups]
        return f"{type(value).__name__} {groups}"
    if isinstance(value, nn.Module):  # a loss or a metric, with its options
        return describe_model(value)
    if hasattr(value, "state_dict"):
        numbers = {name: entry for name, entry in value.state_dict().items() if isinstance(entry, (int, float, str))}
        functions = [describe(function) for function in getattr(value, "lr_lambdas", ())]
        return f"{type(value).__name__} {numbers}" + (f" {functions}" if functions else "")
    if value is None or isinstance(value, (str, int, float)):
        return str(value)
    return _with_code(getattr(value, "__qualname__", None) or type(value).__qualname__, value)


def _argument(value: Any) -> str:
    if isinstance(value, (functools.partial, FunctionType, MethodType, nn.Module)):
        return describe(value)
    return f"tensor {tuple(value.shape)} [{code_digest(value)}]" if isinstance(value, Tensor) else _repr(value)


def _with_code(name: str, value: Any) -> str:
    """Add to the name of a function, a class or an object what it does, unless that is known by a version."""
    own = value if isinstance(value, (type, FunctionType, MethodType, BuiltinFunctionType)) else type(value)
    return name if is_installed(own) else f"{name} [code {code_digest(value)}]"


def describe_model(model: nn.Module) -> str:
    """Modules with their options and, of the user's own classes, code; every tensor with its shape, and if frozen."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    tensors = [
        f"{name} {tuple(tensor.shape)} {tensor.dtype}{' frozen' if name in frozen else ''}"
        for name, tensor in model.state_dict().items()
        if name != "response_scale"  # set from the training data, which are compared themselves
    ]
    classes = {type(module) for module in model.modules()}
    code = sorted(_with_code(kind.__qualname__, kind) for kind in classes if not is_installed(kind))
    return "\n".join([_repr(model), *tensors, *code])


def _repr(value: Any) -> str:
    """Without the addresses of functions, which differ in every process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def fingerprint(loader: Iterable[Mapping[str, Any]]) -> str:
    """Number, size and content of what a loader gives, as one line.

    The items of ``loader.dataset`` are read once, or the batches of a list. The state of the random numbers is
    restored.

    Examples
    --------
    >>> import torch
    >>> fingerprint([{"stims": torch.zeros(2, 1, 3, 4)}])
    '1 batches, sha256 344f54abb546'
    """
    before = random_state([loader])
    digest = hashlib.sha256()
    dataset: Any = getattr(loader, "dataset", loader)
    size = ""
    if hasattr(loader, "batch_size"):
        size = f" in batches of {loader.batch_size}"
        parts = {name: getattr(loader, name, None) for name in ("sampler", "batch_sampler")}
        numbers = {name: getattr(loader, name, None) for name in ("chunk_bins", "shuffle", "drop_last")}
        size += "".join(f", {type(part).__name__}" for part in parts.values() if part is not None)
        size += "".join(f", {name}={number}" for name, number in numbers.items() if number is not None)
        size += f", {describe(loader.collate_fn)}" if hasattr(loader, "collate_fn") else ""
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        for i in range(len(dataset)):
            _add(digest, dataset[i])
    else:
        size += f" of {type(dataset).__name__}"
    set_random_state(before, [loader])
    number = len(dataset) if hasattr(dataset, "__len__") else "unknown"
    kind = "batches" if isinstance(loader, Sequence) else "stimuli"
    return f"{number} {kind}{size}, sha256 {digest.hexdigest()[:12]}"


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"{tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data if value.numel() else b"")
    elif isinstance(value, Mapping):
        for name in sorted(set(value) - _FROM_RESPONSES, key=str):
            digest.update(str(name).encode())
            _add(digest, value[name])
    elif isinstance(value, (list, tuple)):
        for entry in value:
            _add(digest, entry)


def check_identity(saved: Mapping[str, str], own: Mapping[str, str], path: Path) -> None:
    """Check that a saved training is the one that is resumed.

    Raises
    ------
    ResumeError
        If model, data, options or versions differ; the message says how.

    Examples
    --------
    >>> from pathlib import Path
    >>> check_identity({"monitor": "val_cc"}, {"monitor": "val_loss"}, Path("best.pt.resume"))
    Traceback (most recent call last):
        ...
    deepSTRF.training.errors.ResumeError: best.pt.resume is the state of another training. monitor: was val_cc, is \
val_loss. Restore what it was, or delete the file to start again from epoch 0
    """
    names = [name for name in {**saved, **own} if saved.get(name) != own.get(name)]
    if names:
        differences = "; ".join(f"{name}: {_difference(saved.get(name), own.get(name))}" for name in names)
        raise ResumeError(
            f"{path} is the state of another training. {differences}. Restore what it was, or delete the file to start "
            "again from epoch 0"
        )


def _difference(saved: str | None, own: str | None) -> str:
    """The first lines that differ."""
    was, now = (["(nothing)"] if text is None else text.splitlines() for text in (saved, own))
    changes = list(difflib.ndiff(was, now))
    before = next((line[2:].strip() for line in changes if line.startswith("- ")), "(nothing)")
    after = next((line[2:].strip() for line in changes if line.startswith("+ ")), "(nothing)")
    return f"was {before}, is {after}"
