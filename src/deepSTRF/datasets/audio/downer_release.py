"""The sessions of the squirrel monkey recording: their channels, spikes and trials."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.datasets.mat_structs import read_mat_struct
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import find_in
from deepSTRF.datasets.sources.binning import count_in_trials, in_double
from deepSTRF.datasets.sources.parts import JoinedSessions

__all__ = ["AREAS", "Channel", "SessionTable", "counts_by_stimulus", "find_sessions", "read_channel"]

_SESSIONS_OF = {
    "A1": "180627 180719 180810 180814 180720 180731 190604 190606 190726 190801 191209 200313 191113 191125 191206 "
    "200206 200207 180808",
    "R": "180807 200213 180501",
    "CL": "191219",
    "ML": "180613 190703 200219 191115 200205",
    "AL": "180622 191211 180413 180420",
    "CPB": "180724 200318 191121",
    "RPB": "180502 180728 190605 191210 180717 180730 200212",
}
AREAS: dict[str, tuple[str, ...]] = {area: tuple(sessions.split()) for area, sessions in _SESSIONS_OF.items()}
"""Sessions of each field of auditory cortex; the files hold them as comments only."""

_NAME = re.compile(r"(?P<animal>[A-Za-z]+)_(?P<session>\d+)_Ch(?P<channel>\d+)(?P<suffix>\w*)_MUspk")
_REMEDY = "download the recording again"
_WRONG = (KeyError, ValueError, IndexError, TypeError, AttributeError)


class Channel(NamedTuple):
    """A file of one channel, and what is known about it."""

    file: Path
    meta: dict[str, Any]


class SessionTable:
    """What ``sessions_metadata.yml`` says about the sessions.

    Parameters
    ----------
    folder : Path
        The folder of the recording.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RecordingError
        If it can't be read.
    ImportError
        If PyYAML is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import yaml
        except ImportError as error:
            raise ImportError("sessions_metadata.yml is read by PyYAML: pip install 'deepSTRF[recordings]'") from error
        file = find_in(folder, "sessions_metadata.yml", "Downer2025")
        try:
            entries = yaml.safe_load(file.read_text())
            found = {name: re.fullmatch(r"\w+_(LH|RH)_sessions", name) for name in entries}
            self.hemispheres = {str(s): match[1] for name, match in found.items() if match for s in entries[name]}
            self.groups = {str(s): str(name) for name, some in entries["area_wise_sessions"].items() for s in some}
            self.coordinates = {
                str(session): (float(x), float(y)) for session, (x, y) in entries["session_coordinates"].items()
            }
            self.bad = {str(session) for session in entries["bad_sessions"]}
            self.repeats = {str(name): int(number) for name, number in entries["stim_wise_num_repeats"].items()}
        except (*_WRONG, yaml.YAMLError, UnicodeDecodeError) as error:
            raise RecordingError(f"{file} is no table of sessions ({error!r}); {_REMEDY}") from error

    def channels(self, folder: Path) -> Iterator[Channel]:
        """The channels of a session, by number."""
        session = folder.name
        found = [(match, file) for file in folder.glob("*_MUspk.mat") if (match := _NAME.fullmatch(file.stem))]
        if not found:
            raise FileNotFoundError(f"there is no channel (*_Ch*_MUspk.mat) in {folder}; {_REMEDY}")
        area = next((name for name, sessions in AREAS.items() if session in sessions), None)
        x, y = self.coordinates.get(session, (None, None))
        for match, file in sorted(found, key=lambda entry: (int(entry[0]["channel"]), entry[0]["suffix"])):
            yield Channel(
                file,
                {
                    "cell_id": file.stem.removesuffix("_MUspk"),
                    "session_id": session,
                    "animal_id": match["animal"],
                    "hemisphere": self.hemispheres.get(session),
                    "area_group": self.groups.get(session),
                    "area": area,
                    "channel": int(match["channel"]),
                    "channel_suffix": match["suffix"],
                    "n_channels_in_session": len(found),
                    "coord_x": x,
                    "coord_y": y,
                    "recording_type": "MUA",
                },
            )


