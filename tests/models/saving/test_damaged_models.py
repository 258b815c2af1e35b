"""Saved models that are damaged, foreign or malicious, and folders that cannot be written."""

import contextlib
import io
import json
import os
import pickle
import struct
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from deepSTRF.models import NeuralModel
from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio import Linear, StateNet

CONFIG, WEIGHTS, METADATA = "config.json", "model.safetensors", "metadata.json"


@pytest.fixture
def saved(tmp_path):
    return Linear(8, 3, 2).save_pretrained(tmp_path / "model", metadata={"cc": 0.5})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- damaged and foreign files ----------------------------------------------------------------------------------------


def config(**changes):
    def damage(folder):
        path = folder / CONFIG
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def raw(name, content):
    def damage(folder):
        (folder / name).write_bytes(content(b"") if callable(content) else content)

    return damage


def cut(name, keep):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])

    return damage


def tensors(change):
    def damage(folder):
        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)

    return damage


def header(entry, data=b"1234"):
    text = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **entry}}).encode()
    return raw(WEIGHTS, struct.pack("<Q", len(text)) + text + data)


def folder_in_place_of(name):
    def damage(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def activation(module, **kwargs):
    return config(output_activation={"_module": module, "kwargs": kwargs})


def unlinked(name):
    return lambda folder: (folder / name).unlink()


DAMAGE_TABLE = [
    pytest.param(unlinked(CONFIG), FileNotFoundError, "config.json is missing", id="no-config"),
    pytest.param(unlinked(WEIGHTS), FileNotFoundError, "model.safetensors is missing", id="no-weights"),
    pytest.param(folder_in_place_of(CONFIG), FileNotFoundError, "config.json is missing", id="config-folder"),
    pytest.param(folder_in_place_of(WEIGHTS), FileNotFoundError, "model.safetensors is missing", id="weights-folder"),
    pytest.param(cut(CONFIG, 0.5), ValueError, "config.json is damaged", id="config-truncated"),
    pytest.param(cut(CONFIG, 0), ValueError, "config.json is damaged", id="config-empty"),
    pytest.param(raw(CONFIG, b"\xff\x00" * 40), ValueError, "config.json is damaged", id="config-bytes"),
    pytest.param(raw(CONFIG, b"[1]"), ValueError, "expected a JSON object, got a list", id="config-list"),
    pytest.param(raw(CONFIG, b"[" * 100_000), ValueError, "config.json is damaged", id="config-deep"),
    pytest.param(raw(CONFIG, b'{"a":' * 100_000), ValueError, "config.json is damaged", id="config-deep-object"),
    pytest.param(
        raw(CONFIG, b'{"a": ' + b"9" * 10_000 + b"}"), ValueError, "config.json is damaged", id="config-digits"
    ),
    pytest.param(config(_model_class=["Linear"]), ValueError, "_model_class must be a name", id="class-list"),
    pytest.param(config(_model_class=5), ValueError, "_model_class must be a name, got 5", id="class-number"),
    pytest.param(
        config(_model_class="Transformr"),
        ValueError,
        "saved as 'Transformr': unknown class 'Transformr'; .*Did you mean 'Transformer'",
        id="class",
    ),
    pytest.param(config(_model_class="NeuralModel"), ValueError, "cannot be made from", id="class-abstract"),
    pytest.param(
        config(n_frequency_bands=-1), ValueError, "cannot be made from .*positive integer, got -1", id="negative"
    ),
    pytest.param(config(n_frequency_bands="8"), ValueError, "must be an integer, got a str: '8'", id="size-str"),
    pytest.param(config(n_frequency_bands=9), ValueError, "do not fit .*(?s:.)*size mismatch", id="size"),
    pytest.param(config(n_frequency_bands=10**12), ValueError, "size mismatch", id="size-terabytes"),
    pytest.param(config(out_neurons=10**30), ValueError, "cannot be made from", id="size-overflow"),
    pytest.param(config(depth=3), ValueError, "cannot be made from .*'depth'", id="unknown-argument"),
    pytest.param(config(output_activation="relu"), ValueError, "activation must be .* got a str", id="activation-str"),
    pytest.param(activation("os.system", command="id"), ValueError, "'os.system', which is unknown", id="os.system"),
    pytest.param(activation("torch.nn.ReLU", bogus=1), ValueError, "cannot be made from .*bogus", id="module-argument"),
    pytest.param(activation("torch.nn.PReLU", num_parameters=-1), ValueError, "negative dimension", id="module-size"),
    pytest.param(activation("torch.nn.PReLU", num_parameters=10**12), ValueError, "cannot be made", id="module-huge"),
    pytest.param(activation(5), ValueError, "damaged module entry", id="module-number"),
    pytest.param(
        activation("deepSTRF.models.activations.ParametricSoftplus", num_features=0),
        ValueError,
        "a positive integer",
        id="own",
    ),
    pytest.param(cut(WEIGHTS, 0.9), ValueError, "model.safetensors is damaged", id="weights-truncated"),
    pytest.param(cut(WEIGHTS, 0.05), ValueError, "model.safetensors is damaged", id="weights-header"),
    pytest.param(cut(WEIGHTS, 0), ValueError, "model.safetensors is damaged", id="weights-empty"),
    pytest.param(raw(WEIGHTS, b"\xff" * 200), ValueError, "model.safetensors is damaged", id="weights-bytes"),
    pytest.param(raw(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"), ValueError, "is damaged", id="weights-long-header"),
    pytest.param(header({"shape": [2**40, 2**40]}), ValueError, "is damaged", id="weights-overflow"),
    pytest.param(header({"shape": [2**40]}), ValueError, "is damaged", id="weights-huge"),
    pytest.param(header({"shape": [-1]}), ValueError, "is damaged", id="weights-negative"),
    pytest.param(header({"dtype": "XX"}), ValueError, "is damaged", id="weights-dtype"),
    pytest.param(header({"dtype": "F4", "shape": [8]}), ValueError, "is damaged", id="weights-dtype-of-no-torch"),
    pytest.param(header({"data_offsets": [4, 8]}, b"12345678"), ValueError, "is damaged", id="weights-hole"),
    pytest.param(tensors(lambda t: {}), ValueError, "do not fit .*(?s:.)*Missing key", id="tensors-missing"),
    pytest.param(
        tensors(lambda t: {**t, "more": torch.zeros(3)}), ValueError, "do not fit .*(?s:.)*Unexpected.*more", id="extra"
    ),
    pytest.param(
        tensors(lambda t: {**t, "readout.bn.weight": torch.zeros(5)}), ValueError, "do not fit", id="tensors-shape"
    ),
    pytest.param(
        tensors(lambda t: {name: tensor.int() for name, tensor in t.items()}),
        ValueError,
        "do not fit",
        id="tensors-int",
    ),
    pytest.param(
        tensors(lambda t: {**t, "readout.bn.bias": t["readout.bn.bias"].to(torch.complex64)}),
        ValueError,
        "readout.bn.bias is torch.complex64, and torch.float32 in the model",
        id="tensors-complex",
    ),
    pytest.param(cut(METADATA, 0.5), ValueError, "metadata.json is damaged", id="metadata-truncated"),
    pytest.param(raw(METADATA, b"[1]"), ValueError, "expected a JSON object, got a list", id="metadata-list"),
]


@pytest.mark.parametrize(("damage", "error", "words"), DAMAGE_TABLE)
def test_damage(saved, damage, error, words):
    damage(saved)
    with pytest.raises(error, match=words):
        NeuralModel.from_pretrained(saved)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        pytest.param({"map_location": "nope"}, ValueError, "cannot be moved to map_location='nope'", id="device"),
        pytest.param({"extra_kwargs": {"depth": 1}}, ValueError, "cannot be made from", id="unknown-argument"),
        pytest.param({"extra_kwargs": {"out_neurons": 3}}, ValueError, "do not fit", id="other-size"),
    ],
)
def test_arguments_of_loading(saved, arguments, error, words):
    with pytest.raises(error, match=words):
        NeuralModel.from_pretrained(saved, **arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(saved):
    with pytest.raises(ValueError, match="cannot be moved to map_location='cuda'"):
        NeuralModel.from_pretrained(saved, map_location="cuda")


@pytest.mark.parametrize("path", ["missing", "runs/someone/model", "model/config.json"])
def test_no_folder(saved, monkeypatch, path):
    monkeypatch.chdir(saved.parent)
    with pytest.raises(FileNotFoundError, match=f"no folder '{path}'"):
        NeuralModel.from_pretrained(path)


def test_a_pickle_in_place_of_the_weights_does_not_run(saved, tmp_path):
    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    zipped = io.BytesIO()
    torch.save({"readout.bn.weight": Evil()}, zipped)
    for content in (pickle.dumps(Evil()), pickle.dumps({"readout.bn.weight": Evil()}), zipped.getvalue()):
        for name in (WEIGHTS, CONFIG, METADATA):
            folder = Linear(8, 3, 2).save_pretrained(saved, metadata={"cc": 0.5})
            (folder / name).write_bytes(content)
            with pytest.raises(ValueError, match=f"{name} is damaged"):
                NeuralModel.from_pretrained(folder)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil()))  # it would have
    assert mark.exists()


