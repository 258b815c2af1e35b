"""Optimal stimuli of models for which they are known in closed form."""

import copy

import pytest
import torch
from torch import nn

from deepSTRF.analysis import optimal_stimulus, receptive_fields, tuning
from deepSTRF.models.audio import AudioEncodingModel, Linear, LinearNonlinear, StateNet
from deepSTRF.models.layers import CausalSTRFConv
from deepSTRF.models.readouts import LinearReadout

F, L, N = 8, 5, 3


def of_norm_one(x):
    return x / x.flatten(1).norm(dim=1)[:, None, None]


@pytest.mark.parametrize("cls", [Linear, LinearNonlinear])
def test_of_one_kernel_it_is_the_kernel(cls):
    torch.manual_seed(0)
    model = cls(n_frequency_bands=F, temporal_window_size=L, out_neurons=N)
    kernels = receptive_fields(model)
    result = optimal_stimulus(model, L, power=0.25)
    assert torch.allclose(of_norm_one(result.stimuli), of_norm_one(kernels), atol=2e-3)
    assert torch.allclose(result.stimuli.square().mean((1, 2)), torch.full((N,), 0.25), rtol=1e-4)
    expected = model.eval()(result.stimuli[:, None])[torch.arange(N), torch.arange(N), 0, -1]
    assert torch.allclose(result.responses, expected, atol=1e-5)


def test_with_an_amplitude_it_is_the_sign():
    torch.manual_seed(1)
    model = LinearNonlinear(n_frequency_bands=F, temporal_window_size=L, out_neurons=N)
    result = optimal_stimulus(model.double(), L, amplitude=1.5)
    assert torch.equal(result.stimuli, 1.5 * receptive_fields(model).sign())


class Energy(AudioEncodingModel):
    """The response is a quadratic form of the last bins."""

    def __init__(self):
        super().__init__(n_frequency_bands=F, temporal_window_size=L, out_neurons=1)
        self.core = nn.Sequential(CausalSTRFConv(F, L, 1, 4, bias=False), Square())
        self.readout = LinearReadout(4, 1, bias=False)
        nn.init.constant_(self.readout.fc.weight, 1.0)


class Square(nn.Module):
    def forward(self, x):
        return x.square()


def test_of_a_quadratic_form_it_is_the_first_eigenvector():
    torch.manual_seed(2)
    model = Energy()
    rows = model.core[0].STRF_weight().flatten(1)
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    result = optimal_stimulus(model, L)
    # of mean square 1: F · L times the largest eigenvalue; the sign is free
    assert result.responses.item() == pytest.approx(F * L * values[-1].item(), rel=1e-3)
    assert abs(torch.cosine_similarity(result.stimuli.flatten(), vectors[:, -1], dim=0)) > 0.99
    assert result.responses_of_starts.shape == (4, 1)


def test_a_network_responds_more_than_to_any_of_many_noises_and_is_left_as_found():
    torch.manual_seed(3)
    model = StateNet(n_frequency_bands=34, out_neurons=2).train()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    result = optimal_stimulus(model, 12, neurons=[1], n_starts=2, n_steps=25)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(now, before[name]) for name, now in model.state_dict().items())
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    noise = torch.randn(500, 1, 34, 12)
    assert result.responses.item() > model.eval()(noise)[:, 1, 0, -1].max()
    again = optimal_stimulus(model, 12, n_starts=2, n_steps=25)
    assert torch.allclose(again.stimuli[1], result.stimuli[0], atol=1e-4)  # whoever else is asked for


def test_a_neuron_that_nothing_drives_has_none():
    model = Linear(n_frequency_bands=F, temporal_window_size=L, out_neurons=1)
    nn.init.zeros_(model.readout.strf.kernel.weight)
    assert optimal_stimulus(model, L).stimuli.isnan().all()


def test_tuning_of_it_and_xarray():
    torch.manual_seed(0)
    model = Linear(n_frequency_bands=F, temporal_window_size=L, out_neurons=N)
    result = optimal_stimulus(model, L, dt_ms=5.0)
    of_kernel, of_stimulus = tuning(receptive_fields(model), 5.0), tuning(result.stimuli, 5.0)
    assert torch.allclose(of_kernel.best_band, of_stimulus.best_band, atol=0.01)
    pytest.importorskip("xarray")
    assert result.to_xarray()["stimuli"].dims == ("neuron", "band", "lag")


def test_errors_say_what_is_wrong():
    model = Linear(n_frequency_bands=F, temporal_window_size=L, out_neurons=N)
    with pytest.raises(ValueError, match="not both"):
        optimal_stimulus(model, power=1.0, amplitude=1.0)
    with pytest.raises(ValueError, match="power must be positive"):
        optimal_stimulus(model, power=-1.0)
