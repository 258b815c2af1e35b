"""Many runs: data sets × models × options × seeds, each in its own folder, on this machine or on a cluster.

A sweep may be killed at any moment, with any of its workers; the same sweep started again skips the runs that are
complete and resumes those that are not. ``docs/howto/sweeps.md`` describes the file, the folder and the table.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import itertools
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepSTRF.files import lock, to_plain
from deepSTRF.modes import cpu_threads
from deepSTRF.registry import get_model_card
from deepSTRF.runs import folder as files
from deepSTRF.runs.data_source import can_be_downloaded, load_dataset
from deepSTRF.runs.fit import fit_run
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.runs.recording import load_recording
from deepSTRF.sweeps.cluster import connect, on_cluster
from deepSTRF.sweeps.config_file import DATASET_OPTIONS, Run, Sweep
from deepSTRF.sweeps.results import PARTS, SCORES, Outcome, one_line, write_results
from deepSTRF.training.workers import Failure, run_tasks

__all__ = ["do_run", "read_outcome", "run_sweep"]

LOCKS_FOLDER = ".locks"

WORKER_DEATHS = 3  # as many as Dask's own `distributed.scheduler.allowed-failures`

# Seed, number of threads and default device of torch belong to the process: one run at a time, also where a cluster's
# worker has several threads.
_one_run = threading.Lock()

_fingerprints: dict[tuple[Any, ...], str] = {}


def run_sweep(
    sweep: Sweep,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    on_start: Callable[[Sequence[Outcome]], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
    download: bool = False,
    keep_going: bool = False,
) -> list[Outcome]:
    """Do every run of a sweep that is not complete, and write the table of all runs after each.

    Parameters
    ----------
    sweep : Sweep
        From :func:`deepSTRF.sweeps.read_sweep`.
    jobs : int
        Runs at the same time on this machine, each in its own process.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers do the runs instead; they see the folders under the same paths.
    on_start : callable, optional
        ``(found)``: once, with the complete runs, after everything was checked and before anything runs.
    on_outcome : callable, optional
        ``(outcome)``, whenever a run ends.
    on_wait : callable, optional
        ``(line)``, when the cluster has no worker, so that the runs wait, and when workers come.
    download : bool
        Fetch the files of public recordings that are not on this disk, before anything runs.
    keep_going : bool
        A recording that cannot be loaded fails its own runs, and the others are done.

    Returns
    -------
    list of Outcome
        In the order of the sweep, with the runs that failed.

    Raises
    ------
    RunError, ValueError, OSError
        Before anything runs: no scheduler at that address, a folder that belongs to other options, or (unless
        `keep_going`) a recording that cannot be loaded. Later only if the scheduler is lost.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepSTRF.runs import FitOptions
    >>> from deepSTRF.sweeps import Run, Sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ridge = Run("first", FitOptions(dataset="simulated", model="ridge"))
    ...     outcomes = run_sweep(Sweep(Path(folder), (ridge,)))
    ...     outcomes[0].status, (Path(folder) / "results.csv").exists()
    ('complete', True)
    """
    if download and not any(can_be_downloaded(run.options.dataset) for run in sweep.runs):
        raise RunError("no data set of the sweep has anything to download; leave `download` out")
    complete = [run for run in sweep.runs if _is_complete(run, sweep.out)]
    found = {run: read_outcome(run, sweep.out / run.name, "found") for run in complete}
    left = [run for run in sweep.runs if run not in found]
    with connect(scheduler) if scheduler is not None and left else contextlib.nullcontext() as client:
        with warnings.catch_warnings(action="ignore"):  # the runs themselves report them
            unreadable = _check_data(left, download, keep_going)
        try:
            (sweep.out / LOCKS_FOLDER).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder of the sweep, {error.filename}: {error.strerror}") from error
        outcomes = {run: Outcome(run, "unfinished") for run in sweep.runs} | found
        write_results(list(outcomes.values()), sweep.out)
        if on_start is not None:
            on_start(list(found.values()))
        shown: set[str] = set()
        left = [run for run in left if run not in unreadable]
        ended = (
            _run_locally(left, sweep.out, jobs)
            if client is None
            else on_cluster(client, left, sweep.out, do_run, on_wait)
        )
        for outcome in itertools.chain(unreadable.values(), ended):
            outcomes[outcome.run] = outcome
            write_results(list(outcomes.values()), sweep.out)
            for warning in outcome.warnings:
                if warning not in shown:  # once, however many runs say so
                    shown.add(warning)
                    warnings.warn(warning)
            if on_outcome is not None:
                on_outcome(outcome)
    return list(outcomes.values())


def _check_data(runs: Sequence[Run], download: bool, keep_going: bool) -> dict[Run, Outcome]:
    """Load every recording: an error in the data is raised now, not by every run; or it fails the runs that need it."""
    unreadable = {}
    for run in runs:
        try:
            _data_sha256(run.options, download)
        except Exception as error:
            if not keep_going:
                raise
            unreadable[run] = _failed(run, error)
    return unreadable


def _failed(run: Run, error: Exception, origin: str = "new") -> Outcome:
    text = "".join(traceback.format_exception(error))
    return Outcome(run, "failed", origin=origin, error=one_line(error), traceback=text)


def _is_complete(run: Run, out: Path) -> bool:
    """Whether the run is finished.

    Raises
    ------
    RunError
        If its folder holds a run with other options or data. The same data may lie elsewhere now.
    """
    folder = out / run.name
    if (folder / files.CONFIG_FILE).exists():
        config = files.read_json(folder / files.CONFIG_FILE)
        with files.reading(folder / files.CONFIG_FILE):
            saved, fingerprint = dataclasses.asdict(FitOptions()) | config["options"], config["data_sha256"]
        asked = to_plain(dataclasses.asdict(run.options))
        other = [name for name in saved if saved[name] != asked.get(name)]
        if other and {*other} <= {"data", "dataset"} and _data_sha256(run.options) == fingerprint:
            other = []
        if other:
            was = ", ".join(f"{name} {saved[name]!r}, not {asked.get(name)!r}" for name in other)
            raise RunError(f"{folder} holds another run ({was}); choose another folder (`out`)")
    return files.is_complete(folder)


def _data_sha256(options: FitOptions, download: bool = False) -> str:
    """The fingerprint of a recording, loaded once for all models that take the same kind of stimulus."""
    recording = (
        get_model_card(options.model).stimulus,
        options.dataset,
        *(getattr(options, name) for name in DATASET_OPTIONS),
    )
    if recording not in _fingerprints:
        loaded = load_dataset(options, download=True) if download and can_be_downloaded(options.dataset) else None
        _fingerprints[recording] = files.data_fingerprint(load_recording(options, loaded).dataset)
    return _fingerprints[recording]


def do_run(run: Run, out: Path) -> Outcome:
    """Do one run of a sweep, or resume it; called in a worker process, which may die."""
    folder = out / run.name
    origin = "new"
    try:
        with _one_run, cpu_threads(run.options.threads), lock(out / LOCKS_FOLDER / run.name):
            if _is_complete(run, out):  # meanwhile, by a worker that was believed dead or by another sweep
                return read_outcome(run, folder, "found")
            origin = "resumed" if folder.exists() else "new"
            with warnings.catch_warnings(record=True) as caught:
                fit_run(run.options, folder, resume=True)
            messages = tuple(dict.fromkeys(str(warning.message) for warning in caught))
            return dataclasses.replace(read_outcome(run, folder, origin), warnings=messages)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported for this run, and the others go on
        return _failed(run, error, origin)


def read_outcome(run: Run, folder: Path, origin: str) -> Outcome:
    """The scores of a complete run, from its folder."""
    config = files.read_json(folder / files.CONFIG_FILE)
    summary = files.read_json(folder / files.SCORES_FILE)
    with files.reading(folder / files.CONFIG_FILE):
        scores = {"neurons": config["neurons"]}
    with files.reading(folder / files.SCORES_FILE):
        scores |= {"epochs_run": summary["epochs"], "fit_seconds": summary["fit_seconds"]}
        for part, score in itertools.product(PARTS, SCORES):
            entry = files.read_score(summary["parts"][part][score])
            for number, key in (("mean", "mean"), ("median", "median"), ("neurons", "defined")):
                scores[f"{part}_{score}_{number}"] = entry[key]
    with files.reading(folder / files.NEURONS_FILE), (folder / files.NEURONS_FILE).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
        # In the file a score stands before its part.
        neurons = {
            f"{part}_{score}": tuple(float(row[f"{score}_{part}"] or "nan") for row in rows)
            for part, score in itertools.product(PARTS, (*SCORES, "ceiling"))
        }
        other = "cc_norm_concatenated"  # missing in runs of earlier versions
        neurons[f"test_{other}"] = tuple(float(row.get(f"{other}_test") or "nan") for row in rows)
    return Outcome(run, "complete", scores, origin, neurons=neurons)


def _run_locally(runs: Sequence[Run], out: Path, jobs: int) -> Iterator[Outcome]:
    """In `jobs` processes on this machine."""
    for position, outcome in run_tasks(functools.partial(do_run, out=out), runs, jobs, attempts=WORKER_DEATHS):
        if isinstance(outcome, Failure):  # what a run raises is an Outcome: its worker died
            outcome = Outcome(runs[position], "failed", error=outcome.reason)
        yield outcome
