"""A saved model reloads to identical outputs, or saving raises an error with the reason."""

import json
import math
import os

import pytest
import torch
from model_zoo import PREFILTERED, ZOO
from safetensors.torch import save_file
from torch import nn

from deepSTRF.models import NeuralModel, audio
from deepSTRF.models.activations import ParametricDoubleExponential, ParametricSigmoid, ParametricSoftplus
from deepSTRF.models.audio import AudioEncodingModel, Linear, LinearNonlinear, StateNet
from deepSTRF.models.layers import LowRankSTRF, ParametricSTRF, RaisedCosineSTRF, SeparableSTRF
from deepSTRF.models.prefiltering import make_prefiltering
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.saving.rebuildable import Rebuildable
from deepSTRF.models.wav2spec import make_wav2spec
from deepSTRF.utils import hub


class Gain(Rebuildable):
    """A prefiltering of the user's own that remembers its arguments."""

    out_channels = 1

    def __init__(self, factor=2.0, inner=None):
        super().__init__()
        self.factor, self.inner = factor, inner
        self.offset = nn.Parameter(torch.randn(1))

    def forward(self, x):
        return self.factor * (x if self.inner is None else self.inner(x)) + self.offset


def _used(model):
    """Give every tensor values of its own, so that a fresh model would not do."""
    for _ in range(3):
        model.train()(torch.randn(3, 1, model.F, 30))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def _assert_same(model, other):
    x = torch.randn(2, 1, model.F, 40)
    assert torch.equal(model.eval()(x), other.eval()(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(12, 5, 3),
        lambda: LinearNonlinear(12, 5, 3),
        lambda: StateNet(12, out_neurons=3),
        lambda: StateNet(12, out_neurons=3, rnn_type="LSTM", connectivity="CONV"),
        lambda: Linear(12, 5, 3, output_activation=nn.ReLU()),
        lambda: Linear(12, 5, 3, output_activation=nn.LeakyReLU(0.3)),
        lambda: Linear(12, 5, 3, output_activation=nn.Softplus(beta=3)),
        lambda: Linear(12, 5, 3, output_activation=nn.PReLU()),
        lambda: Linear(12, 5, 3, output_activation=ParametricSigmoid(3, bias=False)),
        lambda: StateNet(12, out_neurons=3, output_activation=ParametricDoubleExponential(3)),
        lambda: LinearNonlinear(12, 5, 3, output_activation=ParametricSoftplus(3, non_negative_output=False)),
        lambda: Linear(12, 5, 3, prefiltering=Gain(3.0, inner=Gain(0.5, inner=nn.Tanh()))),
    ],
)
def test_round_trip_is_exact(make, tmp_path):
    model = _used(make())
    again = type(model).from_pretrained(model.save_pretrained(tmp_path / "a" / "model"))
    assert not again.training
    _assert_same(model, again)
    _assert_same(model, NeuralModel.from_pretrained(tmp_path / "a" / "model"))
    assert repr(again) == repr(model)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_registered_model_reloads_to_identical_outputs(name, tmp_path):
    torch.manual_seed(0)
    model = ZOO[name].make()
    model.train()(ZOO[name].stimulus(3, 12))  # the statistics of normalisations
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))
    assert type(again) is type(model)
    stims = ZOO[name].stimulus(2, 15)
    assert torch.equal(model.eval()(stims), again(stims))


@pytest.mark.parametrize("name", PREFILTERED)
def test_models_are_saved_with_a_prefiltering(name, tmp_path):
    for kind in ("adaptrans", "icadaptation"):
        model = ZOO[name].make(prefiltering=make_prefiltering(kind, 12, dt=5.0))
        again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path / kind))
        assert repr(again.prefiltering) == repr(model.prefiltering)
        _assert_same(model, again)


@pytest.mark.parametrize("kernel", [SeparableSTRF, LowRankSTRF, ParametricSTRF, RaisedCosineSTRF])
def test_models_are_saved_with_the_kernels_of_the_library(kernel, tmp_path):
    for i, model in enumerate(
        (Linear(12, 7, 3, kernel=kernel(12, 7, 1, 3)), audio.DNet(12, 7, n_hidden=4, kernel=kernel(12, 7, 1, 4)))
    ):
        again = NeuralModel.from_pretrained(_used(model).save_pretrained(tmp_path / str(i)))
        assert repr(again) == repr(model)
        _assert_same(model, again)


