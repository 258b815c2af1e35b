"""Splits that are published with a recording: sounds for the test, and all others."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["published_split"]

_FOR_VALIDATION = 10


def published_split(for_test: Sequence[bool]) -> dict[str, tuple[int, ...]]:
    """Test on the published stimuli; every tenth of the others stops the training, the rest trains.

    Parameters
    ----------
    for_test : sequence of bool
        Of every stimulus.

    Examples
    --------
    >>> published_split([True] + [False] * 11)["val"]
    (10,)
    """
    others = [s for s, is_test in enumerate(for_test) if not is_test]
    val = tuple(others[_FOR_VALIDATION - 1 :: _FOR_VALIDATION])
    test = tuple(s for s, is_test in enumerate(for_test) if is_test)
    return {"train": tuple(s for s in others if s not in set(val)), "val": val, "test": test}
