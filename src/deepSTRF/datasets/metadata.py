"""Metadata of stimuli and neurons: one entry each, of any type. Dicts can be searched by key."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from deepSTRF.checks import describe_type, first_few

__all__ = ["as_dict", "copy_metadata", "describe_metadata", "match_attribute", "match_predicate"]

_MOST_VALUES_SHOWN = 12


def copy_metadata(metadata: Sequence[Any], **added: Any) -> list[Any]:
    """Copy the dicts among the entries, with keys `added`; other entries stay as they are.

    Examples
    --------
    >>> copy_metadata([{"area": "A1"}, ("unit", 3)], dataset="left")
    [{'area': 'A1', 'dataset': 'left'}, ('unit', 3)]
    """
    return [{**entry, **added} if isinstance(entry, Mapping) else entry for entry in metadata]


def as_dict(entry: Any) -> Mapping[Any, Any]:
    """Return an entry as a dict that keys can be added to; of another type it is the value of ``"metadata"``.

    Examples
    --------
    >>> as_dict({"area": "A1"}), as_dict(("unit", 3))
    ({'area': 'A1'}, {'metadata': ('unit', 3)})
    """
    return entry if isinstance(entry, Mapping) else {"metadata": entry}


def match_attribute(metadata: Sequence[Any], name: str, value: Any, kind: str) -> list[int]:
    """Indices of the entries with ``entry[name] == value``; entries without the key don't match.

    Parameters
    ----------
    metadata : sequence of dict
        The entries.
    name : str
        The key.
    value : object
        The wanted value.
    kind : str
        Name of the attribute that holds the metadata, for the message.

    Returns
    -------
    list of int

    Raises
    ------
    TypeError
        If an entry is not a dict, `name` cannot be a key, or values cannot be compared with `value`.

    Examples
    --------
    >>> match_attribute([{"area": "A1"}, {"area": "AAF"}, {}], "area", "AAF", "nrn_meta")
    [1]
    """
    if not isinstance(name, Hashable):
        raise TypeError(f"the name of a metadata key must be a string, got {describe_type(name)}: {name!r}")
    matching = []
    for index, entry in enumerate(metadata):
        if not isinstance(entry, Mapping):
            raise TypeError(
                f"{kind}[{index}] must be a dict to be selected by attribute, got {describe_type(entry)}; "
                "select with a predicate instead"
            )
        try:
            if name in entry and entry[name] == value:
                matching.append(index)
        except (ValueError, RuntimeError) as error:  # arrays compare number by number
            raise TypeError(
                f"the values of {name!r} can't be compared with {value!r} ({error}); select with a predicate instead"
            ) from error
    return matching


def match_predicate(metadata: Sequence[Any], predicate: Callable[[Any], Any]) -> list[int]:
    """Indices of the entries for which ``predicate(entry)`` is true; a KeyError, IndexError or TypeError is false.

    Raises
    ------
    TypeError
        If `predicate` is not a function.
    """
    if not callable(predicate):  # or the TypeError of calling it would count as "no match"
        raise TypeError(f"the predicate must be a function of a metadata entry, got {describe_type(predicate)}")
    matching = []
    for index, entry in enumerate(metadata):
        try:
            if predicate(entry):
                matching.append(index)
        except (LookupError, TypeError):  # documented: metadata without the key, or None, don't match
            continue
    return matching


def describe_metadata(metadata: Sequence[Any], name: str | None = None) -> str:
    """Say which keys there are, or which values the key `name` has, for the message that nothing matched.

    Examples
    --------
    >>> describe_metadata([{"area": "A1"}, {"area": "AAF"}], "area")
    "values of 'area': 'A1', 'AAF'"
    """
    dicts = [entry for entry in metadata if isinstance(entry, Mapping)]
    keys = f"metadata keys: {', '.join(sorted({str(key) for entry in dicts for key in entry})) or 'none'}"
    if name is None:
        return keys
    values = list(dict.fromkeys(repr(entry[name]) for entry in dicts if name in entry))
    if not values:
        return f"no metadata has the key {name!r}; {keys}"
    return f"values of {name!r}: {first_few(values, _MOST_VALUES_SHOWN)}"
