"""Tables as text: metadata whose types are inferred and come back exactly, and long lists of spikes."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from deepSTRF.checks import describe_type, unknown_name
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.metadata import as_dict

__all__ = [
    "MetadataTable",
    "SpikeTable",
    "delimiter_of",
    "format_cell",
    "line_with",
    "metadata_text",
    "opened_table",
    "parse_cell",
    "read_metadata",
    "read_spikes",
]

_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?")  # "007" is an identifier
_WORDS = {"true": True, "false": False, "nan": float("nan")}
_SPIKE_COLUMNS = ("neuron", "stimulus", "repeat", "time")
_BYTES_AT_ONCE = 1_000_000


def parse_cell(text: str) -> Any:
    """Read a cell of a table: a number, true or false, JSON, or else the text itself.

    Examples
    --------
    >>> [parse_cell(text) for text in ("3", "0.5", "True", "A1", "007", "[1, 2]", '"3"')]
    [3, 0.5, True, 'A1', '007', [1, 2], '3']
    """
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.fullmatch(text) and any(letter.isdigit() for letter in text):
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    if text[:1] in ("[", "{", '"') or text in ("null", "Infinity", "-Infinity"):
        try:
            return json.loads(text)
        except ValueError:  # a text that begins like JSON
            return text
    return text


def format_cell(value: Any) -> str:
    """Write a value as a cell that :func:`parse_cell` reads as the same value; tuples and arrays come back as lists.

    Raises
    ------
    TypeError
        If the value can't be written as JSON.

    Examples
    --------
    >>> format_cell(0.1), format_cell("A1"), format_cell("3"), format_cell(None)
    ('0.1', 'A1', '"3"', 'null')
    """
    if isinstance(value, str):
        plain = value and value.isprintable() and parse_cell(value) == value
        return value if plain else json.dumps(value)
    return json.dumps(value, default=_as_list)


def _as_list(value: Any) -> Any:
    """Arrays, tensors and their scalars, for JSON."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"{describe_type(value)} is nothing that JSON can hold")
    return value.tolist()


class MetadataTable(NamedTuple):
    """The entries of ``neurons.csv`` or ``stimuli.csv``.

    Parameters
    ----------
    ids : list of str
        What the other files call each entry, as it is written.
    entries : list of dict
        Metadata; an empty cell is no key.
    lines : list of int
        Where in the file each entry is.
    """

    ids: list[str]
    entries: list[dict[str, Any]]
    lines: list[int]


def read_metadata(path: Path, key: str, name: str) -> MetadataTable:
    """Read a table with one row per neuron or stimulus.

    Parameters
    ----------
    path : Path
        A CSV file with a header.
    key : str
        The column that holds the ids; the metadata hold them under `name`, unless they have a column of that name.
    name : str
        The key of the metadata; its column serves where there is no column `key`.

    Raises
    ------
    RecordingError
        If the column or an id is missing, an id comes twice, or a row has more cells than the header.
    """
    with opened_table(path, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter_of(file))
        header = _header(reader, path)
        column = key if key in header else name
        if column not in header:
            raise RecordingError(
                f"{path} needs a column {key!r} with the names of the {key}s; its columns: {', '.join(header)}"
            )
        place = header.index(column)
        others = [k for k in range(len(header)) if k != place]
        twice = _first_twice([header[k] for k in others])
        if twice is not None:
            raise RecordingError(f"{path} has two columns {header[others[twice]]!r}; rename one")
        named = any(header[k] == name for k in others)
        table = MetadataTable([], [], [])
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(header):
                raise RecordingError(
                    f"{path}, line {reader.line_num}: {len(row)} cells, but the header has {len(header)} columns; "
                    "put text that has commas between double quotes"
                )
            cells = [*row, *[""] * (len(header) - len(row))]
            if not (own := cells[place].strip()):
                raise RecordingError(f"{path}, line {reader.line_num}: the cell {column!r} is empty; expected a name")
            entry = {} if named else {name: own}
            entry |= {header[k]: parse_cell(cells[k]) for k in others if cells[k].strip()}
            table.ids.append(own)
            table.entries.append(entry)
            table.lines.append(reader.line_num)
    twice = _first_twice(table.ids)
    if twice is not None:
        first = table.lines[table.ids.index(table.ids[twice])]
        raise RecordingError(
            f"{path}, line {table.lines[twice]}: {key} {table.ids[twice]!r} is there already, in line {first}; "
            f"every {key} has one row and a name of its own"
        )
    return table


