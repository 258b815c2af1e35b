"""Allen Neuropixels as DANDI delivers it: the NWB file of a session, that of a probe, and templates beside them."""

from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image

FRAME_S = 1001 / 30_000
MOVIE, SCENES = (180, 16, 24), (3, 32, 48)  # as many frames as blocks of time need
AREAS = ("VISp", "LGd", "VISp", "CA1", "VISp", "VISp", "VISp")
PROBES = ("probeA", "probeB", "probeB", "probeA", "probeA", "probeA", "probeA")
GOOD = (0, 1, 2)  # 3 and those behind it each miss one criterion
GABOR = (2, 1)  # row and column of the place that drives unit 0
WHOLE = range(MOVIE[0])
PASSES = {
    0.0: [WHOLE, [k for k in WHOLE if k != 5], WHOLE],
    1.0: [WHOLE, range(90), WHOLE],
}  # one lacks a frame, one ends
LATE = (2, 7)  # in this showing, this frame stays twice as long


class Truth(NamedTuple):
    movie: np.ndarray  # (T, H, W)
    counts: np.ndarray  # (N, R, T), NaN where a frame was not shown, came late, or is invalid
    scenes: np.ndarray
    scene_rows: tuple[np.ndarray, np.ndarray]  # pictures and onsets
    gabors: tuple[np.ndarray, np.ndarray]  # rows and columns on the grid
    spikes: list[np.ndarray]


