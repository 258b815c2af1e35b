"""Models and a sound, small enough for tables of tests, and what is not a size."""

import functools
import re

import pytest
import torch

from deepSTRF.models.audio import Linear, LinearNonlinear, StateNet
from deepSTRF.models.bin_by_bin import map_state

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


def check_pieces(layer, x):
    """Check that a layer goes on from piece to piece, and that a state of zeros is the onset."""
    state, pieces = None, []
    for piece in x.split([1, 1, 7, x.shape[-1] - 9], -1):
        y, state = layer.step(piece, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, -1), layer(x))
    torch.testing.assert_close(layer.step(x, map_state(torch.zeros_like, state))[0], layer(x))


NOT_SIZES = [0, -1, 2.5, "8", None, True, [8]]


def check_size(make, argument, value, name=None):
    """Check that `make` raises an error of the right type, which names its argument and says what came in."""
    error, words = (ValueError, "a positive integer") if type(value) is int else (TypeError, "an integer")
    with pytest.raises(error, match=rf"{name or argument}.* must be {words}, got .*{re.escape(str(value))}"):
        make(**{argument: value})
