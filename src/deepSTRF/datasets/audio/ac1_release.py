"""The files of CRCNS AC-1: sounds, and for every cell a folder of membrane potentials with the times of the sounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from deepSTRF.datasets.mat_files import read_mat_variable
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import files_in
from deepSTRF.datasets.sounds import Sound, read_sound

__all__ = [
    "Presentation",
    "SoundFile",
    "asari_sounds",
    "concatenated",
    "presentations",
    "recording_of",
    "sessions",
    "wehr_sounds",
]

_WEHR_FOLDERS = ("fragments", "category1", "category2", "category3")
_NATURAL = ("naturalsound", "nauralsound", "natural")
_SEQUENCE = re.compile(r"\s*Sequence\s+(\d+)\s*:\s*(\d+(?:[\s,]+\d+)*)\s*", re.IGNORECASE)
_SEGMENT = re.compile(r"class\D*(\d+)\D+(\d+)\D*", re.IGNORECASE)
_SESSION = re.compile(r"(\d{8})-([^-]+)-(.+)")
_RAMP_S = 0.005
_REMEDY = "download the recording again"


class SoundFile(NamedTuple):
    """A sound of the release: its file, folder and number, what the release says of it, length and rate."""

    file: str
    folder: str
    number: int
    description: str
    n_samples: int
    fs: float

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.n_samples / self.fs


class Presentation(NamedTuple):
    """One sound that a cell heard, and what it did from then until the end of the file, in mV.

    Wehr's sounds go by their `description` and length; those of Asari by the segments that they are made of, such as
    ``"class1/12"``, in the order of the numbers `indices`.
    """

    description: str
    duration_s: float
    segments: tuple[str, ...]
    indices: tuple[int, ...]
    sequence: int | None
    trace_mv: np.ndarray
    rate_hz: float


def sessions(folder: Path) -> dict[Path, dict[str, Any]]:
    """The folders of the cells, sorted by name, and what their names say: ``20020608-mw-002``.

    Raises
    ------
    RecordingError
        If a folder has another name.
    """
    found = {}
    for place in sorted(folder.iterdir(), key=lambda place: place.name):
        if not place.is_dir() or place.name.startswith("."):
            continue
        parts = _SESSION.fullmatch(place.name)
        if parts is None:
            raise RecordingError(f"{place}: expected the name of a session, <yyyymmdd>-<animal>-<penetration>")
        date, animal, penetration = parts.groups()
        found[place] = {
            "session": place.name,
            "animal_id": animal,
            "penetration": int(penetration) if penetration.isdecimal() else penetration,
            "date": date,
        }
    return found


def wehr_sounds(folder: Path) -> list[SoundFile]:
    """The natural sounds of Wehr, from ``<category>/<k>.mat``."""
    return [_sound_file(file) for name in _WEHR_FOLDERS for file in _numbered(folder / name)]


def asari_sounds(folder: Path) -> list[SoundFile]:
    """The segments that Asari's sequences are made of, from ``class<N>/<k>.mat``."""
    return [_sound_file(file) for place in sorted(folder.glob("class*")) for file in _numbered(place)]


def concatenated(name: str, files: Sequence[SoundFile]) -> Sound:
    """A sound of one file, as it is, or of several in a row, each with ramps (sin²) of 5 ms at its ends.

    Raises
    ------
    RecordingError
        If a file can't be read, or they differ in their rate.
    """
    sounds = [_read_sound(Path(own.file)) for own in files]
    fs = sounds[0].fs
    if any(sound.fs != fs for sound in sounds):
        raise RecordingError(f"{', '.join(own.file for own in files)} differ in their rate; {_REMEDY}")
    return Sound(name, torch.cat([sound.waveform for sound in sounds], 1), fs)


def recording_of(place: Path) -> dict[str, str]:
    """Site ('A1' or 'MGB') and kind of an intracellular or cell-attached recording of Asari."""
    file = next(iter(_mat_files(place)))
    recording = _field(_variable(file, "param"), "recording", file)
    site = _text(_field(recording, "site", file), file)
    return {
        "site": "A1" if "cortex" in site.lower() else "MGB",
        "recording_type": _text(_field(recording, "type", file), file),
    }


def presentations(place: Path, experimenter: str) -> Iterator[Presentation]:
    """All natural sounds that a cell heard, file by file; tones and the like are left out.

    Raises
    ------
    RecordingError
        If a file can't be read, or says that a sound began outside of its trace.
    """
    for file in _mat_files(place):
        content = file.read_bytes()
        triggers = _variable(file, "triggers", content)
        wanted = [
            (trigger, parsed)
            for trigger in (np.asarray(triggers).reshape(-1) if np.size(triggers) else [])
            if (parsed := _sound_of(trigger, experimenter, file)) is not None
        ]
        if not wanted:
            continue
        response = _variable(file, "response", content)
        rate = _number(_field(response, "sf", file), file)
        trace = np.asarray(_field(response, "trace", file)).reshape(-1)
        trace_mv = trace.astype(np.float32) * np.float32(_number(_field(response, "scale", file), file))
        names = _stimulus_files(file, content) if experimenter == "asari" else []
        for trigger, (description, duration_s, sequence, indices) in wanted:
            first = round(_number(_field(trigger, "time", file), file)) - 1  # MATLAB counts from 1
            if not 0 <= first < len(trace):
                raise RecordingError(
                    f"{file}: sound {description!r} begins with sample {first + 1} of {len(trace)}; {_REMEDY}"
                )
            if any(not 1 <= i <= len(names) for i in indices):
                raise RecordingError(f"{file}: {description!r} names one of {len(names)} segments that is not there")
            segments = tuple(names[i - 1] for i in indices)
            yield Presentation(description, duration_s, segments, indices, sequence, trace_mv[first:], rate)


