"""``deepstrf fit``, ``evaluate``, ``datasets`` and ``models``; ``sweep`` has its own module.

The modules that load torch are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import click

from deepSTRF.cli.sweep import sweep

if TYPE_CHECKING:
    from pathlib import Path

    from deepSTRF.runs.fit import Recording

__all__ = ["main"]

DEBUG_VARIABLE = "DEEPSTRF_DEBUG"


class _Group(click.Group):
    """Prints what the user can mend as one line with exit code 2; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except _mendable() as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            message = " ".join(str(error).split()) or type(error).__name__
            click.echo(f"Error: {message}", err=True)
            sys.exit(2)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """One line for a reader of the terminal, who has no use for the line of code that warned."""
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


def _mendable() -> tuple[type[BaseException], ...]:
    """What bad input raises. Only looked up when something was raised."""
    from deepSTRF.registry import UnknownNameError
    from deepSTRF.training import NonFiniteLossError, UnknownMonitorError

    return (ValueError, OSError, UnknownNameError, UnknownMonitorError, NonFiniteLossError, ImportError)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="deepSTRF", prog_name="deepstrf")
def main() -> None:
    """Fit encoding models to neural recordings, and score them against the noise ceiling."""


@main.command()
@click.argument("dataset", default="simulated")
@click.argument("model", default="linear-nonlinear")
@click.option("--data", metavar="FOLDER", help="Folder with the recording's files, zipped or unzipped.")
@click.option("--out", metavar="FOLDER", help="New folder for the results.  [default: runs/DATASET-MODEL-n]")
@click.option("--split", help="A protocol that the data set names, or holdout:K (K stimuli each to validate and test).")
@click.option("--dt-ms", type=float, help="Width of a time bin in ms.  [default: the data set's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the initialisation and the batch order.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps, ...")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads of torch.")
@click.option("--epochs", type=int, help="At most this many passes over the training sounds.")
@click.option("--patience", type=int, help="Stop after this many epochs without improvement.")
@click.option("--lr", type=float, help="Learning rate of AdamW.")
@click.option("--weight-decay", type=float, help="Weight decay of AdamW.")
@click.option("--batch-size", type=int, help="Stimuli per gradient step.")
@click.option("--loss", type=click.Choice(["mse", "poisson"]), help="What training minimises.")
@click.option("--monitor", help="What early stopping watches: val_cc_norm, val_cc or val_loss.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the unfinished run in --out, or the newest one of these options in runs/.",
)
@click.option(
    "--log",
    "loggers",
    multiple=True,
    type=click.Choice(["tensorboard", "wandb", "mlflow"]),
    help="Log the epochs there too, inside the folder of the run; may be given more than once.",
)
@click.option("--quiet", is_flag=True, help="No progress lines, only the result.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output, progress on standard error."
)
def fit(
    dataset: str,
    model: str,
    out: str | None,
    resume: bool,
    loggers: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit MODEL to DATASET and write a folder with scores, predictions, the model and figures.

    Without arguments: a simulated population with known receptive fields, and a linear-nonlinear model. Every training
    option defaults to the model's own recipe (see `deepstrf models`). Ctrl-C or SIGTERM ends a run after the present
    epoch; with --resume it goes on, also after it was killed.

    \b
    Examples:
      deepstrf fit
      deepstrf fit simulated ridge
      deepstrf fit ns1 statenet --data ~/recordings/ns1 --split checkpoint --seed 1
    """
    from deepSTRF.cli import report
    from deepSTRF.cli.signals import StopSignals
    from deepSTRF.runs import FitOptions, Interrupted, fit_run

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    progress = report.ProgressLine()
    signals = StopSignals(lambda line: click.echo(line, err=True))
    where = out

    def on_start(folder: Path, recording: Recording) -> None:
        nonlocal progress, where
        where = str(folder)
        progress = report.ProgressLine()  # its clock starts here, after loading
        if not quiet:
            say(report.start_line(dataset, model, recording, folder))

    def on_epoch(fitter: Any, row: dict[str, Any]) -> None:
        signals.armed = True  # from here on there is something to go on with
        if not quiet:
            say(progress(fitter, row))
        if signals.caught:
            fitter.stop()

    try:
        with signals:
            result = fit_run(
                FitOptions(dataset=dataset, model=model, **options), out, resume=resume, loggers=loggers,
                on_epoch=on_epoch, on_start=on_start,
            )  # fmt: skip
    except Interrupted as stopped:
        click.echo(
            f"{str(stopped).capitalize()}. Go on with:\n  {report.resume_command(sys.argv[1:], where)}", err=True
        )
        sys.exit(128 + signals.caught)
    if as_json:
        click.echo(json.dumps(report.as_json(result), indent=1, allow_nan=False))
    else:
        click.echo(report.result_text(result))


@main.command()
@click.argument("run", metavar="RUN")
@click.option("--data", metavar="FOLDER", help="Where the recording lies now, if it moved.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def evaluate(run: str, data: str | None, as_json: bool) -> None:
    """Score the saved run in the folder RUN again, and compare with the scores that it saved."""
    from deepSTRF.cli import report
    from deepSTRF.runs import evaluate_run

    evaluation = evaluate_run(run, data=data)
    if as_json:
        click.echo(json.dumps(report.evaluation_json(evaluation), indent=1, allow_nan=False))
    else:
        click.echo(report.evaluation_text(evaluation))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def datasets(as_json: bool) -> None:
    """List the data sets: size, species and area, paper, licence."""
    from deepSTRF.cli import report

    click.echo(report.datasets_text(as_json))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def models(as_json: bool) -> None:
    """List the models: what they are, their paper, and the defaults that `deepstrf fit` uses."""
    from deepSTRF.cli import report

    click.echo(report.models_text(as_json))


main.add_command(sweep)
