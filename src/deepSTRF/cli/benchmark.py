"""``deepstrf benchmark``."""

from __future__ import annotations

from typing import Any

import click

from deepSTRF.cli.loading import loading
from deepSTRF.cli.options import echo_json
from deepSTRF.cli.sweep import board_text, exit_by, show_runs, worker_options
from deepSTRF.runs.options import OPTIONS

__all__ = ["benchmark"]


def _names(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[str] | None:
    """Names between commas, of options that may be given more than once."""
    return [name.strip() for entry in given for name in entry.split(",")] or None


@click.command()
@click.option(
    "--models",
    metavar="NAME,...",
    multiple=True,
    callback=_names,
    help="Models, as `deepstrf fit` takes them.  [default: all but those of waveforms]",
)
@click.option(
    "--data",
    metavar="NAME[=PATH],...",
    multiple=True,
    callback=_names,
    help="Data sets, as `deepstrf fit` takes them, and where their files lie.  [default: the public recordings on this "
    "disk]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs of each model, with seeds 0 to N - 1.  [default: 3; with --folds 1]",
)
@click.option("--folds", type=click.IntRange(min=3), metavar="K", help=OPTIONS["folds"].help)
@click.option("--split", help=OPTIONS["split"].help)
@click.option("--device", default=OPTIONS["device"].default, show_default=True, help=OPTIONS["device"].help)
@click.option(
    "--out", metavar="FOLDER", default="runs/benchmark", show_default=True, help="Folder of all runs and results."
)
@worker_options
def benchmark(
    models: list[str] | None,
    data: list[str] | None,
    seeds: int | None,
    folds: int | None,
    split: str | None,
    device: str,
    out: str,
    **options: Any,
) -> None:
    """Fit every model to every data set, over seeds or folds; write benchmark.csv and benchmark.html.

    The table has one row per run: scores with their intervals, noise ceiling, parameters, seconds, time per bin. Scores
    that others published stand beside ours, marked as quoted. A run that fails is a row with its reason. The same
    command goes on where it stopped; with other models or data it adds to the table.

    \b
    Examples:
      deepstrf benchmark
      deepstrf benchmark --data ns1=~/recordings/ns1 --models ridge,linear-nonlinear,statenet --seeds 5
      deepstrf benchmark --data simulated,recordings/ferret1 --folds 5 --jobs 4
    """
    with loading():
        from deepSTRF.benchmark import plan_benchmark, run_benchmark
        from deepSTRF.benchmark.benchmark import PAGE_FILE, TABLE_FILE
        from deepSTRF.sweeps import leaderboard

    asked = plan_benchmark(data, models, seeds=seeds, folds=folds, split=split, device=device, out=out)
    found = show_runs(asked, run_benchmark, **options)
    if options["as_json"]:
        echo_json({"out": found.out, "leaderboard": leaderboard(found.outcomes), "rows": found.rows})
    else:
        click.echo(board_text(asked, found.outcomes))
        click.echo(f"one row per run is in {found.out / TABLE_FILE}, the page is {found.out / PAGE_FILE}")
    exit_by(found.outcomes)
