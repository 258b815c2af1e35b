"""Kill a training with ``kill -9`` at random points, start it again, and compare with one that was never killed.

Half of the kills come at random times, half at a random step of writing a file (before the data are on the disk, or
before the new file takes the place of the old one). Also: what saving the state adds to an NS1-sized StateNet epoch.

Run: python benchmarks/bench_resume.py [--kills 30] [--seed 0] [--json]
"""

import argparse
import functools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models.audio import Linear, StateNet
from deepSTRF.training import Fitter, set_random_seed
from deepSTRF.utils import neural_collate

MODELS = {"StateNet": StateNet, "Linear, per-cell best": Linear}
EPOCHS = 12


def worker(name: str, folder: str, die_at_write: int) -> None:
    """What a user's script does, from its first line; dies at the given step of writing (0: never)."""
    torch.set_num_threads(1)
    if die_at_write:
        _die_at_step(die_at_write)
    set_random_seed(0)
    dataset = SimulatedDataset(n_neurons=8, n_stims=12, duration_s=1.0)
    train, val, _ = dataset.split("holdout:2")
    model = MODELS[name](n_frequency_bands=dataset.F, out_neurons=8)
    fitter = Fitter(
        model,
        DataLoader(train, 2, shuffle=True, collate_fn=neural_collate),
        DataLoader(val, 2, collate_fn=neural_collate),
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3),
        max_epochs=EPOCHS,
        patience=EPOCHS,
        ckpt_path=Path(folder) / "best.pt",
        resume=True,
        track_per_cell_best="per-cell" in name,
        log_fn=lambda row: print(row["epoch"], flush=True),
    )
    print("start", flush=True)
    history = fitter.fit()
    torch.save({"history": history, "model": model.state_dict()}, Path(folder) / "final.pt")


def _die_at_step(number: int) -> None:
    """Kill this process before the given call of fsync or replace: with half a file, or with two."""
    calls = iter(range(1, 10**6))

    def deadly(function, *arguments, **keywords):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **keywords)

    os.fsync, os.replace = functools.partial(deadly, os.fsync), functools.partial(deadly, os.replace)


def live(name: str, folder: Path, die_at_write: int = 0, die_after: float | None = None) -> bool:
    """Run the worker once; return whether it was killed."""
    command = [sys.executable, __file__, "--worker", name, str(folder), str(die_at_write)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    process.stdout.readline()  # it begins
    if die_after is not None:
        time.sleep(die_after)
        process.kill()
    process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the worker failed with exit code {process.returncode}; its message is above")
    return process.returncode != 0


def equal(one, two) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(nan=12345.0), two.nan_to_num(nan=12345.0))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(equal, one, two))
    return one == two


def kill_row(name: str, kills: int, seed: int) -> dict:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as root:
        whole = Path(root) / "whole"
        whole.mkdir()
        started = time.perf_counter()
        live(name, whole)
        seconds = max(0.5, time.perf_counter() - started - 3)  # without the imports
        reference = torch.load(whole / "final.pt", weights_only=True)
        identical = hits = tries = 0
        while hits < kills:  # a kill that comes after the end is no kill
            folder = Path(root) / str(tries)
            folder.mkdir()
            if tries % 2:
                hit = live(name, folder, die_at_write=rng.randint(1, 3 * EPOCHS))
            else:
                hit = live(name, folder, die_after=rng.uniform(0, seconds))
            tries += 1
            if hit:
                live(name, folder)
                hits += 1
                identical += equal(torch.load(folder / "final.pt", weights_only=True), reference)
    return {"row": f"kill -9, {name}: bit-identical after resume", "kills": hits, "identical": identical}


def overhead_row(rounds: int) -> dict:
    """Epochs of an NS1-sized StateNet with and without saving, in turn."""
    from bench_fitter import BANDS, SIZES, loaders, make_dataset

    torch.set_num_threads(1)
    train, val = loaders(make_dataset("NS1"), 1)
    ratios, saving = [], []
    with tempfile.TemporaryDirectory() as folder:
        model = StateNet(n_frequency_bands=BANDS, out_neurons=SIZES["NS1"][1])
        fitter = Fitter(model, train, val, ckpt_path=Path(folder) / "best.pt", resume=True, log_fn=None)
        fitter._start_fit()
        for epoch in range(rounds + 1):
            started = time.perf_counter()
            row = fitter.run_epoch(epoch)
            fitter.history.append(row)
            fitter.keep_best(epoch, row["val_cc_norm"])
            trained = time.perf_counter()
            fitter._saved_training.save()
            done = time.perf_counter()
            if epoch:
                saving.append(1e3 * (done - trained))
                ratios.append((done - trained) / (trained - started))
    return {
        "row": "saving the state / NS1-sized StateNet epoch (1 thread)", "median": statistics.median(ratios),
        "low": min(ratios), "high": max(ratios), "limit": 0.03, "milliseconds": statistics.median(saving),
    }  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [overhead_row(options.rounds)] + [kill_row(name, options.kills, options.seed) for name in MODELS]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            "   ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )


if __name__ == "__main__":
    main()
