"""All benchmarks in one table: `make bench`, or python benchmarks/run.py [--threads 2] [--rounds 5] [--json]

Every row without a unit is a ratio measured in one run, so that it says the same on another machine: the median, the
lowest and the highest of the rounds, and the limit that it may have. Takes a few minutes, and about 5 GB of memory for
the AA2-sized set.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bench_collate
import bench_fitter
import bench_import
import bench_metrics
import bench_ridge
import torch

FRACTION = 0.25  # of the AA2-sized set, for metrics and collate
METRIC_LIMITS = {"corrcoef": 1.5, "schoppe": 1.5}  # of the time of nanmean, on complete data
METRIC_MEMORY_LIMIT = 0.25
PSTH_LIMIT = 1.3
COLLATE_LIMIT = 2.5
FITS = (("ridge", 4, 0.648), ("poisson-ln", 5, 0.71), ("statenet", 90, 0.78))  # seconds and score on NS1


def row_of(name: str, values: list[float], limit: str) -> dict:
    return {"row": name, "median": statistics.median(values), "low": min(values), "high": max(values), "limit": limit}


def loading(rounds: int) -> dict:
    both = bench_fitter.loaders(bench_fitter.make_dataset("NS1"), 1)
    whole = torch.cat([batch["responses"] for loader in both for batch in loader])
    ratios = []
    for _ in range(rounds + 1):
        clone = bench_fitter.seconds(lambda: [one.clone() for one in whole])
        ratios.append(bench_fitter.seconds(bench_fitter.iterate, *both) / clone)
    return row_of("iterate both loaders / clone the responses, NS1-sized", ratios[1:], "")  # the first one warms up


def collate(rounds: int) -> Iterator[dict]:
    for data, missing in (("complete", 0.0), ("half missing", 0.5)):
        dataset = bench_collate.recording(max(1, round(81 * FRACTION)), missing)
        samples = bench_collate.sampled(dataset, rounds)
        label = "collate in batches of 8"
        pairs = list(zip(samples[label], samples[bench_collate.REFERENCE], strict=True))
        yield row_of(f"{label} / clone, {data}", [own[0] / clone[0] for own, clone in pairs], f"<= {COLLATE_LIMIT}")


def metrics(threads: int, rounds: int) -> Iterator[dict]:
    for data in ("dense", "missing"):
        for name in ("corrcoef", "schoppe", "average_repeats"):
            raw = bench_metrics.measured_row(name, data, threads, rounds, FRACTION)
            ratios = [own / reference for own, reference in zip(raw["seconds"], raw["nanmean"], strict=True)]
            limit = f"<= {METRIC_LIMITS[name]}" if data == "dense" and name in METRIC_LIMITS else ""
            yield row_of(f"{name} / nanmean, {data}", ratios, limit)
            if limit:
                yield row_of(f"{name}, extra memory / data", [raw["extra"]], f"<= {METRIC_MEMORY_LIMIT}")


def of_psth(rounds: int) -> Iterator[dict]:
    for data, missing in (("complete", 0.0), ("a tenth missing", 0.1)):
        ratios = bench_metrics.of_psth(missing, rounds)
        yield row_of(f"corrcoef of a PSTH / Pearson of torchmetrics, {data}", ratios, f"<= {PSTH_LIMIT}")


def fitter(rounds: int) -> Iterator[dict]:
    rows = [bench_fitter.time_model(name, rounds) for name in bench_fitter.ROWS] + bench_fitter.memory_rows()
    yield from ({**row, "limit": f"<= {row['limit']}" if row["limit"] else ""} for row in rows)


def time_to_score() -> Iterator[dict]:
    """Default recipes on NS1, where the recording lies; no row where it does not."""
    from deepSTRF.runs import FitOptions, fit_run

    data = Path(os.environ.get("DEEPSTRF_SHARED", "../shared")) / "data" / "ns1"
    if not data.is_dir():
        print(f"no row for the time to a score: {data} does not exist (set DEEPSTRF_SHARED)", file=sys.stderr)
        return
    for model, seconds, score in FITS:
        with tempfile.TemporaryDirectory() as folder:
            summary = fit_run(FitOptions(dataset="ns1", model=model, data=str(data)), Path(folder) / "run").summary
        yield row_of(f"seconds of fitting, {model} on ns1 (1 thread)", [summary["fit_seconds"]], f"<= {seconds}")
        yield row_of("test cc_norm of that fit, mean", [summary["parts"]["test"]["cc_norm"]["mean"]], f">= {score}")


def all_rows(threads: int, rounds: int) -> Iterator[dict]:
    ratios = [pair["Fitter"] / pair["torch"] for pair in bench_import.paired(rounds)]
    yield row_of("import the Fitter / import torch", ratios, "<= 1.3")
    yield row_of("deepstrf --help, user seconds", bench_import.help_seconds(rounds), "<= 0.15")
    yield row_of("first epoch of deepstrf fit / torch and data", bench_import.first_epoch(rounds), "<= 1.5")
    yield loading(rounds)
    yield from collate(rounds)
    yield from metrics(threads, rounds)
    yield from of_psth(rounds)
    yield from fitter(rounds)
    yield from (row_of(row["row"], row["values"], row["limit"]) for row in bench_ridge.rows(rounds))
    yield from time_to_score()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of the table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.json:
        print(json.dumps(list(all_rows(options.threads, options.rounds)), indent=1))
        return
    print(f"torch {torch.__version__}, {options.threads} threads, {options.rounds} rounds")
    print(f"{'row':56}{'median':>8}   {'low - high':16}limit")
    for row in all_rows(options.threads, options.rounds):
        spread = f"{row['low']:.2f} - {row['high']:.2f}"
        print(f"{row['row']:56}{row['median']:8.2f}   {spread:16}{row['limit']}", flush=True)


if __name__ == "__main__":
    main()
