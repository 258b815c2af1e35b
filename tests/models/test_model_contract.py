"""One file for the whole zoo: every registered model keeps the contract, and a broken one is caught."""

import copy
import re

import pytest
import torch
from model_zoo import PREFILTERED, ZOO, takes, tiny_recording
from torch import nn
from torch.nn import functional

from deepSTRF.models import NeuralModel
from deepSTRF.models.audio import AudioEncodingModel, Linear, StateNet
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.registry import get_model, get_recipe, model_cards
from deepSTRF.testing.errors import ContractError
from deepSTRF.testing.model import check_model


class OnOff(nn.Module):
    """A prefiltering with two channels."""

    out_channels = 2

    def forward(self, x):
        change = x - functional.pad(x, (1, -1))
        return torch.cat([change.relu(), (-change).relu()], 1)


class FrameMeans(nn.Module):
    """A front end: bands are the means of stretches of a bin of 160 samples."""

    out_channels = 8

    def forward(self, wave):
        return wave.unflatten(-1, (-1, 8, 20)).mean(-1).transpose(-1, -2)


@pytest.mark.parametrize("name", model_cards())
def test_every_recipe_builds_a_model_that_fits_the_recording(name):
    recording = tiny_recording(takes(name))
    recipe = get_recipe(name)
    window_ms = 50.0 if recipe.settings is None else recipe.settings.window_ms
    model = recipe.build(recording.subset([0, 1, 2, 3, 4]), recording.subset([5]), window_ms).eval()
    assert type(model) is get_model(name)
    assert model(recording.stims[0][None]).shape == (1, 3, 1, 160)


@pytest.mark.parametrize("out_neurons", [1, 5])
@pytest.mark.parametrize("name", sorted(ZOO))
def test_registered_models_keep_the_contract(name, out_neurons):
    check_model(lambda: ZOO[name].make(out_neurons), make_stimulus=ZOO[name].stimulus)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_registered_models_run_bin_by_bin(name):
    """check_model accepts a model that says it can't; none of ours does."""
    model = ZOO[name].make().eval()
    assert model.stream(batch_size=2).step(ZOO[name].stimulus(2, 1)).shape == (2, 3, 1, 1)


@pytest.mark.parametrize("name", PREFILTERED)
def test_models_keep_the_contract_behind_a_prefiltering(name):
    check_model(lambda: ZOO[name].make(prefiltering=OnOff()))


@pytest.mark.parametrize("cls", [Linear, StateNet])
def test_models_keep_the_contract_behind_a_front_end(cls):
    check_model(
        lambda: cls(n_frequency_bands=8, out_neurons=3, wav2spec=FrameMeans()),
        make_stimulus=lambda batch_size, n_bins: torch.randn(batch_size, 1, 160 * n_bins),
    )


@pytest.mark.parametrize("connectivity", ["LC", "FC", "CONV"])
@pytest.mark.parametrize("rnn_type", ["GRU", "LSTM", "RNN", "LMU", "Mamba", "S4", "S4D"])
def test_every_statenet_keeps_the_contract(connectivity, rnn_type):
    check_model(lambda: StateNet(12, connectivity=connectivity, rnn_type=rnn_type, out_neurons=3))


@pytest.mark.slow
@pytest.mark.parametrize("n_neurons", [1, 119])
@pytest.mark.parametrize("name", PREFILTERED)
def test_full_size_models_are_causal_to_the_bit(name, n_neurons):
    check_model(get_model(name)(out_neurons=n_neurons))


