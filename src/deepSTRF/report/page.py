"""The page of a report: static parts, packed neurons, and the script that shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepSTRF.datasets import NeuralDataset
from deepSTRF.files import AnyPath, expand_path, write_file
from deepSTRF.report.markup import check_page, document
from deepSTRF.report.neurons import pack_neurons
from deepSTRF.report.reading import PARTS, SCORES, ReadRun, read_runs
from deepSTRF.report.sections import comparison_section, how_section, notes_section, scores_section

__all__ = ["write_report"]

SCRIPTS = ("uPlot.iife.min.js", "elements.js", "sort.js", "unpack.js", "charts.js", "table.js", "neuron.js", "page.js")
STYLES = ("uPlot.min.css", "page.css")
SHOWN_METADATA = 4  # columns of the table; the rest is beside the neuron


def write_report(
    runs: AnyPath | Sequence[AnyPath], out: AnyPath, *, data: str | NeuralDataset | None = None, neurons: bool = True
) -> Path:
    """Write one HTML page about one or several runs, which opens from the disk without a network.

    It shows what was fitted and how, the scores with their intervals against the noise ceilings, the notes, the
    learning curves, and a table of the neurons; for the chosen neuron, responses to the test stimuli with the
    predictions, the receptive field and its peak. Several runs are compared neuron by neuron.

    Parameters
    ----------
    runs : path or sequence of paths
        Folders that ``deepstrf fit`` wrote; that of a comparison of models stands for all of its runs. A run that is
        not finished is shown as far as it is.
    out : path
        The file. An earlier report there is replaced.
    data : str or NeuralDataset, optional
        Where the recording lies now, if it moved; for runs that were fitted to a data set object, that object. Without
        the recording there are no rasters, but the PSTHs that the runs saved.
    neurons : bool
        False leaves the neurons out, which takes no time: for a page that is made again and again.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    TypeError
        If `runs` or `out` are no paths.
    ValueError
        If a folder is no run or is damaged (a ``RunError``), several runs are of other recordings or were tested on
        other stimuli, or `out` is a folder, or a file that is no report.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> from deepSTRF.runs import FitOptions, fit_run
    >>> ds = SimulatedDataset(n_neurons=2, n_stims=8, duration_s=0.5, n_repeats=3, n_bands=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = fit_run(FitOptions(ds, model="ridge", split="holdout:1"), Path(folder) / "run").folder
    ...     write_report(run, Path(folder) / "report.html", data=ds).name
    'report.html'
    """
    out = expand_path(out, "out")
    read = read_runs(runs)
    check_page(out)
    write_file(out, _page(read, data, neurons))
    return out


def _page(runs: Sequence[ReadRun], data: str | NeuralDataset | None, neurons: bool) -> str:
    finished = [run for run in runs if run.is_finished]
    shown = finished if neurons else []
    payload = {
        "runs": [{"name": run.name, "finished": run in shown} for run in runs],
        "curves": [chart for run in runs for chart in _curves(run)],
        **_neuron_table(shown),
        **(pack_neurons(shown, data) if shown else {}),
    }
    body = [
        scores_section(runs),
        comparison_section(runs),
        notes_section(runs),
        NEURONS if shown else "",
        CURVES if payload["curves"] else "",
        how_section(runs),
    ]
    return document(
        _title(runs),
        _subtitle(runs),
        "".join(body),
        styles=STYLES,
        scripts=SCRIPTS,
        payload=payload,
        header="" if len(finished) == len(runs) else RELOAD,
        footer=" Figures: uPlot, © 2022 Leon Sorokin, MIT licence.",
        without_scripts="The table of neurons and the figures need JavaScript.",
    )


def _title(runs: Sequence[ReadRun]) -> str:
    models = list(dict.fromkeys(run.model for run in runs))
    named = ", ".join(models[:-1]) + " and " + models[-1] if len(models) > 1 else models[0]
    return f"{named} on {runs[0].dataset}"


def _subtitle(runs: Sequence[ReadRun]) -> str:
    first = runs[0]
    running = [run.name for run in runs if not run.is_finished]
    parts = [
        f"{len(runs)} runs" if len(runs) > 1 else f"run {first.name}",
        f"{first.config.get('neurons', '?')} neurons",
        f"split {first.config['split'].get('name', '')}",
    ]
    if running:
        epochs = max((len(rows) for run in runs for rows in run.histories.values() if not run.is_finished), default=0)
        parts.append(
            f"not finished ({epochs} {'epoch' if epochs == 1 else 'epochs'} so far)"
            if len(runs) == 1
            else f"not finished: {', '.join(running)}"
        )
    return " · ".join(parts)


def _neuron_table(runs: Sequence[ReadRun]) -> dict[str, Any]:
    """Columns and rows of the table, and what else is known of each neuron."""
    if not runs:
        return {"columns": [], "rows": [], "metadata": []}
    scores = {f"{score}_{part}" for score in (*SCORES, "cc_norm_concatenated", "single_trial") for part in PARTS}
    keys = [key for key in runs[0].neurons[0] if key not in scores | {"neuron"}] if runs[0].neurons else []
    several = [key for key in keys if key != "cell_id" and len({row[key] for row in runs[0].neurons}) > 1]
    shown = several[:SHOWN_METADATA] + [key for key in several[SHOWN_METADATA:] if key == "n_repeats"]
    columns = [{"label": "neuron", "kind": "text"}]
    values: list[list[Any]] = [
        [row.get("cell_id") or row["neuron"] for row in runs[0].neurons],
    ]
    columns.append({"label": "ceiling", "kind": "score"})
    values.append(_rounded(runs[0], "ceiling_test"))
    for run in runs:
        for score in ("cc", "cc_norm"):
            columns.append({"label": score if len(runs) == 1 else f"{score} {run.name}", "kind": "score"})
            values.append(_rounded(run, f"{score}_test"))
    for key in shown:
        own = [_number(row[key]) for row in runs[0].neurons]
        numeric = all(isinstance(value, float) or value is None for value in own)
        columns.append({"label": "repeats" if key == "n_repeats" else key, "kind": "number" if numeric else "text"})
        values.append(own if numeric else [row[key] for row in runs[0].neurons])
    metadata = [{key: row[key] for key in keys if row[key].lower() not in ("", "nan")} for row in runs[0].neurons]
    return {"columns": columns, "rows": [list(row) for row in zip(*values, strict=True)], "metadata": metadata}


def _rounded(run: ReadRun, name: str) -> list[float | None]:
    return [round(value, 4) if math.isfinite(value) else None for value in run.scores(name).tolist()]


def _number(text: str) -> float | str | None:
    """A number with four digits, None for nothing, or the text."""
    try:
        value = float(text)
    except ValueError:
        return text or None
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _curves(run: ReadRun) -> list[dict[str, Any]]:
    """Charts of the epochs: losses, and the mean scores of the validation; with folds, a line for each."""
    charts = []
    for label, names in (("loss", ("train_loss", "val_loss")), ("score", ("val_cc", "val_cc_norm"))):
        lines = [
            {
                "label": name.replace("_", " ", 1) + (f", {history}" if len(run.histories) > 1 else ""),
                "x": [row["epoch"] for row in rows],
                "y": [_mean_of(row.get(name)) for row in rows],
            }
            for history, every in run.histories.items()
            for name in names
            if len(rows := [row for row in every if "epoch" in row]) > 1 and any(name in row for row in rows)
        ]
        if lines:
            charts.append({"title": f"{run.name}: {label} by epoch", "y": label, "lines": lines})
    return charts


def _mean_of(value: Any) -> Any:
    return value.get("mean") if isinstance(value, Mapping) else value


RELOAD = '<button type=button id=reload onclick="location.reload()">Reload</button>'

NEURONS = """<section aria-labelledby="neurons-title" id="neurons"><h2 id="neurons-title">Neurons</h2>
<div class=columns><div>
<figure id="ceiling-chart"></figure>
<form role=search onsubmit="return false"><label for="filter">Filter</label>
<input id="filter" type=search autocomplete=off spellcheck=false aria-describedby="filter-help">
<output id="count" for="filter" aria-live=polite></output></form>
<p class=hint id="filter-help">Words, or conditions as <code>ceiling&gt;0.5</code>; all must hold. Click a column to
sort. ↑ and ↓ go from neuron to neuron.</p>
<div class="wide tall" tabindex="0" role=region aria-label="Table of neurons"><table id="neuron-table" class=numbers>
<caption class=unseen>Scores of the neurons on the test stimuli</caption><thead></thead><tbody></tbody></table></div>
</div><div id="neuron" role=region aria-label="Chosen neuron"></div></div></section>"""

CURVES = """<section aria-labelledby="curves-title" id="curves"><h2 id="curves-title">Learning curves</h2>
<div class=charts id="curve-charts"></div></section>"""
