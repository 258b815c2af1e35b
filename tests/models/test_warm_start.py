"""An LN model that starts from ridge starts as ridge."""

import pytest
import torch
from torch import nn

from deepSTRF.models.audio import Linear, LinearNonlinear
from deepSTRF.models.warm_start import start_from_ridge


def test_drive_kernel_and_bend():
    ridge = Linear(6, 4, 3)
    ridge.readout.bn.weight.data = torch.tensor([0.1, -2.0, 1.0])
    ridge.eval()
    with torch.no_grad():
        ridge.readout.strf.kernel.weight[2] = 0  # a neuron without data
    model = LinearNonlinear(6, 4, 3)
    stims = [2 + torch.randn(1, 6, n) for n in (50, 80)]
    start_from_ridge(model, ridge, stims)
    model.train()
    for stim in stims:
        expected = ridge(stim[None])
        drive = model.readout.bn(model.readout.strf(stim[None]).squeeze(2))
        torch.testing.assert_close(drive.unsqueeze(2), expected, rtol=1e-4, atol=1e-5)
    ours, theirs = model.readout.effective_kernel(), ridge.readout.effective_kernel()
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-4, atol=1e-5)
    scale = torch.cat([ridge(stim[None])[0, :, 0] for stim in stims], 1).std(1)[:2]
    torch.testing.assert_close(model.readout.activation.beta[:2], 1 / scale, rtol=1e-3, atol=0)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_models_that_do_not_fit_are_named():
    stims = [torch.randn(1, 6, 30)]
    for model, ridge, message in (
        (LinearNonlinear(6, 4, 3), Linear(6, 4, 2), "must agree in"),
        (
            LinearNonlinear(6, 4, 3, output_activation=nn.ReLU()),
            Linear(6, 4, 3),
            "must be ParametricSoftplus, got ReLU",
        ),
        (LinearNonlinear(6, 4, 3, kernel=nn.Conv2d(1, 3, (6, 4), bias=False)), Linear(6, 4, 3), "default kernel"),
    ):
        with pytest.raises(ValueError, match=message):
            start_from_ridge(model, ridge, stims)
