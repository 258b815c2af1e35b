"""The page holds what the runs and the recording hold; what cannot be reported is an error that says what to do."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from big_run import write_big_run
from pages import payload_of, unpack
from tiny_data import Tiny

from deepSTRF.analysis import bootstrap_interval, gradient_strf, paired_comparison, receptive_fields, tuning
from deepSTRF.models import NeuralModel
from deepSTRF.report import write_report
from deepSTRF.runs import FitOptions, RunError, fit_run
from deepSTRF.runs.recording import load_recording


@pytest.fixture(scope="module")
def page(two_runs, tmp_path_factory):
    return write_report(two_runs, tmp_path_factory.mktemp("page") / "report.html")


def test_neurons_hold_responses_predictions_and_fields(page, two_runs):
    payload, dataset = payload_of(page), Tiny()
    config = json.loads((two_runs[0] / "config.json").read_text())
    arrays = [np.load(run / "predictions.npz") for run in two_runs]
    kernels = receptive_fields(NeuralModel.from_pretrained(two_runs[1] / "model"), 30)
    numbers = tuning(kernels, dataset.dt, dataset.frequencies_hz)
    assert payload["stimuli"] == [dataset.stim_meta[s]["name"] for s in config["split"]["test"]]
    for n in range(4):
        segments, fields = unpack(payload, n, 2)
        low, high = payload["neurons"][n]["range"]
        for s, (psth, predictions, raster) in zip(config["split"]["test"], segments, strict=True):
            responses = dataset.responses[s][n].numpy()
            np.testing.assert_allclose(raster, responses, atol=payload["neurons"][n]["counts"][1] / 500)
            np.testing.assert_allclose(psth, responses.mean(0), atol=(high - low) / 500)
            for prediction, saved in zip(predictions, arrays, strict=True):
                np.testing.assert_allclose(prediction, saved[f"pred_{s:03d}"][n], atol=(high - low) / 500)
        kernel = kernels[n].numpy()
        np.testing.assert_allclose(fields[1], kernel, atol=np.abs(kernel).max() / 250)
        peak = payload["neurons"][n]["fields"][1]["peak"]
        band, lag = np.unravel_index(kernel.argmax(), kernel.shape)
        assert (peak["band"], peak["lag_ms"]) == (band, (29 - lag) * 5.0)
        tuned = payload["neurons"][n]["fields"][1]["tuning"]
        for name in ("best_frequency_hz", "bandwidth_octaves", "latency_ms", "separability"):
            expected = float(getattr(numbers, name)[n])
            assert tuned[name] is None if np.isnan(expected) else tuned[name] == pytest.approx(expected, rel=1e-3)


def test_tuning_of_gradients_has_standard_errors(page, tmp_path, no_figures):
    dataset = Tiny()
    run = fit_run(FitOptions(dataset, "statenet", split="holdout:2", epochs=1), tmp_path / "run").folder
    shown = payload_of(write_report(run, tmp_path / "report.html", data=dataset))["neurons"]
    train = load_recording(FitOptions(dataset, "statenet", split="holdout:2")).parts["train"]
    expected = tuning(gradient_strf(NeuralModel.from_pretrained(run / "model"), train, 30)).standard_errors
    for name in ("latency_ms", "separability"):
        errors = [entry["fields"][0]["se"][name] for entry in shown]
        assert errors == [pytest.approx(e, rel=0.05) if e == e else None for e in expected[name].tolist()]
    assert all(entry["fields"][0]["se"] == {} for entry in payload_of(page)["neurons"])  # of one kernel


def test_table_has_scores_and_metadata_of_every_neuron(page):
    payload = payload_of(page)
    labels = [column["label"] for column in payload["columns"]]
    assert labels[:3] == ["neuron", "ceiling", "cc ridge"]
    assert {"cc_norm ridge", "cc linear-nonlinear", "cc_norm linear-nonlinear", "kind"} <= set(labels)
    assert [row[0] for row in payload["rows"]] == ["sim000", "sim001", "sim002", "sim003"]
    assert payload["metadata"][0]["n_repeats"] == "3"


def test_static_part_names_scores_comparison_and_how_it_was_made(page, two_runs):
    text = page.read_text()
    config = json.loads((two_runs[0] / "config.json").read_text())
    scores = json.loads((two_runs[0] / "scores.json").read_text())
    mean = f"{scores['parts']['test']['cc']['mean']:.3f}"
    assert re.search(rf"<th scope=row>test</th><td>{mean} \[0\.\d+, 0\.\d+\]</td><td>4/4</td>", text)
    for words in ("Leaderboard: means over the 4 neurons", "Paired comparison", config["data_sha256"], "holdout:2"):
        assert words in text
    assert text.count("Learning curves") == 1


def test_page_is_one_file_that_loads_nothing(page):
    text = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=", text)
    assert "default-src 'none'" in text
    assert page.stat().st_size < 300_000


def test_names_from_files_are_text_and_not_html(two_runs, tmp_path):
    run = shutil.copytree(two_runs[0], tmp_path / "evil")
    table = (run / "neurons.csv").read_text().replace("sim000", "</script><script>alert(1)</script>")
    (run / "neurons.csv").write_text(table)
    summary = json.loads((run / "scores.json").read_text())
    summary["notes"] = ["<b onclick=alert(1)>", "left out: \u202eunit"]
    (run / "scores.json").write_text(json.dumps(summary))
    path = write_report(run, tmp_path / "report.html")
    assert "alert(1)</script>" not in path.read_text()
    assert "<b onclick" not in path.read_text()
    assert "<li>left out: unit</li>" in path.read_text(), "a name does not turn the sentence around it"
    assert payload_of(path)["rows"][0][0] == "</script><script>alert(1)</script>"


def test_without_the_recording_the_saved_psth_is_shown(object_run, tmp_path):
    run, dataset = object_run
    with_data = payload_of(write_report(run, tmp_path / "with.html", data=dataset))
    path = write_report(run, tmp_path / "without.html")
    without = payload_of(path)
    assert "there are no rasters" in path.read_text()
    assert all(repeats == 0 for entry in without["neurons"] for _, _, repeats in entry["segments"])
    for n in range(4):
        known, saved = unpack(with_data, n, 1)[0], unpack(without, n, 1)[0]
        for one, other in zip(known, saved, strict=True):
            np.testing.assert_array_equal(one[0], other[0])


def test_missing_repeats_and_stimuli_are_missing(tmp_path, no_figures):
    dataset = Tiny()
    for s in range(8):
        response = dataset.responses[s][0].clone()
        response[1, :10] = float("nan")
        dataset.responses[s][0] = response
    dataset.responses[0][1] = dataset.responses[0][1] * float("nan")
    run = fit_run(FitOptions(dataset, "ridge", folds=3), tmp_path / "run").folder
    payload = payload_of(write_report(run, tmp_path / "report.html", data=dataset))
    segments, _ = unpack(payload, 0, 1)
    assert all(np.isnan(raster[1, :10]).all() and np.isfinite(raster[[0, 2]]).all() for _, _, raster in segments)
    assert [stimulus for stimulus, _, _ in payload["neurons"][1]["segments"]] == list(range(1, 8))


def test_an_unfinished_run_is_shown_as_far_as_it_is(two_runs, tmp_path):
    run = shutil.copytree(two_runs[1], tmp_path / "running")
    (run / "scores.json").unlink()
    path = write_report(run, tmp_path / "report.html")
    text, payload = path.read_text(), payload_of(path)
    assert "not finished (3 epochs so far)" in text
    assert "id=reload" in text
    assert [len(line["x"]) for line in payload["curves"][0]["lines"]] == [3, 3]
    assert payload["rows"] == []
    both = write_report([two_runs[0], run], tmp_path / "both.html").read_text()
    assert "<b>running:</b> this run is not finished" in both
    assert "Leaderboard" not in both


def test_a_comparison_stands_for_its_runs(two_runs, tmp_path):
    (tmp_path / "models").mkdir()
    for run in two_runs:
        shutil.copytree(run, tmp_path / "models" / run.name)
    (tmp_path / "models" / "comparison.json").write_text("{}")
    names = [run["name"] for run in payload_of(write_report(tmp_path / "models", tmp_path / "r.html"))["runs"]]
    assert names == ["linear-nonlinear", "ridge"]


def test_runs_of_the_same_name_are_told_apart(two_runs, tmp_path):
    shutil.copytree(two_runs[0], tmp_path / "other" / "ridge")
    payload = payload_of(write_report([two_runs[0], tmp_path / "other" / "ridge", two_runs[0]], tmp_path / "r.html"))
    assert [run["name"] for run in payload["runs"]] == [f"{two_runs[0].parent.name}/ridge", "other/ridge"]


def test_no_runs_are_errors_that_say_what_to_do(two_runs, tmp_path):
    out = tmp_path / "report.html"
    (tmp_path / "empty").mkdir()
    for runs, message in (
        (tmp_path / "none", "there is no run folder .*none; give the folder"),
        (tmp_path / "empty", "empty is not the folder of a run: it has no config.json"),
        ([], "give the folder of at least one run"),
    ):
        with pytest.raises(RunError, match=message):
            write_report(runs, out)
    for runs in (3, None, [3]):
        with pytest.raises(TypeError, match="runs must be"):
            write_report(runs, out)
    assert not out.exists()


def test_damaged_files_are_named(two_runs, tmp_path):
    for number, (name, content) in enumerate(
        (
            ("config.json", "{}"),
            ("config.json", "no json"),
            ("scores.json", "{}"),
            ("neurons.csv", "neuron,cc_test\n0,x\n"),
            ("predictions.npz", "no archive"),
            ("history.jsonl", "no json\n"),
        )
    ):
        run = shutil.copytree(two_runs[1], tmp_path / f"run{number}")
        (run / name).write_text(content)
        with pytest.raises((RunError, ValueError), match=name.replace(".", r"\.")):
            write_report(run, tmp_path / "report.html")
    (run / "history.jsonl").unlink()
    (run / "predictions.npz").unlink()
    with pytest.raises(RunError, match=r"has no predictions\.npz"):
        write_report(run, tmp_path / "report.html")


def test_runs_that_cannot_be_paired_are_errors(two_runs, tmp_path, no_figures):
    other = fit_run(FitOptions(Tiny(dt_ms=4.0), "ridge", split="holdout:2"), tmp_path / "other").folder
    with pytest.raises(RunError, match=r"different recordings \(bins of 4 ms instead of 5\)"):
        write_report([two_runs[0], other], tmp_path / "report.html")
    split = fit_run(FitOptions("tiny", "ridge", split="holdout:1"), tmp_path / "split").folder
    with pytest.raises(RunError, match=r"different stimuli \(splits holdout:2 and holdout:1\)"):
        write_report([two_runs[0], split], tmp_path / "report.html")


def test_only_reports_are_replaced(two_runs, tmp_path):
    out = tmp_path / "thesis.html"
    out.write_text("years of work")
    with pytest.raises(RunError, match="is no report, so it is not replaced"):
        write_report(two_runs[0], out)
    assert out.read_text() == "years of work"
    with pytest.raises(ValueError, match="must name a file"):
        write_report(two_runs[0], tmp_path)
    fresh = write_report(two_runs[0], tmp_path / "new" / "report.html")
    assert write_report(two_runs[1], fresh) == fresh
    assert "linear-nonlinear on tiny" in fresh.read_text()


def test_a_model_that_is_gone_leaves_the_rest(two_runs, tmp_path):
    run = shutil.copytree(two_runs[0], tmp_path / "run")
    shutil.rmtree(run / "model")
    path = write_report(run, tmp_path / "report.html")
    assert "no receptive fields, since the model could not be loaded" in path.read_text()
    assert unpack(payload_of(path), 0, 1)[1] == [None]


def test_intervals_and_p_are_those_of_analysis(page, two_runs):
    text = page.read_text()
    both = []
    for run in two_runs:
        with (run / "neurons.csv").open() as file:
            both.append([float(row["cc_norm_test"]) for row in csv.DictReader(file)])
    interval = bootstrap_interval(both[0], n_resamples=2000)
    assert f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]" in text
    p = paired_comparison(*both).p_value
    assert f"<td>{p:.3f}</td><td>4</td>" in text


def test_many_neurons_make_a_page_of_bounded_size(tmp_path):
    path = write_report(write_big_run(tmp_path / "big", 500), tmp_path / "report.html")
    payload = payload_of(path)
    assert payload["cut"]
    assert path.stat().st_size < 5_000_000
    assert "the recording could not be read" in path.read_text()
    assert len(unpack(payload, 499, 1)[0]) >= 1
