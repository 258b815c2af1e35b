"""What a report needs of the folder of a run, finished or not."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepSTRF.files import AnyPath, expand_path
from deepSTRF.runs import folder as files
from deepSTRF.runs.contents import describe_changes
from deepSTRF.runs.options import RunError
from deepSTRF.training.loggers import read_jsonl

__all__ = ["SCORES", "ReadRun", "read_runs"]

PARTS = ("train", "val", "test")
SCORES = ("cc", "cc_norm", "ceiling")


@dataclass
class ReadRun:
    """The files of a run.

    Parameters
    ----------
    folder : Path
        Where they are.
    name : str
        How the report calls it: the name of the folder.
    config : dict
        What ``config.json`` holds.
    summary : dict, optional
        What ``scores.json`` holds; None for a run that is not finished.
    neurons : list of dict of str to str
        The rows of ``neurons.csv``; empty for a run that is not finished.
    histories : dict of str to list of dict
        The epochs so far, by the name of the file without its ending.
    notes : list of str
        What the report could not show of it, and why.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    summary: dict[str, Any] | None
    neurons: list[dict[str, str]]
    histories: dict[str, list[dict[str, Any]]]
    notes: list[str] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether it has scores."""
        return self.summary is not None

    @property
    def dataset(self) -> str:
        """Name of what it was fitted to."""
        name = str(self.config["options"]["dataset"])
        return name.removeprefix("object:") if name.startswith("object:") else files.short_name(name)

    @property
    def model(self) -> str:
        """Name of the model."""
        return files.short_name(self.config["options"]["model"])

    def scores(self, name: str) -> np.ndarray:
        """A column of ``neurons.csv``, as ``cc_test``, with NaN where it is undefined."""
        with files.reading(self.folder / files.NEURONS_FILE):
            return np.array([float(row[name] or "nan") for row in self.neurons])


def read_runs(runs: AnyPath | Sequence[AnyPath]) -> list[ReadRun]:
    """Read the folders of one or several runs; that of a comparison stands for the runs in it.

    Raises
    ------
    TypeError
        If `runs` are no paths.
    RunError
        If there is none, a folder is missing, is no run or is damaged; or if neurons of several runs cannot be paired,
        since they are of other recordings or were tested on other stimuli.
    """
    given = [runs] if isinstance(runs, str | os.PathLike) else runs
    if not isinstance(given, Sequence):
        raise TypeError(f"runs must be the folders of runs, got {type(given).__name__}: {given!r}")
    folders = [folder for run in given for folder in _folders(expand_path(run, "runs"))]
    if not folders:
        raise RunError("give the folder of at least one run, which `deepstrf fit` wrote")
    unique = list({folder.resolve(): folder for folder in folders}.values())
    read = [_read(folder, name) for folder, name in zip(unique, _names(unique), strict=True)]
    for other in read[1:]:
        _check_pairable(read[0], other)
    return read


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RunError(f"there is no run folder {folder}; give the folder that `deepstrf fit` wrote")
    if (folder / files.COMPARISON_FILE).is_file():
        inside = [path.parent for path in sorted(folder.glob(f"*/{files.CONFIG_FILE}"))]
        if not inside:
            raise RunError(f"{folder} is a comparison in which no run has begun; wait for the first one")
        return inside
    if not (folder / files.CONFIG_FILE).is_file():
        raise RunError(
            f"{folder} is not the folder of a run: it has no {files.CONFIG_FILE}; give one of `deepstrf fit`"
        )
    return [folder]


def _names(folders: Sequence[Path]) -> list[str]:
    """The name of each folder, with those of the folders that it lies in where two have the same."""
    parts = [folder.resolve().parts for folder in folders]
    depth, names = 1, [part[-1] for part in parts]
    while len(set(names)) < len(names):
        depth += 1
        names = ["/".join(part[-depth:]) for part in parts]
    return names


def _read(folder: Path, name: str) -> ReadRun:
    config = files.read_json(folder / files.CONFIG_FILE)
    with files.reading(folder / files.CONFIG_FILE):
        for key in ("options", "split"):
            if not isinstance(config[key], dict):
                raise TypeError(f"{key} is no object")
        for key in ("dataset", "model", "seed"):
            config["options"][key]
    histories = {path.stem: read_jsonl(path) for path in sorted(folder.glob(files.HISTORIES))}
    if not files.is_complete(folder):
        return ReadRun(folder, name, config, None, [], histories)
    summary = files.read_json(folder / files.SCORES_FILE)
    with files.reading(folder / files.SCORES_FILE):
        for part, score in itertools.product(PARTS, SCORES):
            files.read_score(summary["parts"][part][score])
        summary["notes"] = list(map(str, summary["notes"]))
    return ReadRun(folder, name, config, summary, _neurons(folder / files.NEURONS_FILE), histories)


def _neurons(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    with files.reading(path):
        for row in rows:
            for part, score in itertools.product(PARTS, SCORES):
                float(row[f"{score}_{part}"] or "nan")
    return rows


def _check_pairable(first: ReadRun, other: ReadRun) -> None:
    """Raise an error unless both runs have the same neurons, with the same responses, and the same test."""
    names = f"{first.folder} and {other.folder}"
    advice = "make a report of each (`deepstrf report RUN`)"
    if all((run.folder / files.DATA_FILE).is_file() for run in (first, other)):
        was, now = (files.read_json(run.folder / files.DATA_FILE) for run in (first, other))
        with files.reading(other.folder / files.DATA_FILE):  # a model of waveforms has other stimuli than one of bands
            now = {**now, "stimuli": {**now["stimuli"], "stimuli": was["stimuli"]["stimuli"]}}
            changes = describe_changes(was, now)
        if changes:
            raise RunError(f"{names} are runs on different recordings ({'; '.join(changes)}); {advice}")
    elif first.config.get("data_sha256") != other.config.get("data_sha256"):
        raise RunError(f"{names} are runs on different data (SHA-256 of config.json); {advice}")
    with files.reading(other.folder / files.CONFIG_FILE):
        splits = [(run.config["split"]["name"], list(run.config["split"]["test"])) for run in (first, other)]
    if splits[0] != splits[1]:
        raise RunError(
            f"{names} were tested on different stimuli (splits {splits[0][0]} and {splits[1][0]}), so that their "
            f"scores cannot be compared; {advice}"
        )