@pytest.mark.filterwarnings("ignore")  # what the compiler itself warns about is not ours
def test_a_compiled_model_trains_and_predicts_as_before():
    torch.manual_seed(0)
    model = ZOO["linear-nonlinear"].make()
    # All of the compiler that sees our code; the default backend then spends half a minute on kernels in C++.
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager")
    stims = ZOO["linear-nonlinear"].stimulus(2, 30)
    for each in (model, compiled):
        each(stims).square().mean().backward()
    for ours, theirs in zip(model.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(compiled.eval()(stims), model.eval()(stims), atol=1e-5, rtol=1e-4)


# --- broken models ---------------------------------------------------------------------------------------------------


class Sound(AudioEncodingModel):
    """A small model that keeps the contract; the broken ones change one thing."""

    def __init__(self, out_neurons: int = 3):
        super().__init__(n_frequency_bands=6, temporal_window_size=3, out_neurons=out_neurons)
        self.readout = LinearReadout(6, out_neurons)

    def _features(self, filtered):
        return filtered.squeeze(1)


class LooksAhead(Sound):
    def _features(self, filtered):
        return functional.pad(filtered.squeeze(1), (-1, 1))


class LetsGradientsLookAhead(Sound):
    """The values are causal; a straight-through estimator lets the future into the gradient."""

    def _features(self, filtered):
        ahead = functional.pad(filtered.squeeze(1), (-1, 1))
        return filtered.squeeze(1) + (ahead - ahead.detach())


class NormalisesOverTime(Sound):
    def _features(self, filtered):
        x = filtered.squeeze(1)
        return x - 1e-6 * x.mean(-1, keepdim=True)


class KnowsTheLength(Sound):
    def _features(self, filtered):
        return filtered.squeeze(1) + filtered.shape[-1]


class MixesTheBatch(Sound):
    def _features(self, filtered):
        return filtered.squeeze(1) + 0.1 * filtered.mean((0, 3), keepdim=True).squeeze(1)


class MixesTheBatchBinByBin(Sound):
    def _features(self, filtered):
        return filtered.squeeze(1) + 0.1 * filtered.mean(0)


class DrawsInEvalMode(Sound):
    def _features(self, filtered):
        return functional.dropout(filtered.squeeze(1), 0.5, training=True)


class ForgetsTheRepeatAxis(Sound):
    def forward(self, stims):
        return super().forward(stims).squeeze(2)


class ShortensTheOutput(Sound):
    def _features(self, filtered):
        return filtered.squeeze(1)[..., 1:] if filtered.shape[-1] > 1 else filtered.squeeze(1)


class FailsOnOneBin(Sound):
    def _features(self, filtered):
        x = filtered.squeeze(1)
        return x / (x.shape[-1] - 1)


class WritesIntoTheStimulus(Sound):
    def _features(self, filtered):
        return filtered.mul_(0.5).squeeze(1)


class HasADeadParameter(Sound):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.ones(2))


class HasAZeroGradient(Sound):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(6, 1))

    def _features(self, filtered):
        return filtered.squeeze(1) + 0 * self.gain


class ForgetsTheSeed(Sound):
    def __init__(self):
        super().__init__()
        nn.init.normal_(self.readout.fc.weight, generator=torch.Generator().manual_seed(torch.seed() % 2**31))


class HidesStateFromTheStateDict(Sound):
    def __init__(self):
        super().__init__()
        self.register_buffer("gain", torch.ones(1), persistent=False)

    def _features(self, filtered):
        return filtered.squeeze(1) * self.gain


class CountsCalls(Sound):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def _features(self, filtered):
        self.calls += 1
        return filtered.squeeze(1)


class ComputesInSinglePrecision(Sound):
    def forward(self, stims):
        return super().forward(stims).float()


class NamesSharedTensorsAsPerNeuron(Sound):
    def __init__(self):
        super().__init__(out_neurons=6)
        self.readout = LinearReadout(6, 6)
        self.readout.per_neuron_tensors = lambda: {"fc.weight": 1, "fc.bias": 0}


class NamesUnknownTensors(Sound):
    def __init__(self):
        super().__init__()
        self.readout.per_neuron_tensors = lambda: {"weight": 0}


class PullsMissingNeuronsTowardsTheOthers(Sound):
    def forward(self, stims):
        out = super().forward(stims)
        return out + 0.1 * out.mean(1, keepdim=True) if self.training else out


