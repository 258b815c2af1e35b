"""The command line, as a newcomer types it."""

import csv
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from deepSTRF.cli.main import main
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models import NeuralModel
from deepSTRF.registry import DatasetCard, register_dataset

SCORE_COLUMNS = [f"{score}_{part}" for part in ("train", "val", "test") for score in ("cc", "cc_norm", "ceiling")]


@register_dataset(
    DatasetCard(
        name="tiny",
        summary="a small simulated population, so that these tests are quick",
        species="none",
        area="none",
        size="6 neurons, 8 sounds of 1 s, 4 repeats",
        paper="none",
        licence="none",
        default_split="holdout:2",
    )
)
class Tiny(SimulatedDataset):
    def __init__(self, dt_ms=5.0):
        super().__init__(n_neurons=6, n_stims=8, duration_s=1.0, n_repeats=4, dt_ms=dt_ms)


def run(*arguments):
    """Run a command; an exception that is not a clean exit fails the test with its traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def ridge_run(tmp_path_factory):
    """A finished ridge run on the simulated default."""
    out = tmp_path_factory.mktemp("cli") / "ridge"
    result = run("fit", "tiny", "ridge", "--out", out)
    assert result.exit_code == 0, result.output
    return out, result.stdout


def test_fit_writes_the_whole_folder(ridge_run):
    out, _ = ridge_run
    names = {path.name for path in out.iterdir()}
    assert {
        "config.json", "history.jsonl", "neurons.csv", "predictions.npz", "scores.json", "model",
        "cc_vs_ceiling.png", "neuron_best.png", "neuron_median.png", "neuron_worst.png", "strfs.png",
        "strf_recovery.png",
    } <= names  # fmt: skip
    for figure in out.glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_table_and_csv_tell_the_same_numbers(ridge_run):
    out, stdout = ridge_run
    with (out / "neurons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
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
        assert arrays["pred_000"].shape == (6, 200)
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


def test_evaluate_gets_the_same_numbers(ridge_run):
    out, stdout = ridge_run
    result = run("evaluate", out)
    assert result.exit_code == 0, result.output
    assert "the same numbers" in result.stdout
    table = [line for line in result.stdout.splitlines() if line.startswith(("train", "validation", "test"))]
    assert len(table) == 3
    assert all(line in stdout for line in table)
    as_json = json.loads(run("evaluate", out, "--json").stdout)
    assert as_json["largest_difference"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ridge", "linear-nonlinear"])
def test_receptive_fields_are_recovered_and_said_so(model, tmp_path):
    result = run("fit", "simulated", model, "--out", tmp_path / "run", "--quiet")
    assert "true ones" in result.stdout
    recovery = json.loads((tmp_path / "run" / "scores.json").read_text())["strf_recovery"]
    assert recovery["ln_snr_above_half"]["median"] >= 0.9
    assert recovery["ln_snr_above_half"]["neurons"] >= 5
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["parts"]["test"]
    assert 0.85 < scores["cc_norm"]["mean"] < 1.0


def test_progress_line_and_history_of_a_gradient_fit(tmp_path):
    result = run("fit", "tiny", "linear-nonlinear", "--out", tmp_path / "ln", "--epochs", 2, "--batch-size", 4)
    assert result.exit_code == 0, result.output
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


def test_seed_makes_runs_identical(tmp_path):
    arguments = ("fit", "tiny", "linear", "--epochs", 1, "--quiet", "--json", "--batch-size", 4)
    first, second, other = (
        json.loads(run(*arguments, "--seed", seed, "--out", tmp_path / name).stdout)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first["parts"] == second["parts"]
    assert first["parts"] != other["parts"]


def test_json_keeps_standard_output_clean(tmp_path):
    result = run("fit", "tiny", "ridge", "--json", "--out", tmp_path / "run")
    value = json.loads(result.stdout)
    assert value["folder"] == str(tmp_path / "run")
    assert "ridge on tiny" in result.stderr


def test_quiet_prints_only_the_result(tmp_path):
    result = run("fit", "tiny", "linear", "--epochs", 1, "--batch-size", 4, "--quiet", "--out", tmp_path / "run")
    assert not [line for line in result.stdout.splitlines() if line.startswith("epoch")]
    assert result.stderr == ""


def test_default_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tiny-ridge-1").mkdir(parents=True)
    result = run("fit", "tiny", "ridge")
    assert result.exit_code == 0, result.output
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


@pytest.mark.parametrize("command", [(), ("fit",), ("evaluate",), ("datasets",), ("models",)])
def test_help_reads(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100


# ---------------------------------------------------------------- what the user can mend


def one_clear_line(result, *words):
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    message = lines[-1]
    assert message.startswith("Error: ")
    assert "Traceback" not in result.output
    for word in words:
        assert word in message, message
    return message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "simulatd"), ("simulatd", "simulated", "Did you mean")),
        (("fit", "tiny", "statnet"), ("statnet", "statenet")),
        (("fit", "simulated", "ridge", "--data", "somewhere"), ("needs no files",)),
        (("fit", "tiny", "ridge", "--lr", "0.1"), ("closed form", "--lr")),
        (("fit", "tiny", "ridge", "--split", "checkpoint"), ("checkpoint",)),
        (("fit", "tiny", "ridge", "--split", "holdout:20"), ("holdout",)),
        (("fit", "tiny", "ridge", "--split", "holdout:many"), ("holdout",)),
        (("fit", "tiny", "ridge", "--device", "cuda:99"), ("cuda:99",)),
        (("fit", "tiny", "ridge", "--device", "toaster"), ("toaster",)),
        (("fit", "tiny", "ridge", "--device", "meta"), ("meta",)),
        (("fit", "tiny", "ridge", "--dt-ms", "-5"), ("dt",)),
        (("fit", "tiny", "ridge", "--dt-ms", "nan"), ("dt_ms",)),
        (("fit", "tiny", "ridge", "--seed", "-1"), ("--seed",)),
        (("fit", "tiny", "linear", "--monitor", "epoch"), ("--monitor", "val_cc_norm")),
        (("fit", "tiny", "linear", "--weight-decay", "nan"), ("--weight-decay",)),
        (("fit", "tiny", "linear", "--epochs", "0"), ("--epochs",)),
        (("fit", "tiny", "linear", "--lr", "0"), ("--lr",)),
        (("fit", "tiny", "linear", "--batch-size", "0"), ("--batch-size",)),
        (("fit", "ns1", "ridge", "--data", "/nowhere/at/all"), ("/nowhere/at/all", "--data")),
        (("fit", "ns1", "ridge", "--data", __file__), ("is a file", "--data")),
        (("evaluate", "/nowhere/at/all"), ("/nowhere/at/all",)),
    ],
)
def test_mistakes_are_one_clear_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_clear_line(run(*arguments), *words)
    assert list(tmp_path.iterdir()) == [], "a refused run leaves nothing behind"


def test_unknown_monitor_leaves_nothing_behind(tmp_path):
    result = run("fit", "tiny", "linear", "--epochs", 1, "--batch-size", 4, "--monitor", "val_r2",
                 "--out", tmp_path / "run")  # fmt: skip
    one_clear_line(result, "val_r2", "val_cc_norm")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_torch_explains_at_length_is_refused_in_brief(monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("Could not run it with the 'MPS' backend. " + "It is only available there. " * 99)

    monkeypatch.setattr("torch.empty", refuse)
    assert len(one_clear_line(run("fit", "tiny", "ridge", "--device", "mps"), "mps")) < 200


def test_a_warning_is_one_line_without_code(ridge_run, monkeypatch):
    monkeypatch.setattr("deepSTRF.runs.evaluate_run", lambda *_, **__: warnings.warn("too\nshort", stacklevel=1))
    monkeypatch.setattr("deepSTRF.cli.report.evaluation_text", lambda _: "done")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("evaluate", ridge_run[0]).stderr == "Warning: too short\n"


def test_evaluate_does_not_call_an_undefined_score_the_same(ridge_run, tmp_path):
    shutil.copytree(ridge_run[0], tmp_path / "run")
    path = tmp_path / "run" / "scores.json"
    saved = json.loads(path.read_text())
    saved["parts"]["test"]["cc"] |= {"mean": None, "median": None, "defined": 0}
    path.write_text(json.dumps(saved))
    output = run("evaluate", tmp_path / "run").stdout
    assert "DIFFERENT" in output
    assert "undefined" in output


def test_an_existing_folder_is_never_touched(ridge_run):
    out, _ = ridge_run
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    one_clear_line(run("fit", "tiny", "ridge", "--out", out), str(out), "--out")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_evaluate_refuses_unfinished_and_damaged_runs(ridge_run, tmp_path):
    out, _ = ridge_run
    one_clear_line(run("evaluate", tmp_path), "not a finished run")
    for name, words in [
        ("config.json", ("config.json",)),
        ("scores.json", ("scores.json",)),
        ("model/model.safetensors", ("model.safetensors",)),
        ("model/config.json", ("config.json",)),
    ]:
        broken = tmp_path / name.replace("/", "-")
        shutil.copytree(out, broken)
        path = broken / name
        path.write_bytes(path.read_bytes()[:40])
        one_clear_line(run("evaluate", broken), *words)


def test_evaluate_refuses_scores_that_lack_a_part(ridge_run, tmp_path):
    out, _ = ridge_run
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    scores = json.loads((copy / "scores.json").read_text())
    del scores["parts"]["val"]
    (copy / "scores.json").write_text(json.dumps(scores))
    one_clear_line(run("evaluate", copy), "scores.json", "val")


def test_an_interrupted_run_keeps_what_it_trained_for(tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepSTRF.runs.fit.predict", interrupt)  # after the last epoch
    result = CliRunner().invoke(
        main, ["fit", "tiny", "linear", "--epochs", "1", "--batch-size", "4", "--out", str(tmp_path / "run")]
    )
    assert result.exit_code != 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json", "history.jsonl", "training"}
    one_clear_line(run("evaluate", tmp_path / "run"), "not a finished run")


def test_evaluate_refuses_other_data(ridge_run, tmp_path):
    out, _ = ridge_run
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    config = json.loads((copy / "config.json").read_text())
    config["options"]["split"] = "holdout:1"
    (copy / "config.json").write_text(json.dumps(config))
    one_clear_line(run("evaluate", copy), "data")


# ---------------------------------------------------------------- the real recording


@pytest.mark.recordings
@pytest.mark.slow
def test_ridge_on_ns1_reaches_its_score(shared_data, tmp_path):
    result = run("fit", "ns1", "ridge", "--data", shared_data / "ns1", "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)["parts"]["test"]
    assert scores["cc_norm"]["mean"] >= 0.64
    assert scores["cc_norm"]["all"] == 119
    assert "the same numbers" in run("evaluate", tmp_path / "run").stdout


@pytest.mark.recordings
def test_dt_that_does_not_divide(shared_data, tmp_path):
    result = run("fit", "ns1", "ridge", "--data", shared_data / "ns1", "--dt-ms", "7.3", "--out", tmp_path / "run")
    one_clear_line(result, "7.3")
    assert not Path(tmp_path / "run").exists()
