"""Kernels against their formulas, as impulse responses, and inside models."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from deepSTRF.models.audio import AudioEncodingModel, DNet, Linear, LinearNonlinear, NetworkReceptiveField
from deepSTRF.models.layers import (
    CausalSTRFConv,
    LowRankSTRF,
    ParametricSTRF,
    RaisedCosineSTRF,
    SeparableSTRF,
)
from deepSTRF.testing import check_model

KERNELS = {
    "separable": SeparableSTRF,
    "low rank": lambda *sizes, **options: LowRankSTRF(*sizes, rank=2, **options),
    "gaussians": lambda *sizes, **options: ParametricSTRF(*sizes, num_gaussians=3, **options),
    "cosines": lambda *sizes, **options: RaisedCosineSTRF(*sizes, n_basis=3, **options),
}


@pytest.fixture(params=KERNELS)
def make(request):
    torch.manual_seed(0)
    return KERNELS[request.param]


def test_the_kernel_is_the_impulse_response(make):
    kernel = make(5, 4, 2, 3)
    built = kernel.build_kernel()
    assert built.shape == (3, 2, 5, 4)
    for c in range(2):
        for f in range(5):
            impulse = torch.zeros(1, 2, 5, 20)
            impulse[0, c, f, 8] = 1
            response = kernel(impulse)[0, :, 0] - kernel.bias[:, None]
            # Bin 8 of what has 3 bins of past in front is bin 5 of the output, where it is the current bin.
            torch.testing.assert_close(response[:, 5:9], built[:, c, f].flip(-1))
            assert response[:, :5].abs().max() < 1e-6
            assert response[:, 9:].abs().max() < 1e-6


@pytest.mark.parametrize("bias", [True, False])
def test_kernels_convolve_as_a_full_one(make, bias):
    kernel = make(5, 4, 2, 3, bias=bias)
    x = torch.randn(2, 2, 5, 12)
    expected = functional.conv2d(functional.pad(x, (3, 0)), kernel.build_kernel(), kernel.bias)
    layer = CausalSTRFConv(5, 4, 2, 3, kernel=kernel)
    torch.testing.assert_close(layer(x), expected)
    assert torch.equal(layer.STRF_weight(), kernel.build_kernel())
    assert (kernel.bias is not None) == bias
    assert ("bias" in kernel.state_dict()) == bias


def test_kernels_receive_gradients(make):
    kernel = make(5, 4, 2, 3)
    kernel(torch.randn(2, 2, 5, 12)).square().sum().backward()
    for parameter in kernel.parameters():
        assert parameter.grad.any()
        assert parameter.grad.isfinite().all()


def test_kernels_say_what_belongs_to_one_receptive_field(make):
    kernel = make(5, 4, 2, 3)
    tensors = kernel.per_neuron_tensors()
    assert tensors.keys() == dict(kernel.named_parameters()).keys()
    before = kernel.build_kernel().detach()
    with torch.no_grad():
        for name, axis in tensors.items():
            kernel.get_parameter(name).select(axis, 1).add_(0.3)
    changed = (kernel.build_kernel() != before).flatten(1).any(1)
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("cls", [Linear, LinearNonlinear, NetworkReceptiveField, DNet])
def test_models_keep_the_contract_with_every_kernel(make, cls):
    n_kernels = 3 if issubclass(cls, Linear) else 20
    check_model(lambda: cls(6, 5, out_neurons=3, kernel=make(6, 5, 1, n_kernels)))


def test_models_are_saved_with_their_kernel(make, tmp_path):
    model = Linear(6, 5, out_neurons=3, kernel=make(6, 5, 1, 3)).eval()
    again = AudioEncodingModel.from_pretrained(model.save_pretrained(tmp_path))
    x = torch.randn(2, 1, 6, 20)
    assert torch.equal(model(x), again(x))
    assert repr(model) == repr(again)
    assert model.readout.per_neuron_tensors().keys() > {"strf.kernel.bias", "bn.weight"}


def test_hidden_receptive_fields_come_from_the_kernel(make):
    kernel = make(6, 5, 1, 4)
    model = NetworkReceptiveField(6, 5, n_hidden=4, kernel=kernel)
    assert torch.equal(model.STRFs(2), kernel.build_kernel()[2, 0])


@pytest.mark.parametrize(("F", "T", "C_in", "C_out"), [(7, 5, 1, 3), (6, 4, 1, 3), (6, 5, 2, 3), (6, 5, 1, 4)])
def test_a_kernel_of_another_size_is_refused_at_once(make, F, T, C_in, C_out):
    with pytest.raises(ValueError, match=r"the kernel \w+STRF has (F|T|C_in|C_out)=\d, but \d is needed here"):
        Linear(6, 5, out_neurons=3, kernel=make(F, T, C_in, C_out))


@pytest.mark.parametrize("shape", [(2, 5, 12), (1, 1, 5, 12), (1, 2, 6, 12), (1, 2, 5, 3)])
def test_kernels_name_a_wrong_shape(make, shape):
    with pytest.raises(ValueError, match=r"\(B, 2, 5, T_in \+ 3\)"):
        make(5, 4, 2, 3)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("cls", "options"),
    [(SeparableSTRF, {}), (LowRankSTRF, {"rank": 1}), (ParametricSTRF, {}), (RaisedCosineSTRF, {"n_basis": 1})],
)
def test_kernels_of_one_point(cls, options):
    assert cls(1, 1, 1, 2, **options)(torch.ones(1, 1, 1, 4)).shape == (1, 2, 1, 4)


# --- one by one ------------------------------------------------------------------------------------------------------


def test_separable_kernels_are_outer_products():
    kernel = SeparableSTRF(5, 4, 2, 3)
    assert sum(p.numel() for p in kernel.parameters()) == 3 * 2 * (5 + 4) + 3
    f, t = kernel.weight_f.detach().numpy(), kernel.weight_t.detach().numpy()
    assert f.shape == (3, 2, 5, 1)
    assert t.shape == (3, 2, 1, 4)
    for o in range(3):
        for c in range(2):
            np.testing.assert_allclose(kernel.build_kernel()[o, c].detach(), np.outer(f[o, c], t[o, c]), rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_low_rank_kernels_have_their_rank(rank):
    kernel = LowRankSTRF(5, 4, 2, 3, rank=rank)
    assert (torch.linalg.matrix_rank(kernel.build_kernel()) == rank).all()
    assert sum(p.numel() for p in kernel.parameters()) == 3 * 2 * rank * (5 + 4) + 3
    with pytest.raises(ValueError, match="rank is at most 4 with F=5 bands and T=4 bins, got 5"):
        LowRankSTRF(5, 4, 2, 3, rank=5)


def test_gaussians_are_summed():
    kernel = ParametricSTRF(5, 4, 2, 3, num_gaussians=2)
    with torch.no_grad():
        kernel.SIG.normal_()
    P, SIG, weight = (tensor.detach().double().numpy() for tensor in (kernel.P, kernel.SIG, kernel.weight))
    expected = np.zeros((3, 2, 5, 4))
    for o, c, g in np.ndindex(3, 2, 2):
        bump = np.zeros((5, 4))
        for f, t in np.ndindex(5, 4):
            at_f = (f - P[0, o, c, g]) / (abs(SIG[0, o, c, g]) + 0.27)
            at_t = (t - P[1, o, c, g]) / (abs(SIG[1, o, c, g]) + 0.27)
            bump[f, t] = math.exp(-(at_f**2 + at_t**2) / 2)
        expected[o, c] += weight[o, c, g] * bump / (bump.sum() + 1e-7)
    np.testing.assert_allclose(kernel.build_kernel().detach(), expected, atol=1e-6)


def test_gaussians_start_all_over_the_window():
    kernel = ParametricSTRF(30, 9, 1, 2000)
    assert 0 <= kernel.P[0].min() < 1 < 28 < kernel.P[0].max() <= 29
    assert 0 <= kernel.P[1].min() < 0.5 < 7.5 < kernel.P[1].max() <= 8
    assert (kernel.SIG == 1).all()
    assert kernel.P.shape == (2, 2000, 1, 1)
    # The amplitudes are divided by the sum over the grid, so that they are what the kernel sums to.
    torch.testing.assert_close(kernel.build_kernel().sum((-1, -2)), kernel.weight[..., 0], rtol=1e-4, atol=1e-5)


def test_bumps_are_raised_cosines_of_the_logarithm_of_the_lag():
    n_bins, n_basis, offset = 30, 6, 2.0
    basis = RaisedCosineSTRF(5, n_bins, 1, 3, n_basis=n_basis, offset=offset).basis.double().numpy()
    spacing = math.log((n_bins + offset) / offset) / (n_basis + 1)
    for j in range(n_basis):
        bump = np.zeros(n_bins)
        for lag in range(n_bins):
            distance = (math.log(lag + offset) - math.log(offset) - j * spacing) * math.pi / (2 * spacing)
            bump[n_bins - 1 - lag] = (1 + math.cos(distance)) / 2 if abs(distance) < math.pi else 0
        np.testing.assert_allclose(basis[j], bump / np.linalg.norm(bump), atol=1e-6)
    assert basis[0].argmax() == n_bins - 1  # the current bin
    peaks = basis.argmax(1)
    assert (np.diff(peaks) < 0).all()
    assert (np.diff(peaks, 2) <= 0).all()  # further and further apart


def test_bumps_must_be_independent():
    with pytest.raises(ValueError, match=r"20 bumps are not independent in a window of 30 bins.*\(n_basis\)"):
        RaisedCosineSTRF(5, 30, 1, 3, n_basis=20)
    with pytest.raises(ValueError, match="6 bumps are not independent in a window of 5 bins"):
        RaisedCosineSTRF(5, 5, 1, 3, n_basis=6)
    with pytest.raises(ValueError, match="offset must be positive"):
        RaisedCosineSTRF(5, 5, 1, 3, offset=0)


@pytest.mark.parametrize("name", ["low rank", "cosines"])
def test_fields_start_on_the_scale_of_a_convolution(name):
    torch.manual_seed(0)
    ours = KERNELS[name](34, 9, 2, 500).build_kernel().detach()
    theirs = nn.Conv2d(2, 500, (34, 9)).weight.detach()
    assert 0.8 < ours.std() / theirs.std() < 1.25


@pytest.mark.parametrize(
    ("make_one", "error", "message"),
    [
        (lambda: SeparableSTRF(0, 4, 1, 3), ValueError, "F must be a positive integer"),
        (lambda: LowRankSTRF(5, 4, 1, 3, rank=0), ValueError, "rank must be a positive integer"),
        (lambda: ParametricSTRF(5, 4, 1, 3, num_gaussians=1.5), TypeError, "num_gaussians must be an integer"),
        (lambda: RaisedCosineSTRF(5, 4, 1, 3, n_basis=0), ValueError, "n_basis must be a positive integer"),
    ],
)
def test_kernels_need_whole_numbers(make_one, error, message):
    with pytest.raises(error, match=message):
        make_one()
