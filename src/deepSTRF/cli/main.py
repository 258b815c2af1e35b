"""``deepstrf fit``, ``evaluate``, ``datasets`` and ``models``; ``sweep`` has its own module.

The modules that load torch are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepSTRF.cli.benchmark import benchmark
from deepSTRF.cli.loading import loading
from deepSTRF.cli.options import (
    dataset_options,
    download_option,
    echo_json,
    fit_options,
    json_option,
    quiet_option,
)
from deepSTRF.cli.own_recording import check, new
from deepSTRF.cli.predict import cache, predict
from deepSTRF.cli.report_page import LiveReport, report_command
from deepSTRF.cli.sweep import sweep
from deepSTRF.runs.options import LOGGERS, OPTIONS, RunError

if TYPE_CHECKING:
    from deepSTRF.runs.recording import Recording

__all__ = ["main"]

DEBUG_VARIABLE = "DEEPSTRF_DEBUG"


class _Group(click.Group):
    """Prints mistakes of the user as one line with exit code 2; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except _mistakes() as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            message = error.with_flags() if isinstance(error, RunError) else str(error)
            message = " ".join(message.split()) or type(error).__name__
            click.echo(f"Error: {message}", err=True)
            sys.exit(2)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """One line for a reader of the terminal, who has no use for the line of code that warned."""
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


def _mistakes() -> tuple[type[BaseException], ...]:
    """Errors that bad input raises. Looked up only when something was raised, because it loads torch."""
    from deepSTRF.registry import UnknownNameError
    from deepSTRF.training import NonFiniteLossError, UnknownMonitorError

    return (ValueError, OSError, UnknownNameError, UnknownMonitorError, NonFiniteLossError, ImportError)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="deepSTRF", prog_name="deepstrf")
def main() -> None:
    """Fit encoding models to neural recordings, and score them against the noise ceiling."""


