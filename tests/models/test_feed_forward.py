"""NRF, DNet and ConvNet2D against their equations in NumPy and SciPy, and the decay layer that DNet uses."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d, lfilter
from small_models import check_pieces
from torch import nn

from deepSTRF.models.audio import ConvNet2D, DNet, NetworkReceptiveField
from deepSTRF.models.bin_by_bin import NotStreamableError
from deepSTRF.models.layers import CausalLayerNorm, LearnableExponentialDecay
from deepSTRF.testing import check_model

MODELS = {"nrf": NetworkReceptiveField, "dnet": DNet, "convnet2d": ConvNet2D}


def _weights(model):
    """All tensors in NumPy, by name; nothing is at the value at which it would not matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return {name: tensor.double().numpy() for name, tensor in model.eval().state_dict().items()}


def _channel_norm(x, weights, name):
    """Over axis 0, the channels."""
    shape = (-1,) + (1,) * (x.ndim - 1)
    centred = x - x.mean(0)
    scaled = centred / np.sqrt((centred**2).mean(0) + 1e-5)
    return scaled * weights[f"{name}.ln.weight"].reshape(shape) + weights[f"{name}.ln.bias"].reshape(shape)


def _strf_convolution(x, weights):
    kernel, bias = weights["core.0.kernel.weight"], weights["core.0.kernel.bias"]
    padded = np.pad(x, ((0, 0), (kernel.shape[-1] - 1, 0)))
    return np.stack([correlate2d(padded, k[0], mode="valid")[0] + b for k, b in zip(kernel, bias, strict=True)])


def _softplus(x, weights):
    beta = np.logaddexp(0, weights["readout.activation._raw_beta"])[:, None]
    return np.logaddexp(0, beta * x) / beta + np.logaddexp(0, weights["readout.activation._raw_b"])[:, None]


def _linear(x, weights, name):
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"][:, None]


def _sound(bands, bins=30):
    x = torch.randn(1, 1, bands, bins)
    return x, x[0, 0].double().numpy()


