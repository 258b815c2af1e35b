"""Names of stimuli and neurons, from dicts to metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from deepSTRF.checks import check_list, unknown_name

__all__ = ["by_stimulus", "described", "named_stimuli"]


def named_stimuli(stims: Any) -> tuple[list[Any], list[str] | None]:
    """Stimuli as a list, and their names where they came as a dict.

    Examples
    --------
    >>> named_stimuli({"rain": [1.0], "birds": [2.0]})
    ([[1.0], [2.0]], ['rain', 'birds'])
    """
    if isinstance(stims, Mapping):
        names = [str(name) for name in stims]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"two stimuli have the name {twice[0]!r}")
        return list(stims.values()), names
    return list(check_list("stims", stims, "arrays, one per stimulus, time last; or a dict of names and arrays")), None


def by_stimulus(name: str, values: Any, names: Sequence[str] | None) -> Any:
    """Bring a dict by name of the stimulus to the order of the stimuli; anything else stays as it is.

    Raises
    ------
    ValueError
        If a stimulus has no entry, a key is no stimulus, or stimuli have no names.

    Examples
    --------
    >>> by_stimulus("responses", {"birds": 2, "rain": 1}, ["rain", "birds"])
    [1, 2]
    """
    if not isinstance(values, Mapping):
        return values
    if names is None:
        raise ValueError(f"{name} is a dict by stimulus, so that stims must be one too, with the same keys")
    entries = {str(key): value for key, value in values.items()}
    for key in entries:
        if key not in names:
            raise ValueError(f"{name}: {unknown_name('stimulus', key, names)}")
    for key in names:
        if key not in entries:
            raise ValueError(f"{name} has no entry for the stimulus {key!r}")
    return [entries[key] for key in names]


def described(metadata: Any, values: Sequence[Any] | None, key: str, name: str) -> list[Any] | None:
    """Metadata with `values` under `key`; a data frame of metadata becomes a list of dicts.

    Parameters
    ----------
    metadata : sequence of dict, data frame or None
        What the user gave.
    values : sequence or None
        Names that came with the data.
    key : str
        Key for the names; metadata that has it already keeps its own.
    name : str
        Name of the argument, for messages.

    Examples
    --------
    >>> described([{"area": "A1"}], [7], "cell_id", "nrn_meta"), described(None, ["rain"], "name", "stim_meta")
    ([{'cell_id': 7, 'area': 'A1'}], [{'name': 'rain'}])
    """
    if hasattr(metadata, "to_dict") and hasattr(metadata, "columns"):
        metadata = metadata.to_dict("records")
    if values is None:
        return metadata
    if metadata is None:
        return [{key: value} for value in values]
    metadata = list(metadata)
    if len(metadata) != len(values):
        raise ValueError(f"{name} must have one entry for each of {len(values)} of them, got {len(metadata)}")
    return [
        {key: value, **entry} if isinstance(entry, Mapping) else entry
        for value, entry in zip(values, metadata, strict=True)
    ]
