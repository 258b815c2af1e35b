"""A sweep over a real Dask scheduler and two worker processes, of which one is killed."""

import signal
import socket
import sys
import threading
import time
from pathlib import Path

import processes
import pytest
from shell import run as command
from time_limit import fail_after

from deepSTRF.runs import FitOptions, RunError
from deepSTRF.sweeps import Run, Sweep, run_sweep, table
from deepSTRF.sweeps import sweep as sweeps

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("no_figures"),
    pytest.mark.skipif(sys.platform == "win32", reason="uses process groups"),
]

DEADLY = 13  # a run with this seed kills every worker that does it
LIMIT = 180  # seconds for a test: nothing here may hang


SCHEDULER = """
import dask
from distributed.cli.dask_scheduler import main
# One blamed death is enough, where Dask would wait for four.
dask.config.set({"distributed.scheduler.allowed-failures": 0})
main()
"""
# Runs are cheap, and one of them is deadly.
WORKER = f"""
import os, sys
import tiny_data
from deepSTRF.sweeps import sweep
from distributed.cli.dask_worker import main

fit_run = sweep.fit_run

def fit_or_die(options, *arguments, **keywords):
    if options.seed == {DEADLY}:
        os._exit(9)
    return fit_run(options, *arguments, **keywords)

sweep.fit_run = fit_or_die
sys.modules["deepSTRF.runs.fit"].draw_figures = lambda *_, **__: []
main()
"""


class Cluster:
    """A scheduler on loopback, and the workers that a test asks for."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{port}"
        self.processes = []
        self.ended, self.supervisor = threading.Event(), None
        self.scheduler = self._start(SCHEDULER, "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        self.port = port

    def wait_for_scheduler(self):
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.scheduler.exitcode is None, (self.folder / "0" / "err").read_text()
                time.sleep(0.05)

    def start_worker(self):
        # no nanny: a worker that is killed stays dead
        return self._start(WORKER, self.address, "--nthreads", 1, "--no-dashboard", "--no-nanny")

    def _start(self, code, *arguments):
        folder = self.folder / str(len(self.processes))
        folder.mkdir()
        self.processes.append(processes.start(code, *arguments, folder=folder))
        return self.processes[-1]

    def keep_a_worker(self):
        """Start one, and another one whenever it died, as a batch system does.

        A nanny would not do: it gives up where its worker dies while it is still being started.
        """

        def supervise():
            worker = None
            while not self.ended.wait(0.1):
                if worker is None or worker.exitcode is not None:
                    worker = self.start_worker()

        self.supervisor = threading.Thread(target=supervise, daemon=True)
        self.supervisor.start()

    def end(self):
        self.ended.set()
        if self.supervisor is not None:
            self.supervisor.join(10)
        for process in self.processes:
            process.kill()
            process.join(10)


@pytest.fixture
def time_limit(tmp_path):
    """Fail a test that hangs."""

    def logs():
        texts = [f"{path.name}\n{path.read_text()}" for path in sorted(tmp_path.glob("cluster/*/err"))]
        return "\n".join([f"nothing came to an end in {LIMIT} s", *texts])

    with fail_after(LIMIT, logs):
        yield


@pytest.fixture
def cluster(tmp_path, time_limit):
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster")
    try:
        cluster.wait_for_scheduler()
        yield cluster
    finally:
        cluster.end()


def runs_of(*seeds, epochs=30):
    options = {"dataset": "tiny", "model": "linear", "epochs": epochs, "patience": 60, "batch_size": 1}
    return tuple(Run(f"run{seed}", FitOptions(seed=seed, **options)) for seed in seeds)


def kill_in_the_middle(out, process, running):
    """Kill a process when as many runs are under way."""

    def kill():
        end = time.monotonic() + LIMIT
        while len(list(out.glob("*/training/best.pt.resume"))) < running and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def without_clock(outcomes):
    return [{**row, "fit_seconds": None} for row in table(outcomes)]


def test_a_killed_worker_does_not_change_the_sweep(tmp_path, cluster):
    runs = (*runs_of(0, 1, 2), Run("ridge", FitOptions(dataset="tiny", model="ridge")))
    _, victim = cluster.start_worker(), cluster.start_worker()
    serial = run_sweep(Sweep(tmp_path / "serial", runs))
    killer = kill_in_the_middle(tmp_path / "out", victim, running=2)
    outcomes = run_sweep(Sweep(tmp_path / "out", runs), scheduler=cluster.address)
    killer.join()
    victim.join(10)
    assert victim.exitcode == -signal.SIGKILL
    assert [outcome.status for outcome in outcomes] == ["complete"] * 4
    assert [outcome.origin for outcome in outcomes].count("resumed") == 1
    assert without_clock(outcomes) == without_clock(serial)
    for run in runs:
        for name in ("model/model.safetensors", "predictions.npz", "neurons.csv"):
            ours, theirs = (tmp_path / out / run.name / name for out in ("out", "serial"))
            assert ours.read_bytes() == theirs.read_bytes()


def test_a_run_that_kills_its_workers_is_given_up_and_the_others_finish(tmp_path, cluster):
    """Dask blames the other run too, which only waited on the worker that died."""
    cluster.keep_a_worker()
    outcomes = run_sweep(Sweep(tmp_path / "out", runs_of(DEADLY, 1, epochs=2)), scheduler=cluster.address)
    assert [outcome.status for outcome in outcomes] == ["failed", "complete"]
    assert "KilledWorker" in outcomes[0].error
    assert "KilledWorker" in (tmp_path / "out" / "errors.txt").read_text()


def test_the_command_waits_for_workers_and_does_no_run_itself(tmp_path, cluster, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a run was done on the login node")

    monkeypatch.setattr(sweeps, "fit_run", refuse)
    config = tmp_path / "sweep.toml"
    config.write_text(
        'out = "out"\nseeds = [0, 1]\n[[dataset]]\nname = "tiny"\n[[model]]\nname = "linear"\nepochs = 2\n'
    )
    late = threading.Timer(3, cluster.start_worker)
    late.start()
    result = command("sweep", config, "--dask", cluster.address, exit_code=0)
    late.join()
    assert "the cluster has no worker: 2 runs wait for one" in result.stdout
    assert "[2/2]" in result.stdout
    assert Path(tmp_path, "out", "results.csv").exists()


def test_a_lost_scheduler_is_said_and_the_sweep_goes_on(tmp_path, cluster):
    cluster.start_worker()
    killer = kill_in_the_middle(tmp_path / "out", cluster.scheduler, running=1)
    with pytest.raises(RunError, match=f"lost the Dask scheduler at {cluster.address}"):
        run_sweep(Sweep(tmp_path / "out", runs_of(0, 1)), scheduler=cluster.address)
    killer.join()
    outcomes = run_sweep(Sweep(tmp_path / "out", runs_of(0, 1)))
    assert [outcome.status for outcome in outcomes] == ["complete"] * 2


def test_an_address_without_a_scheduler_is_said_at_once(tmp_path, time_limit, monkeypatch):
    monkeypatch.setattr("deepSTRF.sweeps.cluster.CONNECT_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # something that is no Dask scheduler, and waits itself
        for address in (f"tcp://127.0.0.1:{silent.getsockname()[1]}", "tcp://127.0.0.1:1", "127.0.0.1", ""):
            with pytest.raises(RunError, match=f"no Dask scheduler answers at '{address}'"):
                run_sweep(Sweep(tmp_path / "out", runs_of(0)), scheduler=address)
    assert not (tmp_path / "out").exists()
