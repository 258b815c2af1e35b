"""Training when the prediction of some neurons becomes NaN: it stops by name, and no such epoch is the best."""

import math

import pytest
import torch

from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio import Linear
from deepSTRF.training import Fitter, NonFiniteLossError


def batches(n_neurons=3):
    generator = torch.Generator().manual_seed(0)
    stims = torch.randn(4, 1, 6, 60, generator=generator)
    responses = torch.poisson(torch.rand(4, n_neurons, 2, 60, generator=generator), generator=generator)
    return [{"stims": stims, "responses": responses}] * 2


class BreaksInEpoch1(Fitter):
    def _train_one_epoch(self):
        if len(self.history) == 1:
            with torch.no_grad():
                self.model.readout.bn.bias[1] = torch.nan
        return super()._train_one_epoch()


@pytest.mark.parametrize("loss_fn", [mse_loss, poisson_loss])
def test_one_neuron_that_is_nan_stops_the_training_by_name(loss_fn):
    torch.manual_seed(0)
    fitter = BreaksInEpoch1(
        Linear(6, 4, 3), batches(), batches(), loss_fn=loss_fn, max_epochs=5, log_fn=None, monitor="val_cc"
    )
    with pytest.raises(
        NonFiniteLossError, match="epoch 1, batch 0 of 2: the prediction is NaN or infinite for neuron 1"
    ):
        fitter.fit()
    assert len(fitter.history) == 1


class Scripted(Fitter):
    """The monitor is what the test says."""

    def __init__(self, rows, **options):
        torch.manual_seed(0)
        self.rows = [torch.tensor(row) for row in rows]
        super().__init__(
            Linear(6, 4, 3), batches(), batches(), max_epochs=len(rows), log_fn=None, monitor="val_s", **options
        )

    def on_epoch_end(self, epoch, epoch_dict):
        epoch_dict["val_s"] = self.rows[epoch]


NAN = math.nan


@pytest.mark.parametrize(
    ("mode", "rows", "best"),
    [
        ("max", [[0.9, 0.1], [0.8, NAN], [0.9, 0.2]], 2),
        ("max", [[0.9, 0.1], [0.95, NAN], [0.9, 0.05]], 0),
        ("max", [[0.5, NAN], [0.6, 0.1], [0.9, NAN]], 1),  # a neuron that is there now does not count against it
        ("max", [[NAN, 0.5], [0.9, NAN]], 0),
        ("min", [[0.9, 2.0], [0.8, NAN], [0.9, 1.9]], 2),
    ],
)
@pytest.mark.filterwarnings("ignore:epoch .. val_s is undefined for 1 neuron")
def test_an_epoch_that_loses_a_neuron_is_never_the_best(mode, rows, best):
    fitter = Scripted(rows, mode=mode, restore_best=True)
    fitter.fit()
    assert fitter.best_epoch == best
    assert fitter.best_score == pytest.approx(torch.tensor(rows[best]).nanmean().item())


def test_the_neurons_that_are_lost_are_named_once():
    with pytest.warns(UserWarning, match="undefined for") as caught:
        Scripted([[0.9, 0.1, 0.2], [0.8, NAN, 0.2], [0.8, NAN, NAN]]).fit()
    assert len(caught) == 1
    assert "epoch 1" in str(caught[0].message)
    assert "(1)" in str(caught[0].message)


@pytest.mark.filterwarnings("ignore:epoch .. val_s is undefined for 1 neuron")
def test_a_resumed_training_still_knows_which_neurons_the_best_epoch_had(tmp_path):
    rows = [[0.9, 0.1], [0.8, NAN], [0.7, 0.2], [0.9, 0.15]]
    options = {"ckpt_path": tmp_path / "best.pt", "resume": True}
    Scripted(rows[:1], **options).fit()
    fitter = Scripted(rows, **options)
    fitter.fit()
    assert fitter.start_epoch == 1
    assert fitter.best_epoch == 3


def test_one_set_of_activation_parameters_for_all_is_not_restored_per_neuron():
    torch.manual_seed(0)
    model = Linear(6, 4, 3, output_activation=ParametricSoftplus(1))
    assert not [name for name in model.readout.per_neuron_tensors() if name.startswith("activation")]
    Fitter(model, batches(), batches(), monitor="val_cc", max_epochs=2, log_fn=None, track_per_cell_best=True).fit()
    for own in (
        Linear(6, 4, 3, output_activation=ParametricSoftplus(3)),
        Linear(6, 4, 1, output_activation=ParametricSoftplus(1)),
    ):
        assert own.readout.per_neuron_tensors()["activation._raw_b"] == 0
