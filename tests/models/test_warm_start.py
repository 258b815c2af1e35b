"""An LN model that starts from ridge starts as ridge."""

import weakref

import pytest
import torch
from small_models import SOUND, linear, nonlinear, statenet
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


def test_predictions_of_a_long_recording_are_not_held_together():
    ridge, made, alive = Linear(6, 4, 3).eval(), [], []

    def count(_, __, prediction):
        made.append(weakref.ref(prediction))
        alive.append(sum(one() is not None for one in made))

    ridge.register_forward_hook(count)
    start_from_ridge(LinearNonlinear(6, 4, 3), ridge, [torch.randn(1, 6, 30) for _ in range(9)])
    assert len(alive) == 9
    assert max(alive) <= 3


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


def broken_ridge():
    model = Linear(8, 5, 3).eval()
    model.readout.strf.kernel.weight.data[0] = torch.nan
    return model


WARM_START_TABLE = [
    pytest.param(nonlinear, linear, [], ValueError, "at least two bins.* got 0 stimuli", id="no-stimulus"),
    pytest.param(nonlinear, linear, [SOUND[0, :, :, :1]], ValueError, "at least two bins", id="one-bin"),
    pytest.param(nonlinear, linear, [SOUND[0] * torch.nan], ValueError, "not finite", id="nan-stimulus"),
    pytest.param(nonlinear, broken_ridge, [SOUND[0]], ValueError, "not finite: look for NaN in its kernels", id="nan"),
    pytest.param(nonlinear, linear, [SOUND[0, 0]], ValueError, r"\(B, 1, 8, T\)", id="rank"),
    pytest.param(nonlinear, linear, [SOUND[0, :, :7]], ValueError, r"got \(1, 1, 7, 20\)", id="bands"),
    pytest.param(nonlinear, linear, [SOUND[0].double()], TypeError, "torch.float64", id="float64"),
    pytest.param(statenet, linear, [SOUND[0]], TypeError, "model must be a Linear.* got a StateNet", id="model"),
    pytest.param(nonlinear, statenet, [SOUND[0]], TypeError, "ridge must be a Linear.* got a StateNet", id="ridge"),
    pytest.param(lambda: None, linear, [SOUND[0]], TypeError, "model must be a Linear.* got None", id="None"),
]


@pytest.mark.parametrize(("model", "known", "stims", "error", "words"), WARM_START_TABLE)
def test_warm_start_leaves_the_model_as_it_was(model, known, stims, error, words):
    model, known = model(), known().eval() if known() is not None else None
    before = {} if model is None else {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(error, match=words):
        start_from_ridge(model, known, stims)
    assert all(torch.equal(before[name], tensor) for name, tensor in (model.state_dict() if before else {}).items())
