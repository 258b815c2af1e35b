"""Models bin by bin: pieces of a stimulus give the prediction for the whole, and the state does not grow."""

import copy

import pytest
import torch
from torch import nn

from deepSTRF.models import NeuralModel
from deepSTRF.models.audio import AudioEncodingModel, Linear, LinearNonlinear, StateNet
from deepSTRF.models.bin_by_bin import NotStreamableError, map_state, step, with_past
from deepSTRF.models.layers import CausalSTRFConv
from deepSTRF.models.readouts import LinearReadout

MODELS = {
    "linear": lambda: Linear(6, 5, out_neurons=3),
    "ln": lambda: LinearNonlinear(6, 1, out_neurons=3),
    "gru": lambda: StateNet(12, out_neurons=3),
    "lstm": lambda: StateNet(12, out_neurons=3, rnn_type="LSTM"),
    "rnn": lambda: StateNet(12, out_neurons=3, rnn_type="RNN"),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


@pytest.mark.parametrize("lengths", [[1] * 23, [20, 1, 2], [23], [1, 22]])
def test_pieces_give_the_prediction_for_the_whole(model, lengths):
    stims = torch.randn(2, 1, model.F, 23)
    stream = model.stream(batch_size=2)
    predictions = [stream.step(piece) for piece in stims.split(lengths, -1)]
    torch.testing.assert_close(torch.cat(predictions, -1), model(stims), atol=1e-5, rtol=0)


def test_a_stream_can_be_reset_saved_and_gone_back_to(model):
    stims = torch.randn(1, 1, model.F, 12)
    stream = model.stream()
    first = stream.step(stims[..., :6])
    saved = copy.deepcopy(stream.state)
    second = stream.step(stims[..., 6:])
    stream.state = saved
    assert torch.equal(stream.step(stims[..., 6:]), second)
    stream.reset()
    assert torch.equal(stream.step(stims[..., :6]), first)


def test_a_stream_keeps_its_state_out_of_the_graph_and_small(model):
    stream = model.stream()
    stream.step(torch.randn(1, 1, model.F, 500, requires_grad=True))
    storages = []
    map_state(lambda tensor: storages.append(tensor.untyped_storage().nbytes()) or tensor, stream.state)
    assert sum(storages) <= 4 * 200  # five bins of six bands, or a few dozen units; not 500 bins
    map_state(lambda tensor: pytest.fail("in the graph") if tensor.requires_grad else tensor, stream.state)


def test_streams_of_one_model_do_not_meet(model):
    one, other = torch.randn(2, 1, 1, model.F, 10).unbind(0)
    streams = model.stream(), model.stream()
    for t in range(10):
        got = [s.step(x[..., t : t + 1]) for s, x in zip(streams, (one, other), strict=True)]
    for prediction, x in zip(got, (one, other), strict=True):
        torch.testing.assert_close(prediction, model(x)[..., -1:], atol=1e-5, rtol=0)


def test_a_stream_computes_in_eval_mode():
    model = Linear(6, 5, out_neurons=3).train()
    stream = model.stream()
    assert not model.training
    model.train()
    with pytest.raises(RuntimeError, match=r"model\.eval\(\)"):
        stream.step(torch.zeros(1, 1, 6, 1))


def test_a_batch_of_another_size_raises_an_error():
    with pytest.raises(ValueError, match=r"2 stimuli side by side, got .*\(3, 1, 6, 1\).*batch_size="):
        Linear(6, 5).stream(batch_size=2).step(torch.zeros(3, 1, 6, 1))
    with pytest.raises(ValueError, match="first axis is the batch"):
        Linear(6, 5).stream().step(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"torch\.as_tensor"):
        Linear(6, 5).stream().step([[0.0]])
    with pytest.raises(ValueError, match="batch_size"):
        Linear(6, 5).stream(batch_size=0)


@pytest.mark.parametrize("shape", [(1, 1, 7, 1), (1, 1, 6), (1, 1, 6, 0), (1, 2, 6, 1)])
def test_frames_of_another_shape_raise_an_error(shape):
    with pytest.raises(ValueError, match=r"\(B, 1, 6, T\)"):
        Linear(6, 5).stream().step(torch.zeros(shape))


# --- parts that cannot run bin by bin ---------------------------------------------------------------------------------


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


class Known(Doubled):
    memoryless = True


class Loudness(AudioEncodingModel):
    def __init__(self, core):
        super().__init__(6, 3, 2)
        self.core = nn.Sequential(core, nn.Flatten(1, 2))
        self.readout = LinearReadout(6, 2)


def test_an_unknown_part_is_named_and_what_it_needs():
    with pytest.raises(NotStreamableError, match=r"Doubled .*memoryless = True"):
        step(nn.Sequential(nn.ReLU(), Doubled()), torch.zeros(1, 1, 1, 1))
    assert step(nn.Sequential(nn.ReLU(), Known()), torch.ones(1))[0] == 2


@pytest.mark.parametrize("layer", [nn.Linear(4, 4), nn.LayerNorm(4), nn.Softmax(-1), nn.Conv1d(1, 1, 3)])
def test_layers_of_torch_that_mix_bins_raise_an_error(layer):
    with pytest.raises(NotStreamableError, match=type(layer).__name__):
        step(layer, torch.zeros(1, 1, 4))


def test_a_subclass_that_computes_something_else_raises_an_error():
    class Twice(Linear):
        def _features(self, filtered):
            return 2 * filtered

    class Squeezed(Linear):
        def forward(self, stims):
            return super().forward(stims).squeeze(2)

    class Plain(NeuralModel):
        def __init__(self):
            super().__init__(2)
            self.readout = nn.Identity()

        def forward(self, stims):
            return stims + 1

    for model, frame in (
        (Twice(6, 3), torch.zeros(1, 1, 6, 1)),
        (Squeezed(6, 3), torch.zeros(1, 1, 6, 1)),
        (Plain(), torch.zeros(1, 2, 1, 1)),
    ):
        with pytest.raises(NotStreamableError, match=type(model).__name__):
            model.stream().step(frame)


def test_past_bins_are_kept_and_only_as_many_as_needed():
    x = torch.arange(1.0, 8.0)
    longer, past = with_past(x[:3], None, 2)
    assert longer.tolist() == [0, 0, 1, 2, 3]
    longer, past = with_past(x[3:4], past, 2)
    assert longer.tolist() == [2, 3, 4]
    assert past.tolist() == [3, 4]
    longer, past = with_past(x, None, 0)
    assert longer.tolist() == x.tolist()
    assert past.numel() == 0


# --- training on chunks ----------------------------------------------------------------------------------------------


def test_chunks_have_the_gradient_of_a_truncated_recording():
    """Within a chunk the gradient is exact; the chunks before it count as data."""
    torch.manual_seed(0)
    model = StateNet(12, out_neurons=3).double()
    stims = torch.randn(2, 1, 12, 20, dtype=torch.float64)
    weights = torch.randn(2, 3, 1, 10, dtype=torch.float64)
    model.forward_chunk(stims[..., :10], onset=True)
    model.detach()
    (model.forward_chunk(stims[..., 10:], onset=False) * weights).sum().backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    model.zero_grad()
    _, state = model.step(stims[..., :10])
    (model.step(stims[..., 10:], map_state(torch.Tensor.detach, state))[0] * weights).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad)

    model.zero_grad()
    (model(stims)[..., 10:] * weights).sum().backward()  # not truncated: through the first chunk too
    assert not torch.allclose(ours["rnn.weight_hh_l0"], dict(model.named_parameters())["rnn.weight_hh_l0"].grad)


