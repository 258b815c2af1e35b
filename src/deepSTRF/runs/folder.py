"""The folder of a run, which ``deepstrf fit`` writes and ``deepstrf evaluate`` reads."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.files import expand_path, lock, to_plain
from deepSTRF.runs.contents import describe_changes
from deepSTRF.runs.options import RunError

__all__ = [
    "absolute_name",
    "create_run_folder",
    "data_changes",
    "data_fingerprint",
    "is_complete",
    "lock_run_folder",
    "open_run_folder",
    "read_json",
    "read_score",
    "reading",
    "short_name",
    "write_neurons",
    "write_predictions",
]

CONFIG_FILE = "config.json"
HISTORY_FILE = "history.jsonl"
HISTORIES = "history*.jsonl"  # with folds, each has its own
COMPARISON_FILE = "comparison.json"  # of several runs, beside their folders
DATA_FILE = "data.json"  # checksums of the data, piece by piece
NEURONS_FILE = "neurons.csv"
PREDICTIONS_FILE = "predictions.npz"
SCORES_FILE = "scores.json"
MODEL_FOLDER = "model"
PATH_KINDS = ("folder", "nwb", "phy")  # of data sets whose name is where they are
TRAINING_FOLDER = "training"  # the state of an unfinished training


def short_name(name: str) -> str:
    """Name of a model or a data set for the name of a folder.

    Examples
    --------
    >>> short_name("statenet"), short_name("~/code/mymodel.py:MyModel"), short_name("mylab.models:MyModel")
    ('statenet', 'mymodel-MyModel', 'models-MyModel')
    >>> short_name("recordings/ferret1/"), short_name("day1.nwb")
    ('ferret1', 'day1')
    """
    file, colon, class_name = name.rpartition(":")
    if colon and "/" not in class_name and os.sep not in class_name:
        module = Path(file).stem if file.endswith(".py") else file.rpartition(".")[2]
        return f"{module}-{class_name}"
    path = expand_path(name).resolve()
    return path.stem if path.suffix == ".nwb" else path.name


def absolute_name(name: str, folder: Path = Path()) -> str:
    """Name of a model or a data set that means the same in another working folder.

    Examples
    --------
    >>> absolute_name("statenet"), absolute_name("mymodel.py:MyModel", Path("/code"))
    ('statenet', '/code/mymodel.py:MyModel')
    """
    file, _, class_name = name.rpartition(":")
    return f"{(folder / expand_path(file)).resolve()}:{class_name}" if file.endswith(".py") else name


def create_run_folder(out: str | Path | None, options: Mapping[str, Any]) -> Path:
    """Make the folder of a new run: `out`, or the first free ``runs/<dataset>-<model>-<n>``.

    Raises
    ------
    RunError
        If `out` exists, or cannot be made.
    """
    folder = None if out is None else expand_path(out, "out")
    try:
        if folder is not None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            return folder
        runs = Path("runs")
        runs.mkdir(exist_ok=True)
        number = 1
        while True:
            folder = runs / f"{_name(options)}-{number}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:  # also when another run takes the same number at this moment
                number += 1
    except FileExistsError as error:
        unfinished = folder is not None and (folder / CONFIG_FILE).is_file() and not is_complete(folder)
        raise RunError(
            f"{error.filename or folder} already exists, and a run never overwrites anything; choose a new folder "
            f"(`out`){' or resume this unfinished run (`resume`)' if unfinished else ''}"
        ) from error
    except OSError as error:
        raise RunError(f"cannot make the run folder {error.filename or folder}: {error.strerror}") from error


def _name(options: Mapping[str, Any]) -> str:
    return f"{short_name(options['dataset'])}-{short_name(options['model'])}"


def is_complete(folder: Path) -> bool:
    """Whether the run in `folder` is finished: its scores are written last."""
    return (folder / SCORES_FILE).is_file()


def open_run_folder(
    out: str | Path | None, config: Mapping[str, Any], contents: Mapping[str, Any]
) -> tuple[Path, bool]:
    """Find the unfinished run of this configuration, or make the folder of a new one.

    Parameters
    ----------
    out : str or Path, optional
        The folder. Without it, the newest unfinished ``runs/<dataset>-<model>-<n>`` of this configuration.
    config : dict
        What is to be run.
    contents : dict
        What the data are now, piece by piece.

    Returns
    -------
    tuple of Path and bool
        The folder, and whether it is new.

    Raises
    ------
    RunError
        If `out` is a finished run, a run of another configuration, or no run; or the data of the run have changed.
    """
    options = config["options"]
    if out is None:
        found = sorted(Path("runs").glob(f"{_name(options)}-*/{CONFIG_FILE}"), key=lambda path: -path.stat().st_mtime)
        for path in found:
            if not is_complete(path.parent) and not (differences := _differences(read_json(path), config)):
                return path.parent, False
            if not is_complete(path.parent) and differences == ["data"]:
                changed = data_changes(path.parent, contents)
                raise RunError(
                    f"the data of the unfinished run {path.parent} have changed since it began ({changed}); begin a "
                    "new one without `resume`"
                )
    folder = None if out is None else expand_path(out, "out")
    if folder is None or not folder.exists():
        return create_run_folder(folder, options), True
    if is_complete(folder):
        raise RunError(f"{folder} is a finished run, so there is nothing to resume; choose a new folder (`out`)")
    if (folder / CONFIG_FILE).is_file():
        differences = _differences(read_json(folder / CONFIG_FILE), config)
        if differences:
            named = [f"data: {data_changes(folder, contents)}" if name == "data" else name for name in differences]
            raise RunError(
                f"{folder} is a run of another configuration: {'; '.join(named)}. Use the options with which it "
                "was started, or choose a new folder (`out`)"
            )
    elif not folder.is_dir() or any(folder.iterdir()):
        raise RunError(f"{folder} is not the folder of a run: it has no {CONFIG_FILE}; choose another one (`out`)")
    return folder, False


@contextlib.contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder of a run; the system releases the lock when the process dies.

    Raises
    ------
    RunError
        If another process is fitting in it.
    """
    (folder / TRAINING_FOLDER).mkdir(exist_ok=True)
    try:
        with lock(folder / TRAINING_FOLDER / "lock", wait=False):
            yield
    except BlockingIOError as error:
        raise RunError(f"another process is fitting in {folder}; wait for it, or choose another one (`out`)") from error


