"""Fields of networks are averaged over what was heard; all fields are in the units of the recording."""

import copy
from types import SimpleNamespace

import pytest
import torch
from rectifier import Rectifier
from torch import nn

from deepSTRF.analysis import receptive_fields, strf_correlation
from deepSTRF.analysis.gradients import _spread_bins, gradient_sums
from deepSTRF.models.audio import Linear, LinearNonlinear, NetworkReceptiveField, Ridge, StateNet

F, T, N = 6, 5, 3


class Passing(nn.Module):
    """Makes a model of one kernel one that isn't known as such."""

    out_channels = 1

    def forward(self, x):
        return x


def rectified():
    """A simulated cell with a known field behind a rectifier that is silent at silence."""
    torch.manual_seed(0)
    model = Linear(F, T, N, output_activation=Rectifier(), prefiltering=Passing())
    return model, model.eval().readout.effective_kernel()[0][:, 0]


@pytest.mark.parametrize("cls", [Linear, LinearNonlinear, Ridge, StateNet])
def test_responses_times_1000_give_fields_times_1000(cls):
    torch.manual_seed(0)
    model = cls(
        n_frequency_bands=F, out_neurons=N, **({"kernel_size": 3} if cls is StateNet else {"temporal_window_size": T})
    )
    sounds = list(torch.randn(2, 1, F, 80))
    model.set_response_scale(torch.tensor([0.5, 1.0, 2.0]))
    before = receptive_fields(model, 7, sounds)
    model.set_response_scale(1000 * model.response_scale)
    after = receptive_fields(model, 7, sounds)
    assert before.abs().amax((1, 2)).min() > 0
    torch.testing.assert_close(after, 1000 * before, rtol=1e-4, atol=1e-6)


def test_calibrated_linear_model_is_convolution_with_its_field():
    torch.manual_seed(0)
    model = Linear(F, T, N).eval()
    model.set_response_scale(torch.tensor([3.0, 1.0, 100.0]))
    sound = torch.randn(F, T)
    with torch.no_grad():
        change = (model(sound[None, None]) - model(torch.zeros(1, 1, F, T)))[0, :, 0, -1]
    torch.testing.assert_close((receptive_fields(model) * sound).sum((1, 2)), change, rtol=1e-4, atol=1e-4)


def test_average_over_sounds_finds_the_field_of_a_cell_that_silence_hides():
    model, true = rectified()
    sounds = [4 * torch.randn(1, F, n_bins) for n_bins in (200, 30, 77)]
    assert torch.equal(receptive_fields(model, T), torch.zeros(N, F, T))  # the gradient at silence
    assert (strf_correlation(true, receptive_fields(model, T, sounds)) > 0.999).all()


def test_average_is_that_of_gradients_bin_by_bin():
    torch.manual_seed(1)
    model = NetworkReceptiveField(F, 9, N).eval()  # its window is shorter than the context
    sound = torch.randn(1, F, 70)
    by_hand = torch.stack([receptive_fields(model, 9, stimulus=sound[..., :end]) for end in range(9, 71)]).mean(0)
    torch.testing.assert_close(receptive_fields(model, 9, [sound]), by_hand, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rnn_type", ["GRU", "LSTM", "LMU"])
def test_fields_by_way_of_the_features_are_those_by_one_pass_for_each_neuron(rnn_type):
    torch.manual_seed(2)
    sizes = {"kernel_size": 3, "stride": 3, "hidden_channels": 2}
    model = StateNet(F, out_neurons=9, rnn_type=rnn_type, **sizes).double().eval()  # 4 features
    sounds, heard = [torch.randn(1, 1, F, n_bins).double() for n_bins in (60, 9, 4)], torch.rand(3, 9) > 0.3
    total, _ = gradient_sums(model, sounds, heard, 5, [0, 1, 1])
    by_hand = torch.zeros_like(total)
    for s, end in _spread_bins([60, 9, 4], 5, 256):
        piece = sounds[s][..., max(0, end - 10) : end].clone().requires_grad_()
        for n in heard[s].nonzero().flatten().tolist():
            (gradient,) = torch.autograd.grad(model(piece)[0, n, 0, -1], piece)
            by_hand[min(s, 1), n, ..., -min(5, end) :] += gradient[0, ..., -5:]
    torch.testing.assert_close(total, by_hand, rtol=1e-8, atol=1e-12)


def test_each_neuron_is_averaged_over_what_it_heard():
    model, _ = rectified()
    loud, soft = 4 * torch.randn(1, F, 60), 0.01 * torch.randn(1, F, 60)
    masks = torch.tensor([[True, False, False], [True, True, False]])
    fields = receptive_fields(model, T, SimpleNamespace(stims=[loud, soft], nrn_masks=masks))
    assert fields[0].abs().max() > 0
    assert torch.equal(fields[1], torch.zeros(F, T))
    assert fields[2].isnan().all()


def test_lags_before_every_onset_are_zero_and_dont_dilute_the_others():
    model, true = rectified()
    model.readout.activation = nn.Identity()
    fields = receptive_fields(model, T, [torch.randn(1, F, 3), torch.randn(1, F, 2)])
    torch.testing.assert_close(fields[..., -3:], true[..., -3:])
    assert not fields[..., :-3].any()
    assert receptive_fields(model, stimuli=[torch.randn(1, F, 20)]).shape == (N, F, 20)


def test_bins_are_spread_over_all_stimuli_and_have_a_past():
    assert _spread_bins([3, 5], 2, 100) == [(0, 2), (0, 3), (1, 2), (1, 3), (1, 4), (1, 5)]
    bins = _spread_bins([1000, 3000], 20, 100)
    assert len(bins) == 100
    assert sum(s == 0 for s, _ in bins) in (24, 25)
    assert all(20 <= end <= (1000, 3000)[s] for s, end in bins)


def test_model_and_random_numbers_are_left_as_found():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + 0.0 * torch.randn(1)

    model = StateNet(n_frequency_bands=F, out_neurons=N, kernel_size=3)
    model.readout.activation = Noisy()
    model(torch.randn(2, 1, F, 20)).sum().backward()
    model.core.eval()
    model.readout.fc.bias.requires_grad_(False)
    trained = [p.requires_grad for p in model.parameters()]
    state, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    random, sounds = torch.get_rng_state(), [torch.ones(1, F, 40)]
    with torch.inference_mode():
        first = receptive_fields(model, stimuli=sounds)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(receptive_fields(model, stimuli=sounds), first)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert (p.grad is None) if grad is None else torch.equal(p.grad, grad)
    assert [p.requires_grad for p in model.parameters()] == trained
    assert not sounds[0].requires_grad


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stimuli": []}, ValueError, "empty"),
        ({"stimuli": 3}, TypeError, "list of tensors"),
        ({"stimuli": [torch.zeros(F + 1, 9)]}, ValueError, r"stimuli\[0\]"),
        ({"stimuli": [torch.zeros(F, 9)], "stimulus": torch.zeros(F, 9)}, ValueError, "not both"),
        (
            {"stimuli": SimpleNamespace(stims=[torch.zeros(F, 9)], nrn_masks=torch.ones(1, 7))},
            ValueError,
            "7 neurons and the model has 3",
        ),
    ],
)
def test_wrong_stimuli(arguments, error, message):
    with pytest.raises(error, match=message):
        receptive_fields(Linear(F, T, N), **arguments)
