"""dSTRFs rebuild the predictions of piecewise linear models, and their summaries tell known changes apart."""

import copy

import pytest
import torch
from torch import nn

from deepSTRF.analysis import DynamicSTRF, dynamic_strf, dynamic_summary
from deepSTRF.models.audio import AudioEncodingModel, ConvNet2D, LinearNonlinear, StateNet, Transformer
from deepSTRF.models.layers import CausalSTRFConv
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.wav2spec import make_wav2spec

F, L, N = 8, 6, 3


class Rectified(AudioEncodingModel):
    """Two layers of rectified linear units."""

    def __init__(self, bias=False):
        super().__init__(n_frequency_bands=F, temporal_window_size=L, out_neurons=N)
        self.core = nn.Sequential(CausalSTRFConv(F, L, 1, 12, bias=bias), nn.ReLU())
        self.readout = LinearReadout(12, N, bias=bias, activation=nn.ReLU())


def windows(sound, n_lags):
    """The last `n_lags` bins at every bin, silence before the onset: (T, F, L)."""
    return nn.functional.pad(sound, (n_lags - 1, 0)).unfold(-1, n_lags, 1).transpose(0, 1)


def test_field_times_stimulus_is_the_prediction_of_a_piecewise_linear_model():
    torch.manual_seed(0)
    model, sound = Rectified(), torch.randn(F, 90)
    model.set_response_scale(torch.tensor([1.0, 7.0, 0.02]))
    result = dynamic_strf(model, sound, L)
    rebuilt = torch.einsum("ntfl,tfl->nt", result.fields, windows(sound, L))
    expected = model.eval()(sound[None, None])[0, :, 0]
    assert (rebuilt - expected).abs().max() < 1e-5 * 7
    assert result.offset.abs().max() < 1e-4
    assert (expected > 0).any(1).all()


def test_with_biases_the_offset_is_their_share_and_the_field_holds_around_the_stimulus():
    torch.manual_seed(1)
    model, sound = Rectified(bias=True), torch.randn(F, 60)
    result = dynamic_strf(model, sound, L)
    nearby = sound + 1e-4 * torch.randn(F, 60)  # almost no unit switches
    rebuilt = torch.einsum("ntfl,tfl->nt", result.fields, windows(nearby, L)) + result.offset
    error = (rebuilt - model.eval()(nearby[None, None])[0, :, 0]).abs()
    assert error.quantile(0.99) < 1e-6
    assert result.offset.abs().max() > 0.01


@pytest.mark.parametrize("make", [ConvNet2D, StateNet, Transformer], ids=["conv", "gru", "no stream"])
def test_fields_are_the_derivatives_also_over_several_passes(make, monkeypatch):
    monkeypatch.setattr("deepSTRF.analysis.dynamic.MOST_BINS", 4)
    torch.manual_seed(0)
    model, sound = make(n_frequency_bands=34, out_neurons=2), torch.randn(34, 40)
    bins = [37, 3, 20, 0, 36]
    result = dynamic_strf(model, sound, 10, neurons=[1], bins=bins)
    model.eval()
    for place, t in enumerate(bins):
        x = sound[None, None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x)[0, 1, 0, t], x)
        expected = nn.functional.pad(gradient[0, 0], (10, 0))[:, t + 1 : t + 11]
        assert torch.allclose(result.fields[0, place], expected, atol=1e-7)
        assert torch.allclose(result.prediction[0, place], model(sound[None, None])[0, 1, 0, t], atol=1e-6)


def test_a_model_with_a_front_end_has_fields_over_its_bands():
    torch.manual_seed(0)
    front_end = make_wav2spec("mel", 8000, 5.0, f_max=4000.0)
    model, frames = StateNet(n_frequency_bands=34, out_neurons=2, wav2spec=front_end), torch.randn(34, 12)
    result = dynamic_strf(model, frames, 12)
    model.eval().wav2spec = nn.Identity()
    assert torch.allclose(result.prediction, model(frames[None, None])[0, :, 0], atol=1e-6)
    assert torch.allclose(result.fields, dynamic_strf(model, frames, 12).fields, atol=1e-6)


