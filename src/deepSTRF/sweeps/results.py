"""The results of a sweep: a table with one row per run, and a leaderboard over seeds."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepSTRF.files import write_file
from deepSTRF.runs.data_source import named_split
from deepSTRF.runs.options import OPTIONS, FitOptions
from deepSTRF.runs.settings import resolve_settings
from deepSTRF.sweeps.config_file import DATASET_OPTIONS, MODEL_OPTIONS, Run

__all__ = ["Outcome", "best_first", "csv_text", "leaderboard", "one_line", "shared_neurons", "table", "write_results"]

RESULTS_FILE = "results.csv"
PARQUET_FILE = "results.parquet"
ERRORS_FILE = "errors.txt"

_COLUMNS = {"neurons": "selected_neurons", "stimuli": "selected_stimuli"}  # `neurons` is their number

PARTS = ("val", "test")
SCORES = ("cc", "cc_norm")
SCORE_COLUMNS = tuple(
    f"{part}_{score}_{number}" for part in PARTS for score in SCORES for number in ("mean", "median", "neurons")
)


@dataclass(frozen=True)
class Outcome:
    """How one run of a sweep ended."""

    run: Run
    """The run."""
    status: str
    """How it ended: "complete", "failed" or "unfinished"; unfinished is one that did not start."""
    scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """``neurons``, ``epochs_run``, ``fit_seconds`` and :data:`SCORE_COLUMNS`, where it is complete."""
    origin: str = "new"
    """Whether this sweep started it ("new"), resumed it ("resumed"), or found it complete ("found")."""
    error: str = ""
    """The error of a failed run, in one line."""
    traceback: str = ""
    """The error in full."""
    warnings: tuple[str, ...] = ()
    """The warnings of the run."""
    neurons: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """Part and score, as ``val_cc``, to the value of each neuron, NaN where undefined; empty where it is not
    complete."""


def table(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row per run: its options, how it ended, and its scores; None where there are none.

    An option is a column if it has more than one value in the sweep; where a run leaves it out, it is the recipe's.
    """
    varied = _varied([outcome.run.options for outcome in outcomes])
    rows = []
    for outcome in outcomes:
        options, scores = outcome.run.options, outcome.scores
        row: dict[str, Any] = {"folder": outcome.run.name, "status": outcome.status}
        row |= {"dataset": options.dataset, "model": options.model}
        row |= {_COLUMNS.get(name, name): _with_defaults(options)[name] for name in varied} | {"seed": options.seed}
        row |= {name: scores.get(name) for name in ("neurons", "epochs_run", "fit_seconds", *SCORE_COLUMNS)}
        rows.append({**row, "error": outcome.error or None})
    return rows


def _varied(runs: Iterable[FitOptions]) -> list[str]:
    runs = list(runs)
    return [name for name in DATASET_OPTIONS + MODEL_OPTIONS if len({getattr(options, name) for options in runs}) > 1]


@functools.cache
def _with_defaults(options: FitOptions) -> dict[str, Any]:
    settings = resolve_settings(options)
    used = vars(options) | {"split": options.split or named_split(options.dataset)}
    return used | ({} if settings is None else vars(settings))


