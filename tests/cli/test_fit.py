"""``deepstrf fit``, ``datasets`` and ``models``, as a newcomer types them."""

import csv
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from shell import error_line, run
from tiny_data import Tiny, make_recording

from deepSTRF.models import NeuralModel

SCORE_COLUMNS = [f"{score}_{part}" for part in ("train", "val", "test") for score in ("cc", "cc_norm", "ceiling")]


def test_fit_writes_the_whole_folder(ridge_run):
    out, _ = ridge_run
    names = {path.name for path in out.iterdir()}
    assert {
        "config.json", "data.json", "history.jsonl", "neurons.csv", "predictions.npz", "scores.json", "model",
        "cc_vs_ceiling.png", "neuron_best.png", "neuron_median.png", "neuron_worst.png", "strfs.png",
        "strf_recovery.png",
    } <= names  # fmt: skip
    for figure in out.glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_table_and_csv_tell_the_same_numbers(ridge_run):
    out, stdout = ridge_run
    with (out / "neurons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {"neuron", "cell_id", "kind", "n_repeats", *SCORE_COLUMNS} <= set(rows[0])
    scores = json.loads((out / "scores.json").read_text())["parts"]
    mean = np.mean([float(row["cc_test"]) for row in rows if row["cc_test"]])
    assert scores["test"]["cc"]["mean"] == pytest.approx(mean, abs=1e-5)
    assert f"{mean:.3f}" in stdout
    for row in rows:
        if row["cc_norm_test"] and row["ceiling_test"]:
            product = float(row["cc_norm_test"]) * float(row["ceiling_test"])
            assert float(row["cc_test"]) == pytest.approx(product, abs=1e-4)


def test_predictions_cover_every_stimulus_and_name_the_parts(ridge_run):
    out, _ = ridge_run
    with np.load(out / "predictions.npz") as arrays:
        stimuli = np.concatenate([arrays[f"stimuli_{part}"] for part in ("train", "val", "test")])
        assert sorted(stimuli) == list(range(8))
        assert arrays["pred_000"].shape == (4, 100)
        assert float(arrays["dt_ms"]) == 5.0


def test_saved_model_predicts_what_was_saved(ridge_run):
    import torch

    out, _ = ridge_run
    config = json.loads((out / "config.json").read_text())
    dataset = Tiny()
    dataset.standardize_stims(config["split"]["train"], per_band=False)
    model = NeuralModel.from_pretrained(out / "model")
    model.eval()
    with torch.no_grad():
        pred = model(dataset.stims[3][None])[0, :, 0]
    with np.load(out / "predictions.npz") as arrays:
        np.testing.assert_allclose(pred.numpy(), arrays["pred_003"], rtol=1e-5, atol=1e-6)


# Few cells with much to learn from each.
CELLS = ("n_neurons=6", "n_stims=20", "duration_s=3.0", "n_bands=20", "snr=[0.6, 1.5]", 'kinds={"ln": 1.0}')


@pytest.mark.parametrize("model", [("ridge",), ("linear-nonlinear", "--epochs", 20)])
def test_receptive_fields_are_recovered_and_said_so(model, tmp_path, no_figures):
    read = [word for argument in CELLS for word in ("--read", argument)]
    result = run("fit", "simulated", *model, *read, "--out", tmp_path / "run", "--quiet", exit_code=0)
    assert "true ones" in result.stdout
    recovery = json.loads((tmp_path / "run" / "scores.json").read_text())["strf_recovery"]
    assert recovery["ln_snr_above_half"]["median"] >= 0.9
    assert recovery["ln_snr_above_half"]["neurons"] >= 5
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["parts"]["test"]
    assert 0.85 < scores["cc_norm"]["mean"] < 1.0


def test_progress_line_and_history_of_a_gradient_fit(tmp_path):
    result = run(
        "fit", "tiny", "linear-nonlinear", "--out", tmp_path / "ln", "--epochs", 2, "--batch-size", 4, exit_code=0
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    for word in ("loss", "val cc", "cc_norm", "best", " s ", "patience"):
        assert word in lines[0]
    history = [json.loads(line) for line in (tmp_path / "ln" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == [0, 1]
    assert set(history[0]["val_cc_norm"]) == {"mean", "p10", "p50", "p90", "n_valid"}
    assert (tmp_path / "ln" / "learning_curves.png").exists()
    config = json.loads((tmp_path / "ln" / "config.json").read_text())
    assert config["settings"]["epochs"] == 2
    assert config["settings"]["batch_size"] == 4


def test_seed_makes_runs_identical(tmp_path, no_figures):
    arguments = ("fit", "tiny", "linear", "--epochs", 1, "--quiet", "--json", "--batch-size", 4)
    first, second, other = (
        json.loads(run(*arguments, "--seed", seed, "--out", tmp_path / name).stdout)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first["parts"] == second["parts"]
    assert first["parts"] != other["parts"]


def test_json_keeps_standard_output_clean(tmp_path, no_figures):
    result = run("fit", "tiny", "ridge", "--json", "--out", tmp_path / "run")
    value = json.loads(result.stdout)
    assert value["folder"] == str(tmp_path / "run")
    assert "ridge on tiny" in result.stderr


def test_quiet_prints_only_the_result(tmp_path, no_figures):
    result = run("fit", "tiny", "linear", "--epochs", 1, "--batch-size", 4, "--quiet", "--out", tmp_path / "run")
    assert not [line for line in result.stdout.splitlines() if line.startswith("epoch")]
    assert result.stderr == ""


def test_default_folders_are_numbered(tmp_path, no_figures):
    (tmp_path / "runs" / "tiny-ridge-1").mkdir(parents=True)
    run("fit", "tiny", "ridge", exit_code=0)
    assert (tmp_path / "runs" / "tiny-ridge-2" / "scores.json").exists()


def test_lists():
    listing = run("datasets").stdout
    for word in ("simulated", "ns1", "ferret", "119", "licence", "10.1371/journal.pcbi.1005113"):
        assert word in listing
    listing = run("models").stdout
    for word in ("ridge", "linear-nonlinear", "statenet", "doi", "lr", "closed form"):
        assert word in listing
    assert {entry["name"] for entry in json.loads(run("models", "--json").stdout)} >= {"ridge", "linear", "statenet"}
    assert {entry["name"] for entry in json.loads(run("datasets", "--json").stdout)} >= {"simulated", "ns1"}


@pytest.mark.parametrize("command", [(), ("fit",), ("evaluate",), ("datasets",), ("models",), ("sweep",)])
def test_help_reads(command):
    result = run(*command, "--help", exit_code=0)
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("command", ["", "'fit',", "'sweep',"])
def test_help_does_not_wait_for_torch(command):
    code = f"""
import sys
from deepSTRF.cli.main import main
main([{command} "--help"], standalone_mode=False)
sys.exit("torch" in sys.modules or "joblib" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_help_tells_types_ranges_defaults_and_choices():
    text = " ".join(run("fit", "--help").stdout.split())
    for words in ("[x>=1]", "[default: 0; 0<=x<=4294967295]", "[default: cpu]", "[mse|poisson]", "AdamW. [x>0]"):
        assert words in text


def test_paths_start_at_home(tmp_path, monkeypatch, no_figures):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    make_recording(tmp_path / "home" / "recording")
    run("fit", "tiny", "ridge", "--data=~/recording", "--out=~/run", "--quiet", exit_code=0)
    assert (tmp_path / "home" / "run" / "scores.json").exists()
    assert "the same numbers" in run("evaluate", "~/run", "--data", "~/recording", exit_code=0).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_the_message_about_a_device_is_short(monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("Could not run it with the 'MPS' backend. " + "It is only available there. " * 99)

    monkeypatch.setattr("torch.empty", refuse)
    assert len(error_line("fit", "tiny", "ridge", "--device", "mps", words=["mps"])) < 200


def test_a_warning_is_one_line_without_code(ridge_run, monkeypatch):
    monkeypatch.setattr("deepSTRF.runs.evaluate_run", lambda *_, **__: warnings.warn("too\nshort", stacklevel=1))
    monkeypatch.setattr("deepSTRF.cli.report.evaluation_text", lambda _: "done")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("evaluate", ridge_run[0]).stderr == "Warning: too short\n"


def test_an_interrupted_run_keeps_what_it_trained_for(tmp_path, monkeypatch, no_figures):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepSTRF.runs.fit.predict", interrupt)  # after the last epoch
    run("fit", "tiny", "linear", "--epochs", 1, "--batch-size", 4, "--out", tmp_path / "run", exit_code=1)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json",
        "data.json",
        "history.jsonl",
        "training",
    }
    error_line("evaluate", tmp_path / "run", words=["not a finished run"])


# ---------------------------------------------------------------- the real recording


@pytest.mark.recordings
@pytest.mark.slow
def test_ridge_on_ns1_reaches_its_score(shared_data, tmp_path, no_figures):
    result = run("fit", "ns1", "ridge", "--data", shared_data / "ns1", "--out", tmp_path / "run", "--json", exit_code=0)
    scores = json.loads(result.stdout)["parts"]["test"]
    assert scores["cc_norm"]["mean"] >= 0.64
    assert scores["cc_norm"]["all"] == 119
    assert "the same numbers" in run("evaluate", tmp_path / "run").stdout


@pytest.mark.recordings
def test_dt_that_does_not_divide(shared_data, tmp_path):
    error_line("fit", "ns1", "ridge", "--data", shared_data / "ns1", "--dt-ms", "7.3", words=["7.3"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:the best penalty:UserWarning")
@pytest.mark.parametrize("options", [("ridge",), ("linear", "--epochs", "2")])
def test_folds_score_every_stimulus_once(options, tmp_path, no_figures):
    out = tmp_path / "run"
    stdout = run("fit", "tiny", *options, "--folds", "3", "--out", out, exit_code=0).stdout
    assert "8 stimuli in 3 folds" in stdout
    assert "everything " in stdout
    summary = json.loads((out / "scores.json").read_text())
    assert summary["folds"]["number"] == 3
    row = next(line for line in stdout.splitlines() if line.startswith("folds "))
    assert f"{summary['parts']['test']['cc']['mean']:.3f}" in row
    with np.load(out / "predictions.npz") as arrays:
        assert sorted(np.bincount(arrays["fold"]).tolist()) == [2, 3, 3]
    assert "the same numbers" in run("evaluate", out).stdout
