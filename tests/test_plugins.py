"""Installed packages add data sets and models by entry point; a broken one is named, once."""

import json
import sys
import warnings

import pytest

import deepSTRF.registry as registry

PACKAGE = '''
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models.audio import Linear
from deepSTRF.registry import DatasetCard, ModelCard, Recipe, Settings, register_dataset, register_model


class Lab(SimulatedDataset):
    """The recordings of our lab."""

    def __init__(self, dt_ms=5.0):
        super().__init__(n_neurons=2, n_stims=12, duration_s=0.4, n_repeats=2, n_bands=4, dt_ms=dt_ms)


@register_model(ModelCard("lab-linear", "Ours", "unpublished"), Recipe(Settings(lr=0.5)))
class LabLinear(Linear):
    pass


class Plain(Linear):
    """A model without a card."""


number = 3
'''
POINTS = """
[deepstrf.datasets]
lab = labplugin:Lab
[deepstrf.models]
anything = labplugin
plain = labplugin:Plain
"""
BROKEN = """
[deepstrf.models]
missing = nothing_of_the_kind:Model
wrong = labplugin:number
taken = labplugin:Taken
exits = labexit
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package and its dist-info folder where packages are installed."""
    registry.dataset_cards(), registry.model_cards()
    monkeypatch.syspath_prepend(str(tmp_path))
    for registered in (registry._datasets, registry._models):
        monkeypatch.setattr(registered, "entries", dict(registered.entries))
        monkeypatch.setattr(registered, "has_plugins", False)

    def install(name, points):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(points)

    (tmp_path / "labplugin.py").write_text(PACKAGE)
    (tmp_path / "labexit.py").write_text("raise SystemExit(3)")
    yield install
    for name in ("labplugin", "labexit"):
        sys.modules.pop(name, None)


def test_names_of_an_installed_package(install):
    install("labpackage", POINTS)
    assert registry.get_dataset("lab").__name__ == "Lab"
    assert registry.dataset_cards()["lab"].summary == "The recordings of our lab."
    cards = registry.model_cards()
    assert cards["lab-linear"].summary == "Ours"
    assert cards["plain"].summary == "A model without a card."
    assert registry.get_recipe("lab-linear").settings.lr == 0.5
    assert registry.get_model("plain").__name__ == "Plain"


def test_a_broken_package_is_named_once_and_breaks_nothing(install):
    install("labpackage", POINTS)
    install("brokenpackage", BROKEN)
    with pytest.warns(UserWarning, match="cannot be loaded") as caught:
        cards = registry.model_cards()
    assert {"ridge", "plain", "lab-linear"} <= set(cards)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 4
    for message, words in zip(
        messages, ("ModuleNotFoundError", "got an int", "AttributeError", "SystemExit"), strict=True
    ):
        assert "of the package 'brokenpackage' cannot be loaded" in message
        assert words in message
        assert message.endswith("update or uninstall that package")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.model_cards()
        registry.get_model("ridge")


def test_names_of_deepstrf_are_found_without_loading_what_is_installed(install):
    install("brokenpackage", BROKEN)
    assert registry.get_model("ridge").__name__ == "Ridge"
    assert registry.get_dataset("simulated").__name__ == "SimulatedDataset"


def test_a_package_cannot_take_a_name_of_deepstrf(install):
    install("thief", "[deepstrf.datasets]\nsimulated = labplugin:Lab\n")
    with pytest.warns(UserWarning, match="'simulated' of the package 'thief' .*already registered"):
        cards = registry.dataset_cards()
    assert cards["simulated"].species != ""


@pytest.mark.filterwarnings("default")
def test_the_command_line_lists_and_says_it(install):
    from shell import run

    install("labpackage", POINTS)
    install("brokenpackage", "[deepstrf.datasets]\nmissing = nothing_of_the_kind:Data\n")
    result = run("datasets", "--json", exit_code=0)
    assert "lab" in [entry["name"] for entry in json.loads(result.stdout)]
    warned = [line for line in result.stderr.splitlines() if line.startswith("Warning: ")]
    assert len(warned) == 1
    assert "'missing' of the package 'brokenpackage'" in warned[0]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("labplugin:Plian", registry.UnknownNameError, "unknown model in labplugin 'Plian'.*Did you mean 'Plain'"),
        (
            "labplugin:number",
            ValueError,
            "labplugin:number must be a class that derives from .*NeuralModel, got an int",
        ),
        (
            "labplugin:Lab",
            ValueError,
            "labplugin:Lab must be a class that derives from .*NeuralModel, got the class Lab",
        ),
        ("lab.plugin:Plain", ImportError, "cannot import the module lab.plugin .*give lab/plugin.py:Plain"),
        ("labplugni", registry.UnknownNameError, "For one of your own, give FILE.py:CLASS or PACKAGE.MODULE:CLASS"),
    ],
)
def test_a_class_of_a_module(install, name, error, message):
    assert registry.get_model("labplugin:Plain").__name__ == "Plain"
    assert registry.get_model_card("labplugin:LabLinear").name == "lab-linear"
    assert registry.get_dataset_card("labplugin:Lab").name == "labplugin:Lab"
    with pytest.raises(error, match=message):
        registry.get_model(name)
