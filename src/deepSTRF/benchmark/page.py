"""The page of a benchmark: a leaderboard per recording, what failed, and every run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from deepSTRF.analysis import Interval
from deepSTRF.benchmark.quoted import Quoted
from deepSTRF.benchmark.rows import Standing
from deepSTRF.checks import counted
from deepSTRF.report.markup import Cell, document, mean_text, section, table, text

__all__ = ["benchmark_page"]

BOARD = (
    "model", "cc_norm, test", "sd", "cc_norm, validation", "cc_norm, concatenated", "cc, test", "seeds", "parameters",
    "fit (s)", "bin (ms)", "protocol",
)  # fmt: skip
RUNS = (
    "run", "status", "seed", "epochs", "cc_norm, validation", "cc_norm, test", "cc, test", "fit (s)", "bin (ms)",
    "device", "deepSTRF", "torch", "data",
)  # fmt: skip
READING = (
    "Click a head to sort. Best validation score first: choose by it; the test score is for the report of what was "
    "chosen. In brackets: 95 % intervals of the mean, by bootstrap over neurons, of each neuron’s mean over seeds; sd: "
    "over seeds, of the mean over neurons. cc_norm takes the signal power within stimuli, “concatenated” that of all "
    "stimuli in a row. fit: seconds of a run (median over seeds) where it ran, which other work may have shared; bin: "
    "median time of a step of the stream on one core."
)
QUOTED = (
    "Rows marked <small>quoted</small> are scores that others published, with their protocol and source; they were not "
    "fitted here, and other splits, neurons or preprocessing make them no ranking."
)


def benchmark_page(
    boards: Mapping[tuple[str, ...], Sequence[Standing]], rows: Sequence[Mapping[str, Any]], quoted: Sequence[Quoted]
) -> str:
    """Return the page as one HTML text.

    Parameters
    ----------
    boards : dict of tuple to sequence of Standing
        From :func:`deepSTRF.benchmark.rows.standings`.
    rows : sequence of dict
        Of all runs.
    quoted : sequence of Quoted
        Published scores on the same data sets.
    """
    parts = [
        _board(number, key, standings, [score for score in quoted if score.dataset == key[0]])
        for number, (key, standings) in enumerate(boards.items())
    ]
    if parts:
        reading = f"<p class=hint>{READING}</p>" + (f"<p class=hint>{QUOTED}</p>" if quoted else "")
        parts.append(section("reading", "How to read these tables", reading))
    data, models = (list(dict.fromkeys(row[name] for row in rows)) for name in ("dataset", "model"))
    failed = [row for row in rows if row["status"] == "failed"]
    waiting = sum(row["status"] == "unfinished" for row in rows)
    facts = [counted(len(rows), "run")]
    facts += [f"{len(failed)} failed"] if failed else []
    facts += [f"{waiting} not finished"] if waiting else []
    return document(
        f"Benchmark: {counted(len(models), 'model')} on {', '.join(data)}",
        " · ".join(facts),
        "".join([*parts, _failures(failed), _runs(rows)]),
        scripts=("elements.js", "sort.js"),
    )


def _board(number: int, key: tuple[str, ...], standings: Sequence[Standing], quoted: Sequence[Quoted]) -> str:
    first = standings[0].rows[0]
    ours = [_standing_cells(standing) for standing in standings]
    theirs = [_quoted_cells(score) for score in quoted]
    n_neurons = sorted({standing.scores["test_cc_norm"].n or standing.scores["test_cc"].n for standing in standings})
    caption = f"Means over the {' or '.join(map(str, n_neurons))} neurons that all models define"
    board = table(caption, BOARD, [*ours, *theirs], sortable=True, quoted=range(len(ours), len(ours) + len(theirs)))
    ceiling = _number(standings[0].scores["test_ceiling"].estimate).text
    facts = f"{first['neurons']} neurons, bins of {first['bin_ms']:g} ms, noise ceiling of the test {ceiling}."
    hint = f"<p class=hint>{facts}</p>"
    return section(f"board-{number}", text(f"{key[0]}, {_split(first)}"), board + hint)


def _split(row: Mapping[str, Any]) -> str:
    return row["split"] if row["folds"] else f"split {row['split']}"


def _standing_cells(standing: Standing) -> list[str | Cell]:
    row, scores = standing.rows[0], standing.scores
    return [
        row["model"],
        _score(scores["test_cc_norm"]),
        _number(standing.sd["test_cc_norm"]),
        _number(scores["val_cc_norm"].estimate),
        _number(scores["test_cc_norm_concatenated"].estimate),
        _score(scores["test_cc"]),
        _number(len(standing.rows), "d"),
        _number(row["parameters"], ",d"),
        _number(_median(standing.rows, "fit_seconds"), ".1f"),
        _number(_median(standing.rows, "step_ms"), ".2f"),
        _split(row),
    ]


def _quoted_cells(score: Quoted) -> list[str | Cell]:
    missing = _number(None)
    source = Cell(f"{score.protocol}; {score.source_name}", source=score.address)
    shown = [_number(None if math.isnan(value) else value) for value in (score.cc_norm, score.cc)]
    return [Cell(score.model, tag="quoted"), shown[0], *[missing] * 3, shown[1], *[missing] * 4, source]


def _failures(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    reasons = [[row["run"], row["error"] or ""] for row in rows]
    hint = "<p class=hint>The same command tries them again. Tracebacks are in errors.txt.</p>"
    return section("failed", "Runs that failed", table("Why", ("run", "reason"), reasons, numbers=False) + hint)


def _runs(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["run"],
            row["status"],
            _number(row["seed"], "d"),
            _number(row["epochs"], "d"),
            *(_number(row[name]) for name in ("val_cc_norm", "test_cc_norm", "test_cc")),
            _number(row["fit_seconds"], ".1f"),
            _number(row["step_ms"], ".2f"),
            *(str(row[name] or "") for name in ("device", "deepstrf_version", "torch_version")),
            (row["data_sha256"] or "")[:8],
        ]
        for row in rows
    ]
    hint = (
        "<p class=hint>Means over the neurons that the run defines. data: the first letters of the SHA-256 of what was "
        "fitted. All columns are in benchmark.csv.</p>"
    )
    return section("runs", "All runs", table("Every run", RUNS, cells, sortable=True) + hint)


def _score(entry: Interval) -> Cell:
    return Cell(mean_text(entry), entry.estimate)


def _number(value: Any, form: str = ".3f") -> Cell:
    """A number that the table is sorted by; a dash where it is undefined or missing."""
    if value in (None, "") or math.isnan(float(value)):
        return Cell("–", math.nan)
    shown = format(int(value) if form.endswith("d") else float(value), form)
    return Cell(shown.replace("-", "−").replace(",", " "), float(value))


def _median(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.median(values) if values else None