def test_an_onset_forgets_and_detach_without_a_state_does_nothing():
    model = Linear(6, 5, out_neurons=3).eval()
    model.detach()
    stims = torch.randn(1, 1, 6, 8)
    first = model.forward_chunk(stims, onset=True)
    assert not torch.equal(model.forward_chunk(stims, onset=False), first)
    assert torch.equal(model.forward_chunk(stims, onset=True), first)
    assert torch.equal(model(stims), first)  # and forward() carries nothing


@pytest.mark.parametrize("rnn_type", ["GRU", "S4"])  # whose state of one stimulus would broadcast
def test_a_chunk_goes_on_where_one_of_as_many_stimuli_ended(rnn_type):
    model = StateNet(12, out_neurons=3, rnn_type=rnn_type)
    with pytest.raises(ValueError, match="no chunk before this one"):
        model.forward_chunk(torch.randn(1, 1, 12, 5), onset=False)
    model.forward_chunk(torch.randn(1, 1, 12, 5), onset=True)
    with pytest.raises(ValueError, match="before was a batch of 1, this one is of 3"):
        model.forward_chunk(torch.randn(3, 1, 12, 5), onset=False)
    assert model.forward_chunk(torch.randn(3, 1, 12, 5), onset=True).shape == (3, 3, 1, 5)
    assert model.forward_chunk(torch.randn(3, 1, 12, 2), onset=False).shape == (3, 3, 1, 2)


def test_a_recording_trains_in_memory_that_does_not_grow_with_it():
    """The graph of a chunk is gone when the next one begins."""
    model = StateNet(12, out_neurons=3)
    model.forward_chunk(torch.randn(1, 1, 12, 5), onset=True).sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        model.forward_chunk(torch.randn(1, 1, 12, 5), onset=False).sum().backward()
    model.forward_chunk(torch.randn(1, 1, 12, 5), onset=True)
    model.detach()
    model.forward_chunk(torch.randn(1, 1, 12, 5), onset=False).sum().backward()


@pytest.mark.parametrize("rnn_type", ["GRU", "RNN", "LSTM"])
def test_what_is_carried_to_the_next_chunk_holds_on_to_nothing_of_the_last(rnn_type):
    """With gradients too, where other code runs than in a stream."""
    model = StateNet(12, out_neurons=3, rnn_type=rnn_type)
    _, state = model.step(torch.randn(1, 1, 12, 500))
    state = map_state(torch.Tensor.detach, state)
    map_state(lambda t: pytest.fail("a chunk") if t.untyped_storage().nbytes() > 4 * t.numel() else t, state)


def test_a_kernel_of_ones_sums_the_window_bin_by_bin():
    layer = CausalSTRFConv(F=2, T=3, C_in=1, C_out=1, bias=False)
    with torch.no_grad():
        layer.kernel.weight.fill_(1)
    x = torch.arange(1.0, 6.0).expand(1, 1, 2, 5)
    state, got = None, []
    for t in range(5):
        y, state = layer.step(x[..., t : t + 1], state)
        got.append(y.item())
    assert got == [2, 6, 12, 18, 24]
