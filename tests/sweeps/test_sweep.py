"""Sweeps: what the file asks for, what is run and what is not, and the table that comes out."""

import csv
import dataclasses
import errno
import json
import math
import os
import shutil
import sys
import threading
import time
import warnings

import pytest
import torch
from tiny_data import make_recording

from deepSTRF.files import lock
from deepSTRF.runs import FitOptions, RunError
from deepSTRF.runs.scores import predict
from deepSTRF.sweeps import Outcome, Run, Sweep, leaderboard, read_sweep, run_sweep, table
from deepSTRF.sweeps import sweep as sweeps
from deepSTRF.sweeps.results import write_results

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def recording(tmp_path):
    """The folder of a recording."""
    return make_recording(tmp_path / "recording")


def asked(tmp_path, text, **options):
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return read_sweep(path, **options)


def linear(recording, *seeds, **options):
    """Quick runs, one per seed."""
    defaults = {"epochs": 2, "batch_size": 4}
    options = {"dataset": "tiny", "model": "linear", "data": str(recording)} | defaults | options
    return tuple(Run(f"run{seed}", FitOptions(seed=seed, **options)) for seed in seeds)


def results(out):
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- what the file asks for

SMALLEST = """
out = "first"
[[dataset]]
name = "simulated"
[[model]]
name = "ridge"
"""


def test_every_combination_of_data_models_options_and_seeds(tmp_path):
    sweep = asked(
        tmp_path,
        """
        out = "first"
        seeds = [3, 5]
        device = "cpu"
        [[dataset]]
        name = "simulated"
        split = ["holdout:2", "holdout:4"]
        [[dataset]]
        name = "ns1"
        data = "~/ns1"
        dt_ms = 20
        [[model]]
        name = ["linear", "statenet"]
        lr = [1e-3, 3e-3]
        loss = "poisson"
        [[model]]
        name = "linear-nonlinear"
        """,
    )
    options = {run.options for run in sweep.runs}
    assert len(options) == len(sweep.runs) == 3 * 5 * 2
    assert len({run.name for run in sweep.runs}) == len(sweep.runs)
    data = {(o.dataset, o.split, o.dt_ms) for o in options}
    assert data == {("simulated", "holdout:2", None), ("simulated", "holdout:4", None), ("ns1", None, 20.0)}
    models = {(o.model, o.lr, o.loss) for o in options}
    assert models == {(m, lr, "poisson") for m in ("linear", "statenet") for lr in (1e-3, 3e-3)} | {
        ("linear-nonlinear", None, None)
    }
    assert {o.seed for o in options} == {3, 5}
    assert "simulated-splitholdout2-linear-lr0.001-losspoisson-seed3" in {run.name for run in sweep.runs}
    assert "ns1-dt_ms20-linear-nonlinear-seed5" in {run.name for run in sweep.runs}


def test_places_start_at_the_file_and_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    text = '[[dataset]]\nname = "ns1"\ndata = ["recordings/ns1", "~/ns1"]\n[[model]]\nname = "ridge"\n'
    sweep = asked(tmp_path, 'out = "sweeps/first"\n' + text)
    assert sweep.out == tmp_path / "sweeps" / "first"
    assert [run.options.data for run in sweep.runs] == [str(tmp_path / "recordings/ns1"), "/home/somebody/ns1"]
    monkeypatch.chdir(tmp_path / "..")
    assert asked(tmp_path, text, out="elsewhere").out == tmp_path.parent / "elsewhere"


def test_names_do_not_change_when_the_sweep_grows(tmp_path):
    small = {run.name: run.options for run in asked(tmp_path, SMALLEST).runs}
    grown = asked(tmp_path, "seeds = [0, 1]" + SMALLEST + '[[model]]\nname = "linear"\nlr = [1e-3, 1e-2]')
    assert small.items() <= {run.name: run.options for run in grown.runs}.items()


def test_runs_that_differ_only_in_the_place_of_their_data_have_folders_of_their_own(tmp_path):
    text = SMALLEST.replace('"simulated"', '"ns1"\ndata = ["a", "b"]')
    names = [run.name for run in asked(tmp_path, text).runs]
    assert len(set(names)) == 2
    assert all(name.startswith("ns1-ridge-seed0-") for name in names)
    assert names == [run.name for run in asked(tmp_path, text).runs]


