"""The units of Wingert 2026: which session holds which, and what the list of cells says about them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepSTRF.checks import unknown_name
from deepSTRF.datasets.audio.lbhb_archives import parts_of_cell_id
from deepSTRF.datasets.audio.release_tables import read_rows
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.sources.tables import parse_cell

__all__ = ["BandScaling", "Units", "read_cell_list", "warn_of_duplicates"]

_TEXTS = ("area", "layer", "celltype")
_FLOOR = 1e-6
_VALUES = ("depth", "narrow", "sw", "goodpred")


class Units:
    """Which units of the archives are wanted, and what is known about them."""

    def __init__(
        self, listed: dict[str, dict[str, Any]], area: str | None, site: str | None, include_unlabeled: bool
    ) -> None:
        self.listed, self.area, self.site, self.include_unlabeled = listed, area, site, include_unlabeled
        self.sites: set[str] = set()
        self.session_of: dict[str, str] = {}
        self.twice: dict[str, str] = {}
        """Sessions with units of another one, and that one."""
        self.penetrations = {_penetration(cell) for cell, meta in listed.items() if area in (None, meta["area"])}

    def may_be_in(self, session: str) -> bool:
        """Whether the file of a session needs to be opened: it may hold units of another session of its penetration."""
        self.sites.add(session)
        penetration = _penetration(session)
        if self.site is not None and penetration != _penetration(self.site):
            return False
        return self.include_unlabeled or penetration in self.penetrations

    def of_session(self, session: str, cells: Sequence[str]) -> list[dict[str, Any]]:
        """Metadata of the wanted units of a session, in the order of its file."""
        return [meta for cell in cells if (meta := self._meta(cell, session)) is not None]

    def _meta(self, cell: str, session: str) -> dict[str, Any] | None:
        known, parts = self.listed.get(cell), parts_of_cell_id(cell)
        site = parts["site"] if known is None else known["site"]
        self.sites.add(site)
        if self.site not in (None, site, session):
            return None
        if not self.include_unlabeled if known is None else self.area not in (None, known["area"]):
            return None
        if self.session_of.setdefault(cell, session) != session:
            self.twice[session] = self.session_of[cell]
            return None
        values = dict.fromkeys((*_TEXTS, *_VALUES)) if known is None else known
        return {**parts, **values, "cell_id": cell, "site": site, "session": session}

    def __str__(self) -> str:
        if self.site is not None and self.site not in self.sites:
            return unknown_name("site", self.site, sorted(self.sites))
        unlabelled = "" if self.include_unlabeled else " that the list of cells has (see include_unlabeled)"
        return f"units of area {self.area or 'any'}, site {self.site or 'any'}{unlabelled}"


def warn_of_duplicates(twice: Mapping[str, str]) -> None:
    """Say which files hold units that were read from another one."""
    if twice:
        pairs = ", ".join(f"{session} ({first})" for session, first in twice.items())
        warnings.warn(
            f"the files of these sessions hold units of another session, which are read from that: {pairs}",
            stacklevel=2,
        )


def _penetration(name: str) -> str:
    """``PRN015`` of ``PRN015b``, and of ``PRN015a-07-1``."""
    match = re.match(r"[A-Za-z]+\d+", name)
    return match[0] if match else name


def read_cell_list(file: Path) -> dict[str, dict[str, Any]]:
    """What the authors know about every cell that they gave an area."""
    cells: dict[str, dict[str, Any]] = {}
    for row in read_rows(file, ("cellid", "siteid", *_TEXTS, *_VALUES)):
        if row["area"]:
            texts = {name: row[name] or None for name in _TEXTS}
            values = {name: parse_cell(row[name]) if row[name] else None for name in _VALUES}
            cells.setdefault(row["cellid"], {"site": row["siteid"], **texts, **values})
    return cells


class BandScaling:
    """Compression, and the range of every band over the stimuli for estimation."""

    def __init__(self, n_bands: int, log_offset: float | None) -> None:
        self.offset = None
        if log_offset is not None:
            within = min(max(log_offset, -2.0), 2.0)
            self.offset = 10 ** (within + (log_offset - within) / 50)
        self.low, self.high = np.full(n_bands, np.inf, np.float32), np.full(n_bands, -np.inf, np.float32)

    def compressed(self, stim: np.ndarray, kind: str) -> np.ndarray:
        """Compress a stimulus (F, T), and note its range if it is one for estimation."""
        if self.offset is not None:
            stim = np.log1p(stim / self.offset)
        if kind == "est":
            self.low, self.high = np.minimum(self.low, stim.min(1)), np.maximum(self.high, stim.max(1))
        return stim

    def scale(self, stims: Sequence[torch.Tensor], folder: Path) -> None:
        """Scale compressed stimuli in place: a copy of all would not fit beside them."""
        if not np.isfinite(self.low).all():
            raise RecordingError(f"{folder} has no stimulus for estimation, STIM_seq..., to scale the others by")
        low, width = self.low[:, None], (self.high - self.low)[:, None]
        for stim in stims:
            stim.sub_(torch.from_numpy(low)).div_(torch.from_numpy(np.where(width > 0, width, 1)))
            stim[stim < _FLOOR] = 0
