"""What models of spectrograms say to stimuli that they cannot take, and how far a NaN spreads."""

import pytest
import torch
from small_models import MODELS, SOUND, linear, nonlinear, statenet
from torch import nn

FORWARD_TABLE = [
    pytest.param(
        SOUND[0], ValueError, r"spectrograms of shape \(B, 1, 8, T\) with T >= 1, got \(1, 8, 20\)", id="rank"
    ),
    pytest.param(SOUND[:, :, :7], ValueError, r"got \(2, 1, 7, 20\)", id="bands"),
    pytest.param(SOUND.expand(2, 2, 8, 20), ValueError, r"got \(2, 2, 8, 20\)", id="channels"),
    pytest.param(SOUND[..., :0], ValueError, "T >= 1", id="no-bin"),
    pytest.param(SOUND.numpy(), TypeError, "got a ndarray: convert it with torch.as_tensor", id="numpy"),
    pytest.param(SOUND.tolist(), TypeError, "got a list", id="list"),
    pytest.param({"stims": SOUND}, TypeError, "got a dict", id="batch"),
    pytest.param(None, TypeError, "got None", id="None"),
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


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_in_a_stimulus_spreads_to_the_bins_that_see_it_and_no_further(value):
    """As the docstring of forward says: no check per step, but no number that pretends to be one either."""
    stims = SOUND.clone()
    stims[0, 0, 3, 9] = value
    for model, last in ((linear().eval(), 14), (statenet().eval(), 20)):
        response = model(stims)
        spoiled = ~response.isfinite()
        assert spoiled[0, :, 0, 9:last].all() or value == torch.inf  # a recurrent layer saturates at an infinite input
        assert not spoiled[0, :, 0, :9].any()
        assert not spoiled[0, :, 0, last:].any()
        assert torch.equal(response[0, ..., :9], model(SOUND)[0, ..., :9])
        torch.testing.assert_close(response[1], model(SOUND)[1])


def test_the_length_of_a_gradient_map_is_checked():
    with pytest.raises(ValueError, match="T must be a positive integer, got 0"):
        linear().STRF_gradmap(0)
    with pytest.raises(TypeError, match="T must be an integer, got a str"):
        linear().STRF_gradmap("5")
