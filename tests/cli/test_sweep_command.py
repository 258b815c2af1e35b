"""``deepstrf sweep``, as a user types it, stops it and types it again."""

import csv
import json
import os
import signal
import sys
import time
from pathlib import Path

import processes
import pytest
import tiny_data
from damaged_runs import damaged, edited, option, score, without
from shell import error_line, run, tree

HEAD = """
out = "first"
seeds = [0, 1]
"""
CONFIG = f"""{HEAD}[[model]]
name = "ridge"
[[dataset]]
name = "tiny"
[[model]]
name = "linear"
epochs = 2
batch_size = 4
lr = [1e-3, 1e-2]
"""


@pytest.fixture
def config(tmp_path, no_figures):
    path = tmp_path / "sweep.toml"
    path.write_text(CONFIG)
    return path


def test_a_sweep_and_the_same_command_again(config, tmp_path):
    result = run("sweep", config, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "5 runs, 0 of them complete already" in result.stdout
    assert "ridge is fitted in closed form" in result.stdout
    assert "[5/5]" in result.stdout
    with (tmp_path / "first" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["complete"] * 5
    board = [line for line in result.stdout.splitlines() if line.startswith(("ridge", "linear"))]
    means = {name: _mean(rows, lr) for name, lr in (("lr=0.001", "0.001"), ("lr=0.01", "0.01"), ("ridge", ""))}
    assert [line.split()[0 if line.startswith("ridge") else 1] for line in board[-3:]] == sorted(
        means, key=lambda name: -means[name]
    )
    for line in board[-3:]:
        name = line.split()[0] if line.startswith("ridge") else line.split()[1]
        assert f"{means[name]:.3f}" in line
        assert ("±" in line) == (name != "ridge")

    again = run("sweep", config, "--jobs", 1)
    assert again.exit_code == 0
    assert "5 runs, 5 of them complete already" in again.stdout
    assert "[" not in again.stdout
    assert again.stdout.splitlines()[-6:] == result.stdout.splitlines()[-6:]


def _mean(rows, lr):
    values = [float(row["val_cc_norm_mean"]) for row in rows if row["lr"] == lr]
    return sum(values) / len(values)


def test_json_and_quiet(config, tmp_path):
    result = run("sweep", config, "--jobs", 1, "--json", "--out", tmp_path / "elsewhere")
    value = json.loads(result.stdout)
    assert value["out"] == str(tmp_path / "elsewhere")
    assert len(value["runs"]) == 5
    assert {row["status"] for row in value["runs"]} == {"complete"}
    assert {row["model"] for row in value["leaderboard"]} == {"ridge", "linear"}
    assert "[5/5]" in result.stderr
    assert run("sweep", config, "--jobs", 1, "--quiet", "--out", tmp_path / "elsewhere").stdout.startswith("tiny: mean")


@pytest.mark.filterwarnings("ignore:epoch 0. val_cc_norm is undefined:UserWarning")
def test_a_failed_run_is_told_and_the_exit_code_says_so(config, tmp_path):
    config.write_text(CONFIG.replace("1e-2", "1e30"))
    result = run("sweep", config, "--jobs", 1)
    assert result.exit_code == 1
    assert "FAILED, NonFiniteLossError" in result.stdout
    assert "2 of 5 runs failed" in result.stdout
    assert "errors.txt" in result.stdout
    assert " 0/2 " in result.stdout
    assert (tmp_path / "first" / "errors.txt").read_text().count("Traceback") == 2


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        (("lr =", "learning_rate ="), (), ("learning_rate", "[[model]] number 2", "lr")),
        (('"tiny"', '"tiny"\nsplit = "holdout:20"'), (), ("holdout",)),
        (('"tiny"', '"ns1"\ndata = "nowhere"'), (), ("nowhere",)),
        (('"tiny"', '"simulated"\ndata = "somewhere"'), (), ("needs no files",)),
        (("", ""), ("--jobs", "2", "--dask", "tcp://127.0.0.1:1"), ("--jobs", "--dask")),
        (("", ""), ("--jobs", "0"), ("--jobs",)),
    ],
)
def test_mistakes_are_one_clear_line(config, tmp_path, change, arguments, words):
    config.write_text(CONFIG.replace(*change, 1))
    error_line("sweep", config, *arguments, words=words)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"], "nothing is left behind"


def test_no_such_file(tmp_path):
    error_line("sweep", tmp_path / "none.toml", words=["none.toml"])
    error_line("sweep", tmp_path, words=[str(tmp_path)])


