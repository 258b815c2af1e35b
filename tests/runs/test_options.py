"""The one table of options: what Python, the command line and the files of sweeps make of it."""

import dataclasses
import pickle
import tomllib

import numpy as np
import pytest
from shell import run

from deepSTRF.registry import Settings
from deepSTRF.runs import FitOptions, RunError
from deepSTRF.runs.options import OPTIONS
from deepSTRF.sweeps import read_sweep
from deepSTRF.training.recipes import LOSSES


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "seed must lie between 0 and 4294967295, got -1"),
        ({"threads": 0}, "threads must lie between 1 and 1024, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"lr": 0}, "lr must be above 0, got 0"),
        ({"lr": float("nan")}, "lr must be finite, got nan"),
        ({"weight_decay": -1e-3}, "weight_decay must be at least 0, got -0.001"),
        ({"dt_ms": float("inf")}, "dt_ms must be finite, got inf"),
        ({"loss": "mae"}, "loss must be one of 'mse', 'poisson'; got 'mae'"),
        ({"monitor": "val"}, "monitor must be one of 'val_cc_norm', 'val_cc', 'val_loss'; got 'val'"),
    ],
)
def test_a_wrong_value_is_a_value_error_without_flags(options, words):
    with pytest.raises(ValueError, match="^" + words) as raised:
        FitOptions(**options)
    assert isinstance(raised.value, RunError)
    ((name, _),) = options.items()
    assert raised.value.with_flags().startswith(OPTIONS[name].flag + " must ")


def test_conditions_are_read_at_once():
    with pytest.raises(RunError, match="neurons: expected a condition such as 'area=A1'") as raised:
        FitOptions(neurons="area")
    assert raised.value.with_flags().startswith("--neurons: ")
    with pytest.raises(RunError, match="stimuli: unknown operator '=>'"):
        FitOptions(stimuli=["type=>song"])
    assert FitOptions(neurons=()).neurons is None
    assert FitOptions(neurons=["area == A1", "snr>0.2"]) == FitOptions(neurons=("area=A1", "snr>0.2"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": "0"}, "seed must be an integer, got a str: '0'"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"epochs": 2.0}, "epochs must be an integer, got a float"),
        ({"threads": True}, "threads must be an integer, got the bool True"),
        ({"lr": "fast"}, "lr must be a number, got a str"),
        ({"lr": False}, "lr must be a number, got a bool"),
        ({"data": 5}, "data must be a path"),
        ({"split": ["holdout:1"]}, "split must be a string, got a list"),
        ({"model": None}, "model must be a string, got None"),
        ({"arguments": ["n_hidden"]}, "arguments must be a dict with the names of arguments as keys, got a list"),
        ({"neurons": 5}, "neurons must be conditions such as .* got an int: 5"),
        ({"neurons": [5]}, "a condition is a string such as .* got an int: 5"),
        ({"stimuli": {"type": "song"}}, "stimuli must be conditions such as .* got a dict"),
        ({"arguments": {"n_hidden": object()}}, "arguments must hold numbers, strings and lists"),
    ],
)
def test_a_wrong_type_is_a_type_error(options, words):
    with pytest.raises(TypeError, match=words):
        FitOptions(**options)


def test_values_get_the_type_of_the_option(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = FitOptions(data="~/ns1", lr=1, seed=np.int64(3))
    assert (options.data, options.lr, options.seed) == (str(tmp_path / "ns1"), 1.0, 3)
    assert (type(options.lr), type(options.seed)) == (float, int)
    assert FitOptions(data=tmp_path).data == str(tmp_path)


def test_an_error_keeps_its_flags_between_processes():
    error = pickle.loads(pickle.dumps(RunError("`dt_ms` is wrong")))
    assert (str(error), error.with_flags()) == ("dt_ms is wrong", "--dt-ms is wrong")


def test_the_settings_are_those_of_the_table():
    settings = {field.name: field.type for field in dataclasses.fields(Settings)}
    for name, option in OPTIONS.items():
        if option.scope == "model":
            assert name == "arguments" or settings.pop(name) == option.kind.__name__
    assert set(settings) == {"noise", "chunk_bins", "anneal"}  # chosen by the recipes only
    assert OPTIONS["loss"].choices == tuple(LOSSES)
    FitOptions(**{name: getattr(Settings(), name) for name in OPTIONS if hasattr(Settings(), name)})


def test_the_command_line_has_all_of_them():
    text = " ".join(run("fit", "--help").stdout.split())
    for name, option in OPTIONS.items():
        assert (option.flag in text) == (name not in ("dataset", "model"))
        assert name in ("dataset", "model") or option.help.split("  ")[0] in text


def test_a_sweep_takes_those_of_data_sets_and_models(tmp_path):
    values = {"loss": "poisson", "monitor": "val_loss", "split": "holdout:1", "folds": 3, "arguments": {"n_hidden": 3}}
    values |= {"read": {"n_neurons": 3}, "neurons": ("kind=ln", "snr>0"), "stimuli": ("index>=0",), "precision": "bf16"}
    tables = {"dataset": 'name = "tiny"\n', "model": 'name = "nrf"\n'}
    for name, option in OPTIONS.items():
        if option.scope != "run" and not option.is_folder:
            value = {"arguments": "{n_hidden = 3}", "read": "{n_neurons = 3}"}.get(name, repr(values.get(name, 2)))
            if option.kind is tuple:
                value = f"[{list(values[name])}]"  # of one value, which is a list of conditions
            tables[option.scope] += f"{name} = {value}\n"
    text = 'out = "out"\n' + "".join(f"[[{scope}]]\n{table}" for scope, table in tables.items())
    assert tomllib.loads(text)
    (tmp_path / "sweep.toml").write_text(text)
    (only,) = read_sweep(tmp_path / "sweep.toml").runs
    for name, option in OPTIONS.items():
        if option.scope != "run" and not option.is_folder:
            assert getattr(only.options, name) == values.get(name, 2)
            assert isinstance(getattr(only.options, name), option.kind)