def _differences(saved: Any, own: Mapping[str, Any]) -> list[str]:
    """In what two configurations differ, except for the place of the data and the number of epochs, which may.

    Where the data differ, what follows from them is left out, and ``"data"`` stands for them.
    """
    was, now = _flat(saved), _flat(to_plain(own))
    ignored = ["options.data", "data.path", "options.epochs", "settings.epochs", "python", "started"]
    if was.get("data.kind") == now.get("data.kind") in PATH_KINDS:
        ignored.append("options.dataset")
    names = [name for name in {**was, **now} if name not in ignored and was.get(name) != now.get(name)]
    if "data_sha256" in names and not any(name.startswith("options.") for name in names):
        return ["data"]
    return [f"{name}: was {was.get(name)}, is {now.get(name)}" for name in names]


def data_changes(folder: Path, contents: Mapping[str, Any]) -> str:
    """In words, what is different in the data since the run in `folder` began, as far as that can be told."""
    if not (folder / DATA_FILE).is_file():
        return "their SHA-256 differs"
    saved = read_json(folder / DATA_FILE)
    with reading(folder / DATA_FILE):
        changes = describe_changes(saved, contents)
    return "; ".join(changes) or "the same stimuli and responses, prepared or split in another way"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with keys as ``options.seed``."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, entry in value.items():
        flat |= _flat(entry, f"{prefix}.{name}" if prefix else str(name))
    return flat


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises
    ------
    RunError
        If it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} is not a finished run: it has no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read as JSON: {error}") from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file of a run when an entry of it is missing or wrong.

    Raises
    ------
    RunError
        Instead of the error for a missing key, a wrong type or a value out of range.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise RunError(f"{path} was not written by a run ({type(error).__name__}: {error})") from error


