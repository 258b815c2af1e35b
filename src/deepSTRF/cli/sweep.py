"""``deepstrf sweep``."""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deepSTRF.checks import counted
from deepSTRF.cli.loading import loading
from deepSTRF.cli.options import download_option, echo_json, format_number, json_option, quiet_option

if TYPE_CHECKING:
    from deepSTRF.sweeps import Outcome, Sweep

__all__ = ["board_text", "exit_by", "show_runs", "sweep", "worker_options"]

R = TypeVar("R")


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command of many runs where they run, and what it prints."""
    for option in (
        json_option,
        quiet_option,
        click.option("--dask", metavar="ADDRESS", help="Run on the workers of this Dask scheduler, tcp://HOST:PORT."),
        download_option,
        click.option(
            "--jobs", type=click.IntRange(min=1), help="Runs at the same time, one core each.  [default: all cores]"
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("config", metavar="CONFIG.toml")
@click.option("--out", metavar="FOLDER", help="Folder of all runs and results.  [default: the file's own out]")
@worker_options
def sweep(config: str, out: str | None, **options: Any) -> None:
    """Fit every combination of data sets, models, options and seeds that CONFIG.toml asks for.

    Each run is a folder as `deepstrf fit` writes it. Complete runs are skipped and interrupted ones resumed, so the
    same command continues a sweep that was stopped, and extends one whose file has grown.

    \b
    seeds = [0, 1, 2]
    out = "sweeps/first"            # relative to this file
    [[dataset]]
    name = "simulated"
    [[model]]
    name = ["linear", "statenet"]
    lr = [1e-3, 3e-3]               # every value of a list is tried
    """
    with loading():
        from deepSTRF.sweeps import leaderboard, read_sweep, run_sweep, table
        from deepSTRF.sweeps.results import RESULTS_FILE

    asked = read_sweep(config, out)
    outcomes = show_runs(asked, run_sweep, **options)
    if options["as_json"]:
        echo_json({"out": asked.out, "leaderboard": leaderboard(outcomes), "runs": table(outcomes)})
    else:
        click.echo(board_text(asked, outcomes))
        click.echo(f"one row per run is in {asked.out / RESULTS_FILE}")
    exit_by(outcomes)


def show_runs(
    asked: Sweep,
    do: Callable[..., R],
    *,
    jobs: int | None,
    dask: str | None,
    download: bool,
    quiet: bool,
    as_json: bool,
) -> R:
    """Do the runs of a sweep and print a line about each; Ctrl-C and SIGTERM end it with how to go on."""
    if jobs is not None and dask is not None:
        raise click.UsageError("--jobs is for this machine; with --dask the cluster's workers decide")
    import joblib

    counter = _Counter(len(asked.runs))

    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=as_json)

    def on_start(found: Sequence[Outcome]) -> None:
        counter.done = counter.complete = len(found)
        say(f"{counted(len(asked.runs), 'run')}, {len(found)} of them complete already; results go to {asked.out}")
        for note in asked.notes:
            say(note)

    try:
        with _sigterm_as_ctrl_c():
            return do(
                asked,
                jobs=min(jobs or joblib.cpu_count(), len(asked.runs)),
                scheduler=dask,
                download=download,
                on_start=on_start,
                on_outcome=lambda outcome: say(counter(outcome)),
                on_wait=say,
            )
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted: {counter.complete} of {counted(len(asked.runs), 'run')} complete, the others keep what they "
            "have; give the same command again to go on",
            err=True,
        )
        sys.exit(130)


def exit_by(outcomes: Sequence[Outcome]) -> None:
    """End with exit code 1 unless every run is complete."""
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
            # single trials have no cc_norm
            score = "cc" if outcome.scores["val_cc_norm_mean"] is None else "cc_norm"
            val, test, seconds = (
                outcome.scores[key] for key in (f"val_{score}_mean", f"test_{score}_mean", "fit_seconds")
            )
            resumed = ", resumed" if outcome.origin == "resumed" else ""
            text = f"{score} {format_number(val)} validation, {format_number(test)} test ({seconds:.0f} s{resumed})"
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


def board_text(asked: Sweep, outcomes: Sequence[Outcome]) -> str:
    """Return the leaderboard, and what failed."""
    from deepSTRF.sweeps.results import ERRORS_FILE, PARTS, SCORES, leaderboard

    board = [row | {"label": _label(row["model"], row["options"])} for row in leaderboard(outcomes)]
    width = max(len(row["label"]) for row in board) + 2
    lines = []
    for (dataset, recording), group in itertools.groupby(board, key=lambda row: (row["dataset"], row["recording"])):
        rows = list(group)
        lines.append(f"{_label(dataset, recording)}: mean ± sd over seeds, best validation score first")
        shown = [
            score for score in reversed(SCORES) if any(row[f"{part}_{score}_neurons"] for row in rows for part in PARTS)
        ]
        if "cc_norm" not in shown:
            lines.append("no cc_norm: without repeats of a stimulus there is no noise ceiling")
        lines.append(_compared(rows, shown))
        lines.append(f"{'':{width}}{'seeds':>6}" + "".join(f"{score:>15}{'':15}" for score in shown).rstrip())
        lines.append(f"{'':{width}}{'':6}" + f"{'validation':>15}{'test':>15}" * len(shown))
        for row in rows:
            seeds = f"{row['complete']}/{row['seeds']}" if row["complete"] < row["seeds"] else str(row["seeds"])
            scores = "".join(f"{_spread(row, f'{part}_{score}'):>15}" for score in shown for part in PARTS)
            lines.append(f"{row['label']:{width}}{seeds:>6}{scores}")
        lines.append("")
    lines.append("choose by the validation score; the test score is for the report of what was chosen")
    failed = sum(outcome.status != "complete" for outcome in outcomes)
    if failed:
        lines.append(
            f"{failed} of {counted(len(outcomes), 'run')} failed: see {asked.out / ERRORS_FILE}; "
            "the same command tries them again"
        )
    return "\n".join(lines)


def _compared(rows: Sequence[Mapping[str, Any]], scores: Sequence[str]) -> str:
    """How many neurons the scores of a recording are over."""
    counts = [
        f"{max(row[f'{part}_{score}_neurons'] for row in rows)} ({score}, {name})"
        for score in scores
        for part, name in (("val", "validation"), ("test", "test"))
    ]
    return f"over the neurons that all of them define: {', '.join(counts)}"


def _label(name: str, options: Mapping[str, Any]) -> str:
    from deepSTRF.runs.folder import short_name

    return " ".join([short_name(name), *(f"{key}={value}" for key, value in options.items())])


def _spread(row: Mapping[str, Any], score: str) -> str:
    sd = row[f"{score}_sd"]
    return format_number(row[f"{score}_mean"]) + ("" if math.isnan(sd) else f" ± {sd:.3f}")
