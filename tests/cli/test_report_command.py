"""``deepstrf report``, and ``deepstrf fit --report``: a page in the folder of the run."""

import json

import pytest
from shell import error_line, run

from deepSTRF.cli import report_page


def test_report_goes_into_the_folder_of_the_run(ridge_run, tmp_path):
    folder, _ = ridge_run
    out = run("report", folder, exit_code=0).stdout
    assert out.startswith("report (0.")
    assert out.strip().endswith(f"MB): {folder}/report.html")
    (folder / "report.html").unlink()
    printed = json.loads(run("report", folder, "--out", tmp_path / "a.html", "--json", exit_code=0).stdout)
    assert printed == {"file": str(tmp_path / "a.html"), "bytes": (tmp_path / "a.html").stat().st_size}


def test_several_runs_are_compared_in_the_working_folder(ridge_run, elsewhere):
    run("fit", "tiny", "linear", "--epochs", 1, "--out", "linear", "--quiet", exit_code=0)
    assert "report.html" in run("report", ridge_run[0], "linear", exit_code=0).stdout
    assert "Paired comparison" in (elsewhere / "report.html").read_text()


def test_fit_writes_the_page_while_it_runs_and_at_its_end(elsewhere, monkeypatch, no_figures):
    monkeypatch.setattr(report_page, "SECONDS", 0.0)
    seen = []
    write = report_page.LiveReport._write

    def write_and_look(self, **options):
        write(self, **options)
        seen.append(self.path.read_text())

    monkeypatch.setattr(report_page.LiveReport, "_write", write_and_look)
    out = run("fit", "tiny", "linear", "--epochs", 2, "--out", "run", "--report", exit_code=0).stdout
    assert ["(1 epoch so far)" in page for page in seen] == [True, False, False]
    assert ["not finished" in page for page in seen] == [True, True, False]
    assert "neuron-table" in seen[-1]
    assert "MB): run/report.html" in out
    result = run("fit", "tiny", "ridge", "--out", "ridge", "--report", "--json", exit_code=0)
    assert "ridge" in json.loads(result.stdout)["folder"]
    assert (elsewhere / "ridge" / "report.html").is_file()


@pytest.mark.slow
def test_models_side_by_side_have_one_page(elsewhere, no_figures):
    run("new", "lab", exit_code=0)
    run("fit", "lab", "--epochs", 1, "--window-ms", 40, "--out", "models", "--report", "--quiet", exit_code=0)
    text = (elsewhere / "models" / "report.html").read_text()
    for name in ("ridge", "linear-nonlinear", "statenet"):
        assert f"<td>{name}</td>" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], ["there is no run folder nothing", "deepstrf fit"]),
        (["."], ["is not the folder of a run", "config.json"]),
    ],
)
def test_what_is_no_run_is_one_line(arguments, words, elsewhere):
    error_line("report", *arguments, words=words)
    assert list(elsewhere.iterdir()) == []


def test_other_files_are_not_replaced(ridge_run, elsewhere):
    (elsewhere / "notes.txt").write_text("mine")
    error_line("report", ridge_run[0], "--out", "notes.txt", words=["is no report", "(--out)"])
    assert (elsewhere / "notes.txt").read_text() == "mine"
