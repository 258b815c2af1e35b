"""The files of Lopez Espejo 2019: which recording holds which cells and stimuli."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import unknown_name
from deepSTRF.datasets.audio.lbhb_archives import SiteArchive, find_archives

__all__ = ["DT_MS", "Release", "Stimulus"]

DT_MS = 10.0


class Stimulus(NamedTuple):
    """A stimulus; should one name have different lengths, they are different stimuli."""

    name: str
    n_bins: int


class Release:
    """All recordings of a folder: the stimuli, and of the wanted cells the spikes."""

    def __init__(self, folder: Path, n_bands: int, wanted: Sequence[str] | None) -> None:
        self.stims: dict[Stimulus, np.ndarray] = {}
        self.cells: dict[str, int] = {}
        self.sites: list[tuple[SiteArchive, list[str], set[Stimulus]]] = []
        self.for_test: set[str] = set()
        known: set[str] = set()
        different: set[str] = set()
        for archive in find_archives(folder):
            own = {Stimulus(name, stim.shape[1]): stim for name, stim in archive.stimuli(n_bands, DT_MS).items()}
            for key, stim in own.items():
                first = self.stims.setdefault(key, stim)
                if not np.allclose(first, stim, rtol=1e-3, atol=1e-3 * float(np.abs(first).max())):
                    different.add(key.name)
            most = max((len(epochs) for epochs in archive.presentations.values()), default=0)
            if most > 1:
                self.for_test |= {name for name, epochs in archive.presentations.items() if len(epochs) == most}
            known |= set(archive.cell_ids)
            if cells := [cell for cell in archive.cell_ids if wanted is None or cell in wanted]:
                archive.keep_responses()
                self.sites.append((archive, cells, set(own)))
                for cell in cells:
                    self.cells.setdefault(cell, len(self.cells))
        if unknown := [cell for cell in wanted or () if cell not in known]:
            raise ValueError(unknown_name("cell", unknown[0], sorted(known)))
        if different:
            warnings.warn(
                f"recordings in {folder} have different spectrograms of {len(different)} stimuli, such as "
                f"{min(different)}; those of the first recordings are used",
                stacklevel=3,
            )

    def split(self, key: Stimulus) -> Literal["estimation", "test"]:
        """What a stimulus is for."""
        return "test" if key.name in self.for_test else "estimation"

    def heard(self) -> list[Stimulus]:
        """Stimuli that some wanted cell heard, in the order in which they were found."""
        heard = set().union(*(keys for _, _, keys in self.sites))
        return [key for key in self.stims if key in heard]

    def row(self, key: Stimulus) -> list[Tensor]:
        """Responses of all cells to a stimulus."""
        found: dict[str, list[Tensor]] = {}
        for archive, cells, keys in self.sites:
            if key in keys:
                epochs = archive.presentations[key.name]
                for cell in cells:
                    found.setdefault(cell, []).append(archive.counts(cell, epochs, key.n_bins, DT_MS))
        missing = torch.full((1, 1), torch.nan)
        return [torch.cat(found[cell]) if cell in found else missing for cell in self.cells]
