"""Epochs as lines of JSON: readable while the fit runs, by anything, and safe to continue after a crash."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deepSTRF.files import expand_path, to_plain, write_file
from deepSTRF.training.loggers.percentiles import summarise

__all__ = ["JsonlLogger", "make_jsonl_logger_factory", "read_jsonl"]


class JsonlLogger:
    """Write one line of JSON per epoch: numbers as they are, per-neuron values as percentiles.

    A per-neuron value becomes ``{"mean", "p10", "p50", "p90", "n_valid"}``, an undefined number null. Every line is on
    its way to the disk when the call returns. A file that exists is appended to; a last line that a killed process did
    not finish is removed first. One process writes to a file at a time.

    Parameters
    ----------
    path : str or Path
        The file; parent folders are made, the file itself with the first line.
    seed : int, optional
        Written into every line as ``seed``.
    config : dict, optional
        Written once, as a line ``{"config": ...}`` before the epochs.

    Raises
    ------
    ValueError
        If `path` is a folder.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from deepSTRF.training.loggers import JsonlLogger, read_jsonl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = JsonlLogger(Path(folder) / "history.jsonl")
    ...     log({"epoch": 0, "train_loss": 0.5, "val_cc": torch.tensor([0.25, 0.75, float("nan")])})
    ...     log({"epoch": 1, "train_loss": 0.25})
    ...     log.rewind(1)  # the fit resumes from epoch 1
    ...     read_jsonl(log.path)  # doctest: +NORMALIZE_WHITESPACE
    [{'epoch': 0, 'train_loss': 0.5,
      'val_cc': {'mean': 0.5, 'p10': 0.3, 'p50': 0.5, 'p90': 0.7, 'n_valid': 2}}]
    """

    def __init__(self, path: str | Path, seed: int | None = None, config: Mapping[str, Any] | None = None) -> None:
        self.path = expand_path(path)
        self.seed = seed
        if self.path.is_dir():
            raise ValueError(f"path must name a file, but {path} is a folder; add a file name such as history.jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if config is not None and not any("config" in row and self._is_own(row) for row in self._rows()):
            self._append({"config": config})

    def __call__(self, epoch_dict: Mapping[str, Any]) -> None:
        """Add the line of an epoch."""
        self._append({name: summarise(value) for name, value in epoch_dict.items()})

    def finalize(self, final: Mapping[str, Mapping[str, Any]]) -> None:
        """Add a line ``{"final": {"val": {...}, "test": {...}}}``."""
        summary = {part: {name: summarise(value) for name, value in values.items()} for part, values in final.items()}
        self._append({"final": summary})

    def close(self) -> None:
        """Nothing is held open between epochs."""

    def rewind(self, epoch: int) -> None:
        """Remove this seed's lines of `epoch` and later, and its final scores: a fit resumes from `epoch`.

        The file is replaced as a whole, so that a crash leaves the old one or the new one.

        Raises
        ------
        ValueError
            If a line is damaged; nothing is removed then.
        """
        rows = self._rows()
        kept = [row for row in rows if not self._is_own(row) or not (row.get("epoch", -1) >= epoch or "final" in row)]
        if len(kept) == len(rows):
            return
        write_file(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def _rows(self) -> list[dict[str, Any]]:
        return read_jsonl(self.path) if self.path.exists() else []

    def _is_own(self, row: Mapping[str, Any]) -> bool:
        return row.get("seed") == self.seed

    def _append(self, row: Mapping[str, Any]) -> None:
        own = row if self.seed is None else {"seed": self.seed, **row}
        line = json.dumps(to_plain(own), allow_nan=False, default=str) + "\n"
        with self.path.open("a+b") as file:
            _finish_last_line(file)
            file.write(line.encode())


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read the lines of a JSONL file, without a last one that a killed process did not finish.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is not a JSON object; the message names file and line.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepSTRF.training.loggers import read_jsonl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "history.jsonl"
    ...     _ = path.write_text('{"epoch": 0}\\n{"epoch": 1, "train_lo')
    ...     read_jsonl(path)
    [{'epoch': 0}]
    """
    lines = expand_path(path).read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _json_object(line)
        if row is not None:
            rows.append(row)
        elif number < len(lines):
            raise ValueError(f"{path}, line {number} is not a JSON object: {line[:60]!r}; repair or remove that line")
    return rows


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # also bytes that are not UTF-8
        return None
    return row if isinstance(row, dict) else None


def _finish_last_line(file: Any) -> None:
    """Remove a torn last line of a file that is open for appending; end one that lacks its line break only."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    content = file.read()
    start = content.rfind(b"\n") + 1
    if _json_object(content[start:]) is None:
        file.truncate(start)
    else:
        file.write(b"\n")


def make_jsonl_logger_factory(
    folder: str | Path, *, config: Mapping[str, Any] | None = None
) -> Callable[[int], JsonlLogger]:
    """Give a ``logger_factory`` for ``fit_multi_seed``: each seed writes ``<folder>/seed<k>.jsonl``.

    Examples
    --------
    >>> import tempfile
    >>> from deepSTRF.training.loggers import make_jsonl_logger_factory
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_jsonl_logger_factory(folder)(3).path.name
    'seed3.jsonl'
    """
    return functools.partial(_jsonl_logger_of_seed, folder=expand_path(folder, "folder"), config=config)


def _jsonl_logger_of_seed(seed: int, folder: Path, config: Mapping[str, Any] | None) -> JsonlLogger:
    return JsonlLogger(folder / f"seed{seed}.jsonl", seed, config)
