"""Responses of the cells of CRCNS AC-1: potentials without drift or spikes, in bins, without artefacts."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from deepSTRF.datasets.audio.ac1_release import (
    Presentation,
    SoundFile,
    asari_sounds,
    presentations,
    recording_of,
    sessions,
    wehr_sounds,
)
from deepSTRF.datasets.cache import cached
from deepSTRF.datasets.intracellular import (
    RepeatGating,
    detrended,
    means_in_bins,
    running_median,
    upward_crossings,
)
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.sources.binning import bin_of, count_in_repeats

__all__ = ["Cell", "Gathered", "Preparation", "gather"]

_SPIKE_MEDIAN_MS = 10.0
_THRESHOLD = 2.5  # standard deviations
_LEAST = 0.5  # of a sound that a repeat must have


@dataclass(frozen=True)
class Preparation:
    """What is done to the traces: width of bins and of the windows of the drift in ms, and which repeats go."""

    dt_ms: float
    median_ms: float
    gauss_ms: float
    gating: RepeatGating | None


class Cell(NamedTuple):
    """What is known about a cell, and what it heard: by sound ``repeats`` (R, T), where R may be 0, and ``meta``."""

    meta: dict[str, Any]
    heard: dict[str, dict[str, Any]]

    def has_data(self, sound: str) -> bool:
        """Whether a repeat is left."""
        return sound in self.heard and len(self.heard[sound]["repeats"]) > 0


class Gathered(NamedTuple):
    """All cells of an experimenter, the files of the sounds that they heard, and what is not there."""

    cells: list[Cell]
    files: dict[str, list[SoundFile]]
    """By sound (``"fragments/3"``, ``"class1/2+class1/7"``), in the order of their folders and numbers."""
    missing: list[str]
    """Sounds that cells heard and the release lacks."""
    counts: Counter[str]
    """How many repeats were kept, or left out, by reason."""


def gather(
    who: str, stimuli: Path, results: Sequence[Path], sites: Sequence[str], preparation: Preparation
) -> Gathered:
    """All cells of an experimenter that heard natural sounds, sorted by session; prepared ones come from the cache."""
    read = wehr_sounds if who == "wehr" else asari_sounds
    rows = cached(f"ac1-sounds-{who}", [stimuli], {}, lambda: [tuple(sound) for sound in read(stimuli)])
    sounds = {f"{sound.folder}/{sound.number}": sound for sound in (SoundFile(*row) for row in rows)}
    found = Gathered([], {}, [], Counter())
    named = {place: meta for folder in results for place, meta in sessions(folder).items()}
    for place, parts in sorted(named.items(), key=lambda item: item[0].name):
        meta = {"experimenter": who, **parts, **_recording(who, place), "species": "rat"}
        if meta["site"] not in sites:
            continue
        signal_type, settings = meta["signal_type"], dataclasses.asdict(preparation)
        settings |= {"who": who, "signal": signal_type, "sounds": rows}
        own = cached(
            "ac1-cell", [place], settings, functools.partial(_prepared, place, who, sounds, preparation, signal_type)
        )
        if own["heard"] or own["missing"]:
            found.cells.append(Cell(meta, own["heard"]))
        found.missing.extend(own["missing"])
        found.counts.update(own["counts"])
    order = {name: k for k, name in enumerate(sounds)}
    heard = {name: name.split("+") for cell in found.cells for name in cell.heard}
    for name, parts_of in sorted(heard.items(), key=lambda item: [order[part] for part in item[1]]):
        found.files[name] = [sounds[part] for part in parts_of]
    return found


def _recording(who: str, place: Path) -> dict[str, str]:
    """Site, recording type and signal type of a cell."""
    recording = {"site": "A1", "recording_type": "whole-cell"} if who == "wehr" else recording_of(place)
    kind = recording["recording_type"].lower()
    is_attached = "attach" in kind or ("whole" not in kind and recording["site"] == "MGB")
    return {**recording, "signal_type": "spikes" if is_attached else "subthresh"}


def _prepared(
    place: Path, who: str, known: dict[str, SoundFile], preparation: Preparation, signal_type: str
) -> dict[str, Any]:
    traces: dict[str, list[tuple[np.ndarray, float]]] = {}
    metas: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    for own in presentations(place, who):
        parts = _parts(own, known) if who == "wehr" else own.segments
        if not parts or not all(part in known for part in parts):
            missing += [own.description] if who == "wehr" else [part for part in parts if part not in known]
            continue
        name = "+".join(parts)
        duration_s = sum(known[part].duration_s for part in parts)
        described = _describe(own, [known[part] for part in parts])
        metas.setdefault(name, {"name": name, "experimenter": who, **described, "duration_s": duration_s})
        traces.setdefault(name, []).append((own.trace_mv[: round(duration_s * own.rate_hz)], own.rate_hz))
    counts: Counter[str] = Counter()
    heard = {}
    for name, repeats in traces.items():
        rates = {rate for _, rate in repeats}
        if len(rates) > 1:
            raise RecordingError(f"{place}: responses to {name} were sampled at {sorted(rates)} Hz, expected one rate")
        rate = rates.pop()
        full = metas[name]["duration_s"] * rate
        long = [trace for trace, _ in repeats if len(trace) >= _LEAST * full]
        if len(long) < len(repeats):
            counts["short"] += len(repeats) - len(long)
        binned, reasons = _binned(long, rate, preparation, signal_type)
        counts.update(reasons)
        heard[name] = {"repeats": torch.from_numpy(binned.astype(np.float32)), "meta": metas[name]}
    return {"heard": heard, "missing": missing, "counts": dict(counts)}


def _binned(
    repeats: Sequence[np.ndarray], rate: float, preparation: Preparation, signal_type: str
) -> tuple[np.ndarray, list[str]]:
    """Repeats that are kept, cut to the shortest, in bins (R, T); and the reason of each."""
    if not repeats:
        return np.empty((0, 1)), []
    shortest = min(len(trace) for trace in repeats)
    traces = np.stack([trace[:shortest] for trace in repeats]).astype(np.float64)
    evoked = detrended(traces, rate, preparation.median_ms, preparation.gauss_ms)
    dt_ms, gating = preparation.dt_ms, preparation.gating
    if signal_type == "spikes":
        fast = evoked - running_median(evoked, rate, _SPIKE_MEDIAN_MS)
        n_bins = int(bin_of(np.array(shortest / rate), dt_ms))
        spikes_s = [upward_crossings(line, _THRESHOLD * float(np.nanstd(line))) / rate for line in fast]
        counts = count_in_repeats(spikes_s, 0.0, n_bins, dt_ms)
        return np.where(np.isnan(means_in_bins(traces, rate, dt_ms)), np.nan, counts), ["kept"] * len(traces)
    reasons = ["kept"] * len(traces) if gating is None else gating.reasons(traces, rate, evoked)
    kept = [reason == "kept" for reason in reasons]
    return means_in_bins(evoked[kept], rate, dt_ms), reasons


def _parts(own: Presentation, known: dict[str, SoundFile]) -> tuple[str, ...]:
    """The sound of this description; of several, that of the length that was played."""
    same = [name for name, sound in known.items() if sound.description == own.description]
    if np.isnan(own.duration_s):
        return tuple(same[:1])
    return tuple(sorted(same, key=lambda name: abs(known[name].duration_s - own.duration_s))[:1])


def _describe(own: Presentation, sounds: Sequence[SoundFile]) -> dict[str, Any]:
    if own.sequence is None:
        return {"category": sounds[0].folder, "idx": sounds[0].number, "description": own.description}
    classes = {sound.folder for sound in sounds}
    return {
        "class_n": int(classes.pop().removeprefix("class")) if len(classes) == 1 else None,
        "segments": list(own.indices),
        "segment_files": [f"{sound.folder}/{sound.number}.mat" for sound in sounds],
        "sequence": own.sequence,
        "description": own.description,
    }
