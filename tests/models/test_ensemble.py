"""An ensemble computes what its members do, and is a model as any other."""

import copy

import pytest
import torch
from model_zoo import ZOO
from torch import nn

from deepSTRF.analysis import receptive_fields
from deepSTRF.models import Ensemble, NeuralModel
from deepSTRF.models.audio import AudioEncodingModel, Linear, LinearNonlinear, StateNet
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.saving.export import export_step
from deepSTRF.models.video import GaussianReadout
from deepSTRF.testing.model import check_model

CORES = ["GRU", "LSTM", "RNN", "LMU", "Mamba", "S4", "S4D"]
TRAINED = sorted(set(ZOO) - {"ridge"})


def statenet(rnn_type: str = "GRU", out_neurons: int = 3, **options) -> StateNet:
    return StateNet(12, rnn_type=rnn_type, out_neurons=out_neurons, **options)


def check_members(ensemble: Ensemble, members: list[NeuralModel], stims: torch.Tensor) -> None:
    """Check predictions, gradients and running statistics of an ensemble against models by themselves."""
    expected = torch.stack([member(stims) for member in members])
    each = ensemble.each(stims)
    torch.testing.assert_close(each, expected, atol=1e-5, rtol=1e-4)
    weights = torch.randn_like(expected)
    (each * weights).sum().backward()
    (expected * weights).sum().backward()
    stacked = dict(ensemble.stacked.named_parameters())
    for name, parameter in stacked.items():
        alone = [dict(member.named_parameters())[name].grad for member in members]
        if alone[0] is None:
            assert parameter.grad is None
            continue
        alone = torch.stack(alone)
        torch.testing.assert_close(parameter.grad, alone, atol=1e-4 * float(1 + alone.abs().max()), rtol=1e-3, msg=name)
    for name, buffer in ensemble.stacked.named_buffers():
        alone = torch.stack([dict(member.named_buffers())[name] for member in members])
        torch.testing.assert_close(buffer, alone, msg=name)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("name", TRAINED)
def test_every_model_of_the_zoo_is_computed_with_others_as_by_itself(name, mode):
    torch.manual_seed(0)
    models = [ZOO[name].make() for _ in range(3)]
    for model in models:
        for part in model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
            if isinstance(getattr(part, "dropout", None), float):
                part.dropout = 0.0
    ensemble = Ensemble.of(models).train(mode)
    for model in (ensemble.stacked, *models):
        model.train(mode)
        if isinstance(model.readout, GaussianReadout):  # which draws where it looks in train mode
            model.readout.eval()
    check_members(ensemble, models, ZOO[name].stimulus(2, 30))


@pytest.mark.parametrize("rnn_type", CORES)
def test_every_recurrent_core_is_computed_with_others_as_by_itself(rnn_type):
    torch.manual_seed(0)
    models = [statenet(rnn_type) for _ in range(3)]
    ensemble = Ensemble.of(models)
    stims = torch.randn(2, 1, 12, 30)
    check_members(ensemble, models, stims)
    with torch.no_grad():  # where torch's own kernels run for a model by itself
        torch.testing.assert_close(ensemble.eval()(stims), torch.stack([m.eval()(stims) for m in models]).mean(0))


