"""Frozen parts stay as they are, and a trained core reads out another population."""

import copy
import functools

import pytest
import torch
from model_zoo import ZOO
from torch import nn

from deepSTRF.metrics import corrcoef
from deepSTRF.models.activations import ParametricSigmoid, ParametricSoftplus
from deepSTRF.models.audio import AudioEncodingModel, Linear, StateNet
from deepSTRF.models.layers import LowRankSTRF
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.saving.rebuildable import Rebuildable
from deepSTRF.models.transfer import transfer
from deepSTRF.testing import check_model
from deepSTRF.training import Fitter, ResumeError, set_random_seed

N_BANDS = 8


class Widen(Rebuildable):
    """A prefiltering with a weight, a normalisation and a dropout, for 8 bands."""

    out_channels = 2

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.randn(2, 1, 1))
        self.norm = nn.BatchNorm2d(2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.norm(self.gain * x))


def small_statenet(out_neurons=3, **options):
    return StateNet(N_BANDS, kernel_size=4, stride=2, hidden_channels=2, out_neurons=out_neurons, **options)


def tensors(model, readout):
    """Copies of what is under the readout, or of what is not."""
    state = model.state_dict()
    return {name: value.clone() for name, value in state.items() if name.startswith("readout.") == readout}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def train_a_little(model, steps=3):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(2, 1, N_BANDS, 12)).square().mean().backward()
        optimizer.step()


# --- freezing --------------------------------------------------------------------------------------------------------


def test_a_frozen_model_trains_its_readout_only():
    model = small_statenet(prefiltering=Widen())
    model.freeze()
    core, readout = tensors(model, False), tensors(model, True)
    train_a_little(model)
    assert same(core, tensors(model, False))  # also the running statistics of the prefiltering
    assert not any(torch.equal(value, readout[name]) for name, value in tensors(model, True).items())


def test_frozen_parts_drop_nothing_and_normalise_as_in_eval_mode():
    model = small_statenet(prefiltering=Widen())
    x = torch.randn(2, 1, N_BANDS, 12)
    assert not torch.equal(model.train()(x), model(x))
    model.freeze()
    assert model.training
    assert torch.equal(model(x), copy.deepcopy(model).eval()(x))
    for mode in (True, False, True):
        assert model.train(mode).training is mode
        assert model.readout.training is mode
        assert not model.prefiltering.norm.training
        assert not model.encoder_layers.training


def test_unfreezing_gives_everything_back():
    model = small_statenet(prefiltering=Widen())
    model.rnn.weight_hh_l0.requires_grad_(False)  # the user's own choice
    before = [(name, p.requires_grad) for name, p in model.named_parameters()]
    modes = [module.training for module in model.modules()]
    model.freeze()
    model.freeze("readout", "rnn")  # parts may overlap
    assert model.count_trainable_params() == 0
    model.eval()
    model.unfreeze()
    assert [(name, p.requires_grad) for name, p in model.named_parameters()] == before
    assert not any(module.training for module in model.modules())
    assert [module.training for module in model.train().modules()] == modes


@pytest.mark.parametrize(
    ("slots", "frozen"),
    [
        (("core",), ("encoder_layers", "rnn")),
        (("prefiltering",), ("prefiltering",)),
        (("encoder_layers.1", "readout.activation"), ("encoder_layers.1", "readout.activation")),
        (("wav2spec",), ()),
    ],
)
def test_what_is_frozen_can_be_chosen(slots, frozen):
    model = small_statenet(prefiltering=Widen())
    model.freeze(*slots)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad is not name.startswith(frozen or "nothing"), name


def test_old_gradients_do_not_move_what_was_frozen():
    model = small_statenet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(2, 1, N_BANDS, 12)).sum().backward()
    model.freeze()
    core = tensors(model, False)
    optimizer.step()
    assert same(core, tensors(model, False))


def test_unknown_parts_are_named():
    model = small_statenet()
    for name in ("decoder", "", "rnn.nothing"):
        with pytest.raises(ValueError, match=rf"no part '{name}'; available: .*encoder_layers, rnn, .*readout"):
            model.freeze("core", name)
    assert model.count_trainable_params() == sum(p.numel() for p in model.parameters())


def test_a_frozen_model_keeps_the_contract_and_saves(tmp_path):
    model = small_statenet()
    model.freeze()
    check_model(model)
    again = StateNet.from_pretrained(model.save_pretrained(tmp_path))
    assert same(model.state_dict(), again.state_dict())
    assert again.count_trainable_params() == sum(p.numel() for p in model.parameters())