def _sound_of(trigger: Any, experimenter: str, file: Path) -> tuple[str, float, int | None, tuple[int, ...]] | None:
    """Description, duration in s, number of the sequence and of its segments; None for no natural sound."""
    if experimenter == "wehr" and _text(_field(trigger, "type", file), file).lower() not in _NATURAL:
        return None
    param = _field(trigger, "param", file)
    names = getattr(getattr(param, "dtype", None), "names", None) or ()
    if experimenter == "asari" and "description" not in names:
        return None  # of a tone
    description = _text(_field(param, "description", file), file)
    if experimenter == "wehr":
        duration = _number(_field(param, "duration", file), file) / 1000 if "duration" in names else float("nan")
        return description, duration, None, ()
    found = _SEQUENCE.fullmatch(description)
    if found is None:
        return None
    return description, float("nan"), int(found[1]), tuple(int(i) for i in re.split(r"[\s,]+", found[2].strip()))


def _stimulus_files(file: Path, content: bytes) -> list[str]:
    """Names such as ``class1/12`` of the segments that the numbers in a sequence stand for."""
    names = []
    for own in np.asarray(_field(_variable(file, "param", content), "stimulus", file)).reshape(-1):
        name = _text(_field(own, "file", file), file)
        found = _SEGMENT.search(name)
        if found is None:
            raise RecordingError(f"{file}: expected segments such as class1/12.mat, got {name!r}")
        names.append(f"class{int(found[1])}/{int(found[2])}")
    return names


def _mat_files(place: Path) -> list[Path]:
    files = files_in(place, "*.mat")
    if not files:
        raise RecordingError(f"{place} holds no .mat file; {_REMEDY}")
    return files


def _numbered(folder: Path) -> list[Path]:
    return sorted(
        (file for file in files_in(folder, "*.mat") if file.stem.isdecimal()), key=lambda file: int(file.stem)
    )


def _sound_file(file: Path) -> SoundFile:
    stimulus = _variable(file, "stimulus")
    param = _field(stimulus, "param", file)
    names = getattr(getattr(param, "dtype", None), "names", None) or ()
    return SoundFile(
        str(file),
        file.parent.name,
        int(file.stem),
        _text(_field(param, "description", file), file) if "description" in names else "",
        int(_samples(stimulus, file).size),
        _number(_field(param, "sf", file), file),
    )


def _read_sound(file: Path) -> Sound:
    stimulus = _variable(file, "stimulus")
    fs = _number(_field(_field(stimulus, "param", file), "sf", file), file)
    try:
        sound = read_sound(file.stem, _samples(stimulus, file), fs)
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{file} can't be read ({error}); {_REMEDY}") from error
    if "sample" not in stimulus.dtype.names:
        return sound
    size = min(round(_RAMP_S * fs), sound.waveform.shape[1] // 2)
    ramp = torch.from_numpy(np.sin(np.arange(size) / max(size, 1) * np.pi / 2) ** 2).float()
    waveform = sound.waveform.clone()
    waveform[:, :size] *= ramp
    waveform[:, waveform.shape[1] - size :] *= ramp.flip(0)
    return Sound(sound.name, waveform, fs)


def _samples(stimulus: Any, file: Path) -> np.ndarray:
    """The waveform: ``samples`` of Wehr, ``sample`` of Asari."""
    names = getattr(getattr(stimulus, "dtype", None), "names", None) or ()
    return np.asarray(_field(stimulus, "sample" if "sample" in names else "samples", file)).reshape(-1)


def _variable(file: Path, variable: str, content: bytes | None = None) -> Any:
    content = file.read_bytes() if content is None else content
    return read_mat_variable(content, variable, name=str(file), remedy=_REMEDY)


def _field(struct: Any, name: str, file: Path) -> Any:
    """A field of a struct of MATLAB (of one in an array of them)."""
    names = getattr(getattr(struct, "dtype", None), "names", None) or ()
    if name not in names or np.size(struct) != 1:
        raise RecordingError(f"{file}: expected a struct with the field {name!r}, got fields {list(names)}; {_REMEDY}")
    return struct[name] if isinstance(struct, np.void) else struct.reshape(-1)[0][name]


def _text(value: Any, file: Path) -> str:
    if np.size(value) == 0:
        return ""
    if np.size(value) != 1 or np.asarray(value).dtype.kind not in "US":
        raise RecordingError(f"{file}: expected a text, got {np.asarray(value)!r:.80}; {_REMEDY}")
    return str(np.asarray(value).reshape(-1)[0]).strip()


def _number(value: Any, file: Path) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise RecordingError(f"{file}: expected a number, got {array!r:.80}; {_REMEDY}")
    return float(array.reshape(-1)[0])
