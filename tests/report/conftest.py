"""Two small runs on the same neurons, fitted once."""

import pytest
from tiny_data import Tiny

from deepSTRF.runs import FitOptions, fit_run


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory):
    """Folders of a ridge and of a linear-nonlinear run on the data set "tiny"."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_: [])
        for model, options in (("ridge", {}), ("linear-nonlinear", {"epochs": 3})):
            fit_run(FitOptions("tiny", model, **options), folder / model)
    return folder / "ridge", folder / "linear-nonlinear"


@pytest.fixture
def object_run(tmp_path, no_figures):
    """A run that was fitted to a data set object, and the object."""
    dataset = Tiny()
    return fit_run(FitOptions(dataset, "ridge", split="holdout:2"), tmp_path / "object").folder, dataset
