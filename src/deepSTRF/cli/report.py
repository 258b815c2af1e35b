"""What the command line prints."""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepSTRF.checks import counted
from deepSTRF.cli.options import format_number
from deepSTRF.datasets.download import default_cache_dir
from deepSTRF.datasets.recording_folder import files_here, find_recording
from deepSTRF.registry import DatasetCard, dataset_cards, get_recipe, model_cards, models_in_file
from deepSTRF.runs.evaluate import Evaluation
from deepSTRF.runs.recording import Recording
from deepSTRF.runs.run import RunResult
from deepSTRF.sweeps.compare import Comparison
from deepSTRF.training.epochs import to_scalar
from deepSTRF.training.fitter import Fitter

__all__ = [
    "ProgressLine",
    "card_entry",
    "comparison_text",
    "dataset_entries",
    "evaluation_text",
    "listing",
    "model_entries",
    "result_text",
    "resume_command",
    "score_table",
    "start_line",
]

SCORES = ("cc", "cc_norm", "ceiling")
PART_NAMES = {"val": "validation"}
_COMPARED = ("val", "test")
_MOST_NAMES = 4


def start_line(dataset: str, model: str, recording: Recording, folder: Path) -> str:
    """Say what is fitted to what, and where the result goes."""
    data = recording.dataset
    sizes = ", ".join(f"{len(stimuli)} {part}" for part, stimuli in recording.indices.items())
    parts = f"{sizes} stimuli (split {recording.split})"
    if recording.folds:
        stimuli = counted(data.get_S(), "stimulus", "stimuli")
        parts = f"{stimuli} in {recording.split}, then a fit to everything"
    selected = recording.selected
    neurons = (
        counted(data.N_neurons, "neuron")
        if selected is None
        else f"{data.N_neurons} of {counted(selected.of_neurons, 'neuron')}"
    )
    return f"{model} on {dataset}: {neurons}, {parts}, {data.dt:g} ms bins; results go to {folder}"


class ProgressLine:
    """One line per epoch: loss, validation scores, best so far, seconds, patience left."""

    def __init__(self) -> None:
        self.clock = time.perf_counter()

    def __call__(self, fitter: Fitter, row: Mapping[str, Any]) -> str:
        """Format the epoch `row` of `fitter`, before the fitter has judged it."""
        fold = f"fold {row['fold'] + 1}/{row['folds']}  " if "fold" in row else ""
        if "val_cc" not in row:
            return f"on everything  epoch {row['epoch']:4d}  loss {row['train_loss']:.4g}"
        now = time.perf_counter()
        seconds, self.clock = now - self.clock, now
        value = row.get(fitter.monitor, math.nan)
        better = fitter.is_better(value)
        best, left = (to_scalar(value), fitter.patience) if better else (fitter.best_score, fitter.patience_left)
        norm = f"cc_norm {to_scalar(row['val_cc_norm']):.3f}  " if "val_cc_norm" in row else ""  # only with repeats
        return (
            f"{fold}epoch {row['epoch']:4d}  loss {row['train_loss']:.4g}  val cc {to_scalar(row['val_cc']):.3f}  "
            f"{norm}best {best:.4g}  {seconds:.2f} s  patience {left}"
        )


def result_text(result: RunResult) -> str:
    """The table of scores of a run, and where its files are."""
    summary = result.summary
    lines = [score_table(summary["parts"], summary["notes"], folds=summary.get("folds"))]
    if "strf_recovery" in summary:
        clear, every = summary["strf_recovery"]["ln_snr_above_half"], summary["strf_recovery"]["all"]
        lines.append(
            f"recovered receptive fields against the true ones: median r = {clear['median']:.2f} over the "
            f"{clear['neurons']} LN cells with SNR > 0.5, {every['median']:.2f} over all {every['neurons']}"
        )
    epochs = f" in {counted(summary['epochs'], 'epoch')}" if summary["epochs"] else ""
    lines.append(f"fitted{epochs} in {summary['fit_seconds']:.1f} s; everything is in {result.folder}")
    return "\n".join(lines)


def comparison_text(comparison: Comparison) -> str:
    """The models of a comparison side by side, against the noise ceiling."""
    shown = [score for score in ("cc_norm", "cc") if any(comparison.neurons[f"{part}_{score}"] for part in _COMPARED)]
    counts = {(score, part): comparison.neurons[f"{part}_{score}"] for score in shown for part in _COMPARED}
    if len(set(counts.values())) == 1:
        number = next(iter(counts.values()))
        over = "the only neuron" if number == 1 else f"the {number} neurons that all of them define"
    else:
        each = [f"{number} ({score}, {PART_NAMES.get(part, part)})" for (score, part), number in counts.items()]
        over = f"the neurons that all of them define: {', '.join(each) or 'none'}"
    width = max(len(label) for label in ("noise ceiling", *(row["model"] for row in comparison.rows))) + 2
    lines = [
        f"mean over {over}; best validation score first",
        f"{'':{width}}" + "".join(f"{score:>12}{'':8}" for score in shown) + f"{'epochs':>8}{'seconds':>9}",
        f"{'':{width}}" + f"{'validation':>12}{'test':>8}" * len(shown),
    ]
    for row in comparison.rows:
        cells = [
            f"{format_number(row[f'{part}_{score}']):>{size}}"
            for score in shown
            for part, size in zip(_COMPARED, (12, 8), strict=True)
        ]
        epochs = "-" if row["epochs"] is None else row["epochs"]
        lines.append(f"{row['model']:{width}}{''.join(cells)}{epochs:>8}{row['fit_seconds']:>9.1f}")
    if any(math.isfinite(value) for value in comparison.ceiling.values()):
        one = f"{'1.000':>12}{'1.000':>8}"
        cells = [
            f"{format_number(comparison.ceiling[part]):>{size}}" for part, size in zip(_COMPARED, (12, 8), strict=True)
        ]
        lines.append(f"{'noise ceiling':{width}}{one}{''.join(cells)}")
    lines += [f"note: {note}" for note in comparison.notes]
    lines.append("choose by the validation score; the test score is for the report of what was chosen")
    lines.append(f"each model is a run of its own in {comparison.folder}, with figures and notes")
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
    return f"{score_table(evaluation.summary, evaluation.notes, folds=evaluation.folds)}\n{verdict}"


