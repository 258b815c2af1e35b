"""Resuming a killed training: its complete state on disk, checked before it is used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.files import remove_leftovers
from deepSTRF.training.checkpoint import load_state, save_state
from deepSTRF.training.epochs import monitored_value
from deepSTRF.training.errors import ResumeError
from deepSTRF.training.identity import check_identity, describe, identity
from deepSTRF.training.seed import random_state, set_random_state

if TYPE_CHECKING:
    from deepSTRF.training.fitter import Fitter

__all__ = ["ResumeError", "SavedTraining", "check_complete", "check_plain", "name_damaged_file", "resume_path"]


def resume_path(ckpt_path: Path) -> Path:
    """Return where the state of a training lies that writes its best weights to `ckpt_path`."""
    return ckpt_path.with_name(ckpt_path.name + ".resume")


class SavedTraining:
    """The state of a Fitter's training in ``<ckpt_path>.resume``.

    Parameters
    ----------
    fitter : Fitter
        Before it begins to train: the settings of its optimizer and scheduler, which move while it trains, are noted.

    Attributes
    ----------
    path : Path
        The file.

    Raises
    ------
    ValueError
        If the Fitter has no `ckpt_path`.
    """

    def __init__(self, fitter: Fitter) -> None:
        if fitter.ckpt_path is None:
            raise ValueError("resume=True needs a ckpt_path: the state of the training is kept beside it")
        self.fitter = fitter
        self.path = resume_path(fitter.ckpt_path)
        self._settings = {"optimizer": describe(fitter.optimizer), "scheduler": describe(fitter.scheduler)}
        self._identity: dict[str, str] = {}

    def save(self) -> None:
        """Write the state after an epoch, atomically.

        Raises
        ------
        TypeError
            If the history holds what cannot be read back without running code.
        OSError
            If the disk is full or cannot be written; the state of the epoch before is intact then.
        """
        fitter = self.fitter
        state = {
            "identity": self._identity,
            "history": check_plain(fitter.history, "history"),
            "best_epoch": fitter.best_epoch,
            "best_score": fitter.best_score,
            "best": fitter._best_state,
            "random": random_state((fitter.train_loader, fitter.val_loader)),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        save_state(state, self.path)

    def load(self) -> None:
        """Bring the Fitter to the saved state, if there is one.

        Raises
        ------
        ResumeError
            If the file is damaged or belongs to another training.
        """
        fitter = self.fitter
        self._identity = identity(fitter) | self._settings
        remove_leftovers(self.path)
        if not self.path.exists():
            return
        state = self._read()
        with name_damaged_file(self.path):
            if state["best_epoch"] is not None:
                fitter.model.load_state_dict(state["best"])  # to check it: the end of the fit restores it
            for name, part in self._parts().items():
                check_complete(state[name], part.state_dict(), name)
                part.load_state_dict(state[name])
            set_random_state(state["random"], (fitter.train_loader, fitter.val_loader))
        fitter.history, fitter.start_epoch = list(state["history"]), len(state["history"])
        fitter.best_epoch, fitter.best_score = state["best_epoch"], state["best_score"]
        if fitter.best_epoch is not None:
            fitter._best_value = monitored_value(fitter.history[fitter.best_epoch], fitter.monitor)
        fitter._best_state = state["best"]
        if fitter.best_epoch is not None and fitter.ckpt_path is not None:
            save_state(fitter._best_state, fitter.ckpt_path)  # an epoch that was not finished may have written it

    def _read(self) -> dict[str, Any]:
        try:
            state = load_state(self.path, torch.device("cpu"))
        except ValueError as error:
            raise ResumeError(f"{error}. Delete it to start again from epoch 0") from error
        if not isinstance(state, dict) or not isinstance(state.get("identity"), dict):
            raise ResumeError(f"{self.path} is not the state of a training; delete it to start again from epoch 0")
        saved = {str(name): str(text) for name, text in state["identity"].items()}
        check_identity(saved, self._identity, self.path)
        with name_damaged_file(self.path):
            epochs = [row["epoch"] for row in state["history"]]
            if epochs != list(range(len(epochs))) or state["best_epoch"] not in (None, *epochs):
                raise ValueError(f"epochs {epochs}, the best of them {state['best_epoch']}")
            state["best_score"] = float(state["best_score"])
        return state

    def _parts(self) -> dict[str, Any]:
        """Everything with a ``state_dict`` that changes while training."""
        fitter = self.fitter
        parts = {"model": fitter.model, "optimizer": fitter.optimizer, "scheduler": fitter.scheduler}
        if fitter.track_per_cell_best:
            parts["per_cell"] = fitter._per_cell_snapshots
        parts["members"] = fitter._best_members
        return {name: part for name, part in parts.items() if part is not None}


def check_complete(saved: Any, own: Any, where: str) -> None:
    """Check that a saved ``state_dict`` has every entry of `own`, that of the object which will load it.

    torch's optimizers and schedulers load an incomplete one silently, and continue with other numbers or fail later.

    Raises
    ------
    KeyError
        If an entry is missing; the message names it.

    Examples
    --------
    >>> check_complete({"param_groups": [{}]}, {"param_groups": [{"lr": 0.001}]}, "optimizer")
    Traceback (most recent call last):
        ...
    KeyError: "optimizer['param_groups'][0]['lr']"
    """
    if isinstance(own, Mapping):
        for name, entry in own.items():
            if name not in saved:
                raise KeyError(f"{where}[{name!r}]")
            check_complete(saved[name], entry, f"{where}[{name!r}]")
    elif isinstance(own, list):
        for i, (before, now) in enumerate(zip(saved, own, strict=False)):
            check_complete(before, now, f"{where}[{i}]")


@contextlib.contextmanager
def name_damaged_file(path: Path) -> Iterator[None]:
    """Turn the errors that missing or impossible entries of a state cause into one that names the file.

    Raises
    ------
    ResumeError
        If a key is missing, or a value has another type, size or range.

    Examples
    --------
    >>> from pathlib import Path
    >>> with name_damaged_file(Path("best.pt.resume")):
    ...     {}["model"]
    Traceback (most recent call last):
        ...
    deepSTRF.training.errors.ResumeError: best.pt.resume is damaged (KeyError: 'model'). Delete it to start again from \
epoch 0
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ResumeError(
            f"{path} is damaged ({type(error).__name__}: {reason}). Delete it to start again from epoch 0"
        ) from error


def check_plain(value: Any, where: str) -> Any:
    """Return `value` with NumPy's numbers as Python's.

    Raises
    ------
    TypeError
        If it holds what cannot be read back without running code; the message names the place.

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
