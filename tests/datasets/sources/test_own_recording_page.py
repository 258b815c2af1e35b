"""The page "Your own recording" runs as it stands, and its table of mistakes says what the errors say."""

import doctest
from pathlib import Path

import numpy as np
import pytest

from deepSTRF.datasets.audio import AudioNeuralDataset

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "own_recording.md"


def _write_sorting(folder):
    """What the page calls the folder of Kilosort, and the trials of its recording."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "spike_times.npy", np.sort(rng.integers(0, 60 * 30_000, 1500)))
    np.save(folder / "spike_clusters.npy", rng.choice([2, 5, 7], 1500))
    (folder / "params.py").write_text("sample_rate = 30000.\n")
    table = "cluster_id\tgroup\tdepth\n2\tgood\t340\n5\tnoise\t350\n7\tgood\t620\n"
    (folder / "cluster_info.tsv").write_text(table)
    rows = [f"{30_000 * k},{'rain' if k % 2 else 'birds'}" for k in range(2, 58)]
    (folder.parent / "trials.csv").write_text("\n".join(["onset,stimulus", *rows]))


def _write_nwb(folder):
    """What the page calls session.nwb, and the folder of its sounds."""
    import soundfile
    from nwb_files import add_trials, add_units, new_file, save
    from pynwb import TimeSeries

    nwb = new_file()
    add_units(nwb, electrodes=True, first_id=0)
    add_trials(nwb, np.arange(1, 59, 2.0), ["rain", "birds"] * 14 + ["rain"])
    (folder / "sounds").mkdir()
    for name, duration in (("rain", 1.0), ("birds", 0.6)):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, int(duration * 20_000))
        nwb.add_stimulus(TimeSeries(name=name, data=noise, rate=20_000.0, unit="V"))
        soundfile.write(folder / "sounds" / f"{name}.wav", noise, 20_000)
    save(nwb, folder / "session.nwb")


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch):
    for package in ("pynwb", "pynapple", "neo", "xarray"):
        pytest.importorskip(package, reason="the page shows the extra nwb")
    monkeypatch.chdir(tmp_path)
    _write_sorting(tmp_path / "kilosort")
    _write_nwb(tmp_path)
    options = doctest.NORMALIZE_WHITESPACE
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False, optionflags=options)
    assert attempted > 20
    assert failed == 0


STIMS = {"rain": np.ones((16, 200)), "birds": np.ones((16, 120))}
TIMES = np.array([0.031, 0.204, 0.7])
COUNTS = np.arange(200) % 10 == 0
ONSETS = np.arange(1, 59, 2.0)


def _units():
    rng = np.random.default_rng(0)
    return {unit: rng.uniform(0, 60, 900) for unit in (3, 8, 21)}


def _trials(onsets=ONSETS, stimuli=("rain", "birds")):
    return {"onset": onsets, "stimulus": [stimuli[k % len(stimuli)] for k in range(len(onsets))]}


def _nested(times, repeats=4):
    return {name: {"a": [times] * repeats} for name in STIMS}


MISTAKES = [
    {"spikes": _nested(TIMES)},
    {"spikes": _nested(TIMES * 1000), "unit": "s"},
    {"spikes": _nested(TIMES), "unit": "ms"},
    {"spikes": _nested(COUNTS.astype(int)), "unit": "s"},
    {"spikes": _nested([0.1, np.nan]), "unit": "s"},
    {"spikes": {"rain": [[TIMES]] * 2, "birds": [[TIMES]] * 3}, "unit": "s"},
    {"spikes": _units(), "unit": "s", "trials": _trials(stimuli=("rain", "brids"))},
    {"spikes": _units(), "unit": "s", "trials": _trials(ONSETS * 1000)},
    {"spikes": _units(), "unit": "s", "trials": _trials(np.r_[ONSETS, 70.0, 72.0])},
    {"spikes": _units(), "unit": "s", "trials": _trials(stimuli=("rain",))},
]


@pytest.mark.parametrize("row", range(10))
def test_messages_of_the_table(row):
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    said = lines[-10 + row].split(" | ")[1].removesuffix(" |")
    with pytest.raises((TypeError, ValueError)) as error:
        AudioNeuralDataset.from_spike_times(STIMS, dt_ms=5.0, **MISTAKES[row])
    assert said in str(error.value)
