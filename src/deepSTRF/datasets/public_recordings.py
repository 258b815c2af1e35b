"""The public recordings: where their files lie, under which terms, and whom to cite.

They are listed in ``public_recordings.toml`` beside this module.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepSTRF.cards import DatasetCard
from deepSTRF.datasets.download import RemoteFile
from deepSTRF.datasets.hosts import CRCNS

__all__ = ["RECORDINGS", "PublicRecording"]


@dataclass(frozen=True)
class PublicRecording:
    """A recording that anybody can download."""

    name: str
    """Its key, and the folder below ``$DEEPSTRF_DATA_DIR``. On the command line it is this in lower case."""
    page: str
    """Where a person finds it."""
    licence: str
    """The terms that it was published under."""
    citation: str
    """Whom to cite, with the DOI."""
    files: tuple[RemoteFile, ...]
    """All its files."""
    size: str
    """How much there is to download, in words."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of its :class:`~deepSTRF.registry.DatasetCard`."""

    @property
    def needs_login(self) -> bool:
        """Whether an account is needed to download its files."""
        return any(url.startswith(CRCNS) for file in self.files for url in file.urls)

    @property
    def card(self) -> DatasetCard:
        """Card of the data set that reads it.

        Examples
        --------
        >>> RECORDINGS["NS1"].card.area
        'A1 (auditory cortex)'
        """
        return DatasetCard(
            name=self.name.lower(), paper=self.citation, licence=self.licence, recording=self.name, **self.about
        )


# What it says under `licence` in the file, where that is the name of terms
_TERMS = {
    "CRCNS": "CRCNS terms of use (https://crcns.org/terms): for scientific purposes only, not to be redistributed; "
    "name the contributors and CRCNS as the source, and cite the original papers",
    "Allen Institute": "CC BY 4.0; Allen Institute terms of use (https://alleninstitute.org/legal/terms-of-use)",
}


def _read(name: str, page: str, files: list[dict[str, Any]], licence: str = "", **others: Any) -> PublicRecording:
    """One table of the file."""
    licence = _TERMS.get(licence, licence) or f"that which its page names, {page}; openly available"
    every = tuple(one for file in files for one in _files(**file))
    return PublicRecording(name, page, licence=licence, files=every, **others)


def _files(name: str, url: str, count: int | None = None, **others: str) -> list[RemoteFile]:
    """A file, or as many as `count` says, numbered."""
    if count is None:
        return [RemoteFile(name, url, **others)]
    return [RemoteFile(name.replace("#", str(k)), url.replace("#", str(k)), **others) for k in range(count)]


_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
RECORDINGS: Mapping[str, PublicRecording] = MappingProxyType(
    {name: _read(name, **table) for name, table in _TABLES.items()}
)
"""Every public recording that deepSTRF knows, by its name."""
