"""Collating a large recording, in time and memory relative to cloning its responses and mask.

    python benchmarks/bench_collate.py [--scale 0.25]

The recording has the size of CRCNS AA2: 81 stimuli x 494 neurons x 20 repeats x 511 bins (1.6 GB); --scale shrinks the
number of stimuli. Expected: every time ratio at most 2.5, every memory ratio at most about 1.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from deepSTRF.datasets import NeuralDataset
from deepSTRF.utils import neural_collate

REFERENCE = "clone responses and mask"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and the highest resident memory above the start, sampled every millisecond."""
    gc.collect()
    start_bytes = peak = resident_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident_bytes())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    peak = max(peak, resident_bytes())
    done.set()
    watcher.join()
    del result
    return seconds, peak - start_bytes


def recording(n_stims: int, missing: float) -> NeuralDataset:
    ds = NeuralDataset("bench", 5.0)
    generator = torch.Generator().manual_seed(0)
    n_neurons = 494
    ds.N_neurons = n_neurons
    ds.stims = [torch.rand(1, 32, 511, generator=generator) for _ in range(n_stims)]
    ds.stim_meta = [{} for _ in range(n_stims)]
    ds.nrn_meta = [{} for _ in range(n_neurons)]
    for _ in range(n_stims):
        row = torch.rand(n_neurons, 20, 511, generator=generator)
        if missing:
            row[torch.rand(n_neurons, generator=generator) < missing] = float("nan")
        ds.responses.append(row)
    ds.validate()
    return ds


def sampled(ds: NeuralDataset, rounds: int) -> dict[str, list[tuple[float, int]]]:
    """Seconds and bytes of cloning (the reference) and of collating, `rounds` times in turn."""
    packed = [ds.responses[s].block.values for s in range(len(ds))]
    shape = (len(ds), ds.N_neurons, 20, 511)
    mask = torch.ones(shape, dtype=torch.bool)

    def clone() -> object:
        # What a batch has to hold at least: the responses of everyone, and their mask.
        full = torch.empty(shape)
        for target, block in zip(full, packed, strict=True):
            target[: len(block)].copy_(block)
            target[len(block) :].fill_(float("nan"))
        return full, mask.clone()

    works = {
        REFERENCE: clone,
        "collate all at once": lambda: neural_collate([ds[i] for i in range(len(ds))]),
        "collate in batches of 8": lambda: [
            neural_collate([ds[i] for i in range(start, min(start + 8, len(ds)))]) for start in range(0, len(ds), 8)
        ],
    }
    samples: dict[str, list[tuple[float, int]]] = {name: [] for name in works}
    for _ in range(rounds):  # interleaved, so that a busy machine slows all of them
        for label, work in works.items():
            samples[label].append(measured(work))
    return samples


def report(name: str, ds: NeuralDataset, rounds: int) -> None:
    samples = sampled(ds, rounds)
    base_seconds, base_bytes = (statistics.median(values) for values in zip(*samples[REFERENCE], strict=True))
    print(f"\n{name}: {len(ds)} stimuli, medians of {rounds} (lowest to highest)")
    for label, values in samples.items():
        seconds = sorted(second for second, _ in values)
        memory = statistics.median(n for _, n in values)
        print(
            f"  {label:26s} {statistics.median(seconds):6.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f}) "
            f"x{statistics.median(seconds) / base_seconds:4.2f} time   x{memory / base_bytes:4.2f} memory"
        )


def report_concat(ds: NeuralDataset) -> None:
    before = resident_bytes()
    joined = ds + ds
    grown = resident_bytes() - before
    print(f"\njoining with itself: {joined!r} takes {grown / 2**20:.1f} MiB more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.25, help="fraction of the 81 stimuli")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n_stims = max(1, round(81 * arguments.scale))
    for name, missing in (("complete", 0.0), ("half of the pairs missing", 0.5)):
        ds = recording(n_stims, missing)
        report(name, ds, arguments.rounds)
        report_concat(ds)


if __name__ == "__main__":
    main()
