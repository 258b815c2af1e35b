"""What models say to constructor arguments that they cannot use."""

import pytest
import torch
from small_models import NOT_SIZES, SOUND, check_size, linear, nonlinear, statenet
from torch import nn

from deepSTRF.models.activations import ParametricSigmoid, ParametricSoftplus


@pytest.mark.parametrize("value", NOT_SIZES, ids=repr)
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
    ],
)
def test_sizes(make, argument, value):
    check_size(make, argument, value)


CONSTRUCTION_TABLE = [
    pytest.param(lambda: statenet(kernel_size=9), ValueError, "kernel_size=9 is more than the 8 bands", id="kernel"),
    pytest.param(lambda: statenet(rnn_type="Hyena"), NotImplementedError, "GRU, LSTM, RNN.*Mamba", id="rnn"),
    pytest.param(lambda: statenet(rnn_type=["GRU"]), NotImplementedError, r"unknown rnn_type \['GRU'\]", id="rnn-list"),
    pytest.param(
        lambda: statenet(connectivity=None), NotImplementedError, "available: LC, FC, CONV", id="connectivity"
    ),
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
    pytest.param(lambda: linear(prefiltering=nn.ReLU()), TypeError, "attribute out_channels", id="prefiltering"),
]


@pytest.mark.parametrize(("action", "error", "words"), CONSTRUCTION_TABLE)
def test_construction(action, error, words):
    with pytest.raises(error, match=words):
        action()


def test_one_set_of_parameters_may_serve_all_neurons():
    assert linear(output_activation=ParametricSoftplus(1))(SOUND).shape == (2, 3, 1, 20)