def test_nrf_is_its_equations():
    model = NetworkReceptiveField(6, 4, n_hidden=5, out_neurons=3)
    weights, (stims, x) = _weights(model), _sound(6)
    hidden = np.tanh(_channel_norm(_strf_convolution(x, weights), weights, "core.1"))
    expected = _softplus(_linear(hidden, weights, "readout.fc"), weights)
    np.testing.assert_allclose(model(stims)[0, :, 0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("decay_input", [True, False])
def test_dnet_is_its_equations(decay_input):
    model = DNet(6, 4, n_hidden=5, init_tau=1.5, decay_input=decay_input, out_neurons=3)
    weights, (stims, x) = _weights(model), _sound(6)
    hidden = 1 / (1 + np.exp(-_channel_norm(_strf_convolution(x, weights), weights, "core.1")))
    held = _decayed(hidden, weights["core.3.d"], round(7 * 1.5), decay_input)
    expected = _linear(held, weights, "readout.fc")
    np.testing.assert_allclose(model(stims)[0, :, 0].detach().numpy(), expected, atol=1e-5)


def _decayed(x, d, n_taps, decay_input):
    out = np.zeros_like(x)
    for c in range(len(x)):
        a = d[c] ** 2 / (1 + d[c] ** 2)
        gain = 1 / (1 + d[c] ** 2) if decay_input else 1
        for t in range(x.shape[1]):
            out[c, t] = gain * sum(a**k * x[c, max(t - k, 0)] for k in range(n_taps))
    return out


def test_convnet_is_its_equations():
    torch.manual_seed(0)  # a bin in which all channels are nearly equal has few digits after its normalisation
    model = ConvNet2D(9, kernel_size=(3, 4), c_hidden=2, n_hidden=5, out_neurons=3)
    weights, (stims, x) = _weights(model), _sound(9)
    y = np.pad(x, ((0, 0), (9, 0)))[None]  # silence, once; each layer turns it into something else
    for conv, norm in ((1, 2), (4, 5), (7, 8)):
        kernel, bias = weights[f"core.{conv}.weight"], weights[f"core.{conv}.bias"]
        y = np.stack(
            [
                sum(correlate2d(channel, k, mode="valid") for channel, k in zip(y, ks, strict=True)) + b
                for ks, b in zip(kernel, bias, strict=True)
            ]
        )
        y = _channel_norm(y, weights, f"core.{norm}")
        y = np.where(y > 0, y, 0.1 * y)
    y = _linear(y.reshape(-1, y.shape[-1]), weights, "readout.fc.0")
    y = _linear(np.where(y > 0, y, 0.1 * y), weights, "readout.fc.2")
    np.testing.assert_allclose(model(stims)[0, :, 0].detach().numpy(), _softplus(y, weights), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "one", "many"), [("nrf", 6203, 8917), ("dnet", 6221, 8699), ("convnet2d", 11403, 14117)]
)
def test_default_models_have_the_published_sizes(name, one, many):
    assert MODELS[name]().count_trainable_params() == one
    assert MODELS[name](out_neurons=119).count_trainable_params() == many


def test_tensors_have_the_published_names():
    assert {
        "core.0.kernel.weight",
        "core.1.ln.weight",
        "readout.fc.bias",
    } <= NetworkReceptiveField().state_dict().keys()
    assert {"core.0.kernel.weight", "core.1.ln.weight", "core.3.d", "readout.fc.bias"} <= DNet().state_dict().keys()
    convolutions = {
        f"core.{layer}" for layer in ("1.weight", "4.bias", "7.weight", "2.ln.weight", "5.ln.bias", "8.ln.bias")
    }
    assert {*convolutions, "readout.fc.0.weight", "readout.fc.2.bias"} <= ConvNet2D().state_dict().keys()


def test_convnet_says_how_far_it_looks_back():
    model = ConvNet2D(9, kernel_size=(2, 9)).eval()
    assert model.T == 25
    x = torch.randn(1, 1, 9, 40)
    changed = x.clone()
    changed[..., 5] += 1
    differs = (model(x) != model(changed))[0, 0, 0]
    assert differs.nonzero().flatten().tolist() == list(range(5, 30))


@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_only(name):
    model = MODELS[name](12, out_neurons=3, dropout=0.5)
    x = torch.randn(2, 1, 12, 30)
    assert not torch.equal(model(x), model(x))
    check_model(model.eval())
    with pytest.raises(ValueError, match=r"dropout must be at least 0 and below 1, got 1\.5"):
        MODELS[name](dropout=1.5)


class Slopes(nn.Module):
    """A front end: bands are the differences between stretches of a bin of 80 samples."""

    out_channels = 7

    def forward(self, wave):
        return wave.unflatten(-1, (-1, 8, 10)).mean(-1).diff(dim=-1).transpose(-1, -2)


@pytest.mark.parametrize("name", MODELS)
def test_feed_forward_models_take_waveforms(name):
    check_model(
        lambda: MODELS[name](7, out_neurons=2, wav2spec=Slopes()),
        make_stimulus=lambda batch_size, n_bins: torch.randn(batch_size, 1, 80 * n_bins),
    )


@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (4, 2)])
def test_every_convnet_keeps_the_contract(kernel_size):
    check_model(lambda: ConvNet2D(12, kernel_size=kernel_size, out_neurons=2))


@pytest.mark.parametrize(
    ("kernel_size", "error"),
    [(3, TypeError), ((3,), ValueError), ((0, 9), ValueError), ((3, 2.5), TypeError), ("ab", TypeError)],
)
def test_convnet_needs_two_sizes(kernel_size, error):
    with pytest.raises(error, match=r"kernel_size(\[\d\])? must be"):
        ConvNet2D(kernel_size=kernel_size)


def test_convnet_needs_bands_enough():
    with pytest.raises(ValueError, match="need 10 bands or more, got n_frequency_bands=9"):
        ConvNet2D(9, kernel_size=(4, 2))
    ConvNet2D(10, kernel_size=(4, 2))


# --- hidden receptive fields -----------------------------------------------------------------------------------------