@main.command()
@click.argument("dataset", default=OPTIONS["dataset"].default)
@click.argument("model", required=False)
@click.option("--out", metavar="FOLDER", help="New folder for the results.  [default: runs/DATASET-MODEL-n]")
@fit_options
@download_option
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the unfinished run in --out, or the newest one of these options in runs/.",
)
@click.option(
    "--log",
    "loggers",
    multiple=True,
    type=click.Choice(LOGGERS),
    help="Log the epochs there too, inside the folder of the run; may be given more than once.",
)
@click.option("--report", "with_report", is_flag=True, help="Write report.html too, while the fit runs and at its end.")
@quiet_option
@json_option
def fit(
    dataset: str,
    model: str | None,
    out: str | None,
    download: bool,
    resume: bool,
    loggers: tuple[str, ...],
    with_report: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit MODEL to DATASET and write a folder with scores, predictions, the model and figures.

    DATASET is a name that `deepstrf datasets` lists, the folder of a recording or of Kilosort or phy, FILE.nwb,
    FILE.py:CLASS or PACKAGE.MODULE:CLASS. Without arguments: a simulated population with known receptive fields.
    Without MODEL: a linear-nonlinear model; to a folder or an NWB file, ridge, a linear-nonlinear and a recurrent
    model, side by side.

    Every training option defaults to the model's own recipe (see `deepstrf models`). Ctrl-C or SIGTERM ends a run after
    the present epoch; --resume continues it, also after it was killed.

    \b
    Examples:
      deepstrf fit
      deepstrf fit simulated ridge
      deepstrf fit ns1 ridge --download
      deepstrf fit ns1 statenet --data ~/recordings/ns1 --split checkpoint --seed 1
      deepstrf fit simulated mymodel.py:MyModel
      deepstrf fit recordings/ferret1
      deepstrf fit recordings/ferret1 statenet --neurons 'area=A1' --neurons 'snr>0.2'
    """
    with loading():
        from deepSTRF.cli import report
        from deepSTRF.cli.signals import StopSignals
        from deepSTRF.runs import FitOptions, Interrupted, fit_run
        from deepSTRF.runs.data_source import kind_of_data, load_dataset
        from deepSTRF.runs.folder import PATH_KINDS
        from deepSTRF.sweeps import compare_models

    several = model is None and kind_of_data(dataset) in PATH_KINDS
    named = model or OPTIONS["model"].default

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    progress = report.ProgressLine()
    signals = StopSignals(lambda line: click.echo(line, err=True))
    where = out
    page: LiveReport | None = None

    def on_start(folder: Path, recording: Recording) -> None:
        nonlocal progress, where, page
        signals.armed = signals.armed or (several and where is not None)  # another model is fitted already
        where = str(folder.parent if several else folder)
        page = LiveReport(Path(where)) if with_report else None
        progress = report.ProgressLine()  # its clock starts here, after loading
        if not quiet:
            say(report.start_line(dataset, folder.name if several else named, recording, folder))

    def on_epoch(fitter: Any, row: dict[str, Any]) -> None:
        signals.armed = True  # from here on there is something to go on with
        if not quiet:
            say(progress(fitter, row))
        if page is not None:
            page.update()
        if signals.caught:
            fitter.stop()

    try:
        with signals:
            asked = FitOptions(dataset=dataset, model=named, **options)
            callbacks: dict[str, Any] = {"loggers": loggers, "on_epoch": on_epoch, "on_start": on_start}
            fetched = load_dataset(asked, download=True) if download else None
            if several:
                comparison = compare_models(asked, out=out, resume=resume, **callbacks)
            else:
                result = fit_run(asked, out, resume=resume, dataset=fetched, **callbacks)
    except Interrupted as stopped:
        click.echo(
            f"{str(stopped).capitalize()}. Go on with:\n  {report.resume_command(sys.argv[1:], where)}", err=True
        )
        sys.exit(128 + signals.caught)
    if with_report:
        say(LiveReport(comparison.folder if several else result.folder).finish())
    if as_json:
        echo_json(dataclasses.asdict(comparison) if several else {"folder": result.folder, **result.summary})
    else:
        click.echo(report.comparison_text(comparison) if several else report.result_text(result))


@main.command()
@click.argument("run", metavar="RUN")
@click.option("--data", metavar="PATH", help="Where the recording lies now, if it moved.")
@download_option
@json_option
def evaluate(run: str, data: str | None, download: bool, as_json: bool) -> None:
    """Score the saved run in the folder RUN again, and compare with the scores that it saved."""
    with loading():
        from deepSTRF.cli import report
        from deepSTRF.runs import evaluate_run

    evaluation = evaluate_run(run, data=data, download=download)
    if as_json:
        echo_json({"parts": evaluation.summary, "largest_difference": evaluation.largest_difference})
    else:
        click.echo(report.evaluation_text(evaluation))


@main.command()
@click.argument("dataset", required=False)
@dataset_options
@download_option
@json_option
def datasets(dataset: str | None, download: bool, as_json: bool, **options: Any) -> None:
    """List the data sets: size, species and area, paper, licence; what is on this disk, and how to get the rest.

    With DATASET, as `deepstrf fit` takes it (a name, the folder of a recording, FILE.nwb, FILE.py:CLASS): what is in
    it, and by which keys neurons and stimuli can be selected.
    """
    with loading():
        from deepSTRF.cli import report
        from deepSTRF.cli.describe import describe_dataset

    if dataset is None and (download or any(value is not None for value in options.values())):
        raise click.UsageError("name the data set that these options are for")
    if dataset is None:
        _list(report.dataset_entries(), as_json)
    else:
        _list([describe_dataset(dataset, download=download, **options)], as_json)


@main.command()
@click.argument("file", metavar="[FILE.py]", required=False)
@json_option
def models(file: str | None, as_json: bool) -> None:
    """List the models: what they are, their paper, and the defaults that `deepstrf fit` uses.

    With a file: the models that it defines. `deepstrf fit DATASET FILE.py:CLASS` fits one of them.
    """
    with loading():
        from deepSTRF.cli import report

    _list(report.model_entries(file), as_json)


def _list(entries: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    from deepSTRF.cli import report

    if as_json:
        echo_json(entries)
    else:
        click.echo(report.listing(entries))


for command in (predict, report_command, sweep, benchmark, cache, new, check):
    main.add_command(command)
