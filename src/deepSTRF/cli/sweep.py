"""``deepstrf sweep``."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deepSTRF.sweeps.sweep import Outcome, Sweep

__all__ = ["sweep"]


@click.command()
@click.argument("config", metavar="CONFIG.toml", type=click.Path(exists=True, dir_okay=False))
@click.option("--out", metavar="FOLDER", help="Folder of all runs and results.  [default: the file's own out]")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at the same time, one core each.  [default: all cores]")
@click.option("--dask", metavar="ADDRESS", help="Run on the workers of this Dask scheduler, tcp://HOST:PORT.")
@click.option("--quiet", is_flag=True, help="No progress lines, only the result.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output, progress on standard error."
)
def sweep(config: str, out: str | None, jobs: int | None, dask: str | None, quiet: bool, as_json: bool) -> None:
    """Fit every combination of data sets, models, options and seeds that CONFIG.toml asks for.

    Each run is a folder as `deepstrf fit` writes it. What is complete is skipped and what was interrupted goes on, so
    the same command continues a sweep that was stopped, and extends one whose file has grown.

    \b
    seeds = [0, 1, 2]
    out = "sweeps/first"            # relative to this file
    [[dataset]]
    name = "simulated"
    [[model]]
    name = "ridge"
    [[model]]
    name = "statenet"
    lr = [1e-3, 3e-3]               # every value of a list is tried
    """
    if jobs is not None and dask is not None:
        raise click.UsageError("--jobs is for this machine; with --dask the cluster's workers decide")
    import joblib

    from deepSTRF.sweeps.sweep import read_sweep, run_sweep

    asked = read_sweep(config, out)
    counter = _Counter(len(asked.runs))

    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=as_json)

    def on_start(found: Sequence[Outcome]) -> None:
        counter.done = counter.complete = len(found)
        say(f"{len(asked.runs)} runs, {len(found)} of them complete already; results go to {asked.out}")
        for note in asked.notes:
            say(note)

    try:
        with _sigterm_as_ctrl_c():
            outcomes = run_sweep(
                asked,
                jobs=min(jobs or joblib.cpu_count(), len(asked.runs)),
                scheduler=dask,
                on_start=on_start,
                on_outcome=lambda outcome: say(counter(outcome)),
                on_wait=say,
            )
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted: {counter.complete} of {len(asked.runs)} runs are complete, the others keep what they have; "
            "give the same command again to go on",
            err=True,
        )
        sys.exit(130)
    if as_json:
        click.echo(json.dumps(_as_json(asked, outcomes), indent=1, allow_nan=False))
    else:
        click.echo(_text(asked, outcomes))
    if any(outcome.status != "complete" for outcome in outcomes):
        sys.exit(1)


class _Counter:
    """One line per run that ends."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.complete = 0

    def __call__(self, outcome: Outcome) -> str:
        self.done += 1
        self.complete += outcome.status == "complete"
        if outcome.status == "complete":
            val, test, seconds = (
                outcome.scores[key] for key in ("val_cc_norm_mean", "test_cc_norm_mean", "fit_seconds")
            )
            resumed = ", resumed" if outcome.origin == "resumed" else ""
            text = f"cc_norm {_number(val)} validation, {_number(test)} test ({seconds:.0f} s{resumed})"
        else:
            text = f"FAILED, {outcome.error}"
        return f"[{self.done}/{self.total}] {outcome.run.name}: {text}"


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """A batch system that wants its machine back asks with SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _text(sweep: Sweep, outcomes: Sequence[Outcome]) -> str:
    """The leaderboard, what failed, and where everything is."""
    from deepSTRF.sweeps import results as runs

    board = [row | {"label": _label(row["model"], row["options"])} for row in runs.leaderboard(outcomes)]
    width = max(len(row["label"]) for row in board) + 2
    lines = []
    for (dataset, recording), rows in itertools.groupby(board, key=lambda row: (row["dataset"], row["recording"])):
        lines.append(f"{_label(dataset, recording)}: mean ± sd over seeds, best validation score first")
        lines.append(f"{'':{width}}{'seeds':>6}{'cc_norm':>15}{'':15}{'cc':>15}")
        lines.append(f"{'':{width}}{'':6}{'validation':>15}{'test':>15}{'validation':>15}{'test':>15}")
        for row in rows:
            seeds = f"{row['complete']}/{row['seeds']}" if row["complete"] < row["seeds"] else str(row["seeds"])
            scores = "".join(
                f"{_spread(row, f'{part}_{score}'):>15}" for score in reversed(runs.SCORES) for part in runs.PARTS
            )
            lines.append(f"{row['label']:{width}}{seeds:>6}{scores}")
        lines.append("")
    lines.append("choose by the validation score; the test score is for the report of what was chosen")
    failed = sum(outcome.status != "complete" for outcome in outcomes)
    if failed:
        lines.append(f"{failed} of {len(outcomes)} runs failed: see {sweep.out / runs.ERRORS_FILE}; ")
        lines[-1] += "the same command tries them again"
    lines.append(f"one row per run is in {sweep.out / runs.RESULTS_FILE}")
    return "\n".join(lines)


def _label(name: str, options: Mapping[str, Any]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in options.items())])


def _spread(row: Mapping[str, Any], score: str) -> str:
    sd = row[f"{score}_sd"]
    return _number(row[f"{score}_mean"]) + ("" if math.isnan(sd) else f" ± {sd:.3f}")


def _as_json(sweep: Sweep, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Leaderboard and table for other programs; undefined numbers are null."""
    from deepSTRF.files import to_plain
    from deepSTRF.sweeps import results as runs

    return to_plain({"out": sweep.out, "leaderboard": runs.leaderboard(outcomes), "runs": runs.table(outcomes)})


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
