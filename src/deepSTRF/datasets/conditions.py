"""Conditions on neurons and stimuli as text: ``area=A1``, ``snr>0.2``, ``type=song,speech``."""

from __future__ import annotations

import csv
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepSTRF.checks import describe_type, unknown_name
from deepSTRF.datasets.selection import EmptySelectionError

__all__ = ["Condition", "match_conditions", "parse_condition", "parse_conditions"]

_ORDER: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_OPERATORS = ("=", "!=", *_ORDER)
_EXAMPLES = "'area=A1', 'area=A1,AAF' or 'snr>0.2'"
_MOST_VALUES_SHOWN = 12
_ROUNDING = 1e-6  # numbers that were stored as float32 equal what the user types


@dataclass(frozen=True)
class Condition:
    """One condition on the entry of a neuron or a stimulus.

    Parameters
    ----------
    key : str
        Of the metadata, or a computed quality.
    operator : {"=", "!=", ">", ">=", "<", "<="}
        How its value is compared.
    values : tuple of str
        What with; several for ``=`` (any of them) and ``!=`` (none of them).
    """

    key: str
    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.key}{self.operator}{','.join(map(_quoted, self.values))}"

    def matches(self, value: Any) -> bool:
        """Whether a value fulfils the condition; a missing one (None, NaN, empty text) fulfils none.

        Examples
        --------
        >>> depth = parse_condition("depth>=300")
        >>> depth.matches(300), depth.matches("450"), depth.matches(float("nan")), depth.matches("deep")
        (True, True, False, False)
        """
        if is_missing(value):
            return False
        if self.operator in _ORDER:
            number = as_number(value)
            return number is not None and _ORDER[self.operator](number, float(self.values[0]))
        return any(_equal(value, wanted) for wanted in self.values) == (self.operator == "=")


def _quoted(value: str) -> str:
    """A value as it can be read again."""
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"') else value


def parse_condition(text: Any) -> Condition:
    """Read one condition.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it has no key, no operator or no value, or orders what is no number.

    Examples
    --------
    >>> parse_condition("area = A1, AAF")
    Condition(key='area', operator='=', values=('A1', 'AAF'))
    """
    if not isinstance(text, str):
        raise TypeError(f"a condition is a string such as {_EXAMPLES}, got {describe_type(text)}: {text!r}")
    found = re.search(r"[<>=!~]+", text)
    if found is None:
        raise ValueError(
            f"expected a condition such as {_EXAMPLES}, got {text!r}; on the command line put it in quotes, since the "
            "shell takes > and < for itself"
        )
    key, sign, rest = text[: found.start()].strip(), found.group(), text[found.end() :].strip()
    sign = "=" if sign == "==" else sign
    if sign not in _OPERATORS:
        raise ValueError(f"unknown operator {sign!r} in {text!r}; there are {' '.join(_OPERATORS)}")
    values = tuple(value.strip() for value in next(csv.reader([rest], skipinitialspace=True), []))
    if not key or not values or not all(values):
        missing = "a key before" if not key else "a value after"
        raise ValueError(f"{text!r} needs {missing} {sign!r}, as in {_EXAMPLES}")
    if any(value.casefold() == "nan" for value in values):
        raise ValueError(f"{text!r}: missing values fulfil no condition, so nothing can be compared with nan")
    if sign in _ORDER and (len(values) > 1 or as_number(values[0]) is None):
        raise ValueError(f"{text!r}: {sign} compares with one number, got {rest!r}; several values go with = or !=")
    return Condition(key, sign, values)


def parse_conditions(texts: Any, name: str) -> tuple[Condition, ...]:
    """Read one condition or several; `name` is what the argument is called, for messages.

    Raises as :func:`parse_condition`.

    Examples
    --------
    >>> [str(condition) for condition in parse_conditions(["area == A1", "snr>0.2"], "neurons")]
    ['area=A1', 'snr>0.2']
    """
    if isinstance(texts, str):
        texts = [texts]
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"{name} must be conditions such as {_EXAMPLES}, got {describe_type(texts)}: {texts!r}")
    return tuple(parse_condition(text) for text in texts)


