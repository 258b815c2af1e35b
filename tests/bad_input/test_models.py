"""What models, layers and ridge say to arguments and data that they cannot use."""

import functools
import re

import numpy as np
import pytest
import torch
from torch import nn

from deepSTRF.models.activations import ParametricSigmoid, ParametricSoftplus
from deepSTRF.models.audio import Linear, LinearNonlinear, StateNet
from deepSTRF.models.layers import CausalLayerNorm, CausalSTRFConv, LocallyConnected1d, PaddedBatchNorm1d
from deepSTRF.models.readouts import LinearReadout, STRFReadout
from deepSTRF.models.ridge import fit_ridge
from deepSTRF.models.warm_start import start_from_ridge

NAN, INF = torch.nan, torch.inf
linear = functools.partial(Linear, n_frequency_bands=8, temporal_window_size=5, out_neurons=3)
nonlinear = functools.partial(LinearNonlinear, n_frequency_bands=8, temporal_window_size=5, out_neurons=3)
statenet = functools.partial(StateNet, n_frequency_bands=8, kernel_size=3, stride=2, hidden_channels=2, out_neurons=3)
MODELS = {
    "linear": linear,
    "nonlinear": nonlinear,
    "GRU": statenet,
    "LSTM": functools.partial(statenet, rnn_type="LSTM", connectivity="FC"),
    "RNN": functools.partial(statenet, rnn_type="RNN", connectivity="CONV"),
}
SOUND = torch.randn(2, 1, 8, 20, generator=torch.Generator().manual_seed(0))


# --- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 2.5, "8", None, True, [8]], ids=repr)
@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (linear, "n_frequency_bands"),
        (linear, "temporal_window_size"),
        (linear, "out_neurons"),
        (nonlinear, "out_neurons"),
        (statenet, "kernel_size"),
        (statenet, "stride"),
        (statenet, "hidden_channels"),
        (functools.partial(LocallyConnected1d, 8, 1, 1, 3), "stride"),
        (functools.partial(LocallyConnected1d, 8, 1, 1, 3), "dilation"),
        (functools.partial(LocallyConnected1d, 8, 1, out_channels=1), "kernel_size"),
        (functools.partial(LocallyConnected1d, 8, kernel_size=3, out_channels=1), "in_channels"),
        (functools.partial(LocallyConnected1d, 8, 1, kernel_size=3), "out_channels"),
        (functools.partial(CausalSTRFConv, 8, 5, 1), "C_out"),
        (CausalLayerNorm, "normalized_shape"),
        (PaddedBatchNorm1d, "num_features"),
        (functools.partial(LinearReadout, out_neurons=3), "in_features"),
        (functools.partial(LinearReadout, 4), "out_neurons"),
        (functools.partial(STRFReadout, 8, 5, 1), "out_neurons"),
        (ParametricSoftplus, "num_features"),
    ],
)
def test_sizes(make, argument, value):
    expected = {"out_neurons": r"out_neurons \(O\)|C_out|out_neurons"}.get(argument, argument)
    with pytest.raises(ValueError, match=rf"({expected}).* must be a positive int, got {re.escape(repr(value))}"):
        make(**{argument: value})


