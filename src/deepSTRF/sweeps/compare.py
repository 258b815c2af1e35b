"""Several models on one recording, side by side: what ``deepstrf fit FOLDER`` does where no model is named."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.files import expand_path, to_plain, write_json
from deepSTRF.registry import get_recipe
from deepSTRF.runs import folder as files
from deepSTRF.runs.contents import contents_of, describe_changes
from deepSTRF.runs.data_source import load_dataset
from deepSTRF.runs.fit import fit_run
from deepSTRF.runs.options import OPTIONS, FitOptions, RunError
from deepSTRF.runs.recording import Recording
from deepSTRF.runs.run import EpochCallback, with_absolute_paths
from deepSTRF.runs.settings import resolve_settings
from deepSTRF.sweeps.config_file import Run
from deepSTRF.sweeps.results import PARTS, SCORES, Outcome, best_first, shared_neurons
from deepSTRF.sweeps.sweep import read_outcome

__all__ = ["Comparison", "compare_models"]

OF_SOUNDS = ("ridge", "linear-nonlinear", "statenet")
OF_MOVIES = ("ridge", "video-ln", "convgru")


@dataclass(frozen=True)
class Comparison:
    """The scores of several models on one recording.

    Parameters
    ----------
    folder : Path
        Where the runs are, each in a folder with the name of its model, and ``comparison.json``.
    rows : list of dict
        One per model, best validation score first: ``model``, ``folder``, ``epochs``, ``fit_seconds``, and
        ``<part>_<score>``, the mean over the neurons that all models define; NaN where undefined.
    neurons : dict of str to int
        How many these are, for each ``<part>_<score>``.
    ceiling : dict of str to float
        Mean noise ceiling of the neurons whose ``cc_norm`` all models define, for each part.
    notes : list of str
        What the notes of all runs have in common, and which options did not apply to which model.
    """

    folder: Path
    rows: list[dict[str, Any]]
    neurons: dict[str, int]
    ceiling: dict[str, float]
    notes: list[str]


def compare_models(
    options: FitOptions,
    models: Sequence[str] | None = None,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    loggers: Sequence[str] = (),
    on_epoch: EpochCallback | None = None,
    on_start: Callable[[Path, Recording], None] | None = None,
) -> Comparison:
    """Fit several models to a recording, one after the other, and compare them over the neurons that all define.

    Parameters
    ----------
    options : FitOptions
        Those of every run; ``options.model`` is not read. Training options apply to the models that are trained.
    models : sequence of str, optional
        Default: ridge, a linear-nonlinear and a recurrent model, of sounds (``statenet``) or of movies (``convgru``).
    out : str or Path, optional
        The new folder; default ``runs/<dataset>-models-<n>``.
    resume : bool
        Go on with the unfinished comparison in `out` (default: the newest one of the same options under ``runs/``):
        runs that are complete are kept, and the one that was interrupted is resumed.
    loggers, on_epoch, on_start
        As for :func:`deepSTRF.runs.fit_run`.

    Returns
    -------
    Comparison

    Raises
    ------
    RunError, ValueError, OSError
        If the user must correct something; also if the data changed since an unfinished comparison began.
    Interrupted
        If `on_epoch` stopped a training; the comparison can be resumed from its folder.

    Examples
    --------
    >>> import tempfile
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> ds = SimulatedDataset(n_neurons=2, n_stims=8, duration_s=0.5, n_repeats=3, n_bands=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     options = FitOptions(ds, split="holdout:1", epochs=1)
    ...     comparison = compare_models(options, ["ridge", "linear"], f"{folder}/both")
    >>> sorted(row["model"] for row in comparison.rows), comparison.neurons["test_cc"]
    (['linear', 'ridge'], 2)
    """
    dataset = load_dataset(dataclasses.replace(options, model="ridge"))
    if models is None:
        models = OF_MOVIES if isinstance(dataset, VideoNeuralDataset) else OF_SOUNDS
    if len(set(models)) < len(models) or not models:
        raise RunError(f"expected different models to compare, got {', '.join(models) or 'none'}")
    runs, notes = _runs(options, models)
    began = {
        "models": list(models),
        "options": to_plain(dataclasses.asdict(with_absolute_paths(options))) | {"model": None, "data": None},
        "data": contents_of(dataset),
    }
    folder, is_new = _folder(options, began, out, resume)
    with _removed_if_empty(folder, is_new):
        write_json(folder / files.COMPARISON_FILE, began)
        outcomes = [
            _fit(run, folder, dataset, resume=resume, loggers=loggers, on_epoch=on_epoch, on_start=on_start)
            for run in runs
        ]
    comparison = _compared(folder, outcomes, notes)
    write_json(folder / files.COMPARISON_FILE, began | dataclasses.asdict(comparison))
    return comparison


def _runs(options: FitOptions, models: Sequence[str]) -> tuple[list[Run], list[str]]:
    """A run per model; options of training are left out for a model in closed form, which is noted."""
    if options.arguments is not None:
        raise RunError("`arguments` are those of one model; name it")
    trained = [
        name
        for name, option in OPTIONS.items()
        if option.scope == "model" and name != "window_ms" and getattr(options, name) is not None
    ]
    runs, notes = [], []
    for model in models:
        own = dataclasses.replace(options, model=model)
        if get_recipe(model).settings is None and trained:
            left: dict[str, Any] = dict.fromkeys(trained)
            own = dataclasses.replace(own, **left)
            notes.append(f"{model} is fitted in closed form: {', '.join(trained)} had no effect on it")
        resolve_settings(own)
        runs.append(Run(files.short_name(model), own))
    return runs, notes


def _folder(options: FitOptions, began: dict[str, Any], out: str | Path | None, resume: bool) -> tuple[Path, bool]:
    """The folder of an unfinished comparison, or of a new one."""
    name = files.short_name(began["options"]["dataset"])
    names = {"dataset": began["options"]["dataset"], "model": "models"}
    if not resume:
        return files.create_run_folder(out, names), True
    if out is not None:
        folder = expand_path(out, "out")
        if not folder.exists():
            return files.create_run_folder(out, names), True
        saved = files.read_json(folder / files.COMPARISON_FILE)
        if not isinstance(saved, dict) or "rows" in saved:
            raise RunError(
                f"{folder} is a finished comparison, so there is nothing to resume; choose a new one (`out`)"
            )
        if other := _other_options(saved, began):
            raise RunError(
                f"{folder} is a comparison with other options ({', '.join(other)}); choose a new one (`out`)"
            )
        _check_data(saved, began, folder)
        return folder, False
    found = sorted(
        Path("runs").glob(f"{name}-models-*/{files.COMPARISON_FILE}"), key=lambda path: -path.stat().st_mtime
    )
    for path in found:
        saved = files.read_json(path)
        if isinstance(saved, dict) and "rows" not in saved and not _other_options(saved, began, moved=False):
            _check_data(saved, began, path.parent)
            return path.parent, False
    return files.create_run_folder(None, names), True


def _other_options(saved: dict[str, Any], began: dict[str, Any], *, moved: bool = True) -> list[str]:
    """Names of what differs; the recording may have moved, unless it is told apart by its place."""
    was, now = saved.get("options"), began["options"]
    if not isinstance(was, dict):
        return ["options"]
    may_differ = ("dataset", "epochs") if moved else ("epochs",)
    other = [name for name in now if name not in may_differ and was.get(name) != now[name]]
    return other + (["models"] if saved.get("models") != began["models"] else [])


def _check_data(saved: dict[str, Any], began: dict[str, Any], folder: Path) -> None:
    with files.reading(folder / files.COMPARISON_FILE):
        changes = describe_changes(saved["data"], to_plain(began["data"]))
    if changes:
        raise RunError(f"the data of {folder} have changed since it began ({'; '.join(changes)}); begin a new one")


@contextlib.contextmanager
def _removed_if_empty(folder: Path, is_new: bool) -> Iterator[None]:
    """Leave nothing behind of a comparison of which no run began."""
    try:
        yield
    except BaseException:
        if is_new and not any(path.is_dir() for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _fit(run: Run, folder: Path, dataset: NeuralDataset, *, resume: bool, **options: Any) -> Outcome:
    own = folder / run.name
    if resume and files.is_complete(own):
        return read_outcome(run, own, "found")
    fit_run(run.options, own, resume=resume, dataset=dataset, **options)
    return read_outcome(run, own, "resumed" if resume else "new")


def _compared(folder: Path, outcomes: Sequence[Outcome], notes: Sequence[str]) -> Comparison:
    shared = {
        f"{part}_{score}": shared_neurons([outcome.neurons[f"{part}_{score}"] for outcome in outcomes])
        for part, score in itertools.product(PARTS, SCORES)
    }
    rows = [
        {
            "model": outcome.run.options.model,
            "folder": str(folder / outcome.run.name),
            "epochs": outcome.scores["epochs_run"],
            "fit_seconds": outcome.scores["fit_seconds"],
            **{name: _mean(outcome.neurons[name], neurons) for name, neurons in shared.items()},
        }
        for outcome in outcomes
    ]
    rows.sort(key=lambda row: best_first(row[name] for name in ("val_cc_norm", "val_cc")))
    of_runs = [files.read_json(folder / outcome.run.name / files.SCORES_FILE)["notes"] for outcome in outcomes]
    common = [note for note in of_runs[0] if all(note in others for others in of_runs)]
    ceiling = {part: _mean(outcomes[0].neurons[f"{part}_ceiling"], shared[f"{part}_cc_norm"]) for part in PARTS}
    counts = {name: len(neurons) for name, neurons in shared.items()}
    return Comparison(folder, rows, counts, ceiling, [*notes, *common])


def _mean(values: Sequence[float], neurons: Sequence[int]) -> float:
    defined = [values[n] for n in neurons if math.isfinite(values[n])]
    return statistics.fmean(defined) if defined else math.nan
