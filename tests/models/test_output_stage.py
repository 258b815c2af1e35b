"""Units do not matter: what calibrate() sets, and what carries it."""

import copy

import pytest
import torch
from torch import nn

from deepSTRF.models import NeuralModel
from deepSTRF.models.activations import ParametricDoubleExponential, ParametricSigmoid, ParametricSoftplus
from deepSTRF.models.audio import DNet, Linear, LinearNonlinear, NetworkReceptiveField, StateNet
from deepSTRF.models.output_stage import ResponseStatistics, explains_nothing
from deepSTRF.models.video import ConvGRUNet, VideoLinearNonlinear

N = 3


def make_batches(scale=1.0, rate=0.1, seed=0, missing=False):
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for n_bins in (150, 90):
        stims = torch.randn(2, 1, 8, n_bins, generator=generator)
        rates = rate * torch.exp(stims[:, :, :N].roll(2, -1)).transpose(1, 2)  # (B, N, 1, T)
        responses = torch.poisson(rates.expand(-1, -1, 4, -1), generator=generator)
        if missing:
            responses[0, 1] = torch.nan
            responses[1, :, 2, 30:60] = torch.nan
        batches.append({"stims": stims, "responses": scale * responses})
    return batches


def mean_response(batches):
    psths = torch.cat([batch["responses"].nanmean(2).transpose(0, 1).flatten(1) for batch in batches], 1)
    return psths.nanmean(1)


MODELS = {
    "linear-nonlinear": lambda: LinearNonlinear(8, 5, N),
    "linear": lambda: Linear(8, 5, N),
    "nrf": lambda: NetworkReceptiveField(8, 5, n_hidden=4, out_neurons=N),
    "dnet": lambda: DNet(8, 5, n_hidden=4, out_neurons=N),
    "statenet": lambda: StateNet(8, kernel_size=4, stride=2, hidden_channels=2, out_neurons=N),
    "sigmoid": lambda: StateNet(8, 1, 4, 2, 2, out_neurons=N, output_activation=ParametricSigmoid(N)),
    "double exponential": lambda: NetworkReceptiveField(8, 5, 4, N, ParametricDoubleExponential(N)),
    "shared activation": lambda: NetworkReceptiveField(8, 5, 4, N, output_activation=ParametricSoftplus(1)),
}


@pytest.mark.parametrize("rate", [0.002, 0.1, 5.0])
@pytest.mark.parametrize("name", MODELS)
def test_the_first_prediction_is_the_mean_response(name, rate):
    torch.manual_seed(0)
    model, batches = MODELS[name](), make_batches(rate=rate)
    model.calibrate(batches)
    model.train()  # where training begins
    with torch.no_grad():
        predicted = torch.cat([model(batch["stims"])[:, :, 0].transpose(0, 1).flatten(1) for batch in batches], 1)
    torch.testing.assert_close(predicted.mean(1), mean_response(batches), rtol=0.05, atol=0)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("factor", [2.0**-10, 2.0**20])
def test_other_units_give_the_same_model(name, factor):
    """Bit for bit, for factors that floating point numbers hold exactly."""
    predictions = []
    for scale in (1.0, factor):
        torch.manual_seed(0)
        model = MODELS[name]()
        model.calibrate(make_batches(scale))
        predictions.append(model.eval()(make_batches()[0]["stims"]) / scale)
    assert torch.equal(*predictions)


def test_calibrating_leaves_no_trace_but_the_output_stage():
    torch.manual_seed(0)
    model = LinearNonlinear(8, 5, N)
    model.readout.bn.eval()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    model.calibrate(make_batches())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not model.readout.bn.training
    changed = {
        name for name, value in model.state_dict().items() if name not in before or not value.equal(before[name])
    }
    assert changed == {"response_scale", "readout.bn.weight", "readout.bn.bias", "readout.activation._raw_b"}


