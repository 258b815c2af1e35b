"""Layers, activations and readouts against formulas written out."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from deepSTRF.models.activations import ParametricDoubleExponential, ParametricSigmoid, ParametricSoftplus
from deepSTRF.models.audio import LinearNonlinear
from deepSTRF.models.layers import CausalLayerNorm, CausalSTRFConv, LocallyConnected1d, PaddedBatchNorm1d
from deepSTRF.models.layers.gru import GRU
from deepSTRF.models.readouts import LinearReadout, STRFReadout


def test_strf_convolution_is_the_formula():
    layer = CausalSTRFConv(F=4, T=3, C_in=2, C_out=5)
    x = torch.randn(2, 2, 4, 7)
    weight, bias, out = layer.STRF_weight(), layer.kernel.bias, layer(x)
    for t in range(7):
        expected = bias.expand(2, 5).clone()
        for k in range(3):
            source = t - 2 + k
            if source >= 0:
                expected = expected + torch.einsum("ocf,bcf->bo", weight[..., k], x[..., source])
        assert torch.allclose(out[:, :, 0, t], expected, atol=1e-5)


def test_strf_weight_of_other_kernels():
    class Constant(nn.Module):
        def build_kernel(self):
            return torch.ones(5, 2, 4, 3, requires_grad=True)

    assert CausalSTRFConv(4, 3, 2, 5, kernel=Constant()).STRF_weight().sum() == 5 * 2 * 4 * 3
    frequency, time = nn.Conv2d(1, 5, (4, 1), bias=False), nn.Conv2d(5, 5, (1, 3), groups=5, bias=False)
    layer = CausalSTRFConv(4, 3, 1, 5, kernel=nn.Sequential(frequency, time))
    full = CausalSTRFConv(4, 3, 1, 5, bias=False)
    full.kernel.weight.data = layer.STRF_weight()
    x = torch.randn(2, 1, 4, 9)
    assert torch.allclose(layer(x), full(x), atol=1e-5)
    for unreadable in (
        nn.Identity(),
        nn.Sequential(frequency, nn.ReLU()),
        nn.Sequential(frequency, nn.Conv2d(5, 5, 1)),
    ):
        with pytest.raises(NotImplementedError, match="build_kernel"):
            CausalSTRFConv(4, 3, 1, 5, kernel=unreadable).STRF_weight()


def test_strf_convolution_names_wrong_sizes():
    with pytest.raises(ValueError, match=r"expected a spectrogram \(B, 1, 4, T\)"):
        CausalSTRFConv(4, 3, 1, 5)(torch.zeros(1, 2, 4, 9))
    with pytest.raises(ValueError, match="C_out must be a positive integer, got 0"):
        CausalSTRFConv(4, 3, 1, 0)


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(1, 12),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
)
def test_locally_connected_with_equal_weights_is_a_convolution(size, channels, kernel, stride, padding, dilation, bias):
    arguments = {"stride": stride, "padding": padding, "dilation": dilation, "bias": bias}
    if dilation * (kernel - 1) + 1 > size + 2 * padding:
        with pytest.raises(ValueError, match="more than the"):
            LocallyConnected1d(size, *channels, kernel, **arguments)
        return
    layer, conv = LocallyConnected1d(size, *channels, kernel, **arguments), nn.Conv1d(*channels, kernel, **arguments)
    layer.weights.data = conv.weight.data.flatten(1)[..., None].expand_as(layer.weights).clone()
    if bias:
        layer.biases.data = conv.bias.data[:, None].expand_as(layer.biases).clone()
    x = torch.randn(4, channels[0], size)
    assert layer(x).shape == (4, channels[1], layer.output_size)
    assert torch.allclose(layer(x), conv(x), atol=1e-5)


def test_locally_connected_starts_small_and_centred():
    layer = LocallyConnected1d(34, 2, 50, 7, stride=3)
    bound = 1 / math.sqrt(14)
    for tensor in (layer.weights, layer.biases):
        assert tensor.abs().max() <= bound
        assert abs(float(tensor.detach().mean())) < 0.1 * bound
    assert LocallyConnected1d(34, 2, 5, 7, bias=False).biases is None
    with pytest.raises(ValueError, match=r"expected x of shape \(B, 2, 34\)"):
        layer(torch.zeros(1, 2, 33))


@pytest.mark.parametrize("dim", [1, 2, -1])
def test_channel_norm_normalises_one_axis(dim):
    x = torch.randn(2, 5, 6)
    layer = CausalLayerNorm(x.shape[dim], dim=dim, elementwise_affine=False)
    array = x.numpy()
    expected = (array - array.mean(dim, keepdims=True)) / np.sqrt(array.var(dim, keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-5)


# --- activations -----------------------------------------------------------------------------------------------------

ACTIVATIONS = [ParametricSigmoid, ParametricDoubleExponential, ParametricSoftplus]


def _numpy(tensor):
    return tensor.detach().double().numpy()


def test_activations_are_their_formulas():
    x = torch.randn(3, 7, 4) * 3
    z = _numpy(x)
    f = ParametricSigmoid(4)
    expected = _numpy(f.b) / (1 + np.exp(-(z - _numpy(f.c)) / _numpy(f.d))) + _numpy(f.a)
    np.testing.assert_allclose(_numpy(f(x)), expected, atol=1e-5)
    f = ParametricDoubleExponential(4)
    expected = _numpy(f.a) * np.exp(-np.exp(_numpy(f.k) * z - _numpy(f.s))) + _numpy(f.b)
    np.testing.assert_allclose(_numpy(f(x)), expected, atol=1e-5)
    f = ParametricSoftplus(4)
    expected = np.logaddexp(0, _numpy(f.beta) * z) / _numpy(f.beta) + _numpy(f.b)
    np.testing.assert_allclose(_numpy(f(x)), expected, atol=1e-5)


@pytest.mark.parametrize("cls", ACTIVATIONS)
@pytest.mark.parametrize("non_negative", [True, False])
def test_activations_have_parameters_per_neuron(cls, non_negative):
    f = cls(4, non_negative_output=non_negative)
    x = (10 * torch.randn(2, 30, 4)).requires_grad_()
    out = f(x)
    assert out.shape == x.shape
    if non_negative:
        assert (out >= 0).all()
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    assert f.per_neuron_tensors() == dict.fromkeys(f.state_dict(), 0)
    for parameter in f.parameters():
        assert parameter.shape == (4,)
        assert parameter.grad.any()
    other = cls(4, non_negative_output=non_negative)
    other.load_state_dict(f.state_dict())
    assert torch.equal(other(x), out)


def test_activations_start_in_their_ranges():
    n = 20_000
    softplus = lambda v: math.log1p(math.exp(v))  # noqa: E731
    f = ParametricSoftplus(n)
    assert softplus(5) <= f.beta.min() <= f.beta.max() <= softplus(6)
    assert softplus(-5) <= f.b.min() + 1e-6
    assert f.b.max() <= softplus(-3) + 1e-6
    at_zero = f(torch.zeros(n))
    assert 0.11 < at_zero.min() < at_zero.max() < 0.19
    f = ParametricSigmoid(n)
    assert f.c.abs().max() <= 0.5
    assert 0.5 <= f.d.min() <= f.d.max() <= 1.5
    assert 0.49 < f.b.min() < f.b.max() < 1.63
    assert ParametricSoftplus(n, non_negative_output=False).b.abs().max() <= 0.1
    assert ParametricSigmoid(n, non_negative_output=False).b.min() >= 0.5


def test_activations_without_offset():
    assert ParametricSigmoid(4, bias=False).a is None
    assert ParametricDoubleExponential(4, bias=False).b is None
    assert ParametricSigmoid(4, bias=False)(torch.zeros(2, 4)).shape == (2, 4)
    assert ParametricDoubleExponential(4, bias=False)(torch.zeros(2, 4)).shape == (2, 4)


@pytest.mark.parametrize("cls", ACTIVATIONS)
def test_activations_check_their_size(cls):
    with pytest.raises(ValueError, match="num_features must be a positive integer, got 0"):
        cls(0)


# --- readouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separable", [False, True])
def test_effective_kernel_folds_the_normalisation_in(separable):
    # The offset of the first of two convolutions passes the second one.
    parts = nn.Sequential(nn.Conv2d(2, 5, (4, 1)), nn.Conv2d(5, 5, (1, 3), groups=5))
    readout = STRFReadout(F=4, T=3, C_in=2, out_neurons=5, kernel=parts if separable else None)
    readout.bn.weight.data.normal_()
    readout.bn.bias.data.normal_()
    for _ in range(5):
        readout(3 + torch.randn(4, 2, 4, 50))
    readout.eval()
    kernel, offset = readout.effective_kernel()
    x = torch.randn(2, 2, 4, 9)
    by_hand = functional.conv2d(functional.pad(x, (2, 0)), kernel, offset)
    assert torch.allclose(readout(x), by_hand, atol=1e-5)


def test_strf_readout_polarity():
    readout = STRFReadout(F=4, T=3, C_in=2, out_neurons=5)
    assert readout.STRF_weight().shape == (5, 2, 4, 3)
    assert torch.equal(readout.STRF_weight("OFF"), readout.STRF_weight()[:, 1])
    with pytest.raises(ValueError, match="polarity must be None, 'ON' or 'OFF'"):
        readout.STRF_weight("on")
    with pytest.raises(ValueError, match="no OFF channel"):
        STRFReadout(F=4, T=3, C_in=1, out_neurons=5).STRF_weight("OFF")


def test_activations_see_neurons_on_the_last_axis():
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return x

    STRFReadout(4, 3, 1, 5, activation=Watch())(torch.randn(2, 1, 4, 9))
    LinearReadout(4, 5, activation=Watch())(torch.randn(2, 4, 9))
    assert seen == [(2, 9, 5)] * 2


def test_linear_readout_shapes():
    readout = LinearReadout(4, 5, hidden=6)
    x = torch.randn(2, 4, 9)
    assert readout(x).shape == (2, 5, 1, 9)
    assert torch.equal(readout(x), readout(x.unsqueeze(2)))
    assert list(readout.state_dict()) == ["fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"]
    for wrong in (torch.zeros(4, 9), torch.zeros(2, 4, 3, 9)):
        with pytest.raises(ValueError, match=r"expected features of shape \(B, C, T\)"):
            readout(wrong)


def test_readouts_say_what_belongs_to_one_neuron():
    """A hidden layer as wide as the population must not be taken for per-neuron tensors."""
    assert LinearReadout(4, 5).per_neuron_tensors() == {"fc.weight": 0, "fc.bias": 0}
    assert LinearReadout(4, 5, hidden=5, bias=False).per_neuron_tensors() == {"fc.2.weight": 0}
    with_softplus = LinearReadout(4, 5, activation=ParametricSoftplus(5)).per_neuron_tensors()
    assert with_softplus.keys() == {"fc.weight", "fc.bias", "activation._raw_beta", "activation._raw_b"}
    readout = STRFReadout(4, 3, 1, 5, activation=nn.PReLU())
    assert readout.per_neuron_tensors().keys() == {
        "strf.kernel.weight",
        "strf.kernel.bias",
        "bn.weight",
        "bn.bias",
        "bn.running_mean",
        "bn.running_var",
    }
    foreign = STRFReadout(4, 3, 1, 5, kernel=nn.Conv2d(1, 5, (4, 3)))
    assert not any(name.startswith("strf") for name in foreign.per_neuron_tensors())


# --- padding ---------------------------------------------------------------------------------------------------------


class LogEnergy(nn.Module):
    """A prefiltering that turns padding into another constant."""

    out_channels = 1

    def forward(self, x):
        return torch.log(x.square() + 1e-3)


@pytest.mark.parametrize(("padding", "prefiltering"), [(1, None), (100, None), (2, LogEnergy()), (100, LogEnergy())])
def test_padding_leaves_training_as_it_is(padding, prefiltering):
    """Same output, gradients and running statistics, however far a batch is padded.

    In float64: in float32 the order of the sums, which depends on the CPU, is seen in the gradients.
    """
    torch.manual_seed(0)
    short = LinearNonlinear(6, 4, 3, prefiltering=prefiltering).double()
    long = copy.deepcopy(short)
    stims = 2 + torch.randn(3, 1, 6, 50, dtype=torch.float64)
    stims[1, ..., 30:] = 0
    for model, x in ((short, stims), (long, functional.pad(stims, (0, padding)))):
        out = model(x)[..., :50]
        (out[0].square().sum() + out[1, ..., :30].square().sum()).backward()
        model.final = out.detach()
    torch.testing.assert_close(long.final[0], short.final[0])
    torch.testing.assert_close(long.final[1, ..., :30], short.final[1, ..., :30])
    for (name, a), b in zip(short.named_parameters(), long.parameters(), strict=True):
        if name != "readout.strf.kernel.bias":  # is cancelled by the normalisation: rounding is all there is
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(short.readout.bn.running_mean, long.readout.bn.running_mean)
    torch.testing.assert_close(short.readout.bn.running_var, long.readout.bn.running_var)


def test_padded_norm_without_padding_is_batch_norm():
    ours, theirs = PaddedBatchNorm1d(5), nn.BatchNorm1d(5)
    for module in (ours, theirs):
        module.weight.data = torch.arange(5.0) - 2
        module.bias.data = torch.arange(5.0)
    for _ in range(3):
        x = (3 * torch.randn(4, 5, 20) + 1).requires_grad_()
        grads = []
        for out in (ours(x, torch.ones(4, 20, dtype=torch.bool)), theirs(x)):
            grads.append((out, *torch.autograd.grad(out.pow(3).sum(), x)))
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])
    x = torch.randn(2, 5, 7)
    torch.testing.assert_close(ours.eval()(x, torch.zeros(2, 7, dtype=torch.bool)), theirs.eval()(x))


def test_silence_only_and_single_bins_train():
    model = LinearNonlinear(6, 4, 3)
    for x in (torch.zeros(2, 1, 6, 20), torch.randn(1, 1, 6, 1), torch.zeros(1, 1, 6, 1)):
        assert model(x).isfinite().all()
    assert model.readout.bn.running_var.isfinite().all()


# --- recurrence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_stims", "n_bins"), [(1, 1), (3, 17)])
@pytest.mark.parametrize("with_state", [False, True])
def test_gru_is_torchs(n_stims, n_bins, with_state):
    ours = GRU(4, 6).double()
    theirs = nn.GRU(4, 6, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    gradients = []
    x = torch.randn(n_stims, n_bins, 4, dtype=torch.float64, requires_grad=True)
    state = torch.randn(1, n_stims, 6, dtype=torch.float64, requires_grad=True) if with_state else None
    weights = torch.randn(n_stims, n_bins, 6, dtype=torch.float64)
    for layer in (ours, theirs):
        out, last = layer(x, state)
        leaves = [x, *layer.parameters(), *([state] if with_state else [])]
        loss = (out * weights).sum() + last.square().sum()
        gradients.append([out, last, *torch.autograd.grad(loss, leaves)])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, state)[0], theirs(x, state)[0])


# --- frozen normalisation --------------------------------------------------------------------------------------------


def test_a_frozen_normalisation_keeps_its_statistics_and_still_learns():
    readout = STRFReadout(F=4, T=3, C_in=1, out_neurons=2)
    readout(torch.randn(2, 1, 4, 30))
    readout.freeze_normalization()
    x = 5 + torch.randn(2, 1, 4, 30)
    before = copy.deepcopy(readout.state_dict())
    evaluated = readout.eval()(x)
    readout.train()
    assert readout.training
    out = readout(x)
    assert torch.equal(out, evaluated)
    out.square().sum().backward()
    assert readout.bn.weight.grad.any()
    assert all(torch.equal(value, before[name]) for name, value in readout.state_dict().items())


def test_an_activation_shows_that_it_has_no_offset():
    """A saved model is compared with its copy by what both show."""
    with_offset, without = ParametricSigmoid(3), ParametricSigmoid(3, bias=False)
    assert "bias=False" in repr(without)
    assert "bias" not in repr(with_offset)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fields_that_span_all_bands_are_those_of_conv2d(dtype):
    layer = CausalSTRFConv(F=6, T=4, C_in=2, C_out=3).to(dtype)
    of_torch = nn.Conv2d(2, 3, (6, 4)).to(dtype)
    of_torch.load_state_dict(layer.kernel.state_dict())
    sound = torch.randn(2, 2, 6, 20, dtype=dtype, generator=torch.Generator().manual_seed(0))
    sounds = sound.clone().requires_grad_(), sound.clone().requires_grad_()
    outputs = layer(sounds[0]), of_torch(nn.functional.pad(sounds[1], (3, 0)))
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    pairs = zip(layer.kernel.parameters(), of_torch.parameters(), strict=True)
    for ours, theirs in [sounds, *((a, b) for a, b in pairs)]:
        torch.testing.assert_close(ours.grad, theirs.grad)
