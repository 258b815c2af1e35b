"""Which other files an HDF5 file takes data from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["with_linked_files"]


def with_linked_files(path: Path) -> list[Path]:
    """List an HDF5 file and every file that it links to: external links, external storage and virtual data sets.

    Files that do not exist are left out, and of a file that is no HDF5 file only itself is listed.

    Examples
    --------
    >>> import tempfile, h5py
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("raw", "session"):
    ...         with h5py.File(f"{folder}/{name}.nwb", "w") as file:
    ...             if name == "session":
    ...                 file["raw"] = h5py.ExternalLink("raw.nwb", "/")
    ...     [file.name for file in with_linked_files(Path(folder) / "session.nwb")]
    ['session.nwb', 'raw.nwb']
    """
    import h5py

    files: list[Path] = []
    waiting = [path.absolute()]
    while waiting:
        file = waiting.pop()
        if file in files or not file.is_file():
            continue
        files.append(file)
        if h5py.is_hdf5(file):
            with h5py.File(file, "r") as content:
                waiting += [found for name in _names(content) for found in (file.parent / name, Path.cwd() / name)]
    return files


def _names(content: Any) -> Iterator[str]:
    import h5py

    found: list[str] = []

    def of_link(_: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(link.filename)

    def of_object(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.extend(str(name) for name, *_ in item.external or ())
            if item.is_virtual:
                found.extend(source.file_name for source in item.virtual_sources())

    content.visititems_links(of_link)
    content.visititems(of_object)
    return iter(found)
