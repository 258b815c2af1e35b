"""A sweep of 24 runs over a Dask scheduler and two workers, of which one is killed, and the same sweep in one process.

The commands are a user's: ``dask scheduler``, ``dask worker`` and ``deepstrf sweep``, all on this machine. The worker
is killed with ``kill -9`` in the middle of a run, and does not come back.

Run: python benchmarks/bench_sweep_dask.py [--runs 24] [--json]
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS_PER_SEED = 6  # 2 bin widths × 3 models and options
SWEEP = """
seeds = {seeds}
[[dataset]]
name = "simulated"
dt_ms = [10, 20]
[[model]]
name = "linear"
epochs = 10
lr = [1e-3, 1e-2]
[[model]]
name = "statenet"
epochs = 3
"""
SAME_BYTES = ("model/model.safetensors", "predictions.npz", "neurons.csv")
LIMIT_S = 900
DEEPSTRF = [sys.executable, "-W", "ignore", "-c", "from deepSTRF.cli.main import main; main()"]


def demonstrate(runs: int, folder: Path) -> dict:
    config = folder / "sweep.toml"
    config.write_text(SWEEP.format(seeds=list(range(runs // RUNS_PER_SEED))))
    started = time.perf_counter()
    serial = sweep(config, folder / "serial", "--jobs", "1")
    between = time.perf_counter()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    processes = [dask(folder, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")]
    try:
        for _ in range(2):
            processes.append(dask(folder, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"))
        on_dask = sweep(config, folder / "dask", "--dask", address, kill=(processes[1], runs // 4))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    same = [
        all(
            (folder / "dask" / name / file).read_bytes() == (folder / "serial" / name / file).read_bytes()
            for file in SAME_BYTES
        )
        and epochs(folder / "dask" / name) == epochs(folder / "serial" / name)
        and on_dask[name] == serial[name]
        for name in serial
        if on_dask[name]["status"] == "complete"
    ]
    return {
        "runs": len(serial),
        "killed workers": 1,
        "complete": len(same),
        "identical to serial": sum(same),
        "serial s": between - started,
        "dask s": time.perf_counter() - between,
    }


def dask(folder: Path, kind: str, *options: str) -> subprocess.Popen:
    with (folder / "dask.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options], stdout=log, stderr=log, env=one_thread()
        )


def sweep(config: Path, out: Path, *options: str, kill: tuple[subprocess.Popen, int] | None = None) -> dict:
    """Run the command to its end; give the rows of its table, without the clock, by run."""
    process = subprocess.Popen(
        [*DEEPSTRF, "sweep", str(config), "--out", str(out), "--json", *options],
        stdout=subprocess.PIPE, env=one_thread(),
    )  # fmt: skip
    try:
        if kill is not None:
            kill_in_the_middle(out, process, *kill)
        printed, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return {row["folder"]: row | {"fit_seconds": None} for row in json.loads(printed)["runs"]}


def kill_in_the_middle(out: Path, process: subprocess.Popen, victim: subprocess.Popen, complete: int) -> None:
    """Kill the worker when some runs are complete and both workers are training."""
    end = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        if len(list(out.glob("*/scores.json"))) >= complete and len(list(out.glob("*/training/*.resume"))) == 2:
            victim.send_signal(signal.SIGKILL)
            print(f"killed worker {victim.pid}", file=sys.stderr)
            return
        time.sleep(0.01)
    raise RuntimeError("the sweep ended, or nothing happened, before a worker could be killed")


def epochs(folder: Path) -> list[dict]:
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [json.loads(line) | {"seconds": None} for line in lines]


def one_thread() -> dict:
    return os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=24, help=f"a multiple of {RUNS_PER_SEED}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.runs < RUNS_PER_SEED or options.runs % RUNS_PER_SEED:
        parser.error(f"--runs must be a multiple of {RUNS_PER_SEED}, got {options.runs}")
    with tempfile.TemporaryDirectory() as folder:
        row = demonstrate(options.runs, Path(folder))
    if options.json:
        print(json.dumps(row, indent=1))
    else:
        print(
            "   ".join(
                f"{name}: {value:.0f}" if isinstance(value, float) else f"{name}: {value}"
                for name, value in row.items()
            )
        )
    if row["identical to serial"] != row["runs"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