# --- transfer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [None, lambda: ParametricSigmoid(3, bias=False), nn.ReLU])
def test_the_core_is_copied_and_the_readout_is_new(activation):
    options = {} if activation is None else {"output_activation": activation()}
    model = small_statenet(rnn_type="LSTM", prefiltering=Widen(), **options).double().eval()
    before = copy.deepcopy(model.state_dict())
    set_random_seed(1)
    new = transfer(model, 5)
    assert type(new) is StateNet
    assert new.O == 5
    assert same(tensors(new, False), tensors(model, False))
    assert new.readout.fc.weight.shape == (5, 6)
    assert type(new.readout.activation) is type(model.readout.activation)
    assert getattr(new.readout.activation, "num_features", 5) == 5
    assert getattr(new.readout.activation, "bias", None) is getattr(model.readout.activation, "bias", None)
    train_a_little(new.float())
    assert same(before, model.state_dict())  # nothing is shared
    assert same(tensors(new, False), {name: value.float() for name, value in tensors(model, False).items()})
    set_random_seed(1)
    assert torch.equal(transfer(model, 5).readout.fc.weight, transfer_seeded(model, 5))


def transfer_seeded(model, out_neurons):
    set_random_seed(1)
    return transfer(model, out_neurons).readout.fc.weight


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_registered_model_transfers_or_says_that_it_is_all_readout(name):
    model = ZOO[name].make(out_neurons=3)
    if name in ("linear", "linear-nonlinear", "poisson-ln", "ridge", "video-ln"):
        with pytest.raises(ValueError, match="nothing to transfer"):
            transfer(model, 5)
        return
    new = transfer(model, 5)
    assert new.count_trainable_params() == sum(p.numel() for p in new.readout.parameters())
    assert same(tensors(new, False), tensors(model, False))
    stims = ZOO[name].stimulus(2, 9)
    assert new(stims).shape == (2, 5, 1, 9)


def test_the_core_can_be_left_to_train_and_arguments_can_differ():
    model = small_statenet()
    new = transfer(model, 5, freeze=False, output_activation=nn.Softplus())
    assert isinstance(new.readout.activation, nn.Softplus)
    assert new.count_trainable_params() == sum(p.numel() for p in new.parameters())
    check_model(new)
    single = transfer(transfer(model, 1), 4)  # one neuron and back
    assert single.readout.activation.beta.shape == (4,)


def test_a_transferred_model_saves(tmp_path):
    new = transfer(small_statenet(prefiltering=Widen()), 5)
    again = StateNet.from_pretrained(new.save_pretrained(tmp_path))
    x = torch.randn(1, 1, N_BANDS, 9)
    assert torch.equal(again(x), new.eval()(x))


def test_a_kernel_in_the_readout_is_made_for_the_new_neurons():
    model = Linear(N_BANDS, 4, 3, kernel=LowRankSTRF(N_BANDS, 4, 2, 3, rank=1), prefiltering=Widen())
    new = transfer(model, 5)
    assert new.STRF_weight().shape == (5, N_BANDS, 4)
    assert same(tensors(new, False), tensors(model, False))


def test_what_cannot_be_transferred_raises_an_error():
    with pytest.raises(TypeError, match="must be a NeuralModel, got a Linear"):
        transfer(nn.Linear(2, 2), 5)
    with pytest.raises(ValueError, match="out_neurons must be a positive integer"):
        transfer(small_statenet(), 0)
    with pytest.raises(ValueError, match="nothing to transfer"):
        transfer(Linear(N_BANDS), 5)
    with pytest.raises(
        ValueError, match="PReLU of the readout again for 5 neurons: pass a new one as output_activation="
    ):
        transfer(small_statenet(output_activation=nn.PReLU()), 5)
    with pytest.raises(ValueError, match="another encoder_layers is made"):
        transfer(small_statenet(), 5, hidden_channels=3)
    changed = small_statenet()
    changed.encoder_layers[2] = nn.Tanh()
    with pytest.raises(ValueError, match="another encoder_layers is made"):
        transfer(changed, 5)
    with_buffer = small_statenet()
    with_buffer.register_buffer("scale", torch.ones(1))
    with pytest.raises(ValueError, match=r"lacks \['scale'\]"):
        transfer(with_buffer, 5)


def test_an_activation_of_the_users_own_must_follow_the_number_of_neurons():
    class Offset(Rebuildable):
        def __init__(self, units):
            super().__init__()
            self.offset = nn.Parameter(torch.zeros(units))

        def forward(self, x):
            return x + self.offset

        def per_neuron_tensors(self):
            return {"offset": 0}

    model = small_statenet(output_activation=Offset(3))
    with pytest.raises(ValueError, match=r"activation.offset is still for 3 neurons, not 5: pass the argument"):
        transfer(model, 5)
    assert transfer(model, 5, output_activation=Offset(5)).readout.activation.offset.shape == (5,)


