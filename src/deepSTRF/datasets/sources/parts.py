"""Responses that are read session by session, and packed stimulus by stimulus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Part", "rows_of_parts"]


class Part(NamedTuple):
    """What one session holds of the responses to one stimulus."""

    units: list[int]
    """Indices of its neurons."""
    first_repeat: int
    """The first of their repeats that is filled."""
    values: Float[Tensor, "n r T"]
    """Their responses."""


def rows_of_parts(
    parts: list[list[Part]], n_neurons: int, n_bins: Sequence[int]
) -> Iterator[Float[Tensor, "N R T"] | list[Tensor]]:
    """Put the responses of several sessions together, stimulus by stimulus, for ``PackedResponses``.

    Parts are dropped as soon as their stimulus is done, so that little is held twice.

    Parameters
    ----------
    parts : list of list of Part
        Per stimulus; emptied.
    n_neurons : int
        Size of the population.
    n_bins : sequence of int
        Number of bins of each stimulus.

    Examples
    --------
    >>> rows = rows_of_parts([[Part([0, 2], 0, torch.ones(2, 1, 4))], []], n_neurons=3, n_bins=[4, 5])
    >>> [row[1].isnan().all().item() for row in rows]
    [True, True]
    """
    for s, bins in enumerate(n_bins):
        part, parts[s] = parts[s], []
        if not part:
            yield [torch.full((1, 1), torch.nan)] * n_neurons
            continue
        n_repeats = max(first + own.shape[1] for _, first, own in part)
        values = torch.full((n_neurons, n_repeats, bins), torch.nan)
        for units, first, own in part:
            values[units, first : first + own.shape[1]] = own
        yield values
