"""``deepstrf sweep``, as a user types it, stops it and types it again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from deepSTRF.cli.main import main
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.registry import DatasetCard, register_dataset


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


CONFIG = """
out = "first"
seeds = [0, 1]
[[dataset]]
name = "tiny"
[[model]]
name = "ridge"
[[model]]
name = "linear"
epochs = 2
batch_size = 4
lr = [1e-3, 1e-2]
"""


def run(*arguments):
    """Run a command; an exception that is not a clean exit fails the test with its traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_, **__: [])  # which take most of the time
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
        (('"tiny"', '"tiny"\ndata = "somewhere"'), (), ("needs no files",)),
        (("", ""), ("--jobs", "2", "--dask", "tcp://127.0.0.1:1"), ("--jobs", "--dask")),
        (("", ""), ("--jobs", "0"), ("--jobs",)),
    ],
)
def test_mistakes_are_one_clear_line(config, tmp_path, change, arguments, words):
    config.write_text(CONFIG.replace(*change, 1))
    result = run("sweep", config, *arguments)
    assert result.exit_code == 2, result.output
    message = result.stderr.splitlines()[-1]
    assert message.startswith("Error: ")
    for word in words:
        assert word in message
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"], "a refused sweep leaves nothing behind"


def test_no_such_file(tmp_path):
    result = run("sweep", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml" in result.stderr


def test_ctrl_c_says_how_to_go_on(config, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.predict", interrupt)
        result = run("sweep", config, "--jobs", 1)
    assert result.exit_code == 130
    assert "0 of 5 runs are complete" in result.stderr
    assert "same command" in result.stderr
    assert run("sweep", config, "--jobs", 1).exit_code == 0


def test_help_reads():
    result = run("sweep", "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "sweep" in run("--help").stdout


def test_help_does_not_wait_for_torch():
    code = "import sys; from deepSTRF.cli.main import main; sys.exit('torch' in sys.modules or 'joblib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------- real processes


LONG = """
out = "first"
seeds = [0, 1, 2]
[[dataset]]
name = "simulated"
dt_ms = 20
[[model]]
name = "linear"
epochs = 40
patience = 40
batch_size = 4
"""


def wait_until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"the sweep ended too early: {process.communicate()}"
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
def test_stopped_and_killed_local_processes_change_nothing(tmp_path, monkeypatch):
    """SIGTERM to the sweep, the same command again, kill -9 to one of its workers: the end is the same."""
    config = tmp_path / "sweep.toml"
    config.write_text(LONG)
    monkeypatch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_, **__: [])
    serial = run("sweep", config, "--jobs", 1, "--out", tmp_path / "serial", "--json")
    assert serial.exit_code == 0

    def start():
        code = "from deepSTRF.cli.main import main; main()"
        command = [sys.executable, "-c", code, "sweep", str(config), "--jobs", "2", "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def begun():
        return list((tmp_path / "first").glob("*/training/best.pt.resume"))

    process = start()
    wait_until(begun, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "same command" in errors
    assert "Traceback" not in errors, errors

    half = {path: path.stat().st_mtime_ns for path in begun()}
    process = start()
    wait_until(lambda: any(path.stat().st_mtime_ns != half.get(path) for path in begun() if path.exists()), process)
    victim = workers_of(process)[0]
    os.kill(victim, signal.SIGKILL)
    out, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    rows, expected = (json.loads(text)["runs"] for text in (out, serial.stdout))
    assert [{**row, "fit_seconds": 0} for row in rows] == [{**row, "fit_seconds": 0} for row in expected]
