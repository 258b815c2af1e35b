"""What layers say to constructor arguments and inputs that they cannot use."""

import functools

import pytest
import torch
from small_models import NOT_SIZES, SOUND, check_size, linear
from torch import nn

from deepSTRF.models.layers import CausalLayerNorm, CausalSTRFConv, LocallyConnected1d, PaddedBatchNorm1d


@pytest.mark.parametrize("value", NOT_SIZES, ids=repr)
@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (functools.partial(LocallyConnected1d, 8, 1, 1, 3), "stride"),
        (functools.partial(LocallyConnected1d, 8, 1, 1, 3), "dilation"),
        (functools.partial(LocallyConnected1d, 8, 1, out_channels=1), "kernel_size"),
        (functools.partial(LocallyConnected1d, 8, kernel_size=3, out_channels=1), "in_channels"),
        (functools.partial(LocallyConnected1d, 8, 1, kernel_size=3), "out_channels"),
        (functools.partial(CausalSTRFConv, 8, 5, 1), "C_out"),
        (CausalLayerNorm, "normalized_shape"),
        (PaddedBatchNorm1d, "num_features"),
    ],
)
def test_sizes(make, argument, value):
    check_size(make, argument, value)


INPUT_TABLE = [
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
]


@pytest.mark.parametrize(("action", "words"), INPUT_TABLE)
def test_inputs(action, words):
    with pytest.raises(ValueError, match=words):
        action()


CONSTRUCTION_TABLE = [
    pytest.param(
        lambda: LocallyConnected1d(8, 1, 1, 3, padding=-1),
        ValueError,
        r"padding.* must be .*, got -1",
        id="padding",
    ),
    pytest.param(lambda: LocallyConnected1d(2, 1, 1, 3), ValueError, "more than the 2 there are", id="span"),
]


@pytest.mark.parametrize(("action", "error", "words"), CONSTRUCTION_TABLE)
def test_construction(action, error, words):
    with pytest.raises(error, match=words):
        action()
