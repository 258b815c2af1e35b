"""The parts of a report that need no script: scores, comparisons, notes, and how the runs were made."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from deepSTRF.analysis import Interval, adjust_p_values, bootstrap_interval, paired_comparison
from deepSTRF.checks import counted
from deepSTRF.report.markup import mean_text, section, table, text
from deepSTRF.report.reading import PARTS, SCORES, ReadRun
from deepSTRF.sweeps.results import shared_neurons

__all__ = ["comparison_section", "how_section", "notes_section", "scores_section"]

PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
OF_FOLDS = {"train": "everything", "val": "validation", "test": "folds"}
SCORE_NAMES = {"cc": "cc", "cc_norm": "cc_norm", "ceiling": "noise ceiling"}
RESAMPLES = 2000  # quick also for thousands of neurons
INTERVALS = "In brackets: 95 % intervals of the mean, by bootstrap over neurons."


def scores_section(runs: Sequence[ReadRun]) -> str:
    """Mean scores of every part with intervals, next to the noise ceiling."""
    tables = []
    for run in runs:
        if run.summary is None:
            continue
        names = OF_FOLDS if "folds" in run.summary else PART_NAMES
        rows = []
        for part in PARTS:
            cells = [names[part]]
            for score in SCORES:
                entry = _interval(run.scores(f"{score}_{part}"))
                cells += [mean_text(entry), f"{entry.n}/{len(run.neurons)}"]
            rows.append(cells)
        heads = ["part", *itertools.chain.from_iterable((SCORE_NAMES[score], "neurons") for score in SCORES)]
        tables.append(table(run.name if len(runs) > 1 else "Means over neurons", heads, rows))
    if not tables:
        return ""
    folds = "With folds, each stimulus is predicted by a model that never saw it. " if _has_folds(runs) else ""
    return section("scores", "Scores", f"{''.join(tables)}<p class=hint>{folds}{INTERVALS}</p>")


def comparison_section(runs: Sequence[ReadRun]) -> str:
    """The leaderboard of several finished runs, and the differences of each pair neuron by neuron."""
    finished = [run for run in runs if run.is_finished]
    if len(finished) < 2:
        return ""
    names = [f"{score}_{part}" for score in SCORES[:2] for part in PARTS[1:]]
    shared = {name: shared_neurons([run.scores(name).tolist() for run in finished]) for name in names}
    kinds = ["cc_norm", "cc"] if shared["cc_norm_test"] else ["cc"]
    order = sorted(finished, key=lambda run: -_sorted_by(run, kinds[0], shared))
    rows = []
    for place, run in enumerate(order, start=1):
        means = [
            mean_text(_interval(run.scores(f"{kind}_{part}")[shared[f"{kind}_{part}"]]))
            for kind in kinds
            for part in PARTS[1:]
        ]
        rows.append([str(place), run.name, run.model, *means, _seconds(run)])
    heads = ["", "run", "model", *(f"{kind}, {PART_NAMES[part]}" for kind in kinds for part in PARTS[1:]), "fitted in"]
    numbers = " ".join(sorted({str(len(neurons)) for neurons in shared.values()}))
    board = table(f"Leaderboard: means over the {numbers} neurons that all runs define", heads, rows)
    kind = kinds[0]
    pairs = list(itertools.combinations(order, 2))
    results = [
        paired_comparison(*(run.scores(f"{kind}_test") for run in pair), n_resamples=RESAMPLES) for pair in pairs
    ]
    p_values = adjust_p_values([result.p_value for result in results])
    compared = [
        [
            *(run.name for run in pair),
            mean_text(result.effect, signed=True),
            f"{result.n_first_better} : {result.n_second_better}",
            _p(p),
            str(result.effect.n),
        ]
        for pair, result, p in zip(pairs, results, p_values, strict=True)
    ]
    heads = ["first", "second", f"first − second, {kind}", "better in neurons", "p", "neurons"]
    correction = f", corrected for {len(pairs)} pairs by Holm’s method" if len(pairs) > 1 else ""
    hint = (
        "<p class=hint>Best validation score first: choose by it; the test score is for the report of what was chosen. "
        f"{INTERVALS} Pairs are compared neuron by neuron on the test stimuli; p: two-sided, by changing the sign of "
        f"each neuron’s difference at random{correction}.</p>"
    )
    tables = board + table("Paired comparison", heads, compared)
    return section("comparison", "Comparison", f'{tables}{hint}<div id="pair-chart"></div>')


def notes_section(runs: Sequence[ReadRun]) -> str:
    """What the runs note, once where several have it in common, and what the report could not show."""
    notes: dict[str, list[str]] = {}
    for run in runs:
        own = [] if run.summary is None else run.summary["notes"]
        state = [] if run.is_finished else ["this run is not finished; make the report again when it is"]
        for note in [*state, *own, *run.notes]:
            notes.setdefault(note, []).append(run.name)
    if not notes:
        return ""
    lines = []
    for note, names in notes.items():
        of = "" if len(names) == len(runs) else f"<b>{text(', '.join(names))}:</b> "
        lines.append(f"<li>{of}{text(note)}</li>")
    return section("notes", "Notes", f"<ul>{''.join(lines)}</ul>")


def how_section(runs: Sequence[ReadRun]) -> str:
    """What was fitted to what, with which data, settings, seed and versions; all of config.json below."""
    facts = [_facts(run) for run in runs]
    names = dict.fromkeys(name for entries in facts for name in entries)
    heads = ["", *(run.name for run in runs)] if len(runs) > 1 else ["", "value"]
    rows = [[name, *(entries.get(name, "") for entries in facts)] for name in names]
    facts_table = table("What was fitted and how", heads, rows, numbers=False)
    details = "".join(
        f"<details><summary>config.json{f' of {text(run.name)}' if len(runs) > 1 else ''}</summary>"
        f'<pre tabindex="0">{text(json.dumps(run.config, indent=1))}</pre></details>'
        for run in runs
    )
    return section("how", "How it was made", facts_table + details)


def _facts(run: ReadRun) -> dict[str, str]:
    config, options = run.config, run.config["options"]
    split = config["split"]
    sizes = ", ".join(f"{len(split[part])} {PART_NAMES[part]}" for part in PARTS if isinstance(split.get(part), list))
    data = config.get("data")
    facts = {
        "model": options["model"],
        "data set": options["dataset"],
        "read from": data.get("path") if isinstance(data, Mapping) else None,
        "neurons": config.get("neurons"),
        "selected": ", ".join([*(options.get("neurons") or ()), *(options.get("stimuli") or ())]) or None,
        "bins": None if config.get("dt_ms") is None else f"{config['dt_ms']:g} ms",
        "split": f"{split.get('name', '')}: {sizes} stimuli",
        "seed": options["seed"],
        **{name.replace("_", " "): value for name, value in (config.get("settings") or {}).items()},
        "arguments": options.get("arguments"),
        "started": config.get("started"),
        "fitted in": _seconds(run) or None,
        "data SHA-256": config.get("data_sha256"),
        "versions": ", ".join(f"{name} {config[name]}" for name in ("deepSTRF", "torch", "python") if name in config),
    }
    return {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in facts.items()
        if value is not None
    }


def _seconds(run: ReadRun) -> str:
    if run.summary is None or not isinstance(run.summary.get("fit_seconds"), int | float):
        return ""
    epochs = run.summary.get("epochs")
    return f"{run.summary['fit_seconds']:.1f} s" + (f", {counted(epochs, 'epoch')}" if epochs else "")


def _sorted_by(run: ReadRun, kind: str, shared: Mapping[str, list[int]]) -> float:
    for score in (f"{kind}_val", "cc_val"):
        values = run.scores(score)[shared[score]]
        if np.isfinite(values).any():
            return float(np.nanmean(values))
    return -math.inf


def _has_folds(runs: Sequence[ReadRun]) -> bool:
    return any(run.summary is not None and "folds" in run.summary for run in runs)


def _interval(values: np.ndarray) -> Interval:
    return bootstrap_interval(values, n_resamples=RESAMPLES)


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
