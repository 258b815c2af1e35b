"""Data sets of one's own: an object in Python, a class in a file on the command line."""

import csv
import json

import numpy as np
import pytest
import torch
from shell import error_line, run

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.runs import FitOptions, RunError, evaluate_run, fit_run

FILE = '''
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.registry import DatasetCard, register_dataset


class Plain(SimulatedDataset):
    """My recording."""

    def __init__(self, dt_ms=5.0):
        super().__init__(n_neurons=2, n_stims=16, duration_s=0.5, n_repeats=2, n_bands=4, dt_ms=dt_ms)


@register_dataset(DatasetCard("mine", "s", "s", "a", "z", "p", "l", "holdout:1"))
class Mine(Plain):
    pass
'''


@pytest.fixture
def recording():
    generator = np.random.default_rng(0)
    stims = [generator.random((4, 120)) for _ in range(8)]
    responses = [stim[1] + generator.standard_normal((2, 3, 120)) for stim in stims]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=5.0)


def test_a_data_set_object_is_fitted_and_left_as_it_is(recording, tmp_path, no_figures):
    before = recording.stims[0].clone()
    recording.protocols = {"own": {"train": (0, 1, 2, 3, 4), "val": (5,), "test": (6, 7)}}
    options = FitOptions(dataset=recording, model="ridge", window_ms=50)
    result = fit_run(options, tmp_path / "run")
    assert torch.equal(recording.stims[0], before)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["options"]["dataset"] == "object:AudioNeuralDataset"
    assert config["dataset_class"] == "deepSTRF.datasets.audio.audio_dataset.AudioNeuralDataset"
    assert config["split"]["name"] == "own"
    assert result.folder == tmp_path / "run"
    assert repr(result).startswith(f"RunResult('{tmp_path / 'run'}', test cc 0.")
    assert evaluate_run(result.folder, data=recording).largest_difference == 0
    with pytest.raises(RunError, match=r"data set object.*AudioNeuralDataset.*data=dataset"):
        evaluate_run(result.folder)
    other = recording.subset(range(8))
    other.responses[0][0] = other.responses[0][0] + 1
    with pytest.raises(RunError):
        evaluate_run(result.folder, data=other)


@pytest.mark.filterwarnings("ignore:the best penalty")
@pytest.mark.parametrize("folds", [None, 3])
def test_selected_neurons_and_stimuli_of_an_object_are_fitted(folds, recording, tmp_path, no_figures):
    recording.select_population([1])
    recording.select_stims(range(7))
    result = fit_run(FitOptions(dataset=recording, model="ridge", window_ms=50, folds=folds), tmp_path / "run")
    assert result.model.O == 1
    assert len(result.predictions) == 7
    assert result.scores["test"]["cc"].shape == (1,)
    assert evaluate_run(result.folder, data=recording).largest_difference == 0
    assert recording.N_neurons == 2
    assert recording.I == [1]


@pytest.mark.filterwarnings("ignore:the best penalty")
def test_metadata_that_is_no_dict_is_kept(recording, tmp_path):
    """As data sets of 0.1.0 have it: with all figures, notes and tables."""
    recording.stim_meta = [("song", s) for s in range(8)]
    recording.nrn_meta = [("A1", 7), {"cell_id": "b7", "area": "AAF"}]
    recording.true_strfs = torch.ones(2, 4, 10)
    result = fit_run(FitOptions(dataset=recording, model="ridge", window_ms=50, split="holdout:1"), tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "neurons.csv").read_text().splitlines()))
    assert [(row["metadata"], row["cell_id"]) for row in rows] == [("('A1', 7)", ""), ("", "b7")]
    assert result.summary["strf_recovery"]["ln_snr_above_half"]["neurons"] == 0
    assert (tmp_path / "run" / "neuron_best.png").exists()
    assert evaluate_run(result.folder, data=recording).largest_difference == 0


def test_an_object_has_its_bins_already(recording, tmp_path):
    with pytest.raises(RunError, match="leave data and dt_ms out"):
        fit_run(FitOptions(dataset=recording, model="ridge", dt_ms=10), tmp_path / "run")
    with pytest.raises(RunError, match="video-ln takes movies"):
        fit_run(FitOptions(dataset=recording, model="video-ln"), tmp_path / "run")
    with pytest.raises(RunError, match="icnet takes waveforms"):
        fit_run(FitOptions(dataset=recording, model="icnet"), tmp_path / "run")
    with pytest.raises(TypeError, match="dataset must be a string"):
        FitOptions(dataset=[recording])


@pytest.mark.filterwarnings("ignore:the best penalty")
@pytest.mark.parametrize("name", ["Mine", "Plain"])
def test_a_class_of_a_file_is_fitted_and_scored_again(name, elsewhere, no_figures):
    (elsewhere / "mine.py").write_text(FILE)
    run("fit", f"mine.py:{name}", "ridge", "--out", "out", exit_code=0)
    config = json.loads((elsewhere / "out" / "config.json").read_text())
    assert config["options"]["dataset"] == f"{elsewhere / 'mine.py'}:{name}"
    assert config["split"]["name"] == ("holdout:1" if name == "Mine" else "holdout:4")
    assert "the same numbers" in run("evaluate", "out", exit_code=0).stdout


def test_an_unknown_name_says_how_to_name_a_file(elsewhere):
    error_line("fit", "unknown", "ridge", words=["unknown", "FILE.py:CLASS"])
    error_line("fit", "mine:Mine", "ridge", words=["mine:Mine", "No module named", "mine.py:Mine"])
