"""What a run is asked to do: the options of ``deepstrf fit``, and the errors that are the user's to mend."""

from __future__ import annotations

import numbers
import os
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

__all__ = ["FitOptions", "Interrupted", "RunError"]


_KINDS: dict[type, tuple[Any, str]] = {
    str: ((str, os.PathLike), "a text"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
}
_MOST_THREADS = 1024  # with a hundred thousand, torch crashes


class RunError(ValueError):
    """Something that the user can mend; the command line prints it as one line and exits with code 2."""


class Interrupted(RunError):
    """The user ended a run after an epoch; its folder is ready to go on."""


@dataclass(frozen=True)
class FitOptions:
    """The options of one run; None means the recipe's default.

    Parameters
    ----------
    dataset, model : str
        Names that ``deepstrf datasets`` and ``deepstrf models`` list.
    data : str, optional
        Folder of the recording's files.
    dt_ms : float, optional
        Bin width in ms; default: that of the data set.
    split : str, optional
        A protocol of the data set, or ``"holdout:K"``.
    seed : int
        Seed of the initialisation and of the order of the batches.
    device : str
        ``"cpu"``, ``"cuda"``, ...
    threads : int
        Of torch on the CPU. The steps of these models are too small to share: with two threads they are a little
        faster where both cores are free, and many times slower where one is busy.
    epochs, patience, batch_size : int, optional
        Length of the training.
    lr, weight_decay : float, optional
        Of AdamW.
    loss : {"mse", "poisson"}, optional
        What is minimised.
    monitor : str, optional
        Key of the epoch dict that early stopping watches; ``val_loss`` is minimised, anything else maximised.

    Raises
    ------
    RunError
        For a value of another type, and a seed or a number of threads that torch cannot take. What the data set and the
        recipe think of the other values is said by them.
    """

    dataset: str = "simulated"
    model: str = "linear-nonlinear"
    data: str | None = None
    dt_ms: float | None = None
    split: str | None = None
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    epochs: int | None = None
    patience: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    loss: str | None = None
    monitor: str | None = None

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(FitOptions).items():
            value, kinds = getattr(self, name), get_args(hint) or (hint,)
            allowed, words = _KINDS[kinds[0]]
            if (isinstance(value, bool) or not isinstance(value, allowed)) and type(value) not in kinds[1:]:
                raise RunError(f"--{name.replace('_', '-')} must be {words}, got {value!r}")
        if not 1 <= self.threads <= _MOST_THREADS:
            raise RunError(f"--threads must lie between 1 and {_MOST_THREADS}, got {self.threads}")
        if not 0 <= self.seed < 2**32:
            raise RunError(f"--seed must lie between 0 and 2**32 - 1, got {self.seed}")