def test_a_fixed_population_and_unknown_arguments_raise_an_error():
    class Fixed(AudioEncodingModel):
        def __init__(self, call=None):
            super().__init__(N_BANDS, 1, 3)
            self.prefiltering = nn.BatchNorm2d(1)
            self.readout = LinearReadout(N_BANDS, 3)

    class Callback(Fixed):
        def __init__(self, call, out_neurons=3):
            super().__init__()

    with pytest.raises(ValueError, match="no argument out_neurons"):
        transfer(Fixed(), 5)
    with pytest.raises(ValueError, match=r"argument call \(function\) .* was not recorded: pass it as call=..."):
        transfer(Callback(lambda: None), 3)
    assert transfer(Callback(lambda: None), 3, call=print).O == 3


def test_a_readout_that_has_a_second_name_is_not_taken_for_the_core():
    class Twice(AudioEncodingModel):
        def __init__(self, out_neurons=3):
            super().__init__(N_BANDS, 1, out_neurons)
            self.norm = nn.BatchNorm2d(1)
            self.out = LinearReadout(N_BANDS, out_neurons, activation=ParametricSoftplus(out_neurons))
            self.readout = self.out

        def _features(self, filtered):
            return self.norm(filtered).squeeze(1)

    new = transfer(Twice(), 5)
    assert new.out is new.readout
    assert new.count_trainable_params() == sum(p.numel() for p in new.readout.parameters())


# --- with the Fitter -------------------------------------------------------------------------------------------------


def population_pair():
    """Responses of two populations that mix the same three hidden features, as (train, val) of each."""
    generator = torch.Generator().manual_seed(0)
    stims = torch.randn(10, 1, N_BANDS, 150, generator=generator)
    fields = torch.randn(3, 1, N_BANDS, 4, generator=generator) / 5
    hidden = torch.conv2d(nn.functional.pad(stims, (3, 0)), fields)[:, :, 0].relu()
    mixing = torch.randn(20, 3, generator=generator)
    responses = torch.einsum("nk,skt->snt", mixing, hidden).unsqueeze(2)
    responses = responses + 0.3 * torch.randn(responses.shape, generator=generator)

    def batches(sounds, neurons):
        return [{"stims": stims[s : s + 1], "responses": responses[s : s + 1, neurons]} for s in sounds]

    many, few = slice(0, 14), slice(14, 20)
    return (batches(range(6), many), batches(range(6, 10), many)), (batches(range(2), few), batches(range(6, 10), few))


def fitter(model, train, val, **options):
    options = {"max_epochs": 20, "restore_best": True, "log_fn": None} | options
    return Fitter(
        model,
        train,
        val,
        patience=options["max_epochs"],
        val_metrics={"cc": functools.partial(corrcoef, reduction="none")},
        monitor="val_cc",
        optimizer=functools.partial(torch.optim.AdamW, lr=1e-2),
        **options,
    )


def recurrent(out_neurons):
    return StateNet(
        N_BANDS, 1, N_BANDS, 1, 16, connectivity="FC", out_neurons=out_neurons, output_activation=nn.Identity()
    )


@pytest.mark.slow
def test_a_trained_core_predicts_new_neurons_better_than_an_untrained_one(tmp_path):
    first, second = population_pair()
    set_random_seed(0)
    untrained, trained = recurrent(14), recurrent(14)
    fitter(trained, *first, max_epochs=30).fit()
    scores = {}
    for name, start in (("untrained", untrained), ("trained", trained)):
        set_random_seed(1)
        new = transfer(start, 6)
        run = fitter(new, *second, track_per_cell_best=True)
        run.fit()
        scores[name] = float(run.evaluate(second[1])["cc"].mean())
        assert same(tensors(new, False), tensors(start, False))
    assert scores["trained"] > scores["untrained"] + 0.3  # 0.73 and 0.13 when this was written


class Killed(BaseException):
    pass


def test_a_killed_transfer_goes_on(tmp_path):
    _, second = population_pair()
    set_random_seed(0)
    core = recurrent(14)

    def run(path, kill_at=None, frozen=True, **options):
        def kill(epoch_dict):
            if epoch_dict["epoch"] == kill_at:
                raise Killed

        set_random_seed(1)
        new = transfer(core, 6, freeze=frozen)
        training = fitter(new, *second, ckpt_path=path, resume=True, max_epochs=5, log_fn=kill, **options)
        return new, training.fit()

    expected, history = run(tmp_path / "whole.pt", track_per_cell_best=True)
    with pytest.raises(Killed):
        run(tmp_path / "killed.pt", kill_at=2, track_per_cell_best=True)
    again, history_again = run(tmp_path / "killed.pt", track_per_cell_best=True)
    assert same(expected.state_dict(), again.state_dict())
    assert [epoch["val_loss"] for epoch in history] == [epoch["val_loss"] for epoch in history_again]
    with pytest.raises(ResumeError, match="frozen"):
        run(tmp_path / "killed.pt", frozen=False, track_per_cell_best=True)


def test_a_fitter_raises_an_error_if_nothing_trains():
    _, second = population_pair()
    model = recurrent(6)
    model.freeze("core", "readout")
    with pytest.raises(ValueError, match="nothing would be trained"):
        fitter(model, *second)
