"""Responses that are read session by session, and packed stimulus by stimulus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["JoinedSessions"]


class JoinedSessions:
    """The responses of several sessions, each written to where it stays: nothing is held twice.

    Parameters
    ----------
    n_bins : sequence of int
        Number of bins of each stimulus.
    n_neurons : int
        Size of the population, as far as it is known.

    Attributes
    ----------
    n_neurons : int
        The same, or more where a session had more.

    Examples
    --------
    >>> joined = JoinedSessions(n_bins=[4, 5])
    >>> joined.add(0, [0, 2], torch.ones(2, 1, 4))
    >>> [row[1].isnan().all().item() for row in joined.rows()], joined.n_neurons
    ([True, True], 3)
    """

    def __init__(self, n_bins: Sequence[int], n_neurons: int = 0) -> None:
        self.n_bins, self.n_neurons = n_bins, n_neurons
        self._values: list[Tensor | None] = [None] * len(n_bins)

    def add(self, stimulus: int, units: Sequence[int], values: Float[Tensor, "n r T"], first_repeat: int = 0) -> None:
        """Add the responses of some neurons to one stimulus, as their repeats from `first_repeat` on."""
        self.n_neurons = max(self.n_neurons, 1 + max(units))
        stop = first_repeat + values.shape[1]
        self._with_room(stimulus, stop)[list(units), first_repeat:stop] = values

    def _with_room(self, stimulus: int, n_repeats: int = 0) -> Tensor:
        """The responses to a stimulus, NaN where there is none yet, for all neurons and so many repeats at least."""
        old = self._values[stimulus]
        if old is None:
            old = torch.empty(0, 0, self.n_bins[stimulus])
        if len(old) < self.n_neurons or old.shape[1] < n_repeats:
            new = torch.full((self.n_neurons, max(n_repeats, old.shape[1]), old.shape[2]), torch.nan)
            new[: len(old), : old.shape[1]] = old
            self._values[stimulus] = old = new
        return old

    def rows(self) -> Iterator[Float[Tensor, "N R T"] | list[Tensor]]:
        """Per stimulus what ``PackedResponses`` takes; it is handed over, so that it can be asked for once."""
        missing = [torch.full((1, 1), torch.nan)] * self.n_neurons
        for stimulus in range(len(self.n_bins)):
            whole = None if self._values[stimulus] is None else self._with_room(stimulus)
            self._values[stimulus] = None
            yield missing if whole is None else whole
