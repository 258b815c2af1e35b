"""The command line takes a folder, an NWB file or a class; a run finds its data again, or says what changed."""

import json
import shutil
import sys

import numpy as np
import pytest
from shell import error_line, run

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.runs import FitOptions, RunError, evaluate_run, fit_run
from deepSTRF.sweeps import read_sweep

pytestmark = [pytest.mark.usefixtures("no_figures"), pytest.mark.filterwarnings("ignore:the best penalty")]


def recording(change=None, n_stims=8):
    """Three neurons that hear noise; `change` edits the arrays before they become a data set."""
    generator = np.random.default_rng(0)
    stims = [generator.random((4, 100)) for _ in range(n_stims)]
    responses = [stim[1] + generator.standard_normal((3, 3, 100)) for stim in stims]
    if change is not None:
        change(stims, responses)
    return AudioNeuralDataset.from_arrays(
        stims, responses, dt_ms=5.0,
        nrn_meta=[{"cell_id": name, "area": area} for name, area in zip("abc", ("A1", "A1", "AAF"), strict=True)],
        stim_meta=[{"name": f"noise{s}"} for s in range(n_stims)],
    )  # fmt: skip


@pytest.fixture
def folder(elsewhere):
    (elsewhere / "recordings").mkdir()
    recording().to_folder(elsewhere / "recordings" / "ferret1")
    return elsewhere / "recordings" / "ferret1"


def test_a_folder_is_fitted_selected_and_scored_again(folder, elsewhere, monkeypatch):
    text = run("fit", "recordings/ferret1", "ridge", "--neurons", "area=A1", exit_code=0).stdout
    assert "2 of 3 neurons" in text
    out = elsewhere / "runs" / "ferret1-ridge-1"
    config = json.loads((out / "config.json").read_text())
    assert config["options"]["dataset"] == str(folder)
    assert config["data"] == {"kind": "folder", "path": str(folder)}
    assert json.loads((out / "data.json").read_text())["neurons"]["names"] == ["a", "b"]
    (elsewhere / "other").mkdir()
    monkeypatch.chdir(elsewhere / "other")
    assert "the same numbers" in run("evaluate", out, exit_code=0).stdout


def test_it_is_the_data_set_in_memory(folder, elsewhere):
    by_path = fit_run(FitOptions(folder, "ridge"), elsewhere / "a")
    by_object = fit_run(FitOptions(recording(), "ridge"), elsewhere / "b")
    assert by_path.summary["parts"] == by_object.summary["parts"]


def test_data_that_moved(folder, elsewhere):
    run("fit", "recordings/ferret1", "ridge", "--out", "out", exit_code=0)
    folder.rename(elsewhere / "moved")
    error_line("evaluate", "out", words=[f"were at {folder}, and nothing is there", "--data"])
    assert "the same numbers" in run("evaluate", "out", "--data", "moved", exit_code=0).stdout


def rewrite(folder, change, n_stims=8):
    shutil.rmtree(folder)
    recording(change, n_stims).to_folder(folder)


def louder(stims, responses):
    stims[2] *= 2


def other_responses(stims, responses):
    responses[1][2] += 1


def other_order(stims, responses):
    stims[0], stims[1] = stims[1], stims[0]
    responses[0], responses[1] = responses[1], responses[0]


CHANGES = [
    pytest.param(louder, 8, "1 of 8 stimuli (noise2) changed", id="stimulus"),
    pytest.param(
        other_responses, 8, "other responses of 1 of 3 neurons (c) to 1 of 8 stimuli (noise1)", id="responses"
    ),
    pytest.param(None, 7, "stimuli that are gone: noise7", id="gone"),
    pytest.param(None, 9, "stimuli that are new: noise8", id="new"),
]


