"""The splits of Wehr's cells in CRCNS AC-1: each heard own sounds, so there is one for each cell."""

from __future__ import annotations

from typing import Any

__all__ = ["WEHR_NEURONS_SPLIT_NATURAL", "WEHR_VALID_NEURONS", "SplitsOfOneCell"]

WEHR_VALID_NEURONS: tuple[int, ...] = tuple(n for n in range(25) if n not in (1, 2, 4, 8))
"""Wehr's cells that respond and heard enough, by their ``_wehr_cell_idx``."""

# fmt: off
WEHR_NEURONS_SPLIT_NATURAL: tuple[tuple[int, int, int], ...] = (
    (7, 2, 2), (5, 1, 1), (3, 1, 1), (7, 1, 1), (1, 1, 1), (6, 1, 1), (3, 1, 1), (1, 1, 1), (4, 1, 1), (7, 1, 2),
    (11, 2, 3), (25, 4, 7), (7, 1, 2), (25, 4, 7), (7, 1, 1), (14, 3, 5), (25, 4, 7), (17, 3, 5), (5, 1, 1),
    (11, 2, 3), (5, 1, 1), (12, 2, 4), (7, 2, 2), (44, 6, 13), (4, 1, 1),
)
"""For each of Wehr's cells, how many of its natural sounds train, validate and test."""
# fmt: on


class SplitsOfOneCell:
    """``protocols`` of the data set: a split named ``'wehr'`` where one of Wehr's cells is selected.

    What is assigned to ``protocols`` of a data set, as when a part is made of it, goes before.
    """

    def __get__(self, dataset: Any, owner: type) -> dict[str, dict[str, tuple[int, ...]]]:
        selected = [] if dataset is None else dataset._selection().neurons.tolist()
        if len(selected) != 1 or not hasattr(dataset, "_wehr_sounds"):
            return {}
        number = dataset.nrn_meta[selected[0]]["_wehr_cell_idx"]
        if number is None or number >= len(WEHR_NEURONS_SPLIT_NATURAL):
            return {}
        sounds, (train, val, test) = dataset._wehr_sounds[number], WEHR_NEURONS_SPLIT_NATURAL[number]
        if len(sounds) != train + val + test:
            return {}
        parts = {"train": sounds[:train], "val": sounds[train : train + val], "test": sounds[train + val :]}
        heard = dataset.nrn_masks[:, selected[0]]
        kept = {part: tuple(s for s in own if heard[s]) for part, own in parts.items()}
        return {"wehr": kept} if all(kept.values()) else {}