def test_nothing_is_run_twice(tmp_path):
    text = SMALLEST.replace('"ridge"', '"linear"\nlr = [1e-3, 0.001, 1]\n[[model]]\nname = "linear"\nlr = 1.0')
    sweep = asked(tmp_path, text)
    assert [run.options.lr for run in sweep.runs] == [1e-3, 1.0]
    assert "2 runs were asked for more than once" in sweep.notes[0]


def test_what_no_seed_can_change_runs_once(tmp_path):
    sweep = asked(tmp_path, "seeds = [4, 5]" + SMALLEST + '[[model]]\nname = "linear"')
    assert [(run.options.model, run.options.seed) for run in sweep.runs] == [("ridge", 4), ("linear", 4), ("linear", 5)]
    assert "ridge is fitted in closed form and runs once, with seed 4" in sweep.notes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seeds = [0]", "seed = [0]"), ("'seed'", "top of the file", "'seeds'")),
        (('name = "linear"', 'name = "linear"\nlearning_rate = 1'), ("'learning_rate'", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nepoch = 1'), ("'epoch'", "[[model]] number 2", "'epochs'")),
        (('name = "linear"', 'name = "linear"\nseed = 1'), ("'seed'", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nthreads = 2'), ("'threads'", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nlr = []'), ("nothing to run", "lr", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nlr = "fast"'), ("lr", "a number", "'fast'", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nlr = true'), ("lr", "a number", "True")),
        (('name = "linear"', 'name = "linear"\nlr = {a = 1}'), ("lr", "a number")),
        (('name = "linear"', 'name = "linear"\nepochs = 2.5'), ("epochs", "an integer", "2.5")),
        (('name = "linear"', 'name = "linear"\nepochs = [2, 0]'), ("epochs", "at least 1", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nlr = -1'), ("lr", "above 0", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nlr = nan'), ("lr", "finite")),
        (('name = "linear"', 'name = "linear"\nloss = "mae"'), ("loss", "poisson", "[[model]] number 2")),
        (('name = "linear"', 'name = "linear"\nmonitor = "val"'), ("monitor", "val_cc_norm")),
        (('name = "ridge"', 'name = "ridge"\nlr = 1e-3'), ("ridge", "closed form", "[[model]] number 1")),
        (('name = "linear"', 'name = "linaer"'), ("linaer", "Did you mean 'linear'", "[[model]] number 2")),
        (('name = "linear"', "lr = 1e-3"), ("[[model]] number 2", "no name")),
        (('name = "simulated"', 'name = "simulatd"'), ("simulatd", "Did you mean 'simulated'", "[[dataset]] number 1")),
        (('name = "simulated"', 'name = "simulated"\nlr = 1e-3'), ("'lr'", "[[dataset]] number 1", "dt_ms")),
        (('[[dataset]]\nname = "simulated"', ""), ("nothing to run", "[[dataset]]")),
        (("[[dataset]]", "[dataset]"), ("[[dataset]]", "two brackets")),
        (('[[dataset]]\nname = "simulated"', 'dataset = ["simulated"]'), ("[[dataset]]", "two brackets")),
        (("seeds = [0]", "seeds = []"), ("nothing to run", "seed")),
        (("seeds = [0]", "seeds = [-1]"), ("seed", "top of the file", "-1")),
        (("seeds = [0]", "seeds = [4294967296]"), ("seed", "4294967296")),
        (("seeds = [0]", "seeds = ['a']"), ("seed", "an integer")),
        (("seeds = [0]", 'device = ["cpu", "cuda"]'), ("device", "a string")),
        (('out = "first"', ""), ("folder", "or out")),
        (('out = "first"', "out = 3"), ("folder", "or out")),
        (('out = "first"', 'out = "first'), ("sweep.toml", "not a TOML file", "line")),
    ],
)
def test_mistakes_say_where_they_are(tmp_path, change, words):
    text = 'seeds = [0]\nout = "first"\n[[dataset]]\nname = "simulated"\n[[model]]\nname = "ridge"\n'
    text += '[[model]]\nname = "linear"\n'
    assert change[0] in text
    with pytest.raises(RunError) as raised:
        asked(tmp_path, text.replace(*change, 1))
    for word in words:
        assert word in str(raised.value)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "sweep.toml").write_bytes(b"\xff\xfe\x00out")
    with pytest.raises(RunError, match="not a TOML file"):
        read_sweep(tmp_path / "sweep.toml")
    with pytest.raises(FileNotFoundError):
        read_sweep(tmp_path / "other.toml")


