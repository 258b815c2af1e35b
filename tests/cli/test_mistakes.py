"""Bad options and folders on the command line: one clear line, exit code 2, and nothing is lost."""

import contextlib
import shutil

import pytest
import torch
from shell import error_line, run, tree

LINEAR = ("fit", "tiny", "linear")
pytestmark = pytest.mark.usefixtures("no_figures")

RIDGE = ("fit", "tiny", "ridge")

OPTION_TABLE = [
    pytest.param(["fit", "simulatd"], ["unknown data set 'simulatd'", "Did you mean 'simulated'?"], id="dataset"),
    pytest.param(["fit", "simulated", "ridg"], ["unknown model 'ridg'", "Did you mean 'ridge'?"], id="model"),
    pytest.param(["fit", "simulated", "Statenet"], ["statenet"], id="model-case"),
    pytest.param(["fit", ""], ["unknown data set ''", "simulated"], id="dataset-empty"),
    pytest.param([*LINEAR, "--epochs", "0"], ["--epochs", "0", "x>=1"], id="epochs-zero"),
    pytest.param([*LINEAR, "--epochs", "2.5"], ["--epochs", "2.5", "integer"], id="epochs-float"),
    pytest.param([*LINEAR, "--patience", "-1"], ["--patience", "-1", "x>=1"], id="patience"),
    pytest.param([*LINEAR, "--batch-size", "0"], ["--batch-size", "0", "x>=1"], id="batch-size"),
    pytest.param([*LINEAR, "--lr", "-1"], ["--lr", "-1", "x>0"], id="lr-negative"),
    pytest.param([*LINEAR, "--lr", "nan"], ["--lr must be finite, got nan"], id="lr-nan"),
    pytest.param([*LINEAR, "--lr", "fast"], ["--lr", "fast", "float"], id="lr-str"),
    pytest.param([*LINEAR, "--weight-decay", "inf"], ["--weight-decay must be finite, got inf"], id="weight-decay"),
    pytest.param([*LINEAR, "--loss", "mae"], ["--loss", "'mae'", "mse", "poisson"], id="loss"),
    pytest.param(
        [*LINEAR, "--monitor", "val_ccc"], ["--monitor", "'val_ccc'", "val_cc_norm", "val_loss"], id="monitor"
    ),
    pytest.param([*LINEAR, "--seed", "-1"], ["--seed", "-1", "0<=x<=4294967295"], id="seed"),
    pytest.param([*LINEAR, "--seed", "x"], ["--seed", "integer"], id="seed-str"),
    pytest.param([*LINEAR, "--threads", "0"], ["--threads", "1<=x<=1024"], id="threads"),
    pytest.param([*LINEAR, "--device", "nope"], ["device nope cannot be used here"], id="device"),
    pytest.param([*LINEAR, "--device", "meta"], ["device meta holds no numbers"], id="device-meta"),
    pytest.param([*LINEAR, "--dt-ms", "0"], ["--dt-ms", "0", "x>0"], id="dt-zero"),
    pytest.param([*LINEAR, "--dt-ms", "nan"], ["--dt-ms must be finite, got nan"], id="dt-nan"),
    pytest.param([*LINEAR, "--dt-ms", "1e9"], ["dt_ms must lie in (0, 50]"], id="dt-huge"),
    pytest.param([*RIDGE, "--split", "nope"], ["no split 'nope'", "holdout:K"], id="split"),
    pytest.param([*RIDGE, "--split", "holdout:0"], ["positive", "got 0"], id="split-zero"),
    pytest.param([*RIDGE, "--split", "holdout:999"], ["1999 in all, but there are 8"], id="split-large"),
    pytest.param([*RIDGE, "--epochs", "3"], ["closed form", "--epochs would have no effect"], id="ridge-epochs"),
    pytest.param(
        ["fit", "simulated", "ridge", "--data", "."], ["needs no files; leave --data out"], id="data-of-simulated"
    ),
    pytest.param(["fit", "ns1", "ridge", "--data", "nowhere"], ["nowhere does not exist", "--data"], id="data-missing"),
    pytest.param([*RIDGE, "--out", "/proc/nothing"], ["cannot make the run folder /proc/nothing"], id="out-unwritable"),
    pytest.param([*RIDGE, "--split", "holdout:many"], ["holdout"], id="split-words"),
    pytest.param([*RIDGE, "--device", "cuda:99"], ["cuda:99"], id="device-number"),
    pytest.param(["fit", "ns1", "ridge", "--data", __file__], ["is a file", "--data"], id="data-file"),
    pytest.param([*RIDGE, "--bogus"], ["No such option", "--bogus"], id="option"),
    pytest.param([*RIDGE, "more"], ["unexpected extra argument", "more"], id="argument"),
    pytest.param(["evaluate", "nowhere"], ["no run folder nowhere", "`deepstrf fit`"], id="evaluate-missing"),
    pytest.param(["evaluate", ""], ["not a finished run"], id="evaluate-empty"),
]


