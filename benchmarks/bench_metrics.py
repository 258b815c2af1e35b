"""Speed and memory of the metrics on an AA2-sized tensor, relative to ``torch.nanmean(responses, 2)`` on the same.

    python benchmarks/bench_metrics.py [--threads 2] [--repeats 3] [--fraction 1.0]

Every row is measured in a process of its own, which makes the tensor, then alternates the metric with the reference, so
that both see the same machine. Prints medians, the spread (min–max), the ratio of the medians, and the memory that the
metric needed beyond its input (growth of the peak resident size), relative to the tensor. ``--fraction`` takes fewer
stimuli.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from deepSTRF.metrics import ccmax, corrcoef, normalized_corrcoef, snr
from deepSTRF.metrics.blocks import average_repeats

SHAPE = (81, 494, 20, 511)  # stimuli, neurons, repeats, bins of CRCNS AA2

METRICS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "corrcoef": lambda pred, responses: corrcoef(pred, responses),
    "schoppe": lambda pred, responses: normalized_corrcoef(pred, responses),
    "schoppe concatenated": lambda pred, responses: normalized_corrcoef(pred, responses, signal_power="concatenated"),
    "hsu": lambda pred, responses: normalized_corrcoef(pred, responses, method="hsu"),
    "snr": lambda pred, responses: snr(responses),
    "ccmax": lambda pred, responses: ccmax(responses),
    "average_repeats": lambda pred, responses: average_repeats(responses),
}
DATA = ("dense", "missing", "ragged bins")


def make(data: str, fraction: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Responses: complete; half of the pairs missing, 8 to 20 repeats and ragged lengths; also cut-off repeats."""
    stimuli, neurons, repeats, bins = SHAPE
    stimuli = max(1, round(stimuli * fraction))
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(stimuli, neurons, 1, bins, generator=generator)
    responses = torch.empty(stimuli, neurons, repeats, bins)
    for b in range(stimuli):
        torch.rand(neurons, repeats, bins, generator=generator, out=responses[b])
        responses[b] += pred[b]
        if data != "dense":
            last = torch.randint(8, repeats + 1, (neurons, 1, 1), generator=generator)
            responses[b].masked_fill_(torch.arange(repeats)[:, None] >= last, torch.nan)
            absent = torch.rand(neurons, 1, 1, generator=generator) < 0.5
            responses[b].masked_fill_(absent, torch.nan)
            responses[b, :, :, bins - int(torch.randint(0, 100, (1,), generator=generator)) :] = torch.nan
        if data == "ragged bins":
            cut = torch.rand(neurons, repeats, 1, generator=generator) * 4 * bins
            responses[b].masked_fill_(torch.arange(bins) >= cut, torch.nan)
    return pred, responses


def peak() -> float:
    """Peak resident size of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def measure(name: str, data: str, threads: int, repeats: int, fraction: float) -> dict[str, object]:
    """Run one row in this process."""
    torch.set_num_threads(threads)
    metric = METRICS[name]
    pred, responses = make(data, fraction)
    small = slice(0, 1)
    metric(pred[small, :8], responses[small, :8])  # imports and thread pools are no temporaries
    before = peak()
    metric(pred, responses)
    extra = (peak() - before) / (responses.numel() * 4)
    own, reference = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        metric(pred, responses)
        own.append(time.perf_counter() - start)
        start = time.perf_counter()
        torch.nanmean(responses, 2)
        reference.append(time.perf_counter() - start)
    return {"metric": name, "data": data, "seconds": own, "nanmean": reference, "extra": extra}


def of_psth(missing: float, rounds: int) -> list[float]:
    """Time of corrcoef on PSTHs of the size of NS1 over that of torchmetrics, which knows no missing data."""
    from torchmetrics.functional import pearson_corrcoef

    generator = torch.Generator().manual_seed(0)
    psth = torch.rand(20, 119, 1, 999, generator=generator)
    pred = psth + torch.rand(psth.shape, generator=generator)
    columns = [values[:, :, 0].transpose(1, 2).reshape(-1, 119) for values in (pred, psth)]
    psth[torch.rand(psth.shape, generator=generator) < missing] = torch.nan
    ratios = []
    for _ in range(rounds + 1):  # the first one warms up
        start = time.perf_counter()
        corrcoef(pred, psth, reduction="none")
        middle = time.perf_counter()
        pearson_corrcoef(*columns)
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return ratios[1:]


def measured_row(name: str, data: str, threads: int, repeats: int, fraction: float) -> dict[str, object]:
    """Run one row in a process of its own."""
    command = [sys.executable, __file__, "--row", name, data]
    command += [f"--threads={threads}", f"--repeats={repeats}", f"--fraction={fraction}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Run all rows, each in a fresh process, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--metric", choices=METRICS, action="append")
    parser.add_argument("--data", choices=DATA, action="append")
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        row = measure(*options.row, options.threads, options.repeats, options.fraction)
        print(json.dumps(row))
        return
    if not options.json:
        print(f"shape {SHAPE} x {options.fraction:g}, torch {torch.__version__}, {options.threads} threads")
        print(f"{'metric':22}{'data':13}{'median s':>9}{'min-max':>13}{'nanmean s':>11}{'ratio':>7}{'memory':>8}")
    for data in options.data or DATA:
        for name in options.metric or METRICS:
            row = measured_row(name, data, options.threads, options.repeats, options.fraction)
            if options.json:
                print(json.dumps(row), flush=True)
                continue
            own, reference = statistics.median(row["seconds"]), statistics.median(row["nanmean"])
            spread = f"{min(row['seconds']):.2f}-{max(row['seconds']):.2f}"
            print(
                f"{name:22}{data:13}{own:9.2f}{spread:>13}{reference:11.2f}{own / reference:7.2f}{row['extra']:8.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