@pytest.mark.parametrize("kind", ["mel", "gammatone", "sincnet", "leaf"])
def test_models_are_saved_with_the_front_ends_of_the_library(kind, tmp_path):
    n_bands = {"n_mels": 12} if kind == "mel" else {"n_filters": 12}
    model = StateNet(12, wav2spec=make_wav2spec(kind, 8000, 5.0, f_max=3500.0, **n_bands)).eval()
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))
    wave = torch.randn(1, 1, 40 * 9)
    assert torch.equal(model(wave), again(wave))


def test_files_and_names(tmp_path):
    folder = LinearNonlinear(12, 5, 3).save_pretrained(tmp_path, metadata={"cc": 0.5}, model_card="# mine")
    assert folder == tmp_path
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "metadata.json", "model.safetensors"]
    assert (folder / hub.MODEL_CARD_FILE).read_text() == "# mine"
    config = json.loads((folder / hub.CONFIG_FILE).read_text())
    assert config == {"_model_class": "LinearNonlinear", **LinearNonlinear(12, 5, 3)._init_kwargs}
    assert list(config) == sorted(config)
    model, metadata = LinearNonlinear.from_pretrained(folder, return_metadata=True)
    assert metadata == {"cc": 0.5}
    model.save_pretrained(folder)  # replaces all of it
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]
    assert (folder / "README.md").read_text().startswith("---\n")
    assert hub.load_pretrained_from_dir(LinearNonlinear, folder)[1] is None


def test_classes_without_their_own_init_are_saved(tmp_path):
    class Mine(Linear):
        pass

    model = _used(Mine(12, out_neurons=2))
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))
    assert type(again) is Mine
    _assert_same(model, again)


def test_precision_mode_and_random_state_are_kept(tmp_path):
    model = Linear(12, 5, 3).double().train()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    model.save_pretrained(tmp_path)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    again = Linear.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float64}


def test_map_location_moves_the_model(tmp_path):
    StateNet(12).save_pretrained(tmp_path)
    model = StateNet.from_pretrained(tmp_path, map_location="meta")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_a_layer_that_is_registered_twice_is_saved(tmp_path):
    class Twice(Linear):
        def __init__(self, out_neurons=1):
            super().__init__(12, 5, out_neurons)
            self.same_readout = self.readout

    model = _used(Twice(2))
    _assert_same(model, Twice.from_pretrained(model.save_pretrained(tmp_path)))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_saving_raises_for_what_it_cannot_make_again(tmp_path):
    class Foreign(nn.Module):
        out_channels = 1

        def forward(self, x):
            return x

    for unsavable in (
        Linear(12, prefiltering=Foreign()),
        Linear(12, output_activation=nn.Sequential(nn.ReLU(), nn.Tanh())),
        Linear(12, kernel=nn.Conv2d(1, 1, (12, 9))),
        Linear(12, prefiltering=Gain(inner=Foreign())),
    ):
        with pytest.raises(ValueError, match="cannot be made again from a file"):
            unsavable.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_saving_raises_for_arguments_that_json_cannot_hold(tmp_path):
    class Callback(Linear):
        def __init__(self, call):
            super().__init__(12)

    with pytest.raises(ValueError, match=r"argument call \(function\) cannot be written"):
        Callback(lambda: None).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="metadata cannot be written as JSON"):
        Linear(12).save_pretrained(tmp_path, metadata={"cc": torch.ones(2)})


def test_saving_raises_for_models_that_were_changed_after_construction(tmp_path):
    replaced = Linear(12)
    replaced.readout.activation = nn.ReLU()
    with pytest.raises(ValueError, match="make another structure"):
        replaced.save_pretrained(tmp_path)
    mutated = Linear(12, output_activation=nn.LeakyReLU(0.1))
    mutated.readout.activation.negative_slope = 0.5  # is read at saving
    _assert_same(mutated, Linear.from_pretrained(mutated.save_pretrained(tmp_path)))

    class Scaled(AudioEncodingModel):
        scale = 1.0

        def __init__(self):
            super().__init__(12, 1)
            self.readout = LinearReadout(12, 2)

        def _features(self, filtered):
            return self.scale * filtered.squeeze(1)

    model = Scaled()
    model.scale = 2.0
    with pytest.raises(ValueError, match="predicts something else"):
        model.save_pretrained(tmp_path)
    wider = Linear(12, out_neurons=2)
    wider.readout.bn.register_buffer("extra", torch.ones(1))
    with pytest.raises(ValueError, match="extra"):
        wider.save_pretrained(tmp_path)


