"""CRCNS AA-1 as its archive unpacks: text files of spike times in ms, one line per trial, and the names of sounds."""

import hashlib

import numpy as np
import soundfile

FS = 32000


def write_sounds(folder, rng, durations_s):
    """Write noise of these durations under names that look like MD5 sums, and return the names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for k, duration in enumerate(durations_s):
        name = hashlib.md5(f"{folder.name}{k}".encode()).hexdigest() + ".wav"
        soundfile.write(folder / name, 0.1 * rng.normal(size=round(duration * FS)), FS, subtype="PCM_16")
        names.append(name)
    return names


def write_cell(folder, rng, sounds, n_trials=3):
    """Write spike times from 1 s before the onset to after the end, and return them by sound."""
    folder.mkdir(parents=True)
    truth = {}
    for k, sound in enumerate(sounds, start=1):
        trials = [np.sort(rng.uniform(-1000, 900, rng.integers(3, 30))).round(3) for _ in range(n_trials)]
        trials[k % n_trials] = np.empty(0)  # a trial without spikes
        (folder / f"stim{k}").write_text(sound + "\n")
        lines = ["".join(f"{time:g} " for time in trial) for trial in trials]
        (folder / f"spike{k}").write_text("\n".join(lines) + "\n")
        truth[sound] = [np.array(line.split(), float) for line in lines]
    return truth


CELLS = {"Field_L": ["pipu1018_2_B", "blabla0506_5"], "MLd": ["pipu1018_2_A", "gr0869_3_A"]}


def write_release(folder, seed=0):
    """Four cells, two of which heard no song, and a stimulus that was announced but not recorded."""
    rng = np.random.default_rng(seed)
    sounds = {
        kind: write_sounds(folder / "all_stims" / kind, rng, durations)
        for kind, durations in (("conspecific", [0.4, 0.5, 0.3, 0.45, 0.35, 0.5]), ("flatrip", [0.6, 0.6, 0.5, 0.6]))
    }
    truth = {}
    for area, cells in CELLS.items():
        for cell in cells:
            place = folder / f"{area}_cells" / cell
            truth[cell] = {}
            for kind, names in sounds.items():
                if not (cell.startswith("pipu1018") and kind == "conspecific"):
                    truth[cell] |= write_cell(place / kind, rng, names)
    (folder / "MLd_cells" / "gr0869_3_A" / "flatrip" / "spike2").unlink()
    del truth["gr0869_3_A"][sounds["flatrip"][1]]
    return truth
