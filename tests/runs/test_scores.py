"""Scores of a run where not every neuron has repeats, or data at all."""

import csv
import math

import numpy as np
import pytest
import torch

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import corrcoef, noise_ceiling, normalized_corrcoef
from deepSTRF.registry import DatasetCard, register_dataset
from deepSTRF.runs import FitOptions, RunError, fit_run
from deepSTRF.runs.folder import write_neurons
from deepSTRF.runs.scores import predict, score_part, summarise

N_BINS = 80


@pytest.fixture(scope="module")
def recording():
    """Neuron 0 with five repeats, neuron 1 with single trials, neuron 2 without data."""
    generator = torch.Generator().manual_seed(0)
    stims = [torch.randn(4, N_BINS, generator=generator) for _ in range(3)]
    responses = [
        [
            stim[1] + torch.randn(5, N_BINS, generator=generator),
            stim[2:3] + torch.randn(1, N_BINS, generator=generator),
            None,
        ]
        for stim in stims
    ]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=5.0)


@pytest.fixture(scope="module")
def predictions(recording):
    return [torch.stack([stim[0, 1], stim[0, 2], stim[0, 0]]) for stim in recording.stims]


def test_scores_are_the_metrics_of_the_whole_part(recording, predictions):
    scores = score_part(predictions, recording)
    batch = neural_collate([recording[i] for i in range(3)])
    pred = torch.stack(predictions)[:, :, None]
    for name, metric in (("cc", corrcoef), ("cc_norm", normalized_corrcoef)):
        expected = metric(pred, batch["responses"], reduction="none")
        if name == "cc_norm":  # of single trials the metric gives cc, which is no noise-corrected number
            expected[1] = math.nan
        torch.testing.assert_close(scores[name], expected, equal_nan=True)
    torch.testing.assert_close(scores["ceiling"], noise_ceiling(batch["responses"], reduction="none"), equal_nan=True)
    assert scores["n_repeats"].tolist() == [5, 1, 0]


def test_the_other_convention_of_cc_norm_is_that_of_the_metric(recording, predictions):
    scores = score_part(predictions, recording, concatenated=True)
    batch = neural_collate([recording[i] for i in range(3)])
    pred = torch.stack(predictions)[:, :, None]
    expected = normalized_corrcoef(pred, batch["responses"], signal_power="concatenated", reduction="none")
    expected[1] = math.nan
    torch.testing.assert_close(scores["cc_norm_concatenated"], expected, equal_nan=True)
    assert scores["cc_norm_concatenated"][0] != scores["cc_norm"][0]


def test_single_trials_are_flagged_and_left_out_of_cc_norm(recording, predictions, tmp_path):
    scores = score_part(predictions, recording)
    assert bool(scores["cc"][1].isfinite())
    assert bool(scores["cc_norm"][1].isnan())
    summary = summarise({"test": scores})["test"]
    assert summary["single_trial_neurons"] == 1
    assert (summary["cc"]["defined"], summary["cc_norm"]["defined"], summary["cc_norm"]["all"]) == (2, 1, 3)
    assert summary["cc_norm"]["mean"] == pytest.approx(float(scores["cc_norm"][0]))
    write_neurons(recording, {"test": scores}, tmp_path / "neurons.csv")
    with (tmp_path / "neurons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["single_trial_test"] for row in rows] == ["0", "1", "0"]
    assert [row["n_repeats"] for row in rows] == ["5", "1", "0"]
    assert rows[2]["cc_test"] == rows[2]["cc_norm_test"] == rows[2]["ceiling_test"] == ""
    assert rows[1]["ceiling_test"] == ""


def test_a_part_that_nobody_heard_is_undefined():
    stims, silent = [torch.randn(4, N_BINS)], [[None, None]]
    part = AudioNeuralDataset.from_arrays([*stims, *stims], [*silent, [torch.rand(2, N_BINS), None]], dt_ms=5.0)
    scores = score_part([torch.rand(2, N_BINS)], part.subset([0]))
    assert all(bool(scores[name].isnan().all()) for name in ("cc", "cc_norm", "ceiling"))
    assert math.isnan(summarise({"test": scores})["test"]["cc"]["mean"])


def test_predict_runs_in_eval_mode_and_leaves_the_mode(recording):
    from deepSTRF.models.audio import Linear

    model = Linear(n_frequency_bands=4, temporal_window_size=3, out_neurons=3).train()
    first, second = predict(model, recording), predict(model, recording)
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[0].shape == (3, N_BINS)


@register_dataset(
    DatasetCard("unheard", "nobody heard the test sounds", "none", "none", "tiny", "none", "none", "fixed")
)
class Unheard(SimulatedDataset):
    def __init__(self, dt_ms=5.0):
        super().__init__(n_neurons=3, n_stims=4, duration_s=0.5, n_repeats=2, dt_ms=dt_ms)
        self.protocols = {"fixed": {"train": (0, 1), "val": (2,), "test": (3,)}}
        for n in range(3):
            self.responses[3][n] = torch.full((1, 1), math.nan)


def test_a_part_without_data_is_an_error_before_fitting(tmp_path):
    with pytest.raises((RunError, ValueError), match="test"):
        fit_run(FitOptions(dataset="unheard", model="ridge"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_scored_against_the_ceiling_of_the_uncut_recording():
    rng = np.random.default_rng(0)
    stim = rng.normal(size=(1, 6000))
    rate = 0.2 * np.exp(np.sin(np.arange(6000) / 300) + 0.5 * stim)  # it drifts, within blocks too
    responses = rng.poisson(rate[:, None], (1, 20, 6000))
    recording = AudioNeuralDataset.from_arrays([stim], [responses], dt_ms=10.0)
    whole = score_part([torch.from_numpy(rate).float()], recording)
    for n_blocks in (5, 20):
        cut = recording.in_blocks(n_blocks, gap_ms=50)
        rates = [torch.from_numpy(rate[:, m["start"] - m["warm_up"] : m["stop"]]).float() for m in cut.stim_meta]
        scores = score_part(rates, cut, concatenated=True)
        assert float(scores["ceiling"]) == pytest.approx(float(whole["ceiling"]), abs=1e-6)
        assert float(scores["cc_norm"]) == pytest.approx(float(scores["cc"]) / float(whole["ceiling"]), abs=1e-6)
        assert float(scores["cc_norm"]) == pytest.approx(float(whole["cc_norm"]), abs=0.01)
        assert float(scores["cc_norm_concatenated"]) == pytest.approx(float(scores["cc_norm"]))  # of one stimulus
