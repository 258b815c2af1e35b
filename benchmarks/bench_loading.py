"""Time and memory of loading public recordings, and of a whole `deepstrf fit ns1 ridge`.

Run: python benchmarks/bench_loading.py [--rounds 3] [--json] [--units 1400] [--channels 1718] [--sets ns1 fit]

Needs the recording of NS1 in $DEEPSTRF_SHARED/data; the others are generated in the formats of their archives, of few
distinct files under many names. Every number is of a process of its own. Seconds are those of the CPU (all threads);
memory is the peak beyond that after importing, over the bytes of the packed responses.

The 2.4 million trials of aa4 take ten minutes of a busy processor: HDF5 needs 0.3 ms for each; writing the files takes
ten seconds. `--units 150` takes a tenth, and its memory is an upper bound: what does not grow counts for more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "datasets" / "releases"))

DISTINCT = 8  # files that are written; the others are links to them
CLIPS, CLIP_S, SENTENCE_S = 170, 0.3, 1.0
SETS = ("ns1", "aa4", "downer", "fit")

LOAD = """
import json, resource, sys, time
import deepSTRF.datasets.audio as audio
import h5py, scipy.io, scipy.signal, soundfile, torch
torch.set_num_threads(1)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
imported, before, started = time.process_time(), peak(), time.perf_counter()
dataset = getattr(audio, sys.argv[1])(sys.argv[2], **json.loads(sys.argv[3]))
seconds, wall, after = time.process_time() - imported, time.perf_counter() - started, peak()
packed = sum(block.values.nbytes for block in dataset._packed().blocks())
print(json.dumps({"seconds": seconds, "wall": wall, "imports": imported, "memory": (after - before) / packed,
                  "packed_mb": packed / 1e6, "neurons": dataset.N_neurons, "stimuli": dataset.get_S()}))
"""

FIT = """
import json, resource, sys, time
started = time.perf_counter()
from deepSTRF.cli.main import main
main(["fit", "ns1", "ridge", "--data", sys.argv[1], "--out", sys.argv[2]], standalone_mode=False)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": usage.ru_utime + usage.ru_stime, "wall": time.perf_counter() - started,
                  "peak_mb": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6}))