def metadata_text(ids: Sequence[str], metadata: Sequence[Any], key: str, name: str) -> str:
    """Write what :func:`read_metadata` reads as the same ids and metadata.

    Raises
    ------
    TypeError
        If a value is nothing that JSON can hold.
    """
    entries: list[Mapping[Any, Any]] = [as_dict(entry) for entry in metadata]
    columns = list(dict.fromkeys(str(k) for entry in entries for k in entry))
    if all(type(entry.get(name)) is str and entry[name] == own for own, entry in zip(ids, entries, strict=True)):
        columns.remove(name)
    elif name not in columns:
        columns.insert(0, name)  # empty: there is no such key
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([key, *(name if _column_name(name) == name else json.dumps(name) for name in columns)])
    for index, (own, entry) in enumerate(zip(ids, entries, strict=True)):
        texts = {str(k): value for k, value in entry.items()}
        cells = [own]
        for column in columns:
            try:
                cells.append(format_cell(texts[column]) if column in texts else "")
            except TypeError as error:
                raise TypeError(
                    f"{column!r} of {key} {index} can't be saved in a table: {error}; make it a number, a text, or a "
                    "list or dict of them"
                ) from error
        writer.writerow(cells)
    return out.getvalue()


class SpikeTable(NamedTuple):
    """The lines of ``spikes.csv``.

    Parameters
    ----------
    neurons, stimuli : list of str
        Names, in the order in which they come first.
    neuron, stimulus, repeat : ndarray of int, shape (K,)
        Index of the neuron and of the stimulus, and the number of the repeat, of each line.
    time : ndarray of float, shape (K,)
        As written; NaN in a line without a time, which says that the trial was recorded.
    """

    neurons: list[str]
    stimuli: list[str]
    neuron: np.ndarray
    stimulus: np.ndarray
    repeat: np.ndarray
    time: np.ndarray


def read_spikes(path: Path) -> SpikeTable:
    """Read a table with one spike per line: neuron, stimulus, repeat, time, in any order of columns.

    Raises
    ------
    RecordingError
        If a column is missing, or a line has no neuron or stimulus, no whole number as its repeat or no number as its
        time; the message names the line.
    """
    neurons: dict[str, int] = {}
    stimuli: dict[str, int] = {}
    parts: list[tuple[np.ndarray, ...]] = []
    with opened_table(path) as file:
        delimiter = delimiter_of(file)
        header = _header(csv.reader([file.readline()], delimiter=delimiter), path)
        for name in _SPIKE_COLUMNS:
            if name not in header:
                raise RecordingError(
                    f"{path} needs the columns {', '.join(_SPIKE_COLUMNS)}: {unknown_name('column', name, header)}"
                )
        places = [header.index(name) for name in _SPIKE_COLUMNS]
        line = 2
        while lines := file.readlines(_BYTES_AT_ONCE):
            columns = _split_columns(lines, len(header), delimiter)
            part = None if columns is None else _converted([columns[k] for k in places], neurons, stimuli)
            parts.append(part or _checked(csv.reader(lines, delimiter=delimiter), header, neurons, stimuli, path, line))
            line += len(lines)
    if not sum(len(part[0]) for part in parts):
        raise RecordingError(f"{path} has no spikes: expected a line for each, below the header")
    neuron, stimulus, repeat, time = (np.concatenate(part) for part in zip(*parts, strict=True))
    return SpikeTable(list(neurons), list(stimuli), neuron, stimulus, repeat, time)


def _split_columns(lines: list[str], n_columns: int, delimiter: str) -> list[list[str]] | None:
    """The columns of lines without quotes, all of the same number of cells; None if they are not.

    Ten times as fast as the csv module, because it makes no list per line.
    """
    text = "".join(lines)
    if '"' in text or set(map(str.count, lines, itertools.repeat(delimiter))) != {n_columns - 1}:
        return None
    cells = text.rstrip("\n").replace("\n", delimiter).split(delimiter)
    return [cells[k::n_columns] for k in range(n_columns)]


def _converted(
    columns: list[list[str]], neurons: dict[str, int], stimuli: dict[str, int]
) -> tuple[np.ndarray, ...] | None:
    """The columns as arrays; None if a cell is not what it should be. New names are added."""
    times = columns[3]
    n_empty = times.count("")
    try:
        repeat = np.fromiter(map(int, columns[2]), np.int32, len(times))
        time = np.fromiter(map(float, [t or "nan" for t in times] if n_empty else times), np.float64, len(times))
    except (ValueError, OverflowError):
        return None
    if len(time) - np.isfinite(time).sum() != n_empty or (repeat < 0).any():
        return None
    names = dict.fromkeys(columns[0]), dict.fromkeys(columns[1])
    if not all(name.strip() for own in names for name in own):
        return None
    return _indices(columns[0], names[0], neurons), _indices(columns[1], names[1], stimuli), repeat, time