CONSTRUCTION_TABLE = [
    pytest.param(lambda: statenet(kernel_size=9), ValueError, "kernel_size=9 is more than the 8 bands", id="kernel"),
    pytest.param(lambda: statenet(rnn_type="Hyena"), NotImplementedError, "GRU, LSTM, RNN.*Mamba", id="rnn"),
    pytest.param(lambda: statenet(rnn_type=["GRU"]), NotImplementedError, r"no rnn_type \['GRU'\]", id="rnn-list"),
    pytest.param(lambda: statenet(connectivity=None), NotImplementedError, "'LC', 'FC' and 'CONV'", id="connectivity"),
    pytest.param(lambda: linear(output_activation=nn.ReLU), TypeError, "an instance.*got the class ReLU", id="class"),
    pytest.param(lambda: statenet(output_activation="relu"), TypeError, "activation must be .* got a str", id="string"),
    pytest.param(
        lambda: linear(output_activation=torch.relu), TypeError, "activation must be a torch.nn.Module", id="function"
    ),
    pytest.param(
        lambda: linear(kernel=torch.randn(3, 1, 8, 5)), TypeError, "kernel must be .* got a Tensor$", id="kernel-tensor"
    ),
    pytest.param(
        lambda: linear(kernel=nn.Conv2d(2, 3, (8, 5))),
        ValueError,
        "must have 1 input and 3 output channels, got a Conv2d with 2 and 3",
        id="kernel-input",
    ),
    pytest.param(
        lambda: linear(kernel=nn.Conv2d(1, 4, (8, 5))),
        ValueError,
        "must have 1 input and 3 output channels, got a Conv2d with 1 and 4",
        id="kernel-output",
    ),
    pytest.param(
        lambda: linear(output_activation=ParametricSoftplus(7)),
        ValueError,
        "activation ParametricSoftplus is for 7 neurons, but there are 3",
        id="activation-neurons",
    ),
    pytest.param(
        lambda: linear(output_activation=nn.PReLU(3)), ValueError, r"PReLU\(3\) has its slopes along axis 1", id="prelu"
    ),
    pytest.param(
        lambda: statenet(output_activation=ParametricSigmoid(2)), ValueError, "for 2 neurons", id="statenet-neurons"
    ),
    pytest.param(lambda: LinearReadout(4, 3, hidden=0), ValueError, "hidden must be a positive int", id="hidden"),
    pytest.param(
        lambda: LocallyConnected1d(8, 1, 1, 3, padding=-1), ValueError, "padding.* positive int", id="padding"
    ),
    pytest.param(lambda: LocallyConnected1d(2, 1, 1, 3), ValueError, "more than the 2 there are", id="span"),
    pytest.param(lambda: linear(prefiltering=nn.ReLU()), TypeError, "attribute out_channels", id="prefiltering"),
]


@pytest.mark.parametrize(("action", "error", "words"), CONSTRUCTION_TABLE)
def test_construction(action, error, words):
    with pytest.raises(error, match=words):
        action()


def test_one_set_of_parameters_may_serve_all_neurons():
    assert linear(output_activation=ParametricSoftplus(1))(SOUND).shape == (2, 3, 1, 20)


# --- forward ----------------------------------------------------------------------------------------------------------

FORWARD_TABLE = [
    pytest.param(
        SOUND[0], ValueError, r"spectrograms of shape \(B, 1, 8, T\) with T >= 1, got \(1, 8, 20\)", id="rank"
    ),
    pytest.param(SOUND[:, :, :7], ValueError, r"got \(2, 1, 7, 20\)", id="bands"),
    pytest.param(SOUND.expand(2, 2, 8, 20), ValueError, r"got \(2, 2, 8, 20\)", id="channels"),
    pytest.param(SOUND[..., :0], ValueError, "T >= 1", id="no-bin"),
    pytest.param(SOUND.numpy(), TypeError, "got ndarray: convert it with torch.as_tensor", id="numpy"),
    pytest.param(SOUND.tolist(), TypeError, "got list", id="list"),
    pytest.param({"stims": SOUND}, TypeError, "got dict", id="batch"),
    pytest.param(None, TypeError, "got NoneType", id="None"),
    pytest.param(
        SOUND.double(), TypeError, r"are torch.float64, but the model computes in torch.float32.*stims.to", id="float64"
    ),
    pytest.param(SOUND.half(), TypeError, "are torch.float16, but the model computes in torch.float32", id="float16"),
    pytest.param(SOUND.int(), TypeError, "are torch.int32, but", id="int"),
    pytest.param(SOUND > 0, TypeError, "are torch.bool, but", id="bool"),
    pytest.param(SOUND.to(torch.complex64), TypeError, "are torch.complex64, but", id="complex"),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("stims", "error", "words"), FORWARD_TABLE)
