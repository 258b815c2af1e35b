"""What an epoch of the Fitter costs beside a bare loop over the same batches, and the memory that it takes.

t = a bare loop (training: forward, loss against a ready PSTH, backward, step; validation: forward) + one iteration over
both loaders that reads all repeats and their mask. Rows are ratios to t, measured alternately in one run. The Fitter,
which also computes all scores, needs no repeats.

Run: python benchmarks/bench_fitter.py [--threads 2] [--rounds 7] [--memory]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from deepSTRF.datasets import NeuralDataset
from deepSTRF.metrics import mse_loss
from deepSTRF.models.audio import Linear, StateNet
from deepSTRF.training import Fitter
from deepSTRF.utils import neural_collate

BANDS = 34
SIZES = {"NS1": (17, 119, 20, 999), "AA2": (81, 494, 20, 511)}  # stimuli, neurons, repeats, bins
ROWS = {  # model, size, stimuli in a batch, limit
    "Linear": (Linear, "NS1", 1, 1.0),
    "StateNet": (StateNet, "NS1", 1, 1.1),
    "Linear, AA2-sized": (Linear, "AA2", 8, 0.6),
}


def make_dataset(size: str, bands: int = BANDS) -> NeuralDataset:
    n_stims, n_neurons, n_repeats, n_bins = SIZES[size]
    generator = torch.Generator().manual_seed(0)
    dataset = NeuralDataset(size, 5.0)
    dataset.N_neurons = n_neurons
    dataset.nrn_meta = [{} for _ in range(n_neurons)]
    dataset.stim_meta = [{} for _ in range(n_stims)]
    dataset.stims = [torch.randn(1, bands, n_bins, generator=generator) for _ in range(n_stims)]
    dataset.responses = [
        torch.rand(n_neurons, n_repeats, n_bins, generator=generator).mul_(2).floor_() for _ in range(n_stims)
    ]
    dataset.validate()
    return dataset


def loaders(dataset: NeuralDataset, batch_size: int) -> tuple[DataLoader, DataLoader]:
    n = len(dataset.stims)
    n_val = max(1, round(0.18 * n))
    parts = dataset.subset(range(n - n_val)), dataset.subset(range(n - n_val, n))
    return tuple(DataLoader(part, batch_size=batch_size, collate_fn=neural_collate) for part in parts)


def bare_epoch(model, optimizer, train, val) -> None:
    model.train()
    for stims, psth in train:
        optimizer.zero_grad()
        mse_loss(model(stims), psth).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        for stims, _ in val:
            model(stims)


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def iterate(*both) -> None:
    for loader in both:
        for batch in loader:
            _ = batch["responses"], batch["valid_mask"]
            del batch


def time_model(name: str, rounds: int) -> dict:
    cls, size, batch_size, limit = ROWS[name]
    train, val = loaders(make_dataset(size), batch_size)
    ready = [[(batch["stims"], batch["psth"]) for batch in loader] for loader in (train, val)]
    model = cls(n_frequency_bands=BANDS, out_neurons=SIZES[size][1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    fitter = Fitter(model, train, val, optimizer=optimizer, log_fn=None)
    ratios, costs = [], []
    for i in range(rounds + 1):
        t = seconds(bare_epoch, model, optimizer, *ready) + seconds(iterate, train, val)
        epoch = seconds(fitter.run_epoch, i)
        if i:  # the first round warms up
            ratios.append(epoch / t)
            costs.append(t)
    return {
        "row": f"epoch / t, {name}", "median": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
        "limit": limit, "t_seconds": statistics.median(costs),
    }  # fmt: skip


def memory_of_epoch(what: str) -> float:
    """Peak memory in MiB of a process that makes the AA2-sized set and runs an epoch, beyond the set."""
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import bench_fitter; bench_fitter.memory_worker({what!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def memory_worker(what: str) -> None:
    dataset = make_dataset("AA2", bands=8)
    train, val = loaders(dataset, 8)
    model = Linear(n_frequency_bands=8, out_neurons=SIZES["AA2"][1])
    optimizer = torch.optim.AdamW(model.parameters())
    Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
    before = resident_mib("VmRSS")
    if what == "fit":
        Fitter(model, train, val, optimizer=optimizer, log_fn=None).run_epoch(0)
    else:
        bare_epoch(
            model, optimizer, *(((batch["stims"], batch["psth"]) for batch in loader) for loader in (train, val))
        )
    print(resident_mib("VmHWM") - before)


def resident_mib(name: str) -> float:
    """Resident memory of this process in MiB, now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def memory_rows() -> list[dict]:
    """Of an epoch of the Fitter, and of a bare loop over stimuli and PSTHs, which is mostly the backward pass."""
    n_stims, n_neurons, n_repeats, n_bins = SIZES["AA2"]
    data = n_stims * n_neurons * n_repeats * n_bins * 4 / 2**20
    rows = []
    for what, name, limit in (("fit", "epoch", 0.05), ("bare", "bare loop", "")):
        extra = memory_of_epoch(what) / data
        rows.append({
            "row": f"extra memory of an AA2-sized {name} / data set", "median": extra, "low": extra, "high": extra,
            "limit": limit,
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="also the peak memory of an AA2-sized epoch")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [time_model(name, options.rounds) for name in ROWS]
    if options.memory:
        rows += memory_rows()
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"torch {torch.__version__}, {options.threads} threads, {options.rounds} rounds")
    for row in rows:
        cost = f"   t = {row['t_seconds']:.3f} s" if "t_seconds" in row else ""
        print(
            f"{row['row']:48} {row['median']:.2f} ({row['low']:.2f} – {row['high']:.2f})   limit {row['limit']}{cost}"
        )


if __name__ == "__main__":
    main()
