"""The Transformer against torch's own, its window, and bin by bin."""

import pytest
import torch
from torch import nn

from deepSTRF.models.audio.transformer import Transformer
from deepSTRF.models.bin_by_bin import NotStreamableError, step
from deepSTRF.models.layers import SinusoidalPositionalEncoding
from deepSTRF.models.layers.causal_transformer import CausalTransformerEncoder
from deepSTRF.testing import check_model


def small(**options):
    torch.manual_seed(0)
    return Transformer(**{"n_frequency_bands": 12, "embedding_dim": 8, "out_neurons": 3} | options).eval()


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("window", [None, 1, 3, 70, 500])
def test_layers_are_those_of_torch(window, norm_first):
    """Also the gradients, for windows that are cut into blocks and ones that are not."""
    ours = CausalTransformerEncoder(2, 8, 2, window, norm_first=norm_first).double().eval()
    theirs = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 32, batch_first=True, norm_first=norm_first),
        2,
        norm=nn.LayerNorm(8) if norm_first else None,
        enable_nested_tensor=False,
    ).double()
    theirs.load_state_dict(ours.state_dict())
    theirs.eval()
    lag = torch.arange(150)[:, None] - torch.arange(150)
    blocked = (lag < 0) | (lag >= (window or 150))
    x = torch.randn(2, 150, 8, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 150, 8, dtype=torch.float64)
    results = []
    for output, module in ((ours(x), ours), (theirs(x, mask=blocked), theirs)):
        results.append([output, *torch.autograd.grad((output * weights).sum(), [x, *module.parameters()])])
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other)


def test_layers_start_as_those_of_torch_and_drop_as_much_in_train_mode():
    torch.manual_seed(0)
    ours = CausalTransformerEncoder(1, 64, dropout=0.5)
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(64, 1, 256, 0.5, batch_first=True)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.layers[0].state_dict()[name], tensor)
    x = torch.randn(1, 1, 64)
    spread = []
    for layer in (ours, theirs):
        draws = torch.stack([layer(x) for _ in range(500)])
        spread.append(draws.std(0).mean().item())
    assert spread[0] == pytest.approx(spread[1], rel=0.1)


@pytest.mark.parametrize("options", [{}, {"context_window": 70, "time_patch_size": 3}])
def test_a_changed_future_leaves_the_past_bit_identical(options):
    model = small(n_layers=2, n_heads=2, **options)
    x = torch.randn(2, 1, 12, 150)
    changed = x.clone()
    changed[..., 100:] = 50 * torch.randn(2, 1, 12, 50)
    assert torch.equal(model(x)[..., :100], model(changed)[..., :100])
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[..., :100].sum(), x)
    assert not gradient[..., 100:].any()
    assert gradient[..., 99].any()


@pytest.mark.parametrize(("window", "n_layers", "patch"), [(1, 1, 1), (4, 1, 1), (4, 2, 3), (9, 3, 2)])
def test_the_window_says_exactly_what_a_prediction_depends_on(window, n_layers, patch):
    model = small(context_window=window, n_layers=n_layers, time_patch_size=patch)
    reach = n_layers * (window - 1) + patch
    x = torch.randn(1, 1, 12, 90, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x)[..., 80].sum(), x)
    touched = gradient.abs().amax((0, 1, 2)).nonzero().flatten()
    assert touched.min() == 80 - reach + 1
    assert touched.max() == 80


@pytest.mark.parametrize("window", [1, 3, 200])
@pytest.mark.parametrize("lengths", [[1] * 40, [150], [100, 1, 49], [2, 70, 78]])
def test_pieces_give_the_prediction_for_the_whole(window, lengths):
    model = small(context_window=window, time_patch_size=2, n_layers=2, n_heads=2)
    x = torch.randn(2, 1, 12, sum(lengths))
    stream = model.stream(batch_size=2)
    predictions = torch.cat([stream.step(piece) for piece in x.split(lengths, -1)], -1)
    torch.testing.assert_close(predictions, model(x), atol=1e-5, rtol=0)


def test_positions_are_right_after_hours():
    layer, hours = SinusoidalPositionalEncoding(6), 7_654_321  # bins of 5 ms: more than ten hours
    code, position = layer.step(torch.zeros(1, 2, 6), torch.tensor(hours))
    assert position == hours + 2
    phases = torch.arange(hours, hours + 2).double()[:, None] * layer.div_term.double()
    torch.testing.assert_close(code[0, :, ::2], phases.sin().float())
    torch.testing.assert_close(code[0, :, 1::2], phases.cos().float())


def test_without_a_window_it_does_not_run_bin_by_bin_and_says_what_to_do():
    model = small()
    assert model.T == 9
    for run in (model.stream().step, lambda x: model.forward_chunk(x, onset=True)):
        with pytest.raises(NotStreamableError, match=r"context_window=100"):
            run(torch.zeros(1, 1, 12, 1))
    with pytest.raises(NotStreamableError, match="context_window"):
        step(CausalTransformerEncoder(1, 8), torch.zeros(1, 1, 8))


def test_sizes_are_attributes_and_counts_those_of_the_paper():
    model = Transformer(34, freq_patch_size=17, time_patch_size=3, context_window=20, embedding_dim=6, n_heads=3)
    assert (model.K_F, model.K_T, model.F_p, model.token_dim, model.context_window, model.T) == (17, 3, 2, 12, 20, 20)
    assert Transformer(time_patch_size=11).T == 11
    assert Transformer().count_trainable_params() == 30_001
    assert Transformer(out_neurons=119).count_trainable_params() == 35_783
    names = set(Transformer(n_layers=2).state_dict())
    layer = nn.TransformerEncoderLayer(48, 1).state_dict()
    assert {f"tsfm.layers.{i}.{name}" for i in range(2) for name in layer} <= names
    assert {name for name in names if not name.startswith(("tsfm.layers", "readout"))} == {
        "patchify.weight",
        "patchify.bias",
        "pos_encoding.div_term",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freq_patch_size": 5}, "must divide the number of bands, got 5 for 12"),
        ({"embedding_dim": 7}, "even.*= 7"),
        ({"n_heads": 3}, "n_heads must divide"),
        ({"context_window": 0}, "context_window"),
        ({"n_layers": 0}, "n_layers"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ],
)
def test_values_out_of_range_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize(("name", "value"), [("time_patch_size", 1.5), ("dropout", "much")])
def test_wrong_types_are_errors(name, value):
    with pytest.raises(TypeError, match=name):
        small(**{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"context_window": 1},
        {"context_window": 3, "time_patch_size": 2, "norm_first": True},
        {"freq_patch_size": 4, "n_heads": 2, "n_layers": 2, "context_window": 70, "dropout": 0.0},
        {"output_activation": nn.Softplus()},
    ],
)
def test_every_transformer_keeps_the_contract(options):
    check_model(lambda: small(**options))
