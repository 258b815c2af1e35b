"""Names, cards and recipes; classes in files of the user."""

import os

import pytest
import torch

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.registry import (
    DatasetCard,
    ModelCard,
    Recipe,
    Settings,
    UnknownNameError,
    get_dataset,
    get_dataset_card,
    get_model,
    get_model_card,
    get_recipe,
    model_cards,
    models_in_file,
    register_dataset,
    register_model,
)
from deepSTRF.testing import check_model

MODEL_FILE = '''
import torch
from deepSTRF.datasets import NeuralDataset
from deepSTRF.models.audio import Linear
from deepSTRF.registry import ModelCard, Recipe, Settings, register_model

class Plain(Linear):
    """A model without a card.

    More about it.
    """

@register_model(ModelCard("carded", "with a card", "nobody"), Recipe(Settings(lr=0.5)))
class Carded(Linear):
    pass

register_model(ModelCard("carded-again", "another recipe", "nobody"), Recipe(Settings(lr=0.25)))(Carded)

class _Hidden(Linear):
    pass

class Data(NeuralDataset):
    """Noise."""

number = 3
'''


@pytest.fixture
def model_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mymodel.py"
    path.write_text(MODEL_FILE)
    return path


def test_ridge_is_a_model_like_any_other():
    assert get_model("ridge").__name__ == "Ridge"
    assert get_recipe("ridge").settings is None
    assert get_model("statenet") is get_model("statenet-lstm")
    assert get_model("statenet").card == get_model_card("statenet") != get_model_card("statenet-lstm")


def test_options_of_a_recipe_and_of_the_user():
    sounds = AudioNeuralDataset.from_arrays([torch.rand(8, 50)], [torch.rand(2, 3, 50)], dt_ms=5.0)
    build = get_recipe("nrf").build
    models = build(sounds, sounds, 50.0), build(sounds, sounds, 50.0, n_hidden=3)
    assert [tuple(model.core[0].STRF_weight().shape) for model in models] == [(50, 1, 8, 10), (3, 1, 8, 10)]


def test_a_class_in_a_file(model_file):
    assert list(models_in_file("mymodel.py")) == ["mymodel.py:Plain", "mymodel.py:Carded", "mymodel.py:carded-again"]
    cls = get_model("mymodel.py:Plain")
    assert cls is get_model(f"{model_file}:Plain")
    assert get_model_card("mymodel.py:Plain") == ModelCard(
        "mymodel.py:Plain", "A model without a card.", "", "spectrogram"
    )
    check_model(lambda: cls(n_frequency_bands=6, out_neurons=2))
    sounds = AudioNeuralDataset.from_arrays([torch.rand(8, 50)], [torch.rand(2, 3, 50)], dt_ms=5.0)
    recipe = get_recipe("mymodel.py:Plain")
    assert recipe.settings == Settings()
    assert recipe.build(sounds, sounds, 50.0).T == 10


def test_a_class_in_a_file_with_cards_and_recipes_of_its_own(model_file):
    assert get_model("mymodel.py:Carded") is get_model("mymodel.py:carded-again")
    learning_rates = [get_recipe(f"mymodel.py:{name}").settings.lr for name in ("Carded", "carded-again")]
    assert learning_rates == [0.5, 0.25]
    assert (model_cards()["carded"].summary, model_cards()["carded"].stimulus) == ("with a card", "spectrogram")
    model_file.write_text(MODEL_FILE.replace("lr=0.5", "lr=0.75"))
    os.utime(model_file, ns=(0, 0))
    assert get_recipe("mymodel.py:Carded").settings.lr == 0.75


def test_a_data_set_in_a_file(model_file):
    assert issubclass(get_dataset("mymodel.py:Data"), NeuralDataset)
    assert get_dataset_card("mymodel.py:Data").summary == "Noise."


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.py:Plain", FileNotFoundError, "there is no file missing.py"),
        ("mymodel.py:Plian", UnknownNameError, "unknown model 'Plian'; available: Plain, .* Did you mean 'Plain'"),
        ("mymodel.py:number", ValueError, "mymodel.py:number must be a class"),
        ("mymodel.py:Data", ValueError, "that derives from deepSTRF.models.NeuralModel"),
        ("mymodel.py", UnknownNameError, "add the name of the class: mymodel.py:Plain or mymodel.py:Carded"),
        ("broken.py:Plain", ImportError, "cannot import broken.py: ZeroDivisionError"),
        ("empty.py", ValueError, "empty.py defines no class that derives from deepSTRF.models.NeuralModel"),
        ("linaer", UnknownNameError, "unknown model 'linaer'; available: .* Did you mean 'linear'"),
        (3, TypeError, "the name of a model must be a string, got an int"),
    ],
)
def test_wrong_names_are_clear(name, error, message, model_file):
    (model_file.parent / "broken.py").write_text("1 / 0")
    (model_file.parent / "empty.py").write_text("")
    for get in (get_model, get_model_card, get_recipe):
        with pytest.raises(error, match=message):
            get(name)


def test_wrong_registrations_are_clear():
    card = DatasetCard(*"abcdefg", default_split="holdout:1")
    with pytest.raises(TypeError, match="registered with a DatasetCard or ModelCard, got a str"):
        register_dataset("name")
    with pytest.raises(TypeError, match="recipe must be a Recipe or None, got a Settings"):
        register_model(ModelCard("x", "", ""), Settings())
    with pytest.raises(ValueError, match=r"either build, .* or options"):
        Recipe(build=lambda *_: None, options=lambda *_: {})
    with pytest.raises(ValueError, match="'linear' is already registered for"):
        register_model(ModelCard("linear", "", ""), Recipe())(type("Other", (), {}))
    with pytest.raises(ValueError, match="'simulated' is already registered"):
        register_dataset(DatasetCard(*["simulated"] * 7, default_split=card.default_split))(type("Other", (), {}))
