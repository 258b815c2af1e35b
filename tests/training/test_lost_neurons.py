"""Training when the prediction of some neurons becomes NaN: it stops by name, and no such epoch is the best."""

import pytest
import torch

from deepSTRF.metrics import mse_loss, poisson_loss
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
    with pytest.raises(NonFiniteLossError, match="epoch 1, batch 0 of 2"):
        fitter.fit()
    assert len(fitter.history) == 1
