"""CRCNS AC-1 as its archives unpack: .mat files of sounds, and for every cell a folder of .mat files with traces."""

from typing import NamedTuple

import numpy as np
from scipy.io import savemat
from scipy.ndimage import gaussian_filter1d

FS = {"samples": 100000.0, "sample": 97656.25}  # of Wehr and of Asari
RATES = {"wehr": 4000, "asari": 10000}
DURATION_S = {"wehr": 0.4, "asari": 0.1}  # of a sound, of a segment
WEHR = {"20020608-mw-002": 6, "20020610-mw-001": 3, "20030101-ck-012": 5}  # how many sounds each cell heard
A1, MGB = "20060101-ha-001", "20070203-ha-002"
N_REPEATS = 4
SEQUENCES = ((1, 2), (3, 1), (2, 2), (4, 3))
ARTEFACTS = ("range", "step", "xcorr")


class Truth(NamedTuple):
    traces_mv: dict  # (session, name of the sound) -> per repeat, from the onset to the end of the sound
    spikes: dict  # (session, name of the sound) -> per repeat, samples at which spikes begin
    sounds: dict  # name of a file such as "fragments/1" -> samples


def struct(*rows):
    """An array of structs as MATLAB has them, (1, K)."""
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for k, row in enumerate(rows):
        for name, value in row.items():
            array[0, k][name] = value
    return array


def write_release(folder, seed=0, artefacts=False):
    """Three of Wehr's cells, and one of Asari in A1 and in the MGB; the first repeats are artefacts if asked for."""
    rng = np.random.default_rng(seed)
    truth = Truth({}, {}, {})
    _write_wehr(folder / "crcns-ac1" / "wehr", rng, truth, artefacts)
    _write_asari(folder, rng, truth)
    return truth


def _write_sound(file, rng, truth, duration_s, description, field):
    file.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * rng.normal(size=round(duration_s * FS[field]))
    truth.sounds[f"{file.parent.name}/{file.stem}"] = samples
    stimulus = {field: samples[:, None], "param": {"sf": FS[field], "description": description}}
    savemat(file, {"stimulus": stimulus}, do_compression=True)


def _write_wehr(place, rng, truth, artefacts):
    sounds = [f"fragments/{k}" for k in range(1, 11)] + ["category1/1", "category3/2"]
    for name in sounds:
        description = f"Jaguar mating call {name}"
        _write_sound(place / "Stimuli" / f"{name}.mat", rng, truth, DURATION_S["wehr"], description, "samples")
    savemat(place / "Summary.mat", {"note": "not read"})
    for session, n_sounds in WEHR.items():
        heard = [sounds[i] for i in sorted(rng.permutation(len(sounds))[:n_sounds], key=lambda i: -i)]
        number = 1
        for repeat in range(N_REPEATS + 1):
            for name in heard:
                evoked = _evoked(session, name, DURATION_S["wehr"], RATES["wehr"])
                trace = _potential(rng, evoked, lead=200, tail=300)
                kind = ARTEFACTS[repeat] if artefacts and repeat < len(ARTEFACTS) and name == heard[0] else ""
                _spoil(trace, kind, evoked)
                triggers = struct(_trigger("naturalsound" if repeat else "nauralsound", 201, name, 400.0))
                _write_trace(place / "Results" / session / f"{session}-{number:03d}.mat", trace, "wehr", triggers)
                stored = _stored(trace)[200 : 200 + len(evoked)]
                truth.traces_mv.setdefault((session, name), []).append(stored)
                number += 1
        tone = struct({"type": "tone", "time": 5.0, "param": {"frequency": 1000.0, "duration": 25.0}})
        file = place / "Results" / session / f"{session}-{number:03d}.mat"
        _write_trace(file, _potential(rng, np.zeros(400), 0, 0), "wehr", tone)


def _write_asari(folder, rng, truth):
    stimuli = folder / "crcns-ac1" / "asari" / "Stimuli"
    for k in range(1, 5):
        _write_sound(stimuli / "class2" / f"{k}.mat", rng, truth, DURATION_S["asari"], f"bird {k}", "sample")
    rate = RATES["asari"]
    for part, (session, site, kind) in enumerate(
        [(A1, "left auditory cortex", "whole-cell"), (MGB, "auditory thalamus", "cell-attached")], start=1
    ):
        place = folder / f"crcns-ac1-asari-results-{part}" / f"asari-results-{part}" / session
        for repeat in range(N_REPEATS):
            trace, triggers = _potential(rng, np.zeros(100), 0, 0), []
            for number, sequence in enumerate(SEQUENCES, start=1):
                name = "+".join(f"class2/{k}" for k in sequence)
                evoked = _evoked(session, name, 0.2, rate)
                start = len(trace)
                triggers.append(
                    {
                        "type": "sequence",
                        "time": float(start + 1),
                        # the table of this session lists the segments backwards
                        "param": {"description": f"Sequence {number}: {' '.join(str(5 - k) for k in sequence)}"},
                    }
                )
                if session == A1:
                    trace = np.concatenate([trace, _potential(rng, evoked, 0, 500)])
                    truth.traces_mv.setdefault((session, name), []).append((start, len(evoked)))
                else:
                    spikes = np.sort(rng.choice(np.arange(60, 1940, 120), rng.integers(0, 7) + 1, replace=False))
                    spikes = spikes + rng.integers(0, 50, len(spikes))
                    own = 0.1 * rng.normal(size=2000)
                    for spike in spikes:
                        own[spike : spike + 8] += 12.0  # 0.8 ms above the threshold
                    trace = np.concatenate([trace, own - 70, np.full(500, -70.0)])
                    truth.spikes.setdefault((session, name), []).append(spikes)
            param = {
                "recording": {"site": site, "type": kind},
                "stimulus": struct(*({"file": f"class2/{5 - i}.mat"} for i in range(1, 5))),
            }
            _write_trace(place / f"{session}-{repeat + 1:03d}.mat", trace, "asari", struct(*triggers), param)
            for key, repeats in truth.traces_mv.items():
                if key[0] == session and isinstance(repeats[-1], tuple):
                    start, size = repeats[-1]
                    repeats[-1] = _stored(trace)[start : start + size]


def _trigger(kind, time, name, duration_ms):
    return {
        "type": kind,
        "time": float(time),
        "param": {"description": f"Jaguar mating call {name}", "duration": duration_ms},
    }


def _evoked(session, name, duration_s, rate):
    own = np.random.default_rng(sum(map(ord, session + name)))
    return 15 * gaussian_filter1d(own.normal(size=round(duration_s * rate)), 0.003 * rate)


def _potential(rng, evoked, lead, tail):
    whole = np.pad(evoked, (lead, tail))
    return (
        -65 + 3 * np.sin(np.arange(len(whole)) / 3000 + rng.uniform(0, 6)) + whole + 0.2 * rng.normal(size=len(whole))
    )


def _spoil(trace, kind, evoked):
    if kind == "range":
        trace[700] = 220.0
    elif kind == "step":
        trace[1200:] += 60.0
    elif kind == "xcorr":
        trace[200:1800] -= 1.2 * evoked


SCALE = 0.01


def _stored(trace):
    return np.round(trace / SCALE) * SCALE


def _write_trace(file, trace, who, triggers, param=None):
    file.parent.mkdir(parents=True, exist_ok=True)
    response = {"trace": np.round(trace / SCALE).astype(np.int16)[:, None], "scale": SCALE, "sf": float(RATES[who])}
    savemat(file, {"response": response, "triggers": triggers, "param": param or {"notes": "none"}})
