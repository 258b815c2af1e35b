"""Integrated gradients add up to the change of the response, also through front ends of waveforms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.analysis import integrated_gradients
from deepSTRF.models.audio import Linear, LinearNonlinear, StateNet
from deepSTRF.models.wav2spec import make_wav2spec

FS, DT = 8000, 5.0


def of_waveforms(kind, **arguments):
    torch.manual_seed(0)
    front_end = make_wav2spec(kind, FS, DT, **arguments)
    return StateNet(n_frequency_bands=front_end.out_channels, out_neurons=2, wav2spec=front_end)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("mel", {"f_max": 4000.0}),
        ("mel", {"f_max": 4000.0, "compression": "cubic"}),
        ("gammatone", {"f_max": 3500.0, "compression": "cuberoot"}),
        ("sincnet", {}),
        ("leaf", {"f_max": 3500.0}),
    ],
)
def test_completeness_on_waveforms(kind, arguments):
    model = of_waveforms(kind, **arguments)
    sound = 0.1 * torch.randn(1, 400)
    result = integrated_gradients(model, sound, neuron=1, bins=[7, 9], tolerance=5e-3)
    model.eval()
    with torch.no_grad():
        change = (model(sound[None]) - model(torch.zeros(1, 1, 400)))[0, 1, 0, [7, 9]].sum().item()
    assert result.response - result.baseline_response == pytest.approx(change, rel=1e-4)
    assert result.values.sum().item() == pytest.approx(change, rel=6e-3)
    assert abs(result.gap) <= 5e-3 * abs(change)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), level=st.floats(0.01, 10))
def test_completeness_for_any_spectrogram_and_baseline(seed, level):
    torch.manual_seed(seed)
    model = LinearNonlinear(n_frequency_bands=6, temporal_window_size=4, out_neurons=2)
    sound, baseline = level * torch.randn(2, 1, 6, 20)
    result = integrated_gradients(model, sound, neuron=0, baseline=baseline, tolerance=1e-3)
    change = result.response - result.baseline_response
    assert abs(result.values.double().sum().item() - change) <= 1.1e-3 * abs(change) + 1e-4


def test_of_a_linear_model_it_is_weight_times_stimulus_and_the_future_has_no_share():
    torch.manual_seed(0)
    model = Linear(n_frequency_bands=6, temporal_window_size=4, out_neurons=2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sound = torch.randn(1, 6, 20)
    result = integrated_gradients(model, sound, neuron=1, bins=12)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    kernel = model.readout.effective_kernel()[0][1, 0].detach()
    assert torch.allclose(result.values[0, :, 9:13], kernel * sound[0, :, 9:13], atol=1e-5)
    assert result.values[..., 13:].abs().max() == 0
    pytest.importorskip("xarray")
    assert result.to_xarray()["values"].attrs["units"] == "response"


def test_samples_behind_the_bin_have_no_share():
    model = of_waveforms("mel", f_max=4000.0)
    result = integrated_gradients(model, 0.1 * torch.randn(1, 800), neuron=0, bins=9, most_steps=64)
    assert result.values[:, 400:].abs().max() == 0
    assert result.values[:, :400].abs().max() > 0


def test_errors_say_what_is_wrong():
    model = Linear(n_frequency_bands=6, temporal_window_size=4, out_neurons=2)
    with pytest.raises(ValueError, match="baseline must have the shape"):
        integrated_gradients(model, torch.zeros(1, 6, 20), 0, baseline=torch.zeros(1, 6, 19))
    with pytest.raises(ValueError, match="neuron must be indices from 0 to 1"):
        integrated_gradients(model, torch.zeros(1, 6, 20), 2)
    with pytest.raises(TypeError, match="neuron must be an integer, got a list"):
        integrated_gradients(model, torch.zeros(1, 6, 20), [0, 1])
    with pytest.raises(ValueError, match="bins must be indices"):
        integrated_gradients(model, torch.zeros(1, 6, 20), 0, bins=20)
