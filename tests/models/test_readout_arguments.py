"""What readouts and output activations say to arguments and inputs that they cannot use."""

import functools

import pytest
import torch
from small_models import NOT_SIZES, check_size, linear

from deepSTRF.models.activations import ParametricSigmoid, ParametricSoftplus
from deepSTRF.models.readouts import LinearReadout, STRFReadout


@pytest.mark.parametrize("value", NOT_SIZES, ids=repr)
@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (functools.partial(LinearReadout, out_neurons=3), "in_features"),
        (functools.partial(LinearReadout, 4), "out_neurons"),
        (functools.partial(STRFReadout, 8, 5, 1), "out_neurons"),
        (ParametricSoftplus, "num_features"),
    ],
)
def test_sizes(make, argument, value):
    check_size(make, argument, value, name=f"({argument}|C_out)")


INPUT_TABLE = [
    pytest.param(lambda: LinearReadout(4, 3)(torch.zeros(2, 5, 7)), r"with C = 4, got \(2, 5, 7\)", id="readout"),
    pytest.param(lambda: LinearReadout(4, 3)(torch.zeros(4, 7)), r"\(B, C, T\) or .*, got \(4, 7\)", id="readout-rank"),
    pytest.param(
        lambda: ParametricSigmoid(3)(torch.zeros(2, 5, 4)),
        r"expected 3 neurons on the last axis.*\(2, 5, 4\)",
        id="act",
    ),
    pytest.param(lambda: linear().STRF_weight("on"), "polarity must be one of 'ON', 'OFF'; got 'on'", id="polarity"),
    pytest.param(lambda: LinearReadout(4, 3, hidden=0), "hidden must be a positive integer", id="hidden"),
]


@pytest.mark.parametrize(("action", "words"), INPUT_TABLE)
def test_inputs(action, words):
    with pytest.raises(ValueError, match=words):
        action()
