"""Positions and masks of attention against loops."""

import math

import pytest
import torch

from deepSTRF.models.layers import SinusoidalPositionalEncoding, build_causal_window_mask


def test_positions_are_the_sines_of_the_paper():
    code = SinusoidalPositionalEncoding(6)(torch.zeros(1, 50, 6))[0]
    for position in range(50):
        for i in range(3):
            angle = position / 10_000 ** (2 * i / 6)
            assert math.isclose(code[position, 2 * i], math.sin(angle), abs_tol=1e-5)
            assert math.isclose(code[position, 2 * i + 1], math.cos(angle), abs_tol=1e-5)


@pytest.mark.parametrize("lengths", [[1] * 9, [4, 5]])
def test_positions_go_on_from_piece_to_piece(lengths):
    layer, x, state, pieces = SinusoidalPositionalEncoding(4), torch.randn(2, 9, 4), None, []
    for piece in x.split(lengths, 1):
        y, state = layer.step(piece, state)
        pieces.append(y)
        assert state.shape == ()
    torch.testing.assert_close(torch.cat(pieces, 1), layer(x))
    torch.testing.assert_close(layer.step(x, torch.zeros_like(state))[0], layer(x))


def test_positions_in_half_precision_are_those_in_single():
    x = torch.zeros(1, 3000, 4)
    half = SinusoidalPositionalEncoding(4).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    # The slow frequency is rounded once, to 8 bits; the fast one is exact.
    torch.testing.assert_close(half[..., :2].float(), SinusoidalPositionalEncoding(4)(x)[..., :2], atol=4e-3, rtol=0)


def test_positions_need_pairs_of_features():
    with pytest.raises(ValueError, match=r"even.*got 5"):
        SinusoidalPositionalEncoding(5)
    with pytest.raises(ValueError, match=r"\(B, L, 4\), got \(1, 4, 3\)"):
        SinusoidalPositionalEncoding(4)(torch.zeros(1, 4, 3))


@pytest.mark.parametrize("window", [None, 1, 3, 10])
def test_the_mask_blocks_the_future_and_the_distant_past(window):
    mask = build_causal_window_mask(7, window)
    assert mask.dtype == torch.bool
    for i in range(7):
        for j in range(7):
            assert mask[i, j] == (j > i or (window is not None and i - j >= window))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "L must be a positive integer"),
        ((4, 0), ValueError, "window must be a positive integer"),
        ((4, 1.5), TypeError, "window must be an integer"),
    ],
)
def test_the_mask_needs_whole_numbers(arguments, error, message):
    with pytest.raises(error, match=message):
        build_causal_window_mask(*arguments)