def test_forward(name, training, stims, error, words):
    with pytest.raises(error, match=words):
        MODELS[name]().train(training)(stims)


@pytest.mark.parametrize("make", [linear, nonlinear])
def test_another_device(make):
    with pytest.raises(ValueError, match=r"spectrograms are on meta, but the model is on cpu: .*stims.to\('cpu'\)"):
        make().eval()(SOUND.to("meta"))


@pytest.mark.parametrize("name", MODELS)
def test_no_stimulus_gives_no_response(name):
    assert MODELS[name]()(SOUND[:0]).shape == (0, 3, 1, 20)


def test_errors_of_the_model_itself_pass():
    class Broken(nn.Module):
        out_channels = 1

        def forward(self, x):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        linear(prefiltering=Broken())(SOUND)


def test_a_part_that_converts_may_get_what_it_likes():
    class ToFloat(nn.Module):
        out_channels = 1

        def forward(self, x):
            return x.float()

    assert linear(prefiltering=ToFloat())(SOUND.double()).dtype == torch.float32


@pytest.mark.parametrize("value", [NAN, INF])
def test_nan_in_a_stimulus_spreads_to_the_bins_that_see_it_and_no_further(value):
    """As the docstring of forward says: no check per step, but no number that pretends to be one either."""
    stims = SOUND.clone()
    stims[0, 0, 3, 9] = value
    for model, last in ((linear().eval(), 14), (statenet().eval(), 20)):
        response = model(stims)
        spoiled = ~response.isfinite()
        assert spoiled[0, :, 0, 9:last].all() or value == INF  # a recurrent layer saturates at an infinite input
        assert not spoiled[0, :, 0, :9].any()
        assert not spoiled[0, :, 0, last:].any()
        assert torch.equal(response[0, ..., :9], model(SOUND)[0, ..., :9])
        torch.testing.assert_close(response[1], model(SOUND)[1])


LAYER_TABLE = [
    pytest.param(
        lambda: CausalSTRFConv(8, 5, 1, 3, kernel=nn.Conv2d(1, 3, (8, 4)))(SOUND),
        r"the kernel Conv2d gives \(2, 3, 1, 21\) where \(2, 3, 1, 20\) is needed.*8 bands and 5 bins",
        id="kernel-window",
    ),
    pytest.param(
        lambda: linear(kernel=nn.Conv2d(1, 3, (7, 5)))(SOUND), r"gives \(2, 3, 2, 20\) where", id="kernel-bands"
    ),
    pytest.param(lambda: CausalSTRFConv(8, 5, 1, 3)(SOUND[0]), r"\(B, 1, 8, T\), got .*\(1, 8, 20\)", id="conv-rank"),
    pytest.param(
        lambda: LocallyConnected1d(8, 1, 1, 3)(torch.zeros(1, 1, 7)), r"\(B, 1, 8\), got \(1, 1, 7\)", id="LC"
    ),
    pytest.param(lambda: CausalLayerNorm(3)(torch.zeros(2, 4, 5)), r"axis 1 to have length 3.*\(2, 4, 5\)", id="LN"),
    pytest.param(lambda: CausalLayerNorm(3, dim=5)(torch.zeros(2, 3, 4)), "axis 5 to have length 3", id="LN-axis"),
    pytest.param(
        lambda: PaddedBatchNorm1d(3)(torch.zeros(2, 4, 5), torch.ones(2, 5, dtype=torch.bool)),
        r"expected x of shape \(B, 3, T\), got \(2, 4, 5\)",
        id="BN",
    ),
    pytest.param(
        lambda: PaddedBatchNorm1d(3)(torch.zeros(2, 3, 5), torch.ones(2, 4, dtype=torch.bool)),
        r"expected valid of shape \(2, 5\), got \(2, 4\)",
        id="BN-valid",
    ),
    pytest.param(lambda: LinearReadout(4, 3)(torch.zeros(2, 5, 7)), r"with C = 4, got \(2, 5, 7\)", id="readout"),
    pytest.param(lambda: LinearReadout(4, 3)(torch.zeros(4, 7)), r"\(B, C, T\) or .*, got \(4, 7\)", id="readout-rank"),
    pytest.param(
        lambda: ParametricSigmoid(3)(torch.zeros(2, 5, 4)), r"is for 3 neurons on the last axis.*\(2, 5, 4\)", id="act"
    ),
    pytest.param(lambda: linear().STRF_gradmap(0), "T must be a positive int, got 0", id="gradmap"),
    pytest.param(lambda: linear().STRF_weight("on"), "polarity must be 'ON' or 'OFF', got 'on'", id="polarity"),
]