class Bands(Rebuildable):
    """A front end of the user's own: bands are the mean sizes of stretches of a bin of 24 samples."""

    memoryless = True
    out_channels = 12
    hop = 24

    def __init__(self, gain=1.0, inner=None):
        super().__init__()
        self.gain, self.inner = gain, inner
        self.register_buffer("window", torch.hann_window(2), persistent=False)

    def forward(self, wave):
        wave = wave if self.inner is None else self.inner(wave)
        return self.gain * (self.window * wave.unflatten(-1, (-1, 12, 2)).square()).mean(-1).transpose(-1, -2)


class BandsWithoutHop(Bands):
    hop = None


@pytest.mark.parametrize("front_end", [Bands(2.0), BandsWithoutHop(2.0), Bands(inner=nn.Tanh())])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_models_of_waveforms_are_saved_with_their_front_end(tmp_path, front_end, precision):
    model = StateNet(12, out_neurons=3, wav2spec=front_end).to(precision).eval()
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))
    wave = torch.randn(2, 1, 24 * 9, dtype=precision)
    assert torch.equal(model(wave), again(wave))


@pytest.mark.parametrize("front_end", [Bands, BandsWithoutHop])
def test_saving_raises_for_a_front_end_that_was_changed_after_construction(tmp_path, front_end):
    model = Linear(12, wav2spec=front_end())
    model.wav2spec.gain = 2.0
    with pytest.raises(ValueError, match=r"predicts something else|its wav2spec has gain=2.0, a copy 1.0"):
        model.save_pretrained(tmp_path)
    replaced = Linear(12, wav2spec=front_end())
    replaced.wav2spec = front_end(inner=nn.Tanh())
    with pytest.raises(ValueError, match="make another structure"):
        replaced.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_saving_raises_for_a_slot_that_looks_the_same_and_is_another(tmp_path):
    model = Linear(12, prefiltering=Gain(2.0))
    model.prefiltering = Gain(3.0)
    with pytest.raises(ValueError, match="predicts something else"):
        model.save_pretrained(tmp_path)


def test_saving_raises_for_hooks_that_change_the_prediction(tmp_path):
    model = _used(Linear(12, out_neurons=2))
    looks = model.readout.activation.register_forward_hook(lambda module, args, output: None)
    _assert_same(model, Linear.from_pretrained(model.save_pretrained(tmp_path / "looks")))
    looks.remove()
    model.readout.activation.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    with pytest.raises(ValueError, match="predicts something else"):
        model.save_pretrained(tmp_path / "doubles")
    unknown = Linear(12, wav2spec=BandsWithoutHop())  # no stimulus is known that would show what the hook does
    unknown.wav2spec.register_forward_hook(lambda module, args, output: 2 * output)
    with pytest.raises(ValueError, match="its wav2spec has hooks"):
        unknown.save_pretrained(tmp_path / "unknown")


def test_weights_that_are_nan_are_compared_too(tmp_path):
    model = Linear(12, prefiltering=Gain(2.0))
    with torch.no_grad():
        model.readout.strf.kernel.bias.fill_(torch.nan)
    assert Linear.from_pretrained(model.save_pretrained(tmp_path))(torch.randn(1, 1, 12, 5)).isnan().all()


def test_a_plain_module_cannot_be_saved(tmp_path):
    with pytest.raises(AttributeError, match="_init_kwargs"):
        hub.save_pretrained_to_dir(nn.Linear(2, 2), tmp_path)


def test_a_failed_save_leaves_the_old_model(tmp_path, monkeypatch):
    old = _used(Linear(12))
    old.save_pretrained(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        _used(Linear(12)).save_pretrained(tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="it is a file"):
        old.save_pretrained(file)


# --- loading ---------------------------------------------------------------------------------------------------------


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder 'runs/someone/model'"):
        Linear.from_pretrained("runs/someone/model")
    for name in ("config.json", "model.safetensors"):
        folder = Linear(12).save_pretrained(tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
            Linear.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metadata.json"])
@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\xff" * len(b), lambda b: b"[]"]
)
def test_damaged_files_are_named(tmp_path, name, damage):
    folder = Linear(12).save_pretrained(tmp_path, metadata={"cc": 1})
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        Linear.from_pretrained(folder)


def _edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_config_and_weights_must_fit(tmp_path):
    folder = _edit(Linear(12).save_pretrained(tmp_path), n_frequency_bands=13)
    with pytest.raises(ValueError, match="do not fit"):
        Linear.from_pretrained(folder)
    _assert_same(*(Linear.from_pretrained(folder, extra_kwargs={"n_frequency_bands": 12}) for _ in range(2)))
    with pytest.raises(ValueError, match="cannot be made from"):
        Linear.from_pretrained(_edit(folder, depth=3))


def test_strict(tmp_path):
    Linear(12).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="saved as 'Linear'"), pytest.raises(ValueError, match="do not fit the model"):
        LinearNonlinear.from_pretrained(tmp_path)
    _edit(tmp_path, output_activation={"_module": "torch.nn.PReLU", "kwargs": {}})
    with pytest.warns(UserWarning, match="strict=False: missing"):
        Linear.from_pretrained(tmp_path, strict=False)


