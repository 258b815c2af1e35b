"""Configurations for loggers and folder names: interface.md §3.4."""

import functools
import json

import pytest
import torch
from torch import nn

from deepSTRF.models.audio import Linear, StateNet
from deepSTRF.training import auto_config, slug_from_config

SIZES = {"n_frequency_bands": 34, "temporal_window_size": 9, "out_neurons": 5}


def test_a_model_is_described_by_class_sizes_and_parts():
    config = auto_config(Linear(**SIZES), dataset_name="NS1")
    assert config == SIZES | {
        "model": "Linear", "dataset": "NS1", "prefiltering": "Identity", "core": "Identity",
        "readout": "STRFReadout", "readout.kernel": "Conv2d", "readout.activation": "Identity",
    }  # fmt: skip


def test_parts_are_named_by_their_classes():
    model = StateNet(n_frequency_bands=34, out_neurons=5)
    model.core, model.output_activation = nn.Dropout(0.1), nn.Softplus()
    config = auto_config(model)
    assert (config["core"], config["output_activation"]) == ("Dropout", "Softplus")
    assert config["readout"] == type(model.readout).__name__
    assert "readout.kernel" not in config
    assert "dataset" not in config


def test_a_foreign_model_has_its_class_only():
    assert auto_config(nn.Linear(2, 3)) == {"model": "Linear"}


def test_plain_values_of_the_fitter_are_copied_and_others_described():
    kwargs = {
        "patience": 10, "max_grad_norm": 0.5, "monitor": "val_cc", "resume": True, "scheduler": None,
        "optimizer": functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=1e-4, betas=(0.9, 0.99)),
        "device": torch.device("cpu"),
    }  # fmt: skip
    config = auto_config(nn.Linear(2, 3), kwargs)
    for name in ("patience", "max_grad_norm", "monitor", "resume", "scheduler"):
        assert config[name] == kwargs[name]
    assert config["device"] == "device(type='cpu')"
    assert config["optimizer"] == repr(kwargs["optimizer"])[:60]
    assert len(config["optimizer"]) == 60


def test_extra_entries_replace_others():
    config = auto_config(
        Linear(**SIZES), {"patience": 10}, "NS1", extra={"patience": 3, "dataset": "mine", "tags": ["a"]}
    )
    assert (config["patience"], config["dataset"], config["tags"]) == (3, "mine", ["a"])


def test_the_configuration_is_json():
    loop = []
    loop.append(loop)
    extra = {"path": torch.device("cpu"), "loop": loop, "list": [1, {"a": None}], "tensor": torch.ones(2)}
    config = auto_config(Linear(**SIZES), {"log_fn": print, "val_metrics": {"cc": print}}, "NS1", extra)
    assert json.loads(json.dumps(config)) == config
    assert config["list"] == [1, {"a": None}]
    assert config["tensor"] == "tensor([1., 1.])"


def test_the_slug_of_the_interface():
    assert slug_from_config(auto_config(Linear(**SIZES), dataset_name="NS1")) == "linear-ns1-T9-F34"


@pytest.mark.parametrize(
    ("config", "slug"),
    [
        ({"model": "StateNet"}, "statenet"),
        ({"model": "DNet", "dataset": None, "n_frequency_bands": 18}, "dnet-F18"),
        ({}, ""),
    ],
)
def test_missing_entries_are_left_out(config, slug):
    assert slug_from_config(config) == slug


def test_fields_of_ones_own():
    fields = [("lr", "lr{:g}".format), ("absent", str), ("model", str.upper)]
    assert slug_from_config({"model": "Linear", "lr": 3e-3}, fields) == "lr0.003-LINEAR"