@pytest.mark.parametrize(("action", "words"), LAYER_TABLE)
def test_layers(action, words):
    with pytest.raises(ValueError, match=words):
        action()


# --- ridge and warm start ---------------------------------------------------------------------------------------------


class Recording(list):
    dt = 5.0


def recording(dt=5.0, **changes):
    generator = torch.Generator().manual_seed(1)
    items = Recording(
        {
            "stims": torch.randn(1, 4, 60, generator=generator),
            "responses": [torch.randn(3, 60, generator=generator) for _ in range(2)],
            **changes,
        }
        for _ in range(3)
    )
    items.dt = dt
    return items


def ridge(train=None, val=None, window_ms=20, alphas=1.0):
    return fit_ridge(recording() if train is None else train, val, window_ms, alphas=alphas)


def one_infinite():
    items = recording()
    items[1]["responses"][1][0, 7] = INF
    return items


RIDGE_TABLE = [
    pytest.param(lambda: fit_ridge(None, alphas=1.0), TypeError, "train must be a data set.*got NoneType", id="None"),
    pytest.param(lambda: ridge(torch.zeros(3, 1, 4, 60)), TypeError, "train must be a data set", id="tensor"),
    pytest.param(lambda: ridge(list(recording())), TypeError, "train must be a data set, with dt", id="list"),
    pytest.param(lambda: ridge("ns1"), TypeError, "train must be a data set.*got str", id="name"),
    pytest.param(lambda: ridge(val="ns1"), TypeError, "val must be a data set", id="val"),
    pytest.param(lambda: ridge(Recording()), ValueError, "train has no stimulus", id="empty"),
    pytest.param(
        lambda: ridge(Recording([torch.zeros(1, 4, 60)])), TypeError, "stimulus 0: .*dict.*Tensor", id="items"
    ),
    pytest.param(
        lambda: ridge(Recording([{"stims": torch.zeros(1, 4, 60)}])),
        TypeError,
        r"'responses', got the keys \['stims'\]",
        id="keys",
    ),
    pytest.param(lambda: ridge(recording(stims=np.zeros((1, 4, 60)))), TypeError, "spectrogram .* ndarray", id="numpy"),
    pytest.param(
        lambda: ridge(recording(stims=torch.zeros(1, 4, 60, dtype=torch.complex64))),
        TypeError,
        "real numbers, got torch.complex64",
        id="complex",
    ),
    pytest.param(lambda: ridge(recording(stims=torch.zeros(4, 60))), ValueError, r"\(1, F, T\), got", id="rank"),
    pytest.param(lambda: ridge(recording(stims=torch.zeros(1, 4, 0))), ValueError, r"\(1, 4, 0\)", id="no-bin"),
    pytest.param(lambda: ridge(recording(stims=torch.zeros(1, 0, 60))), ValueError, r"\(1, 0, 60\)", id="no-band"),
    pytest.param(
        lambda: ridge(recording(stims=torch.full((1, 4, 60), NAN))), ValueError, "stimulus 0: .* not finite", id="nan"
    ),
    pytest.param(
        lambda: ridge(recording(responses=[np.zeros((3, 60))] * 2)),
        TypeError,
        "response of neuron 0 must be a tensor.*ndarray",
        id="responses-numpy",
    ),
    pytest.param(
        lambda: ridge(recording(responses=[torch.zeros(60)] * 2)),
        ValueError,
        r"\(R, 60\).*neuron 0",
        id="responses-rank",
    ),
    pytest.param(
        lambda: ridge(one_infinite()), ValueError, "stimulus 1: the response of neuron 1 has infinite values", id="inf"
    ),
    pytest.param(
        lambda: ridge(recording(responses=[torch.full((3, 60), NAN)] * 2)),
        ValueError,
        "no neuron has data",
        id="all-nan",
    ),
    pytest.param(lambda: ridge(recording(dt=0)), ValueError, r"dt of train \(ms\) must be positive", id="dt-zero"),
    pytest.param(lambda: ridge(recording(dt=NAN)), ValueError, r"dt of train \(ms\) must be positive", id="dt-nan"),
    pytest.param(
        lambda: ridge(window_ms="150"), ValueError, "window_ms must be positive .* got '150'", id="window-str"
    ),
    pytest.param(lambda: ridge(window_ms=None), ValueError, "window_ms must be positive", id="window-None"),
    pytest.param(lambda: ridge(window_ms=INF), ValueError, "window_ms must be positive", id="window-inf"),
    pytest.param(lambda: ridge(alphas="1"), ValueError, "alphas must be positive .* got '1'", id="alphas-str"),
    pytest.param(lambda: ridge(alphas=[None]), ValueError, "alphas must be positive", id="alphas-None"),
    pytest.param(lambda: ridge(alphas={1: 2}), ValueError, "alphas must be positive", id="alphas-dict"),
    pytest.param(lambda: ridge(alphas=-1.0), ValueError, "alphas must be positive", id="alphas-negative"),
]


