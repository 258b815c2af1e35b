"""CRCNS AA-2 as its archives unpack: tables of cells and sounds, and the text files of AA-1."""

import numpy as np
from aa1_files import FS, write_cell, write_sounds

AREAS = {"aa1_1_A": "mld", "aa1_2_B": "OV", "bb2_1": "L", "bb2_2": "L2a", "cc3_4_A": "CM", "cc3_5_A": "None"}
KINDS = ("conspecific", "flatrip", "songrip")


def write_release(folder, seed=0):
    """Six cells of six areas, each of which heard some of the sounds, and a song of another species."""
    rng = np.random.default_rng(seed)
    names = write_sounds(folder / "all_stims", rng, rng.uniform(0.3, 0.5, 37).round(2))
    kinds = [*(KINDS[k % 3] for k in range(36)), "bengalese"]
    rows = [f"{name},{FS},16,{FS // 2},{kind}" for name, kind in zip(names, kinds, strict=True)]
    (folder / "stim_data.csv").write_text("\n".join(rows) + "\n")
    (folder / "cell_regions.csv").write_text("".join(f"{cell},{area}\n" for cell, area in AREAS.items()))
    truth = {}
    for k, cell in enumerate(AREAS):
        truth[cell] = {}
        for kind in KINDS:
            heard = [name for i, name in enumerate(names) if kinds[i] == kind and i % 6 != k]
            truth[cell] |= write_cell(folder / "all_cells" / cell / kind, rng, heard, n_trials=2)
        write_cell(folder / "all_cells" / cell / "bengalese", rng, [names[-1]])
    return truth
