"""Whether time is the last axis of stimuli: responses say how long these were."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

__all__ = ["check_time_axis", "misplaced_time", "misplaced_time_of_spikes"]

_SLACK_BINS = 2.0
_SLACK = 0.02
_FEWEST_BINS = 10
_REACHED = 0.9  # part of a stimulus that the last of all spikes reaches, where there are more than a few
_FEWEST_SPIKES = 20

Shape = Sequence[int]


def check_time_axis(shapes: Sequence[Shape], bins: Sequence[float | None], names: Sequence[str] | None = None) -> None:
    """Raise ValueError if another axis of the stimuli than the last one is as long as all responses.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of each stimulus.
    bins : sequence of float or None
        How many bins the responses to each last; None where it is not known.
    names : sequence of str, optional
        Names of the stimuli.

    Examples
    --------
    >>> check_time_axis([(34, 200), (34, 120)], [200, 120])
    >>> check_time_axis([(200, 34), (120, 34)], [200, 120])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: time must be the last axis of stimuli, and seems to be the first: stimulus 0 has shape (200, 34), ...
    """
    if text := misplaced_time(shapes, bins, names):
        raise ValueError(text)


def misplaced_time(
    shapes: Sequence[Shape], bins: Sequence[float | None], names: Sequence[str] | None = None
) -> str | None:
    """What :func:`check_time_axis` says; None where nothing is wrong, or no axis fits all responses."""

    def fits(size: int, own: float) -> bool:
        return abs(size - own) <= max(_SLACK_BINS, _SLACK * own)

    # Of a few bins, and of axes with one entry, anything could be said.
    known = [(s, own) for s, own in enumerate(bins) if own is not None and _FEWEST_BINS <= own < math.inf]
    if not known or any(fits(shapes[s][-1], own) for s, own in known if len(shapes[s])):
        return None
    return _said(shapes, known, fits, names, "the responses to it last {:g} bins")


def misplaced_time_of_spikes(
    shapes: Sequence[Shape],
    last: Sequence[float],
    n_outside: int,
    n_spikes: int,
    names: Sequence[str] | None = None,
    after: int = 0,
) -> str | None:
    """As :func:`misplaced_time`, going by the last spike of each stimulus.

    Parameters
    ----------
    shapes, names
        As there.
    last : sequence of float
        Bin of the last spike since each stimulus began; not finite where there is no spike.
    n_outside, n_spikes : int
        How many spikes come after the stimuli, as they are, and how many there are.
    after : int
        Bins after the stimulus that belong to the response.

    Examples
    --------
    >>> misplaced_time_of_spikes([(34, 200)], [230.0], 10, 100) is None  # recorded longer than the stimulus
    True
    >>> misplaced_time_of_spikes([(200, 34)], [198.0], 80, 100).split(":")[0]
    'time must be the last axis of stimuli, and seems to be the first'
    """
    known = [(s, own - after) for s, own in enumerate(last) if math.isfinite(own)]
    if n_spikes < _FEWEST_SPIKES or not known:
        return None

    def fits(size: int, own: float) -> bool:
        return own <= size + 1

    def is_reached(axis: int) -> bool:
        """All stimuli end after their spikes, and close to the last of them."""
        sizes = [(shapes[s][axis], own) for s, own in known]
        expected = n_spikes * (1 - sum(shapes[s][-1] / shapes[s][axis] for s, _ in known) / len(known))
        return max(own / size for size, own in sizes) >= _REACHED and n_outside >= expected / 2

    if all(len(shapes[s]) and fits(shapes[s][-1], own) for s, own in known):
        return None
    text = _said(shapes, known, fits, names, "the spikes of its trials go on for {:.0f} bins", is_reached)
    return text and f"{text}. If time is last already, leave out the spikes after the stimulus"


def _said(
    shapes: Sequence[Shape],
    known: Sequence[tuple[int, float]],
    fits: Callable[[int, float], bool],
    names: Sequence[str] | None,
    lasting: str,
    is_likely: Callable[[int], bool] = lambda axis: True,
) -> str | None:
    """The sentence about the first axis but the last that fits all responses."""
    dimensions = {len(shapes[s]) for s, _ in known}
    if len(dimensions) != 1:
        return None
    n_axes = dimensions.pop()
    if n_axes == 3 and all(shapes[s][0] == 1 for s, _ in known):  # (1, F, T), as spectrograms of sounds are made
        return None
    for axis in range(n_axes - 1):
        if all(fits(shapes[s][axis], own) for s, own in known) and is_likely(axis):
            s, own = known[0]
            called = f"stimulus {s}" if names is None else f"stimulus {names[s]!r}"
            turn = "transpose all of them, as stim.T" if n_axes == 2 else (
                f"move it in all of them, as numpy.moveaxis(stim, {axis}, -1)"
            )  # fmt: skip
            return (
                f"time must be the last axis of stimuli, and seems to be the {_ORDINALS[axis]}: {called} has shape "
                f"{tuple(shapes[s])}, {lasting.format(own)}; {turn}"
            )
    return None


_ORDINALS = ("first", "second", "third", "fourth")
