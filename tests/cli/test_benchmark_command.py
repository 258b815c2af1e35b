"""``deepstrf benchmark``, as a user types it."""

import csv
import json

import pytest
from shell import error_line, run

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(autouse=True)
def few_bins_of_a_stream(monkeypatch):
    monkeypatch.setattr("deepSTRF.benchmark.step_time.step_times.__defaults__", (20,))


def test_a_table_a_page_and_the_same_command_again(tmp_path):
    command = ("benchmark", "--data", "tiny", "--models", "ridge, convgru", "--seeds", 2, "--out", "b", "--jobs", 1)
    result = run(*command, exit_code=0)
    assert "1 run, 0 of them complete already" in result.stdout
    assert "none of the data has stimuli for convgru" in result.stdout
    assert "ridge is fitted in closed form" in result.stdout
    assert "[1/1] tiny-ridge-seed0: cc_norm" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("the page is " + str(tmp_path / "b" / "benchmark.html"))
    again = run(*command, "--json", exit_code=0)
    value = json.loads(again.stdout)
    assert "1 of them complete already" in again.stderr
    assert value["leaderboard"][0]["model"] == "ridge"
    with (tmp_path / "b" / "benchmark.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["test_cc_norm"]) == value["rows"][0]["test_cc_norm"]


def test_a_failed_run_ends_with_exit_code_1(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from deepSTRF.models.audio import Linear\n\n\nclass Broken(Linear):\n    forward = None\n"
    )
    arguments = ("--data", "tiny", "--models", "ridge", "--models", "mine.py:Broken", "--seeds", 1, "--jobs", 1)
    result = run("benchmark", *arguments, exit_code=1)
    assert "FAILED" in result.stdout
    assert "1 of 2 runs failed" in result.stdout
    assert (tmp_path / "runs" / "benchmark" / "benchmark.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "tinny"], ["'tinny'", "Did you mean 'tiny'?"]),
        (["--data", "tiny", "--models", "ridge,rigde"], ["'rigde'", "ridge"]),
        (["--data", "tiny", "--models", "ridge,"], ["--models must be names"]),
        ([], ["no public recording is on this disk", "--data NAME=PATH"]),
        (["--data", "tiny", "--seeds", "0"], ["--seeds"]),
        (["--data", "tiny", "--jobs", "2", "--dask", "tcp://127.0.0.1:1"], ["--jobs", "--dask"]),
    ],
)
def test_mistakes_are_one_clear_line(arguments, words, tmp_path):
    error_line("benchmark", *arguments, words=words)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
