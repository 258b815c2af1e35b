"""``deepstrf datasets DATASET``: what is in one recording."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from deepSTRF.cli.report import card_entry
from deepSTRF.datasets.conditions import as_number, is_missing
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.registry import get_dataset, get_dataset_card
from deepSTRF.runs.data_source import default_split_of, kind_of_data, load_dataset, options_to_look, place_of

__all__ = ["describe_dataset"]

_MOST_VALUES = 6


def describe_dataset(dataset: str, *, download: bool = False, **options: Any) -> dict[str, Any]:
    """What there is to know before a fit: sizes, bins, the split, and the keys that neurons can be selected by.

    Parameters
    ----------
    dataset : str
        As ``deepstrf fit`` takes it. Of a registered one that needs files, without ``data``, only the card.
    download : bool
        Fetch the files of a public recording that are not there.
    **options : dict
        ``data``, ``dt_ms`` and ``read`` of :class:`deepSTRF.runs.FitOptions`.
    """
    asked = options_to_look(dataset, **options)
    kind = kind_of_data(dataset)
    needs_files = kind == "class" and "path" in inspect.signature(get_dataset(dataset)).parameters
    if needs_files and asked.data is None and asked.read is None and not download:
        return _card(dataset)
    data = load_dataset(asked, download=download)
    entry: dict[str, Any] = {"name": dataset, "summary": f"a recording in a {'file' if kind == 'nwb' else 'folder'}"}
    if kind == "class":
        entry = _card(dataset)
    blocks = [block for block in data._packed().blocks() if block.n_bins]
    repeats = [int(number) for block in blocks for number in (block.repeats.min(), block.repeats.max())]
    seconds = sum(block.n_bins for block in blocks) * data.dt / 1000
    entry |= {key: value for key, value in getattr(data, "about", {}).items() if value}
    entry |= {
        "path": data.path if download else place_of(asked)["path"],
        "neurons": data.N_neurons,
        "stimuli": f"{data.get_S()}, {_duration(seconds)}, of shape {_shape(data)}",
        "repeats": str(repeats[0]) if len(set(repeats)) == 1 else f"{min(repeats)} to {max(repeats)}",
        "bins": f"{data.dt:g} ms",
        "split": default_split_of(data, asked),
        "splits": ", ".join(data.protocols),
        "of neurons": _keys(data.nrn_meta),
        "of stimuli": _keys(data.stim_meta),
    }
    return {key: value for key, value in entry.items() if value not in (None, "")}


def _card(dataset: str) -> dict[str, Any]:
    """What is known without loading it."""
    return {key: value for key, value in card_entry(get_dataset_card(dataset)).items() if value} | {"name": dataset}


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _shape(data: Any) -> str:
    channels, *sizes, _ = data.stims[0].shape
    return f"({', '.join([*map(str, [channels, *sizes]), 'T'])})"


def _keys(metadata: Sequence[Any]) -> str:
    """The keys of metadata, with their values where there are few."""
    rows = [{str(key): value for key, value in as_dict(meta).items()} for meta in metadata]
    described = []
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row[key] for row in rows if not is_missing(row.get(key))]
        numbers = [number for number in map(as_number, values) if number is not None]
        names = list(dict.fromkeys(map(str, values)))
        few = len(names) <= _MOST_VALUES and all(number.is_integer() for number in numbers)
        if values and len(numbers) == len(values) and len(names) > 1 and not few:
            described.append(f"{key} ({min(numbers):.4g} to {max(numbers):.4g})")
        elif len(names) > _MOST_VALUES:
            described.append(f"{key} ({', '.join(names[:2])}, ... {len(names)} values)")
        else:
            described.append(f"{key} ({', '.join(names) or 'nothing'})")
    return ", ".join(described)
