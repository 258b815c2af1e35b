"""Le 2025 as figshare's archive unpacks: tables, sounds, and a JSON file of trials per unit, in two layouts."""

import json

import numpy as np
import soundfile

MOTIFS = ["5ia1qk", "8x3_b", "c95zqj", "hxby12", "jkexyr"]
RATES = {"nat8a": 40000, "nat8b": 48000, "synth8b": 44100}
OLD = {"C": "continuous", "G": "gap1", "N": "noise1", "GB": "gapnoise2", "CB": "continuousnoise2"}


def sounds_of(experiment):
    if experiment == "nat8a":
        return [f"{motif}_{name}" for motif in MOTIFS for name in OLD.values()]
    return [f"ep_{motif}_{variant}" for motif in MOTIFS for variant in ("C", "CB_g1", "GB_g1_snr-5", "GM_g2", "N_g2")]


def write_release(folder, seed=0, experiments=("nat8b",), n_repeats=3):
    """Two units of two areas per folder; returns spike times in ms by unit and sound."""
    rng = np.random.default_rng(seed)
    root = folder / "zebf-auditory-restoration-1"
    (root / "metadata").mkdir(parents=True)
    gaps = [f"{motif},{150 + 100 * ci},{210 + 100 * ci}" for motif in MOTIFS for ci in (1, 2)]
    (root / "metadata" / "song-birds.csv").write_text("\n".join(["motif,gap_start,gap_stop", *gaps]))
    (root / "metadata" / "ephys-birds.csv").write_text("bird,sex\nC104,F\n")
    sites = ["C104_1_1,NCM,L", "C104_2_1,CM,R"]
    (root / "metadata" / "recordings.csv").write_text("\n".join(["site,area,hemisphere", *sites]))
    truth = {}
    for experiment in experiments:
        names = sounds_of(experiment)
        place = root / f"{experiment}-stimuli"
        place.mkdir()
        for k, name in enumerate(names):
            fs = RATES[experiment]
            sound = 0.05 * rng.normal(size=round(fs * (0.4 + 0.01 * (k % 4))))
            soundfile.write(place / f"{name}.wav", sound, fs)
        for cohort in ("nat8a-alpha", "nat8a-beta") if experiment == "nat8a" else (experiment,):
            (root / f"{cohort}-responses").mkdir()
            for u in (1, 2):
                unit = f"C104_{u}_1_c{u + len(cohort)}"
                truth[unit] = {}
                trials = [_trial(rng, cohort, name, truth[unit]) for name in names[u:] for _ in range(n_repeats)]
                content = {"$schema": "https://meliza.org/spec:2/stimtrial.json#", "pprox": trials}
                if cohort == "nat8a-alpha":
                    content = {"$schema": "https://meliza.org/spec:2/pprox.json#", "pprox": trials, "bird": "C104"}
                    content |= {"location": "NCM", "hemisphere": "L", "bird-sex": "F"}
                (root / f"{cohort}-responses" / f"{unit}.pprox").write_text(json.dumps(content))
    return truth


def _trial(rng, cohort, name, truth):
    times = np.sort(rng.uniform(-200, 900, rng.integers(0, 30))).round(2)
    truth.setdefault(name, []).append(times)
    if cohort == "nat8a-alpha":
        motif, condition = name.rsplit("_", 1)
        return {"stimulus": motif, "condition": condition, "event": list(times + 1000.0), "stim_on": 1000.0}
    return {"stimulus": {"name": name}, "events": list(times / 1000)}
