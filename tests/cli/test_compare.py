"""``deepstrf fit FOLDER`` without a model: three models side by side, in one folder, resumable."""

import csv
import json
import shutil

import numpy as np
import pytest
from shell import error_line, run, tree

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.runs import FitOptions, Interrupted, RunError, evaluate_run
from deepSTRF.sweeps import compare_models

pytestmark = [pytest.mark.usefixtures("no_figures"), pytest.mark.filterwarnings("ignore:the best penalty")]

SHORT = ("--epochs", 1, "--quiet")
MODELS = ("ridge", "linear-nonlinear", "statenet")


def recording(n_repeats=3, gain=1.0):
    generator = np.random.default_rng(0)
    stims = [generator.random((4, 100)) for _ in range(8)]
    responses = [gain * stim[1] + generator.random((2, n_repeats, 100)) for stim in stims]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=5.0)


@pytest.fixture
def folder(elsewhere):
    recording().to_folder(elsewhere / "mine")
    return elsewhere / "mine"


def means(folder, column):
    with (folder / "neurons.csv").open() as file:
        return np.mean([float(row[column]) for row in csv.DictReader(file)])


def test_three_models_side_by_side(folder, elsewhere):
    text = run("fit", "mine/", *SHORT, exit_code=0).stdout
    out = elsewhere / "runs" / "mine-models-1"
    assert sorted(path.name for path in out.iterdir()) == sorted([*MODELS, "comparison.json"])
    lines = {line.split()[0]: line.split() for line in text.splitlines()}
    assert "mean over the 2 neurons that all of them define" in text
    assert "ridge is fitted in closed form: epochs had no effect on it" in text
    for model in MODELS:
        val, test = (means(out / model, f"cc_norm_{part}") for part in ("val", "test"))
        assert lines[model][1:3] == [f"{val:.3f}", f"{test:.3f}"]
    ceiling = [f"{means(out / 'ridge', f'ceiling_{part}'):.3f}" for part in ("val", "test")]
    assert lines["noise"][2:] == ["1.000", "1.000", *ceiling]
    saved = json.loads((out / "comparison.json").read_text())
    assert {row["model"] for row in saved["rows"]} == set(MODELS)
    scores = [row["val_cc_norm"] for row in saved["rows"]]
    assert scores == sorted(scores, reverse=True)
    error_line("evaluate", out, words=["comparison of several runs", "mine-models-1/ridge"])
    assert evaluate_run(out / "statenet").largest_difference < 1e-6
    error_line("fit", "mine", *SHORT, "--out", out, "--resume", words=["finished comparison", "--out"])
    error_line("fit", "mine", *SHORT, "--out", out, words=["already exists"])


def test_a_comparison_that_was_interrupted_goes_on(folder, elsewhere):
    whole = compare_models(FitOptions("mine", epochs=2), MODELS[:2], "whole")

    def stop(fitter, row):
        raise Interrupted("stopped")

    options = FitOptions("mine", epochs=2)
    with pytest.raises(Interrupted):
        compare_models(options, MODELS[:2], on_epoch=lambda fitter, row: fitter.stop())
    out = elsewhere / "runs" / "mine-models-1"
    ridge = (out / "ridge" / "scores.json").read_bytes()
    assert not (out / "linear-nonlinear" / "scores.json").exists()
    with pytest.raises(RunError, match=r"other options \(seed\)"):
        compare_models(FitOptions("mine", epochs=2, seed=1), MODELS[:2], out, resume=True)
    with pytest.raises(RunError, match=r"other options \(models\)"):
        compare_models(options, MODELS, out, resume=True)
    shutil.copytree("mine", "copy")
    shutil.rmtree("mine")
    recording(gain=2.0).to_folder("mine")
    for where in (out, None):
        with pytest.raises(
            RunError, match=r"the data of .*mine-models-1 have changed .*other responses of 2 of 2 neurons"
        ):
            compare_models(options, MODELS[:2], where, resume=True)
    shutil.rmtree("mine")
    shutil.copytree("copy", "mine")
    again = compare_models(options, MODELS[:2], resume=True)  # finds it by its options
    assert again.folder.resolve() == out
    assert (out / "ridge" / "scores.json").read_bytes() == ridge
    for row, other in zip(again.rows, whole.rows, strict=True):
        assert {k: v for k, v in row.items() if k not in ("folder", "fit_seconds")} == {
            k: v for k, v in other.items() if k not in ("folder", "fit_seconds")
        }


