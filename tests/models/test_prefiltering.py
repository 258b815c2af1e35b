"""Prefilters against loops in NumPy, and behind them every model."""

import copy
import math

import numpy as np
import pytest
import torch
from model_zoo import PREFILTERED, ZOO
from small_models import check_pieces

from deepSTRF.models.audio import AudioEncodingModel, Linear
from deepSTRF.models.layers.decay import exponential_sums
from deepSTRF.models.prefiltering import (
    AdapTrans,
    ICAdaptation,
    Willmore_Adaptation,
    a_to_tau,
    freq_to_tau,
    get_CFs,
    make_prefiltering,
    tau_to_a,
)
from deepSTRF.testing import check_model

A, W = [0.9, 0.5, 0.3], [0.75, 0.2, 1.0]


def _by_hand(x, a, w, n_taps):
    """ON and OFF of one band, tap by tap, before the rectification."""
    gain = 1 / sum(a**k for k in range(n_taps - 1))
    on, off = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        past = gain * sum(a ** (k - 1) * x[max(t - k, 0)] for k in range(1, n_taps))
        on[t], off[t] = x[t] - w * past, past - w * x[t]
    return on, off


@pytest.mark.parametrize("n_taps", [2, 3, 7, 12])
def test_prefilters_are_their_formulas(n_taps):
    x = 1 + torch.randn(2, 1, 3, 20)
    adaptrans, adaptation = AdapTrans(A, W, n_taps)(x), ICAdaptation(A, n_taps)(x)
    assert adaptrans.shape == (2, 2, 3, 20)
    assert adaptation.shape == (2, 1, 3, 20)
    for b in range(2):
        for f in range(3):
            band = x[b, 0, f].double().numpy()
            on, off = _by_hand(band, A[f], W[f], n_taps)
            np.testing.assert_allclose(adaptrans[b, 0, f].detach(), np.maximum(on, 0), atol=1e-5)
            np.testing.assert_allclose(adaptrans[b, 1, f].detach(), np.maximum(off, 0), atol=1e-5)
            on, _ = _by_hand(band, A[f], 1, n_taps)
            np.testing.assert_allclose(adaptation[b, 0, f], np.maximum(on, 0), atol=1e-5)


@pytest.mark.parametrize("n_taps", [2, 9])
@pytest.mark.parametrize("make", [lambda n: AdapTrans(A, W, n), lambda n: ICAdaptation(A, n)])
def test_kernels_are_the_impulse_responses(make, n_taps):
    prefilter, impulse = make(n_taps), torch.zeros(1, 1, 3, 30)
    impulse[..., 10] = 1
    response = (prefilter(impulse) - prefilter(-impulse))[0]  # the two halves that the rectification leaves
    kernels = prefilter.build_kernels()
    assert kernels.shape == (prefilter.out_channels, 3, n_taps)
    torch.testing.assert_close(response[..., 10 : 10 + n_taps], kernels.flip(-1))
    assert not response[..., :10].any()
    torch.testing.assert_close(response[..., 10 + n_taps :], torch.zeros(prefilter.out_channels, 3, 20 - n_taps))


def test_kernels_sum_as_they_should():
    on, off = AdapTrans(A, W, 9).build_kernels()
    w = torch.tensor(W)
    torch.testing.assert_close(on.sum(-1), 1 - w)
    torch.testing.assert_close(off.sum(-1), 1 - w)
    torch.testing.assert_close(on[:, -1], torch.ones(3))
    torch.testing.assert_close(off[:, -1], -w)
    torch.testing.assert_close(off[:, :-1].sum(-1), torch.ones(3))
    torch.testing.assert_close(off[:, :-1], -on[:, :-1] / w[:, None])
    torch.testing.assert_close(ICAdaptation(A, 9).build_kernels()[0].sum(-1), torch.zeros(3))


def test_a_constant_sound_gives_nothing_from_the_onset_on():
    loud = torch.full((1, 1, 3, 20), 7.0)
    assert ICAdaptation(A, 6)(loud).abs().max() < 1e-5
    torch.testing.assert_close(
        AdapTrans(A, W, 6)(loud), (7 * (1 - torch.tensor(W)))[None, None, :, None].expand(1, 2, 3, 20)
    )


