"""Processes that start at once: each is a fork of one that has loaded torch and deepSTRF, and that nothing else uses.

A new Python loads torch for some seconds, which most tests with processes are not about. Tests of what an import loads
start one nevertheless. This file imports little, because every process imports it.
"""

import atexit
import multiprocessing.forkserver
import os
import sys
from pathlib import Path
from typing import NamedTuple

COMMAND = "from deepSTRF.cli.main import main; main()"
PRELOADED = [
    "torch", "torch._dynamo", "torchmetrics", "distributed", "deepSTRF.cli.main", "deepSTRF.sweeps.sweep",
]  # fmt: skip


class Done(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str


def context():
    """The context of :mod:`multiprocessing` for processes that are such forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(code, *arguments, folder, environment=None):
    """Start Python code in a folder, as ``python -c code arguments >out 2>err`` would; return the process.

    `environment` stands for that of the tests. What is read from it while torch or Dask are loaded is read already.
    """
    environment = dict(os.environ if environment is None else environment)
    process = context().Process(
        target=_run_code, args=(code, [str(argument) for argument in arguments], str(folder), environment)
    )
    process.start()
    return process


def run(code, *arguments, folder, environment=None, seconds=120):
    """Run Python code to its end."""
    process = start(code, *arguments, folder=folder, environment=environment)
    return wait(process, folder, seconds)


def wait(process, folder, seconds=120):
    """Wait for a process that was started in a folder; one that does not end is killed."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    return Done(process.exitcode, *((Path(folder) / name).read_text() for name in ("out", "err")))


def run_file(path, *arguments):
    """Run a file in this process, as ``python path arguments`` would."""
    import runpy

    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


def _run_code(code, arguments, folder, environment):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        with open(name, "wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = ["-c", *arguments]
    # Processes that this one starts in turn are forks of the same server: multiprocessing would start another one.
    multiprocessing.forkserver._forkserver.ensure_running = lambda: None
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out