@pytest.mark.parametrize(("change", "n_stims", "words"), CHANGES)
def test_data_that_changed_are_named(folder, elsewhere, change, n_stims, words):
    run("fit", "recordings/ferret1", "ridge", "--out", "out", exit_code=0)
    rewrite(folder, change, n_stims)
    error_line("evaluate", "out", words=["not those that the run was fitted on", words])
    (elsewhere / "out" / "data.json").unlink()  # as runs of earlier versions
    error_line("evaluate", "out", words=["not those that the run was fitted on: their SHA-256 differs"])
    (elsewhere / "out" / "data.json").write_text("[1]")
    error_line("evaluate", "out", words=["data.json was not written by a run"])


def test_an_unfinished_run_goes_on_with_its_data_only(folder, elsewhere):
    def stop(fitter, row):
        fitter.stop()

    options = {"model": "linear", "epochs": 2}
    fit = ("fit", "recordings/ferret1", "linear", "--epochs", 2, "--resume")
    for out in ("run", None):
        with pytest.raises(RunError, match="stopped"):
            fit_run(FitOptions("recordings/ferret1", **options), out, on_epoch=stop)
    before = shutil.copytree(folder, elsewhere / "copy")
    rewrite(folder, louder)
    error_line(*fit, "--out", "run", words=["another configuration: data: 1 of 8 stimuli (noise2) changed"])
    error_line(*fit, words=["runs/ferret1-linear-1 have changed since it began (1 of 8 stimuli (noise2)", "--resume"])
    shutil.rmtree(folder)
    before.rename(elsewhere / "recordings" / "elsewhere")
    result = fit_run(FitOptions("recordings/elsewhere", **options), "run", resume=True)
    assert len(result.history) == 2
    assert evaluate_run("run").largest_difference == 0


def test_a_sweep_of_folders(folder, elsewhere):
    rewrite(folder.parent / "ferret1", None)
    recording().to_folder(folder.parent / "ferret2")
    text = 'out = "out"\n[[dataset]]\nname = ["ferret1", "./ferret2"]\nneurons = "area=A1"\n[[model]]\nname = "ridge"\n'
    (folder.parent / "sweep.toml").write_text(text)
    runs = read_sweep(folder.parent / "sweep.toml").runs
    assert [one.options.dataset for one in runs] == [str(folder), str(folder.parent / "ferret2")]
    result = run("sweep", folder.parent / "sweep.toml", "--jobs", 1, exit_code=0)
    assert "ferret1: mean" in result.stdout
    assert (folder.parent / "out" / "ferret2-neurons-area-A1-ridge-seed0" / "scores.json").exists()
    (folder.parent / "sweep.toml").write_text(text.replace("./ferret2", "./ferret3"))
    error_line("sweep", folder.parent / "sweep.toml", words=["ferret3"])


def test_datasets_says_what_is_in_it(folder):
    text = run("datasets", "recordings/ferret1", exit_code=0).stdout
    for words in ("neurons       3", "8, 4.0 s, of shape (1, 4, T)", "area (A1, AAF)", "holdout:1", "5 ms"):
        assert words in text
    (entry,) = json.loads(run("datasets", "recordings/ferret1", "--json", exit_code=0).stdout)
    assert entry["neurons"] == 3
    assert "cell_id" in run("datasets", "simulated", "--read", "n_neurons=2", "--read", "n_stims=3").stdout
    assert run("datasets", "ns1", exit_code=0).stdout.startswith("ns1: ")  # its files are not needed


def test_a_registered_name_comes_before_a_folder(folder, elsewhere):
    folder.rename(elsewhere / "tiny")
    assert "4 neurons" in run("fit", "tiny", "ridge", exit_code=0).stdout
    assert "3 neurons" in run("fit", "./tiny", "ridge", exit_code=0).stdout


MODULE = '''
from pathlib import Path

from deepSTRF.datasets import read_folder
from deepSTRF.datasets.audio import AudioNeuralDataset


class Mine(AudioNeuralDataset):
    """Needs a path."""

    def __init__(self, path, gain=1.0):
        whole = read_folder(path)
        super().__init__(path, whole.dt)
        self.stims, self.responses = [gain * stim for stim in whole.stims], whole.responses
        self.stim_meta, self.nrn_meta = whole.stim_meta, whole.nrn_meta
        self.N_neurons, self.F = whole.N_neurons, whole.F
        self.validate()
'''