def write_release(folder, seed=0, session=721123822):
    """Three units that pass of seven; the last of the three is silent."""
    rng = np.random.default_rng(seed)
    movie = rng.integers(0, 256, MOVIE, dtype=np.uint8)
    scenes = rng.integers(0, 256, SCENES, dtype=np.uint8)
    np.save(folder / "movie.npy", movie)
    (folder / "movie.npy").rename(folder / "natural_movie_1.h5")  # as the Allen Institute named it
    for k, scene in enumerate(scenes):
        Image.fromarray(scene).save(folder / f"natural_scene_{k}.tiff")

    spikes = [[] for _ in AREAS]
    frames, onsets, stops, block, counts = _movie_rows(rng, spikes)
    pictures, scene_onsets = _scene_rows(rng, spikes)
    gabor_rows, gabor_columns, gabor_onsets = _gabor_rows(rng, spikes)
    spikes = [np.sort(np.concatenate([*own, np.empty(0)])) for own in spikes]
    with h5py.File(folder / f"sub-707296975_ses-{session}.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.2.2"
        file["general/session_id"] = str(session)
        file["general/subject/subject_id"] = "707296975"
        _write_units(file, spikes)
        _table(
            file, "natural_movie_one_presentations", onsets, stops, frame=frames, stimulus_block=block,
            stimulus_name=["natural_movie_one"] * len(frames), contrast=np.full(len(frames), 0.8),
        )  # fmt: skip
        _table(
            file, "natural_scenes_presentations", scene_onsets, scene_onsets + 0.25, frame=pictures,
            stimulus_block=np.full(len(pictures), 7.0),
        )  # fmt: skip
        _table(
            file, "gabors_presentations", gabor_onsets, gabor_onsets + 0.25, x_position=10.0 * gabor_columns - 10,
            y_position=10.0 - 10 * gabor_rows, orientation=rng.choice([0.0, 45.0, 90.0], len(gabor_rows)),
            stimulus_block=np.zeros(len(gabor_rows)),
        )  # fmt: skip
        _table(file, "spontaneous_presentations", [1.0], [2.0], stimulus_name=["spontaneous"])
        _write_invalid(file, onsets)
    with h5py.File(folder / f"sub-707296975_ses-{session}_probe-810755797_ecephys.nwb", "w") as file:
        file["acquisition/probe_810755797_lfp/probe_810755797_lfp_data/data"] = np.zeros((4, 2))
    return Truth(movie, counts, scenes, (pictures, scene_onsets), (gabor_rows, gabor_columns), spikes)


def _movie_rows(rng, spikes):
    """Two blocks of three showings, and the spikes in their frames."""
    frames, onsets, stops, block = [], [], [], []
    counts = np.full((len(AREAS), 6, MOVIE[0]), np.nan)
    time = 1000.0
    for number, showings in PASSES.items():
        for frames_shown in showings:
            repeat = len(frames) and len(set(zip(block, np.cumsum(np.diff([99, *frames]) < 0), strict=True)))
            for frame in range(max(frames_shown) + 1):
                lasting = FRAME_S * (2 if (repeat, frame) == LATE else 1)
                if frame in frames_shown:
                    for unit, own in enumerate(spikes):
                        n = 0 if unit == 2 else rng.poisson(0.5 + 3 * (frame % 5 == 0))
                        own.append(rng.uniform(time + 1e-5, time + lasting - 1e-5, n))
                        counts[unit, repeat, frame] = n
                    frames.append(frame), onsets.append(time), stops.append(time + lasting), block.append(number)
                time += lasting
        time += 60.0
    counts[:, LATE[0], LATE[1]] = np.nan
    counts[:, 3, 2:4] = np.nan  # as _write_invalid has it: of the stimulus
    counts[[u for u, probe in enumerate(PROBES) if probe == "probeB"], 0, 4] = np.nan  # and of a probe
    return np.array(frames, float), np.array(onsets), np.array(stops), np.array(block), counts


def _scene_rows(rng, spikes, n=40):
    pictures = rng.integers(-1, SCENES[0], n).astype(float)  # -1 is a blank screen
    onsets = 2000 + 0.25 * np.arange(n)
    for unit, own in enumerate(spikes):
        own.append(np.empty(0) if unit == 2 else rng.uniform(2000, 2000 + 0.25 * n, 400))
    return pictures, onsets


def _gabor_rows(rng, spikes, n=900):
    places = rng.permutation(np.arange(n) % 9)
    rows, columns, onsets = places // 3, places % 3, 100 + 0.25 * np.arange(n)
    driven = onsets[(rows == GABOR[0]) & (columns == GABOR[1])]
    spikes[0].append((driven[:, None] + rng.uniform(0.05, 0.1, (len(driven), 5))).ravel())
    spikes[0].append(rng.uniform(100, 100 + 0.25 * n, 200))
    return rows, columns, onsets


def _write_units(file, spikes):
    n = len(spikes)
    units = file.create_group("units")
    values = {
        "quality": ["good", "good", "good", "noise", "good", "good", "good"],
        "amplitude_cutoff": [0.01, 0.1, 0.05, 0.01, np.nan, 0.01, 0.01],
        "presence_ratio": [0.99, 0.95, 0.99, 0.99, 0.99, 0.5, 0.99],
        "isi_violations": [0.0, 0.5, 0.1, 0.0, 0.0, 0.0, 2.5],
        "firing_rate": np.linspace(9, 3, n),
        "snr": np.linspace(2, 3, n),
        "peak_channel_id": 850_000 + np.arange(n)[::-1],
        "id": 950_000 + np.arange(n),
        "spike_times": np.concatenate(spikes),
        "spike_times_index": np.cumsum([len(own) for own in spikes]),
        "waveform_mean": np.zeros((3 * n, 5)),
        "waveform_mean_index": 3 * np.arange(1, n + 1),
    }
    for name, column in values.items():
        units[name] = column
    electrodes = file.create_group("general/extracellular_ephys/electrodes")
    electrodes["id"] = 850_000 + np.arange(n)
    electrodes["location"], electrodes["group_name"] = list(AREAS[::-1]), list(PROBES[::-1])
    file["general/extracellular_ephys/probeA/x"] = 0
    electrodes["group"] = np.full(n, file["general/extracellular_ephys/probeA"].ref, dtype=h5py.ref_dtype)
    electrodes["x"] = np.full(n, np.nan)


def _write_invalid(file, onsets):
    """Frames 2 and 3 of the fourth showing for all, frame 4 of the first for probe B, and all of it for probe C."""
    fourth = np.flatnonzero(np.diff(onsets) > 1)[0] + 1
    times = [(fourth + 2, fourth + 3), (4, 4), (0, len(onsets) - 1)]
    tags = ["EcephysSession", "7", "stimulus", "EcephysProbe", "8", "probeB", "EcephysProbe", "9", "probeC"]
    start = np.array([onsets[first] + 0.01 for first, _ in times])
    stop = np.array([onsets[last] + 0.02 for _, last in times])
    _table(file, "invalid_times", start, stop, tags=tags, tags_index=[3, 6, 9])


def _table(file, name, onsets, stops, **columns):
    table = file.create_group(f"intervals/{name}")
    table["id"] = np.arange(len(onsets))
    for column, values in {"start_time": onsets, "stop_time": stops, **columns}.items():
        table[column] = values
