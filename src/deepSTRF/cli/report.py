"""What the command line prints."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepSTRF.files import to_plain
from deepSTRF.registry import dataset_cards
from deepSTRF.runs.evaluate import Evaluation
from deepSTRF.runs.fit import Recording, RunResult
from deepSTRF.runs.recipes import get_recipe, recipe_names
from deepSTRF.training.fitter import Fitter, _to_scalar

__all__ = [
    "ProgressLine",
    "as_json",
    "datasets_text",
    "evaluation_json",
    "evaluation_text",
    "models_text",
    "result_text",
    "start_line",
]

SCORES = ("cc", "cc_norm", "ceiling")


def start_line(dataset: str, model: str, recording: Recording, folder: Path) -> str:
    """Say what is fitted to what, and where the result goes."""
    sizes = ", ".join(f"{len(stimuli)} {part}" for part, stimuli in recording.indices.items())
    data = recording.dataset
    return (
        f"{model} on {dataset}: {data.N_neurons} neurons, {sizes} stimuli (split {recording.split}), "
        f"{data.dt:g} ms bins; results go to {folder}"
    )


class ProgressLine:
    """One line per epoch: loss, validation scores, best so far, seconds, patience left."""

    def __init__(self) -> None:
        self.clock = time.perf_counter()

    def __call__(self, fitter: Fitter, row: Mapping[str, Any]) -> str:
        """Format the epoch `row` of `fitter`, before the fitter has judged it."""
        now = time.perf_counter()
        seconds, self.clock = now - self.clock, now
        score = _to_scalar(row[fitter.monitor]) if fitter.monitor in row else math.nan
        sign = 1.0 if fitter.mode == "max" else -1.0
        better = not math.isnan(score) and (fitter.best_epoch is None or sign * score > sign * fitter.best_score)
        best_epoch = row["epoch"] if better else fitter.best_epoch
        best = score if better else fitter.best_score
        left = fitter.patience - (row["epoch"] - (-1 if best_epoch is None else best_epoch))
        return (
            f"epoch {row['epoch']:4d}  loss {row['train_loss']:.4g}  val cc {_to_scalar(row['val_cc']):.3f}  "
            f"cc_norm {_to_scalar(row['val_cc_norm']):.3f}  best {best:.4g}  {seconds:.2f} s  patience {left}"
        )


def result_text(result: RunResult) -> str:
    """The table of scores of a run, and where its files are."""
    summary = result.summary
    lines = [score_table(summary["parts"])]
    if "strf_recovery" in summary:
        clear, every = summary["strf_recovery"]["ln_snr_above_half"], summary["strf_recovery"]["all"]
        lines.append(
            f"recovered receptive fields against the true ones: median r = {clear['median']:.2f} over the "
            f"{clear['neurons']} LN cells with SNR > 0.5, {every['median']:.2f} over all {every['neurons']}"
        )
    epochs = f" in {summary['epochs']} epochs" if summary["epochs"] else ""
    lines.append(f"fitted{epochs} in {summary['fit_seconds']:.1f} s; everything is in {result.folder}")
    return "\n".join(lines)


def evaluation_text(evaluation: Evaluation) -> str:
    """The table of scores, and whether they are those that were saved."""
    difference = evaluation.largest_difference
    if difference < 1e-6:
        verdict = "the same numbers as the saved ones"
    elif math.isinf(difference):
        verdict = "DIFFERENT from the saved scores: some are undefined in one and not in the other"
    else:
        verdict = f"DIFFERENT from the saved scores by up to {difference:.2g}: other hardware or library versions?"
    return f"{score_table(evaluation.summary)}\n{verdict}"


def score_table(parts: Mapping[str, Any]) -> str:
    """Train, validation and test against the noise ceiling."""
    lines = [
        f"{'':12}{'cc':^26}{'cc_norm':^26}{'noise ceiling':^18}",
        f"{'':12}{'mean':>8}{'median':>8}{'neurons':>10}{'mean':>8}{'median':>8}{'neurons':>10}{'mean':>9}{'median':>9}",
    ]
    single = {}
    for part, values in parts.items():
        name = {"val": "validation"}.get(part, part)
        single[name] = values["single_trial_neurons"]
        cells = [f"{name:12}"]
        for score in SCORES:
            entry = values[score]
            width = 9 if score == "ceiling" else 8
            cells += [f"{_number(entry[key]):>{width}}" for key in ("mean", "median")]
            if score != "ceiling":
                defined = f"{entry['defined']}/{entry['all']}"
                cells.append(f"{defined:>10}")
        lines.append("".join(cells))
    for name, count in single.items():
        if count:
            lines.append(
                f"{count} neurons have single trials only in the {name} part: no noise ceiling, left out of cc_norm"
            )
    return "\n".join(lines)


def as_json(result: RunResult) -> dict[str, Any]:
    """A run's scores for other programs; undefined numbers are null."""
    return to_plain({"folder": str(result.folder), **result.summary})


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation's scores for other programs; undefined numbers are null."""
    return to_plain({"parts": evaluation.summary, "largest_difference": evaluation.largest_difference})


def datasets_text(as_json: bool) -> str:
    """The registered data sets."""
    cards = {name: dataclasses.asdict(card) for name, card in dataset_cards().items()}
    return json.dumps(list(cards.values()), indent=1) if as_json else _listing(cards)


def models_text(as_json: bool) -> str:
    """The models of the command line, with the defaults of their recipes."""
    entries = {}
    for name in recipe_names():
        recipe = get_recipe(name)
        settings = "closed form" if recipe.settings is None else dataclasses.asdict(recipe.settings)
        entries[name] = {**dataclasses.asdict(recipe.card), "defaults": settings}
    return json.dumps(list(entries.values()), indent=1) if as_json else _listing(entries)


def _listing(entries: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, entry in entries.items():
        lines.append(f"{name}: {entry['summary']}")
        for key, value in entry.items():
            if key not in ("name", "summary"):
                if isinstance(value, Mapping):
                    value = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items())
                lines.append(f"    {key.replace('_', ' '):14}{value}")
        lines.append("")
    return "\n".join(lines).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def resume_command(arguments: list[str], folder: str | None) -> str:
    """What to type to go on with a run that was begun with these arguments.

    Examples
    --------
    >>> resume_command(["fit", "ns1", "statenet", "--seed", "1"], "runs/ns1-statenet-1")
    'deepstrf fit ns1 statenet --seed 1 --out runs/ns1-statenet-1 --resume'
    """
    named = any(argument == "--out" or argument.startswith("--out=") for argument in arguments)
    out = [] if named or folder is None else ["--out", folder]
    flag = [] if "--resume" in arguments else ["--resume"]
    return shlex.join(["deepstrf", *arguments, *out, *flag])
