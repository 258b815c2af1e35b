"""Run a benchmark: its sweep, what else is measured of each model, the table and the page."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepSTRF.benchmark.page import benchmark_page
from deepSTRF.benchmark.quoted import Quoted, quoted_scores
from deepSTRF.benchmark.rows import COLUMNS, MEASURES_FILE, quoted_row, row_of, standings
from deepSTRF.benchmark.step_time import step_times
from deepSTRF.files import write_file, write_json
from deepSTRF.models import NeuralModel
from deepSTRF.registry import get_model_card
from deepSTRF.report.markup import check_page
from deepSTRF.runs import folder as files
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.sweeps import Outcome, Run, Sweep, run_sweep
from deepSTRF.sweeps.results import csv_text
from deepSTRF.sweeps.sweep import read_outcome

__all__ = ["Benchmark", "run_benchmark"]

TABLE_FILE = "benchmark.csv"
PAGE_FILE = "benchmark.html"


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found.

    Parameters
    ----------
    out : Path
        The folder with ``benchmark.csv``, ``benchmark.html`` and the folders of the runs.
    outcomes : list of Outcome
        How the runs that were asked for ended.
    rows : list of dict
        Those of the table: also of earlier runs in the folder, and of published scores.
    """

    out: Path
    outcomes: list[Outcome]
    rows: list[dict[str, Any]]


def run_benchmark(
    sweep: Sweep,
    *,
    on_start: Callable[[Sequence[Outcome]], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    **options: Any,
) -> Benchmark:
    """Do the runs of a benchmark that are not complete; write the table and the page, anew after each of them.

    A run that fails is a row with its reason. At the end, when nothing else runs, each model is timed bin by bin.

    Parameters
    ----------
    sweep : Sweep
        From :func:`deepSTRF.benchmark.plan_benchmark`.
    on_start, on_outcome
        As for :func:`deepSTRF.sweeps.run_sweep`.
    **options
        ``jobs``, ``scheduler``, ``on_wait`` and ``download`` of the same.

    Returns
    -------
    Benchmark

    Raises
    ------
    RunError, ValueError, OSError
        As :func:`deepSTRF.sweeps.run_sweep`, but for recordings that cannot be loaded, which fail their runs; or the
        table or the page in the folder is another file.

    Examples
    --------
    >>> import tempfile
    >>> from deepSTRF.benchmark import plan_benchmark
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> ds = SimulatedDataset(n_neurons=2, n_stims=8, duration_s=0.5, n_repeats=3, n_bands=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = ds.to_folder(f"{folder}/mine")
    ...     benchmark = run_benchmark(plan_benchmark([f"{folder}/mine"], ["ridge"], out=f"{folder}/out"))
    ...     row = benchmark.rows[0]
    ...     row["run"], row["status"], row["parameters"]
    ('mine-ridge-seed0', 'complete', 246)
    """
    earlier, failed_earlier = _earlier(sweep)
    check_page(sweep.out / PAGE_FILE)
    outcomes = {run.name: Outcome(run, "unfinished") for run in sweep.runs}
    rows: dict[str, dict[str, Any]] = {}

    def write(new: Sequence[Outcome]) -> list[dict[str, Any]]:
        for outcome in new:
            outcomes[outcome.run.name] = outcome
            rows[outcome.run.name] = row_of(outcome, sweep.out)
        every = [*rows.values(), *failed_earlier]
        quoted = [score for name in dict.fromkeys(row["dataset"] for row in every) for score in quoted_scores(name)]
        return _write(sweep.out, every, outcomes, quoted)

    def started(found: Sequence[Outcome]) -> None:
        write([*outcomes.values(), *earlier, *found])
        if on_start is not None:
            on_start(found)

    def ended(outcome: Outcome) -> None:
        write([outcome])
        if on_outcome is not None:
            on_outcome(outcome)

    asked = run_sweep(sweep, keep_going=True, on_start=started, on_outcome=ended, **options)
    for outcome in (*asked, *earlier):
        if outcome.status == "complete":
            _measure(outcome, sweep.out / outcome.run.name)
    return Benchmark(sweep.out, asked, write([*asked, *earlier]))


def _earlier(sweep: Sweep) -> tuple[list[Outcome], list[dict[str, Any]]]:
    """What the table in the folder has of runs that are not asked for now: complete ones, and rows of the others."""
    path = sweep.out / TABLE_FILE
    if not path.is_file():
        return [], []
    with files.reading(path), path.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        if lines.fieldnames is None or "run" not in lines.fieldnames:
            raise RunError(f"{path} exists and is not the table of a benchmark; choose another folder (`out`)")
        names = {run.name for run in sweep.runs}
        others = [row for row in lines if row["status"] != "quoted" and row["run"] not in names]
    complete, rest = [], []
    for row in others:
        folder = sweep.out / row["run"]
        if files.is_complete(folder):
            config = files.read_json(folder / files.CONFIG_FILE)
            with files.reading(folder / files.CONFIG_FILE):
                run = Run(row["run"], FitOptions(**config["options"]))
            complete.append(read_outcome(run, folder, "found"))
        else:
            rest.append({name: row.get(name) or None for name in COLUMNS})
    return complete, rest


def _write(
    out: Path, rows: Sequence[dict[str, Any]], outcomes: dict[str, Outcome], quoted: Sequence[Quoted]
) -> list[dict[str, Any]]:
    complete = [(row, outcomes[row["run"]]) for row in rows if row["status"] == "complete"]
    every = [*rows, *map(quoted_row, quoted)]
    write_file(out / TABLE_FILE, csv_text(every, COLUMNS))
    write_file(out / PAGE_FILE, benchmark_page(standings(complete), rows, quoted))
    return every


def _measure(outcome: Outcome, folder: Path) -> None:
    """Write the size of the model of a run and its time for a bin into the folder of the run, once."""
    if (folder / MEASURES_FILE).is_file():
        return
    get_model_card(outcome.run.options.model)  # imports the file of a model that is no part of deepSTRF
    model: Any = NeuralModel.from_pretrained(folder / files.MODEL_FOLDER)
    median, late = step_times(model, files.read_json(folder / files.CONFIG_FILE)["stimulus_shape"])
    measured = {"parameters": model.count_trainable_params(), "step_ms": median, "step_p99_ms": late}
    write_json(folder / MEASURES_FILE, measured)
