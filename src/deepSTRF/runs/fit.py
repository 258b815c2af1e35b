"""One run: a recording goes in; a fitted model, its scores and its receptive fields come out."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepSTRF.analysis import receptive_fields, strf_correlation
from deepSTRF.checks import unknown_name
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.files import to_plain, write_json
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.modes import cpu_threads
from deepSTRF.registry import get_model_card
from deepSTRF.runs import folder as files
from deepSTRF.runs.figures import draw_figures
from deepSTRF.runs.notes import run_notes
from deepSTRF.runs.options import LOGGERS, FitOptions, RunError
from deepSTRF.runs.recording import Recording
from deepSTRF.runs.run import EpochCallback, Run, RunResult, prepare_run
from deepSTRF.runs.scores import predict, score_parts, summarise
from deepSTRF.runs.training import FoldFits, fit_folds, fit_model
from deepSTRF.training.loggers import JsonlLogger, make_logger, read_jsonl
from deepSTRF.training.loggers.base import Logger

__all__ = ["fit_run"]


def fit_run(
    options: FitOptions,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    loggers: Sequence[str] = (),
    on_epoch: EpochCallback | None = None,
    on_start: Callable[[Path, Recording], None] | None = None,
    dataset: NeuralDataset | None = None,
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
    dataset : NeuralDataset, optional
        What ``options.dataset`` names, where it is loaded already: it is read once for several models. It is not
        changed.

    Returns
    -------
    RunResult

    Raises
    ------
    RunError, ValueError, OSError
        If the user must correct something. The folder of a new run that never finished an epoch is removed.
    Interrupted
        If `on_epoch` stopped the training; the run can be resumed from its folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepSTRF.runs import FitOptions, fit_run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = fit_run(FitOptions(dataset="simulated", model="ridge"), Path(folder) / "run")
    ...     sorted(path.name for path in result.folder.iterdir() if path.suffix == ".json")
    ['config.json', 'data.json', 'scores.json']
    """
    if unknown := [kind for kind in loggers if kind not in LOGGERS]:
        raise RunError(unknown_name("logger", unknown[0], LOGGERS))
    run = prepare_run(options, out, resume=resume, on_epoch=on_epoch, dataset=dataset)
    with files.lock_run_folder(run.folder):
        try:
            if on_start is not None:
                on_start(run.folder, run.recording)
            write_json(run.folder / files.DATA_FILE, run.recording.contents)
            write_json(run.folder / files.CONFIG_FILE, run.config)
            with _open_loggers(run, loggers) as more_logs, cpu_threads(options.threads):
                result = _fit_and_score(run, more_logs)
            shutil.rmtree(run.folder / files.TRAINING_FOLDER, ignore_errors=True)
            return result
        except BaseException as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(run.folder)  # a full disk does not say where
            # What was trained stays, also after Ctrl-C; without scores.json the folder is not taken for a finished run.
            if run.is_new and not any(run.folder.glob(files.HISTORIES)):
                shutil.rmtree(run.folder, ignore_errors=True)
            raise


def _fit_and_score(run: Run, more_logs: Sequence[Logger]) -> RunResult:
    history_log = JsonlLogger(run.folder / files.HISTORY_FILE)
    clock = _Clock(sorted(run.folder.glob(files.HISTORIES)))
    folds = fit_folds(run, _FoldLogs(run, clock)) if run.recording.folds else None

    def log(row: dict[str, Any]) -> None:
        history_log({**row, "seconds": clock()})
        for logger in more_logs:
            logger(row)

    def on_epoch(fitter: Any, row: dict[str, Any]) -> None:
        if row["epoch"] == fitter.start_epoch:
            history_log.rewind(row["epoch"])  # an epoch whose end was logged but not saved is run again
        log(row)
        if run.on_epoch is not None:
            run.on_epoch(fitter, row)

    model, history = fit_model(run, on_epoch, folds.best_epochs if folds else ())
    seconds = clock()
    if run.settings is None:
        history_log.rewind(0)
        log(history[0])
    result = _score(run, model, history, seconds, folds)
    _write(run, result)
    for logger in more_logs:
        logger.finalize(
            {part: {name: result.scores[part][name] for name in ("cc", "cc_norm")} for part in ("val", "test")}
        )
    return result


@contextlib.contextmanager
def _open_loggers(run: Run, kinds: Sequence[str]) -> Iterator[list[Logger]]:
    """Make the loggers, and close them however the run ends."""
    shown = {name: value for name, value in run.config["options"].items() if value is not None}
    shown |= run.config["settings"] or {}
    with contextlib.ExitStack() as opened:
        loggers = []
        for kind in dict.fromkeys(kinds):
            loggers.append(make_logger(kind, run.folder, seed=run.options.seed, config=shown, resume=not run.is_new))
            opened.callback(loggers[-1].close)
        yield loggers


