"""The factorised readout against its sums, and behind convolutions."""

import numpy as np
import pytest
import torch
from torch import nn

from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio import AudioEncodingModel
from deepSTRF.models.readouts import FactorizedReadout
from deepSTRF.testing import check_model


def test_the_readout_is_its_sums():
    readout, x = FactorizedReadout(3, 4, 5, activation=nn.Tanh()), torch.randn(2, 3, 4, 7)
    what, where, bias = (
        t.detach().double().numpy() for t in (readout.feature_weight, readout.position_weight, readout.bias)
    )
    expected = np.zeros((2, 5, 1, 7))
    for b, n, t in np.ndindex(2, 5, 7):
        drive = sum(what[n, c] * where[n, p] * x[b, c, p, t].item() for c, p in np.ndindex(3, 4))
        expected[b, n, 0, t] = np.tanh(drive + bias[n])
    np.testing.assert_allclose(readout(x).detach(), expected, atol=1e-5)


def test_places_of_a_picture_are_positions():
    readout, x = FactorizedReadout(3, 6, 5), torch.randn(2, 3, 2, 3, 7)
    torch.testing.assert_close(readout(x), readout(x.flatten(2, 3)))


def test_weights_belong_to_neurons():
    assert FactorizedReadout(3, 4, 4, bias=False).per_neuron_tensors() == {"feature_weight": 0, "position_weight": 0}
    named = FactorizedReadout(3, 4, 5, activation=ParametricSoftplus(5)).per_neuron_tensors()
    assert named.keys() == {"feature_weight", "position_weight", "bias", "activation._raw_beta", "activation._raw_b"}


def test_products_start_on_the_scale_of_a_linear_layer():
    torch.manual_seed(0)
    readout = FactorizedReadout(10, 28, 2000)
    products = readout.feature_weight[:, :, None] * readout.position_weight[:, None]
    linear = nn.Linear(280, 2000)
    assert 0.9 < products.std() / linear.weight.std() < 1.1
    assert readout.bias.abs().max() <= 280**-0.5


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 4, 4, 7), (2, 3, 5, 7), (2, 3, 4, 2, 7)])
def test_a_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"C = 3 and P = 4, got \(2, "):
        FactorizedReadout(3, 4, 5)(torch.zeros(shape))


@pytest.mark.parametrize("sizes", [(0, 4, 5), (3, 4.5, 5), (3, 4, 0)])
def test_sizes_are_checked(sizes):
    with pytest.raises((ValueError, TypeError), match=r"must be (a positive|an) integer"):
        FactorizedReadout(*sizes)


def test_the_activation_must_be_for_the_number_of_neurons():
    with pytest.raises(ValueError, match="for 4 neurons, but there are 5"):
        FactorizedReadout(3, 4, 5, activation=ParametricSoftplus(4))


class Edges(AudioEncodingModel):
    """Convolutions over frequency, read by what and where."""

    def __init__(self, out_neurons=3):
        super().__init__(n_frequency_bands=9, temporal_window_size=1, out_neurons=out_neurons)
        self.core = nn.Sequential(nn.Conv2d(1, 4, (3, 1)), nn.ReLU())
        self.readout = FactorizedReadout(4, 7, out_neurons, activation=ParametricSoftplus(out_neurons))

    def _step_features(self, filtered, state):
        return self.core(filtered), ()


@pytest.mark.parametrize("out_neurons", [1, 4])
def test_models_with_it_keep_the_contract(out_neurons):
    check_model(lambda: Edges(out_neurons))
    assert Edges(out_neurons).eval().stream().step(torch.zeros(1, 1, 9, 1)).shape == (1, out_neurons, 1, 1)
