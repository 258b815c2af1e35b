"""What fitting one model many times shares, over seeds or over folds: arguments, processes, failures, arrays."""

from __future__ import annotations

import contextlib
import functools
import math
import multiprocessing
import operator
import pickle
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import torch
from torch import Tensor, nn

from deepSTRF.training.fitter import Fitter, UnknownMonitorError

__all__ = [
    "AllFitsFailedError",
    "Failure",
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


class Failure(NamedTuple):
    """Stands where the outcome of a fit would be.

    Parameters
    ----------
    text : str
        The traceback.
    """

    text: str


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
    if not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs must be a number of processes, or -1 for as many as there are cores; got {n_jobs!r}")
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
    [<class 'deepSTRF.training.repeated.Failure'>, 0.5]
    """
    from joblib import cpu_count

    n_processes = n_jobs if n_jobs > 0 else max(1, cpu_count() + 1 + n_jobs)
    outcomes: Iterator[tuple[int, Any]]
    if n_processes == 1:
        outcomes = ((position, _attempt(fit, number)) for position, number in enumerate(numbers))
    else:
        outcomes = _in_processes(fit, numbers, n_processes)
    failures = []
    for position, outcome in outcomes:
        if isinstance(outcome, Failure):
            failures.append((position, outcome.text))
        yield position, outcome
    if len(failures) == len(numbers):
        first, text = min(failures)
        raise AllFitsFailedError(f"all {len(numbers)} failed. {kind.capitalize()} {numbers[first]}:\n\n{text}")


def _attempt(fit: Callable[[int], Any], number: int) -> Any:
    try:
        return fit(number)
    except Exception:  # noqa: BLE001  whatever a factory, a logger or the training raises, the other fits go on
        return Failure(traceback.format_exc())


def _in_processes(fit: Callable[[int], Any], numbers: Sequence[int], n_processes: int) -> Iterator[tuple[int, Any]]:
    left = dict(enumerate(numbers))
    with tempfile.TemporaryDirectory(prefix="deepSTRF-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "fit.pt"
        _save(fit, path)
        with contextlib.suppress(BrokenProcessPool):  # a worker was killed, and joblib gave up on the rest
            for position, outcome in _parallel(path, left, n_processes):
                del left[position]
                yield position, outcome
        # Most are killed for want of memory, so each of the rest has the machine to itself.
        for position, number in left.items():
            try:
                yield from _parallel(path, {position: number}, 1)
            except BrokenProcessPool as error:
                yield position, Failure(f"its worker process died: {' '.join(str(error).split())}")


def _save(fit: Callable[[int], Any], path: Path) -> None:
    """Write `fit` with all that it holds, once for all workers, which map the tensors instead of copying them."""
    import cloudpickle

    try:
        torch.save(fit, path, pickle_module=cloudpickle, pickle_protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # of any type: what is pickled is the user's
        raise TypeError(
            "worker processes need a copy of the factories and of fitter_kwargs, with everything that they hold, but "
            f"{error}. Open files, locks and the like are better made inside the factory; or use n_jobs=1"
        ) from error


def _parallel(path: Path, tasks: Mapping[int, int], n_processes: int) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, delayed, parallel_config

    n_jobs = max(2, min(n_processes, len(tasks)))  # a single one would be this process
    # Its own backend, whatever the caller has set: seeds are global, so that threads would share them.
    with parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1):
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
    for position, outcome in parallel(delayed(_in_worker)(path, *task) for task in list(tasks.items())):
        yield position, outcome if isinstance(outcome, Failure) else pickle.loads(outcome)


def _in_worker(path: Path, position: int, number: int) -> tuple[int, Any]:
    """Fit with one thread; whatever can fail is attempted here, because joblib would end the others too."""
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)  # a DataLoader cannot start its workers by joblib's
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return position, _attempt(functools.partial(_fit_from, path), number)
    finally:
        torch.set_num_threads(threads)  # joblib works in the caller's process where it may not start others


def _fit_from(path: Path, number: int) -> bytes:
    fit = torch.load(path, weights_only=False, mmap=True)  # code on purpose: the caller's own, written a moment ago
    return pickle.dumps(fit(number))


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
