"""The benchmark: which runs it is made of, its table against the files of the runs, what fails, and how it goes on."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from tiny_data import Tiny, make_recording

from deepSTRF import registry
from deepSTRF.analysis import bootstrap_interval
from deepSTRF.benchmark import Quoted, plan_benchmark, quoted_scores, run_benchmark
from deepSTRF.benchmark import benchmark as benchmarks
from deepSTRF.benchmark.quoted import QUOTED
from deepSTRF.benchmark.rows import COLUMNS, standings
from deepSTRF.benchmark.step_time import step_times
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.metrics import normalized_corrcoef
from deepSTRF.models import NeuralModel
from deepSTRF.models.audio import Linear
from deepSTRF.models.video import VideoLinearNonlinear
from deepSTRF.registry import dataset_cards, model_cards
from deepSTRF.runs import FitOptions, RunError
from deepSTRF.sweeps import Outcome, Run
from deepSTRF.sweeps import sweep as sweeps

pytestmark = pytest.mark.usefixtures("no_figures")
PUBLISHED = Quoted("tiny", "Deep & <wide>", 0.5, 0.75, "one sound", "Somebody 2020, doi:10.1371/journal.pcbi.1005113")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Two epochs of training, a published score on the tiny recording, and few bins of a stream."""
    registry.model_cards()
    entry = registry._models.entries["linear"]
    recipe = dataclasses.replace(entry.recipe, settings=dataclasses.replace(entry.recipe.settings, epochs=2))
    monkeypatch.setitem(registry._models.entries, "linear", entry._replace(recipe=recipe))
    monkeypatch.setattr("deepSTRF.benchmark.quoted.QUOTED", (PUBLISHED, *QUOTED))
    monkeypatch.setattr(benchmarks, "step_times", lambda model, shape: step_times(model, shape, 20))


def rows_of(out):
    with (out / "benchmark.csv").open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        rows = list(lines)
        assert tuple(lines.fieldnames) == COLUMNS
    return {row["run"] or row["status"]: row for row in rows}


# ---------------------------------------------------------------- what is run


def names(*arguments, **options):
    return [run.name for run in plan_benchmark(*arguments, **options).runs]


def test_every_model_on_every_recording_whose_stimuli_it_takes():
    found = plan_benchmark(["tiny", "simulated-movies"], seeds=2)
    models = {(run.options.dataset, run.options.model) for run in found.runs}
    takes = {name: card.stimulus for name, card in model_cards().items()}
    assert {model for dataset, model in models if dataset == "tiny"} == {n for n, s in takes.items() if "spec" in s}
    assert {model for dataset, model in models if dataset != "tiny"} == {n for n, s in takes.items() if "movie" in s}
    assert sorted(run.options.seed for run in found.runs if run.options.model == "statenet") == [0, 1]
    assert sum(run.options.model == "ridge" for run in found.runs) == 2
    assert any("icnet" in note for note in found.notes)


def test_names_places_seeds_and_folds(tmp_path, monkeypatch):
    make_recording(tmp_path / "recording")
    monkeypatch.chdir(tmp_path)
    (run,) = plan_benchmark(["tiny=recording"], ["ridge"], out="here", split="holdout:1").runs
    assert run.options == FitOptions("tiny", "ridge", data=str(tmp_path / "recording"), split="holdout:1")
    assert names(["tiny"], ["linear"]) == [f"tiny-linear-seed{k}" for k in range(3)]
    assert names(["tiny"], ["linear"], folds=4) == ["tiny-folds4-linear-seed0"]
    assert len(names(["tiny", "tiny"], ["ridge", "ridge"])) == 1
    Tiny().to_folder("mine")
    assert names(["./mine"], ["ridge", "convgru"]) == ["mine-ridge-seed0"]
    assert any("convgru" in note for note in plan_benchmark(["./mine"], ["ridge", "convgru"]).notes)


