"""What fitting one model many times shares, over seeds or over folds: arguments, processes, failures, arrays."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from deepSTRF.training.fitter import Fitter, UnknownMonitorError
from deepSTRF.training.workers import Failure, count_processes, run_tasks

__all__ = [
    "AllFitsFailedError",
    "check_factory",
    "checked_arguments",
    "checked_seeds",
    "fit_each",
    "kwargs_of_one_fit",
    "score_arrays",
    "warn_of_failures",
]

Scores = Mapping[str, Mapping[str, Any]]


class AllFitsFailedError(RuntimeError):
    """Every seed or fold failed; the message holds the traceback of the first."""


def checked_arguments(fitter_kwargs: Mapping[str, Any] | None, caller: str, n_jobs: int) -> Fitter:
    """Refuse what no fit could use before any of them trains.

    Returns
    -------
    Fitter
        With a stand-in for model and data, and every other argument as each fit will have it.

    Raises
    ------
    ValueError
        For arguments that `caller` gives itself, a value that the Fitter refuses, and a bad `n_jobs`.
    UnknownMonitorError
        If the monitor is not a validation score.
    TypeError
        For an argument that the Fitter doesn't know, and an optimizer or scheduler of one model.
    """
    kwargs = dict(fitter_kwargs or {})
    managed = [name for name in ("model", "train_loader", "val_loader") if name in kwargs]
    if managed:
        raise ValueError(f"{', '.join(managed)} in fitter_kwargs: managed by {caller}; leave it out")
    if not kwargs.get("restore_best", True):
        raise ValueError(f"{caller} always reports the best epoch; leave restore_best out of fitter_kwargs")
    count_processes(n_jobs)
    for name, example in (("optimizer", "torch.optim.AdamW, lr=1e-3"), ("scheduler", "ExponentialLR, gamma=0.9")):
        made = kwargs.pop(name, None)
        if made is not None and not callable(made):
            raise TypeError(
                f"every fit needs its own {name}, so fitter_kwargs[{name!r}] must be a function that makes it, such as "
                f"functools.partial({example}); got a {type(made).__name__}"
            )
    stand_in = Fitter(nn.Linear(1, 1), [], [], **kwargs)
    scores = ["val_loss", *(f"val_{name}" for name in stand_in.val_metrics)]
    if stand_in.monitor not in scores:
        raise UnknownMonitorError(f"monitor {stand_in.monitor!r} is not a validation score; there are {scores}")
    return stand_in


def check_factory(name: str, factory: object) -> None:
    """Refuse what cannot make a new model or loaders for every fit.

    Raises
    ------
    TypeError
        If it cannot be called, or is a model itself.
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        raise TypeError(
            f"{name} must be a function that takes a seed and makes something new for every fit, such as "
            f"lambda seed: ...; got a {type(factory).__name__}"
        )


def checked_seeds(seeds: Iterable[SupportsIndex]) -> list[int]:
    """Return the seeds as a list of int.

    Raises
    ------
    TypeError
        For anything but whole numbers.
    ValueError
        If there is none, or NumPy could not be seeded with one of them.

    Examples
    --------
    >>> checked_seeds(range(3))
    [0, 1, 2]
    """
    try:
        checked = [operator.index(seed) for seed in seeds]
    except TypeError as error:
        raise TypeError(f"seeds must be a list of whole numbers, got {seeds!r}") from error
    if not checked:
        raise ValueError("seeds is empty; give at least one, or leave it out for 0 ... n_seeds - 1")
    impossible = [seed for seed in checked if not 0 <= seed < 2**32]
    if impossible:
        raise ValueError(f"a seed must lie between 0 and 2**32 - 1, got {impossible}")
    return checked