@pytest.mark.parametrize(("arguments", "words"), OPTION_TABLE)
def test_a_mistake_is_one_clear_line_and_leaves_nothing_behind(elsewhere, arguments, words):
    error_line(*arguments, words=words)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there():
    assert "device cuda cannot be used here" in error_line(*LINEAR, "--device", "cuda")


def test_data_that_are_a_file_or_an_empty_folder(elsewhere):
    (elsewhere / "file").write_text("mine")
    (elsewhere / "empty").mkdir()
    assert "file is a file" in error_line("fit", "ns1", "ridge", "--data", "file")
    line = error_line("fit", "ns1", "ridge", "--data", "empty")
    assert "incomplete" in line
    assert "MetadataSHEnCneurons.mat is missing" in line
    assert tree(elsewhere) == {"file": b"mine", "empty": None}


def test_a_run_never_overwrites(elsewhere, ridge_run):
    finished, _ = ridge_run
    before = tree(finished)
    assert "already exists, and a run never overwrites anything" in error_line(*RIDGE, "--out", finished)
    assert "already exists" in error_line(*RIDGE, "--out", finished / "config.json" / "below")
    assert "--resume" not in error_line(*RIDGE, "--out", finished)
    assert tree(finished) == before
    (elsewhere / "begun").mkdir()
    (elsewhere / "begun" / "config.json").write_text("{}")
    assert "or resume this unfinished run (--resume)" in error_line(*RIDGE, "--out", "begun")
    (elsewhere / "file").write_text("mine")
    assert "already exists" in error_line(*RIDGE, "--out", "file")
    assert (elsewhere / "file").read_text() == "mine"


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_leaves_what_was_there(disk):
    folder = disk(48)
    (folder / "mine.txt").write_text("mine")
    line = error_line(*LINEAR, "--epochs", 1, "--out", folder / "run")
    assert f"No space left on device: '{folder / 'run'}" in line
    assert (folder / "mine.txt").read_text() == "mine"
    assert "not a finished run" in error_line("evaluate", folder / "run")


def test_a_disk_that_is_full_from_the_start(disk, elsewhere):
    folder = disk(100)
    with contextlib.suppress(OSError):
        (folder / "ballast").write_bytes(bytes(10**6))
    before = tree(folder)
    assert f"No space left on device: '{folder / 'run'}" in error_line(*RIDGE, "--out", folder / "run")
    assert tree(folder) == before  # no folder of a run, nor a temporary file


def test_a_disk_that_can_only_be_read(disk, read_only, ridge_run):
    finished, _ = ridge_run
    folder = disk(2000)
    shutil.copytree(finished, folder / "run")
    read_only(folder)
    assert "Read-only file system" in error_line(*RIDGE, "--out", folder / "new")
    assert "the same numbers as the saved ones" in run("evaluate", folder / "run").stdout
    assert tree(folder / "run") == tree(finished)