def test_without_names_the_recordings_that_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path))
    with pytest.raises(RunError, match="no public recording is on this disk"):
        plan_benchmark()
    (tmp_path / "NS1").mkdir()
    for name in ("MetadataSHEnCneurons.mat", "spikesandwav.zip"):
        (tmp_path / "NS1" / name).write_text("")
    here = {run.options.dataset for run in plan_benchmark().runs}
    assert here == {"ns1"}


@pytest.mark.parametrize(
    ("data", "models", "options", "words"),
    [
        (["tinny"], ["ridge"], {}, "Did you mean 'tiny'"),
        (["tiny"], ["rigde"], {}, "Did you mean 'ridge'"),
        (["tiny"], ["convgru"], {}, "none of the models convgru takes the stimuli"),
        (["./nowhere"], ["ridge"], {}, "nowhere"),
        (["./nowhere=there"], ["ridge"], {}, "leave there out"),
        ([], ["ridge"], {}, "data must be names"),
        (["tiny"], [""], {}, "models must be names"),
        (["tiny"], ["ridge"], {"seeds": 0}, "seeds must be a positive integer"),
        (["tiny"], ["ridge"], {"folds": 2}, "folds must be at least 3"),
        ("tiny", ["ridge"], {}, "data must be a list of names"),
    ],
)
def test_mistakes_are_told_before_anything_runs(data, models, options, words):
    with pytest.raises((ValueError, KeyError, OSError, TypeError), match=words):
        plan_benchmark(data, models, **options)


# ---------------------------------------------------------------- the table


def test_a_row_is_what_the_folder_of_its_run_says(tmp_path):
    done = run_benchmark(plan_benchmark(["tiny"], ["ridge", "linear"], seeds=2, out=tmp_path / "out"))
    rows = rows_of(done.out)
    assert [row["status"] for row in rows.values()] == ["complete"] * 3 + ["quoted"]
    for name in ("tiny-ridge-seed0", "tiny-linear-seed1"):
        row, folder = rows[name], done.out / name
        scores, config = (json.loads((folder / file).read_text()) for file in ("scores.json", "config.json"))
        for part, score, column in (
            ("test", "cc", "test_cc"),
            ("test", "cc_norm", "test_cc_norm"),
            ("test", "ceiling", "test_ceiling"),
            ("val", "cc_norm", "val_cc_norm"),
        ):
            assert float(row[column]) == pytest.approx(scores["parts"][part][score]["mean"], abs=2e-6)
        with (folder / "neurons.csv").open(newline="") as file:
            values = [float(line["cc_norm_test"] or "nan") for line in csv.DictReader(file)]
        interval = bootstrap_interval(values, n_resamples=2000)
        ends = [float(row[f"test_cc_norm_{end}"]) for end in ("low", "high")]
        assert ends == pytest.approx([interval.low, interval.high], abs=1e-6)
        assert int(row["test_cc_norm_neurons"]) == np.isfinite(values).sum()
        assert row["data_sha256"] == config["data_sha256"]
        assert (row["split"], row["seed"], row["bin_ms"], row["neurons"]) == ("holdout:2", name[-1], "5.0", "4")
        model = NeuralModel.from_pretrained(folder / "model")
        assert int(row["parameters"]) == model.count_trainable_params()
        assert 0 < float(row["step_ms"]) <= float(row["step_p99_ms"])
        assert float(row["fit_seconds"]) > 0
        assert float(row["test_cc_norm_concatenated"]) == pytest.approx(concatenated(folder, config), abs=1e-4)
    assert rows["tiny-linear-seed0"]["epochs"] == "2"
    assert rows["tiny-ridge-seed0"]["epochs"] == ""


def concatenated(folder, config):
    """Mean of the other cc_norm, from the saved predictions."""
    ds = Tiny()
    with np.load(folder / "predictions.npz") as arrays:
        test = arrays["stimuli_test"].tolist()
        pred = torch.from_numpy(np.stack([arrays[f"pred_{s:03d}"] for s in test]))[:, :, None]
    responses = neural_collate([ds.subset(test)[i] for i in range(len(test))])["responses"]
    return float(normalized_corrcoef(pred, responses, signal_power="concatenated"))