def test_missing_data_and_silent_neurons():
    batches = make_batches(missing=True)
    for batch in batches:
        batch["responses"][:, 2] = 0.0
    statistics = ResponseStatistics(batches)
    psth = torch.cat([batch["responses"].nanmean(2).transpose(0, 1).flatten(1) for batch in batches], 1)
    torch.testing.assert_close(statistics.mean, psth.double().nanmean(1))
    known = psth[1][psth[1].isfinite()].double()
    torch.testing.assert_close(statistics.deviation[1], known.std(correction=0))
    scale = statistics.scale()
    assert (scale > 0).all()
    assert scale[2] == scale[:2].min() or scale[2] == scale[:2].max()  # that of another neuron
    model = MODELS["statenet"]()
    model.calibrate(batches)
    assert model(batches[0]["stims"]).isfinite().all()


def test_the_scale_is_saved_streamed_and_in_gradients(tmp_path):
    torch.manual_seed(0)
    model, stims = MODELS["statenet"](), make_batches()[0]["stims"][:1]
    plain = copy.deepcopy(model).eval()
    model.eval().set_response_scale([0.5, 2.0, 10.0])
    factors = torch.tensor([0.5, 2.0, 10.0])[:, None, None]
    torch.testing.assert_close(model(stims), plain(stims) * factors)
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))
    assert torch.equal(again(stims), model(stims))
    stream = model.stream()
    streamed = torch.cat([stream.step(stims[..., t : t + 1]) for t in range(20)], -1)
    torch.testing.assert_close(streamed, model(stims)[..., :20])
    torch.testing.assert_close(model.STRF_gradmap(), plain.STRF_gradmap() * factors[..., None])
    fresh = MODELS["statenet"]()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval()(stims), model(stims))
    fresh.load_state_dict(plain.state_dict())  # without a scale, which is 1
    assert fresh.response_scale is None
    assert torch.equal(fresh(stims), plain(stims))
    assert model.count_trainable_params() == plain.count_trainable_params()


def test_negative_responses_need_an_output_that_can_be_negative():
    batches = make_batches()
    for batch in batches:
        batch["responses"][:, 1] -= 1.0
    with pytest.warns(UserWarning, match=r"1 neuron \(1\) are negative .* ParametricSoftplus"):
        MODELS["statenet"]().calibrate(batches)
    MODELS["linear"]().calibrate(batches)  # its output can be negative: no warning


def test_a_model_that_has_learnt_is_recognised():
    batches = make_batches(rate=1.0)
    model = MODELS["linear"]()
    assert explains_nothing(model, batches)
    model.calibrate(batches)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        for batch in batches:
            optimizer.zero_grad()
            scale = model.response_scale[:, None, None]
            loss = (model(batch["stims"]) / scale - batch["responses"].mean(2, keepdim=True) / scale).square().mean()
            loss.backward()
            optimizer.step()
    assert not explains_nothing(model, batches)


def test_models_of_movies_and_foreign_readouts():
    movies = [{"stims": torch.randn(2, 1, 6, 6, 40), "responses": torch.poisson(torch.full((2, N, 3, 40), 0.2))}]
    for model in (VideoLinearNonlinear((6, 6), 5, N, rank=1), ConvGRUNet((6, 6), 5, N)):
        model.calibrate(movies)
        model.train()
        torch.testing.assert_close(model(movies[0]["stims"]).mean((0, 2, 3)), mean_response(movies), rtol=0.2, atol=0)

    class Own(NeuralModel):
        def __init__(self):
            super().__init__(N)
            self.readout = nn.Sequential(nn.Flatten(1, 2), nn.Conv1d(8, N, 1), nn.Unflatten(1, (N, 1)))

    own, batches = Own(), make_batches()
    own.calibrate(batches)
    assert own.response_scale.shape == (N,)
    with pytest.raises(ValueError, match="one positive, finite scale for each of 3"):
        own.set_response_scale(torch.ones(2))
    with pytest.raises(ValueError, match="no batch"):
        own.calibrate([])
