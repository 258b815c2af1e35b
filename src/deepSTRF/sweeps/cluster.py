"""The runs of a sweep on the workers of a Dask cluster.

Joblib's backend for Dask does not do: it runs everything in the calling process while the cluster has one thread, fails
after some seconds without a worker, and waits forever for a run whose workers died one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deepSTRF.runs.options import RunError
from deepSTRF.sweeps.config_file import Run
from deepSTRF.sweeps.results import Outcome, one_line

__all__ = ["connect", "on_cluster"]

CONNECT_SECONDS = 10
POLL_SECONDS = 5  # how often the number of workers is asked for


@contextlib.contextmanager
def connect(address: str) -> Iterator[Any]:
    """Give a Dask client of the scheduler at `address`.

    Raises
    ------
    RunError
        If no scheduler answers there.
    ImportError
        If ``distributed`` is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("a Dask cluster needs dask and distributed: pip install deepSTRF[cluster]") from error
    hint = "give the address that the scheduler prints when it starts, tcp://HOST:PORT"
    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has an event loop of its own in this one
            kind = thread.submit(asyncio.run, _kind(address)).result()
    except (OSError, ValueError, MemoryError) as error:  # MemoryError: another server's greeting, taken for a length
        why = str(error) or f"no answer within {CONNECT_SECONDS} s"
        raise RunError(f"no Dask scheduler answers at {address!r} ({why}); {hint}") from error
    if kind != "Scheduler":
        raise RunError(f"there is a Dask {kind.lower()} at {address!r}, not a scheduler; {hint}")
    with Client(address, timeout=CONNECT_SECONDS) as client:
        yield client


async def _kind(address: str) -> str:
    """Kind of the Dask server at an address. Dask's client itself may wait forever for an answer."""
    from distributed.core import rpc

    async with rpc(address) as server:
        return (await asyncio.wait_for(server.identity(), CONNECT_SECONDS))["type"]


def on_cluster(
    client: Any,
    runs: Sequence[Run],
    out: Path,
    do_run: Callable[[Run, Path], Outcome],
    say: Callable[[str], None] | None,
) -> Iterator[Outcome]:
    """Do the runs on the cluster's workers; Dask gives the run of a worker that died to another one.

    Raises
    ------
    RunError
        If the scheduler is lost.
    """
    from distributed import CancelledError
    from distributed.scheduler import KilledWorker

    address = client.scheduler.address
    blamed = []
    try:
        # A key that is never used twice, for Dask would remember the outcome of a run that is tried again.
        futures = {client.submit(do_run, run, out, key=f"{run.name}-{uuid.uuid4().hex}"): run for run in runs}
        for future in _as_completed(client, list(futures), say):
            run, error = futures.pop(future), future.exception()
            if error is None:
                yield future.result()
            elif isinstance(error, KilledWorker) and len(runs) > 1:
                blamed.append(run)
            else:
                yield Outcome(run, "failed", error=one_line(error))
    except (CancelledError, OSError) as error:
        raise RunError(
            f"lost the Dask scheduler at {address}; the same sweep started again resumes its runs"
        ) from error
    for run in blamed:  # each alone: Dask also blames the runs that only waited on a worker which another one killed
        yield from on_cluster(client, [run], out, do_run, say)


def _as_completed(client: Any, left: list[Any], say: Callable[[str], None] | None) -> Iterator[Any]:
    """Yield the futures in the order in which they end, and report when the cluster has no worker.

    A batch system may take hours to start a worker, and silence looks like a hang.
    """
    from distributed import wait

    waiting = False
    while left:
        workers = len(client.ncores())
        if say is not None and waiting != (workers == 0):
            waiting = workers == 0
            say(f"workers now: {workers}" if workers else f"the cluster has no worker: {len(left)} runs wait for one")
        try:
            done = wait(left, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            continue
        left = [future for future in left if future not in done]
        yield from done