def test_published_scores_stand_beside_ours_and_are_marked(tmp_path):
    done = run_benchmark(plan_benchmark(["tiny"], ["ridge"], out=tmp_path / "out"))
    row = rows_of(done.out)["quoted"]
    assert (row["model"], row["test_cc"], row["test_cc_norm"]) == ("Deep & <wide>", "0.5", "0.75")
    assert (row["protocol"], row["source"]) == (PUBLISHED.protocol, PUBLISHED.source)
    assert all(row[name] == "" for name in ("val_cc_norm", "parameters", "fit_seconds", "data_sha256"))
    page = (done.out / "benchmark.html").read_text(encoding="utf-8")
    assert "<tr class=quoted><th scope=row>Deep &amp; &lt;wide&gt; <small>quoted</small></th>" in page
    assert 'one sound; Somebody 2020 <a href="https://doi.org/10.1371/journal.pcbi.1005113">source</a>' in page
    assert page.count("class=quoted") == 1


def test_quoted_scores_are_of_registered_recordings_and_plausible():
    for score in QUOTED:
        assert score.dataset in dataset_cards()
        assert math.isnan(score.cc) or 0 < score.cc < 1
        assert math.isnan(score.cc_norm) or score.cc_norm > score.cc or math.isnan(score.cc)
        assert score.protocol
        assert score.source_name
    norms = [score.cc_norm for score in quoted_scores("ns1")]
    assert norms == sorted(norms, reverse=True)
    assert norms[0] == 0.77031
    assert quoted_scores("./mine") == []


def outcome(model, seed, values):
    names = ("test_cc", "test_cc_norm", "test_cc_norm_concatenated", "val_cc", "val_cc_norm", "test_ceiling")
    run = Run(f"{model}-{seed}", FitOptions("tiny", model, seed=seed))
    row = {"run": run.name, "dataset": "tiny", "split": "holdout:2", "model": model, "seed": seed}
    return row, Outcome(run, "complete", neurons=dict.fromkeys(names, tuple(values)))


def test_models_are_compared_over_the_neurons_that_all_of_them_define():
    nan = math.nan
    found = standings(
        [
            outcome("ridge", 0, [0.9, nan, 0.5, 0.1]),
            outcome("linear", 0, [0.4, 0.9, 0.6, 0.5]),
            outcome("linear", 1, [0.6, 0.9, 0.4, 0.9]),
            outcome("dnet", 0, [nan] * 4),
        ]
    )
    ((key, ranked),) = found.items()
    assert (key[0], key[2]) == ("tiny", "holdout:2")
    assert [standing.rows[0]["model"] for standing in ranked] == ["linear", "ridge", "dnet"]
    linear, ridge, dnet = (standing.scores["test_cc_norm"] for standing in ranked)
    assert linear.estimate == pytest.approx((0.5 + 0.5 + 0.7) / 3)
    assert (linear.n, ridge.n) == (3, 3)
    assert ridge.estimate == pytest.approx(0.5)
    assert ranked[0].sd["test_cc_norm"] == pytest.approx(np.std([0.5, 1.9 / 3], ddof=1))
    assert math.isnan(ranked[1].sd["test_cc_norm"])
    assert math.isnan(dnet.estimate)


# ---------------------------------------------------------------- what fails, and going on


BROKEN = """
from deepSTRF.models.audio import Linear

class Broken(Linear):
    def forward(self, stims):
        raise RuntimeError("it is broken")
"""


