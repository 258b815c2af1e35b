"""``deepstrf fit --resume``: a run that was killed or stopped ends as one that was not."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import time

import processes
import pytest
import tiny_data
from damaged_runs import edited, option
from shell import error_line, tree
from shell import run as run_command

from deepSTRF.runs import FitOptions, RunError, fit_run
from deepSTRF.runs.folder import is_complete

pytestmark = pytest.mark.usefixtures("no_figures")

NAME = "tiny_data-Tiny-statenet-1"
FIT = ["fit", f"{tiny_data.__file__}:Tiny", "statenet", "--epochs", "8", "--seed", "2"]


def signal_after_epoch(epoch, number, folder):
    """Send a signal when the line of an epoch was printed; return exit code and standard error."""
    process = processes.start(processes.COMMAND, *FIT, folder=folder)
    out = folder / "out"
    while not (out.exists() and re.search(rf"^epoch +{epoch}\b", out.read_text(), re.MULTILINE)):
        assert process.exitcode is None, (folder / "err").read_text()
        time.sleep(0.005)
    os.kill(process.pid, number)
    done = processes.wait(process, folder)
    return done.code, done.err


def outcome(folder):
    scores = json.loads((folder / "scores.json").read_text())
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for row in history:
        row.pop("seconds")
    return scores["parts"], history, (folder / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_that_was_killed_or_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    for name in ("whole", "killed", "stopped"):
        (tmp_path / name).mkdir()

    def finish(*arguments, folder):
        monkeypatch.chdir(folder)
        run_command(*arguments, exit_code=0)

    finish(*FIT, folder=tmp_path / "whole")
    whole = outcome(tmp_path / "whole" / "runs" / NAME)

    code, _ = signal_after_epoch(1, signal.SIGKILL, tmp_path / "killed")
    assert code == -signal.SIGKILL
    run = tmp_path / "killed" / "runs" / NAME
    assert not is_complete(run)
    finish(*FIT, "--resume", folder=tmp_path / "killed")  # finds the run by its options
    assert outcome(run) == whole
    assert not (run / "training").exists()

    code, err = signal_after_epoch(0, signal.SIGTERM, tmp_path / "stopped")
    assert code == 128 + signal.SIGTERM
    assert "Finishing this epoch" in err
    command = err.splitlines()[-1].strip()
    run = tmp_path / "stopped" / "runs" / NAME
    assert "Go on with:" in err
    assert shlex.split(command)[-3:] == ["--out", f"runs/{NAME}", "--resume"]
    finish(*FIT, *shlex.split(command)[-3:], folder=tmp_path / "stopped")
    assert outcome(run) == whole


def test_what_cannot_be_resumed_is_left_alone(tmp_path):
    quick = {"dataset": "tiny", "model": "linear", "epochs": 1}

    def stop(fitter, row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_run(FitOptions(**quick), tmp_path / "run", on_epoch=stop)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(RunError, match=r"another configuration: options\.seed: was 0, is 1"):
        fit_run(FitOptions(**quick, seed=1), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    fit_run(FitOptions(**quick), tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="finished run"):
        fit_run(FitOptions(**quick), tmp_path / "run", resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="not the folder of a run"):
        fit_run(FitOptions(**quick), tmp_path / "other", resume=True)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_two_processes_do_not_fit_in_one_folder(tmp_path, monkeypatch):
    """Also not where --resume finds the newest unfinished run by itself, as two jobs of a cluster would."""
    monkeypatch.chdir(tmp_path)
    options = FitOptions(dataset="tiny", model="linear", epochs=3)

    def second(fitter, row):
        if row["epoch"] == 0:
            for out in (None, tmp_path / "runs" / "tiny-linear-1"):
                with pytest.raises(RunError, match="another process is fitting in"):
                    fit_run(options, out, resume=True)

    result = fit_run(options, on_epoch=second)
    assert is_complete(result.folder)
    assert len(result.history) == 3


# ---------------------------------------------------------------- damaged unfinished runs

LINEAR = ("fit", "tiny", "linear")
EPOCHS = FitOptions("tiny", "linear", epochs=2)


@pytest.fixture
def unfinished(elsewhere):
    """A run that was ended after its first epoch."""

    def stop(fitter, row):
        fitter.stop()

    with pytest.raises(RunError, match="stopped after epoch 0"):
        fit_run(EPOCHS, elsewhere / "run", on_epoch=stop)
    return elsewhere / "run"


STATE = "training/best.pt.resume"
RESUME_TABLE = [
    pytest.param("config.json", lambda content: content[:50], ["config.json cannot be read as JSON"], id="config-cut"),
    pytest.param("config.json", lambda content: b"[1]", ["another configuration"], id="config-list"),
    pytest.param("config.json", lambda content: b"[" * 10**5, ["cannot be read as JSON"], id="config-deep"),
    pytest.param("config.json", option("seed", 1), ["options.seed: was 1, is 0", "--out"], id="config-seed"),
    pytest.param("config.json", edited("options", to=5), ["another configuration"], id="config-options"),
    pytest.param("history.jsonl", lambda content: b"?\n" + content, ["line 1 is not a JSON object"], id="history"),
    pytest.param(
        "history.jsonl", lambda content: b"[" * 10**5 + b"\n", ["line 1", "remove that line"], id="history-deep"
    ),
    pytest.param(
        "history.jsonl", lambda content: b"{}\n" + content, ["line 1", "does not describe an epoch"], id="history-{}"
    ),
    pytest.param(
        "history.jsonl", edited("epoch", to="0"), ["line 1", "does not describe an epoch"], id="history-epoch"
    ),
    pytest.param(
        "history.jsonl", edited("seconds", to=None), ["line 1", "does not describe an epoch"], id="history-seconds"
    ),
    pytest.param(STATE, lambda content: content[:-9], ["best.pt.resume is damaged", "Delete it"], id="state-cut"),
    pytest.param(STATE, lambda content: b"", ["best.pt.resume is damaged", "Delete it"], id="state-empty"),
]


@pytest.mark.parametrize(("name", "content", "words"), RESUME_TABLE)
def test_a_damaged_unfinished_run_is_left_alone(unfinished, name, content, words):
    (unfinished / name).write_bytes(content((unfinished / name).read_bytes()))
    before = tree(unfinished)
    error_line(*LINEAR, "--epochs", 2, "--resume", "--out", unfinished, words=words)
    after = tree(unfinished)
    assert after.pop("config.json") is not None
    assert {path: content for path, content in before.items() if path != "config.json"} == after


def test_an_unfinished_run_on_a_full_disk_stays_as_it_is(disk, unfinished):
    run = disk(400) / "run"
    shutil.copytree(unfinished, run)
    with contextlib.suppress(OSError):
        (run.parent / "ballast").write_bytes(bytes(10**7))
    before = tree(run)
    assert f"No space left on device: '{run}" in error_line(*LINEAR, "--epochs", 2, "--resume", "--out", run)
    assert tree(run) == before