def test_a_damaged_size_asks_for_no_memory(saved):
    """A StateNet of 48 TB raises without an allocation; where the config is right, the model is what it was."""
    folder = StateNet(8, kernel_size=3, out_neurons=2).save_pretrained(saved)
    good = (folder / CONFIG).read_text()
    config(hidden_channels=10**6)(folder)
    with pytest.raises(ValueError, match="size mismatch"):
        NeuralModel.from_pretrained(folder)
    (folder / CONFIG).write_text(good)
    assert {tensor.device.type for tensor in NeuralModel.from_pretrained(folder).state_dict().values()} == {"cpu"}


def test_a_model_that_needs_numbers_while_it_is_made_loads(tmp_path):
    """The look at the sizes on the meta device must not stand in the way of a class that cannot be made there."""

    class Numbers(Linear):
        def __init__(self, n_frequency_bands=8, out_neurons=2):
            super().__init__(n_frequency_bands, 3, out_neurons)
            self.scale = float(torch.ones(3).sum())

    model = Numbers()
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))
    assert again.scale == 3.0
    sound = torch.randn(1, 1, 8, 10)
    assert torch.equal(again(sound), model.eval()(sound))


# --- saving -----------------------------------------------------------------------------------------------------------


def circular():
    value = {}
    value["itself"] = value
    return value