def test_the_model_is_left_as_found():
    torch.manual_seed(0)
    model = StateNet(n_frequency_bands=34, out_neurons=2).train()
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before, random = copy.deepcopy(model), torch.get_rng_state()
    with torch.no_grad():
        dynamic_strf(model, torch.randn(34, 20, generator=torch.Generator().manual_seed(1)), 5)
    assert torch.equal(torch.get_rng_state(), random)
    for now, then in zip(model.modules(), before.modules(), strict=True):
        assert now.training == then.training
    for (name, now), then in zip(model.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(now, then), name
    assert [p.grad is None for p in model.parameters()] == [False] + [True] * (len(list(model.parameters())) - 1)


def test_errors_say_what_is_wrong():
    model = Rectified()
    with pytest.raises(ValueError, match="bins must be indices from 0 to 19, got 20"):
        dynamic_strf(model, torch.zeros(F, 20), bins=[20])
    with pytest.raises(ValueError, match="neurons must be indices from 0 to 2"):
        dynamic_strf(model, torch.zeros(F, 20), neurons=3)
    with pytest.raises(TypeError, match="model must be"):
        dynamic_strf(nn.ReLU(), torch.zeros(F, 20))
    with pytest.raises(ValueError, match="consecutive"):
        dynamic_summary(dynamic_strf(model, torch.zeros(F, 20), bins=[3, 5]))
    with pytest.raises(ValueError, match="one field only"):
        dynamic_summary(dynamic_strf(model, torch.zeros(F, 20), bins=[3]))
    with pytest.raises(ValueError, match="max_hold must be at least 0"):
        dynamic_summary(dynamic_strf(model, torch.zeros(F, 20)), max_hold=-1)


# --- summaries, of fields whose changes are known


def of_fields(fields):
    fields = fields[None].float()
    zeros = torch.zeros(fields.shape[:2])
    return dynamic_summary(DynamicSTRF([0], list(range(fields.shape[1])), fields, zeros, zeros, dt_ms=5.0))


def bump(lag, n_bands=6, n_lags=20):
    """An excitatory patch `lag` bins ago."""
    bands, lags = torch.arange(n_bands)[:, None], torch.arange(n_lags - 1, -1, -1)[None]
    return torch.exp(-0.5 * ((bands - 3.0) / 1.0) ** 2 - 0.5 * ((lags - lag) / 1.0) ** 2)


def test_only_gain_changes():
    gains = 1 + 0.5 * torch.sin(torch.arange(200) * 2 * torch.pi / 20)
    summary = of_fields(gains[:, None, None] * bump(8.0))
    assert summary.gain_change.item() == pytest.approx(0.5 / 2**0.5, rel=0.01)  # of a sine of amplitude 0.5
    assert summary.complexity.item() == pytest.approx(1, abs=1e-4)
    assert summary.effective_rank.item() == pytest.approx(1, abs=1e-3)
    assert summary.shape_change.item() == pytest.approx(1, abs=1e-4)
    assert summary.temporal_hold_ms.item() == 0


def test_a_field_that_is_held_on_the_stimulus():
    # it locks on a feature and stays for 4 bins, its latency growing bin by bin, then jumps back
    summary = of_fields(torch.stack([bump(5.0 + t % 5) for t in range(200)]))
    assert summary.temporal_hold_ms.item() == 15.0  # 3 bins: 4 bins later, only one field of five is still held
    assert summary.gain_change.item() < 0.01
    assert summary.complexity.item() > 2
    assert summary.shape_change.item() < 0.7 * summary.complexity.item()


def test_shapes_change():
    torch.manual_seed(0)
    shapes, _ = torch.linalg.qr(torch.randn(120, 3))
    fields = shapes.T[torch.arange(300) % 3].reshape(300, 6, 20)
    summary = of_fields(fields)
    assert summary.complexity.item() == pytest.approx(3, rel=1e-3)  # three orthogonal shapes, equally often
    assert summary.effective_rank.item() == pytest.approx(3, rel=1e-3)
    assert summary.shape_change.item() == pytest.approx(3, rel=1e-3)
    assert summary.gain_change.item() == pytest.approx(0, abs=1e-4)


def test_an_ln_model_has_one_direction_and_a_silent_one_none():
    torch.manual_seed(0)
    model = LinearNonlinear(n_frequency_bands=F, temporal_window_size=L, out_neurons=N)
    sound = torch.randn(F, 80)
    summary = dynamic_summary(dynamic_strf(model, sound, L, bins=range(L, 80), dt_ms=5.0))
    assert torch.allclose(summary.complexity, torch.ones(N), atol=1e-3)
    silent = of_fields(torch.zeros(30, 6, 20))
    assert silent.complexity.isnan().all()
    assert silent.temporal_hold_ms.isnan().all()
    assert silent.gain_change.isnan().all()
    once = of_fields(torch.cat([bump(5.0)[None], torch.zeros(29, 6, 20)]))  # active at one bin
    assert once.temporal_hold_ms.isnan().all()
    assert once.shape_change.item() == pytest.approx(1)


def test_to_xarray_has_axes_and_units():
    pytest.importorskip("xarray")
    torch.manual_seed(0)
    result = dynamic_strf(
        Rectified(), torch.randn(F, 20), L, dt_ms=5.0, frequencies_hz=range(500, 500 + F), bins=[4, 5]
    )
    dataset = result.to_xarray()
    assert dataset["fields"].dims == ("neuron", "time", "band", "lag")
    assert dataset["fields"].attrs["units"] == "response per unit of stimulus"
    assert dataset["lag_ms"].values.tolist() == [25.0, 20.0, 15.0, 10.0, 5.0, 0.0]
    assert dataset["time_ms"].values.tolist() == [20.0, 25.0]
    assert dataset["frequency_hz"].values[0] == 500
    assert dynamic_summary(result).to_xarray()["temporal_hold_ms"].attrs["units"] == "ms"


def test_without_xarray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(ImportError, match="pip install xarray"):
        dynamic_strf(Rectified(), torch.zeros(F, 5)).to_xarray()


def test_summary_of_several_stimuli_has_standard_errors_by_leaving_out_each():
    torch.manual_seed(0)
    model = StateNet(F, out_neurons=2, kernel_size=3).double()
    dynamics = [dynamic_strf(model, torch.randn(F, n).double(), n_lags=6, dt_ms=5.0) for n in (30, 40, 25, 20)]
    together = dynamic_summary(dynamics)
    assert together.gain.shape == (2, 115)
    assert torch.allclose(together.gain_change, together.gain.std(1) / together.gain.mean(1), rtol=1e-4)
    without = torch.stack([dynamic_summary(dynamics[:s] + dynamics[s + 1 :]).complexity for s in range(4)])
    expected = (3 / 4 * (without - without.mean(0)).square().sum(0)).sqrt()
    torch.testing.assert_close(together.standard_errors["complexity"], expected, rtol=1e-3, atol=1e-6)
    assert set(together.standard_errors) == {
        "gain_change", "temporal_hold_ms", "shape_change", "complexity", "effective_rank",
    }  # fmt: skip
    single = dynamic_summary(dynamics[:1])
    assert single.standard_errors is None
    assert torch.equal(single.complexity, dynamic_summary(dynamics[0]).complexity)
    with pytest.raises(ValueError, match="same neurons"):
        dynamic_summary([dynamics[0], dynamic_strf(model, torch.randn(F, 20).double(), n_lags=7, dt_ms=5.0)])
    with pytest.raises(TypeError, match="DynamicSTRF"):
        dynamic_summary([])
