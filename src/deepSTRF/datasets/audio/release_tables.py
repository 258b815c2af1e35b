"""The texts of public recordings, and their tables: CSV files with a header."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from deepSTRF.datasets.recording_error import RecordingError

__all__ = ["read_rows", "read_text"]


def read_text(file: Path) -> str:
    """Content of a text file in UTF-8, with or without a byte order mark.

    Raises
    ------
    RecordingError
        If it is no such text.
    """
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError(f"{file} is no text ({error}); download the recording again") from error


def read_rows(file: Path, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """Rows of a table by the names of its columns; what is missing at the end of a row is ''.

    Raises
    ------
    RecordingError
        If it can't be read, or lacks one of `columns`.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(lines)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{file} is no table ({error}); download the recording again") from error
    if columns and not (rows and set(columns) <= set(rows[0])):
        got = list(rows[0]) if rows else "no row"
        raise RecordingError(f"{file}: expected the columns {sorted(columns)}, got {got}; download the recording again")
    return rows