# ---------------------------------------------------------------- what is run


def test_a_run_is_a_folder_as_fit_writes_it(tmp_path, recording):
    sweep = Sweep(tmp_path / "out", linear(recording, 0))
    (outcome,) = run_sweep(sweep)
    assert (outcome.status, outcome.origin, outcome.error) == ("complete", "new", "")
    alone = sweeps.fit_run(sweep.runs[0].options, tmp_path / "alone")
    assert {p.name for p in (tmp_path / "out" / "run0").iterdir()} == {p.name for p in alone.folder.iterdir()}
    assert same_run(tmp_path / "out" / "run0", alone.folder)
    scores = json.loads((alone.folder / "scores.json").read_text())["parts"]
    for part in ("val", "test"):
        for score in ("cc", "cc_norm"):
            for number, key in (("mean", "mean"), ("median", "median"), ("neurons", "defined")):
                assert outcome.scores[f"{part}_{score}_{number}"] == scores[part][score][key]


def same_run(first, second):
    """Bit for bit, but for the clock."""
    for name in ("model/model.safetensors", "neurons.csv", "predictions.npz"):
        if (first / name).read_bytes() != (second / name).read_bytes():
            return False
    rows = [[json.loads(line) for line in (f / "history.jsonl").read_text().splitlines()] for f in (first, second)]
    return all({**a, "seconds": 0} == {**b, "seconds": 0} for a, b in zip(*rows, strict=True))


def test_complete_runs_are_left_alone_and_new_ones_done(tmp_path, recording, monkeypatch):
    out = tmp_path / "out"
    run_sweep(Sweep(out, linear(recording, 0, 1)))
    before = files_of(out / "run0")
    begun = []
    real = sweeps.fit_run
    monkeypatch.setattr(sweeps, "fit_run", lambda o, folder, **k: begun.append(folder.name) or real(o, folder, **k))
    found = []
    outcomes = run_sweep(Sweep(out, linear(recording, 1, 2, 0)), on_start=found.extend)
    assert begun == ["run2"]
    assert files_of(out / "run0") == before
    assert [(o.run.name, o.origin) for o in outcomes] == [("run1", "found"), ("run2", "new"), ("run0", "found")]
    assert {o.run.name for o in found} == {"run0", "run1"}
    assert [row["folder"] for row in results(out)] == ["run1", "run2", "run0"]


def test_a_complete_sweep_does_not_even_load_the_data(tmp_path, recording):
    run_sweep(Sweep(tmp_path / "out", linear(recording, 0)))
    sweeps._fingerprints.clear()
    shutil.rmtree(recording)
    assert run_sweep(Sweep(tmp_path / "out", linear(recording, 0)))[0].origin == "found"


def test_an_interrupted_sweep_goes_on_to_the_same_end(tmp_path, recording, monkeypatch):
    runs = linear(recording, 0, 1, 2, epochs=3)
    undisturbed = run_sweep(Sweep(tmp_path / "undisturbed", runs))
    out = tmp_path / "out"

    def interrupt_the_second(*arguments):
        if (out / "run1").exists():
            raise KeyboardInterrupt
        return predict(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.predict", interrupt_the_second)  # after its last epoch
        with pytest.raises(KeyboardInterrupt):
            run_sweep(Sweep(out, runs))
    assert [row["status"] for row in results(out)] == ["complete", "unfinished", "unfinished"]
    assert not (out / "run1" / "scores.json").exists()
    assert (out / "run1" / "history.jsonl").exists()
    outcomes = run_sweep(Sweep(out, runs))
    assert [outcome.origin for outcome in outcomes] == ["found", "resumed", "new"]
    for run in runs:
        assert same_run(out / run.name, tmp_path / "undisturbed" / run.name)
    without_clock = [{**row, "fit_seconds": None} for row in table(outcomes)]
    assert without_clock == [{**row, "fit_seconds": None} for row in table(undisturbed)]


def test_a_folder_of_other_options_is_an_error_before_anything_runs(tmp_path, recording):
    out = tmp_path / "out"
    run_sweep(Sweep(out, linear(recording, 0)))
    before = files_of(out)
    other = linear(recording, 1) + linear(recording, 0, epochs=3, lr=1e-3)
    with pytest.raises(RunError, match=r"run0.*epochs 2, not 3, lr None, not 0\.001.*another folder"):
        run_sweep(Sweep(out, other))
    assert files_of(out) == before


def test_a_recording_may_move_but_not_change(tmp_path, recording):
    out = tmp_path / "out"
    run_sweep(Sweep(out, linear(recording, 0)))
    moved = recording.rename(tmp_path / "moved")
    assert run_sweep(Sweep(out, linear(moved, 0)))[0].origin == "found"
    other = make_recording(tmp_path / "other", seed=1)
    with pytest.raises(RunError, match="other"):
        run_sweep(Sweep(out, linear(other, 0)))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"data": "/nowhere/at/all"}, "/nowhere"), ({"split": "holdout:20"}, "holdout"), ({"dt_ms": 1e9}, "dt")],
)
def test_data_that_cannot_be_loaded_are_an_error_before_anything_runs(tmp_path, recording, options, words):
    bad = linear(recording, 1, **options)
    with pytest.raises((RunError, ValueError, OSError), match=words):
        run_sweep(Sweep(tmp_path / "out", linear(recording, 0) + bad))
    assert not (tmp_path / "out").exists()