def leaderboard(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds for every recording, model and options, best validation score first.

    Returns
    -------
    list of dict
        ``dataset``; ``recording`` and ``options``, which say in what it differs from others of the same data set and
        model; ``model``; ``seeds``, of which ``complete``; and for every part and score ``<part>_<score>_mean`` and
        ``_sd``, over seeds, of the means over neurons, and ``_neurons``, the number of these. They are the neurons that
        every run on the same recording defines: a model does not gain by predicting a neuron so badly that it leaves
        the mean. Only a run that defines no neuron at all is not asked. Undefined is NaN and comes last.

    Examples
    --------
    >>> def outcome(seed, lr, val):
    ...     run = Run("", FitOptions(model="linear", seed=seed, lr=lr))
    ...     return Outcome(run, "complete", {"val_cc_norm_mean": val, "val_cc_mean": val})
    >>> for row in leaderboard([outcome(0, 1e-3, 0.5), outcome(0, 3e-3, 0.6), outcome(1, 3e-3, 0.8)]):
    ...     print(row["options"], row["seeds"], round(row["val_cc_norm_mean"], 3))
    {'lr': 0.003} 2 0.7
    {'lr': 0.001} 1 0.5
    """
    groups: dict[FitOptions, list[Outcome]] = {}
    outcomes = _over_common_neurons(outcomes)
    for outcome in outcomes:
        groups.setdefault(dataclasses.replace(outcome.run.options, seed=0), []).append(outcome)
    board = []
    for options, seeds in groups.items():
        same_data = [other for other in groups if other.dataset == options.dataset]
        same_model = [other for other in same_data if other.model == options.model]
        used = _with_defaults(options)
        done = [outcome.scores for outcome in seeds if outcome.status == "complete"]
        entry: dict[str, Any] = {
            "dataset": options.dataset,
            "recording": {name: used[name] for name in _varied(same_data) if name in DATASET_OPTIONS},
            "model": options.model,
            "options": {name: used[name] for name in _varied(same_model) if name in MODEL_OPTIONS},
            "seeds": len(seeds),
            "complete": len(done),
        }
        for part, score in itertools.product(PARTS, SCORES):
            name = f"{part}_{score}"
            values = [scores[f"{name}_mean"] for scores in done if scores.get(f"{name}_mean") is not None]
            entry[f"{name}_mean"] = statistics.fmean(values) if values else math.nan
            entry[f"{name}_neurons"] = max((scores.get(f"{name}_neurons") or 0 for scores in done), default=0)
            entry[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else math.nan
        board.append(entry)

    def rank(entry: dict[str, Any]) -> tuple[Any, ...]:
        scores = (entry["val_cc_norm_mean"], entry["val_cc_mean"])  # without repeats there is no cc_norm
        return (entry["dataset"], str(entry["recording"]), *best_first(scores))

    return sorted(board, key=rank)


def _over_common_neurons(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes with means over the neurons that every run on the same recording defines."""
    recordings: dict[tuple[Any, ...], list[Outcome]] = {}
    for outcome in outcomes:
        used = _with_defaults(outcome.run.options)
        recordings.setdefault(tuple(used[name] for name in ("dataset", *DATASET_OPTIONS)), []).append(outcome)
    common: dict[int, dict[str, Any]] = {}
    for same, part, score in itertools.product(recordings.values(), PARTS, SCORES):
        name = f"{part}_{score}"
        values = {id(outcome): outcome.neurons[name] for outcome in same if name in outcome.neurons}
        shared = shared_neurons(list(values.values()))
        for key, row in values.items():
            kept = [row[n] for n in shared if math.isfinite(row[n])]
            common.setdefault(key, {})[f"{name}_mean"] = statistics.fmean(kept) if kept else None
            common[key][f"{name}_neurons"] = len(kept)
    return [
        dataclasses.replace(outcome, scores={**outcome.scores, **common.get(id(outcome), {})}) for outcome in outcomes
    ]


def shared_neurons(runs: Sequence[Sequence[float]]) -> list[int]:
    """Neurons whose score every run defines; a run that defines none at all is not asked.

    Examples
    --------
    >>> shared_neurons([[0.5, math.nan, 0.1], [0.4, 0.3, 0.2], [math.nan] * 3])
    [0, 2]
    """
    asked = [row for row in runs if any(map(math.isfinite, row))]
    return [n for n, column in enumerate(zip(*asked, strict=True)) if all(map(math.isfinite, column))]


def best_first(scores: Iterable[float]) -> list[float]:
    """What to sort by for the highest scores first; undefined ones come last."""
    return [math.inf if math.isnan(score) else -score for score in scores]


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as the text of a CSV file; what is undefined is empty."""
    text = io.StringIO()
    lines = csv.DictWriter(text, columns, lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue()


def write_results(outcomes: Sequence[Outcome], out: Path) -> None:
    """Write the table of the runs so far, and the errors of those that failed; what was there is replaced at once."""
    rows = table(outcomes)
    write_file(out / RESULTS_FILE, csv_text(rows, list(rows[0])))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        errors = "\n".join(f"{outcome.run.name}: {outcome.error}\n{outcome.traceback}" for outcome in failed)
        write_file(out / ERRORS_FILE, errors.encode())
    else:
        (out / ERRORS_FILE).unlink(missing_ok=True)
    try:
        content = _parquet(rows)
    except ImportError:  # written only where pyarrow is installed; an old file would not match the new table
        (out / PARQUET_FILE).unlink(missing_ok=True)
    else:
        write_file(out / PARQUET_FILE, content)


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    columns: dict[str, type] = {name: option.kind for name, option in OPTIONS.items()}
    columns |= {"neurons": int, "epochs_run": int, "fit_seconds": float}
    columns |= {name: int if name.endswith("neurons") else float for name in SCORE_COLUMNS}
    schema = pyarrow.schema([(name, kinds.get(columns.get(name, str), kinds[str])) for name in rows[0]])
    plain = [
        {name: str(value) if isinstance(value, Mapping | tuple) else value for name, value in row.items()}
        for row in rows
    ]
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(plain, schema=schema), sink)
    return sink.getvalue().to_pybytes()


def one_line(error: BaseException) -> str:
    """Kind and message of an error, for a cell of the table."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