def test_another_class_warns_and_goes_on(tmp_path):
    class Other(Linear):
        pass

    model = _used(Linear(12))
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="saved as 'Linear'"):
        _assert_same(model, Other.from_pretrained(tmp_path))
    _edit(tmp_path, _model_class="Missing")
    with pytest.raises(ValueError, match="saved as 'Missing': unknown class 'Missing'"):
        AudioEncodingModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "torch.nn.Linear",
        "subprocess.Popen",
        "deepSTRF.models.saving.pretrained.os",
        "deepSTRF.models.nothing.X",
        "torch.nn.ReLU.x",
    ],
)
def test_a_config_cannot_name_arbitrary_code(tmp_path, path):
    folder = _edit(Linear(12).save_pretrained(tmp_path), output_activation={"_module": path, "kwargs": {}})
    with pytest.raises(ValueError, match=r"config.json names the module"):
        Linear.from_pretrained(folder)
    Linear.from_pretrained(folder, extra_kwargs={"output_activation": nn.ReLU()})


# The layout of the published urancon/deepSTRF-statenet-gru-ns1, and with another recurrent layer: exactly these
# keys, these tensors, these shapes.
PUBLISHED_CONFIG = {
    "_model_class": "StateNet",
    "connectivity": "LC",
    "hidden_channels": 7,
    "kernel_size": 7,
    "n_frequency_bands": 34,
    "out_neurons": 119,
    "output_activation": None,
    "prefiltering": None,
    "rnn_type": "GRU",
    "stride": 3,
    "temporal_window_size": 1,
}


def _published_checkpoint(folder, rnn_type):
    n_gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[rnn_type]
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "encoder_layers.0.weights": (7, 7, 10),
        "encoder_layers.0.biases": (7, 10),
        "encoder_layers.1.ln.weight": (7,),
        "encoder_layers.1.ln.bias": (7,),
        "rnn.weight_ih_l0": (70 * n_gates, 70),
        "rnn.weight_hh_l0": (70 * n_gates, 70),
        "rnn.bias_ih_l0": (70 * n_gates,),
        "rnn.bias_hh_l0": (70 * n_gates,),
        "readout.fc.weight": (119, 70),
        "readout.fc.bias": (119,),
        "readout.activation._raw_beta": (119,),
        "readout.activation._raw_b": (119,),
    }
    tensors = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(PUBLISHED_CONFIG | {"rnn_type": rnn_type}))
    return tensors


def _by_hand(tensors, rnn_type, x):
    """StateNet's equations for one spectrogram (34, T), bin by bin, in float64."""
    w = {name: tensor.double() for name, tensor in tensors.items()}
    hidden = cell = torch.zeros(70, dtype=torch.float64)
    predictions = []
    for frame in x.double().unbind(-1):
        local = torch.stack([frame[3 * place : 3 * place + 7] for place in range(10)], -1)  # (K, L)
        local = (w["encoder_layers.0.weights"] * local).sum(1) + w["encoder_layers.0.biases"]  # (C, L)
        local = (local - local.mean(0)) / torch.sqrt(local.var(0, correction=0) + 1e-5)
        local = local * w["encoder_layers.1.ln.weight"][:, None] + w["encoder_layers.1.ln.bias"][:, None]
        drive = w["rnn.weight_ih_l0"] @ torch.sigmoid(local).flatten() + w["rnn.bias_ih_l0"]
        recurrent = w["rnn.weight_hh_l0"] @ hidden + w["rnn.bias_hh_l0"]
        if rnn_type == "GRU":
            (reset, update), new = torch.sigmoid((drive + recurrent)[:140]).split(70), drive[140:]
            new = torch.tanh(new + reset * recurrent[140:])
            hidden = (1 - update) * new + update * hidden
        elif rnn_type == "LSTM":
            into, forget, candidate, out = (drive + recurrent).split(70)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(candidate)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
        else:
            hidden = torch.tanh(drive + recurrent)
        beta = torch.log1p(torch.exp(w["readout.activation._raw_beta"]))
        y = w["readout.fc.weight"] @ hidden + w["readout.fc.bias"]
        y = torch.log1p(torch.exp(beta * y)) / beta + torch.log1p(torch.exp(w["readout.activation._raw_b"]))
        predictions.append(y)
    return torch.stack(predictions, -1)