@pytest.mark.parametrize("rnn_type", CORES)
def test_an_ensemble_runs_bin_by_bin_and_chunk_by_chunk(rnn_type):
    ensemble = Ensemble(statenet(rnn_type), members=3).eval()
    stims = torch.randn(2, 1, 12, 20)
    whole = ensemble(stims)
    stream = ensemble.stream(batch_size=2)
    bins = torch.cat([stream.step(frame) for frame in stims.split([1, 1, 7, 1, 10], -1)], -1)
    torch.testing.assert_close(bins, whole, atol=1e-5, rtol=1e-4)
    chunks = []
    for i, chunk in enumerate(stims.split(7, -1)):
        chunks.append(ensemble.forward_chunk(chunk, onset=i == 0))
        ensemble.detach()
    torch.testing.assert_close(torch.cat(chunks, -1), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rnn_type", CORES)
def test_an_ensemble_is_exported(rnn_type):
    ensemble = Ensemble(statenet(rnn_type), members=2).eval()
    program = export_step(ensemble)  # which compares them
    assert program.example_inputs[0][0].shape == (1, 1, 12, 1)


@pytest.mark.parametrize("name", ["statenet", "linear-nonlinear", "convnet3d"])
def test_an_ensemble_keeps_the_contract_of_models(name):
    check_model(lambda: Ensemble(ZOO[name].make(5), members=2), make_stimulus=ZOO[name].stimulus)


def test_members_start_apart_from_the_seed():
    ensembles = []
    for _ in range(2):
        torch.manual_seed(3)
        first = statenet()
        ensembles.append(Ensemble(first, members=3))
        torch.testing.assert_close(ensembles[-1][0].state_dict(), first.state_dict())
    once, again = (ensemble.stacked.rnn.weight_hh_l0 for ensemble in ensembles)
    assert torch.equal(once, again)
    assert not torch.equal(once[0], once[1])
    assert not torch.equal(once[1], once[2])


def test_members_draw_their_own_dropout():
    models = [statenet(dropout=0.5)] * 2
    one, other = Ensemble.of(models).train().each(torch.randn(1, 1, 12, 10))
    assert not torch.equal(one, other)


def test_the_prediction_is_the_mean_and_the_spread_that_of_the_members():
    ensemble = Ensemble(statenet(), members=4).eval()
    stims = torch.randn(2, 1, 12, 10)
    torch.testing.assert_close(ensemble(stims), sum(ensemble[i](stims) for i in range(4)) / 4)
    with ensemble.members_apart():
        assert torch.equal(ensemble(stims), ensemble.each(stims))


@pytest.mark.parametrize("rnn_type", CORES)
def test_a_member_is_a_model_by_itself_with_the_weights_of_the_ensemble(rnn_type):
    ensemble = Ensemble(statenet(rnn_type), members=3).eval()
    stims = torch.randn(1, 1, 12, 10)
    member = ensemble[-1]
    assert type(member) is StateNet
    assert member.readout.per_neuron_tensors() == statenet(rnn_type).readout.per_neuron_tensors()
    with torch.no_grad():
        member.readout.fc.bias += 1.0
        torch.testing.assert_close(ensemble.each(stims)[2], member(stims))
    again = copy.deepcopy(ensemble)
    assert torch.equal(again(stims), ensemble(stims))
    assert len(ensemble) == 3
    with pytest.raises(IndexError, match="there is no member 3: the ensemble has 3"):
        ensemble[3]


def test_a_saved_ensemble_reloads_as_it_was(tmp_path):
    ensemble = Ensemble(LinearNonlinear(12, 5, out_neurons=3), members=3).double().eval()
    ensemble.set_response_scale(torch.tensor([1.0, 2.0, 3.0]))
    again = NeuralModel.from_pretrained(ensemble.save_pretrained(tmp_path))
    stims = torch.randn(2, 1, 12, 10, dtype=torch.float64)
    assert type(again) is Ensemble
    assert torch.equal(again(stims), ensemble(stims))
    of_trained = Ensemble.of([ensemble[i] for i in (2, 0)]).eval()
    pair = NeuralModel.from_pretrained(of_trained.save_pretrained(tmp_path))
    torch.testing.assert_close(pair(stims), ensemble.each(stims)[[2, 0]].mean(0))


def test_calibration_gives_every_member_the_mean_response():
    stims, responses = torch.randn(4, 1, 12, 200), torch.poisson(torch.full((4, 3, 2, 200), 0.05))
    ensemble = Ensemble(statenet(), members=3)
    ensemble.calibrate([{"stims": stims, "responses": responses}])
    mean = responses.mean((0, 2, 3))
    for prediction in ensemble.each(stims):
        torch.testing.assert_close(prediction.mean((0, 2, 3)), mean, rtol=0.15, atol=0.0)
    assert ensemble.response_scale.shape == (3,)


def test_parts_of_all_members_freeze():
    ensemble = Ensemble(statenet(), members=3)
    ensemble.freeze()
    assert ensemble.count_trainable_params() == 3 * ensemble[0].readout.fc.weight.numel() + 3 * 3 * 3
    assert not ensemble.train().stacked.encoder_layers.training
    ensemble.unfreeze()
    assert ensemble.count_trainable_params() == 3 * statenet().count_trainable_params()


def test_per_neuron_tensors_are_named_with_their_axis():
    ensemble = Ensemble(Linear(12, 5, out_neurons=3), members=2)
    tensors = ensemble.readout.state_dict()
    assert ensemble.readout.per_neuron_tensors()
    assert {tensors[name].shape[axis] for name, axis in ensemble.readout.per_neuron_tensors().items()} == {3}


@pytest.mark.parametrize("make", [statenet, lambda: Linear(12, 5, out_neurons=3)])
def test_the_receptive_fields_are_the_mean_of_those_of_the_members(make):
    ensemble = Ensemble(make(), members=3).eval()
    sounds = [torch.randn(12, 60)]
    for fields in (
        receptive_fields,
        lambda model: receptive_fields(model, 20, sounds),
        lambda model: model.STRF_gradmap(),
    ):
        expected = torch.stack([fields(member) for member in (ensemble[0], ensemble[1], ensemble[2])]).mean(0)
        torch.testing.assert_close(fields(ensemble)[..., -5:], expected[..., -5:], atol=1e-5, rtol=1e-3)


class Foreign(AudioEncodingModel):
    """A model of the user's own, with a recurrent layer of torch."""

    def __init__(self, out_neurons: int = 3, names: object = None):
        super().__init__(12, 1, out_neurons)
        self.core = nn.GRU(12, 4, batch_first=True)
        self.readout = LinearReadout(4, out_neurons)

    def _features(self, filtered):
        return self.core(filtered.squeeze(1).transpose(1, 2))[0].transpose(1, 2)


def test_recurrent_layers_of_torch_are_computed_member_by_member():
    torch.manual_seed(0)
    models = [Foreign() for _ in range(3)]
    check_members(Ensemble.of(models), models, torch.randn(2, 1, 12, 30))
    stims = torch.randn(2, 1, 12, 30)
    assert torch.equal(Ensemble.of(models)[1](stims), models[1](stims))


def test_what_cannot_be_an_ensemble():
    with pytest.raises(TypeError, match="model must be a NeuralModel, got"):
        Ensemble(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="members must be a positive integer, got 0"):
        Ensemble(statenet(), members=0)
    with pytest.raises(ValueError, match=r"its argument names \(object\) cannot be written"):
        Ensemble(Foreign(names=object()))
    with pytest.raises(ValueError, match=r"models\[1\] has another structure"):
        Ensemble.of([statenet(), statenet("LSTM")])
    with pytest.raises(ValueError, match="models is empty"):
        Ensemble.of([])
