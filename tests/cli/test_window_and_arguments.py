"""The window and the arguments of a model, as options of a run."""

import json

import pytest
from shell import error_line, run

from deepSTRF.registry import model_cards
from deepSTRF.runs import FitOptions, RunError, fit_run
from deepSTRF.runs.settings import arguments_of, resolve_settings
from deepSTRF.sweeps import read_sweep


@pytest.mark.filterwarnings("ignore:the best penalty")
@pytest.mark.parametrize("model", ["ridge", "linear"])
def test_the_window_is_that_of_the_receptive_fields(model, tmp_path, no_figures):
    epochs = {} if model == "ridge" else {"epochs": 1}
    result = fit_run(FitOptions(dataset="tiny", model=model, window_ms=60, **epochs), tmp_path / "run")
    assert result.model.T == 12
    assert result.strfs.shape[-1] == 12


def test_arguments_reach_the_constructor_and_the_config(elsewhere, no_figures):
    run("fit", "tiny", "nrf", "--set", "n_hidden=3", "--set", "dropout=0.5", "--epochs", 1, "--out", "out", exit_code=0)
    config = json.loads((elsewhere / "out" / "config.json").read_text())
    assert config["options"]["arguments"] == {"n_hidden": 3, "dropout": 0.5}
    saved = json.loads((elsewhere / "out" / "model" / "config.json").read_text())
    assert '"n_hidden": 3' in json.dumps(saved)
    assert "the same numbers" in run("evaluate", "out", exit_code=0).stdout


def test_texts_and_lists_are_arguments_too(tmp_path, no_figures):
    arguments = {"connectivity": "FC", "hidden_channels": 4}
    model = fit_run(FitOptions("tiny", "statenet", epochs=1, arguments=arguments), tmp_path / "run").model
    assert model.hidden_size == 4 * 6
    arguments = {"alphas": [1.0]}
    model = fit_run(FitOptions("tiny", "ridge", arguments=arguments), tmp_path / "ridge").model
    assert model.ridge_alpha.tolist() == [1.0] * 4


def test_an_unknown_argument_is_an_error_before_data_are_loaded(elsewhere):
    error_line("fit", "tiny", "nrf", "--set", "n_hiden=3", words=["n_hiden", "n_hidden, dropout", "--set"])
    error_line("fit", "tiny", "nrf", "--set", "n_hidden", words=["NAME=VALUE", "n_hidden"])
    error_line("fit", "tiny", "nrf", "--set", "n_hidden=0", "--out", "out", words=["n_hidden"])
    with pytest.raises(RunError, match="unknown argument of ridge 'n_hidden'; available: alphas, folds"):
        resolve_settings(FitOptions(model="ridge", arguments={"n_hidden": 3}))
    assert not (elsewhere / "out").exists()


@pytest.mark.parametrize("model", model_cards())
def test_what_the_recording_decides_is_no_argument(model):
    names = set(arguments_of(model))
    assert not names & {"out_neurons", "n_frequency_bands", "temporal_window_size", "output_activation", "dt_ms"}


def test_a_sweep_tries_windows_and_tables_of_arguments(tmp_path):
    (tmp_path / "sweep.toml").write_text(
        'out = "out"\n[[dataset]]\nname = "tiny"\n[[model]]\nname = "nrf"\nwindow_ms = [50, 100]\n'
        "arguments = [{n_hidden = 3}, {n_hidden = 5, dropout = 0.1}]\n"
    )
    assert [one.name for one in read_sweep(tmp_path / "sweep.toml").runs] == [
        "tiny-nrf-window_ms50-n_hidden3-seed0",
        "tiny-nrf-window_ms50-n_hidden5dropout0.1-seed0",
        "tiny-nrf-window_ms100-n_hidden3-seed0",
        "tiny-nrf-window_ms100-n_hidden5dropout0.1-seed0",
    ]
    (tmp_path / "sweep.toml").write_text(
        'out = "out"\n[[dataset]]\nname = "tiny"\n[[model]]\nname = "nrf"\narguments = {n = 3}\n'
    )
    with pytest.raises(RunError, match=r"\[\[model\]\] number 1: unknown argument of nrf 'n'"):
        read_sweep(tmp_path / "sweep.toml")
