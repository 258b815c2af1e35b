"""CRCNS AA-4 as its archives unpack: an HDF5 file per unit, and numbered sounds, for each bird."""

import hashlib

import h5py
import numpy as np
import soundfile

FS = 24414
KINDS = {"Song": "song", "Ag": "call", "mlnoise": "mlnoise"}


def write_release(folder, seed=0, n_stims=48, n_units=(4, 2), duration_s=0.3, n_trials=3):
    """Two birds that heard the same sounds under other numbers; of every bird, one unit is noise."""
    rng = np.random.default_rng(seed)
    sounds = [0.1 * rng.normal(size=round(FS * (duration_s + 0.0007 + 0.01 * (k % 5)))) for k in range(n_stims)]
    kinds = [list(KINDS)[k % 3] for k in range(n_stims)]
    truth = {}
    for bird, n in zip(("BlaBro09xxF", "WhiBlu5396M"), n_units, strict=True):
        (folder / bird / "wavfiles").mkdir(parents=True)
        order = rng.permutation(n_stims)
        for number, k in enumerate(order, start=1):
            soundfile.write(folder / bird / "wavfiles" / f"stim{number:02d}.wav", sounds[k], FS, subtype="PCM_16")
        for u in range(n + 1):
            name = f"Site{u + 1}_L1000R900_e{u + 3}_s0" + ("_ss1" if u == 0 else "")
            sorting = "noise" if u == n else ("singl" if u == 0 else "multi")
            heard = [number for number in range(1, n_stims + 1) if rng.random() < 0.8]
            spikes = _write_unit(folder / bird / f"{name}.h5", rng, u, sorting, order, kinds, heard, n_trials)
            if sorting != "noise":
                truth[f"{bird}_{name}"] = spikes
    return truth


def _write_unit(file, rng, u, sorting, order, kinds, heard, n_trials):
    spikes = {}
    with h5py.File(file, "w") as unit:
        unit.attrs.update(sortType=sorting, site=u + 1, electrode=u + 3, ldepth=1000, rdepth=900, sortid=0)
        unit.create_group("class_info")
        unit.create_group("extra_info")
        for number in heard:
            k = order[number - 1]
            md5 = hashlib.md5(f"sound {k}".encode()).hexdigest()
            group = unit.require_group(kinds[k]).create_group(str(number))
            group.attrs.update(stim_type=KINDS[kinds[k]], stim_md5=md5, stim_class=kinds[k], stim_duration=0.3)
            trials = [np.sort(rng.uniform(-2, 1.0, rng.integers(0, 40))) for _ in range(n_trials)]
            trials[number % n_trials] = np.array([-1.5])  # no spike after the onset
            for t, times in enumerate(trials):
                group.create_group(f"trial{t}").create_dataset("spike_times", data=times)
            spikes[md5] = [times * 1000 for times in trials]
    return spikes
