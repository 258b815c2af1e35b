"""The file of a sweep: data sets × models × options × seeds, as ``docs/howto/sweeps.md`` describes it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepSTRF.checks import unknown_name
from deepSTRF.datasets.conditions import parse_condition
from deepSTRF.files import expand_path
from deepSTRF.registry import UnknownNameError, get_recipe
from deepSTRF.runs.data_source import absolute_dataset, check_dataset
from deepSTRF.runs.folder import absolute_name, short_name
from deepSTRF.runs.options import OPTIONS, Conditions, FitOptions, RunError
from deepSTRF.runs.settings import resolve_settings

__all__ = ["Run", "Sweep", "read_sweep", "sweep_over_seeds"]

DATASET_OPTIONS = tuple(name for name, option in OPTIONS.items() if option.scope == "dataset")
MODEL_OPTIONS = tuple(name for name, option in OPTIONS.items() if option.scope == "model")
TOP = "the top of the file"
_IN_WORDS = {"=": "", "!=": "not-", ">": "above-", ">=": "from-", "<": "below-", "<=": "to-"}
_LONGEST = 200  # letters of a run's name: file systems take 255


@dataclass(frozen=True)
class Run:
    """One run of a sweep; its folder is ``<out>/<name>``."""

    name: str
    options: FitOptions


@dataclass(frozen=True)
class Sweep:
    """What a sweep is asked to do."""

    out: Path
    """The folder of all its runs and results."""
    runs: tuple[Run, ...]
    """In the order of the file."""
    notes: tuple[str, ...] = ()
    """What the user should know about how the runs were counted."""


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
        If something in the file is wrong; the message names the place.
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
    config = expand_path(config, "config")
    try:
        asked = tomllib.loads(config.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested too deeply
        raise RunError(f"{config} is not a TOML file: {error}") from error
    _check_keys(asked, ("out", "seeds", "device", "dataset", "model"), TOP)
    folder = config.resolve().parent
    if out is None:
        if not isinstance(asked.get("out"), str) or not asked["out"]:
            raise RunError('a sweep needs a folder: out = "sweeps/first" at the top of the file, or `out`')
        out = folder / expand_path(asked["out"])
    device = asked.get("device", OPTIONS["device"].default)
    if isinstance(device, list):
        raise RunError(f"device at {TOP} must be a string, got {device!r}")
    (device,) = _values(device, "device", TOP)
    seeds = _values(asked.get("seeds", OPTIONS["seed"].default), "seed", TOP)
    datasets, models = list(_datasets(asked, folder)), list(_models(asked, folder))
    points = [FitOptions(**dataset, **model, device=device) for dataset in datasets for model in models]
    return sweep_over_seeds(points, seeds, out)


def sweep_over_seeds(points: Sequence[FitOptions], seeds: Sequence[int], out: str | Path) -> Sweep:
    """Make the sweep of every seed for each of `points`; models in closed form run once, with the first seed.

    Examples
    --------
    >>> sweep = sweep_over_seeds([FitOptions(model="ridge"), FitOptions(model="linear")], [0, 1], "first")
    >>> [run.name for run in sweep.runs]
    ['simulated-ridge-seed0', 'simulated-linear-seed0', 'simulated-linear-seed1']
    """
    closed_form = {point.model for point in points if get_recipe(point.model).settings is None}
    notes = []
    if len(seeds) > 1 and closed_form:
        notes.append(f"{', '.join(sorted(closed_form))} is fitted in closed form and runs once, with seed {seeds[0]}")
    every = [
        dataclasses.replace(point, seed=seed)
        for point in points
        for seed in (seeds[:1] if point.model in closed_form else seeds)
    ]
    once = list(dict.fromkeys(every))
    if len(once) < len(every):
        notes.append(f"{len(every) - len(once)} runs were asked for more than once; each runs once")
    return Sweep(expand_path(out, "out").resolve(), tuple(map(Run, _names(once), once)), tuple(notes))


def _datasets(asked: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    for place, options in _combinations(asked, "dataset", DATASET_OPTIONS):
        options["dataset"] = absolute_dataset(options["dataset"], folder)
        with _at(place):
            check_dataset(options["dataset"])
        if "data" in options:
            options["data"] = str((folder / options["data"]).resolve())
        yield options


def _models(asked: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    for place, options in _combinations(asked, "model", MODEL_OPTIONS):
        options["model"] = absolute_name(options["model"], folder)
        with _at(place):
            resolve_settings(FitOptions(**options))
        yield options


def _combinations(asked: Mapping[str, Any], kind: str, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of the values of every ``[[kind]]`` table, and the place of the table in the file."""
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
        options = {kind: entry["name"]} | {name: value for name, value in entry.items() if name != "name"}
        values = [_values(value, name, place) for name, value in options.items()]
        for combination in itertools.product(*values):
            yield place, dict(zip(options, combination, strict=True))


def _check_keys(entry: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    for key in entry:
        if key not in known:
            raise RunError(f"{place}: {unknown_name('key', key, known)}")


def _values(given: Any, name: str, place: str) -> list[Any]:
    """The checked values of an option: a list as it is, anything else as a list of one."""
    values = given if isinstance(given, list) else [given]
    if not values:
        raise RunError(f"nothing to run: {name} in {place} is an empty list")
    with _at(place):
        if "" in values:
            raise ValueError(f"{name} must not be empty")
        return [OPTIONS[name].check(value) for value in values]


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    """Add the place in the file to an error."""
    try:
        yield
    except (ValueError, TypeError, UnknownNameError) as error:
        raise RunError(f"{place}: {error}") from error


def _names(runs: Sequence[FitOptions]) -> list[str]:
    """Names of the runs' folders, made of each run's own options, so that a sweep may grow without renaming runs.

    Runs that would share a name, because they differ only in the folder of their data, get a hash of their options.
    """
    names = [_name(options) for options in runs]
    return [
        name if names.count(name) == 1 else f"{name}-{_hash(options)}"
        for name, options in zip(names, runs, strict=True)
    ]


def _name(options: FitOptions) -> str:
    def given(names: Iterable[str]) -> list[str]:
        values = {name: getattr(options, name) for name in names}
        return [
            f"{'' if name in ('arguments', 'read') else name}{_text(value)}"
            for name, value in values.items()
            if value is not None
        ]

    dataset, model = short_name(options.dataset), short_name(options.model)
    parts = [
        dataset,
        *given(name for name in DATASET_OPTIONS if name != "data"),
        model,
        *given(MODEL_OPTIONS),
        f"seed{options.seed}",
    ]
    name = re.sub(r"[^\w.+-]+", "", "-".join(parts))
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}-{_hash(options)}"


def _hash(options: FitOptions) -> str:
    return hashlib.sha256(repr(options).encode()).hexdigest()[:8]


def _text(value: Any) -> str:
    """The shortest form that is the same number: 0.001, 20, 1e-05; of conditions, what a folder may be called."""
    if isinstance(value, Conditions):
        return "".join(
            f"-{condition.key}-{_IN_WORDS[condition.operator]}{'-'.join(condition.values)}"
            for condition in map(parse_condition, value)
        )
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
