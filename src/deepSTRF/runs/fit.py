"""One run: a recording goes in; a fitted model, its scores and its receptive fields come out."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import deepSTRF
from deepSTRF.analysis import receptive_fields, strf_correlation
from deepSTRF.checks import check_device
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.files import to_plain, write_json
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.registry import dataset_cards, get_dataset
from deepSTRF.runs import folder as files
from deepSTRF.runs.figures import draw_figures
from deepSTRF.runs.options import FitOptions, Interrupted, RunError
from deepSTRF.runs.recipes import Recipe, Settings, fit_model, get_recipe, monitor_mode, resolve_settings
from deepSTRF.runs.scores import cpu_threads, predict, score_parts, summarise
from deepSTRF.training.loggers import LOGGER_KINDS, JsonlLogger, make_logger, read_jsonl
from deepSTRF.training.loggers.base import Logger

__all__ = ["Interrupted", "Recording", "RunResult", "fit_run", "load_recording"]

MORE_LOGGERS = tuple(kind for kind in LOGGER_KINDS if kind != "jsonl")  # which every run has


@dataclass(frozen=True)
class Recording:
    """A data set, standardised with the statistics of its training stimuli, and its parts."""

    dataset: NeuralDataset
    split: str
    indices: dict[str, tuple[int, ...]]
    parts: dict[str, NeuralDataset]


@dataclass(frozen=True)
class RunResult:
    """What a run found, and where it wrote it."""

    folder: Path
    model: FrameModel
    history: list[dict[str, Any]]
    scores: dict[str, dict[str, Tensor]]
    summary: dict[str, Any]


def load_recording(options: FitOptions) -> Recording:
    """Load the data set that `options` name, standardise it, and split it by stimulus.

    Raises
    ------
    RunError
        If no neuron or no stimulus of a part has data. What is wrong with files, names or numbers is raised by the
        data set itself.
    """
    cls = get_dataset(options.dataset)
    arguments: dict[str, Any] = {}
    if options.data is not None:
        if "path" not in inspect.signature(cls).parameters:
            raise RunError(f"the data set {options.dataset!r} needs no files; leave --data out")
        arguments["path"] = options.data
    if options.dt_ms is not None:
        arguments["dt_ms"] = options.dt_ms
    stimulus = get_recipe(options.model).card.stimulus
    if (stimulus == "movie") != issubclass(cls, VideoNeuralDataset):
        takes, has = ("movies", "sounds") if stimulus == "movie" else ("sounds", "movies")
        raise RunError(f"{options.model} takes {takes}, and the data set {options.dataset!r} has {has}")
    if stimulus == "waveform":
        if "return_waveform" not in inspect.signature(cls).parameters:
            raise RunError(
                f"{options.model} takes waveforms, and the data set {options.dataset!r} has only spectrograms"
            )
        arguments["return_waveform"] = True
    dataset = cls(**arguments)
    split = options.split or dataset_cards()[options.dataset].default_split
    indices = dataset.split_indices(split)._asdict()
    dataset.standardize_stims(list(indices["train"]), per_band=False)
    parts = {name: dataset.subset(list(stimuli)) for name, stimuli in indices.items()}
    for name, part in parts.items():
        if not bool(part.nrn_masks.any()):
            raise RunError(
                f"no neuron has a response to any of the {len(indices[name])} {name} stimuli of split {split!r}; "
                "choose another --split"
            )
    return Recording(dataset, split, {name: tuple(map(int, stimuli)) for name, stimuli in indices.items()}, parts)


def fit_run(
    options: FitOptions,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    loggers: Sequence[str] = (),
    on_epoch: Callable[[Any, dict[str, Any]], None] | None = None,
    on_start: Callable[[Path, Recording], None] | None = None,
) -> RunResult:
    """Fit a model to a recording and write the run folder.

    Parameters
    ----------
    options : FitOptions
        What to fit to what, and how.
    out : str or Path, optional
        The new folder; default ``runs/<dataset>-<model>-<n>``.
    resume : bool
        Go on with the unfinished run in `out` (default: the newest one of the same options under ``runs/``), after the
        last epoch that it finished; begin it where there is none. On the CPU the result is, bit for bit, that of a run
        that was never interrupted.
    loggers : sequence of {"tensorboard", "wandb", "mlflow"}
        Where the epochs and the scores go besides ``history.jsonl``; all of them write inside the run folder.
    on_epoch : callable, optional
        ``(fitter, epoch_dict)``, once per epoch; may call ``fitter.stop()``.
    on_start : callable, optional
        ``(folder, recording)``, before fitting begins.

    Raises
    ------
    RunError, ValueError, OSError
        For anything that the user can mend. The folder of a new run that never finished an epoch is removed.
    Interrupted
        If `on_epoch` stopped the training; the folder is ready to go on.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepSTRF.runs import FitOptions, fit_run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = fit_run(FitOptions(dataset="simulated", model="ridge"), Path(folder) / "run")
    ...     sorted(path.name for path in result.folder.iterdir() if path.suffix == ".json")
    ['config.json', 'scores.json']
    """
    if unknown := [kind for kind in loggers if kind not in MORE_LOGGERS]:
        raise RunError(f"there is no logger {unknown[0]!r} for a run; choose of {', '.join(MORE_LOGGERS)}")
    recipe = get_recipe(options.model)
    settings = resolve_settings(recipe, options)
    device = _checked_device(options.device)
    recording = load_recording(options)
    config = _config(options, settings, recording)
    if resume:
        folder, new = files.open_run_folder(out, config)
    else:
        folder, new = files.create_run_folder(out, options.dataset, options.model), True
    with files.claimed(folder):
        return _fit_in(folder, new, recording, recipe, settings, device, config, loggers, on_epoch, on_start)


def _fit_in(
    folder: Path,
    new: bool,
    recording: Recording,
    recipe: Recipe,
    settings: Settings | None,
    device: torch.device,
    config: dict[str, Any],
    loggers: Sequence[str],
    on_epoch: Callable[[Any, dict[str, Any]], None] | None,
    on_start: Callable[[Path, Recording], None] | None,
) -> RunResult:
    try:
        if on_start is not None:
            on_start(folder, recording)
        write_json(folder / files.CONFIG_FILE, config)
        history_log = JsonlLogger(folder / files.HISTORY_FILE)
        with (
            _open_loggers(loggers, folder, config, resume=not new) as more_logs,
            cpu_threads(config["options"]["threads"]),
        ):
            clock = _Clock(folder / files.HISTORY_FILE)

            def log(fitter: Any, row: dict[str, Any]) -> None:
                if row["epoch"] == fitter.start_epoch:
                    history_log.rewind(row["epoch"])  # an epoch whose end was logged but not saved is run again
                history_log({**row, "seconds": clock()})
                for logger in more_logs:
                    logger(row)
                if on_epoch is not None:
                    on_epoch(fitter, row)

            model, history = fit_model(
                recipe,
                settings,
                recording.parts,
                seed=config["options"]["seed"],
                device=device,
                on_epoch=log,
                checkpoint=folder / files.TRAINING_FOLDER / "best.pt",
            )
            seconds = clock()
            if settings is None:
                history_log.rewind(0)
                history_log({**history[0], "seconds": seconds})
                for logger in more_logs:
                    logger(history[0])
            result = _write_results(folder, config, recording, model, history, seconds, device)
            for logger in more_logs:
                logger.finalize(
                    {part: {name: result.scores[part][name] for name in ("cc", "cc_norm")} for part in ("val", "test")}
                )
        shutil.rmtree(folder / files.TRAINING_FOLDER, ignore_errors=True)
        return result
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(folder)  # a full disk does not say where
        # What was trained for stays, also after Ctrl-C; without scores.json the folder is not taken for a finished run.
        if new and not (folder / files.HISTORY_FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def _open_loggers(
    kinds: Sequence[str], folder: Path, config: dict[str, Any], *, resume: bool
) -> Iterator[list[Logger]]:
    """Make the loggers, and close them however the run ends."""
    shown = {name: value for name, value in config["options"].items() if value is not None}
    with contextlib.ExitStack() as opened:
        loggers = []
        for kind in dict.fromkeys(kinds):
            loggers.append(
                make_logger(kind, folder, seed=shown["seed"], config=shown | (config["settings"] or {}), resume=resume)
            )
            opened.callback(loggers[-1].close)
        yield loggers


class _Clock:
    """Seconds of fitting, with those of the sessions before this one."""

    def __init__(self, history: Path) -> None:
        rows = read_jsonl(history) if history.exists() else []
        for number, row in enumerate(rows, start=1):
            if not isinstance(row.get("epoch"), int) or not isinstance(row.get("seconds"), (int, float)):
                raise RunError(f"{history}, line {number} is not that of an epoch; mend or remove that line")
        self.before = max((float(row["seconds"]) for row in rows), default=0.0)
        self.started = time.perf_counter()

    def __call__(self) -> float:
        return self.before + time.perf_counter() - self.started


def _write_results(
    folder: Path,
    config: dict[str, Any],
    recording: Recording,
    model: FrameModel,
    history: list[dict[str, Any]],
    seconds: float,
    device: torch.device,
) -> RunResult:
    predictions = predict(model, recording.dataset, device)
    model.cpu()
    scores = score_parts(predictions, recording.indices, recording.parts)
    summary: dict[str, Any] = {
        "parts": summarise(scores),
        "fit_seconds": seconds,
        "epochs": len(history) if config["settings"] else None,
    }
    monitor = (config["settings"] or {}).get("monitor", "val_cc_norm")
    # Those of a model of waveforms would be over features that it learnt, which have no order and no frequency.
    waveforms = get_recipe(config["options"]["model"]).card.stimulus == "waveform"
    strfs = None if waveforms else receptive_fields(model, n_lags=_n_lags(config, recording.dataset))
    recovery = None
    if strfs is not None and hasattr(recording.dataset, "true_strfs"):
        recovery = strf_correlation(recording.dataset.true_strfs, strfs)
        summary["strf_recovery"] = recovery_summary(recording.dataset, recovery)
    model.save_pretrained(
        folder / files.MODEL_FOLDER, metadata=to_plain({**config, "scores": summary["parts"]["test"]})
    )
    files.write_neurons(recording.dataset, scores, folder / files.NEURONS_FILE)
    files.write_predictions(predictions, recording.dataset, recording.indices, folder / files.PREDICTIONS_FILE)
    draw_figures(
        folder,
        history=history,
        monitor=monitor,
        mode=monitor_mode(monitor),
        test=recording.parts["test"],
        predictions=[predictions[s] for s in recording.indices["test"]],
        scores=scores["test"],
        strfs=strfs,
        recovery=recovery,
    )
    # Written last: a folder with this file is a finished run.
    write_json(folder / files.SCORES_FILE, summary)
    return RunResult(folder, model, history, scores, summary)


def recovery_summary(dataset: NeuralDataset, recovery: Tensor) -> dict[str, Any]:
    """Median correlation of recovered with true receptive fields, over all cells and over LN cells with SNR > 0.5."""
    clear = torch.tensor([meta["kind"] == "ln" and meta["snr"] > 0.5 for meta in dataset.nrn_meta])
    values = {"ln_snr_above_half": recovery[clear], "all": recovery}
    return {
        name: {"median": float(value.double().nanmedian()) if len(value) else math.nan, "neurons": len(value)}
        for name, value in values.items()
    }


def _config(options: FitOptions, settings: Any, recording: Recording) -> dict[str, Any]:
    dataset = recording.dataset
    return {
        "options": dataclasses.asdict(options)
        | {"data": None if options.data is None else str(Path(options.data).resolve())},
        "settings": None if settings is None else dataclasses.asdict(settings),
        "dt_ms": dataset.dt,
        "neurons": dataset.N_neurons,
        "split": {"name": recording.split, **{name: list(stimuli) for name, stimuli in recording.indices.items()}},
        "stimulus_normalization": {
            name: getattr(dataset, "stim_normalization", {}).get(name) for name in ("mean", "std", "per_band")
        },
        "data_sha256": files.data_fingerprint(dataset),
        "deepSTRF": deepSTRF.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _n_lags(config: dict[str, Any], dataset: NeuralDataset) -> int:
    """Receptive fields are drawn over the same window for every model."""
    window_ms = (config["settings"] or {}).get("window_ms", 150.0)
    return max(1, round(window_ms / dataset.dt))


def _checked_device(device: str) -> torch.device:
    try:
        return check_device(device)
    except ValueError as error:
        raise RunError(f"--{error}") from error
