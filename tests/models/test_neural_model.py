"""Slots, validation, recorded arguments, gradient maps."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from deepSTRF.models import NeuralModel
from deepSTRF.models.audio import AudioEncodingModel, Linear, LinearNonlinear, StateNet


class Bare(NeuralModel):
    def __init__(self):
        super().__init__(out_neurons=1)
        self.readout = nn.Identity()


def test_a_bare_model_has_identity_slots_and_no_parameters():
    model = Bare()
    assert [type(slot) for slot in (model.wav2spec, model.prefiltering, model.core)] == [nn.Identity] * 3
    assert model.count_trainable_params() == 0
    assert model.detach() is None
    x = torch.randn(2, 1, 1, 5)
    assert torch.equal(model(x), x)


def test_count_leaves_frozen_parameters_out():
    model = Linear()
    model.readout.bn.requires_grad_(False)
    assert model.count_trainable_params() == 307


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "3", None])
def test_the_number_of_neurons_is_checked_without_calling_validate(bad):
    error = ValueError if type(bad) is int else TypeError
    with pytest.raises(error, match=r"out_neurons \(O\) must be (a positive|an) integer"):
        Linear(out_neurons=bad)

    class Sized(NeuralModel):
        def __init__(self, n):
            super().__init__(out_neurons=n)
            self.readout = nn.Identity()

    with pytest.raises(error, match="integer"):
        Sized(bad)


@pytest.mark.parametrize("argument", ["output_activation", "kernel"])
@pytest.mark.parametrize("wrong", [nn.ReLU, "relu"])
def test_a_class_or_name_instead_of_a_module_is_an_error_at_once(argument, wrong):
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module \(an instance"):
        LinearNonlinear(**{argument: wrong})


def test_the_default_activation_does_not_hide_a_wrong_number_of_neurons():
    with pytest.raises(ValueError, match=r"out_neurons \(O\) must be a positive integer, got 0"):
        LinearNonlinear(out_neurons=0)


@pytest.mark.parametrize("cls", [Linear, LinearNonlinear, StateNet])
def test_models_train_under_autocast(cls):
    model = cls(8, 3, out_neurons=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(2, 1, 8, 30)).float().square().mean()
    loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


def test_a_model_without_readout_cannot_be_made():
    class NoReadout(NeuralModel):
        def __init__(self):
            super().__init__()

    with pytest.raises(ValueError, match="NoReadout has no readout"):
        NoReadout()


def test_slots_must_be_modules():
    class BadCore(Bare):
        def __init__(self):
            super().__init__()
            del self.core
            self.core = lambda x: x

    with pytest.raises(TypeError, match=r"core must be a torch.nn.Module, got a function"):
        BadCore()
    with pytest.raises(TypeError, match=r"prefiltering must be a torch.nn.Module or None, got str"):
        Linear(prefiltering="adaptrans")
    with pytest.raises(TypeError, match="out_channels"):
        Linear(prefiltering=nn.ReLU())
    with pytest.raises(ValueError, match=r"wav2spec.out_channels is 8, but n_frequency_bands is 34"):
        Linear(wav2spec=nn.Conv1d(1, 8, 3))


def test_validation_runs_once_after_the_outermost_init():
    calls = []

    class Counting(Linear):
        def validate(self):
            calls.append(hasattr(self, "readout"))
            super().validate()

    class Child(Counting):
        def __init__(self, extra=1):
            super().__init__(out_neurons=2)
            self.extra = extra

    Child()
    assert calls == [True]


def test_arguments_are_recorded_with_defaults():
    assert LinearNonlinear(12, out_neurons=np.int64(3))._init_kwargs == {
        "n_frequency_bands": 12,
        "temporal_window_size": 9,
        "out_neurons": 3,
        "output_activation": None,
        "prefiltering": None,
        "kernel": None,
        "wav2spec": None,
    }


def test_module_arguments_are_kept_apart():
    activation = nn.ReLU()
    model = Linear(output_activation=activation)
    assert "output_activation" not in model._init_kwargs
    assert model._init_modules == {"output_activation": activation}


def test_arguments_are_those_of_the_outermost_init():
    class Renamed(Linear):
        def __init__(self, cells, *, bands=12, **rest):
            super().__init__(bands, out_neurons=cells, **rest)

    class WithoutInit(Renamed):
        pass

    for cls in (Renamed, WithoutInit):
        assert cls(4, temporal_window_size=5)._init_kwargs == {"cells": 4, "bands": 12, "temporal_window_size": 5}


def test_copies_and_pickles_keep_the_arguments():
    model = Linear(output_activation=nn.ReLU(), out_neurons=2)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other._init_kwargs == model._init_kwargs
        assert other._init_modules["output_activation"] is other.readout.activation


def test_a_failed_construction_leaves_no_trace():
    with pytest.raises(ValueError, match="positive int"):
        Linear(temporal_window_size=0)
    assert Linear()._init_kwargs["temporal_window_size"] == 9


@pytest.mark.parametrize("shape", [(1, 34, 10), (1, 2, 34, 10), (1, 1, 33, 10), (1, 1, 34, 0), (34, 10)])
def test_wrong_spectrograms_are_named(shape):
    for cls in (Linear, StateNet):
        with pytest.raises(ValueError, match=r"expected spectrograms of shape \(B, 1, 34, T\)"):
            cls()(torch.zeros(shape))


# --- parameter counts and names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "one", "many"),
    [
        (Linear, 309, 36771),
        (LinearNonlinear, 311, 37009),
        (StateNet, 30467, 39081),
        (lambda **k: StateNet(rnn_type="LSTM", **k), 40407, 49021),
        (lambda **k: StateNet(rnn_type="RNN", **k), 10587, 19201),
        (lambda **k: StateNet(rnn_type="vanilla", **k), 10587, 19201),
        (lambda **k: StateNet(connectivity="FC", **k), 32357, None),
        (lambda **k: StateNet(connectivity="CONV", **k), 29963, None),
    ],
)
def test_parameter_counts(make, one, many):
    assert make().count_trainable_params() == one
    assert many is None or make(out_neurons=119).count_trainable_params() == many


def test_state_dict_names_of_published_checkpoints():
    recurrent = {f"rnn.{kind}_{gate}_l0" for kind in ("weight", "bias") for gate in ("ih", "hh")}
    encoder = {"encoder_layers.0.weights", "encoder_layers.0.biases"}
    norm = {"encoder_layers.1.ln.weight", "encoder_layers.1.ln.bias"}
    softplus = {"readout.activation._raw_beta", "readout.activation._raw_b"}
    fc = {"readout.fc.weight", "readout.fc.bias"}
    state = StateNet(out_neurons=5).state_dict()
    assert set(state) == recurrent | encoder | norm | softplus | fc
    assert state["encoder_layers.0.weights"].shape == (7, 7, 10)
    assert state["encoder_layers.0.biases"].shape == (7, 10)
    bn = {f"readout.bn.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    kernel = {"readout.strf.kernel.weight", "readout.strf.kernel.bias"}
    assert set(Linear().state_dict()) == kernel | bn
    assert set(LinearNonlinear().state_dict()) == kernel | bn | softplus


def test_unknown_parts_of_statenet_are_named():
    with pytest.raises(NotImplementedError, match="unknown rnn_type 'Elman'; available: GRU, LSTM, RNN"):
        StateNet(rnn_type="Elman")
    with pytest.raises(NotImplementedError, match="unknown connectivity 'SPARSE'; available: LC, FC, CONV"):
        StateNet(connectivity="SPARSE")
    with pytest.raises(ValueError, match="kernel_size=7 is more than the 5 bands"):
        StateNet(5)


def test_statenet_equals_a_loop_over_bins():
    model = StateNet(12, kernel_size=4, stride=2, hidden_channels=3, out_neurons=2).double().eval()
    x = torch.randn(1, 1, 12, 6, dtype=torch.float64)
    layer, norm, rnn = model.encoder_layers[0], model.encoder_layers[1].ln, model.rnn
    cell = nn.GRUCell(rnn.input_size, rnn.hidden_size).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in rnn.state_dict().items()})
    state, expected = torch.zeros(1, rnn.hidden_size, dtype=torch.float64), []
    for t in range(6):
        columns = []
        for position in range(5):
            bands = x[0, 0, 2 * position : 2 * position + 4, t]
            columns.append(norm(layer.weights[:, :, position] @ bands + layer.biases[:, position]).sigmoid())
        state = cell(torch.stack(columns, 1).flatten()[None], state)
        expected.append(model.readout.activation(model.readout.fc(state))[0])
    assert torch.allclose(model(x)[0, :, 0], torch.stack(expected, 1))


# --- gradient map ----------------------------------------------------------------------------------------------------


def test_gradmap_of_a_linear_model_is_minus_its_effective_kernel():
    model = Linear(8, 5, 3)
    model.readout.bn.weight.data = torch.tensor([1.0, -2.0, 0.5])
    model(torch.randn(4, 1, 8, 50))  # statistics other than 0 and 1
    kernel, _ = model.readout.effective_kernel()
    assert torch.allclose(model.STRF_gradmap(), -kernel, atol=1e-6)
    longer = model.STRF_gradmap(T=8)
    assert torch.allclose(longer[..., 3:], -kernel, atol=1e-6)
    assert not longer[..., :3].any()


@pytest.mark.parametrize("make", [Linear, LinearNonlinear, StateNet])
def test_gradmap_leaves_everything_as_found(make):
    model = make(12, out_neurons=3).train()
    model.readout.activation.eval()
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    model(torch.randn(2, 1, 12, 9)).sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    state = copy.deepcopy(model.state_dict())
    for context in (torch.enable_grad(), torch.no_grad(), torch.inference_mode()):
        with context:
            gradmap = model.STRF_gradmap(T=9)
        assert gradmap.shape == (3, 1, 12, 9)
        assert gradmap.any()
        assert not gradmap.requires_grad
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(torch.equal(a, b.grad) for a, b in zip(gradients, model.parameters(), strict=True))


def test_gradmap_restores_the_mode_after_an_error():
    class Fails(AudioEncodingModel):
        def __init__(self):
            super().__init__(4, 2)
            self.readout = nn.Conv2d(2, 1, 1)

    model = Fails().train()
    with pytest.raises(RuntimeError):
        model.STRF_gradmap()
    assert all(module.training for module in model.modules())
    with pytest.raises(ValueError, match="T must be a positive integer, got 0"):
        model.STRF_gradmap(T=0)


# --- the kernel ------------------------------------------------------------------------------------------------------


def test_strf_weight_and_polarity():
    class TwoChannels(nn.Module):
        out_channels = 2

        def forward(self, x):
            return torch.cat([x, -x], 1)

    model = Linear(8, 5, 3)
    assert torch.equal(model.STRF_weight("ON"), model.readout.strf.kernel.weight[:, 0])
    assert torch.equal(model.STRF_weight("OFF"), model.STRF_weight("ON"))  # there is one channel only
    with pytest.raises(ValueError, match="polarity must be one of 'ON', 'OFF'; got 'BOTH'"):
        model.STRF_weight("BOTH")
    model = Linear(8, 5, 3, prefiltering=TwoChannels())
    assert model.C_in == 2
    assert torch.equal(model.STRF_weight("OFF"), model.readout.strf.kernel.weight[:, 1])
    weight = model.STRF_weight()
    weight.zero_()  # a copy
    assert model.readout.strf.kernel.weight.any()
