"""How long it takes to begin: to import the Fitter, beside `import torch`; to the first epoch of `deepstrf fit`.

Run: python benchmarks/bench_import.py
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time

FIT = ("-c", "from deepSTRF.cli.main import main; main()", "fit")
DATA = "from deepSTRF.datasets.simulated import SimulatedDataset; SimulatedDataset()"
STATEMENTS = {"torch": "import torch", "Fitter": "from deepSTRF.training import Fitter"}
RUNS = 9


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def paired(runs: int = RUNS) -> list[dict[str, float]]:
    """Seconds of both statements, `runs` times in turn."""
    for statement in STATEMENTS.values():
        seconds(statement)  # warm the file cache
    return [{name: seconds(statement) for name, statement in STATEMENTS.items()} for _ in range(runs)]


def help_seconds(runs: int = RUNS) -> list[float]:
    """User seconds of `deepstrf --help`."""
    command = [sys.executable, "-c", "from deepSTRF.cli.main import main; main()", "--help"]
    user = []
    for _ in range(runs + 1):  # the first one warms the file cache
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        user.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return user[1:]


def to_first_epoch() -> float:
    """Seconds from the start of `deepstrf fit` to the end of its first epoch."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-u", *FIT, "--out", f"{folder}/run"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.startswith("epoch"):
                    break
            took = time.perf_counter() - start
            process.kill()
    return took


def first_epoch(runs: int) -> list[float]:
    """Ratios of the first epoch of `deepstrf fit` to importing torch and making the data that it is fitted to."""
    seconds(DATA)
    return [to_first_epoch() / seconds(DATA) for _ in range(runs)]


def main() -> None:
    pairs = paired()
    ratios = sorted(pair["Fitter"] / pair["torch"] for pair in pairs)
    for name in STATEMENTS:
        print(f"{STATEMENTS[name]:40} {statistics.median(pair[name] for pair in pairs):.2f} s (median of {RUNS})")
    print(f"ratio: median {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}; may be 1.3")
    ratios = sorted(first_epoch(5))
    print(f"first epoch of deepstrf fit / torch and data: median {statistics.median(ratios):.2f}; may be 1.5")
    print(f"deepstrf --help: {statistics.median(help_seconds()):.2f} s of user time (median of {RUNS}); may be 0.15")


if __name__ == "__main__":
    main()
