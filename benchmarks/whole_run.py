"""All of `deepstrf fit` on a large recording: python benchmarks/whole_run.py [--models ridge,statenet] [--epochs 2]

Makes a folder of a recording (by default 2000 neurons, one hour, 48 bands of 10 ms), once, and fits models to it as the
command line does: reading (the others take from the cache what the first one read), fitting, scores, figures,
predictions. A row has the processor seconds and the peaks of memory: what the process had for itself, and with the
pages that it had mapped from the cache, which the system takes back when it needs them. Linux only (it reads /proc).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

STIM_S, REPEATS, SHARE_REPEATED = 10.0, 5, 6  # a sixth of the time goes to sounds that are repeated
RATE_HZ = 5.0


def make_recording(folder: Path, neurons: int, minutes: float, bands: int, dt_ms: float) -> None:
    """Write a folder: single trials to train on, repeated sounds to validate and test on."""
    from deepSTRF.datasets.cochleagram import band_centres
    from deepSTRF.datasets.natural_sounds import SOUND_TYPES, draw_spectrogram

    rng = np.random.default_rng(0)
    n_bins, trials = round(STIM_S * 1000 / dt_ms), round(minutes * 60 / STIM_S)
    repeated = max(4, trials // SHARE_REPEATED // REPEATS)
    repeats = [1] * (trials - repeated * REPEATS) + [REPEATS] * repeated
    names = [f"sound{s:03d}" for s in range(len(repeats))]
    frequencies = band_centres(bands).double().numpy()
    centre, width = rng.uniform(0, bands, (neurons, 1)), rng.uniform(1, 4, (neurons, 1))
    weights = np.exp(-0.5 * ((np.arange(bands) - centre) / width) ** 2) * rng.choice([-1.0, 1.0, 1.0], (neurons, 1))
    weights = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    latency = rng.integers(1, 4, neurons)
    (folder / "stimuli").mkdir(parents=True)
    with zipfile.ZipFile(folder / "responses.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for s, (name, times) in enumerate(zip(names, repeats, strict=True)):
            sound = draw_spectrogram(SOUND_TYPES[s % len(SOUND_TYPES)], frequencies, n_bins, dt_ms, rng)
            np.save(folder / "stimuli" / f"{name}.npy", sound.astype(np.float32))
            rate = np.empty((neurons, n_bins), np.float32)
            for bins in np.unique(latency):  # what was there so many bins ago, less a half of what was there before
                recent = np.pad(sound, ((0, 0), (3 * bins, 0)))
                change = recent[:, 2 * bins :][:, :n_bins] - 0.5 * recent[:, :n_bins]
                rate[latency == bins] = weights[latency == bins] @ change.astype(np.float32)
            rate = RATE_HZ * dt_ms / 1000 * np.logaddexp(0, 2 * rate) / np.log(2)
            counts = rng.poisson(rate[:, None], (neurons, times, n_bins)).clip(max=255).astype(np.uint8)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, counts)
    single = [name for name, times in zip(names, repeats, strict=True) if times == 1]
    several = names[len(single) :]
    split = {"train": single, "val": several[: len(several) // 3], "test": several[len(several) // 3 :]}
    lines = [f"{part} = {json.dumps(own)}" for part, own in split.items()]
    text = "\n".join([f"dt_ms = {dt_ms}", f"frequencies_hz = {frequencies.tolist()}", "[splits.hour]", *lines])
    (folder / "recording.toml").write_text(text + "\n", encoding="utf-8")


def fit(folder: Path, model: str, out: Path, extra: list[str]) -> dict[str, float]:
    """Run the command, and look at its memory ten times a second."""
    start = "from deepSTRF.cli.main import main; main()"
    command = [sys.executable, "-c", start, "fit", str(folder), model, "--split", "hour", "--out", str(out)]
    started, peaks = time.perf_counter(), {"RssAnon": 0.0, "VmRSS": 0.0}
    cache = {"DEEPSTRF_CACHE_DIR": str(out.parent / "cache")}  # the first model fills it, the others take from it
    process = subprocess.Popen([*command, *extra], stdout=subprocess.DEVNULL, env=os.environ | cache)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            name = line.partition(":")[0]
            if name in peaks:
                peaks[name] = max(peaks[name], int(line.split()[1]) / 1024)
        time.sleep(0.1)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    scores = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    return {
        "cpu": usage.ru_utime + usage.ru_stime,
        "wall": time.perf_counter() - started,
        "fit": scores["fit_seconds"],
        "own": peaks["RssAnon"],
        "all": peaks["VmRSS"],
        "disk": sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 2**20,
        "cc_norm": scores["parts"]["test"]["cc_norm"]["mean"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the recording is, or goes; default: a temporary folder")
    parser.add_argument("--models", default="ridge,linear-nonlinear,statenet")
    parser.add_argument("--epochs", type=int, default=2)
    for name, value in {"neurons": 2000, "minutes": 60.0, "bands": 48, "dt-ms": 10.0}.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "recording"
        if not folder.exists():
            make_recording(folder, options.neurons, options.minutes, options.bands, options.dt_ms)
        heads = ("model", "s of processor", "s", "s of the fit", "MB of its own", "MB", "MB on disk", "test cc_norm")
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for model in options.models.split(","):
            extra = [] if model in ("ridge", "poisson-ln") else ["--epochs", str(options.epochs)]
            row = fit(folder, model, Path(temporary) / model, extra)
            cells = [f"{row[name]:.0f}" for name in ("cpu", "wall", "fit", "own", "all", "disk")]
            print(f"| {model} | {' | '.join(cells)} | {row['cc_norm']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
