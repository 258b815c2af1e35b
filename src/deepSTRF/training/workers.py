"""Tasks in worker processes: outcomes come as they end, and a worker that is killed costs no task but its own."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import pickle
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import torch

from deepSTRF.checks import check_integer

__all__ = ["Failure", "count_processes", "run_tasks"]


class Failure(NamedTuple):
    """Stands where the outcome of a task would be.

    Parameters
    ----------
    text : str
        The traceback, or how the worker process died.
    """

    text: str

    @property
    def reason(self) -> str:
        """The error in one line, without the traceback."""
        return self.text.strip().splitlines()[-1]


def count_processes(n_jobs: int) -> int:
    """Return the number of processes, with -1 for one per core, -2 for one less, as in joblib.

    Raises
    ------
    TypeError
        If `n_jobs` is not an integer.
    ValueError
        If it is 0.

    Examples
    --------
    >>> count_processes(3)
    3
    """
    from joblib import cpu_count

    n_jobs = check_integer("n_jobs", n_jobs, least=None)
    if n_jobs == 0:
        raise ValueError("n_jobs must be a number of processes, or -1 for one per core; got 0")
    return n_jobs if n_jobs > 0 else max(1, cpu_count() + 1 + n_jobs)


def run_tasks(
    function: Callable[[Any], Any], tasks: Sequence[Any], n_jobs: int = 1, *, attempts: int = 1
) -> Iterator[tuple[int, Any]]:
    """Yield the position and the outcome of ``function(task)`` for each of `tasks`, in the order in which they end.

    With ``n_jobs=1`` everything happens in this process, one after the other, with the threads that torch has here.
    Otherwise each task runs in one of `n_jobs` worker processes, with one torch thread.

    Parameters
    ----------
    function : callable
        ``task -> outcome``; closures are fine.
    tasks : sequence
        What it is called with.
    n_jobs : int
        Number of processes, negative as in joblib: -1 for one per core.
    attempts : int
        A killed worker takes those that run at the same time with it. So often all that are left start again together;
        after that, each runs alone, so that only a task that kills its worker again is lost.

    Yields
    ------
    tuple of int and Any
        The position in `tasks`, and the outcome; a :class:`Failure` where `function` raised or its process died.

    Raises
    ------
    TypeError
        If `function` cannot be sent to a process.

    Examples
    --------
    >>> for position, outcome in run_tasks(lambda x: 1 / x, [0, 2]):
    ...     print(position, outcome.reason if isinstance(outcome, Failure) else outcome)
    0 ZeroDivisionError: division by zero
    1 0.5
    """
    n_processes = count_processes(n_jobs)
    if n_processes > 1:
        yield from _run_in_processes(function, tasks, n_processes, attempts)
    else:
        for position, task in enumerate(tasks):
            yield position, _attempt(function, task)


def _attempt(function: Callable[[Any], Any], task: Any) -> Any:
    try:
        return function(task)
    except Exception:  # noqa: BLE001  whatever the user's code raises, the other tasks go on
        return Failure(traceback.format_exc())


def _run_in_processes(
    function: Callable[[Any], Any], tasks: Sequence[Any], n_processes: int, attempts: int
) -> Iterator[tuple[int, Any]]:
    left = dict(enumerate(tasks))
    with tempfile.TemporaryDirectory(prefix="deepSTRF-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "function.pt"
        _save(function, path)
        for _ in range(attempts):
            if not left:
                return
            with contextlib.suppress(BrokenProcessPool):  # a worker was killed, and joblib gave up on the rest
                for position, outcome in _run_parallel(path, left, n_processes):
                    del left[position]
                    yield position, outcome
        # Most are killed for want of memory, so each of the rest has the machine to itself.
        for position, task in left.items():
            try:
                yield from _run_parallel(path, {position: task}, 1)
            except BrokenProcessPool as error:
                yield position, Failure(f"its worker process died: {' '.join(str(error).split())}")


def _save(function: Callable[[Any], Any], path: Path) -> None:
    """Write `function` with all that it holds, once for all workers, which map the tensors instead of copying them."""
    import cloudpickle

    try:
        torch.save(function, path, pickle_module=cloudpickle, pickle_protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # of any type: what is pickled is the user's
        raise TypeError(
            f"worker processes need a copy of every function and of everything that it holds, but {error}. Make open "
            "files, locks and the like inside the function that uses them, or use n_jobs=1"
        ) from error


def _run_parallel(path: Path, tasks: Mapping[int, Any], n_processes: int) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, delayed, parallel_config

    n_jobs = max(2, min(n_processes, len(tasks)))  # a single one would be this process
    # Its own backend, whatever the caller has set: seeds are global, so that threads would share them.
    with parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1):
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
    for position, outcome in parallel(delayed(_run_in_worker)(path, *task) for task in list(tasks.items())):
        yield position, outcome if isinstance(outcome, Failure) else pickle.loads(outcome)


def _run_in_worker(path: Path, position: int, task: Any) -> tuple[int, Any]:
    """Run a task with one thread; whatever can fail is attempted here, because joblib would end the others too."""
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)  # a DataLoader cannot start its workers by joblib's
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return position, _attempt(functools.partial(_load_and_run, path), task)
    finally:
        torch.set_num_threads(threads)  # joblib works in the caller's process where it may not start others


def _load_and_run(path: Path, task: Any) -> bytes:
    function = torch.load(path, weights_only=False, mmap=True)  # code on purpose: the caller's own, just written
    return pickle.dumps(function(task))
