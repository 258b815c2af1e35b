"""The folder of a run: what ``deepstrf fit`` writes and ``deepstrf evaluate`` reads."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.datasets import NeuralDataset
from deepSTRF.runs.options import RunError

__all__ = [
    "append_history",
    "create_run_folder",
    "data_fingerprint",
    "plain",
    "read_json",
    "write_json",
    "write_neurons",
    "write_predictions",
]

CONFIG_FILE = "config.json"
HISTORY_FILE = "history.jsonl"
NEURONS_FILE = "neurons.csv"
PREDICTIONS_FILE = "predictions.npz"
SCORES_FILE = "scores.json"
MODEL_FOLDER = "model"


def create_run_folder(out: str | Path | None, dataset: str, model: str) -> Path:
    """Make the folder of a new run: `out`, or the first free ``runs/<dataset>-<model>-<n>``.

    Raises
    ------
    RunError
        If `out` exists, or cannot be made.
    """
    try:
        if out is not None:
            folder = Path(out)
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            return folder
        runs = Path("runs")
        runs.mkdir(exist_ok=True)
        number = 1
        while True:
            folder = runs / f"{dataset}-{model}-{number}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:  # also when another run takes the same number at this moment
                number += 1
    except FileExistsError as error:
        raise RunError(
            f"{error.filename or out} already exists, and a run never overwrites anything; name a new folder with --out"
        ) from error
    except OSError as error:
        raise RunError(f"cannot make the run folder {error.filename or out}: {error.strerror}") from error


def write_json(value: Any, path: Path) -> None:
    """Write JSON atomically; NaN becomes null, so that every reader can read it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        json.dump(plain(value), file, indent=1, allow_nan=False)
        file.write("\n")
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises
    ------
    RunError
        If it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} is not a finished run: it has no {path.name}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as JSON: {error}") from error


def append_history(row: Mapping[str, Any], path: Path) -> None:
    """Add one line for an epoch: plain numbers as they are, per-neuron values as percentiles."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain({name: _summary(value) for name, value in row.items()}), allow_nan=False) + "\n")


def write_neurons(dataset: NeuralDataset, scores: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """Write one row per neuron: its metadata, its number of repeats and its scores; undefined scores are empty."""
    keys = list(dict.fromkeys(key for meta in dataset.nrn_meta for key in meta))
    most_repeats = torch.stack([values["n_repeats"] for values in scores.values()]).amax(0)
    columns = ["neuron", *keys, "n_repeats"]
    for part in scores:
        columns += [f"cc_{part}", f"cc_norm_{part}", f"ceiling_{part}", f"single_trial_{part}"]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for n, meta in enumerate(dataset.nrn_meta):
            row = [n, *(meta.get(key, "") for key in keys), int(most_repeats[n])]
            for values in scores.values():
                row += [_cell(values[name][n]) for name in ("cc", "cc_norm", "ceiling")]
                row.append(int(values["n_repeats"][n] == 1))
            table.writerow(row)


def write_predictions(predictions: Sequence[Tensor], dataset: NeuralDataset, split: Mapping, path: Path) -> None:
    """Write, per stimulus ``s``, ``pred_<s>`` ``(N, T_s)``, and the stimuli of each part as ``stimuli_<part>``."""
    arrays: dict[str, Any] = {f"pred_{s:03d}": prediction.numpy() for s, prediction in enumerate(predictions)}
    arrays |= {f"stimuli_{part}": np.asarray(stimuli, dtype=int) for part, stimuli in split.items()}
    np.savez_compressed(path, dt_ms=dataset.dt, **arrays)


def data_fingerprint(dataset: NeuralDataset) -> str:
    """SHA-256 over the stimuli and responses as loaded, so that a run is not scored on other data by mistake."""
    digest = hashlib.sha256(f"{dataset.dt} {dataset.N_neurons}".encode())
    for s, stim in enumerate(dataset.stims):
        _digest_tensor(digest, stim)
        for n in range(dataset.N_neurons):
            _digest_tensor(digest, dataset.responses[s][n])
    return digest.hexdigest()


def _digest_tensor(digest: Any, tensor: Tensor) -> None:
    digest.update(str(tuple(tensor.shape)).encode())
    digest.update(np.ascontiguousarray(tensor.numpy()).data)


def _summary(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    values = value.double()[value.isfinite()]
    if len(values) == 0:
        return {"mean": math.nan, "p10": math.nan, "p50": math.nan, "p90": math.nan, "n_valid": 0}
    low, middle, high = values.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)).tolist()
    return {"mean": float(values.mean()), "p10": low, "p50": middle, "p90": high, "n_valid": len(values)}


def plain(value: Any) -> Any:
    """Only what JSON knows; undefined numbers are null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def _cell(value: Tensor) -> str:
    number = float(value)
    return f"{number:.6f}" if math.isfinite(number) else ""