def test_an_unwritable_place(tmp_path, recording):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make the folder of the sweep"):
        run_sweep(Sweep(tmp_path / "file" / "out", linear(recording, 0)))


@pytest.mark.filterwarnings("ignore:epoch 0. val_cc_norm is undefined:UserWarning")
def test_what_fails_is_told_and_the_others_finish(tmp_path, recording):
    out = tmp_path / "out"
    explodes = tuple(Run("explodes", dataclasses.replace(run.options, lr=1e30)) for run in linear(recording, 0))
    runs = linear(recording, 1) + explodes + linear(recording, 2)
    seen = []
    outcomes = run_sweep(Sweep(out, runs), on_outcome=seen.append)
    assert [outcome.status for outcome in outcomes] == ["complete", "failed", "complete"]
    assert seen == outcomes
    assert "NonFiniteLossError" in outcomes[1].error
    assert "\n" not in outcomes[1].error
    row = results(out)[1]
    assert (row["status"], row["val_cc_mean"], row["error"]) == ("failed", "", outcomes[1].error)
    errors = (out / "errors.txt").read_text()
    assert "explodes" in errors
    assert "Traceback" in errors
    again = run_sweep(Sweep(out, runs))
    assert [outcome.origin for outcome in again if outcome.status == "complete"] == ["found", "found"]
    assert again[1].status == "failed", "what failed is tried again"
    run_sweep(Sweep(out, linear(recording, 1, 2)))
    assert not (out / "errors.txt").exists()


