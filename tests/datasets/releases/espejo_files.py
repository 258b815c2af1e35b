"""Lopez Espejo 2019 as Zenodo delivers it: two sets of stimuli, an archive per recording, some without spike times."""

from typing import NamedTuple

import numpy as np
from lbhb_files import description, epochs_csv, h5, table, write_archive

N_BINS = 120  # 0.2 s of sound between silences of 0.5 s
EST = [f"STIM_cat{k:02d}_rec1_sound{k}_excerpt1.wav" for k in range(12)]
TEST = [f"STIM_00cat{k}_rec1_sound{k}_excerpt1.wav" for k in range(3)]


class Recording(NamedTuple):
    cells: list
    repeats: dict  # stimulus -> number of presentations
    as_csv: bool = False


ONCE = dict.fromkeys(EST[:8], 1)
NAT = {
    "AMT003c": Recording(["AMT003c-11-1", "AMT003c-12-2"], ONCE | dict.fromkeys(TEST[:2], 4)),
    # the last sound for test stopped early here, another one is heard twice: for test it is elsewhere
    "BOL005c": Recording(["BOL005c-05-1"], dict.fromkeys(EST[4:], 1) | {TEST[0]: 2, TEST[1]: 5, TEST[2]: 5}),
}
VMN = {
    "chn002h": Recording(["chn002h-a1", "chn002h-a2"], ONCE | dict.fromkeys(TEST, 3), as_csv=True),
    "por023a": Recording(["por023a-a1", "por023a-c1"], dict.fromkeys(EST, 1) | dict.fromkeys(TEST, 4)),
    "por023b": Recording(["por023a-a1"], dict.fromkeys(EST[:2], 1) | dict.fromkeys(TEST[:1], 6)),
}


class Truth(NamedTuple):
    counts: dict  # (cell, name) -> (R, T), the repeats of all recordings in their order
    stims: dict  # (set, name) -> (F, T)


def write_release(folder, seed=0):
    rng = np.random.default_rng(seed)
    truth = Truth({}, {})
    for name, recordings, n_bands, stimfmt in (("NAT", NAT, 18, "ozgf"), ("VMN", VMN, 2, "envelope")):
        outer = {"NAT": "A1_natural_sounds", "VMN": "A1_voc_mod_noise"}[name]
        for stim in EST + TEST:
            truth.stims[name, stim] = rng.gamma(1.0, 1.0, (n_bands, N_BINS)).astype(np.float32)
        for session, recording in recordings.items():
            stims = {stim: truth.stims[name, stim] for stim in recording.repeats}
            members = _members(recording, stims, truth.counts, rng) | {
                "meta.json": f'{{"stimfmt": "{stimfmt}"}}'.encode()
            }
            write_archive(folder / outer / name / f"{session}_5f6a7b.tgz", session, members)
    return truth


def _members(recording, stims, counts, rng):
    order = rng.permutation([stim for stim, repeats in recording.repeats.items() for _ in range(repeats)])
    starts = 0.3 + 1.25 * np.arange(len(order)) + (0 if recording.as_csv else 0.0033)
    starts = starts.round(2) if recording.as_csv else starts
    end = round(starts[-1] * 100) + N_BINS
    epochs, times = [], {cell: [] for cell in recording.cells}
    binned, stimulus = np.zeros((end, len(recording.cells))), np.zeros((end, len(next(iter(stims.values())))))
    for start, stim in zip(starts, map(str, order), strict=True):
        epochs += [(stim, start, start + N_BINS / 100), ("PreStimSilence", start, start + 0.5)]
        bins = slice(round(start * 100), round(start * 100) + N_BINS)
        stimulus[bins] = stims[stim].T
        for n, cell in enumerate(recording.cells):
            silent = n == 1 and stim == EST[4]  # a trial without spikes
            spikes = np.sort(rng.uniform(1e-4, N_BINS / 100 - 1e-4, 0 if silent else rng.poisson(20))).round(6)
            times[cell].append(start + spikes)
            trial = np.histogram(spikes, np.arange(N_BINS + 1) / 100)[0]
            binned[bins, n] = trial
            counts[cell, stim] = np.concatenate([counts.get((cell, stim), np.empty((0, N_BINS))), trial[None]])
    members = {"resp.json": description(recording.cells), "resp.epoch.csv": epochs_csv(epochs)}
    if recording.as_csv:
        return members | {"resp.csv": table(binned), "stim.csv": table(stimulus)}
    spike_times = {cell: np.concatenate(parts) for cell, parts in times.items()}
    return members | {"resp.h5": h5(**spike_times), "stim.h5": h5(**stims)}