def _checked(
    rows: Any, header: list[str], neurons: dict[str, int], stimuli: dict[str, int], path: Path, line: int
) -> tuple[np.ndarray, ...]:
    """The same, row by row, so that the first line that is wrong can be named."""
    checked = [_checked_line(row, header, f"{path}, line {line + k}") for k, row in enumerate(rows) if any(row)]
    columns = list(zip(*checked, strict=True)) or [(), (), (), ()]
    return (
        _indices(columns[0], dict.fromkeys(columns[0]), neurons),
        _indices(columns[1], dict.fromkeys(columns[1]), stimuli),
        np.array(columns[2], dtype=np.int32),
        np.array(columns[3], dtype=np.float64),
    )


def _indices(names: Sequence[str], different: Iterable[str], known: dict[str, int]) -> np.ndarray:
    """Index of each name, without spaces around it; those that are not `known` are added. `different`: each once."""
    index = {name: known.setdefault(name.strip(), len(known)) for name in different}
    return np.fromiter(map(index.__getitem__, names), np.int32, len(names))


def _checked_line(row: list[str], header: list[str], where: str) -> tuple[str, str, int, float]:
    places = [header.index(name) for name in _SPIKE_COLUMNS]
    if len(row) <= max(places):
        raise RecordingError(f"{where}: {len(row)} cells, expected {max(places) + 1}: {','.join(row)!r}")
    if any(cell.strip() for cell in row[len(header) :]):  # 0,031 would be the time 0
        raise RecordingError(
            f"{where}: {len(row)} cells, but the header has {len(header)} columns: {','.join(row)!r}; write decimals "
            "with a point, not a comma, and put text that has commas between double quotes"
        )
    neuron, stimulus, repeat, time = (row[place].strip() for place in places)
    for name, text in (("neuron", neuron), ("stimulus", stimulus)):
        if not text:
            raise RecordingError(f"{where}: the cell {name!r} is empty; expected a name")
    try:
        number = float(repeat)
        if number != int(number) or not 0 <= number < 2**31:
            raise ValueError
    except (ValueError, OverflowError):
        raise RecordingError(f"{where}: repeat must be the number of the repeat, 1, 2, 3 ..., got {repeat!r}") from None
    if not time:
        return neuron, stimulus, int(number), float("nan")
    try:
        moment = float(time)
    except ValueError:
        comma = " (decimals with a point, not a comma)" if re.fullmatch(r"-?\d+,\d+", time) else ""
        raise RecordingError(f"{where}: time must be a number{comma}, got {time!r}") from None
    if not np.isfinite(moment):
        raise RecordingError(
            f"{where}: time must be a finite number, got {time!r}; leave it empty for a trial without a spike"
        )
    return neuron, stimulus, int(number), moment


def line_with(path: Path, column: str, name: str) -> int:
    """Number of the first line of ``spikes.csv`` that has `name` in `column`; for messages."""
    with opened_table(path) as file:
        reader = csv.reader(file, delimiter=delimiter_of(file))
        place = _header(reader, path).index(column)
        return next(reader.line_num for row in reader if len(row) > place and row[place].strip() == name)


@contextlib.contextmanager
def opened_table(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Open a table as spreadsheets write it."""
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:  # spreadsheets put a mark at the beginning
            yield file
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is not a text in UTF-8 ({error}); save it as CSV UTF-8") from error


def delimiter_of(file: TextIO) -> str:
    """What separates the names in the header; spreadsheets of some languages write semicolons."""
    first = file.readline()
    file.seek(0)
    return max(",;\t", key=first.count)


def _header(reader: Any, path: Path) -> list[str]:
    header = [_column_name(name) for name in next(reader, [])]
    if not any(header):
        raise RecordingError(f"{path} is empty: expected a first line with the names of the columns")
    return header


def _column_name(text: str) -> str:
    """Read the name of a column; one with spaces at its ends was written as JSON."""
    text = text.strip()
    value = parse_cell(text) if text[:1] == '"' else text
    return value if isinstance(value, str) else text


def _first_twice(names: Sequence[str]) -> int | None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            return index
        seen.add(name)
    return None
