"""Going on where a killed training stopped: its complete state on disk, and proof that it belongs to this training."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import deepSTRF
from deepSTRF.training.checkpoint import load_state

__all__ = [
    "ResumeError",
    "check_identity",
    "check_plain",
    "check_whole",
    "damage_named",
    "describe",
    "describe_model",
    "fingerprint",
    "identity",
    "load_training",
    "random_state",
    "resume_path",
    "set_random_state",
]

Plain = Any  # None, bool, int, float, str, Tensor, and dicts, lists and tuples of them


class ResumeError(ValueError):
    """The saved state of a training is damaged or belongs to another training; the message names the difference."""


def resume_path(ckpt_path: Path) -> Path:
    """Where the state of the training lies that writes its best weights to `ckpt_path`."""
    return ckpt_path.with_name(ckpt_path.name + ".resume")


def load_training(path: Path, own: Mapping[str, str]) -> dict[str, Any]:
    """Read a training's state, and refuse that of another one.

    Raises
    ------
    ResumeError
        If the file is damaged, or one of the descriptions in `own` differs from the saved one. What is in it for the
        parts of the training is only known when they load it, within :func:`damage_named`.
    """
    try:
        state = load_state(path, torch.device("cpu"))
    except ValueError as error:
        raise ResumeError(f"{error}. Delete it to start again from epoch 0") from error
    if not isinstance(state, dict) or not isinstance(state.get("identity"), dict):
        raise ResumeError(f"{path} is not the state of a training; delete it to start again from epoch 0")
    check_identity({str(name): str(text) for name, text in state["identity"].items()}, own, path)
    with damage_named(path):
        epochs = [row["epoch"] for row in state["history"]]
        if epochs != list(range(len(epochs))) or state["best_epoch"] not in (None, *epochs):
            raise ValueError(f"epochs {epochs}, the best of them {state['best_epoch']}")
        state["best_score"] = float(state["best_score"])
    return state


def check_whole(saved: Any, own: Any, where: str) -> None:
    """Refuse a saved ``state_dict`` that lacks an entry which `own`, that of the same object, has.

    torch's optimizers and schedulers take such a state without a word, and go on with other numbers or fail later.

    Raises
    ------
    KeyError
        Naming the entry.

    Examples
    --------
    >>> check_whole({"param_groups": [{}]}, {"param_groups": [{"lr": 0.001}]}, "optimizer")
    Traceback (most recent call last):
        ...
    KeyError: "optimizer['param_groups'][0]['lr']"
    """
    if isinstance(own, Mapping):
        for name, entry in own.items():
            if name not in saved:
                raise KeyError(f"{where}[{name!r}]")
            check_whole(saved[name], entry, f"{where}[{name!r}]")
    elif isinstance(own, list):
        for i, (before, now) in enumerate(zip(saved, own, strict=False)):
            check_whole(before, now, f"{where}[{i}]")


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what a state with missing or impossible entries causes into an error that names the file.

    Raises
    ------
    ResumeError
        For a missing key, and values of another type, size or range.

    Examples
    --------
    >>> from pathlib import Path
    >>> with damage_named(Path("best.pt.resume")):
    ...     {}["model"]
    Traceback (most recent call last):
        ...
    deepSTRF.training.resume.ResumeError: best.pt.resume is damaged (KeyError: 'model'). Delete it to start again from \
epoch 0
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ResumeError(
            f"{path} is damaged ({type(error).__name__}: {reason}). Delete it to start again from epoch 0"
        ) from error


def check_identity(saved: Mapping[str, str], own: Mapping[str, str], path: Path) -> None:
    """Refuse to go on with another model, data set, configuration or version.

    Raises
    ------
    ResumeError
        Naming what differs, and how.

    Examples
    --------
    >>> from pathlib import Path
    >>> check_identity({"monitor": "val_cc"}, {"monitor": "val_loss"}, Path("best.pt.resume"))
    Traceback (most recent call last):
        ...
    deepSTRF.training.resume.ResumeError: best.pt.resume is the state of another training. monitor: was val_cc, is \
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


# ---------------------------------------------------------------------- who a training is


