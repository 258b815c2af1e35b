"""Frequency scales: against published values, and exact both ways."""

import pytest
import torch

from deepSTRF.models import scales

PAIRS = [
    (scales.Hz_to_mel, scales.mel_to_Hz),
    (scales.Hz_to_ERB, scales.ERB_to_Hz),
    (scales.inverse_Greenwood, scales.Greenwood),
    (lambda f: scales.inverse_Greenwood(f, "mouse"), lambda x: scales.Greenwood(x, "mouse")),
]


@pytest.mark.parametrize(("there", "back"), PAIRS)
def test_scales_are_exact_both_ways_and_rise(there, back):
    f = torch.logspace(3.05, 4.3, 50, dtype=torch.float64)
    scale = there(f)
    assert (scale.diff() > 0).all()
    torch.testing.assert_close(back(scale), f, rtol=1e-12, atol=0)
    assert back(there(1234.0)) == pytest.approx(1234.0, rel=1e-12)
    assert there(1234.0) == pytest.approx(there(torch.tensor(1234.0, dtype=torch.float64)).item(), rel=1e-14)


def test_values_of_the_literature():
    assert scales.Hz_to_mel(1000.0) == pytest.approx(1000, abs=0.1)
    assert scales.Hz_to_ERB(1000.0) == pytest.approx(15.6, abs=0.05)
    assert scales.ERB_bandwidth(1000.0) == pytest.approx(132.6, abs=0.1)
    assert scales.Greenwood(0.0) == pytest.approx(19.85, abs=0.01)
    assert scales.Greenwood(1.0) == pytest.approx(20677, abs=1)
    assert scales.Greenwood(0.0, "mouse") == pytest.approx(712.6 * 1.4)


def test_the_bandwidth_is_the_slope_of_the_erb_scale():
    """Glasberg & Moore's constants are rounded, so the two agree to half a percent."""
    f = torch.tensor([200.0, 1000.0, 5000.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(scales.Hz_to_ERB(f).sum(), f)
    torch.testing.assert_close(1 / slope, scales.ERB_bandwidth(f.detach()), rtol=0.005, atol=0)


@pytest.mark.parametrize("function", [scales.Greenwood, scales.inverse_Greenwood])
def test_other_species_are_refused(function):
    with pytest.raises(NotImplementedError, match=r"'ferret'.*human, mouse"):
        function(0.5, "ferret")


def test_below_the_apex_there_is_no_place():
    assert scales.inverse_Greenwood(-200.0) != scales.inverse_Greenwood(-200.0)
