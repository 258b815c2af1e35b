"""``recording.toml``: what the files of a folder do not say themselves."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepSTRF.checks import check_choice, check_integer, check_list, check_number, check_positive, unknown_name
from deepSTRF.datasets.arrays import check_bin_width
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.sources.windows import whole_bins
from deepSTRF.datasets.splits import Split

__all__ = ["ABOUT", "FILE_NAME", "Settings", "read_settings", "settings_text"]

FILE_NAME = "recording.toml"

ABOUT = ("species", "area", "citation", "licence", "description")
"""Keys that say where a recording comes from; the data set keeps them as ``about``."""

STIMULI = ("sounds", "waveforms", "spectrograms", "movies")
TRIALS = ("all", "listed")


@dataclass(frozen=True)
class Settings:
    """The keys of ``recording.toml``."""

    dt_ms: float
    """Width of a response bin."""
    unit: str | None = None
    """Unit of the times in ``spikes.csv``, ``"s"`` or ``"ms"``."""
    onset_ms: float = 0.0
    """When the stimulus begins, in the clock of these times."""
    before_ms: float = 0.0
    """Time before each stimulus that belongs to the response, a whole number of bins; stimuli are padded."""
    after_ms: float = 0.0
    """Time after each stimulus likewise."""
    silence: float = 0.0
    """Value of stimuli that are arrays in the bins before and after them."""
    trials: str | None = None
    """``"all"``: every neuron was recorded in every trial of ``spikes.csv``; ``"listed"``: only in those that have a
    line with it. Not needed where every neuron has a line for every stimulus."""
    stimuli: str | None = None
    """What the files in ``stimuli/`` are, where their shape does not say it."""
    spectrogram: str | dict[str, Any] | None = None
    """What sounds are made into; of stimuli that are spectrograms already, how they were made."""
    frequencies_hz: list[float] | None = None
    """Centre frequency of each band."""
    hearing_range_hz: list[float] | None = None
    """Lowest and highest frequency that the animal hears."""
    audio_fs: int | None = None
    """Sampling rate of waveforms that are saved as arrays."""
    n_bands: int | None = None
    """Number of bands that models make of such waveforms."""
    splits: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Per name the stimuli of the parts ``train``, ``val`` and ``test``."""
    about: dict[str, str] = field(default_factory=dict)
    """Species, area, citation, licence and description."""

    @property
    def around(self) -> tuple[int, int]:
        """Bins before and after each stimulus."""
        before, after = (whole_bins("", edge, self.dt_ms) for edge in (self.before_ms, self.after_ms))
        return before, after


