"""Many runs: data sets × models × options × seeds, each in its own folder, on this machine or on a cluster.

A sweep may be killed at any moment, with any of its workers; the same sweep started again skips the runs that are
complete and goes on with those that are not. ``docs/sweeps.md`` describes the file, the folder and the table.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import difflib
import functools
import hashlib
import io
import itertools
import math
import os
import re
import statistics
import tempfile
import threading
import tomllib
import traceback
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from deepSTRF.registry import UnknownNameError, dataset_cards, get_dataset
from deepSTRF.runs import folder as files
from deepSTRF.runs.fit import fit_run, load_recording
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.runs.recipes import get_recipe, resolve_settings
from deepSTRF.runs.scores import cpu_threads

__all__ = ["Outcome", "Run", "Sweep", "leaderboard", "read_sweep", "run_sweep", "table"]

RESULTS_FILE = "results.csv"
PARQUET_FILE = "results.parquet"
ERRORS_FILE = "errors.txt"
LOCKS_FOLDER = ".locks"

DATASET_OPTIONS = ("data", "dt_ms", "split")
OWN_OPTIONS = ("dataset", "model", "seed", "device", "threads")  # not an option of a [[dataset]] or a [[model]]
TYPES = {
    name: next(kind for kind in typing.get_args(hint) or (hint,) if kind is not type(None))
    for name, hint in typing.get_type_hints(FitOptions).items()
}
MODEL_OPTIONS = tuple(name for name in TYPES if name not in DATASET_OPTIONS + OWN_OPTIONS)

PARTS = ("val", "test")
SCORES = ("cc", "cc_norm")
SCORE_COLUMNS = tuple(
    f"{part}_{score}_{number}" for part in PARTS for score in SCORES for number in ("mean", "median", "neurons")
)

WORKER_DEATHS = 3  # as many as Dask's own `distributed.scheduler.allowed-failures`

# Seed, number of threads and default device of torch belong to the process: one run at a time, also where a cluster's
# worker has several threads.
_one_run = threading.Lock()


@dataclass(frozen=True)
class Run:
    """One run of a sweep; its folder is ``<out>/<name>``."""

    name: str
    options: FitOptions


@dataclass(frozen=True)
class Sweep:
    """What a sweep is asked to do.

    Parameters
    ----------
    out : Path
        The folder of all its runs and results.
    runs : tuple of Run
        In the order of the file.
    notes : tuple of str
        What the user should know about how the runs were counted.
    """

    out: Path
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Parameters
    ----------
    run : Run
        Which.
    status : {"complete", "failed", "unfinished"}
        Unfinished is one that was not reached.
    scores : dict
        ``neurons``, ``epochs_run``, ``fit_seconds`` and :data:`SCORE_COLUMNS`, where it is complete.
    origin : {"new", "resumed", "found"}
        Whether this sweep began it, went on with it, or found it complete.
    error, traceback : str
        What failed, in one line and in full.
    warnings : tuple of str
        What the run warned about.
    """

    run: Run
    status: str
    scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    origin: str = "new"
    error: str = ""
    traceback: str = ""
    warnings: tuple[str, ...] = ()


# ---------------------------------------------------------------------- what is asked


