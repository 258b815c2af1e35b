"""The files of Le 2025: units and their trials in two layouts of JSON, and what the names of sounds say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepSTRF.datasets.audio.release_tables import read_rows, read_text
from deepSTRF.datasets.audio.spike_lines import Cell
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.recording_folder import files_in

__all__ = ["critical_intervals", "parts_of_name", "read_cells"]

_VARIANTS = {"continuous": "C", "gap": "G", "noise": "N", "gapnoise": "GB", "continuousnoise": "CB"}
_OLD_NAME = re.compile(r"(?P<motif>.+)_(?P<variant>continuousnoise|gapnoise|continuous|gap|noise)(?P<ci>[12]?)")
_NAME = re.compile(r"ep_(?P<motif>.+?)_(?P<variant>GB|CB|GM|CM|C|G|N)(?:_g(?P<ci>\d+))?(?:_snr(?P<snr>-?[\d.]+))?")


def parts_of_name(name: str) -> dict[str, Any]:
    """Motif, variant, critical interval and signal-to-noise ratio, from the name of a sound."""
    if match := _NAME.fullmatch(name):
        parts = match.groupdict()
    elif match := _OLD_NAME.fullmatch(name):
        parts = match.groupdict() | {"variant": _VARIANTS[match["variant"]], "snr": None}
    else:
        return {"motif": name, "variant": "other", "critical_interval": None, "snr_db": None}
    return {
        "motif": parts["motif"],
        "variant": parts["variant"],
        "critical_interval": int(parts["ci"]) if parts["ci"] else None,
        "snr_db": float(parts["snr"]) if parts["snr"] else None,
    }


def read_cells(folder: Path, sites: Sequence[dict[str, str]]) -> Iterator[Cell]:
    """The units of a folder, with what their files or the table of sites say about them."""
    files = files_in(folder, "*.pprox")
    if not files:
        raise FileNotFoundError(f"there is no unit (*.pprox) in {folder}; download the recording again")
    cohort = folder.name.removesuffix("-responses")
    for file in files:
        try:
            unit = json.loads(read_text(file))
            is_old = str(unit.get("$schema", "")).rstrip("#").endswith("pprox.json")
            spikes: dict[str, list[np.ndarray]] = {}
            for trial in unit["pprox"]:
                name, times = _old_trial(trial) if is_old else _trial(trial)
                spikes.setdefault(name, []).append(times)
        except RecordingError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise RecordingError(f"{file} is no unit of this recording ({error!r}); download it again") from error
        yield Cell({"cell_id": file.stem, "cohort": cohort, **_about(unit, file.stem, sites)}, spikes)


def _old_trial(trial: dict[str, Any]) -> tuple[str, np.ndarray]:
    """Name of the sound, and spike times in ms from its onset."""
    name = "_".join(str(trial[key]) for key in ("stimulus", "condition") if trial.get(key))
    return name, _times(trial["event"]) - float(trial["stim_on"])


def _trial(trial: dict[str, Any]) -> tuple[str, np.ndarray]:
    return trial["stimulus"]["name"], 1000 * _times(trial["events"])


def _times(times: Any) -> np.ndarray:
    """Spike times as some write them to JSON: one alone is no list, and none is null."""
    return np.atleast_1d(np.asarray([] if times is None else times, dtype=float))


def _about(unit: dict[str, Any], name: str, sites: Sequence[dict[str, str]]) -> dict[str, Any]:
    """What its file says, or the table of sites for ``<bird>_<penetration>_<site>``."""
    site = name.rsplit("_c", 1)[0]
    row = next((row for row in sites if site in row.values()), {})
    return {
        "bird": unit.get("bird") or site.split("_")[0],
        "site": site,
        "area": unit.get("location") or row.get("area") or row.get("location"),
        "hemisphere": unit.get("hemisphere") or row.get("hemisphere"),
        "sex": unit.get("bird-sex") or row.get("sex"),
        "age": unit.get("bird-age"),
        "familiar": unit.get("familiar"),
    }


def critical_intervals(file: Path, motifs: set[str]) -> dict[tuple[str, int], tuple[float, float]]:
    """Start and stop in ms of the critical intervals of some motifs, numbered from 1 in the order of the table."""
    found: dict[tuple[str, int], tuple[float, float]] = {}
    for row in read_rows(file):
        motif = next((value for value in row.values() if value in motifs), None)
        if motif is not None and row.get("gap_start") and row.get("gap_stop"):
            number = 1 + sum(known == motif for known, _ in found)
            try:
                found[motif, number] = (float(row["gap_start"]), float(row["gap_stop"]))
            except ValueError as error:
                raise RecordingError(f"{file}: expected gaps of {motif} in ms ({error}); download it again") from error
    return found