def test_the_file_and_the_folder_may_lie_at_home(config, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config.write_text(CONFIG.split('[[model]]\nname = "linear"')[0])
    run("sweep", "~/sweep.toml", "--jobs", 1, "--out", "~/elsewhere", exit_code=0)
    assert (tmp_path / "elsewhere" / "results.csv").exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(config, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.predict", interrupt)
        result = run("sweep", config, "--jobs", 1)
    assert result.exit_code == 130
    assert "0 of 5 runs complete" in result.stderr
    assert "same command" in result.stderr
    assert run("sweep", config, "--jobs", 1).exit_code == 0


SWEEP = """
out = "sweep"
[[dataset]]
name = "tiny"
[[model]]
name = "ridge"
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", ["needs a folder"], id="empty"),
        pytest.param(b"\xff\x00" * 50, ["sweep.toml is not a TOML file"], id="bytes"),
        pytest.param(SWEEP.encode()[:-2], ["sweep.toml is not a TOML file", "end of document"], id="cut"),
        pytest.param(b"out = " + b"[" * 10**5, ["sweep.toml is not a TOML file"], id="deep"),
        pytest.param(SWEEP.replace("tiny", "tinny").encode(), ["'tinny'", "Did you mean 'tiny'?"], id="dataset"),
    ],
)
def test_damaged_files_of_a_sweep(elsewhere, content, words):
    (elsewhere / "sweep.toml").write_bytes(content)
    error_line("sweep", "sweep.toml", words=words)
    assert tree(elsewhere) == {"sweep.toml": content}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("config.json", lambda content: b"[1]", ["not written by a run"], id="config-list"),
        pytest.param("config.json", edited("options", to=None), ["not written by a run"], id="options"),
        pytest.param("config.json", option("seed", "x"), ["another run", "seed 'x', not 0"], id="seed"),
        pytest.param("config.json", without("neurons"), ["not written by a run", "'neurons'"], id="neurons"),
        pytest.param("scores.json", lambda content: content[:50], ["cannot be read as JSON"], id="scores-cut"),
        pytest.param("scores.json", lambda content: b"[1]", ["not written by a run"], id="scores-list"),
        pytest.param("scores.json", without("parts", "val"), ["not written by a run", "'val'"], id="part"),
        pytest.param("scores.json", score("high"), ["not written by a run", "'high'"], id="median"),
    ],
)
def test_a_damaged_run_of_a_sweep_is_left_alone(ridge_run, elsewhere, name, content, words):
    (elsewhere / "sweep.toml").write_text(SWEEP)
    folder = damaged(ridge_run[0], elsewhere, name, content)
    (elsewhere / "sweep").mkdir()
    folder = folder.rename(elsewhere / "sweep" / "tiny-ridge-seed0")
    before = tree(folder)
    line = error_line("sweep", "sweep.toml")
    assert [word for word in [name if "another" not in words[0] else str(folder), *words] if word not in line] == []
    assert tree(folder) == before


# ---------------------------------------------------------------- real processes


LONG = f"""{HEAD}[[dataset]]
name = "quiet.py:Tiny"
[[model]]
name = "quiet.py:Slow"
epochs = 12
patience = 12
batch_size = 4
"""
# The tiny data set, no figures in processes that load it, and a model that takes its time while there is a file "slow".
QUIET = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(tiny_data.__file__).parent)!r})
import tiny_data
from deepSTRF.models.audio import Linear
sys.modules["deepSTRF.runs.fit"].draw_figures = lambda *_, **__: []
class Tiny(tiny_data.Tiny):
    pass
class Slow(Linear):
    def forward(self, stims):
        if Path(__file__).with_name("slow").exists():
            time.sleep(0.1)
        return super().forward(stims)
"""


def wait_until(condition, process, folder, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.exitcode is None, (folder / "err").read_text()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def workers_of(process):
    """The processes that joblib started for a sweep and that do its runs."""
    pids = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if (
                f"PPid:\t{process.pid}\n" in status.read_text()
                and b"popen_loky" in (status.parent / "cmdline").read_bytes()
            ):
                pids.append(int(status.parent.name))
        except OSError:  # gone meanwhile
            continue
    return pids


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a Hann window:UserWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker processes in /proc")
def test_killed_and_stopped_local_processes_change_nothing(tmp_path, no_figures):
    """kill -9 to one of the workers of a sweep, SIGTERM to the sweep, the same command again: the end is the same."""
    config = tmp_path / "sweep.toml"
    config.write_text(LONG)
    (tmp_path / "quiet.py").write_text(QUIET)
    whole = run("sweep", config, "--jobs", 1, "--out", tmp_path / "whole", "--json", exit_code=0)

    def saved():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "first").glob("*/training/best.pt.resume")}

    (tmp_path / "slow").touch()
    process = processes.start(processes.COMMAND, "sweep", config, "--jobs", 2, folder=tmp_path)
    wait_until(lambda: len(saved()) == 2, process, tmp_path)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: not set(workers_of(process)) & set(workers), process, tmp_path)
    before = saved()
    wait_until(lambda: any(time_ns != before.get(path) for path, time_ns in saved().items()), process, tmp_path)
    os.kill(process.pid, signal.SIGTERM)
    done = processes.wait(process, tmp_path)
    assert done.code == 130, done.err
    assert "same command" in done.err
    assert "Traceback" not in done.err, done.err

    (tmp_path / "slow").unlink()
    again = run("sweep", config, "--jobs", 1, "--json", exit_code=0)
    rows, expected = (json.loads(result.stdout)["runs"] for result in (again, whole))
    assert [{**row, "fit_seconds": 0} for row in rows] == [{**row, "fit_seconds": 0} for row in expected]
