"""Files as nitime ships them: an amplitude every 50 microseconds, and spike times in microseconds."""

from typing import NamedTuple

import numpy as np


class Truth(NamedTuple):
    amplitudes: dict
    spikes_us: dict


def write_release(folder, seed=0, duration_s=6.0):
    rng = np.random.default_rng(seed)
    n_samples = round(duration_s * 20_000)
    truth = Truth({}, {})
    for k in (1, 2):
        amplitude = np.round(0.25 + 0.05 * rng.normal(size=n_samples), 6)
        spikes = np.sort(rng.choice(int(duration_s * 1e6) // 100, 60 * k, replace=False)) * 100
        lines = [f"{50 * i}  {value:.6f}" for i, value in enumerate(amplitude)]
        (folder / f"grasshopper_stimulus{k}.txt").write_text("\n".join(lines) + "\n")
        header = f"# repro call number: 0\n# signal: {k}\n# carrier freq (kHz): 2.5\n"
        (folder / f"grasshopper_spike_times{k}.txt").write_text(header + "\n".join(map(str, spikes)) + "\n\n")
        truth.amplitudes[k], truth.spikes_us[k] = amplitude, spikes
    return truth
