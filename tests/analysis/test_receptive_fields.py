"""Receptive fields are exact, excitatory-positive, and reading them changes nothing."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rectifier import Rectifier
from torch import nn

from deepSTRF.analysis import receptive_fields, strf_correlation
from deepSTRF.models.audio import Linear, LinearNonlinear, StateNet

F, T, N = 6, 5, 4


def fitted(cls=Linear, **arguments):
    """A model whose batch normalisation has seen data, with one negative gain, left in training mode."""
    torch.manual_seed(0)
    model = cls(n_frequency_bands=F, temporal_window_size=T, out_neurons=N, **arguments)
    with torch.no_grad():
        for _ in range(5):
            model(3 * torch.randn(4, 1, F, 60) + 1)
        model.readout.bn.weight.copy_(torch.tensor([0.5, -1.0, 2.0, 1.5]))
        model.readout.bn.bias.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]))
    return model


def drive_by_hand(kernels, sound):
    """Causal correlation in NumPy: lag k of the kernel meets the sound k bins ago, silence before the onset."""
    n_lags, n_bins = kernels.shape[-1], sound.shape[-1]
    drive = np.zeros((len(kernels), n_bins))
    for t in range(n_bins):
        for lag in range(min(n_lags, t + 1)):
            drive[:, t] += kernels[:, :, n_lags - 1 - lag] @ sound[:, t - lag]
    return drive


class Falling(nn.Module):
    """Responds less, the more it is driven."""

    def forward(self, x):
        return torch.nn.functional.softplus(-x)


class TwoChannels(nn.Module):
    """ON and OFF, as the adaptive prefilters have it."""

    out_channels = 2

    def forward(self, x):
        return torch.cat([x, -0.5 * x], dim=1)


# --- exactness


def test_linear_model_is_convolution_with_its_kernel():
    model = fitted()
    kernels = receptive_fields(model).double().numpy()
    sound = np.random.default_rng(0).normal(size=(F, 40))
    with torch.no_grad():
        model.eval()
        stimulus = torch.tensor(sound, dtype=torch.float32)[None, None]
        response = (model(stimulus) - model(torch.zeros_like(stimulus)))[0, :, 0].numpy()
    np.testing.assert_allclose(response, drive_by_hand(kernels, sound), atol=1e-4)


def test_ln_model_is_activation_of_convolution_with_its_kernel():
    model = fitted(LinearNonlinear)
    kernels = receptive_fields(model).double().numpy()
    sound = np.random.default_rng(0).normal(size=(F, 40))
    bn, bias = model.readout.bn, model.readout.strf.kernel.bias
    with torch.no_grad():
        model.eval()
        offset = (bias - bn.running_mean) * bn.weight / torch.sqrt(bn.running_var + bn.eps) + bn.bias
        drive = torch.tensor(drive_by_hand(kernels, sound), dtype=torch.float32) + offset[:, None]
        expected = model.readout.activation(drive.T).T
        response = model(torch.tensor(sound, dtype=torch.float32)[None, None])[0, :, 0]
    np.testing.assert_allclose(response, expected, atol=1e-4)


def test_the_sign_is_the_neurons_also_where_the_gain_is_negative():
    model = fitted()
    stored = model.STRF_weight()
    kernels = receptive_fields(model)
    signs = torch.sign((stored * kernels).sum((1, 2)))
    assert signs.tolist() == [1, -1, 1, 1]


@pytest.mark.parametrize("activation", [Falling, Rectifier, nn.Sigmoid, None])
def test_what_is_positive_excites(activation):
    model = fitted(output_activation=None if activation is None else activation())
    kernels = receptive_fields(model)
    with torch.no_grad():
        model.eval()
        loud = kernels / kernels.flatten(1).norm(dim=1)[:, None, None] * 10  # each neuron's favourite sound
        more, less = model(loud[:, None])[:, :, 0, -1].diagonal(), model(-loud[:, None])[:, :, 0, -1].diagonal()
    assert (more > less).all()


@pytest.mark.parametrize("kernel_lags", [1, 3, 5, 9])
def test_lags_are_cut_or_filled_in_the_past(kernel_lags):
    model = fitted()
    full, kernels = receptive_fields(model), receptive_fields(model, n_lags=kernel_lags)
    assert kernels.shape == (N, F, kernel_lags)
    common = min(kernel_lags, T)
    assert torch.equal(kernels[..., -common:], full[..., -common:])
    assert not kernels[..., :-common].any()


# --- gradients


def test_gradient_of_a_linear_model_is_its_kernel():
    model = fitted()
    gradient = receptive_fields(model, n_lags=T, stimulus=torch.randn(1, F, 20))
    torch.testing.assert_close(gradient, receptive_fields(model), atol=1e-5, rtol=1e-4)


def test_prefiltered_model_has_a_field_over_the_spectrogram():
    model = fitted(prefiltering=TwoChannels())
    on, off = model.readout.effective_kernel()[0].unbind(1)
    torch.testing.assert_close(receptive_fields(model, n_lags=T), on - 0.5 * off, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("recurrent", ["GRU", "LSTM", "RNN"])
def test_statenet_gradient_is_the_change_of_its_last_response(recurrent):
    torch.manual_seed(0)
    model = StateNet(n_frequency_bands=34, out_neurons=3, rnn_type=recurrent).double()
    sound = torch.randn(34, 12, dtype=torch.float64)
    fields = receptive_fields(model, stimulus=sound)
    assert fields.shape == (3, 34, 12)
    direction = torch.randn(34, 12, dtype=torch.float64)
    with torch.no_grad():
        model.eval()
        step = 1e-5 * direction
        after, before = model((sound + step)[None, None]), model((sound - step)[None, None])
    change = (after - before)[0, :, 0, -1] / 2e-5
    torch.testing.assert_close((fields * direction).sum((1, 2)), change, atol=1e-7, rtol=1e-4)


def test_statenet_at_silence_has_many_lags_and_the_opposite_sign_of_the_gradmap():
    torch.manual_seed(0)
    model = StateNet(n_frequency_bands=34, out_neurons=3)
    fields = receptive_fields(model)
    assert fields.shape == (3, 34, 30)
    torch.testing.assert_close(fields, -model.STRF_gradmap(T=30)[:, 0].cpu())
    assert receptive_fields(model, n_lags=7).shape == (3, 34, 7)


def test_large_populations_are_differentiated_in_several_passes():
    torch.manual_seed(0)
    model = StateNet(n_frequency_bands=34, out_neurons=70)
    fields = receptive_fields(model, n_lags=4)
    assert fields.shape == (70, 34, 4)
    torch.testing.assert_close(fields, -model.STRF_gradmap(T=4)[:, 0])


# --- nothing changes


@pytest.mark.parametrize("cls", [Linear, LinearNonlinear, StateNet])
@pytest.mark.parametrize("stimulus", [None, torch.randn(F, 9)], ids=["silence", "sound"])
def test_the_model_is_left_exactly_as_found(cls, stimulus):
    torch.manual_seed(0)
    sizes = {"kernel_size": 3} if cls is StateNet else {"temporal_window_size": T}
    model = cls(n_frequency_bands=F, out_neurons=N, **sizes)
    model(torch.randn(2, 1, F, 20)).sum().backward()
    model.train()
    model.readout.activation.eval()  # mixed modes, as where a part is frozen
    next(model.parameters()).requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    frozen = [p.requires_grad for p in model.parameters()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]

    receptive_fields(model, stimulus=stimulus)

    assert [module.training for module in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == frozen
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert (p.grad is None) if grad is None else torch.equal(p.grad, grad)


def test_modes_come_back_after_an_error():
    model = StateNet(n_frequency_bands=F, out_neurons=2, kernel_size=3)
    model.readout.activation = nn.Conv2d(1, 1, 1)  # cannot take what it gets
    with pytest.raises(RuntimeError):
        receptive_fields(model)
    assert all(module.training for module in model.modules())


def test_works_without_grad_and_in_inference_mode():
    model = StateNet(n_frequency_bands=F, out_neurons=2, kernel_size=3)
    expected = receptive_fields(model)
    with torch.no_grad():
        assert torch.equal(receptive_fields(model), expected)
    with torch.inference_mode():
        assert torch.equal(receptive_fields(model), expected)


def test_result_shares_no_memory_with_the_model():
    model = fitted()
    before = model.STRF_weight()
    receptive_fields(model).zero_()
    assert torch.equal(model.STRF_weight(), before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_lags": 0}, ValueError, "n_lags"),
        ({"n_lags": 2.5}, TypeError, "n_lags"),
        ({"n_lags": True}, TypeError, "n_lags"),
        ({"n_lags": 10, "stimulus": torch.zeros(F, 9)}, ValueError, "only 9 bins"),
        ({"stimulus": torch.zeros(F + 1, 9)}, ValueError, "stimulus"),
        ({"stimulus": torch.zeros(2, F, 9)}, ValueError, "stimulus"),
        ({"stimulus": torch.zeros(9)}, ValueError, "stimulus"),
        ({"model": nn.Linear(2, 2)}, TypeError, "AudioEncodingModel"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        receptive_fields(**({"model": fitted()} | arguments))


# --- agreement


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), gain=st.floats(1e-9, 1e9), lags=st.integers(1, 12))
def test_correlation_is_numpys_on_zero_filled_fields(seed, gain, lags):
    rng = np.random.default_rng(seed)
    true, recovered = rng.normal(size=(3, F, 8)), rng.normal(size=(3, F, lags))
    longest = max(8, lags)
    x, y = (np.pad(a, ((0, 0), (0, 0), (longest - a.shape[2], 0))).reshape(3, -1) for a in (true, recovered))
    expected = [np.corrcoef(x[n], y[n])[0, 1] for n in range(3)]
    found = strf_correlation(torch.tensor(true), torch.tensor(gain * recovered))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_undefined_correlations_are_nan():
    true = torch.randn(4, F, T)
    recovered = true.clone()
    recovered[1] = 0.0
    recovered[2] = 0.1
    recovered[3, 0, 0] = torch.nan
    found = strf_correlation(true, recovered)
    assert found[0] == 1.0
    assert found[1:].isnan().all()
    assert found.dtype == torch.float32


@pytest.mark.parametrize("shape", [(N, F), (N + 1, F, T), (N, F + 1, T)])
def test_fields_must_have_the_same_neurons_and_bands(shape):
    with pytest.raises(ValueError, match="same N and F"):
        strf_correlation(torch.zeros(N, F, T), torch.zeros(shape))
