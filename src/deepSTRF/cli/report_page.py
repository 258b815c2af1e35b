"""``deepstrf report``: an HTML page about runs."""

from __future__ import annotations

import math
import time
from pathlib import Path

import click

from deepSTRF.cli.loading import loading
from deepSTRF.cli.options import echo_json, json_option

__all__ = ["REPORT_FILE", "LiveReport", "report_command"]

REPORT_FILE = "report.html"
SECONDS = 5.0  # between two pages while a fit runs


class LiveReport:
    """The page in the folder of a run, or of a comparison, that is being fitted; to be reloaded in a browser."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / REPORT_FILE
        self.made = -math.inf

    def update(self) -> None:
        """Write the epochs so far, unless that was done a moment ago."""
        if time.monotonic() - self.made >= SECONDS:
            self._write(neurons=False)
            self.made = time.monotonic()

    def finish(self) -> str:
        """Write all of it; return a line that says where."""
        self._write(neurons=True)
        return report_line(self.path)

    def _write(self, *, neurons: bool) -> None:
        from deepSTRF.report import write_report

        write_report(self.folder, self.path, neurons=neurons)


def report_line(path: Path) -> str:
    """Say where the page is, and how large."""
    return f"report ({path.stat().st_size / 1e6:.1f} MB): {path}"


@click.command("report")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--out", metavar="FILE", help=f"The page.  [default: RUN/{REPORT_FILE}; for several runs {REPORT_FILE} here]"
)
@click.option("--data", metavar="PATH", help="Where the recording lies now, if it moved.")
@json_option
def report_command(runs: tuple[str, ...], out: str | None, data: str | None, as_json: bool) -> None:
    """Write an HTML page about the runs in the folders RUN: scores, comparison, and every neuron.

    The page needs no network and no other file. RUN may also be the folder of a comparison of models, or a run that is
    not finished, which is shown as far as it is. An earlier report in the same place is replaced.

    \b
    Examples:
      deepstrf report runs/ns1-statenet-1
      deepstrf report runs/ns1-ridge-1 runs/ns1-statenet-1 --out compared.html
    """
    with loading():
        from deepSTRF.report import write_report

    default = Path(runs[0]) / REPORT_FILE if len(runs) == 1 else Path(REPORT_FILE)
    path = write_report(runs, default if out is None else out, data=data)
    if as_json:
        echo_json({"file": path, "bytes": path.stat().st_size})
    else:
        click.echo(report_line(path))