def match_conditions(
    conditions: Sequence[Condition],
    entries: Sequence[Mapping[Any, Any]],
    computed: Mapping[str, Callable[[], Sequence[Any]]],
    kind: str,
) -> list[int]:
    """Indices of the entries that fulfil all conditions.

    Parameters
    ----------
    conditions : sequence of Condition
        All of them must hold.
    entries : sequence of dict
        The metadata of each neuron or stimulus.
    computed : dict of str to callable
        What can be computed: name to ``() -> values``, one per entry. A key of the metadata takes precedence.
    kind : {"neuron", "stimulus"}
        What the entries are, for messages.

    Returns
    -------
    list of int
        At least one.

    Raises
    ------
    ValueError
        If a key is unknown, or an order is asked of values that are no numbers.
    EmptySelectionError
        If nothing matches; the message says how many each condition matches.

    Examples
    --------
    >>> cells = [{"area": "A1", "depth": 300}, {"area": "AAF"}, {"area": "A1", "depth": 700}]
    >>> match_conditions(parse_conditions(["area=A1", "depth<500"], "neurons"), cells, {}, "neuron")
    [0]
    >>> match_conditions(parse_conditions("area=MGB", "neurons"), cells, {}, "neuron")
    Traceback (most recent call last):
        ...
    deepSTRF.datasets.selection.EmptySelectionError: no neuron matches area=MGB; values of 'area': 'A1' (2), 'AAF' (1)
    """
    known = list(dict.fromkeys(str(key) for entry in entries for key in entry))
    known += [name for name in computed if name not in known]
    matched, values = [], {}
    for condition in conditions:
        if condition.key not in known:
            raise ValueError(unknown_name(f"key of {_PLURAL[kind]}", condition.key, known))
        if condition.key not in values:
            values[condition.key] = _values_of(condition.key, entries, computed)
        own = values[condition.key]
        present = [value for value in own if not is_missing(value)]
        if condition.operator in _ORDER and present and all(as_number(value) is None for value in present):
            raise ValueError(f"{condition}: {condition.operator} compares numbers, but {_describe(condition.key, own)}")
        matched.append([condition.matches(value) for value in own])
    chosen = [index for index in range(len(entries)) if all(row[index] for row in matched)]
    if chosen:
        return chosen
    raise EmptySelectionError(_why_none(conditions, matched, values, kind, len(entries)))


_PLURAL = {"neuron": "neurons", "stimulus": "stimuli"}


def _values_of(
    key: str, entries: Sequence[Mapping[Any, Any]], computed: Mapping[str, Callable[[], Sequence[Any]]]
) -> list[Any]:
    rows = [{str(name): value for name, value in entry.items()} for entry in entries]
    if any(key in row for row in rows):
        return [row.get(key) for row in rows]
    return list(computed[key]())


def _why_none(
    conditions: Sequence[Condition],
    matched: Sequence[Sequence[bool]],
    values: Mapping[str, Sequence[Any]],
    kind: str,
    number: int,
) -> str:
    """How many each condition matches, and what there is where it matches none."""
    empty = [condition for condition, row in zip(conditions, matched, strict=True) if not any(row)]
    seen = "; ".join(dict.fromkeys(_describe(condition.key, values[condition.key]) for condition in empty))
    if len(conditions) == 1:
        return f"no {kind} matches {conditions[0]}; {seen}"
    counts = ", ".join(f"{condition} {sum(row)}" for condition, row in zip(conditions, matched, strict=True))
    return f"no {kind} matches all conditions; of {number} {_PLURAL[kind]} match: {counts}{'; ' * bool(seen)}{seen}"


def _describe(key: str, values: Sequence[Any]) -> str:
    """The range of numbers, or the values with how often each occurs."""
    present = [value for value in values if not is_missing(value)]
    if not present:
        return f"{key!r} is undefined for all"
    numbers = [number for number in map(as_number, present) if number is not None]
    few = len(set(numbers)) <= _MOST_VALUES_SHOWN // 2 and all(number.is_integer() for number in numbers)
    if len(numbers) == len(present) and not few:
        missing = len(values) - len(present)
        return f"{key!r} lies between {min(numbers):.4g} and {max(numbers):.4g}" + (
            f", undefined for {missing}" if missing else ""
        )
    names = [repr(str(value)) if as_number(value) is None else f"{value}" for value in present]
    counts = {name: names.count(name) for name in dict.fromkeys(names[:1000])}
    shown = [f"{name} ({count})" for name, count in list(counts.items())[:_MOST_VALUES_SHOWN]]
    return f"values of {key!r}: {', '.join(shown)}{', ...' if len(counts) > len(shown) else ''}"


def is_missing(value: Any) -> bool:
    """Whether a value is missing: None, NaN (also that of pandas) or empty text.

    Examples
    --------
    >>> [is_missing(value) for value in (None, float("nan"), "", 0, "A1")]
    [True, True, True, False, False]
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which compare with nothing
        return True
    number = value if isinstance(value, float) else _item(value)
    return isinstance(number, float) and math.isnan(number)


def as_number(value: Any) -> float | None:
    """A number, or text that reads as one, as a float; None for anything else.

    Examples
    --------
    >>> as_number(3), as_number("0.5"), as_number("A1"), as_number([1, 2])
    (3.0, 0.5, None, None)
    """
    value = _item(value)
    if not isinstance(value, bool | int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _item(value: Any) -> Any:
    """The Python value of a scalar of NumPy or torch."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _equal(value: Any, wanted: str) -> bool:
    value = _item(value)
    if isinstance(value, bool) and wanted.casefold() in ("true", "false"):
        return str(value).casefold() == wanted.casefold()
    if str(value).strip() == wanted:
        return True
    one, other = as_number(value), as_number(wanted)
    if one is None or other is None:
        return False
    if one.is_integer() and other.is_integer():  # cell ids may be long
        return one == other
    return math.isclose(one, other, rel_tol=_ROUNDING)
