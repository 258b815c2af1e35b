"""Small recordings under the names that the pages use, so that their commands run within a second each."""

import dataclasses
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from nwb_files import add_trials, add_units, new_file, save
from pynwb import TimeSeries

from deepSTRF import registry
from deepSTRF.benchmark import benchmark
from deepSTRF.benchmark.step_time import step_times
from deepSTRF.datasets.audio import NS1Dataset
from deepSTRF.datasets.audio.ns1 import _spectrogram
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.sweeps import sweep
from deepSTRF.user_files import import_file

RELEASES = Path(__file__).parents[1] / "datasets" / "releases"
DATA_SET = """
from deepSTRF.datasets.simulated import SimulatedDataset

class {}(SimulatedDataset):
    def __init__(self, path, dt_ms=5.0):
        super().__init__(n_neurons=3, n_stims=10, duration_s=0.5, n_repeats=3, n_bands=8, dt_ms=dt_ms)
"""
MODEL = """
from deepSTRF.models.audio import LinearNonlinear

class MyModel(LinearNonlinear):
    pass
"""


class Sounds(SimulatedDataset):
    """In place of ``simulated``."""

    def __init__(self, dt_ms=5.0, n_stims=12, n_bands=8, duration_s=0.5):
        super().__init__(n_neurons=4, n_stims=n_stims, duration_s=duration_s, n_repeats=3, n_bands=n_bands, dt_ms=dt_ms)


class NS1(Sounds):
    """In place of ``ns1``; its folder must be there."""

    protocols = NS1Dataset.protocols

    def __init__(self, path, dt_ms=5.0):
        if not Path(path).expanduser().is_dir():
            raise FileNotFoundError(path)
        super().__init__(dt_ms, n_stims=20, duration_s=0.3)
        self.spectrogram = dataclasses.replace(_spectrogram(dt_ms), n_bands=self.F)
        self.path = str(path)
        for number, neuron in enumerate(self.nrn_meta):
            neuron["area"] = ("A1", "AAF", "A1", "unknown")[number]
        for number, stimulus in enumerate(self.stim_meta):
            stimulus["type"] = "speech" if number == 3 else "animal"


class Grasshopper(SimulatedDataset):
    """In place of ``grasshopper``, whose files are in another package."""

    def __init__(self, dt_ms=5.0):
        super().__init__(n_neurons=1, n_stims=2, duration_s=6.0, n_repeats=1, n_bands=2, dt_ms=dt_ms)


class Movies(SimulatedMovieDataset):
    """In place of ``simulated-movies``."""

    def __init__(self):
        super().__init__(n_neurons=2, n_stims=6, duration_s=1.0, n_repeats=3)


STAND_INS = {"simulated": Sounds, "grasshopper": Grasshopper, "simulated-movies": Movies, "ns1": NS1}


def write_files(folder):
    """Write what the pages call ~/recordings/ns1, my/recording, day1.nwb, sounds/, recordings/allen, new.wav, ..."""
    (folder / "recordings" / "ns1").mkdir(parents=True)
    (folder / "path" / "to" / "ns1").mkdir(parents=True)
    (folder / "raw").mkdir()
    cells = Sounds()
    for neuron in cells.nrn_meta:
        neuron["area"] = "A1"
    for number, stimulus in enumerate(cells.stim_meta):
        stimulus["type"] = "rain" if number == 0 else "song"
    for name in ("my/recording", "recordings/ferret1"):
        (folder / name).parent.mkdir(exist_ok=True)
        cells.to_folder(folder / name)
    _write_sorting(folder / "kilosort")
    (folder / "mylab").mkdir()
    for name, cls in (("mine.py", "Mine"), ("mylab/recordings.py", "Ferret")):
        (folder / name).write_text(DATA_SET.format(cls))
    for name in ("my.py", "mymodel.py"):
        (folder / name).write_text(MODEL)
    rng = np.random.default_rng(0)
    for name in ("new.wav", "more.flac", "sounds/rain.wav", "sounds/birds.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, rng.uniform(-0.5, 0.5, 28_800 if "birds" in name else 48_000), 48_000)
    np.save(folder / "spectrogram.npy", rng.normal(size=(8, 100)))
    _write_nwb(folder / "session.nwb")
    _write_day(folder)
    (folder / "recordings" / "allen").mkdir()
    import_file(RELEASES / "allen_neuropixels_files.py").write_release(folder / "recordings" / "allen")
    sweep_file = 'out = "sweeps"\n[[dataset]]\nname = "simulated"\n[[model]]\nname = "ridge"\n'
    (folder / "sweep.toml").write_text(sweep_file)


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


def _write_nwb(path):
    """What the pages call session.nwb: three units, trials, and the sounds."""
    nwb = new_file()
    add_units(nwb, electrodes=True, first_id=0)
    add_trials(nwb, np.arange(1, 59, 2.0), ["rain", "birds"] * 14 + ["rain"])
    for name, duration in (("rain", 1.0), ("birds", 0.6)):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, int(duration * 20_000))
        nwb.add_stimulus(TimeSeries(name=name, data=noise, rate=20_000.0, unit="V"))
    save(nwb, path)


def _write_day(folder):
    """What the pages call day1.nwb: three units that hear the onsets of ten sounds, which lie in wavs/ too."""
    nwb, rng = new_file(), np.random.default_rng(0)
    names, onsets = [f"sound{k}" for k in range(10)], np.arange(1.0, 41.0)
    (folder / "wavs").mkdir()
    for name in names:
        noise = rng.uniform(-0.5, 0.5, 10_000)
        soundfile.write(folder / "wavs" / f"{name}.wav", noise, 20_000)
        nwb.add_stimulus(TimeSeries(name=name, data=noise, rate=20_000.0, unit="V"))
    for latency in (0.05, 0.1, 0.15):
        nwb.add_unit(spike_times=np.sort((onsets[:, None] + latency + rng.uniform(0, 0.02, (40, 3))).ravel()))
    add_trials(nwb, onsets, names * 4, lasting=0.5)
    save(nwb, folder / "day1.nwb")


@contextmanager
def stand_ins():
    """Let the names of data sets mean the small ones, fields be short and training last one epoch."""
    short = {"epochs": 1, "window_ms": 60.0}  # a decomposition takes the cube of the window
    with pytest.MonkeyPatch.context() as patch:
        registry.dataset_cards(), registry.model_cards()
        for name, cls in STAND_INS.items():
            entry = registry._datasets.entries[name]
            card = dataclasses.replace(entry.card, window_ms=short["window_ms"])
            patch.setitem(registry._datasets.entries, name, entry._replace(cls=cls, card=card))
        for name, entry in list(registry._models.entries.items()):
            if entry.recipe is not None and entry.recipe.settings is not None:
                recipe = dataclasses.replace(entry.recipe, settings=dataclasses.replace(entry.recipe.settings, **short))
                patch.setitem(registry._models.entries, name, entry._replace(recipe=recipe))
        # of closed forms, and of models that are in no registry
        of_others = [short.get(entry.name, entry.default) for entry in dataclasses.fields(registry.Settings)]
        patch.setattr(registry.Settings.__init__, "__defaults__", tuple(of_others))
        patch.setattr(benchmark, "step_times", lambda model, shape: step_times(model, shape, 20))
        patch.setattr(sweep, "_run_locally", lambda runs, out, jobs: (sweep.do_run(run, out=out) for run in runs))
        yield