def test_adaptrans_starts_where_it_is_told_and_learns():
    prefilter = AdapTrans(torch.tensor(A), np.array(W))
    for a in prefilter.get_a():
        torch.testing.assert_close(a, torch.tensor(A))
    torch.testing.assert_close(prefilter.get_w(), torch.tensor(W))
    assert {name: p.shape for name, p in prefilter.named_parameters()} == dict.fromkeys(("d_on", "d_off", "p"), (3,))
    assert not list(AdapTrans(A, W, learnable=False).parameters())
    assert AdapTrans(A, W, learnable=False).state_dict().keys() == prefilter.state_dict().keys()
    assert not list(ICAdaptation(A).parameters())
    torch.testing.assert_close(ICAdaptation(A).a, torch.tensor(A))
    assert Willmore_Adaptation is ICAdaptation


@pytest.mark.parametrize("make", [lambda: AdapTrans(A, W, 6), lambda: ICAdaptation(A, 6)])
def test_prefilters_go_on_from_piece_to_piece(make):
    check_pieces(make().double(), 3 + torch.randn(2, 1, 3, 15, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(1, 3, 20), (1, 2, 3, 20), (1, 1, 4, 20)])
def test_prefilters_name_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"\(B, 1, 3, T\), got shape"):
        AdapTrans(A, W)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ICAdaptation([0.5, 1.0]), r"init_a_vals must be above 0 and below 1, got 1 in band 1"),
        (lambda: ICAdaptation([0.0]), r"above 0 and below 1, got 0 in band 0"),
        (lambda: ICAdaptation([math.nan]), r"above 0 and below 1, got nan"),
        (lambda: ICAdaptation([]), r"one number per band"),
        (lambda: ICAdaptation(torch.ones(2, 2) / 2), r"one number per band, got an array of shape \(2, 2\)"),
        (lambda: ICAdaptation(A, 1), r"kernel_size must be at least 2, got 1"),
        (lambda: AdapTrans(A, [0.5, 0.5, 1.5]), r"init_w_vals must be above 0 and up to 1, got 1.5 in band 2"),
        (lambda: AdapTrans(A, [0.5, 0.5]), r"one value per band, got 3 and 2"),
        (
            lambda: make_prefiltering("ic", 4, 5),
            r"unknown prefilter 'ic'; available: adaptrans, icadaptation, willmore",
        ),
        (lambda: make_prefiltering("willmore", 4, 0), r"dt must be positive"),
        (lambda: make_prefiltering("willmore", 4, 5, max_freq=60_000), r"max_freq=60000 Hz is too high"),
        (lambda: get_CFs(500, 500, 4), r"min_freq must be below max_freq"),
        (lambda: get_CFs(-1, 500, 4), r"min_freq must be positive"),
        (lambda: get_CFs(500, 5000, 0), r"n_bands must be a positive integer"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ICAdaptation(A, 2.5), "kernel_size must be an integer, got a float: 2.5"),
        (lambda: make_prefiltering(None, 4, 5), "kind must be the name of a prefilter, got None"),
        (lambda: make_prefiltering("willmore", 4, "5"), "dt must be a number, got a str: '5'"),
        (lambda: get_CFs(500, 5000, 4.0), "n_bands must be an integer"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_prefilter_for_other_bands_is_an_error_when_a_model_is_made():
    with pytest.raises(ValueError, match=r"prefiltering is for 20 bands, but n_frequency_bands is 34"):
        Linear(34, prefiltering=make_prefiltering("adaptrans", 20, dt=5))


# --- time constants --------------------------------------------------------------------------------------------------


def test_time_constants_are_those_of_the_midbrain():
    assert math.isclose(freq_to_tau(500.0), 500 - 105 * math.log10(500))
    torch.testing.assert_close(freq_to_tau(torch.tensor([1000.0, 10_000.0])), torch.tensor([185.0, 80.0]))
    assert math.isclose(tau_to_a(100.0, dt=5), math.exp(-0.05))
    assert math.isclose(tau_to_a(100.0), math.exp(-0.01))
    assert math.isclose(a_to_tau(tau_to_a(123.4, 5), 5), 123.4)
    np.testing.assert_allclose(a_to_tau(np.array([0.5]), 5), -5 / np.log([0.5]))
    torch.testing.assert_close(a_to_tau(tau_to_a(torch.tensor(123.4), 5), 5), torch.tensor(123.4))


def test_best_frequencies_are_evenly_spaced():
    mel = get_CFs(500, 20_000, 34)
    steps = (2595 * torch.log10(1 + mel.double() / 700)).diff()
    torch.testing.assert_close(steps, steps.mean().expand(33), rtol=1e-4, atol=0)
    place = get_CFs(500, 20_000, 34, "greenwood")
    steps = (torch.log10(place.double() / 165.4 + 0.88) / 2.1).diff()
    torch.testing.assert_close(steps, steps.mean().expand(33), rtol=1e-4, atol=0)
    for frequencies in (mel, place):
        torch.testing.assert_close(frequencies[[0, -1]], torch.tensor([500.0, 20_000.0]))
    with pytest.raises(NotImplementedError, match="unknown scale 'bark'; available: mel, greenwood"):
        get_CFs(500, 20_000, 34, "bark")


@pytest.mark.parametrize(("dt", "n_taps"), [(1, 651), (5, 131), (20, 33), (1000, 2)])
def test_kernels_are_as_long_in_ms_whatever_the_bin(dt, n_taps):
    """Three times the longest time constant, 3 · (500 − 105 log10 500) = 650 ms."""
    prefilter = make_prefiltering("AdapTrans", 34, dt)
    assert prefilter.kernel_size == n_taps
    expected = torch.exp(-dt / freq_to_tau(get_CFs(500, 20_000, 34)))
    torch.testing.assert_close(prefilter.get_a()[0], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(prefilter.get_w(), torch.full((34,), 0.75))


@pytest.mark.parametrize("kind", ["icadaptation", "Willmore", "ICAdaptation"])
def test_one_name_more_for_the_midbrain(kind):
    prefilter = make_prefiltering(kind, 8, 5, min_freq=200, scale="greenwood")
    assert type(prefilter) is ICAdaptation
    assert prefilter.kernel_size == round(3 * freq_to_tau(200.0) / 5) + 1


# --- sums ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bins", range(1, 18))
def test_exponential_sums_are_convolutions(n_bins):
    x, a = torch.randn(2, 3, 40, dtype=torch.float64), torch.rand(3, 1, dtype=torch.float64, requires_grad=True)
    sums = exponential_sums(x, a, n_bins)
    expected = torch.zeros(2, 3, 41 - n_bins, dtype=torch.float64)
    for k in range(n_bins):
        expected = expected + a**k * x[..., n_bins - 1 - k : 40 - k]
    torch.testing.assert_close(sums, expected)
    if n_bins > 1:
        slopes = [torch.autograd.grad(y.square().sum(), a)[0] for y in (sums, expected)]
        torch.testing.assert_close(*slopes)


# --- in models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adaptrans", "willmore"])
@pytest.mark.parametrize("name", PREFILTERED)
def test_models_keep_the_contract_behind_prefilters(name, kind):
    check_model(lambda: ZOO[name].make(prefiltering=make_prefiltering(kind, 12, dt=50)))


def test_published_number_of_parameters():
    prefilter = make_prefiltering("adaptrans", 34, dt=5)
    assert Linear(34, 9, prefiltering=prefilter).count_trainable_params() == 717
    assert Linear(34, 9, prefiltering=make_prefiltering("willmore", 34, dt=5)).count_trainable_params() == 309


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdapTrans(torch.tensor(A), W, 5),
        lambda: AdapTrans(A, np.array(W), 5, learnable=False),
        lambda: ICAdaptation(torch.tensor(A), 4),
    ],
)
def test_models_are_saved_with_their_prefilter(tmp_path, make):
    model = Linear(3, 5, out_neurons=2, prefiltering=make()).eval()
    with torch.no_grad():
        for tensor in (*model.prefiltering.parameters(), *model.prefiltering.buffers()):
            tensor.mul_(0.9)  # as if trained
    again = AudioEncodingModel.from_pretrained(model.save_pretrained(tmp_path))
    x = torch.randn(2, 1, 3, 30)
    assert torch.equal(model(x), again(x))
    assert repr(model) == repr(again)
    copied = copy.deepcopy(model)
    assert torch.equal(model(x), copied(x))


def test_kernels_are_drawn_per_channel():
    figure, axes = AdapTrans(A, W, 5).plot_kernels(dt=5)
    assert [len(panel.lines) for panel in axes] == [3, 3]
    times, weights = axes[0].lines[0].get_data()
    assert times.tolist() == [-20, -15, -10, -5, 0]
    assert weights[-1] == 1
    assert figure.axes == axes
    assert len(ICAdaptation(A, 5).plot_kernels()[1]) == 1
