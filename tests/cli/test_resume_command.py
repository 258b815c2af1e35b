"""``deepstrf fit --resume``: a run that was killed or stopped ends as one that was not."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from deepSTRF.runs import FitOptions, RunError, fit_run
from deepSTRF.runs.folder import is_complete

FIT = ["fit", "simulated", "statenet", "--epochs", "4", "--seed", "2"]
MAIN = [sys.executable, "-c", "from deepSTRF.cli.main import main; main()"]


def start(*arguments, folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*MAIN, *arguments], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(*arguments, folder):
    process = start(*arguments, folder=folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def signal_after_epoch(epoch, number, folder):
    """Send a signal when the line of an epoch was printed; return exit code and standard error."""
    process = start(*FIT, folder=folder)
    for line in process.stdout:
        if line.startswith("epoch") and int(line.split()[1]) >= epoch:
            process.send_signal(number)
            break
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def outcome(folder):
    scores = json.loads((folder / "scores.json").read_text())
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for row in history:
        row.pop("seconds")
    return scores["parts"], history, (folder / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_that_was_killed_or_stopped_ends_as_one_that_was_not(tmp_path):
    for name in ("whole", "killed", "stopped"):
        (tmp_path / name).mkdir()
    finish(*FIT, folder=tmp_path / "whole")
    whole = outcome(tmp_path / "whole" / "runs" / "simulated-statenet-1")

    code, _ = signal_after_epoch(1, signal.SIGKILL, tmp_path / "killed")
    assert code == -signal.SIGKILL
    run = tmp_path / "killed" / "runs" / "simulated-statenet-1"
    assert not is_complete(run)
    finish(*FIT, "--resume", folder=tmp_path / "killed")  # finds the run by its options
    assert outcome(run) == whole
    assert not (run / "training").exists()

    code, err = signal_after_epoch(0, signal.SIGTERM, tmp_path / "stopped")
    assert code == 128 + signal.SIGTERM
    assert "Finishing this epoch" in err
    command = err.splitlines()[-1].strip()
    run = tmp_path / "stopped" / "runs" / "simulated-statenet-1"
    assert "Go on with:" in err
    assert shlex.split(command)[-3:] == ["--out", "runs/simulated-statenet-1", "--resume"]
    finish(*FIT, *shlex.split(command)[-3:], folder=tmp_path / "stopped")
    assert outcome(run) == whole


def test_what_cannot_be_resumed_is_refused_and_left_alone(tmp_path):
    quick = {"model": "linear", "epochs": 1}

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
    options = FitOptions(dataset="simulated", model="linear", epochs=3)

    def second(fitter, row):
        if row["epoch"] == 0:
            for out in (None, tmp_path / "runs" / "simulated-linear-1"):
                with pytest.raises(RunError, match="another process is fitting in"):
                    fit_run(options, out, resume=True)

    result = fit_run(options, on_epoch=second)
    assert is_complete(result.folder)
    assert len(result.history) == 3