def read_settings(path: Path) -> Settings:
    """Read ``recording.toml``.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    RecordingError
        If it is no TOML, or a key is missing, unknown or wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {FILE_NAME} in {path.parent}; it says the width of bins and the unit of spike times. "
            "`deepstrf new FOLDER` writes one to start from"
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors of Windows put a mark at the beginning
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested too deeply
        raise RecordingError(f"{path} is not a TOML file: {error}") from error
    keys = [*_CHECKS, "splits", *ABOUT]
    if unknown := [key for key in content if key not in keys]:
        raise RecordingError(f"{path}: {unknown_name('key', unknown[0], keys)}")
    if "dt_ms" not in content:
        raise RecordingError(f"{path}: dt_ms is missing, the width of a response bin in milliseconds: dt_ms = 5.0")
    values = {}
    for key, value in content.items():
        try:
            if key in _CHECKS:
                values[key] = _CHECKS[key](key, value)
            elif key in ABOUT and not isinstance(value, str):
                raise TypeError(f'{key} must be a text: {key} = "...", got {value!r}')
        except (TypeError, ValueError) as error:
            raise RecordingError(f"{path}: {error}") from error
    if values.get("stimuli") == "waveforms" and "audio_fs" not in values:
        raise RecordingError(f"{path}: audio_fs is missing, the sampling rate in Hz of the waveforms: audio_fs = 48000")
    for key in ("before_ms", "after_ms"):
        try:
            whole_bins(key, values.get(key, 0.0), values["dt_ms"])
        except ValueError as error:
            raise RecordingError(f"{path}: {error}") from error
    about = {key: content[key] for key in ABOUT if key in content}
    splits = {
        name: _checked_split(path, name, parts) for name, parts in _table(path, content.get("splits", {})).items()
    }
    return Settings(**values, splits=splits, about=about)


def settings_text(settings: Settings) -> str:
    """Write what :func:`read_settings` reads as the same settings."""
    lines = []
    for key in _CHECKS:
        value = getattr(settings, key)
        if value is not None and key != "spectrogram" and (value != 0 or key not in _ZERO):
            lines.append(f"{key} = {_toml(value)}")
    lines += [f"{key} = {_toml(value)}" for key, value in settings.about.items()]
    if isinstance(settings.spectrogram, Mapping):
        lines += ["", "[spectrogram]"]
        lines += [f"{key} = {_toml(value)}" for key, value in settings.spectrogram.items() if value is not None]
    elif settings.spectrogram is not None:
        lines.append(f"spectrogram = {_toml(settings.spectrogram)}")
    for name, parts in settings.splits.items():
        lines += ["", f"[splits.{_toml(name)}]"]
        lines += [f"{part} = {_toml(list(names))}" for part, names in parts.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)


def _checked_split(path: Path, name: str, parts: Any) -> dict[str, list[str]]:
    where = f"{path}: the split {name!r}"
    if not isinstance(parts, Mapping) or set(parts) != set(Split._fields):
        got = ", ".join(map(repr, parts)) if isinstance(parts, Mapping) else repr(parts)
        raise RecordingError(
            f'{where} needs the lists {", ".join(Split._fields)} of names of stimuli, such as train = ["rain"]; got '
            f"{got or 'nothing'}"
        )
    part_of: dict[str, str] = {}
    for part, stimuli in parts.items():
        if not isinstance(stimuli, list) or not all(isinstance(stimulus, str) for stimulus in stimuli) or not stimuli:
            raise RecordingError(
                f'{where}: {part} must be a list of names of stimuli, such as ["rain"]; got {stimuli!r}'
            )
        for stimulus in stimuli:
            if stimulus in part_of:
                raise RecordingError(
                    f"{where}: {stimulus!r} is in {part_of[stimulus]} and in {part}; a stimulus is in one part, once"
                )
            part_of[stimulus] = part
    return {part: list(parts[part]) for part in Split._fields}


def _table(path: Path, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecordingError(f"{path}: splits must be tables, [splits.NAME], got {value!r}")
    return value


def _bin_width(key: str, value: Any) -> Any:
    check_bin_width(value)
    return check_positive(key, value)


def _frequencies(key: str, value: Any) -> list[float]:
    return [check_positive(key, frequency) for frequency in check_list(key, value, "frequencies in Hz")]


def _spectrogram(key: str, value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise TypeError(f'{key} must be a name, as {key} = "log", or a table [{key}] of its settings; got {value!r}')
    return value


_ZERO = ("onset_ms", "before_ms", "after_ms", "silence")  # where nothing else is said


def _one_of(*choices: str) -> Callable[[str, Any], Any]:
    return lambda key, value: check_choice(key, value, choices)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "dt_ms": _bin_width,
    "unit": _one_of("s", "ms"),
    "onset_ms": check_number,
    "before_ms": check_number,
    "after_ms": check_number,
    "silence": check_number,
    "trials": _one_of(*TRIALS),
    "stimuli": _one_of(*STIMULI),
    "spectrogram": _spectrogram,
    "frequencies_hz": _frequencies,
    "hearing_range_hz": _frequencies,
    "audio_fs": check_integer,
    "n_bands": check_integer,
}
