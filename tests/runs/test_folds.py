"""``deepstrf fit --folds K``: every stimulus is predicted by a model that never saw it, and scored once."""

import csv
import json

import numpy as np
import pytest
import torch
from tiny_data import Tiny

from deepSTRF.datasets.collate import neural_collate
from deepSTRF.datasets.splits import k_fold
from deepSTRF.metrics import corrcoef, normalized_corrcoef
from deepSTRF.models import NeuralModel
from deepSTRF.models.audio.ridge import fit_ridge
from deepSTRF.runs import FitOptions, Interrupted, RunError, evaluate_run, fit_run

pytestmark = [
    pytest.mark.usefixtures("no_figures"),
    pytest.mark.filterwarnings("ignore:the best penalty:UserWarning"),
]

NETWORK = {"dataset": "tiny", "model": "linear", "folds": 3, "epochs": 3}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_: [])
        return fit_run(FitOptions(**NETWORK), tmp_path_factory.mktemp("runs") / "linear")


@pytest.fixture(scope="module")
def ridge(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_: [])
        return fit_run(FitOptions(dataset="tiny", model="ridge", folds=4), tmp_path_factory.mktemp("runs") / "ridge")


def test_each_stimulus_is_tested_once_and_by_the_fold_that_is_named(finished):
    with np.load(finished.folder / "predictions.npz") as arrays:
        tested_by = arrays["fold"]
        assert all(arrays[f"pred_{s:03d}"].shape == (4, 100) for s in range(8))
        assert all(np.isfinite(arrays[f"{name}_{s:03d}"]).all() for s in range(8) for name in ("pred", "val"))
    folds = json.loads((finished.folder / "config.json").read_text())["split"]["folds"]
    assert sorted(s for fold in folds for s in fold) == list(range(8))
    assert all(tested_by[s] == k for k, stimuli in enumerate(folds) for s in stimuli)


def test_pooled_scores_are_the_metrics_of_the_saved_predictions(finished):
    dataset = Tiny()
    responses = neural_collate([dataset[i] for i in range(8)])["responses"]
    with np.load(finished.folder / "predictions.npz") as arrays:
        pred = torch.from_numpy(np.stack([arrays[f"pred_{s:03d}"] for s in range(8)]))[:, :, None]
    with (finished.folder / "neurons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    parts = json.loads((finished.folder / "scores.json").read_text())["parts"]
    for name, metric in (("cc", corrcoef), ("cc_norm", normalized_corrcoef)):
        values = metric(pred, responses, reduction="none")
        assert [float(row[f"{name}_test"]) for row in rows] == pytest.approx(values.tolist(), abs=1e-5)
        assert parts["test"][name]["mean"] == pytest.approx(float(values.mean()), abs=1e-5)


def test_ridge_folds_are_those_that_one_fits_by_hand(ridge):
    for split in k_fold(8, 4):
        dataset = Tiny()
        dataset.standardize_stims(split.train, per_band=False)  # neither of validation nor of test stimuli
        model = fit_ridge(dataset.subset(split.train))
        for s in split.test:
            with torch.no_grad():
                expected = model(dataset.stims[s][None])[0, :, 0]
            torch.testing.assert_close(ridge.predictions[s], expected, rtol=1e-4, atol=1e-5)


def test_saved_model_is_fitted_to_everything(ridge):
    dataset = Tiny()
    dataset.standardize_stims(per_band=False)
    expected = fit_ridge(dataset).STRF_weight()
    saved = NeuralModel.from_pretrained(ridge.folder / "model").STRF_weight()
    torch.testing.assert_close(saved, expected, rtol=1e-3, atol=1e-6)
    parts = ridge.summary["parts"]
    assert parts["train"]["cc"]["mean"] > parts["test"]["cc"]["mean"]


def test_network_is_trained_for_the_median_of_the_best_epochs(finished):
    best = finished.summary["folds"]["best_epochs"]
    assert len(best) == 3
    assert len(finished.history) == 1 + sorted(best)[1]
    assert (finished.folder / "history_fold2.jsonl").exists()


def test_evaluation_gives_the_same_numbers(finished, ridge):
    assert evaluate_run(finished.folder).largest_difference < 1e-6
    assert evaluate_run(ridge.folder).largest_difference < 1e-6


def test_interrupted_folds_are_resumed(finished, tmp_path):
    def stop(fitter, row):
        if row.get("fold") == 1:
            fitter.stop()

    with pytest.raises(Interrupted):
        fit_run(FitOptions(**NETWORK), tmp_path / "run", on_epoch=stop)
    seen = []
    resumed = fit_run(
        FitOptions(**NETWORK), tmp_path / "run", resume=True, on_epoch=lambda _, row: seen.append(row.get("fold"))
    )
    assert 0 not in seen  # the first fold was finished
    assert resumed.summary["parts"] == finished.summary["parts"]
    assert all(map(torch.equal, resumed.predictions, finished.predictions))


def test_folds_that_do_not_fit_say_why(tmp_path):
    with pytest.raises(ValueError, match=r"^50 folds of 8 stimuli are cut in time\. .*as long as the window"):
        fit_run(FitOptions(dataset="tiny", model="ridge", folds=50), tmp_path / "run")


def test_blocks_of_time_where_there_are_fewer_stimuli_than_folds(tmp_path):
    class_file = tmp_path / "one.py"
    class_file.write_text(
        "import torch\n"
        "from deepSTRF.datasets.audio import AudioNeuralDataset\n"
        "class One(AudioNeuralDataset):\n"
        "    def __init__(self):\n"
        "        super().__init__('one', 10.0)\n"
        "        x = torch.randn(1, 2, 1500, generator=torch.Generator().manual_seed(0))\n"
        "        noise = torch.randn(1, 5, 1500, generator=torch.Generator().manual_seed(1))\n"
        "        self.stims, self.responses = [x], [x[:, :1].roll(2, -1) + noise]\n"
        "        self.stim_meta, self.nrn_meta, self.N_neurons, self.F = [{}], [{}], 1, 2\n"
        "        self.validate()\n"
    )
    result = fit_run(FitOptions(dataset=f"{class_file}:One", model="ridge", folds=5), tmp_path / "run")
    assert len(result.predictions) == 5
    assert result.summary["parts"]["test"]["cc_norm"]["mean"] == pytest.approx(1.0, abs=0.05)
    scores = result.scores["test"]
    torch.testing.assert_close(scores["cc_norm"], scores["cc"] / scores["ceiling"])


def test_folds_and_a_split_of_stimuli_exclude_each_other(tmp_path):
    with pytest.raises(RunError, match="blocks:3"):
        fit_run(FitOptions(dataset="tiny", model="ridge", folds=3, split="holdout:2"), tmp_path / "run")
    with pytest.raises(RunError, match="at least 3"):
        FitOptions(folds=2)