@pytest.mark.parametrize("rnn_type", ["GRU", "LSTM", "RNN"])
def test_published_checkpoints_of_the_earlier_release_load(tmp_path, rnn_type):
    tensors = _published_checkpoint(tmp_path, rnn_type)
    model = NeuralModel.from_pretrained(tmp_path)
    assert type(model) is StateNet
    assert model.state_dict().keys() == tensors.keys()
    x = 2 * torch.randn(2, 1, 34, 20, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([_by_hand(tensors, rnn_type, stimulus[0]) for stimulus in x])
        torch.testing.assert_close(model.double()(x)[:, :, 0], expected, atol=1e-9, rtol=1e-9)


def test_a_published_configuration_without_its_class_loads_as_the_class_that_is_asked(tmp_path):
    _published_checkpoint(tmp_path, "GRU")
    model = NeuralModel.from_pretrained(tmp_path)
    config = {name: value for name, value in PUBLISHED_CONFIG.items() if name != "_model_class"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    _assert_same(model, StateNet.from_pretrained(tmp_path))


# The other models of the earlier release: the arguments that they had there, and the tensors of a saved one.
_NO_MODULES = {"output_activation": None, "prefiltering": None}
_BATCH_NORM = [
    f"readout.bn.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
]
_SOFTPLUS = ["readout.activation._raw_beta", "readout.activation._raw_b"]
_WINDOW = {"n_frequency_bands": 34, "temporal_window_size": 9, "out_neurons": 5, **_NO_MODULES}


def _pairs(*layers):
    return [f"{layer}.{name}" for layer in layers for name in ("weight", "bias")]


def _numbered(shapes):
    """Tensors in which no two entries are equal, so that nothing can be exchanged unseen."""
    start = 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        yield name, torch.arange(start, start + size, dtype=torch.float32).reshape(shape) / 1e4
        start += size


@pytest.mark.parametrize(
    ("model_class", "config", "names"),
    [
        ("Linear", _WINDOW | {"kernel": None, "wav2spec": None}, [*_pairs("readout.strf.kernel"), *_BATCH_NORM]),
        ("LinearNonlinear", _WINDOW | {"kernel": None}, [*_pairs("readout.strf.kernel"), *_BATCH_NORM, *_SOFTPLUS]),
        (
            "NetworkReceptiveField",
            _WINDOW | {"n_hidden": 20, "kernel": None},
            [*_pairs("core.0.kernel", "core.1.ln", "readout.fc"), *_SOFTPLUS],
        ),
        (
            "DNet",
            _WINDOW | {"n_hidden": 20, "init_tau": 2.0, "decay_input": True, "kernel": None},
            [*_pairs("core.0.kernel", "core.1.ln", "readout.fc"), "core.3.d"],
        ),
        (
            "ConvNet2D",
            {"n_frequency_bands": 34, "kernel_size": [3, 9], "c_hidden": 10, "n_hidden": 20, "out_neurons": 5}
            | _NO_MODULES,
            [
                *_pairs("core.1", "core.2.ln", "core.4", "core.5.ln", "core.7", "core.8.ln"),
                *_pairs("readout.fc.0", "readout.fc.2"),
                *_SOFTPLUS,
            ],
        ),
        (
            "Transformer",
            {
                "n_frequency_bands": 34,
                "freq_patch_size": None,
                "time_patch_size": 1,
                "context_window": None,
                "embedding_dim": 48,
                "n_heads": 1,
                "n_layers": 1,
                "out_neurons": 5,
                **_NO_MODULES,
            },
            [
                *_pairs("patchify", *(f"tsfm.layers.0.{part}" for part in ("linear1", "linear2", "norm1", "norm2"))),
                *(f"tsfm.layers.0.self_attn.in_proj_{name}" for name in ("weight", "bias")),
                *_pairs("tsfm.layers.0.self_attn.out_proj", "readout.fc"),
                "pos_encoding.div_term",
            ],
        ),
    ],
)
def test_models_of_the_earlier_release_load_by_their_names(tmp_path, model_class, config, names):
    shapes = {name: tuple(t.shape) for name, t in getattr(audio, model_class)(**config).state_dict().items()}
    assert set(shapes) == set(names)
    tensors = dict(_numbered(shapes))
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config | {"_model_class": model_class}))
    model = NeuralModel.from_pretrained(tmp_path)
    assert type(model).__name__ == model_class
    assert all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())