SAVE_TABLE = [
    pytest.param({"metadata": [1]}, TypeError, "metadata must be a dict, got a list", id="metadata-list"),
    pytest.param({"metadata": "good"}, TypeError, "metadata must be a dict, got a str", id="metadata-str"),
    pytest.param({"metadata": {"cc": torch.ones(1)}}, ValueError, "cannot be written as JSON.*Tensor", id="tensor"),
    pytest.param({"metadata": {(1, 2): 1}}, ValueError, "cannot be written as JSON: keys", id="key"),
    pytest.param({"metadata": circular()}, ValueError, "cannot be written as JSON", id="circular"),
    pytest.param({"model_card": 5}, TypeError, "model_card must be a str, got an int", id="card"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), SAVE_TABLE)
def test_what_cannot_be_saved_leaves_the_earlier_model(saved, arguments, error, words):
    before = contents(saved)
    with pytest.raises(error, match=words):
        Linear(8, 3, 2).save_pretrained(saved, **arguments)
    assert contents(saved) == before


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    for action in (Linear(8, 3, 2).save_pretrained, Linear.from_pretrained):
        with pytest.raises(ValueError, match="must have a name, got an empty string"):
            action("")
    assert contents(tmp_path) == {"README.md": b"mine"}


def test_a_model_without_weights(tmp_path):
    with pytest.raises(ValueError, match="meta device"):
        Linear(8, 3, 2).to("meta").save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_targets_that_are_in_the_way(saved):
    file = saved.parent / "file"
    file.write_text("mine")
    for target, error, words in (
        (file, ValueError, "it is a file"),
        (file / "below", NotADirectoryError, "file"),
        ("/proc/model", OSError, "/proc/model"),
    ):
        with pytest.raises(error, match=words):
            Linear(8, 3, 2).save_pretrained(target)
    assert file.read_text() == "mine"
    folder_in_place_of(CONFIG)(saved)
    before = sorted(path.name for path in saved.iterdir()), (saved / WEIGHTS).read_bytes()
    with pytest.raises(ValueError, match=r"config.json in it is a folder"):
        Linear(8, 3, 2).save_pretrained(saved)
    assert before == (sorted(path.name for path in saved.iterdir()), (saved / WEIGHTS).read_bytes())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(saved):
    before = contents(saved)
    saved.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="model"):
            Linear(8, 3, 2).save_pretrained(saved)
    finally:
        saved.chmod(0o755)
    assert contents(saved) == before


