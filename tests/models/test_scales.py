"""Scales against their formulas, and there and back."""

import math

import numpy as np
import pytest
import torch

from deepSTRF.models.scales import (
    ERB_bandwidth,
    ERB_to_Hz,
    Greenwood,
    Hz_to_ERB,
    Hz_to_mel,
    inverse_Greenwood,
    mel_to_Hz,
)

FREQUENCIES = [25.0, 500.0, 1000.0, 8000.0, 40_000.0]


@pytest.mark.parametrize("f", FREQUENCIES)
def test_scales_are_their_formulas(f):
    assert math.isclose(Hz_to_mel(f), 2595 * math.log10(1 + f / 700))
    assert math.isclose(Hz_to_ERB(f), 21.4 * math.log10(0.00437 * f + 1))
    assert math.isclose(ERB_bandwidth(f), 24.7 * (0.00437 * f + 1))


@pytest.mark.parametrize("x", [0.0, 0.3, 0.5, 1.0])
def test_the_cochlea_is_greenwoods(x):
    assert math.isclose(Greenwood(x, "human"), 165.4 * (10 ** (2.1 * x) - 0.88))
    assert math.isclose(Greenwood(x, "mouse"), 712.6 * (10 ** (2.1 * x) + 0.40))
    assert math.isclose(Greenwood(x), Greenwood(x, "human"))


def test_values_of_the_literature():
    assert Hz_to_mel(1000.0) == pytest.approx(1000, abs=0.1)
    assert Hz_to_ERB(1000.0) == pytest.approx(15.6, abs=0.05)
    assert ERB_bandwidth(1000.0) == pytest.approx(132.6, abs=0.1)
    assert Greenwood(0.0) == pytest.approx(19.85, abs=0.01)
    assert Greenwood(1.0) == pytest.approx(20677, abs=1)


def test_the_bandwidth_is_the_slope_of_the_erb_scale():
    """Glasberg & Moore's constants are rounded, so the two agree to half a percent."""
    f = torch.tensor([200.0, 1000.0, 5000.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(Hz_to_ERB(f).sum(), f)
    torch.testing.assert_close(1 / slope, ERB_bandwidth(f.detach()), rtol=0.005, atol=0)


PAIRS = {
    "mel": (Hz_to_mel, mel_to_Hz, FREQUENCIES),
    "ERB": (Hz_to_ERB, ERB_to_Hz, FREQUENCIES),
    "human": (lambda f: inverse_Greenwood(f, "human"), lambda x: Greenwood(x, "human"), FREQUENCIES),
    "mouse": (lambda f: inverse_Greenwood(f, "mouse"), lambda x: Greenwood(x, "mouse"), [1000.0, 8000.0, 80_000.0]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_there_and_back_is_exact(name):
    there, back, frequencies = PAIRS[name]
    for f in frequencies:
        assert math.isclose(back(there(f)), f, rel_tol=1e-13)
        assert math.isclose(there(back(there(f))), there(f), rel_tol=1e-13)
    array, double = np.array(frequencies), torch.tensor(frequencies, dtype=torch.float64)
    np.testing.assert_allclose(back(there(array)), array, rtol=1e-13)
    torch.testing.assert_close(back(there(double)), double, rtol=1e-13, atol=0)
    torch.testing.assert_close(back(there(double.float())), double.float(), rtol=2e-6, atol=0)


@pytest.mark.parametrize("function", [Hz_to_mel, mel_to_Hz, Hz_to_ERB, ERB_to_Hz, ERB_bandwidth, Greenwood])
def test_what_comes_out_is_what_went_in(function):
    number = function(0.5)
    assert isinstance(number, float)
    assert isinstance(function(np.array([0.5])), np.ndarray)
    x = torch.tensor([0.5], requires_grad=True)
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    assert slope > 0
    assert function(x).dtype == torch.float32
    assert math.isclose(function(x).item(), number, rel_tol=1e-5)
    assert function([0, 1]).shape == (2,)
    assert math.isclose(function(1), function(1.0))


def test_what_has_no_value_is_nan():
    assert math.isnan(Hz_to_mel(-1000.0))
    assert math.isnan(inverse_Greenwood(100.0, "mouse"))
    assert Hz_to_mel(torch.tensor(-1000.0)).isnan()


@pytest.mark.parametrize("function", [Greenwood, inverse_Greenwood])
@pytest.mark.parametrize("species", ["bat", None, ["human"]])
def test_other_cochleae_are_not_known(function, species):
    with pytest.raises(NotImplementedError, match=r"unknown species .*; available: human, mouse"):
        function(0.5, species)
