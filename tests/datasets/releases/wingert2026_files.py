"""Wingert 2026 as Zenodo delivers it: an archive per session, the list of cells, and sounds."""

from typing import NamedTuple

import numpy as np
import soundfile
from lbhb_files import csv_rows, description, epochs_csv, h5, write_archive

COLUMNS = ("cellid", "siteid", "area", "layer", "depth", "narrow", "celltype", "sw", "goodpred", "unused")
# session -> cells; those of PRN015b have the names of PRN015a, SLJ032a has two probes, PRN010b is in no list
SESSIONS = {
    "CLT027c": ["CLT027c-012-1", "CLT027c-014-2"],
    "PRN010b": ["PRN010b-005-1"],
    "PRN015b": ["PRN015a-101-1", "PRN015a-102-1"],
    "SLJ032a": ["SLJ032a-003-1", "SLJ032a-B-044-3"],
}
AREAS = {"CLT027c-012-1": "A1", "CLT027c-014-2": "PEG", "PRN015a-101-1": "A1", "PRN015a-102-1": "A1",
         "SLJ032a-003-1": "A1", "SLJ032a-B-044-3": "HC"}  # fmt: skip
EST = [f"STIM_seq{k:04d}.wav" for k in range(12)]
VAL = [f"STIM_00seq{k:04d}.wav" for k in range(2)]
N_REPEATS = 5
N_BINS = {"CLT027c": 200, "PRN010b": 200, "PRN015b": 220, "SLJ032a": 220}  # a tenth of the real


class Truth(NamedTuple):
    spikes: dict  # (session, cell, name) -> per repeat, times in s from the beginning of the presentation
    stims: dict  # (session, name) -> (32, T), linear


def write_release(folder, seed=0, duplicated=False):
    """Four sessions, of which one began at an odd time; with `duplicated` CLT027d, which holds the cells of CLT027c."""
    rng = np.random.default_rng(seed)
    truth = Truth({}, {})
    sessions = SESSIONS | ({"CLT027d": SESSIONS["CLT027c"]} if duplicated else {})
    for session, cells in sessions.items():
        n_bins = N_BINS.get(session, 200)
        start = 0.0237 if session == "SLJ032a" else 0.0
        epochs, times = [], {cell: [] for cell in cells}
        for name in [*EST, *(str(name) for name in rng.permutation(VAL * N_REPEATS))]:
            truth.stims[session, name] = rng.gamma(0.5, 2.0, (32, n_bins)).astype(np.float32)
            epochs += [("TRIAL", start, start + n_bins / 100), (name, start, start + n_bins / 100)]
            for n, cell in enumerate(cells):
                rate = 0 if n == 1 and name == EST[3] else 60  # a trial without spikes
                own = np.sort(rng.uniform(0.0001, n_bins / 100, rng.poisson(rate))).round(6)
                truth.spikes.setdefault((session, cell, name), []).append(own)
                times[cell].append(start + own)
            start += n_bins / 100 + 0.5
        names = [*EST, *VAL]
        members = {
            "resp.h5": h5(**{cell: np.concatenate(parts) for cell, parts in times.items()}),
            "resp.json": description(cells),
            "resp.epoch.csv": epochs_csv(epochs),
            "stim.h5": h5(**{name: truth.stims[session, name] for name in names}),
        }
        write_archive(folder / "recordings" / f"{session}_0a1b2c3d.tgz", session, members)
    rows = [
        (cell, cell.rsplit("-", 2)[0], area, "13" if n else "", 120.5 + n, n % 2 == 0, "RS", 0.3, True, "x")
        for n, (cell, area) in enumerate(AREAS.items())
    ]
    (folder / "cell_list.csv").write_bytes(csv_rows(rows, header=COLUMNS))
    (folder / "wav").mkdir()
    for name in [*EST, *VAL]:
        soundfile.write(folder / "wav" / name.removeprefix("STIM_"), 0.1 * rng.normal(size=22050), 44100)
    return truth