def read_sweep(config: str | Path, out: str | Path | None = None) -> Sweep:
    """Read the TOML file of a sweep, and check everything in it that can be checked without loading data.

    Parameters
    ----------
    config : str or Path
        The file. Relative paths in it start at its own folder.
    out : str or Path, optional
        The folder of the results, instead of the file's own ``out``.

    Raises
    ------
    RunError
        For anything that the user can mend; the message names the place in the file.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     config = Path(folder) / "sweep.toml"
    ...     _ = config.write_text('''
    ... out = "first"
    ... seeds = [0, 1]
    ... [[dataset]]
    ... name = "simulated"
    ... [[model]]
    ... name = "linear"
    ... lr = [1e-3, 3e-3]
    ... ''')
    ...     for run in read_sweep(config).runs:
    ...         print(run.name)
    simulated-linear-lr0.001-seed0
    simulated-linear-lr0.001-seed1
    simulated-linear-lr0.003-seed0
    simulated-linear-lr0.003-seed1
    """
    config = Path(config).expanduser()
    try:
        asked = tomllib.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not UTF-8
        raise RunError(f"{config} is not a TOML file: {error}") from error
    _check_keys(asked, ("out", "seeds", "device", "dataset", "model"), "the top of the file")
    folder = config.resolve().parent
    if out is None:
        if not isinstance(asked.get("out"), str) or not asked["out"]:
            raise RunError('a sweep needs a folder: out = "sweeps/first" at the top of the file, or --out')
        out = folder / Path(asked["out"]).expanduser()
    (device,) = _values({"device": "cpu"} | asked, "device", "the top of the file", only_one=True)
    seeds = _values({"seeds": [0]} | asked, "seeds", "the top of the file", kind=int)
    if wrong := [seed for seed in seeds if not 0 <= seed < 2**32]:
        raise RunError(f"seeds must lie between 0 and 2**32 - 1, got {wrong[0]}")

    datasets = list(_datasets(asked, folder))
    models = list(_models(asked))
    notes = []
    if len(seeds) > 1 and (fixed := sorted({m["model"] for m in models if get_recipe(m["model"]).settings is None})):
        notes.append(f"{', '.join(fixed)} is fitted in closed form and runs once, with seed {seeds[0]}")
    every = [
        FitOptions(**dataset, **model, seed=seed, device=device)
        for dataset in datasets
        for model in models
        for seed in (seeds[:1] if get_recipe(model["model"]).settings is None else seeds)
    ]
    once = list(dict.fromkeys(every))
    if len(once) < len(every):
        notes.append(f"{len(every) - len(once)} runs were asked for more than once; each runs once")
    return Sweep(Path(out).expanduser().resolve(), tuple(map(Run, _names(once), once)), tuple(notes))


