"""The folder of a run of many neurons, written without fitting anything."""

import json

import numpy as np

N_STIMULI, BINS = 3, 1000
PARTS = ("train", "val", "test")


def write_big_run(folder, n_neurons):
    """Write what a report reads, with random numbers; there is no model and no recording."""
    random = np.random.default_rng(0)
    folder.mkdir()
    config = {
        "options": {"dataset": "object:Many", "model": "linear", "seed": 0, "window_ms": None},
        "settings": None,
        "dt_ms": 5.0,
        "neurons": n_neurons,
        "split": {"name": "holdout:3", "test": list(range(N_STIMULI))},
        "data_sha256": "0" * 64,
    }
    score = {"mean": 0.5, "median": 0.5, "defined": n_neurons, "all": n_neurons}
    summary = {"parts": {part: dict.fromkeys(("cc", "cc_norm", "ceiling"), score) for part in PARTS}, "notes": []}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "scores.json").write_text(json.dumps(summary))
    names = [f"{score}_{part}" for part in PARTS for score in ("cc", "cc_norm", "ceiling")]
    lines = [",".join(["neuron", "cell_id", "area", "n_repeats", *names])]
    for n, values in enumerate(random.uniform(0.2, 1, size=(n_neurons, len(names)))):
        lines.append(
            ",".join([str(n), f"unit{n:04d}", ("A1", "AAF", "PPF")[n % 3], "10", *(f"{v:.4f}" for v in values)])
        )
    (folder / "neurons.csv").write_text("\n".join(lines) + "\n")
    size = (n_neurons, BINS)
    arrays = {f"pred_{s:03d}": random.normal(size=size).astype("f4") for s in range(N_STIMULI)}
    arrays |= {f"psth_{s:03d}": (random.poisson(3, size=size) / 10).astype("f4") for s in range(N_STIMULI)}
    np.savez(folder / "predictions.npz", dt_ms=5.0, **arrays)
    return folder
