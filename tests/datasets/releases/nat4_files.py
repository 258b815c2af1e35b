"""NAT4 as Zenodo delivers it: the population, an archive per site, the table of correlations, and sounds."""

from typing import NamedTuple

import numpy as np
import soundfile
from lbhb_files import csv_rows, description, epochs_csv, h5, table, write_archive

CELLS = {"AMT003c": ["AMT003c-11-1", "AMT003c-12-2"], "ARM029a": ["ARM029a-05-1", "ARM029a-07-1"]}
WITHOUT_SITE = "TAR010c-18-2"
EST = [f"STIM_cat{k:02d}_rec1_sound{k}_excerpt1.wav" for k in range(30)]
VAL = [f"STIM_00cat{k}_rec1_sound{k}_excerpt1.wav" for k in range(4)]
N_REPEATS = 5


class Truth(NamedTuple):
    val_spikes: dict  # (cell, name) -> per repeat, times in s from the beginning of the epoch
    est_counts: dict  # (cell, name) -> (150,)
    stims: dict


def write_release(folder, seed=0, area="A1", per_spike=1.0):
    """Five cells: one in no site, one with sounds that it did not hear."""
    rng = np.random.default_rng(seed)
    names = EST + VAL
    cells = [cell for site in CELLS.values() for cell in site] + [WITHOUT_SITE]
    truth = Truth({}, {}, {name: rng.gamma(1.0, 2.0, (150, 18)).astype(np.float32) for name in names})
    responses = np.zeros((150 * len(names), len(cells)))
    for site, of_site in CELLS.items():
        start, epochs, times = 0.0, [], {cell: [] for cell in of_site}
        for _ in range(N_REPEATS):
            for name in rng.permutation(VAL):
                epochs.append((name, start, start + 1.5))
                epochs.append(("PreStimSilence", start, start + 0.25))
                for cell in of_site:
                    own = np.sort(rng.uniform(0, 1.5, rng.integers(0, 40)))
                    truth.val_spikes.setdefault((cell, name), []).append(own)
                    times[cell].append(start + own)
                start += 1.6
        members = {
            "resp.h5": h5(**{cell: np.concatenate(parts) for cell, parts in times.items()}),
            "resp.json": description(of_site, fs=1000),
            "resp.epoch.csv": epochs_csv(epochs),
        }
        write_archive(folder / f"{area}_single_sites" / f"{site}.tgz", site, members)
    for s, name in enumerate(names):
        for n, cell in enumerate(cells):
            rows = slice(150 * s, 150 * (s + 1))
            if name in EST:
                heard = not (n == 1 and s < 5)
                responses[rows, n] = rng.poisson(0.3, 150) if heard else np.nan
                truth.est_counts[cell, name] = responses[rows, n].copy() if heard else None
            elif cell != WITHOUT_SITE:
                psth = [np.histogram(own, np.arange(151) * 0.01)[0] for own in truth.val_spikes[cell, name]]
                responses[rows, n] = np.mean(psth, 0)
            else:
                responses[rows, n] = np.nan
    stem = f"{area}_NAT4_ozgf.fs100.ch18"
    members = {
        "meta.json": b"{}",
        "resp.csv": table(responses * per_spike),
        "resp.json": description(cells),
        "resp.epoch.csv": epochs_csv([(name, 1.5 * s, 1.5 * (s + 1)) for s, name in enumerate(names)]),
        "stim.csv": table(np.concatenate([truth.stims[name] for name in names])),
        "mask_est.csv": table(np.repeat([name in EST for name in names], 150)[:, None]),
    }
    write_archive(folder / f"{stem}.tgz", stem, members)
    rows = [(cell, n % 2 == 0) for n, cell in enumerate(cells)]
    (folder / f"{area}_pred_correlation.csv").write_bytes(csv_rows(rows, header=("cellid", "sig_auditory")))
    (folder / "wav").mkdir()
    for name in names:
        sound = 0.1 * rng.normal(size=8000)
        soundfile.write(folder / "wav" / name.removeprefix("STIM_").replace("sound", "SOUND"), sound, 8000)
    return truth
