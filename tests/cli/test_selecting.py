"""``deepstrf fit --neurons 'area=A1' --stimuli 'type=song'``: stored with the run, and applied again."""

import csv
import json

import pytest
from shell import error_line, run

from deepSTRF.registry import get_dataset
from deepSTRF.runs import FitOptions, evaluate_run, fit_run
from deepSTRF.sweeps import read_sweep

pytestmark = pytest.mark.usefixtures("no_figures")

TINY = get_dataset("tiny")()
KINDS = sorted({meta["kind"] for meta in TINY.nrn_meta})
CELLS = ",".join(meta["cell_id"] for meta in TINY.nrn_meta[1:3])
RIDGE = ["fit", "tiny", "ridge"]


@pytest.mark.filterwarnings("ignore:the best penalty")
def test_a_part_is_fitted_and_scored_again(elsewhere):
    text = run(
        *RIDGE,
        "--neurons",
        f"cell_id={CELLS}",
        "--neurons",
        "rate > 0",
        "--stimuli",
        "index!=0",
        "--out",
        "out",
        exit_code=0,
    ).stdout
    assert "2 of 4 neurons" in text.splitlines()[0]
    assert "selected: 2 of 4 neurons and 7 of 8 stimuli" in text
    assert "rate>0 was measured on all selected stimuli, those of the test too" in text
    config = json.loads((elsewhere / "out" / "config.json").read_text())
    assert config["options"]["neurons"] == [f"cell_id={CELLS}", "rate>0"]
    assert config["selected"]["neurons"] == [1, 2]
    assert config["selected"]["stimuli"] == list(range(1, 8))
    assert config["neurons"] == 2
    with (elsewhere / "out" / "neurons.csv").open() as file:
        assert [row["cell_id"] for row in csv.DictReader(file)] == CELLS.split(",")
    assert "the same numbers" in run("evaluate", "out", exit_code=0).stdout


@pytest.mark.filterwarnings("ignore:the best penalty")
def test_it_is_what_select_makes(elsewhere):
    by_option = fit_run(FitOptions("tiny", "ridge", neurons="index<2", split="holdout:1"), elsewhere / "a")
    part = TINY.select("index<2")
    by_object = fit_run(FitOptions(part, "ridge", split="holdout:1"), elsewhere / "b")
    again = fit_run(FitOptions(TINY, "ridge", neurons="index<2", split="holdout:1"), elsewhere / "c")
    assert by_option.summary["parts"] == by_object.summary["parts"] == again.summary["parts"]
    assert evaluate_run(again.folder, data=TINY).largest_difference == 0


def test_an_unfinished_run_is_one_of_its_selection(elsewhere):
    def stop(fitter, row):
        fitter.stop()

    options = {"dataset": "tiny", "model": "linear", "epochs": 2}
    with pytest.raises(ValueError, match="stopped"):
        fit_run(FitOptions(**options, neurons="index<2"), "run", on_epoch=stop)
    error_line("fit", "tiny", "linear", "--epochs", 2, "--out", "run", "--resume", words=["options.neurons"])
    fit_run(FitOptions(**options, neurons=["index<2"]), "run", resume=True)


BAD = [
    pytest.param(["--neurons", "snr"], ["--neurons: expected a condition", "'snr'", "quotes"], id="operator"),
    pytest.param(["--neurons", "snr>"], ["'snr>' needs a value after '>'"], id="value"),
    pytest.param(["--neurons", ">3"], ["'>3' needs a key before '>'"], id="key"),
    pytest.param(["--neurons", "snr=>3"], ["unknown operator '=>'", "= != > >= < <="], id="unknown-operator"),
    pytest.param(["--neurons", "snr>high"], ["> compares with one number, got 'high'"], id="text-for-number"),
    pytest.param(["--neurons", "snr>1,2"], ["got '1,2'; several values go with = or !="], id="list-for-number"),
    pytest.param(["--neurons", "snr=nan"], ["missing values fulfil no condition"], id="nan"),
    pytest.param(["--neurons", "knd=ln"], ["unknown key of neurons 'knd'", "Did you mean 'kind'?"], id="unknown-key"),
    pytest.param(["--neurons", "kind>3"], ["> compares numbers, but values of 'kind'"], id="number-for-text"),
    pytest.param(["--neurons", "kind=interneuron"], ["no neuron matches kind=interneuron", KINDS[0]], id="no-neuron"),
    pytest.param(["--neurons", "rate>1e6"], ["no neuron matches rate>1e6", "lies between"], id="no-neuron-so-fast"),
    pytest.param(
        ["--neurons", "index=0", "--neurons", "index=1"],
        ["of 4 neurons match: index=0 1, index=1 1"],
        id="no-neuron-with-both",
    ),
    pytest.param(
        ["--stimuli", "typ=song"], ["unknown key of stimuli 'typ'", "Did you mean 'type'?"], id="stimulus-key"
    ),
    pytest.param(["--stimuli", "duration>60"], ["no stimulus matches duration>60"], id="no-stimulus"),
    pytest.param(["--stimuli", "index<2", "--split", "holdout:1"], ["3 in all, but there are 2"], id="too-few-stimuli"),
    pytest.param(["--neurons", ""], ["expected a condition"], id="empty"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_a_mistake_is_one_clear_line_and_leaves_nothing_behind(elsewhere, options, words):
    error_line(*RIDGE, *options, words=words)
    assert list(elsewhere.iterdir()) == []


SWEEP = """
out = "out"
[[dataset]]
name = "tiny"
neurons = {neurons}
[[model]]
name = "ridge"
"""


@pytest.mark.filterwarnings("ignore:the best penalty")
def test_a_sweep_tries_selections(elsewhere):
    (elsewhere / "sweep.toml").write_text(SWEEP.format(neurons='["index<2", ["index<3", "rate>0"]]'))
    names = [one.name for one in read_sweep("sweep.toml").runs]
    assert names == ["tiny-neurons-index-below-2-ridge-seed0", "tiny-neurons-index-below-3-rate-above-0-ridge-seed0"]
    text = run("sweep", "sweep.toml", "--jobs", 1, exit_code=0).stdout
    assert "tiny neurons=index<2: mean" in text
    assert "tiny neurons=index<3 & rate>0: mean" in text
    assert "2 of them complete already" in run("sweep", "sweep.toml", "--jobs", 1, exit_code=0).stdout
    with (elsewhere / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["selected_neurons"], row["neurons"]) for row in rows] == [("index<2", "2"), ("index<3 & rate>0", "3")]


def test_a_mistake_in_a_sweep_names_its_place(elsewhere):
    (elsewhere / "sweep.toml").write_text(SWEEP.format(neurons='"index"'))
    error_line("sweep", "sweep.toml", words=["[[dataset]] number 1", "neurons: expected a condition"])
    (elsewhere / "sweep.toml").write_text(SWEEP.format(neurons='"idnex<2"'))
    error_line("sweep", "sweep.toml", words=["unknown key of neurons 'idnex'", "Did you mean 'index'?"])