class OnOff(nn.Module):
    out_channels = 2

    def forward(self, x):
        return torch.cat([x.relu(), (-x).relu()], 1)


@pytest.mark.parametrize("cls", [NetworkReceptiveField, DNet])
def test_hidden_receptive_fields_are_read_unit_by_unit(cls):
    model = cls(6, 4, n_hidden=5)
    assert torch.equal(model.STRFs(3), model.core[0].kernel.weight[3, 0])
    assert torch.equal(model.STRFs(3, "OFF"), model.STRFs(3))  # one channel: there is no polarity
    two = cls(6, 4, n_hidden=5, prefiltering=OnOff())
    assert torch.equal(two.STRFs(3, "OFF"), two.core[0].kernel.weight[3, 1])
    with pytest.raises(IndexError, match="from 0 to 4, got 5"):
        model.STRFs(5)
    with pytest.raises(ValueError, match="polarity must be one of 'ON', 'OFF'"):
        model.STRFs(0, "on")


@pytest.mark.parametrize("dim", [-1, 2])
def test_a_normalisation_over_time_cannot_run_bin_by_bin(dim):
    layer = CausalLayerNorm(7, dim=dim)
    assert layer(torch.randn(2, 3, 7)).shape == (2, 3, 7)
    with pytest.raises(NotStreamableError, match=r"over time.*dim=1"):
        layer.step(torch.randn(2, 3, 7))
    assert CausalLayerNorm(3, dim=1).step(torch.randn(2, 3, 7))[1] == ()


# --- decay -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 1, 40), (2, 3, 4, 2, 40)])
def test_decay_is_the_cut_off_recursion(decay_input, shape):
    layer = LearnableExponentialDecay(3, kernel_size=60, decay_input=decay_input)
    with torch.no_grad():
        layer.d.copy_(torch.tensor([0.5, -1.0, 1.5]))
    x = torch.randn(shape)
    x[..., 0] = 0  # held before the onset, which the recursion knows nothing of
    y = layer(x)
    assert y.shape == shape
    for c, d in enumerate((0.5, 1.0, 1.5)):
        a = d**2 / (1 + d**2)
        expected = lfilter([1 - a if decay_input else 1], [1, -a], x[:, c].numpy(), axis=-1)
        np.testing.assert_allclose(y[:, c].detach().numpy(), expected, atol=1e-5)


def test_decay_keeps_a_constant():
    """From the onset on: the first bin is held before it."""
    layer = LearnableExponentialDecay(2, kernel_size=100)
    with torch.no_grad():
        layer.d.copy_(torch.tensor([0.3, 1.5]))
    torch.testing.assert_close(layer(torch.full((1, 2, 8), 3.0)), torch.full((1, 2, 8), 3.0))
    torch.testing.assert_close(layer.tau(), torch.tensor([1.09, 3.25]))


@pytest.mark.parametrize("kernel_size", [1, 5])
def test_decay_goes_on_from_piece_to_piece(kernel_size):
    check_pieces(LearnableExponentialDecay(3, kernel_size).double(), 2 + torch.randn(2, 3, 1, 12, dtype=torch.float64))


def test_decay_starts_around_its_time_constant():
    d = LearnableExponentialDecay(20_000, 5, init_tau=5.0).d.detach()
    assert d.min() >= 0
    assert math.isclose(float(d.mean()), 2.0, rel_tol=0.05)
    assert math.isclose(float(d.std()), 2.0, rel_tol=0.05)


@pytest.mark.parametrize("init_tau", [1, 0.5])
def test_decay_needs_a_time_constant_above_one_bin(init_tau):
    with pytest.raises(ValueError, match="init_tau is in bins and must be above 1"):
        LearnableExponentialDecay(3, 5, init_tau=init_tau)
    with pytest.raises(ValueError, match="init_tau is in bins and must be above 1"):
        DNet(init_tau=init_tau)


def test_decay_names_a_wrong_shape():
    with pytest.raises(ValueError, match=r"\(B, 3, ..., T\), got \(1, 4, 9\)"):
        LearnableExponentialDecay(3, 5)(torch.zeros(1, 4, 9))
