"""Models are compared over the neurons that all of them define."""

import math

from deepSTRF.runs import FitOptions
from deepSTRF.sweeps import Run
from deepSTRF.sweeps.results import Outcome, leaderboard

NAN = math.nan


def outcome(model, values, dataset="simulated"):
    defined = [value for value in values if not math.isnan(value)]
    mean = sum(defined) / len(defined) if defined else None
    return Outcome(
        Run(model, FitOptions(dataset=dataset, model=model)),
        "complete",
        {"val_cc_mean": mean, "val_cc_neurons": len(defined)},
        neurons={"val_cc": tuple(values)},
    )


def test_a_model_does_not_gain_by_a_neuron_that_it_leaves_undefined():
    better, worse = outcome("linear", [0.8, 0.2, 0.6]), outcome("ridge", [0.7, NAN, 0.6])
    board = {row["model"]: row for row in leaderboard([worse, better])}
    assert [row["model"] for row in leaderboard([worse, better])] == ["linear", "ridge"]
    assert math.isclose(board["linear"]["val_cc_mean"], 0.7)
    assert math.isclose(board["ridge"]["val_cc_mean"], 0.65)
    assert board["linear"]["val_cc_neurons"] == board["ridge"]["val_cc_neurons"] == 2


def test_a_run_that_defines_nothing_does_not_empty_the_comparison():
    rows = leaderboard([outcome("linear", [0.8, 0.2]), outcome("ridge", [NAN, NAN])])
    assert [(row["model"], row["val_cc_neurons"]) for row in rows] == [("linear", 2), ("ridge", 0)]
    assert math.isnan(rows[1]["val_cc_mean"])


def test_other_recordings_do_not_matter():
    rows = leaderboard([outcome("linear", [0.8, 0.2]), outcome("linear", [0.1, NAN], dataset="tiny")])
    assert [row["val_cc_neurons"] for row in rows] == [2, 1]
