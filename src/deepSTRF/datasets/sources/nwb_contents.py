"""What is in an NWB file: tables of intervals, units, series and stimuli, found by type and by name."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepSTRF.checks import counted, describe_type, first_few, unknown_name
from deepSTRF.files import AnyPath, expand_path

__all__ = ["Contents", "choose", "open_nwb", "read_contents", "single_columns"]

_MOST_SHOWN = 12
_NOT_TRIALS = ("invalid_times",)


@dataclass
class Contents:
    """The parts of an NWB file that matter here, by name; where a name comes twice, the parent's stands before it.

    Attributes
    ----------
    path : Path
        The file, for messages.
    tables : dict
        Tables with a start of each row in time: trials, epochs, and every other table of intervals.
    units : dict
        Tables of units that hold spike times.
    signals : dict
        Continuous responses: fluorescence (RoiResponseSeries) and potentials (ElectricalSeries).
    presented, templates : dict
        What ``stimulus/presentation`` and ``stimulus/templates`` hold.
    invalid : object or None
        The table of times that are not to be analysed.
    """

    path: Path
    tables: dict[str, Any] = field(default_factory=dict)
    units: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)
    presented: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, Any] = field(default_factory=dict)
    invalid: Any = None

    @property
    def stimuli(self) -> dict[str, Any]:
        """All stimuli; a presented one counts where a template has the same name."""
        return {**self.templates, **self.presented}

    def describe(self) -> str:
        """Say what the file holds, for messages and for :meth:`from_nwb`."""
        lines = [
            f"tables of intervals: {_listed({name: _columns(table) for name, table in self.tables.items()})}",
            f"units: {_listed({name: counted(len(table), 'unit') for name, table in self.units.items()})}",
            f"continuous signals: {_listed({name: _series(signal) for name, signal in self.signals.items()})}",
            f"stimuli: {_listed({name: type(one).__name__ for name, one in self.stimuli.items()})}",
        ]
        return f"{self.path.name} holds " + "; ".join(lines)


@contextlib.contextmanager
def open_nwb(path: AnyPath) -> Iterator[Contents]:
    """Open an NWB file, for reading of its arrays on demand.

    Raises
    ------
    ImportError
        If pynwb is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a file of NWB 2; the message says what it is.
    """
    file = expand_path(path)
    try:
        import h5py
        import pynwb
    except ImportError as error:
        raise ImportError("NWB files are read by pynwb: pip install 'deepSTRF[nwb]'") from error
    if file.is_dir():
        raise ValueError(
            f"{file} is a folder; expected an .nwb file. A Zarr store is converted with hdmf-zarr's NWBZarrIO and "
            "pynwb.NWBHDF5IO.export"
        )
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}")
    if not h5py.is_hdf5(file):
        raise ValueError(f"{file} is not an NWB file: NWB files are HDF5 files, and it is none, or it is cut off")
    with h5py.File(file, "r") as raw:
        if "nwb_version" in raw:
            raise ValueError(f"{file} is a file of NWB 1; pynwb reads NWB 2: convert it, or use its authors' reader")
        if "nwb_version" not in raw.attrs:
            raise ValueError(
                f"{file} is an HDF5 file, but not an NWB file: it holds "
                f"{', '.join(list(raw)[:_MOST_SHOWN]) or 'nothing'}. Read its arrays with h5py and give them to "
                "from_arrays or from_spike_times"
            )
    with contextlib.ExitStack() as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynwb warns of what older writers did, which no reader can change
            try:
                io = stack.enter_context(pynwb.NWBHDF5IO(str(file), "r", load_namespaces=True))
                nwb = io.read()
            except Exception as error:  # what is missing or damaged inside leads to errors of many types
                raise ValueError(f"{file} can't be read by pynwb ({type(error).__name__}: {error})") from error
        yield read_contents(nwb, file)


def read_contents(nwb: Any, path: Path) -> Contents:
    """Find what matters here in a file that pynwb has read."""
    from pynwb.base import TimeSeries
    from pynwb.core import DynamicTable
    from pynwb.ecephys import ElectricalSeries
    from pynwb.misc import Units
    from pynwb.ophys import RoiResponseSeries

    contents = Contents(path)
    contents.presented = dict(nwb.stimulus or {})
    contents.templates = dict(nwb.stimulus_template or {})
    contents.invalid = nwb.invalid_times
    for item in nwb.objects.values():
        if isinstance(item, DynamicTable) and item.name not in _NOT_TRIALS:
            if isinstance(item, Units):
                if "spike_times" in item.colnames:
                    _add(contents.units, item)
            elif "start_time" in item.colnames:
                _add(contents.tables, item)
        elif isinstance(item, ElectricalSeries | RoiResponseSeries) or (
            isinstance(item, TimeSeries) and _is_processed(item) and item.data is not None and item.data.shape[0] > 1
        ):
            _add(contents.signals, item)
    return contents


def choose(kind: str, name: Any, available: Mapping[str, Any], contents: Contents, argument: str) -> Any:
    """Return the part of the file called `name`.

    Raises
    ------
    TypeError
        If it is not a name.
    ValueError
        If there is none; the message says what there is.
    """
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be the name of a {kind} in the file, got {describe_type(name)}: {name!r}")
    if name not in available:
        unknown = unknown_name(kind, name, available or ["none"])
        raise ValueError(f"{unknown}{'' if unknown.endswith('?') else '.'} {contents.describe()}")
    return available[name]


def single_columns(table: Any) -> list[str]:
    """Names of the columns of a table of NWB that have one cell per row, not a list of them."""
    ragged = {column.name.removesuffix("_index") for column in table.columns if type(column).__name__ == "VectorIndex"}
    return [name for name in table.colnames if name not in ragged]


def _is_processed(item: Any) -> bool:
    """Whether a series lies in a processing module, where other signals than fluorescence and potentials are kept."""
    while item is not None:
        if type(item).__name__ == "ProcessingModule":
            return True
        item = item.parent
    return False


def _add(group: dict[str, Any], item: Any) -> None:
    name = item.name if item.name not in group else f"{item.parent.name}/{item.name}"
    group[name] = item


def _columns(table: Any) -> str:
    return f"{counted(len(table), 'row')}; columns {', '.join(table.colnames)}"


def _series(signal: Any) -> str:
    shape = "x".join(map(str, signal.data.shape))
    return f"{type(signal).__name__} {shape}" + (f" at {signal.rate:g} Hz" if signal.rate else "")


def _listed(items: Mapping[str, str]) -> str:
    return first_few((f"{name} ({what})" for name, what in items.items()), _MOST_SHOWN) or "none"
