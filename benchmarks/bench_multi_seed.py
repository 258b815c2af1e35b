"""What ``fit_multi_seed(n_jobs=2)`` gains over one seed after the other, one thread each, on an NS1-sized StateNet.

The ratio is seconds in series to seconds in parallel, measured in turn in one run. Parallel time includes the start of
the workers and their copies of the recording, which the loader factory holds. Both must give the same numbers, bit for
bit. Takes some minutes, and needs as many idle cores as there are jobs.

Run: python benchmarks/bench_multi_seed.py [--seeds 4] [--epochs 20] [--jobs 2] [--rounds 1] [--stimuli 17] [--json]
"""

import argparse
import json
import statistics
import time

import bench_fitter
import torch
from joblib.externals.loky import get_reusable_executor

from deepSTRF.models.audio import StateNet
from deepSTRF.training import fit_multi_seed

LIMIT = 1.7


def model_factory(seed: int) -> StateNet:
    return StateNet(n_frequency_bands=bench_fitter.BANDS, out_neurons=bench_fitter.SIZES["NS1"][1])


def timed(loaders, seeds: int, epochs: int, jobs: int) -> tuple[float, dict]:
    kwargs = {"max_epochs": epochs, "patience": epochs}
    start = time.perf_counter()
    result = fit_multi_seed(model_factory, lambda seed: loaders, seeds, fitter_kwargs=kwargs, n_jobs=jobs)
    return time.perf_counter() - start, result


def rows(seeds: int, epochs: int, jobs: int, rounds: int, stimuli: int) -> list[dict]:
    train, val = bench_fitter.loaders(bench_fitter.make_dataset("NS1").subset(range(stimuli)), 1)
    loaders = train, val, val
    ratios, serial, parallel, identical = [], [], [], True
    for _ in range(rounds):
        seconds, alone = timed(loaders, seeds, epochs, 1)
        serial.append(seconds)
        seconds, together = timed(loaders, seeds, epochs, jobs)
        parallel.append(seconds)
        get_reusable_executor().shutdown()  # the next round starts its workers anew
        ratios.append(serial[-1] / parallel[-1])
        identical &= all(torch.equal(alone[name], together[name]) for name in ("per_seed_val_loss", "per_seed_val_cc"))
    return [
        {
            "row": f"throughput of {seeds} seeds x {epochs} epochs, {jobs} jobs / serial", "limit": LIMIT,
            "median": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
            "serial_seconds": statistics.median(serial), "parallel_seconds": statistics.median(parallel),
            "identical": identical,
        }
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--stimuli", type=int, default=17)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured = rows(options.seeds, options.epochs, options.jobs, options.rounds, options.stimuli)
    if options.json:
        print(json.dumps(measured, indent=1))
        return
    for row in measured:
        print(
            f"{row['row']}: {row['median']:.2f} ({row['low']:.2f} – {row['high']:.2f})   limit >= {row['limit']}   "
            f"{row['serial_seconds']:.0f} s / {row['parallel_seconds']:.0f} s   same numbers: {row['identical']}"
        )


if __name__ == "__main__":
    main()