def test_the_command_that_resumes_is_printed(folder, elsewhere, monkeypatch):
    import signal

    from deepSTRF.cli import report

    monkeypatch.setattr("sys.argv", ["deepstrf", "fit", "mine", "--epochs", "2"])
    line = report.ProgressLine.__call__

    def interrupted(self, fitter, row):
        signal.raise_signal(signal.SIGTERM)
        return line(self, fitter, row)

    monkeypatch.setattr(report.ProgressLine, "__call__", interrupted)
    result = run("fit", "mine", "--epochs", 2, exit_code=128 + signal.SIGTERM)
    assert "deepstrf fit mine --epochs 2 --out runs/mine-models-1 --resume" in result.output
    monkeypatch.undo()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_: [])
    text = run("fit", "mine", "--epochs", 2, "--out", "runs/mine-models-1", "--resume", exit_code=0).stdout
    assert "each model is a run of its own in runs/mine-models-1" in text


def test_movies_have_models_of_their_own(elsewhere):
    generator = np.random.default_rng(0)
    stims = [generator.random((6, 6, 80)) for _ in range(8)]
    responses = [stim[2, 2] + generator.random((2, 3, 80)) for stim in stims]
    VideoNeuralDataset.from_arrays(stims, responses, dt_ms=20.0).to_folder(elsewhere / "film")
    result = json.loads(run("fit", "film", *SHORT, "--window-ms", 100, "--json", exit_code=0).stdout)
    assert sorted(row["model"] for row in result["rows"]) == ["convgru", "ridge", "video-ln"]
    assert result["neurons"]["test_cc_norm"] == 2


def test_single_trials_are_compared_by_cc(elsewhere):
    comparison = compare_models(FitOptions(recording(n_repeats=1), epochs=1), MODELS[:2], "out")
    assert comparison.neurons["test_cc_norm"] == 0
    assert comparison.neurons["test_cc"] == 2
    from deepSTRF.cli.report import comparison_text

    text = comparison_text(comparison)
    assert "cc_norm" not in text.split("note:")[0]
    assert "noise ceiling" not in text.split("note:")[0]


def test_what_has_one_model_keeps_it(elsewhere):
    """Without a model, a name or a class is fitted by the linear-nonlinear model, as ever."""
    run("fit", "tiny", *SHORT, exit_code=0)
    assert (elsewhere / "runs" / "tiny-linear-nonlinear-1" / "scores.json").exists()


BAD = [
    pytest.param(["--split", "nope"], ["no split 'nope'"], id="split"),
    pytest.param(["--set", "n_hidden=3"], ["--set are those of one model; name it"], id="arguments"),
    pytest.param(["--neurons", "area=A1"], ["unknown key of neurons 'area'"], id="neurons"),
    pytest.param(["--device", "nope"], ["device nope cannot be used here"], id="device"),
    pytest.param(["--out", "mine"], ["already exists"], id="out"),
    pytest.param(["--out", "mine", "--resume"], ["no comparison.json"], id="resume"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_a_mistake_leaves_nothing_behind(folder, elsewhere, options, words):
    before = tree(folder)
    error_line("fit", "mine", *options, words=words)
    assert tree(folder) == before
    assert not any((elsewhere / "runs").glob("*"))


@pytest.mark.parametrize("models", [(), ("ridge", "ridge")])
def test_models_must_differ(folder, models):
    with pytest.raises(RunError, match="expected different models to compare"):
        compare_models(FitOptions("mine"), models)