def test_a_full_disk_leaves_the_earlier_model(disk):
    model = Linear(8, 3, 2).eval()
    folder = model.save_pretrained(disk(64) / "model")
    before = contents(folder)
    with pytest.raises(OSError, match=f"No space left on device.*{folder}"):
        Linear(64, 30, 30).save_pretrained(folder)
    assert contents(folder) == before  # nothing left over either
    sound = torch.randn(1, 1, 8, 10)
    assert torch.equal(NeuralModel.from_pretrained(folder)(sound), model(sound))


def test_a_disk_that_can_only_be_read_leaves_the_earlier_model(disk, read_only):
    folder = Linear(8, 3, 2).save_pretrained(disk(64) / "model")
    before = contents(folder)
    read_only(folder.parent)
    for target in (folder, folder.parent / "new"):
        with pytest.raises(OSError, match=f"Read-only file system.*{target}"):
            Linear(8, 3, 2).save_pretrained(target)
    assert contents(folder) == before
    NeuralModel.from_pretrained(folder)


# --- fuzzing ----------------------------------------------------------------------------------------------------------

ALLOWED = (ValueError, FileNotFoundError)
FUZZ = settings(max_examples=80, derandomize=True, deadline=None, database=None)


@st.composite
def mutations(draw):
    """A function of bytes: truncation, flipped bytes, insertions, pieces that are copied, or other bytes altogether."""
    kind = draw(st.sampled_from(["truncate", "flip", "insert", "repeat", "replace"]))
    places = draw(st.lists(st.floats(0, 1), min_size=1, max_size=6))
    values = draw(st.binary(min_size=6, max_size=12))
    digits = draw(st.sampled_from([b"", b"9", b"-1", b"1e9", b"null", b'"', b"{", b"]", b"99999999"]))

    def mutate(content):
        data = bytearray(content)
        if kind == "replace":
            return values
        for place, value in zip(places, values, strict=False):
            at = int(place * max(len(data) - 1, 0))
            if kind == "truncate":
                return bytes(data[:at])
            if kind == "flip" and data:
                data[at] ^= value or 1
            elif kind == "insert":
                data[at:at] = digits or values
            elif kind == "repeat":
                data[at:at] = data[at : at + value]
        return bytes(data)

    return mutate


def model_with_everything():
    torch.manual_seed(0)
    return Linear(6, 3, 2, output_activation=ParametricSoftplus(2), prefiltering=None)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = model_with_everything().save_pretrained(tmp_path_factory.mktemp("fuzz") / "model", metadata={"cc": 0.5})
    return folder, contents(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, METADATA])
def test_fuzzed_files_load_or_raise(original, name):
    folder, files = original

    @FUZZ
    @given(mutations())
    def check(mutate):
        for other, content in files.items():
            (folder / other).write_bytes(content)
        (folder / name).write_bytes(mutate(files[name]))
        with warnings.catch_warnings(), contextlib.suppress(*ALLOWED):
            warnings.simplefilter("ignore")
            model = NeuralModel.from_pretrained(folder)
            assert sum(tensor.numel() for tensor in model.state_dict().values()) < 10_000

    check()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["torch.nn.PReLU"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["_module", "kwargs", "num_parameters", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def test_fuzzed_values_of_the_configuration(original):
    folder, files = original

    @FUZZ
    @given(st.dictionaries(st.sampled_from([*json.loads(files[CONFIG]), "more"]), VALUES, max_size=3))
    def check(changes):
        for name, content in files.items():
            (folder / name).write_bytes(content)
        config(**changes)(folder)
        with warnings.catch_warnings(), contextlib.suppress(*ALLOWED):
            warnings.simplefilter("ignore")
            NeuralModel.from_pretrained(folder)

    check()