def kwargs_of_one_fit(fitter_kwargs: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return the arguments of the fit `name`: silent unless told otherwise, and with a checkpoint file of its own.

    Examples
    --------
    >>> kwargs_of_one_fit({"ckpt_path": "best.pt"}, "seed3")["ckpt_path"].name
    'best_seed3.pt'
    """
    kwargs = {"log_fn": None, **(fitter_kwargs or {}), "restore_best": True}
    if kwargs.get("ckpt_path") is not None:
        path = Path(kwargs["ckpt_path"])
        kwargs["ckpt_path"] = path.with_name(f"{path.stem}_{name}{path.suffix}")
    return kwargs


# ---------------------------------------------------------------------- many fits


def fit_each(fit: Callable[[int], Any], numbers: Sequence[int], n_jobs: int, kind: str) -> Iterator[tuple[int, Any]]:
    """Yield the position and the outcome of ``fit(number)`` for each of `numbers`, in the order in which they end.

    With ``n_jobs=1`` everything happens here, one after the other, with the threads that torch has here. Else each fit
    runs in one of `n_jobs` worker processes, with one torch thread.

    Parameters
    ----------
    fit : callable
        ``number -> outcome``; closures are fine.
    numbers : sequence of int
        What it is called with.
    n_jobs : int
        Number of processes, negative as in joblib: -1 for all cores.
    kind : str
        What `numbers` count, for messages: ``"seed"`` or ``"fold"``.

    Yields
    ------
    tuple of int and Any
        The position in `numbers`, and the outcome; a :class:`Failure` where `fit` raised or its process died.

    Raises
    ------
    TypeError
        If `fit` cannot be sent to a process.
    AllFitsFailedError
        After the last one, if all failed.

    Examples
    --------
    >>> [outcome if position else type(outcome) for position, outcome in fit_each(lambda x: 1 / x, [0, 2], 1, "seed")]
    [<class 'deepSTRF.training.workers.Failure'>, 0.5]
    """
    failures = []
    for position, outcome in run_tasks(fit, numbers, n_jobs):
        if isinstance(outcome, Failure):
            failures.append((position, outcome.text))
        yield position, outcome
    if len(failures) == len(numbers):
        first, text = min(failures)
        raise AllFitsFailedError(f"all {len(numbers)} {kind}s failed. {kind.capitalize()} {numbers[first]}:\n\n{text}")


# ---------------------------------------------------------------------- what they found


def warn_of_failures(failures: Mapping[int, str], kind: str) -> None:
    """Warn about the seeds or folds that failed, by number and reason."""
    if failures:
        reasons = "; ".join(f"{kind} {number}: {text.strip().splitlines()[-1]}" for number, text in failures.items())
        warnings.warn(
            f"{len(failures)} failed and count nowhere ({reasons}). Their tracebacks are in result['failures']",
            stacklevel=3,
        )


def score_arrays(rows: Sequence[Scores | None], kind: str) -> dict[str, Tensor]:
    """Scores of all fits as arrays: ``per_<kind>_<part>_<metric>`` (fits, N), and their ``mean_`` and ``std_`` (N,).

    A scalar counts as one neuron. A fit that failed, None, is a row of NaN; mean and population standard deviation go
    over the defined entries.

    Raises
    ------
    ValueError
        If two fits differ in the number of neurons.

    Examples
    --------
    >>> import torch
    >>> rows = [{"val": {"cc": torch.tensor([0.5])}}, None, {"val": {"cc": torch.tensor([1.0])}}]
    >>> {name: values.flatten().tolist() for name, values in score_arrays(rows, "seed").items()}
    {'per_seed_val_cc': [0.5, nan, 1.0], 'mean_val_cc': [0.75], 'std_val_cc': [0.25]}
    """
    arrays: dict[str, Tensor] = {}
    done = [row for row in rows if row is not None]
    for part, scores in done[0].items():
        for name in scores:
            values = [_vector(row[part][name]) for row in done]
            shapes = [tuple(value.shape) for value in values]
            if len(set(shapes)) > 1:
                raise ValueError(f"{part} {name} must have the same shape for every {kind}, got {shapes}")
            given = iter(values)
            stacked = torch.stack(
                [torch.full_like(values[0], math.nan) if row is None else next(given) for row in rows]
            )
            mean = stacked.nanmean(0)
            arrays[f"per_{kind}_{part}_{name}"] = stacked
            arrays[f"mean_{part}_{name}"] = mean
            arrays[f"std_{part}_{name}"] = (stacked - mean).square().nanmean(0).sqrt()
    return arrays


def _vector(value: Any) -> Tensor:
    """A floating point tensor with an axis for the neurons; Python's numbers keep their precision."""
    tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return torch.atleast_1d(tensor if tensor.is_floating_point() else tensor.double())