def _datasets(asked: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    for place, options in _grid(asked, "dataset", DATASET_OPTIONS):
        with _at(place):
            get_dataset(options["dataset"])
        if "data" in options:
            options["data"] = str((folder / Path(options["data"]).expanduser()).resolve())
        yield options


def _models(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for place, options in _grid(asked, "model", MODEL_OPTIONS):
        with _at(place):
            resolve_settings(get_recipe(options["model"]), FitOptions(**options))
        yield options


def _grid(asked: Mapping[str, Any], kind: str, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of the values of every ``[[kind]]`` table, and where it was asked for."""
    tables = asked.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in tables):
        raise RunError(f"{kind} must be a table under [[{kind}]], with two brackets, that begins with its name")
    if not tables:
        raise RunError(f"nothing to run: the sweep needs at least one [[{kind}]] with a name")
    for number, entry in enumerate(tables, 1):
        place = f"[[{kind}]] number {number}"
        _check_keys(entry, ("name", *names), place)
        if "name" not in entry:
            raise RunError(f"{place} has no name")
        values = {kind: _values(entry, "name", place)}
        values |= {name: _values(entry, name, place, TYPES[name]) for name in entry if name != "name"}
        for combination in itertools.product(*values.values()):
            yield place, dict(zip(values, combination, strict=True))


def _check_keys(entry: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    for key in entry:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise RunError(f"unknown key {key!r} in {place}; there are: {', '.join(known)}.{hint}")


def _values(entry: Mapping[str, Any], name: str, place: str, kind: type = str, *, only_one: bool = False) -> list[Any]:
    """The values of a key: a list as it is, anything else as a list of one."""
    values = entry[name] if isinstance(entry[name], list) else [entry[name]]
    if not values:
        raise RunError(f"nothing to run: {name} in {place} is an empty list")
    values = [float(value) if kind is float and type(value) is int else value for value in values]
    for value in values:
        if type(value) is not kind or value == "" or (only_one and len(values) > 1):
            wanted = {str: "a text in quotes", int: "a whole number", float: "a number"}[kind]
            raise RunError(
                f"{name} in {place} must be {wanted}{'' if only_one else ' or a list of them'}, got {entry[name]!r}"
            )
    return values


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    """Say where in the file the mistake is."""
    try:
        yield
    except (RunError, UnknownNameError) as error:
        raise RunError(f"{place}: {error}") from error


def _names(runs: Sequence[FitOptions]) -> list[str]:
    """Readable and made of the run's own options only, so that a sweep may grow without renaming what it has.

    Only runs that would share a name, for they differ in where their data lie, get a hash of their options.
    """
    names = [_name(options) for options in runs]
    return [
        name if names.count(name) == 1 else f"{name}-{hashlib.sha256(repr(options).encode()).hexdigest()[:8]}"
        for name, options in zip(names, runs, strict=True)
    ]


def _name(options: FitOptions) -> str:
    def given(names: Iterable[str]) -> list[str]:
        return [f"{name}{_text(getattr(options, name))}" for name in names if getattr(options, name) is not None]

    parts = [options.dataset, *given(("dt_ms", "split")), options.model, *given(MODEL_OPTIONS), f"seed{options.seed}"]
    return re.sub(r"[^\w.+-]+", "", "-".join(parts))


def _text(value: Any) -> str:
    """Numbers as short as they can be without becoming others: 0.001, 20, 1e-05."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


# ---------------------------------------------------------------------- running


def run_sweep(
    sweep: Sweep,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    on_start: Callable[[Sequence[Outcome]], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Do every run of a sweep that is not complete, and write the table of all of them after each.

    Parameters
    ----------
    sweep : Sweep
        From :func:`read_sweep`.
    jobs : int
        Runs at the same time on this machine, each in its own process.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers do the runs instead; they see the folders under the same paths.
    on_start : callable, optional
        ``(found)``: once, with the complete runs, after everything was checked and before anything runs.
    on_outcome : callable, optional
        ``(outcome)``, whenever a run ends.

    Returns
    -------
    list of Outcome
        In the order of the sweep. What failed is in there; the others were done all the same.

    Raises
    ------
    RunError, ValueError, OSError
        Before anything runs: a folder that belongs to other options, or a recording that cannot be loaded.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepSTRF.runs import FitOptions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ridge = Run("first", FitOptions(dataset="simulated", model="ridge"))
    ...     outcomes = run_sweep(Sweep(Path(folder), (ridge,)))
    ...     outcomes[0].status, (Path(folder) / "results.csv").exists()
    ('complete', True)
    """
    found = {run: _complete(run, sweep.out / run.name, "found") for run in sweep.runs if _is_done(run, sweep.out)}
    left = [run for run in sweep.runs if run not in found]
    with warnings.catch_warnings(action="ignore"):  # the runs themselves report them
        for run in left:
            _data_sha256(*_recording(run.options))  # what is wrong with the data is said now, and not by every run
    try:
        (sweep.out / LOCKS_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder of the sweep, {error.filename}: {error.strerror}") from error
    outcomes = {run: found.get(run) or Outcome(run, "unfinished") for run in sweep.runs}
    write_results(list(outcomes.values()), sweep.out)
    if on_start is not None:
        on_start(list(found.values()))
    said: set[str] = set()
    for outcome in _on_cluster(left, sweep.out, scheduler) if scheduler else _here(left, sweep.out, jobs):
        outcomes[outcome.run] = outcome
        write_results(list(outcomes.values()), sweep.out)
        for warning in outcome.warnings:
            if warning not in said:  # once, however many runs say so
                said.add(warning)
                warnings.warn(warning)
        if on_outcome is not None:
            on_outcome(outcome)
    return list(outcomes.values())


def _is_done(run: Run, out: Path) -> bool:
    """Whether the run is complete.

    Raises
    ------
    RunError
        If its folder holds a run of other options or data. The same data may have moved.
    """
    folder = out / run.name
    if (folder / files.CONFIG_FILE).exists():
        config = files.read_json(folder / files.CONFIG_FILE)
        saved, asked = dataclasses.asdict(FitOptions()) | config["options"], dataclasses.asdict(run.options)
        other = [name for name in saved if saved[name] != asked.get(name)]
        if other == ["data"] and _data_sha256(*_recording(run.options)) == config["data_sha256"]:
            other = []
        if other:
            was = ", ".join(f"{name} {saved[name]!r}, not {asked.get(name)!r}" for name in other)
            raise RunError(f"{folder} holds another run ({was}); give the sweep another folder with --out")
    return files.is_complete(folder)


def _recording(options: FitOptions) -> tuple[Any, ...]:
    return (options.dataset, *(getattr(options, name) for name in DATASET_OPTIONS))


@functools.cache
def _data_sha256(dataset: str, *options: Any) -> str:
    recording = load_recording(FitOptions(dataset=dataset, **dict(zip(DATASET_OPTIONS, options, strict=True))))
    return files.data_fingerprint(recording.dataset)


def do_run(run: Run, out: Path) -> Outcome:
    """Do one run of a sweep, or go on with it; in a worker process, whose death is not the end of it."""
    folder = out / run.name
    origin = "new"
    try:
        with _one_run, cpu_threads(run.options.threads), _locked(out / LOCKS_FOLDER / run.name):
            if _is_done(run, out):  # done meanwhile, by a worker that was taken for dead or by another sweep
                return _complete(run, folder, "found")
            origin = "resumed" if folder.exists() else "new"
            with warnings.catch_warnings(record=True) as caught:
                fit_run(run.options, folder, resume=True)
            said = tuple(dict.fromkeys(str(warning.message) for warning in caught))
            return dataclasses.replace(_complete(run, folder, origin), warnings=said)
    except Exception as error:  # noqa: BLE001 - whatever it is goes to the user as this run's, and the others go on
        return Outcome(run, "failed", origin=origin, error=_one_line(error), traceback=traceback.format_exc())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until nobody else does this run. The system itself takes the lock from a process that dies."""
    import fcntl  # not on Windows

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _complete(run: Run, folder: Path, origin: str) -> Outcome:
    config = files.read_json(folder / files.CONFIG_FILE)
    summary = files.read_json(folder / files.SCORES_FILE)
    scores = {"neurons": config["neurons"], "epochs_run": summary["epochs"], "fit_seconds": summary["fit_seconds"]}
    for part, score in itertools.product(PARTS, SCORES):
        entry = summary["parts"][part][score]
        for number, key in (("mean", "mean"), ("median", "median"), ("neurons", "defined")):
            scores[f"{part}_{score}_{number}"] = entry[key]
    return Outcome(run, "complete", scores, origin)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _here(runs: Sequence[Run], out: Path, jobs: int) -> Iterator[Outcome]:
    """In `jobs` processes on this machine."""
    left = dict.fromkeys(runs)
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        for _ in range(WORKER_DEATHS):
            try:
                for outcome in _parallel(left, out):
                    del left[outcome.run]
                    yield outcome
                return
            except BrokenProcessPool:  # the system killed a worker, perhaps for its memory, and joblib gave up on all
                continue
        for run in left:  # each alone, so that only one that kills its worker again is lost
            try:
                yield from _parallel([run], out)
            except BrokenProcessPool as error:
                yield Outcome(run, "failed", error=f"its worker process died: {_one_line(error)}")


def _parallel(runs: Iterable[Run], out: Path) -> Iterator[Outcome]:
    yield from joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")(
        joblib.delayed(do_run)(run, out) for run in list(runs)
    )


def _on_cluster(runs: Sequence[Run], out: Path, scheduler: str) -> Iterator[Outcome]:
    """On the workers of a Dask cluster, which hands the run of a worker that died to another one."""
    try:
        from distributed import CancelledError, Client
        from joblib._dask import DaskDistributedBackend
    except ImportError as error:
        raise ImportError("a Dask cluster needs dask and distributed: pip install deepSTRF[cluster]") from error

    class Backend(DaskDistributedBackend):
        """joblib's own, but for two things that it does where workers come and go."""

        def effective_n_jobs(self, n_jobs: int) -> int:
            # joblib does everything in this process where the cluster has one thread so far, and fails where none.
            return max(2, sum(self.client.ncores().values()))

        def submit(self, func: Any, callback: Any = None) -> Any:
            # joblib waits forever for a run that Dask gave up, because it killed one worker after another.
            def report(done: Any) -> None:
                if done.exception() is not None:
                    ((_, (run, _), _),) = func.items
                    callback([Outcome(run, "failed", error=_one_line(done.exception()))])

            future = super().submit(func, callback)
            future.add_done_callback(report)
            return future

    if not runs:
        return
    try:
        with Client(scheduler, set_as_default=False) as client, joblib.parallel_config(Backend(client=client)):
            yield from _parallel(runs, out)
    except CancelledError as error:
        raise RunError(
            f"lost the Dask scheduler at {scheduler}; the runs keep what they have, and the same sweep goes on"
        ) from error


# ---------------------------------------------------------------------- results


def table(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row per run: what it is, how it ended, and its scores; None where there is nothing to say.

    An option is a column where the sweep gives it more than one value; a run that was given none has the recipe's.
    """
    varied = _varied([outcome.run.options for outcome in outcomes])
    rows = []
    for outcome in outcomes:
        options, scores = outcome.run.options, outcome.scores
        row: dict[str, Any] = {"folder": outcome.run.name, "status": outcome.status}
        row |= {"dataset": options.dataset, "model": options.model}
        row |= {name: _used(options)[name] for name in varied} | {"seed": options.seed}
        row |= {name: scores.get(name) for name in ("neurons", "epochs_run", "fit_seconds", *SCORE_COLUMNS)}
        rows.append({**row, "error": outcome.error or None})
    return rows


def _varied(runs: Iterable[FitOptions]) -> list[str]:
    runs = list(runs)
    return [name for name in DATASET_OPTIONS + MODEL_OPTIONS if len({getattr(options, name) for options in runs}) > 1]


@functools.cache
def _used(options: FitOptions) -> dict[str, Any]:
    settings = resolve_settings(get_recipe(options.model), options)
    used = vars(options) | {"split": options.split or dataset_cards()[options.dataset].default_split}
    return used | ({} if settings is None else vars(settings))


def leaderboard(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds for every recording, model and options, best validation score first.

    Returns
    -------
    list of dict
        ``dataset``; ``recording`` and ``options``, which say in what it differs from others of the same data set and
        model; ``model``; ``seeds``, of which ``complete``; and for every part and score ``<part>_<score>_mean`` and
        ``_sd``, over seeds, of the means over neurons. Undefined is NaN and comes last.

    Examples
    --------
    >>> def outcome(seed, lr, val):
    ...     run = Run("", FitOptions(model="linear", seed=seed, lr=lr))
    ...     return Outcome(run, "complete", {"val_cc_norm_mean": val, "val_cc_mean": val})
    >>> for row in leaderboard([outcome(0, 1e-3, 0.5), outcome(0, 3e-3, 0.6), outcome(1, 3e-3, 0.8)]):
    ...     print(row["options"], row["seeds"], round(row["val_cc_norm_mean"], 3))
    {'lr': 0.003} 2 0.7
    {'lr': 0.001} 1 0.5
    """
    groups: dict[FitOptions, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(dataclasses.replace(outcome.run.options, seed=0), []).append(outcome)
    board = []
    for options, seeds in groups.items():
        same_data = [other for other in groups if other.dataset == options.dataset]
        same_model = [other for other in same_data if other.model == options.model]
        done = [outcome.scores for outcome in seeds if outcome.status == "complete"]
        entry: dict[str, Any] = {
            "dataset": options.dataset,
            "recording": {name: _used(options)[name] for name in _varied(same_data) if name in DATASET_OPTIONS},
            "model": options.model,
            "options": {name: _used(options)[name] for name in _varied(same_model) if name in MODEL_OPTIONS},
            "seeds": len(seeds),
            "complete": len(done),
        }
        for part, score in itertools.product(PARTS, SCORES):
            name = f"{part}_{score}"
            values = [scores[f"{name}_mean"] for scores in done if scores.get(f"{name}_mean") is not None]
            entry[f"{name}_mean"] = statistics.fmean(values) if values else math.nan
            entry[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else math.nan
        board.append(entry)

    def rank(entry: dict[str, Any]) -> tuple[Any, ...]:
        scores = (entry["val_cc_norm_mean"], entry["val_cc_mean"])  # without repeats there is no cc_norm
        best_first = (math.inf if math.isnan(score) else -score for score in scores)
        return (entry["dataset"], str(entry["recording"]), *best_first)

    return sorted(board, key=rank)


def write_results(outcomes: Sequence[Outcome], out: Path) -> None:
    """Write the table of the runs so far, and the errors of those that failed; what was there is replaced at once."""
    rows = table(outcomes)
    text = io.StringIO()
    lines = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    _replace(out / RESULTS_FILE, text.getvalue().encode())
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        errors = "\n".join(f"{outcome.run.name}: {outcome.error}\n{outcome.traceback}" for outcome in failed)
        _replace(out / ERRORS_FILE, errors.encode())
    else:
        (out / ERRORS_FILE).unlink(missing_ok=True)
    try:
        content = _parquet(rows)
    except ImportError:  # as promised, only where pyarrow is installed; then without an old one beside a new table
        (out / PARQUET_FILE).unlink(missing_ok=True)
    else:
        _replace(out / PARQUET_FILE, content)


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    columns = TYPES | {"neurons": int, "epochs_run": int, "fit_seconds": float}
    columns |= {name: int if name.endswith("neurons") else float for name in SCORE_COLUMNS}
    schema = pyarrow.schema([(name, kinds[columns.get(name, str)]) for name in rows[0]])
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), sink)
    return sink.getvalue().to_pybytes()


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}", delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
