"""Dicts of which some values are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

from torch import Tensor

__all__ = ["LazyDict", "Pending", "stored"]


class Pending:
    """A value that is made when it is asked for, once.

    Parameters
    ----------
    make : callable
        ``() -> value``.
    source : object
        What it is made from, for those who need no more than that; None once it was made, because it may be changed.

    Examples
    --------
    >>> answer = Pending(lambda: print("thinking") or 42)
    >>> answer.value(), answer.value()
    thinking
    (42, 42)
    """

    __slots__ = ("_make", "_value", "_version", "source")

    def __init__(self, make: Callable[[], Any], source: Any = None) -> None:
        self.source = source
        self._make: Callable[[], Any] | None = make
        self._value: Any = None
        self._version: int | None = None

    def value(self) -> Any:
        """Make the value, or give what was made before."""
        if self._make is not None:
            self._value = self._make()
            self._make = self.source = None
            self._version = _version(self._value)
        return self._value

    def is_untouched(self) -> bool:
        """Whether nothing was made yet, or torch has not written into it since."""
        return self._make is not None or _version(self._value) == self._version

    def gave(self, value: Any) -> bool:
        """Whether this is the value that was made, not written to by torch since."""
        return self._make is None and value is self._value and self.is_untouched()

    def __repr__(self) -> str:
        return "<made when it is asked for>"


class LazyDict(dict[str, Any]):
    """A dict whose :class:`Pending` values are made when they are read.

    It is used like any dict. Copies share what is pending, so that it is made once for all of them. Pickling, and with
    it the way from a worker process of a DataLoader, makes everything.

    Parameters
    ----------
    entries : mapping
        Values, some of them :class:`Pending`.

    Examples
    --------
    >>> batch = LazyDict({"psth": 1.0, "responses": Pending(lambda: print("collating") or [1.0, 1.0])})
    >>> list(batch), batch["psth"]
    (['psth', 'responses'], 1.0)
    >>> batch
    {'psth': 1.0, 'responses': <made when it is asked for>}
    >>> batch["responses"]
    collating
    [1.0, 1.0]
    >>> {**batch, "psth": 2.0}
    {'psth': 2.0, 'responses': [1.0, 1.0]}
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        dict.__init__(self)
        self._origins: dict[str, Pending] = {}
        self._take(entries)

    def _take(self, entries: Mapping[str, Any]) -> None:
        for key in entries:
            self[key] = stored(entries, key)
        if isinstance(entries, LazyDict):
            self._origins |= entries._origins

    def __getitem__(self, key: str) -> Any:
        value = dict.__getitem__(self, key)
        if isinstance(value, Pending):
            self._origins[key] = value
            value = self[key] = value.value()
        return value

    def is_as_made(self, key: str) -> bool:
        """Whether a value is what it was or will be made as: nobody assigned another one, or wrote into it by torch.

        Examples
        --------
        >>> batch = LazyDict({"responses": Pending(lambda: [1.0, 1.0])})
        >>> batch.is_as_made("responses"), batch["responses"], batch.is_as_made("responses")
        (True, [1.0, 1.0], True)
        >>> batch["responses"] = [2.0, 2.0]
        >>> batch.is_as_made("responses")
        False
        """
        value = stored(self, key)
        if isinstance(value, Pending):
            return value.is_untouched()
        return key in self._origins and self._origins[key].gave(value)

    # Those of a mapping read every value by __getitem__, which dict's own do not.
    get, items, values, __eq__ = Mapping.get, Mapping.items, Mapping.values, Mapping.__eq__  # type: ignore[assignment]
    pop, popitem, setdefault = MutableMapping.pop, MutableMapping.popitem, MutableMapping.setdefault
    __hash__ = None

    def __iter__(self) -> Iterator[str]:  # with it, {**lazy} and dict(lazy) read values by __getitem__ too
        return dict.__iter__(self)

    def __or__(self, other: Mapping[str, Any]) -> LazyDict:  # type: ignore[override]
        return self.replaced(other)

    def __repr__(self) -> str:
        return repr({key: stored(self, key) for key in self})

    def __reduce__(self) -> tuple[Any, ...]:
        values = {**self}
        return _restored, (values, [key for key in values if self.is_as_made(key)])

    def __copy__(self) -> LazyDict:
        return LazyDict(self)

    copy = __copy__

    def replaced(self, entries: Mapping[str, Any]) -> LazyDict:
        """A copy with other values for some keys; nothing is made.

        Examples
        --------
        >>> LazyDict({"a": 1, "b": Pending(list)}).replaced({"a": 2})
        {'a': 2, 'b': <made when it is asked for>}
        """
        twin = LazyDict(self)
        twin._take(entries)
        return twin

    def mapped(self, function: Callable[[Any], Any]) -> LazyDict:
        """The same keys with a function of each value, which is called when that is asked for.

        Examples
        --------
        >>> LazyDict({"a": 1, "b": Pending(lambda: 2)}).mapped(lambda value: 10 * value)["b"]
        20
        """
        return LazyDict({key: Pending(lambda key=key: function(self[key])) for key in self})  # type: ignore[misc]

    def pin_memory(self) -> LazyDict:
        """The same with tensors in pinned memory, as a DataLoader with ``pin_memory=True`` asks for.

        What is pending is pinned when it is made.
        """
        pinned = self.mapped(lambda value: value.pin_memory() if isinstance(value, Tensor) else value)
        for key in self:
            if not isinstance(stored(self, key), Pending):
                pinned[key]
        return pinned


def _version(value: Any) -> int | None:
    """How often torch wrote into a tensor; None where it does not count."""
    return value._version if isinstance(value, Tensor) and not value.is_inference() else None


def _restored(values: dict[str, Any], as_made: list[str]) -> LazyDict:
    """The dict that was pickled: what was as it was made is so again."""
    return LazyDict({key: Pending(partial(values.get, key)) if key in as_made else values[key] for key in values})


def stored(entries: Mapping[str, Any], key: str) -> Any:
    """A value of a mapping as it is kept: not made if it is pending.

    Examples
    --------
    >>> stored(LazyDict({"a": Pending(list)}), "a")
    <made when it is asked for>
    """
    return dict.__getitem__(entries, key) if isinstance(entries, LazyDict) else entries[key]