def find_sessions(folder: Path, table: SessionTable, asked: str | Iterable[Any] | None) -> list[Path]:
    """Folders of the sessions asked for, by default of all but the bad ones."""
    found = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.isdigit()}
    if asked is None:
        return [path for name, path in found.items() if name not in table.bad]
    names = [str(name) for name in ([asked] if isinstance(asked, str | int) else asked)]
    if missing := [name for name in names if name not in found]:
        raise FileNotFoundError(f"there is no session {missing[0]} in {folder}; it has {', '.join(found)}")
    return [found[name] for name in names]


def read_channel(file: Path, code: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spike times in s, and onset in s and stimulus number (0 for none of this kind) of every trial.

    Parameters
    ----------
    file : Path
        A ``*_MUspk.mat``.
    code : str
        Field with the numbers, ``'timitStimcode'`` or ``'mVocStimcode'``.

    Raises
    ------
    RecordingError
        If the file can't be read; the message names it.
    """
    content = file.read_bytes()
    spike, trial = (read_mat_struct(content, name, name=str(file), remedy=_REMEDY) for name in ("spike", "trial"))
    try:
        spikes, onsets, codes = (
            in_double(entry[field][0].numbers())
            for entry, field in ((spike, "spktimes"), (trial, "stimon"), (trial, code))
        )
    except (*_WRONG, struct.error) as error:
        raise RecordingError(f"{file} has no spike.spktimes, trial.stimon and trial.{code} ({error!r})") from error
    if len(onsets) != len(codes) or not np.isfinite(spikes).all():
        raise RecordingError(
            f"{file}: expected finite spike times and as many onsets as stimulus numbers, got {len(onsets)} and "
            f"{len(codes)}; {_REMEDY}"
        )
    heard = np.isfinite(onsets) & np.isfinite(codes)
    return spikes, onsets[heard], codes[heard].astype(np.int64)


def counts_by_stimulus(
    channels: Sequence[Channel],
    code: str,
    known: Set[int],
    loaded: Sequence[int],
    n_bins: Sequence[int],
    dt_ms: float,
    smoothed: Callable[[Tensor], Tensor],
) -> Iterator[Float[Tensor, "N R T"] | list[Tensor]]:
    """Spike counts of all channels, stimulus by stimulus.

    The counts of a session are written to where they stay before the next one is read.

    Parameters
    ----------
    channels : sequence of Channel
        The population, session by session.
    code : str
        As for :func:`read_channel`.
    known, loaded : set of int, sequence of int
        Numbers of all stimuli of the recording, and of those to yield.
    n_bins : sequence of int
        Number of bins of each of the latter.
    dt_ms : float
        Width of a bin in ms.
    smoothed : callable
        What becomes of the counts of one stimulus.

    Raises
    ------
    RecordingError
        If a file can't be read, or a trial is of a stimulus that is not known.
    """
    index = {stim_id: s for s, stim_id in enumerate(loaded)}
    joined = JoinedSessions(n_bins, len(channels))
    for units, spikes, onsets, codes in _by_trials(channels, code):
        if unknown := set(codes.tolist()) - known - {0}:
            raise RecordingError(f"{channels[units[0]].file}: a trial is of stimulus {min(unknown)}, which is no sound")
        chosen = np.isin(codes, list(index))
        counts = count_in_trials(spikes, onsets[chosen], [index[k] for k in codes[chosen].tolist()], n_bins, dt_ms)
        del spikes
        for s, own in enumerate(counts):
            if own is not None:
                joined.add(s, units, smoothed(torch.from_numpy(own)))
    yield from joined.rows()


def _by_trials(
    channels: Sequence[Channel], code: str
) -> Iterator[tuple[list[int], list[np.ndarray], np.ndarray, np.ndarray]]:
    """Indices and spikes of the channels that share their trials, as those of a session mostly do, and the trials."""
    units: list[int] = []
    spikes: list[np.ndarray] = []
    trials: tuple[np.ndarray, np.ndarray] | None = None
    for n, channel in enumerate(channels):
        own, *others = read_channel(channel.file, code)
        same_session = n > 0 and channel.file.parent == channels[n - 1].file.parent
        if trials is not None and not (same_session and all(map(np.array_equal, trials, others))):
            yield units, spikes, *trials
            units, spikes = [], []
        trials = (others[0], others[1])
        units.append(n)
        spikes.append(own)
    if trials is not None:
        yield units, spikes, *trials