"""


def run(code: str, *arguments: str, cache: Path) -> dict:
    env = {**os.environ, "DEEPSTRF_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def ns1() -> Path:
    folder = Path(os.environ.get("DEEPSTRF_SHARED", "../shared")) / "data" / "ns1"
    if not folder.is_dir():
        sys.exit(f"{folder} does not exist; set DEEPSTRF_SHARED to the folder with data/ns1")
    return folder


def write_aa4(folder: Path, n_units: int, n_trials: int) -> None:
    """One bird with so many units that heard all clips so many times."""
    import aa4_files
    import numpy as np
    import soundfile

    rng = np.random.default_rng(0)
    bird = folder / "BlaBro09xxF"
    (bird / "wavfiles").mkdir(parents=True)
    n_samples = round(aa4_files.FS * (CLIP_S + 0.0007))
    for number in range(1, CLIPS + 1):
        sound = 0.1 * rng.normal(size=n_samples)
        soundfile.write(bird / "wavfiles" / f"stim{number}.wav", sound, aa4_files.FS, subtype="PCM_16")
    kinds = [list(aa4_files.KINDS)[k % 3] for k in range(CLIPS)]
    written = [bird / f"Site1_L1000R900_e{u}_s0.h5" for u in range(DISTINCT)]
    for u, file in enumerate(written):
        aa4_files._write_unit(file, rng, u, "multi", range(CLIPS), kinds, range(1, CLIPS + 1), n_trials)
    for u in range(DISTINCT, n_units):
        (bird / f"Site{u // 16 + 2}_L1000R900_e{u % 16}_s0.h5").hardlink_to(written[u % DISTINCT])


def write_downer(folder: Path, n_channels: int, n_sentences: int) -> None:
    """Sessions of 40 channels that heard all sentences, two of them three times."""
    import downer2025_files
    import numpy as np

    rng = np.random.default_rng(0)
    downer2025_files.N_SENTENCES, downer2025_files.SENTENCE_S = n_sentences, SENTENCE_S
    truth = downer2025_files.Truth({}, {})
    (folder / "stimuli").mkdir(parents=True)
    downer2025_files._write_sentences(folder / "stimuli", rng, truth)
    sessions = [str(180000 + k) for k in range(-(-n_channels // 40))]
    (folder / "sessions_metadata.yml").write_text(
        f"b_RH_sessions: [{', '.join(sessions)}]\narea_wise_sessions: {{core: [{', '.join(sessions)}]}}\n"
        "session_coordinates: {}\nbad_sessions: []\nstim_wise_num_repeats: {timit: 3, mVocs: 3}\n"
    )
    written = []
    for k, session in enumerate(sessions):
        (folder / "sessions" / session).mkdir(parents=True)
        for channel in range(min(40, n_channels - 40 * k)):
            cell = f"b_{session}_Ch{channel}"
            file = folder / "sessions" / session / f"{cell}_MUspk.mat"
            if len(written) < DISTINCT:  # all of the first session, with its trials
                trials = downer2025_files._trials(np.random.default_rng(1), session)
                downer2025_files._write_channel(folder, session, cell, trials, rng, truth)
                written.append(file)
            else:
                file.hardlink_to(written[channel % DISTINCT])


def rows(name: str, scratch: Path, options: argparse.Namespace) -> list[dict]:
    cache = scratch / "cache"
    if name == "ns1":
        arguments = [LOAD, "NS1Dataset", str(ns1())]
        found = [("ns1, no cache", run(*arguments, '{"cache": false}', cache=cache)) for _ in range(options.rounds)]
        found.append(("ns1, writing the cache", run(*arguments, "{}", cache=cache)))
        found += [("ns1, from the cache", run(*arguments, "{}", cache=cache)) for _ in range(options.rounds)]
    elif name == "aa4":
        write_aa4(scratch / "aa4", options.units, options.trials)
        arguments = ["CRCNSAA4Dataset", str(scratch / "aa4"), json.dumps({"dt_ms": options.dt_ms})]
        found = [(f"aa4-sized, {options.units} units x {CLIPS} clips", run(LOAD, *arguments, cache=cache))]
    elif name == "downer":
        write_downer(scratch / "downer", options.channels, options.sentences)
        arguments = [LOAD, "Downer2025Dataset", str(scratch / "downer"), '{"n_mels": 8}']
        found = [
            (f"downer-sized, {options.channels} channels", run(*arguments, cache=cache)),
            ("the same from the cache", run(*arguments, cache=cache)),
        ]
    else:
        fits = [run(FIT, str(ns1()), str(scratch / f"run{k}"), cache=cache) for k in range(1 + options.rounds)]
        found = [("fit ns1 ridge, no cache", fits[0]), *(("fit ns1 ridge, from the cache", fit) for fit in fits[1:])]
    median = {}
    for label in dict.fromkeys(label for label, _ in found):
        several = [row for own, row in found if own == label]
        median[label] = {key: statistics.median(row[key] for row in several) for key in several[0]}
    return [{"row": label, **row} for label, row in median.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--units", type=int, default=1400)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--channels", type=int, default=1718)
    parser.add_argument("--sentences", type=int, default=499)
    parser.add_argument("--dt-ms", type=float, default=1.0)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of lines")
    options = parser.parse_args()
    for name in options.sets:
        with tempfile.TemporaryDirectory() as scratch:
            for row in rows(name, Path(scratch), options):
                if options.json:
                    print(json.dumps(row), flush=True)
                else:
                    numbers = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "row")
                    print(f"{row['row']:40} {numbers}", flush=True)


if __name__ == "__main__":
    main()
