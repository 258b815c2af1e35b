"""Models of movies and of waveforms, from the command line to the folder of a run."""

import json

import numpy as np
import pytest
import torch
from shell import error_line, run

from deepSTRF.analysis import receptive_fields, strf_correlation
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.models import NeuralModel
from deepSTRF.registry import DatasetCard, register_dataset
from deepSTRF.runs import FitOptions
from deepSTRF.sweeps.sweep import _data_sha256

NOTHING = {"species": "none", "area": "none", "paper": "none", "licence": "none", "default_split": "holdout:2"}
EVERY_RUN = {
    "config.json", "data.json", "history.jsonl", "neurons.csv", "predictions.npz", "scores.json", "model",
    "cc_vs_ceiling.png", "learning_curves.png", "neuron_best.png", "neuron_median.png", "neuron_worst.png",
}  # fmt: skip


@register_dataset(
    DatasetCard("tiny-movies", "a small simulated retina", size="4 neurons, 7 movies, 3 repeats", **NOTHING)
)
class TinyMovies(SimulatedMovieDataset):
    def __init__(self, dt_ms=1000 / 60):
        super().__init__(n_neurons=4, n_stims=7, duration_s=1.0, n_repeats=3, dt_ms=dt_ms, spatial_resol=(7, 8))


@register_dataset(DatasetCard("tiny-sounds", "noises, as both", size="3 neurons, 7 sounds, 3 repeats", **NOTHING))
class TinySounds(AudioNeuralDataset):
    def __init__(self, dt_ms=5.0, return_waveform=False):
        super().__init__(path="tiny-sounds", dt_ms=dt_ms)
        rng = np.random.default_rng(0)
        self.F, self.N_neurons, self.return_waveform = 6, 3, return_waveform
        self.audio_fs = 6400 if return_waveform else None
        shape = (1, 60 * 32) if return_waveform else (1, 6, 60)
        self.stims = [torch.from_numpy(rng.normal(size=shape)).float() for _ in range(7)]
        self.responses = [list(torch.from_numpy(rng.poisson(1.0, (3, 3, 60))).float()) for _ in range(7)]
        self.nrn_meta, self.stim_meta = [{} for _ in range(3)], [{} for _ in range(7)]
        self.validate()


@pytest.mark.parametrize("model", ["video-ln", "convnet3d", "convgru"])
@pytest.mark.slow
def test_a_model_of_movies_is_fitted_and_scored_again(model, tmp_path, request):
    files = EVERY_RUN | {"strfs.png"}
    if model != "video-ln":
        request.getfixturevalue("no_figures")
        files = {name for name in EVERY_RUN if not name.endswith(".png")}
    run("fit", "tiny-movies", model, "--epochs", 2, "--out", tmp_path / "run", exit_code=0)
    assert {path.name for path in (tmp_path / "run").iterdir()} == files
    assert "the same numbers" in run("evaluate", tmp_path / "run").stdout
    saved = NeuralModel.from_pretrained(tmp_path / "run" / "model")
    assert (saved.H, saved.W, saved.O, saved.T) == (7, 8, 4, 12)  # 200 ms


def test_a_model_of_waveforms_is_fitted_and_scored_again(tmp_path):
    run("fit", "tiny-sounds", "icnet", "--epochs", 2, "--out", tmp_path / "run", exit_code=0)
    assert {path.name for path in (tmp_path / "run").iterdir()} == EVERY_RUN  # its fields are over no frequencies
    assert "the same numbers" in run("evaluate", tmp_path / "run").stdout
    saved = NeuralModel.from_pretrained(tmp_path / "run" / "model")
    assert saved(torch.zeros(1, 1, 3 * 32)).shape == (1, 3, 1, 3)


@pytest.mark.parametrize(
    ("dataset", "model", "words"),
    [
        ("tiny-movies", "linear", "linear takes sounds, and the data set 'tiny-movies' has movies"),
        ("tiny-movies", "icnet", "icnet takes sounds"),
        ("tiny-sounds", "video-ln", "video-ln takes movies, and the data set 'tiny-sounds' has sounds"),
        ("simulated", "icnet", "icnet takes waveforms, and the data set 'simulated' has only spectrograms"),
    ],
)
def test_the_wrong_kind_of_stimulus_is_one_clear_line(dataset, model, words, tmp_path):
    error_line("fit", dataset, model, "--out", tmp_path / "run", words=[words])
    assert not (tmp_path / "run").exists()


def test_a_sweep_over_movies(tmp_path, no_figures):
    (tmp_path / "sweep.toml").write_text("""
        out = "first"
        [[dataset]]
        name = "tiny-movies"
        [[model]]
        name = ["video-ln", "convnet3d"]
        epochs = 1
    """)
    run("sweep", tmp_path / "sweep.toml", "--jobs", 1, exit_code=0)
    table = (tmp_path / "first" / "results.csv").read_text()
    assert table.count("complete") == 2


def test_what_a_sweep_knows_a_recording_by_is_what_the_model_takes():
    spectrograms, also, waveforms = (
        _data_sha256(FitOptions(dataset="tiny-sounds", model=model)) for model in ("linear", "statenet", "icnet")
    )
    assert spectrograms == also != waveforms


@pytest.mark.slow
def test_the_recipe_recovers_the_simulated_retina(tmp_path, no_figures):
    assert run("fit", "simulated-movies", "video-ln", "--out", tmp_path / "run", "--quiet").exit_code == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["parts"]["test"]
    assert scores["cc_norm"]["mean"] > 0.95
    fields = receptive_fields(NeuralModel.from_pretrained(tmp_path / "run" / "model"))
    assert (strf_correlation(SimulatedMovieDataset().true_fields, fields) > 0.8).all()