@pytest.mark.parametrize("name", ["mylab/mine.py:Mine", "mylab.mine:Mine"])
def test_a_class_that_needs_a_path(folder, elsewhere, monkeypatch, name):
    (elsewhere / "mylab").mkdir()
    (elsewhere / "mylab" / "__init__.py").write_text("")
    (elsewhere / "mylab" / "mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(elsewhere))
    error_line("fit", name, "ridge", words=["reads files; say where they are (--data)"])
    error_line("fit", name, "ridge", "--data", folder, "--read", "gian=2", words=["'gian'", "Did you mean 'gain'?"])
    error_line("fit", name, "ridge", "--data", folder, "--dt-ms", 5, words=["bins of its own; leave --dt-ms out"])
    run("fit", name, "ridge", "--data", folder, "--read", "gain=2", "--out", "out", exit_code=0)
    config = json.loads((elsewhere / "out" / "config.json").read_text())
    assert config["options"]["read"] == {"gain": 2}
    assert config["data"] == {"kind": "class", "path": str(folder)}
    assert "the same numbers" in run("evaluate", "out", exit_code=0).stdout
    sys.modules.pop("mylab.mine", None), sys.modules.pop("mylab", None)


BAD = [
    pytest.param(["fit", "recordings/ferret2"], ["there is no folder recordings/ferret2"], id="no-folder"),
    pytest.param(["fit", "recordings"], ["recording.toml"], id="no-recording"),
    pytest.param(["fit", "ferret1"], ["unknown data set 'ferret1'", "its folder, FILE.nwb, FILE.py:CLASS"], id="name"),
    pytest.param(["fit", "day1.nwb"], ["there is no file day1.nwb"], id="no-nwb"),
    pytest.param(["fit", "recordings/ferret1", "icnet"], ["spectrograms"], id="waveforms"),
    pytest.param(["fit", "recordings/ferret1", "video-ln"], ["takes movies", "has sounds"], id="movies"),
    pytest.param(
        ["fit", "recordings/ferret1", "ridge", "--dt-ms", "5"], ["recording.toml", "leave --dt-ms out"], id="dt"
    ),
    pytest.param(["fit", "recordings/ferret1", "ridge", "--read", "x=3"], ["leave --read out"], id="read"),
    pytest.param(["fit", "recordings/ferret1", "ridge", "--read", "x"], ["NAME=VALUE"], id="read-value"),
    pytest.param(["fit", "recordings/ferret1", "ridge", "--data", "."], ["leave --data out"], id="data"),
    pytest.param(["datasets", "--data", "."], ["name the data set"], id="datasets-data"),
    pytest.param(["datasets", "recordings/ferret2"], ["there is no folder"], id="datasets-no-folder"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_a_mistake_is_one_clear_line(folder, elsewhere, arguments, words):
    error_line(*arguments, words=words)
    assert not (elsewhere / "runs").exists()


def test_an_nwb_file_is_read_by_what_the_model_takes(elsewhere, monkeypatch):
    """The reader itself has its own tests; here it stands for a file with movies."""
    calls = []

    def sounds(path, dt_ms=None, *, trials=None):
        raise ValueError("the stimuli are movies or pictures: call VideoNeuralDataset.from_nwb for them")

    def movies(path, dt_ms=None, *, trials=None):
        calls.append((path, dt_ms, trials))
        generator = np.random.default_rng(0)
        stims = [generator.random((3, 3, 60)) for _ in range(8)]
        responses = [stim[1, 1] + generator.standard_normal((2, 2, 60)) for stim in stims]
        return VideoNeuralDataset.from_arrays(stims, responses, dt_ms=dt_ms)

    monkeypatch.setattr(AudioNeuralDataset, "from_nwb", sounds, raising=False)
    monkeypatch.setattr(VideoNeuralDataset, "from_nwb", movies, raising=False)
    (elsewhere / "day1.nwb").write_bytes(b"")
    run("fit", "day1.nwb", "ridge", "--dt-ms", 20, "--read", "trials=shown", "--window-ms", 60, exit_code=0)
    assert calls == [("day1.nwb", 20.0, "shown")]
    config = json.loads((elsewhere / "runs" / "day1-ridge-1" / "config.json").read_text())
    assert config["data"] == {"kind": "nwb", "path": str(elsewhere / "day1.nwb")}
    assert "the same numbers" in run("evaluate", "runs/day1-ridge-1", exit_code=0).stdout
    error_line("fit", "day1.nwb", "linear", "--dt-ms", 20, words=["VideoNeuralDataset.from_nwb"])
    error_line("fit", "day1.nwb", "ridge", "--read", "trails=x", words=["'trails'", "Did you mean 'trials'?"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_of_pynwb_with_sounds_beside_it(elsewhere):
    pynwb = pytest.importorskip("pynwb")
    from datetime import UTC, datetime

    import soundfile

    generator = np.random.default_rng(0)
    (elsewhere / "sounds").mkdir()
    names = [f"sound{s}" for s in range(8)]
    for name in names:
        soundfile.write(elsewhere / "sounds" / f"{name}.wav", generator.standard_normal(8000) / 10, 8000)
    nwb = pynwb.NWBFile("a test", "test", datetime(2026, 1, 1, tzinfo=UTC))
    nwb.add_unit_column("quality", "as sorted")
    for unit in range(3):
        nwb.add_unit(spike_times=np.sort(generator.uniform(0, 40, 800)), quality="mua" if unit == 1 else "good")
    nwb.add_trial_column("stimulus", "what was played")
    for trial, name in enumerate(3 * names):
        nwb.add_trial(start_time=0.5 + 1.5 * trial, stop_time=1.5 + 1.5 * trial, stimulus=name)
    with pynwb.NWBHDF5IO("day1.nwb", "w") as file:
        file.write(nwb)
    options = ("--dt-ms", 20, "--read", "stims=./sounds", "--neurons", "quality=good")
    assert "2 of 3 neurons, 6 train, 1 val, 1 test" in run("fit", "day1.nwb", "ridge", *options, exit_code=0).stdout
    assert "the same numbers" in run("evaluate", "runs/day1-ridge-1", exit_code=0).stdout
    assert "quality (good, mua)" in run("datasets", "day1.nwb", *options[:4], exit_code=0).stdout
    error_line("fit", "day1.nwb", "ridge", *options[:2], words=["day1.nwb"])
    error_line("fit", "day1.nwb", "video-ln", *options, words=["is a sound, and VideoNeuralDataset is for movies"])
    error_line(
        "fit", "day1.nwb", "icnet", *options, "--read", "spectrogram=mel", words=["leave --read spectrogram=mel"]
    )
    page = run("check", "day1.nwb", *options[:4], exit_code=0).stdout
    assert "8 stimuli, 1 s long, 8 s in all; spectrograms of 34 bands in bins of 20 ms" in page
    assert "3 neurons, recorded for 100 %" in page
    for read in ([], ["--read", "spectrogram=waveform"]):
        told = run(
            "fit", "day1.nwb", "icnet", *options, *read, "--epochs", 1, "--set", "n_filters=4",
            "--set", "encoder_channels=4", exit_code=0,
        ).stdout  # fmt: skip
        assert "2 of 3 neurons" in told
    assert "the same numbers" in run("evaluate", "runs/day1-icnet-2", exit_code=0).stdout
    waveform = ("--read", "spectrogram=waveform")
    error_line("fit", "day1.nwb", "ridge", *options, *waveform, words=["leave --read spectrogram=waveform out"])
    page = run("check", "day1.nwb", *options[:4], *waveform, exit_code=0).stdout
    assert "8 s in all; waveforms in bins of 20 ms" in page


@pytest.fixture
def phy(elsewhere):
    """Two units as phy leaves them, sounds, one of which was not presented, and a table of trials."""
    import soundfile

    generator = np.random.default_rng(0)
    (elsewhere / "sorted").mkdir()
    (elsewhere / "sounds").mkdir()
    samples = np.sort(generator.integers(0, 40 * 30_000, 4000))
    np.save(elsewhere / "sorted" / "spike_times.npy", samples)
    np.save(elsewhere / "sorted" / "spike_clusters.npy", generator.choice([2, 5, 7], 4000).astype(np.int32))
    (elsewhere / "sorted" / "params.py").write_text("sample_rate = 30000.\n")
    (elsewhere / "sorted" / "cluster_info.tsv").write_text("cluster_id\tgroup\n2\tgood\n5\tmua\n7\tgood\n")
    names = [f"sound{s}" for s in range(8)]
    for name in [*names, "calibration"]:
        soundfile.write(elsewhere / "sounds" / f"{name}.wav", generator.standard_normal(8000) / 10, 8000)
    rows = [f"{0.5 + 1.5 * trial},{name}" for trial, name in enumerate(3 * names)]
    (elsewhere / "trials.csv").write_text("\n".join(["onset,stimulus", *rows, ""]))
    return ["--dt-ms", 20, "--read", "stims=sounds", "--read", "trials=trials.csv", "--read", "unit=s"]


def test_a_folder_of_phy(phy, elsewhere, monkeypatch):
    words = ["output folder of Kilosort or phy", "stims=./sounds", "trials=trials.csv", "unit=s", "--dt-ms 5"]
    for command in ("check", "datasets", "fit"):
        error_line(command, "sorted", words=words)
    assert "stims" not in error_line("check", "sorted", *phy[:-2], words=["--read unit=s"])
    assert "2 neurons" in run("check", "sorted", *phy, exit_code=0).stdout
    told = run("fit", "sorted", "ridge", *phy, "--read", 'groups=["good", "mua"]', exit_code=0).stdout
    assert "3 neurons, 6 train, 1 val, 1 test" in told
    folder = elsewhere / "runs" / "sorted-ridge-1"
    monkeypatch.chdir(folder)
    assert "the same numbers" in run("evaluate", folder, exit_code=0).stdout
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["read"]["trials"] == str(elsewhere / "trials.csv")
    sounds = {f"sound{s}": elsewhere / "sounds" / f"sound{s}.wav" for s in range(8)}
    options = {"trials": elsewhere / "trials.csv", "dt_ms": 20.0, "unit": "s"}
    one = AudioNeuralDataset.from_phy(elsewhere / "sorted", elsewhere / "sounds", **options)
    assert one.spectrogram is not None
    assert [meta["name"] for meta in one.stim_meta] == list(sounds)
    arrays = {name: np.random.default_rng(s).random((5, 50)) for s, name in enumerate(sounds)}
    (elsewhere / "arrays").mkdir()
    for name, array in arrays.items():
        np.save(elsewhere / "arrays" / f"{name}.npy", array)
    one = AudioNeuralDataset.from_phy(elsewhere / "sorted", elsewhere / "arrays", **options)
    other = AudioNeuralDataset.from_phy(elsewhere / "sorted", arrays, **options)
    assert all(np.array_equal(a, b) for a, b in zip(one.stims, other.stims, strict=True))
    assert all(np.array_equal(a.block.values, b.block.values) for a, b in zip(one.responses, other.responses))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        AudioNeuralDataset.from_phy(elsewhere / "sorted", elsewhere / "nowhere", **options)


def test_check_takes_what_fit_takes(folder, elsewhere):
    assert "4 neurons" in run("check", "tiny", exit_code=0).stdout
    error_line("check", "day1.nwb", words=["there is no file day1.nwb"])
    error_line("check", folder, "--dt-ms", 5, words=["leave --dt-ms out"])
