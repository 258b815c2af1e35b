"""The table of a benchmark, one row per run, and what the runs of a model have in common."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepSTRF.analysis import Interval, bootstrap_interval
from deepSTRF.benchmark.quoted import Quoted
from deepSTRF.runs import folder as files
from deepSTRF.runs.data_source import named_split
from deepSTRF.runs.folder import short_name
from deepSTRF.sweeps import Outcome
from deepSTRF.sweeps.results import best_first, shared_neurons

__all__ = ["COLUMNS", "MEASURES_FILE", "Standing", "quoted_row", "row_of", "standings"]

MEASURES_FILE = "benchmark.json"  # in the folder of a run: what the benchmark measured of its model
RESAMPLES = 2000
TEST = ("test_cc", "test_cc_norm", "test_cc_norm_concatenated")
MEANS = ("val_cc", "val_cc_norm", "test_ceiling")
COLUMNS = (
    "run", "status", "dataset", "model", "split", "folds", "seed", "neurons", "bin_ms",
    *itertools.chain.from_iterable((name, f"{name}_low", f"{name}_high", f"{name}_neurons") for name in TEST),
    *MEANS, "parameters", "epochs", "fit_seconds", "step_ms", "step_p99_ms", "device", "data_sha256",
    "deepstrf_version", "torch_version", "protocol", "source", "error",
)  # fmt: skip


def row_of(outcome: Outcome, out: Path) -> dict[str, Any]:
    """The row of a run: what was asked for and how it ended; of a complete one its scores and what they cost."""
    options = outcome.run.options
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "run": outcome.run.name,
        "status": outcome.status,
        "dataset": short_name(options.dataset),
        "model": short_name(options.model),
        "split": options.split or named_split(options.dataset) or None,
        "folds": options.folds,
        "seed": options.seed,
        "device": options.device,
        "error": outcome.error or None,
    }
    if outcome.status != "complete":
        return row
    config = files.read_json(out / outcome.run.name / files.CONFIG_FILE)
    with files.reading(out / outcome.run.name / files.CONFIG_FILE):
        row |= {"split": config["split"]["name"], "neurons": config["neurons"], "bin_ms": config["dt_ms"]}
        row |= {"data_sha256": config["data_sha256"], "deepstrf_version": config["deepSTRF"]}
        row |= {"torch_version": config["torch"]}
    row |= {"epochs": outcome.scores["epochs_run"], "fit_seconds": round(outcome.scores["fit_seconds"], 3)}
    for name in TEST:
        entry = _interval(outcome.neurons[name])
        row |= {name: _rounded(entry.estimate), f"{name}_low": _rounded(entry.low)}
        row |= {f"{name}_high": _rounded(entry.high), f"{name}_neurons": entry.n}
    row |= {name: _rounded(_mean(outcome.neurons[name])) for name in MEANS}
    measured = out / outcome.run.name / MEASURES_FILE
    return row | (files.read_json(measured) if measured.is_file() else {})


def quoted_row(score: Quoted) -> dict[str, Any]:
    """The row of a published score."""
    own = {"status": "quoted", "dataset": score.dataset, "model": score.model}
    own |= {"protocol": score.protocol, "source": score.source}
    return dict.fromkeys(COLUMNS) | own | {"test_cc": _rounded(score.cc), "test_cc_norm": _rounded(score.cc_norm)}


@dataclass(frozen=True)
class Standing:
    """A model on a recording, over its seeds.

    Parameters
    ----------
    rows : list of dict
        Of its runs.
    scores : dict of str to Interval
        Of the mean over the neurons that all models on the recording define; a neuron's score is the mean over seeds,
        and the interval is over neurons.
    sd : dict of str to float
        Standard deviation over seeds of the mean over neurons; NaN for one seed.
    """

    rows: list[dict[str, Any]]
    scores: dict[str, Interval]
    sd: dict[str, float]


def standings(complete: Sequence[tuple[dict[str, Any], Outcome]]) -> dict[tuple[str, ...], list[Standing]]:
    """The models on each recording and split, best validation score first.

    Parameters
    ----------
    complete : sequence of (dict, Outcome)
        The complete runs: their rows, and their outcomes with the score of each neuron.

    Returns
    -------
    dict of tuple to list of Standing
        By name of the data set, place of its files, and split.
    """
    recordings: dict[tuple[str, ...], list[tuple[dict[str, Any], Outcome]]] = {}
    for row, outcome in complete:
        options = outcome.run.options
        place = f"{options.dataset} {options.data or ''} {options.dt_ms or ''}"
        recordings.setdefault((row["dataset"], place, row["split"]), []).append((row, outcome))
    return {key: _ranked(found) for key, found in recordings.items()}


def _ranked(found: Sequence[tuple[dict[str, Any], Outcome]]) -> list[Standing]:
    shared = {name: shared_neurons([outcome.neurons[name] for _, outcome in found]) for name in (*TEST, *MEANS)}
    models: dict[str, list[tuple[dict[str, Any], Outcome]]] = {}
    for row, outcome in found:
        models.setdefault(outcome.run.options.model, []).append((row, outcome))
    ranked = [_standing(runs, shared) for runs in models.values()]

    return sorted(ranked, key=lambda one: best_first(one.scores[name].estimate for name in ("val_cc_norm", "val_cc")))


def _standing(runs: Sequence[tuple[dict[str, Any], Outcome]], shared: Mapping[str, list[int]]) -> Standing:
    scores, sd = {}, {}
    for name, neurons in shared.items():
        of_seeds = np.array([outcome.neurons[name] for _, outcome in runs])[:, neurons]
        scores[name] = _interval(of_seeds.mean(0))
        sd[name] = float(np.std([_mean(values) for values in of_seeds], ddof=1)) if len(runs) > 1 else math.nan
    return Standing([row for row, _ in runs], scores, sd)


def _interval(values: Any) -> Interval:
    return bootstrap_interval(values, n_resamples=RESAMPLES)


def _mean(values: Any) -> float:
    defined = [value for value in map(float, values) if math.isfinite(value)]
    return statistics.fmean(defined) if defined else math.nan


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