class _FoldLogs:
    """Writes the epochs of each fold to a file of its own, and passes them on with the number of the fold."""

    def __init__(self, run: Run, clock: _Clock) -> None:
        self.run, self.clock = run, clock

    def __call__(self, fold: int, fitter: Any, row: dict[str, Any]) -> None:
        history_log = JsonlLogger(self.run.folder / f"history_fold{fold}.jsonl")
        if fitter is None or row["epoch"] == fitter.start_epoch:
            history_log.rewind(row["epoch"])
        history_log({**row, "seconds": self.clock()})
        if self.run.on_epoch is not None and fitter is not None:
            self.run.on_epoch(fitter, {**row, "fold": fold, "folds": len(self.run.recording.folds)})


class _Clock:
    """Seconds of fitting, with those of the sessions before this one."""

    def __init__(self, histories: Sequence[Path]) -> None:
        self.before = 0.0
        for history in histories:
            rows = read_jsonl(history)
            for number, row in enumerate(rows, start=1):
                if not isinstance(row.get("epoch"), int) or not isinstance(row.get("seconds"), (int, float)):
                    raise RunError(
                        f"line {number} of {history} does not describe an epoch; correct or remove that line"
                    )
            self.before = max((float(row["seconds"]) for row in rows), default=self.before)
        self.started = time.perf_counter()

    def __call__(self) -> float:
        return self.before + time.perf_counter() - self.started


def _score(
    run: Run, model: FrameModel, history: list[dict[str, Any]], seconds: float, folds: FoldFits | None
) -> RunResult:
    recording = run.recording
    spread: list[Tensor] = []
    predictions = predict(model, recording.dataset, run.device, spread)
    model.cpu()
    of_parts = {"train": predictions, **folds.predictions} if folds else predictions
    scores = score_parts(of_parts, recording.indices, recording.parts)
    summary: dict[str, Any] = {
        "parts": summarise(scores),
        "fit_seconds": seconds,
        "epochs": None if run.settings is None else len(history),
    }
    if folds:
        summary["folds"] = {"number": len(recording.folds), "best_epochs": folds.best_epochs}
        predictions, spread = folds.predictions["test"], []  # those are not the members of this model
    summary["notes"] = run_notes(scores, of_parts, recording, model)
    # Those of a model of waveforms would be over features that it learnt, which have no order and no frequency.
    waveforms = get_model_card(run.options.model).stimulus == "waveform"
    strfs = None if waveforms else receptive_fields(model, run.n_lags, recording.parts["train"])
    recovery = None
    if strfs is not None and hasattr(recording.dataset, "true_strfs"):
        recovery = strf_correlation(recording.dataset.true_strfs, strfs)
        summary["strf_recovery"] = recovery_summary(recording.dataset, recovery)
    of_val = folds.predictions["val"] if folds else []
    return RunResult(run.folder, model, history, scores, summary, predictions, strfs, recovery, of_val, spread)


def _write(run: Run, result: RunResult) -> None:
    folder, recording = run.folder, run.recording
    metadata = to_plain({**run.config, "scores": result.summary["parts"]["test"]})
    result.model.save_pretrained(folder / files.MODEL_FOLDER, metadata=metadata)
    files.write_neurons(recording.dataset, result.scores, folder / files.NEURONS_FILE)
    files.write_predictions(
        result.predictions, recording.dataset, recording.indices, folder / files.PREDICTIONS_FILE,
        folds=recording.folds, of_val=result.val_predictions, spread=result.spread,
    )  # fmt: skip
    draw_figures(run, result)
    # Written last: a folder with this file is a finished run.
    write_json(folder / files.SCORES_FILE, result.summary)


def recovery_summary(dataset: NeuralDataset, recovery: Tensor) -> dict[str, Any]:
    """Median correlation of recovered with true receptive fields, over all cells and over LN cells with SNR > 0.5."""
    every = [as_dict(meta) for meta in dataset.nrn_meta]
    clear = torch.tensor([meta.get("kind") == "ln" and meta.get("true_snr", math.nan) > 0.5 for meta in every])
    values = {"ln_snr_above_half": recovery[clear], "all": recovery}
    return {
        name: {"median": float(value.double().nanmedian()) if len(value) else math.nan, "neurons": len(value)}
        for name, value in values.items()
    }