class LeavesGradients(Sound):
    def STRF_gradmap(self, T=None):
        self.readout.fc.weight.grad = torch.zeros_like(self.readout.fc.weight)
        return super().STRF_gradmap(T)


class SwitchesToEval(Sound):
    def STRF_gradmap(self, T=None):
        self.eval()
        return super().STRF_gradmap(T)


class SavesSomethingElse(Sound):
    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        model = super().from_pretrained(*args, **kwargs)
        with torch.no_grad():
            model.readout.fc.bias.add_(1)
        return model


class NeedsItsFirstGraph(Sound):
    def __init__(self):
        super().__init__()
        self.previous = None

    def _features(self, filtered):
        return filtered.squeeze(1)

    def forward(self, stims):
        out = super().forward(stims)
        if not self.training:
            return out
        carried = 0 if self.previous is None or self.previous.shape != out.shape else self.previous
        self.previous = out
        return out + carried

    def __deepcopy__(self, memo):
        copied = type(self)()
        copied.load_state_dict(self.state_dict())
        return copied.train(self.training)


def test_the_sound_model_passes():
    check_model(Sound)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (LooksAhead, "not causal"),
        (LetsGradientsLookAhead, "gradient with respect to later bins"),
        (NormalisesOverTime, "not causal"),
        (KnowsTheLength, "how long the stimulus is"),
        (MixesTheBatch, "causal"),
        (MixesTheBatchBinByBin, "others in the batch"),
        (DrawsInEvalMode, "same prediction"),
        (ForgetsTheRepeatAxis, "(B, N, 1, T)"),
        (ShortensTheOutput, "(B, N, 1, T)"),
        (FailsOnOneBin, "not finite"),
        (WritesIntoTheStimulus, "must not change the stimuli"),
        (HasADeadParameter, "no gradient reaches the parameter unused"),
        (HasAZeroGradient, "the gradient of gain is zero everywhere"),
        (ForgetsTheSeed, "same seed"),
        (HidesStateFromTheStateDict, "state_dict must carry everything"),
        (CountsCalls, "must not change the model"),
        (ComputesInSinglePrecision, "float64"),
        (NamesSharedTensorsAsPerNeuron, "change other neurons"),
        (NamesUnknownTensors, "not in the readout's state_dict"),
        (PullsMissingNeuronsTowardsTheOthers, "without data must not train"),
        (LeavesGradients, "no gradients on the parameters"),
        (SwitchesToEval, "leave the mode as found"),
        (SavesSomethingElse, "a reloaded model must predict the same"),
        (NeedsItsFirstGraph, "detach"),
    ],
)
def test_broken_models_are_caught(broken, message):
    with pytest.raises(ContractError, match=re.escape(message)):
        check_model(broken)


def test_other_things_are_no_models():
    with pytest.raises(ContractError, match="expected a NeuralModel"):
        check_model(nn.Linear(2, 2))
    with pytest.raises(ContractError, match="expected a NeuralModel"):
        check_model(lambda: nn.Linear(2, 2))


def test_an_error_of_the_model_is_named():
    class Crashes(Sound):
        def forward(self, stims):
            raise RuntimeError("out of order")

    with pytest.raises(ContractError, match="Crashes fails on stimuli of 20 bins: RuntimeError: out of order"):
        check_model(Crashes)


def test_a_model_without_bands_needs_its_stimuli():
    class Pixels(NeuralModel):
        def __init__(self):
            super().__init__(out_neurons=2)
            self.core = nn.Flatten(1, 3)
            self.readout = LinearReadout(12, 2)

    with pytest.raises(ContractError, match="make_stimulus"):
        check_model(Pixels)
    check_model(Pixels, make_stimulus=lambda batch_size, n_bins: torch.randn(batch_size, 1, 3, 4, n_bins))


def test_the_model_and_the_random_state_are_left_alone():
    model = Linear(n_frequency_bands=6, out_neurons=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    check_model(model)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(random_state, torch.get_rng_state())
