"""What an epoch of the Fitter costs beside a bare loop over the same batches, and the memory that it takes.

t = a bare loop (training: forward, loss against a ready PSTH, backward, step; validation: forward) + one plain
iteration over both loaders. Rows are ratios to t, measured alternately in one run.

Run: python benchmarks/bench_fitter.py [--threads 2] [--rounds 7] [--memory]
"""

import argparse
import json
import resource
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
MODELS = {"Linear": (Linear, 1.3), "StateNet": (StateNet, 1.1)}


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
        for _ in loader:
            pass


def time_model(name: str, rounds: int) -> dict:
    train, val = loaders(make_dataset("NS1"), 1)
    ready = [[(b["stims"], b["responses"].nanmean(2, keepdim=True)) for b in loader] for loader in (train, val)]
    cls, limit = MODELS[name]
    model = cls(n_frequency_bands=BANDS, out_neurons=SIZES["NS1"][1])
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


def memory_of_epoch(fit: bool) -> float:
    """Peak memory in MiB of a process that makes the AA2-sized set and runs an epoch, or only iterates."""
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import bench_fitter; bench_fitter.memory_worker({fit})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def memory_worker(fit: bool) -> None:
    dataset = make_dataset("AA2", bands=8)
    train, val = loaders(dataset, 8)
    model = Linear(n_frequency_bands=8, out_neurons=SIZES["AA2"][1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if fit:
        Fitter(model, train, val, log_fn=None).run_epoch(0)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def memory_row() -> dict:
    n_stims, n_neurons, n_repeats, n_bins = SIZES["AA2"]
    extra = memory_of_epoch(True) / (n_stims * n_neurons * n_repeats * n_bins * 4 / 2**20)
    return {
        "row": "extra memory of an AA2-sized epoch / data set", "median": extra, "low": extra, "high": extra,
        "limit": 0.35,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="also the peak memory of an AA2-sized epoch")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [time_model(name, options.rounds) for name in MODELS]
    if options.memory:
        rows.append(memory_row())
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
