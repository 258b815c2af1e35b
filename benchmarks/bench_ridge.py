"""Ridge regression: memory for an hour of recording, and time per penalty against scikit-learn.

    python benchmarks/bench_ridge.py [--minutes 60] [--rounds 3]

An hour at 5 ms with 34 bands, 30 lags and 100 neurons; time is compared on six minutes, for which the
design matrix that scikit-learn needs fits the memory of any machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.models.audio.ridge import fit_ridge

DT_MS, N_BANDS, N_LAGS, N_NEURONS = 5.0, 34, 30, 100
PENALTIES = [10.0**exponent for exponent in range(-3, 4)]
MEMORY_LIMIT = 1.0  # of three times the data and four times the Gram matrix
SPEED_LIMIT = 10.0


def recording(minutes: float, stimulus_s: float) -> AudioNeuralDataset:
    """Noise, in stimuli of so many seconds; nothing but its size matters here."""
    bins, each = round(minutes * 60_000 / DT_MS), round(stimulus_s * 1000 / DT_MS)
    generator = torch.Generator().manual_seed(0)
    stims, responses = [], []
    for start in range(0, bins, each):
        n_bins = min(each, bins - start)
        stims.append(torch.randn(1, N_BANDS, n_bins, generator=generator))
        responses.append(torch.rand(N_NEURONS, 1, n_bins, generator=generator))
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=DT_MS)


def fit(data: AudioNeuralDataset) -> float:
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing predicts noise
        fit_ridge(data, window_ms=N_LAGS * DT_MS, alphas=PENALTIES)
    return time.process_time() - start


def memory(minutes: float, stimulus_s: float) -> dict:
    """Peak of the process while it fits, in MiB: the data, what came on top of them, and what is allowed."""
    data = recording(minutes, stimulus_s)
    size = sum(stim.nbytes for stim in data.stims) + sum(block.values.nbytes for block in data._packed().blocks())
    fit(recording(0.5, 10.0))  # what loads once, and the buffers of the linear algebra
    Path("/proc/self/clear_refs").write_text("5")  # the peak of making the data is forgotten
    before = _memory_mib("VmRSS")
    seconds = fit(data)
    gram = (N_BANDS * N_LAGS) ** 2 * 8
    extra = _memory_mib("VmHWM") - before
    return {"data": size / 2**20, "extra": extra, "limit": (3 * size + 4 * gram) / 2**20, "seconds": seconds}


def _memory_mib(field: str) -> float:
    """Resident memory (VmRSS) or its peak (VmHWM)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


def measured_memory(minutes: float, stimulus_s: float) -> dict:
    """The same in a process of its own, whose peak is that of nothing else."""
    code = (
        "import bench_ridge, json, torch; torch.set_num_threads(1); "
        f"print(json.dumps(bench_ridge.memory({minutes}, {stimulus_s})))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    return json.loads(out.stdout)


def speed(rounds: int) -> list[float]:
    """Time of scikit-learn's Ridge per penalty over ours, with the folds and the fit to everything."""
    from sklearn.linear_model import Ridge

    data = recording(6.0, 10.0)
    features = torch.cat([_windows(stim[0]) for stim in data.stims]).double().numpy()
    targets = torch.cat([torch.cat(list(row)).T for row in data.responses]).double().numpy()
    ratios = []
    for _ in range(rounds):
        start = time.process_time()
        Ridge(alpha=1.0).fit(features, targets)
        theirs = time.process_time() - start
        ratios.append(theirs / (fit(data) / len(PENALTIES) / 5))  # each penalty is fitted in five folds
    return ratios


def _windows(stim: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.pad(stim, (N_LAGS - 1, 0))
    return padded.unfold(1, N_LAGS, 1).permute(1, 0, 2).flatten(1)


def rows(rounds: int, minutes: float = 60.0) -> list[dict]:
    """For the table of all benchmarks."""
    table = []
    for name, stimulus_s in (("one stimulus", 60 * minutes), ("stimuli of 10 s", 10.0)):
        found = measured_memory(minutes, stimulus_s)
        ratio = found["extra"] / found["limit"]
        label = f"ridge, {minutes:g} min in {name}: peak over the data / (3 data + 4 Gram)"
        table.append({"row": label, "values": [ratio], "limit": f"<= {MEMORY_LIMIT}", **found})
    ratios = speed(rounds)
    table.append({"row": "scikit-learn's Ridge / ours, per penalty", "values": ratios, "limit": f">= {SPEED_LIMIT}"})
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in rows(options.rounds, options.minutes):
        sizes = (
            f"   data {row['data']:.0f} MiB, on top {row['extra']:.0f} MiB, {row['seconds']:.0f} s"
            if "data" in row
            else ""
        )
        print(f"{row['row']:60} {statistics.median(row['values']):6.2f}   limit {row['limit']}{sizes}", flush=True)


if __name__ == "__main__":
    main()