def test_a_run_that_fails_is_a_row_with_its_reason(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN)
    models = [f"{tmp_path / 'mine.py'}:Broken", "ridge"]
    done = run_benchmark(plan_benchmark(["tiny"], models, seeds=1, out=tmp_path / "out"))
    rows = rows_of(done.out)
    failed = rows["tiny-mine-Broken-seed0"]
    assert (failed["status"], failed["error"]) == ("failed", "RuntimeError: it is broken")
    assert (failed["dataset"], failed["model"], failed["split"]) == ("tiny", "mine-Broken", "holdout:2")
    assert rows["tiny-ridge-seed0"]["status"] == "complete"
    page = (done.out / "benchmark.html").read_text(encoding="utf-8")
    assert "<td>RuntimeError: it is broken</td>" in page
    assert "1 failed" in page
    assert "it is broken" in (done.out / "errors.txt").read_text()


def test_data_that_cannot_be_read_fail_their_own_runs(tmp_path):
    done = run_benchmark(plan_benchmark([f"tiny={tmp_path / 'nowhere'}", "tiny"], ["ridge"], out=tmp_path / "out"))
    failed, complete = (row for row in rows_of(done.out).values() if row["status"] != "quoted")
    assert (failed["status"], complete["status"]) == ("failed", "complete")
    assert failed["error"].startswith("FileNotFoundError")
    assert [outcome.status for outcome in done.outcomes] == ["failed", "complete"]


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch):
    plan = plan_benchmark(["tiny"], ["ridge", "linear"], seeds=2, out=tmp_path / "out")
    fit_run, fitted = sweeps.fit_run, []

    def stopped(options, *arguments, **others):
        fitted.append(options.model)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return fit_run(options, *arguments, **others)

    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "fit_run", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_benchmark(plan)
    statuses = [row["status"] for row in rows_of(plan.out).values()]
    assert statuses == ["complete", "unfinished", "unfinished", "quoted"]
    assert "2 not finished" in (plan.out / "benchmark.html").read_text(encoding="utf-8")
    first = rows_of(run_benchmark(plan).out)
    assert {row["status"] for row in first.values()} == {"complete", "quoted"}

    def never(*_, **__):
        raise AssertionError("a complete run is not done again")

    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "fit_run", never)
        patch.setattr(benchmarks, "step_times", never)
        assert rows_of(run_benchmark(plan).out) == first


def test_other_models_are_added_to_the_table(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN)
    out = tmp_path / "out"
    run_benchmark(plan_benchmark(["tiny"], ["ridge", f"{tmp_path / 'mine.py'}:Broken"], seeds=1, out=out))
    before = rows_of(out)
    run_benchmark(plan_benchmark(["tiny"], ["linear"], seeds=1, out=out))
    after = rows_of(out)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    page = (out / "benchmark.html").read_text(encoding="utf-8")
    assert page.count("<td>complete</td>") == 2
    assert "Benchmark: 3 models on tiny" in page


def test_with_folds(tmp_path):
    done = run_benchmark(plan_benchmark(["tiny"], ["ridge"], folds=3, out=tmp_path / "out"))
    row = rows_of(done.out)["tiny-folds3-ridge-seed0"]
    assert (row["split"], row["folds"]) == ("3 folds", "3")
    assert '<h2 id="board-0-title">tiny, 3 folds</h2>' in (done.out / "benchmark.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "words"), [("benchmark.csv", "not the table of a benchmark"), ("benchmark.html", "")])
def test_files_of_others_are_not_replaced(tmp_path, name, words):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=words or "is no report"):
        run_benchmark(plan_benchmark(["tiny"], ["ridge"], out=tmp_path))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


# ---------------------------------------------------------------- time per bin


def test_a_step_of_sounds_movies_and_what_has_no_stream(monkeypatch):
    sounds = Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=2)
    movies = VideoLinearNonlinear((6, 5), out_neurons=2)
    for model, shape in ((sounds, (1, 8)), (movies, (1, 6, 5))):
        random = torch.get_rng_state()
        median, late = step_times(model, shape, 20)
        assert 0 < median <= late
        assert torch.equal(torch.get_rng_state(), random)
    sounds.core = torch.nn.Conv2d(1, 1, 1)  # nothing is known about how it treats time
    assert step_times(sounds, (1, 8), 20) == (None, None)
