"""The shape annotations are true: a whole fit with jaxtyping and beartype watching every annotated call."""

import processes
import pytest

PROGRAM = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "deepSTRF"]:
    del sys.modules[name]  # so that they are imported through the hook

from jaxtyping import install_import_hook

with install_import_hook(["deepSTRF.models", "deepSTRF.metrics", "deepSTRF.training"], "beartype.beartype"):
    import deepSTRF.metrics, deepSTRF.models.audio, deepSTRF.models.ridge, deepSTRF.models.video, deepSTRF.training

import torch
torch.set_num_threads(1)
from torch.utils.data import DataLoader
from deepSTRF import metrics
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models.audio import Linear, LinearNonlinear, StateNet
from deepSTRF.models import fit_poisson, fit_ridge
from deepSTRF.models.video import ConvGRUNet, ConvNet3D, VideoLinearNonlinear
from deepSTRF.training import Fitter
from deepSTRF.utils import neural_collate

dataset = SimulatedDataset(n_neurons=4, n_stims=6, duration_s=(0.5, 1.0), n_repeats=(2, 4), missing=0.2)
train, val, test = dataset.split("holdout:1")
loaders = [DataLoader(part, batch_size=2, collate_fn=neural_collate) for part in (train, val, test)]
for model in (
    Linear(n_frequency_bands=dataset.F, temporal_window_size=5, out_neurons=4),
    LinearNonlinear(n_frequency_bands=dataset.F, temporal_window_size=5, out_neurons=4),
    StateNet(n_frequency_bands=dataset.F, out_neurons=4),
    fit_ridge(train, val, window_ms=50.0),
    fit_poisson(train, window_ms=150.0),
):
    fitter = Fitter(model, *loaders[:2], max_epochs=1, log_fn=None, track_per_cell_best=True)
    fitter.fit()
    fitter.evaluate(loaders[2])
batch = neural_collate([train[i] for i in range(len(train))])
pred = model(batch["stims"]).detach()
for name in ("signal_power", "noise_power", "snr", "noise_ceiling"):
    getattr(metrics, name)(batch["responses"], reduction="none")
for name in ("mse_loss", "poisson_loss", "corrcoef", "fve"):
    getattr(metrics, name)(pred, batch["responses"], reduction="none")
for method in ("schoppe", "hsu"):
    metrics.normalized_corrcoef(pred, batch["responses"], method=method, reduction="none")

movies = torch.randn(2, 1, 5, 6, 9)
for model in (
    VideoLinearNonlinear((5, 6), 4, out_neurons=3, rank=2),
    ConvNet3D((5, 6), (2, 2), (3, 3), (3, 2), out_neurons=3),
    ConvGRUNet((5, 6), 2, out_neurons=3),
):
    model(movies).sum().backward()
    model.eval().stream(2).step(movies[..., :1])
    model.STRF_gradmap()

from jaxtyping import TypeCheckError
try:
    Linear(n_frequency_bands=34, temporal_window_size=5).readout.strf("no tensor")
except TypeCheckError:
    print("watched")
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_fit_keeps_every_shape_annotation(tmp_path):
    done = processes.run(PROGRAM, folder=tmp_path)
    assert done.code == 0, done.err[-3000:]
    assert "watched" in done.out, "the import hook did not take hold, so the test would prove nothing"
