"""A new model is one file: the command line lists it, fits it and scores it again, without any other edit."""

import json

import pytest
from shell import error_line, run

from deepSTRF.registry import get_model
from deepSTRF.testing import check_model

MODEL = '''
"""A model that is no part of deepSTRF."""

from torch import nn

from deepSTRF.models.audio import AudioEncodingModel
from deepSTRF.models.readouts import LinearReadout


class MyModel(AudioEncodingModel):
    """A smoothed spectrogram, read out linearly."""

    def __init__(self, n_frequency_bands=34, out_neurons=1):
        super().__init__(n_frequency_bands, 1, out_neurons)
        self.core = nn.Flatten(1, 2)
        self.readout = LinearReadout(n_frequency_bands, out_neurons)
'''


@pytest.fixture
def model_file(elsewhere):
    """A model file in the working folder."""
    (elsewhere / "mymodel.py").write_text(MODEL)
    return elsewhere / "mymodel.py"


def test_it_is_listed(model_file):
    text = run("models", "mymodel.py", exit_code=0).stdout
    assert text.startswith("mymodel.py:MyModel: A smoothed spectrogram, read out linearly.")
    assert "lr" in text
    (entry,) = json.loads(run("models", model_file, "--json").stdout)
    assert entry["name"] == f"{model_file}:MyModel"


def test_it_passes_the_checks_of_a_model(model_file):
    check_model(get_model("mymodel.py:MyModel"))


def test_it_is_fitted_and_scored_again_in_another_folder(model_file, elsewhere, monkeypatch, no_figures):
    run("fit", "tiny", "mymodel.py:MyModel", "--epochs", 2, "--batch-size", 4, "--quiet", exit_code=0)
    folder = elsewhere / "runs" / "tiny-mymodel-MyModel-1"
    assert (folder / "scores.json").exists()
    (elsewhere / "other").mkdir()
    monkeypatch.chdir(elsewhere / "other")
    assert "the same numbers" in run("evaluate", folder, exit_code=0).stdout


def test_it_is_one_of_a_sweep(model_file, elsewhere, no_figures):
    """Its file is found beside the file of the sweep."""
    (elsewhere / "sweep.toml").write_text(
        'out = "out"\n[[dataset]]\nname = "tiny"\n[[model]]\nname = "mymodel.py:MyModel"\nepochs = 1\n'
    )
    run("sweep", "sweep.toml", "--jobs", 1, exit_code=0)
    assert (elsewhere / "out" / "tiny-mymodel-MyModel-epochs1-seed0" / "scores.json").exists()


def test_mistakes_are_one_clear_line(model_file, elsewhere):
    error_line("fit", "tiny", "mymodel.py:MyModle", words=["MyModle", "MyModel"])
    error_line("fit", "tiny", "other.py:MyModel", words=["other.py"])
    error_line("models", "other.py", words=["other.py"])
    (elsewhere / "broken.py").write_text("import nothing_of_the_kind")
    error_line("models", "broken.py", words=["broken.py", "nothing_of_the_kind"])
    (elsewhere / "empty.py").write_text("")
    error_line("models", "empty.py", words=["empty.py", "no class"])