@pytest.mark.parametrize(("action", "error", "words"), RIDGE_TABLE)
def test_ridge(action, error, words):
    with pytest.raises(error, match=words):
        action()


def broken_ridge():
    model = Linear(8, 5, 3).eval()
    model.readout.strf.kernel.weight.data[0] = NAN
    return model


WARM_START_TABLE = [
    pytest.param(nonlinear, linear, [], ValueError, "at least two bins.* got 0 stimuli", id="no-stimulus"),
    pytest.param(nonlinear, linear, [SOUND[0, :, :, :1]], ValueError, "at least two bins", id="one-bin"),
    pytest.param(nonlinear, linear, [SOUND[0] * NAN], ValueError, "not finite", id="nan-stimulus"),
    pytest.param(nonlinear, broken_ridge, [SOUND[0]], ValueError, "not finite: look for NaN in its kernels", id="nan"),
    pytest.param(nonlinear, linear, [SOUND[0, 0]], ValueError, r"\(B, 1, 8, T\)", id="rank"),
    pytest.param(nonlinear, linear, [SOUND[0, :, :7]], ValueError, r"got \(1, 1, 7, 20\)", id="bands"),
    pytest.param(nonlinear, linear, [SOUND[0].double()], TypeError, "torch.float64", id="float64"),
    pytest.param(statenet, linear, [SOUND[0]], TypeError, "model must be a Linear.* got StateNet", id="model"),
    pytest.param(nonlinear, statenet, [SOUND[0]], TypeError, "ridge must be a Linear.* got StateNet", id="ridge"),
    pytest.param(lambda: None, linear, [SOUND[0]], TypeError, "model must be a Linear.* got NoneType", id="None"),
]


@pytest.mark.parametrize(("model", "known", "stims", "error", "words"), WARM_START_TABLE)
def test_warm_start_leaves_the_model_as_it_was(model, known, stims, error, words):
    model, known = model(), known().eval() if known() is not None else None
    before = {} if model is None else {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(error, match=words):
        start_from_ridge(model, known, stims)
    assert all(torch.equal(before[name], tensor) for name, tensor in (model.state_dict() if before else {}).items())