def score_table(parts: Mapping[str, Any], notes: Sequence[str] = (), *, folds: Mapping[str, Any] | None = None) -> str:
    """Train, validation and test against the noise ceiling, and what there is to say about them.

    With folds, the test row is the score of all of them, and the train row that of the model fitted to everything.
    """
    names = PART_NAMES if folds is None else {**PART_NAMES, "train": "everything", "test": "folds"}
    lines = [
        f"{'':12}{'cc':^26}{'cc_norm':^26}{'noise ceiling':^18}",
        f"{'':12}{'mean':>8}{'median':>8}{'neurons':>10}{'mean':>8}{'median':>8}{'neurons':>10}{'mean':>9}{'median':>9}",
    ]
    for part, values in parts.items():
        cells = [f"{names.get(part, part):12}"]
        for score in SCORES:
            entry = values[score]
            width = 9 if score == "ceiling" else 8
            cells += [f"{format_number(entry[key]):>{width}}" for key in ("mean", "median")]
            if score != "ceiling":
                defined = f"{entry['defined']}/{entry['all']}"
                cells.append(f"{defined:>10}")
        lines.append("".join(cells))
    if folds is not None:
        lines.append(
            f"Folds: each stimulus is predicted by one of {folds['number']} models, not fitted to nor stopped by it. "
            "Everything: the saved model, on what it was fitted to"
        )
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def dataset_entries() -> list[dict[str, Any]]:
    """The cards of the registered data sets."""
    return [card_entry(card) for card in dataset_cards().values()]


def card_entry(card: DatasetCard) -> dict[str, Any]:
    """A card, with what of the recording is on this disk, and how to get it, where it can be downloaded."""
    entry = dataclasses.asdict(card)
    if entry.pop("recording"):
        recording = find_recording(card.recording)
        folder = default_cache_dir(recording.name)
        here = files_here(recording, folder)
        missing = [name for name, is_here in here.items() if not is_here]
        if len(missing) == len(here):
            entry["on_this_disk"] = f"nothing in {folder}"
        else:
            others = f" and {len(missing) - _MOST_NAMES} others" if len(missing) > _MOST_NAMES else ""
            without = f", without {', '.join(missing[:_MOST_NAMES])}{others}" if missing else ""
            entry["on_this_disk"] = f"{len(here) - len(missing)} of {len(here)} files in {folder}{without}"
        account = ", with CRCNS_USERNAME and CRCNS_PASSWORD set" if recording.needs_login else ""
        entry["to_get_it"] = f"deepstrf datasets {card.name} --download ({recording.size}{account})"
    return entry


def model_entries(file: str | None = None) -> list[dict[str, Any]]:
    """The cards of the models, or of those that a file defines, with the defaults of their recipes."""
    entries = []
    for name, card in (model_cards() if file is None else models_in_file(file)).items():
        recipe = get_recipe(name)
        settings = "closed form" if recipe.settings is None else dataclasses.asdict(recipe.settings)
        entries.append({**dataclasses.asdict(card), "name": name, "defaults": settings})
    return entries


def listing(entries: Sequence[Mapping[str, Any]]) -> str:
    """A paragraph for every entry, name and summary first."""
    paragraphs = []
    for entry in entries:
        lines = [f"{entry['name']}: {entry['summary']}"]
        for key, value in entry.items():
            if key not in ("name", "summary") and value is not None:
                if isinstance(value, Mapping):
                    value = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items())
                lines.append(f"    {key.replace('_', ' '):14}{value}")
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def resume_command(arguments: list[str], folder: str | None) -> str:
    """The command that resumes a run which was started with these arguments.

    Examples
    --------
    >>> resume_command(["fit", "ns1", "statenet", "--seed", "1"], "runs/ns1-statenet-1")
    'deepstrf fit ns1 statenet --seed 1 --out runs/ns1-statenet-1 --resume'
    """
    named = any(argument == "--out" or argument.startswith("--out=") for argument in arguments)
    out = [] if named or folder is None else ["--out", folder]
    flag = [] if "--resume" in arguments else ["--resume"]
    return shlex.join(["deepstrf", *arguments, *out, *flag])