def read_score(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and median of a saved score, None where undefined, and the number of neurons where it is defined."""
    values = {name: None if entry[name] is None else float(entry[name]) for name in ("mean", "median")}
    if not all(value is None or math.isfinite(value) for value in values.values()):
        raise ValueError(f"a score is not finite: {values}")
    return {**values, "defined": entry["defined"]}


def write_neurons(dataset: NeuralDataset, scores: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """Write one row per neuron: its metadata, its number of repeats and its scores; undefined scores are empty.

    Metadata that is no dict is in the column ``metadata``.
    """
    every = [as_dict(meta) for meta in dataset.nrn_meta]
    keys = list(dict.fromkeys(key for meta in every for key in meta))
    most_repeats = torch.stack([values["n_repeats"] for values in scores.values()]).amax(0)
    columns = ["neuron", *keys, "n_repeats"]
    names = {part: [name for name in values if name != "n_repeats"] for part, values in scores.items()}
    for part in scores:
        columns += [f"{name}_{part}" for name in (*names[part], "single_trial")]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for n, meta in enumerate(every):
            row = [n, *(meta.get(key, "") for key in keys), int(most_repeats[n])]
            for part, values in scores.items():
                row += [_cell(values[name][n]) for name in names[part]]
                row.append(int(values["n_repeats"][n] == 1))
            table.writerow(row)


def write_predictions(
    predictions: Sequence[Tensor],
    dataset: NeuralDataset,
    split: Mapping,
    path: Path,
    *,
    folds: Sequence[Any] = (),
    of_val: Sequence[Tensor] = (),
    spread: Sequence[Tensor] = (),
) -> None:
    """Write, per stimulus ``s``, ``pred_<s>`` ``(N, T_s)``, and the stimuli of each part as ``stimuli_<part>``.

    Of the test stimuli also ``psth_<s>`` ``(N, T_s)``, so that the predictions can be drawn without the recording. With
    folds, these are the predictions by models that never saw the stimulus, ``val_<s>`` those by the models that it
    stopped, and ``fold`` (S,) is the fold that tested it, -1 for a stimulus that no neuron heard. ``spread_<s>``
    ``(N, T_s)`` is how far the members of an ensemble lie apart.
    """
    arrays: dict[str, Any] = {f"pred_{s:03d}": prediction.numpy() for s, prediction in enumerate(predictions)}
    arrays |= {f"val_{s:03d}": prediction.numpy() for s, prediction in enumerate(of_val)}
    arrays |= {f"spread_{s:03d}": deviation.numpy() for s, deviation in enumerate(spread)}
    blocks = list(dataset._packed().blocks())
    arrays |= {f"psth_{s:03d}": _psths(blocks[s], predictions[s].shape) for s in split["test"]}
    arrays |= {f"stimuli_{part}": np.asarray(stimuli, dtype=int) for part, stimuli in split.items()}
    if folds:
        arrays["fold"] = np.full(len(predictions), -1)
        for k, fold in enumerate(folds):
            arrays["fold"][list(fold.test)] = k
    np.savez(path, dt_ms=dataset.dt, **arrays)  # packing floats takes long, and saves a tenth


def _psths(block: ResponseBlock, shape: Sequence[int]) -> np.ndarray:
    """Mean over the repeats of every neuron's response to a stimulus, (N, T_s); NaN where it has none."""
    psths = np.full(shape, np.nan, dtype=np.float32)
    if block.n_bins:
        psths[block.neurons] = block.summary.psth.numpy()
    return psths


def data_fingerprint(dataset: NeuralDataset) -> str:
    """SHA-256 over stimuli and checksums of responses, so that a run is not scored on other data by mistake."""
    digest = hashlib.sha256(f"{dataset.dt} {dataset.N_neurons}".encode())
    for stim, block in zip(dataset.stims, dataset._packed().blocks(), strict=True):
        digest.update(str(tuple(stim.shape)).encode())
        digest.update(np.ascontiguousarray(stim.numpy()).data)
        digest.update(str(list(zip(block.neurons.tolist(), block.checksums, strict=True))).encode())
    return digest.hexdigest()


def _cell(value: Tensor) -> str:
    number = float(value)
    return f"{number:.6f}" if math.isfinite(number) else ""