def identity(fitter: Any) -> dict[str, str]:
    """All of a Fitter that its numbers depend on, but for `max_epochs`: what must be the same for it to go on."""
    names = ("monitor", "mode", "patience", "max_grad_norm", "track_train_metrics", "track_per_cell_best")
    return {
        "version": f"deepSTRF {deepSTRF.__version__}, torch {torch.__version__}",
        "model": describe_model(fitter.model),
        "training data": fingerprint(fitter.train_loader),
        "validation data": fingerprint(fitter.val_loader),
        "loss": describe(fitter.loss_fn),
        "metrics": str({name: describe(metric) for name, metric in fitter.val_metrics.items()}),
        **fitter.begun_with,
        "device": fitter.device.type,
        **{name: str(getattr(fitter, name)) for name in names},
    }


def describe(value: Any) -> str:
    """One line for a setting: a function by its name, an optimizer or scheduler by its class and numbers.

    Examples
    --------
    >>> from deepSTRF.metrics import mse_loss
    >>> describe(functools.partial(mse_loss, reduction="sum"))
    "mse_loss(reduction='sum')"
    """
    if isinstance(value, functools.partial):
        arguments = [*map(_repr, value.args), *(f"{name}={_repr(entry)}" for name, entry in value.keywords.items())]
        return f"{describe(value.func)}({', '.join(arguments)})"
    if isinstance(value, torch.optim.Optimizer):
        groups = [{name: entry for name, entry in group.items() if name != "params"} for group in value.param_groups]
        return f"{type(value).__name__} {groups}"
    if isinstance(value, nn.Module):  # a loss or a metric, with its options
        return describe_model(value)
    if hasattr(value, "state_dict"):
        numbers = {name: entry for name, entry in value.state_dict().items() if isinstance(entry, (int, float, str))}
        return f"{type(value).__name__} {numbers}"
    return str(getattr(value, "__qualname__", None) or (value if isinstance(value, (str, int, float)) else type(value)))


def describe_model(model: nn.Module) -> str:
    """Modules with their options, and every tensor with its shape and whether it is frozen."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    tensors = [
        f"{name} {tuple(tensor.shape)} {tensor.dtype}{' frozen' if name in frozen else ''}"
        for name, tensor in model.state_dict().items()
    ]
    return "\n".join([_repr(model), *tensors])


def _repr(value: Any) -> str:
    """Without the addresses of functions, which are others in every process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def fingerprint(loader: Iterable[Mapping[str, Any]]) -> str:
    """Number, size and content of what a loader gives, as one line.

    The items of ``loader.dataset`` are read once, or the batches of a list. Random numbers that this draws are put
    back.

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
        for name in sorted(value, key=str):
            digest.update(str(name).encode())
            _add(digest, value[name])
    elif isinstance(value, (list, tuple)):
        for entry in value:
            _add(digest, entry)


# ---------------------------------------------------------------------- random numbers


def random_state(loaders: Iterable[Any]) -> dict[str, Plain]:
    """State of the generators of Python, NumPy, torch, every CUDA device, and of the loaders' own generators.

    Examples
    --------
    >>> state = random_state([])
    >>> first = torch.rand(2), random.random()
    >>> set_random_state(state, [])
    >>> second = torch.rand(2), random.random()
    >>> torch.equal(first[0], second[0]), first[1] == second[1]
    (True, True)
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  the one that users' samplers draw from
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "loaders": [generator.get_state() for generator in _generators(loaders)],
    }


def set_random_state(state: Mapping[str, Plain], loaders: Iterable[Any]) -> None:
    """Put back what :func:`random_state` gave."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    for generator, saved in zip(_generators(loaders), state["loaders"], strict=True):
        generator.set_state(saved)


def _generators(loaders: Iterable[Any]) -> list[torch.Generator]:
    """The generators of loaders and their samplers, each once."""
    found: dict[int, torch.Generator] = {}
    for loader in loaders:
        batch_sampler = getattr(loader, "batch_sampler", None)
        for owner in (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                found[id(generator)] = generator
    return list(found.values())


# ---------------------------------------------------------------------- what may be saved


def check_plain(value: Any, where: str) -> Plain:
    """Return `value` with NumPy's numbers as Python's; refuse what cannot be read back without running code.

    Raises
    ------
    TypeError
        Naming the place.

    Examples
    --------
    >>> check_plain({"epoch": 3, "values": [1.0, None]}, "history")
    {'epoch': 3, 'values': [1.0, None]}
    """
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str, Tensor)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {check_plain(key, where): check_plain(entry, f"{where}[{key!r}]") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(check_plain(entry, f"{where}[{i}]") for i, entry in enumerate(value))
    raise TypeError(
        f"{where} is a {type(value).__name__}, which cannot be saved for resuming: only numbers, strings, tensors and "
        "lists, tuples and dicts of them can be read back without running code"
    )
