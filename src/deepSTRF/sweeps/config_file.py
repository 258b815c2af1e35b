"""The file of a sweep: data sets × models × options × seeds, as ``docs/sweeps.md`` describes it."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import itertools
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepSTRF.registry import UnknownNameError, get_dataset
from deepSTRF.runs.options import FitOptions, RunError
from deepSTRF.runs.recipes import get_recipe, resolve_settings

__all__ = ["Run", "Sweep", "read_sweep"]


DATASET_OPTIONS = ("data", "dt_ms", "split")
OWN_OPTIONS = ("dataset", "model", "seed", "device", "threads")  # not an option of a [[dataset]] or a [[model]]
TYPES = {
    name: next(kind for kind in typing.get_args(hint) or (hint,) if kind is not type(None))
    for name, hint in typing.get_type_hints(FitOptions).items()
}
MODEL_OPTIONS = tuple(name for name in TYPES if name not in DATASET_OPTIONS + OWN_OPTIONS)


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
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested too deeply
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
