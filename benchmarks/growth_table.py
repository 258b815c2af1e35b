"""How the cost of a fit grows: python benchmarks/growth_table.py [--only neurons,minutes] [--models ridge,statenet]

From one recording of noise, one size at a time is doubled thrice: neurons, minutes, repeats, bands, lags. A row has the
processor seconds of a fit of ridge, or of one epoch (training and validation) of a network, and the peak memory beyond
the recording; the last column has the exponents of a power law through the row's last three sizes. One thread; each
number from a process of its own. Linux only (it reads and resets the peak in /proc).

    python benchmarks/growth_table.py --one ridge --neurons 2000 --minutes 60 --bands 64 --dt-ms 10

fits one recording of the sizes that are given.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

BASE = {"neurons": 50, "minutes": 4.0, "repeats": 2, "bands": 16, "lags": 15}
FACTORS = (1, 2, 4, 8)
MODELS = ("ridge", "linear-nonlinear", "statenet")
STIM_S = 10.0


def memory_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (the peak since the last reset) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def recording(neurons: int, minutes: float, repeats: int, bands: int, dt_ms: float):
    """Noise, and counts that follow one band each."""
    import torch

    from deepSTRF.datasets.audio import AudioNeuralDataset

    torch.manual_seed(0)
    n_bins = round(STIM_S * 1000 / dt_ms)
    stims, responses = [], []
    for _ in range(max(4, round(minutes * 60 / STIM_S))):
        stim = torch.randn(bands, n_bins)
        rate = 0.1 * (1 + stim[torch.arange(neurons) % bands].roll(2, 1)).clamp(min=0)
        stims.append(stim)
        responses.append(torch.poisson(rate[:, None].expand(-1, repeats, -1)))
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=dt_ms)


def measure(model: str, lags: int, dt_ms: float, **sizes) -> dict[str, float]:
    """Processor seconds, and MB beyond the recording, of one fit or epoch in this process."""
    import torch

    from deepSTRF.registry import get_recipe
    from deepSTRF.training.recipes import fit_recipe

    torch.set_num_threads(1)
    train, val, _ = (data := recording(dt_ms=dt_ms, **sizes)).split(f"holdout:{max(1, len(data) // 10)}")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start, recipe = memory_mb("VmRSS"), time.process_time(), get_recipe(model)
    ends: list[float] = []
    fit_recipe(
        recipe, recipe.settings, train, val, seed=0, window_ms=lags * dt_ms,
        on_epoch=lambda fitter, epoch: ends.append(time.process_time()),
        **({} if recipe.settings is None else {"max_epochs": 2}),
    )  # fmt: skip
    seconds = ends[1] - ends[0] if ends else time.process_time() - start
    return {"seconds": seconds, "mb": memory_mb("VmHWM") - before, "recording_mb": before}


def in_a_process(model: str, dt_ms: float, sizes: dict) -> dict[str, float]:
    arguments = [f"--{name}={value}" for name, value in (sizes | {"dt-ms": dt_ms}).items()]
    command = [sys.executable, __file__, "--one", model, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def exponent(factors, values) -> float:
    import numpy as np

    return float(np.polyfit(np.log(factors), np.log(np.maximum(values, 1e-3)), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", metavar="MODEL")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--only", default=",".join(BASE))
    parser.add_argument("--dt-ms", type=float, default=5.0)
    for name, value in BASE.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    base = {name: getattr(options, name) for name in BASE}
    if options.one:
        print(json.dumps(measure(options.one, dt_ms=options.dt_ms, **base)))
        return
    print(
        f"from {', '.join(f'{value:g} {name}' for name, value in base.items())}, {options.dt_ms:g} ms bins, 1 thread\n"
    )
    sizes = " | ".join(f"× {factor}: s, MB" for factor in FACTORS)
    print(f"| model | grows | {sizes} | exponents of s, MB |\n|{'---|' * (len(FACTORS) + 3)}", flush=True)
    for model in options.models.split(","):
        for name in options.only.split(","):
            rows = [
                in_a_process(model, options.dt_ms, base | {name: type(base[name])(base[name] * factor)})
                for factor in FACTORS
            ]
            cells = " | ".join(f"{row['seconds']:.2f}, {row['mb']:.0f}" for row in rows)
            powers = ", ".join(f"{exponent(FACTORS[1:], [r[key] for r in rows[1:]]):.2f}" for key in ("seconds", "mb"))
            print(f"| {model} | {name} | {cells} | {powers} |", flush=True)


if __name__ == "__main__":
    main()