def test_a_full_disk_leaves_the_last_table_and_nothing_else(tmp_path, monkeypatch):
    outcomes = [Outcome(Run("first", FitOptions(dataset="simulated", model="ridge")), "unfinished")]
    write_results(outcomes, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_results([dataclasses.replace(outcomes[0], status="failed")], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_runs_warn_about_is_said_once(tmp_path, recording):
    runs = linear(recording, 0, 1, dt_ms=20.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        outcomes = run_sweep(Sweep(tmp_path, runs))
    assert [outcome.status for outcome in outcomes] == ["complete"] * 2
    assert len(caught) == 1
    assert "too short to smooth bins of 20.0 ms" in str(caught[0].message)


def test_two_workers_never_do_the_same_run(tmp_path, recording, monkeypatch):
    """A worker that was taken for dead still holds the run: the next one waits, and finds it complete."""
    (run,) = linear(recording, 0)
    (tmp_path / ".locks").mkdir()
    begun = []
    real = sweeps.fit_run
    monkeypatch.setattr(sweeps, "fit_run", lambda *a, **k: begun.append(1) or real(*a, **k))
    outcomes = []
    with lock(tmp_path / ".locks" / run.name):
        second = threading.Thread(target=lambda: outcomes.append(sweeps.do_run(run, tmp_path)))
        second.start()
        time.sleep(0.3)
        assert begun == []
        real(run.options, tmp_path / run.name)
        assert begun == []
    second.join(60)
    assert begun == []
    assert [(outcome.status, outcome.origin) for outcome in outcomes] == [("complete", "found")]


def test_runs_in_the_threads_of_one_worker_do_not_mix(tmp_path, recording):
    """They share torch's random numbers; a Dask worker has as many threads as cores unless told otherwise."""
    runs = linear(recording, 0, 1, 2)
    alone = run_sweep(Sweep(tmp_path / "alone", runs))
    (tmp_path / "together" / ".locks").mkdir(parents=True)
    threads = [threading.Thread(target=sweeps.do_run, args=(run, tmp_path / "together")) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert all(same_run(tmp_path / "together" / o.run.name, tmp_path / "alone" / o.run.name) for o in alone)


def test_a_run_leaves_torch_as_it_was(tmp_path, recording):
    before = torch.get_num_threads()
    run_sweep(Sweep(tmp_path / "out", linear(recording, 0)))
    assert torch.get_num_threads() == before


def test_dask_is_an_extra(tmp_path, recording, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install deepSTRF\[cluster\]"):
        run_sweep(Sweep(tmp_path / "out", linear(recording, 0)), scheduler="tcp://127.0.0.1:1")


# ---------------------------------------------------------------- results


def outcome(seed=0, val=0.5, model="linear", status="complete", **options):
    scores = {f"{part}_{score}_mean": val for part in ("val", "test") for score in ("cc", "cc_norm")}
    run = Run(f"{model}{seed}{options}", FitOptions(model=model, seed=seed, **options))
    return Outcome(run, status, scores if status == "complete" else {})


def test_leaderboard_is_sorted_by_validation_and_summarises_seeds():
    better_on_test = outcome(val=0.6, model="statenet")
    better_on_test.scores["test_cc_norm_mean"] = 0.9
    failed = outcome(1, status="failed", lr=3e-3)
    slow = [outcome(0, 0.6, lr=1e-3), outcome(1, 0.8, lr=1e-3)]
    board = leaderboard([better_on_test, *slow, outcome(0, 0.1, lr=3e-3), failed])
    assert [(row["model"], row["options"], row["seeds"], row["complete"]) for row in board] == [
        ("linear", {"lr": 1e-3}, 2, 2),
        ("statenet", {}, 1, 1),
        ("linear", {"lr": 3e-3}, 2, 1),
    ]
    assert board[0]["val_cc_norm_mean"] == pytest.approx(0.7)
    assert board[0]["val_cc_norm_sd"] == pytest.approx(math.sqrt(0.02))
    assert math.isnan(board[1]["val_cc_norm_sd"])
    assert board[1]["test_cc_norm_mean"] == 0.9


def test_an_undefined_score_never_wins():
    undefined, single = outcome(0, val=None, lr=1.0), outcome(0, val=0.3, lr=2.0)
    single.scores["val_cc_norm_mean"] = None
    failed = outcome(0, status="failed", lr=3.0)
    board = leaderboard([failed, undefined, single, outcome(0, -0.5, lr=4.0)])
    assert [row["options"]["lr"] for row in board][:2] == [4.0, 2.0]
    assert {row["options"]["lr"] for row in board[2:]} == {1.0, 3.0}


def test_recordings_are_ranked_apart():
    board = leaderboard([outcome(0, 0.9, split="holdout:2"), outcome(0, 0.1), outcome(0, 0.2, model="ridge")])
    assert [(row["recording"]["split"], row["model"]) for row in board] == [
        ("holdout:2", "linear"), ("holdout:4", "ridge"), ("holdout:4", "linear"),
    ]  # fmt: skip


def test_columns_are_what_varies_with_the_recipes_own_values(tmp_path):
    rows = table([outcome(lr=1e-3), outcome(), outcome(model="ridge"), outcome(1)])
    assert [row["lr"] for row in rows] == [1e-3, 3e-3, None, 3e-3]
    assert not {"weight_decay", "split", "data", "epochs"} & set(rows[0])
    write_results([outcome(lr=1e-3), outcome()], tmp_path)
    assert results(tmp_path)[0]["lr"] == "0.001"


def test_parquet_is_the_same_table(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_results([outcome(lr=1e-3), outcome(1, lr=2e-3, status="failed")], tmp_path)
    rows = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == results(tmp_path)
    assert rows == table([outcome(lr=1e-3), outcome(1, lr=2e-3, status="failed")])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write_results([outcome()], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv"], "no table of an older sweep beside it"
