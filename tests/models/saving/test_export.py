"""The frame-by-frame graph of a model, in PyTorch and in ONNX Runtime, computes what the model computes."""

import copy
import functools
import sys

import pytest
import torch
from model_zoo import ZOO
from torch import nn

from deepSTRF.models import NeuralModel
from deepSTRF.models.audio import AudioEncodingModel, Linear, StateNet, Transformer
from deepSTRF.models.bin_by_bin import NotStreamableError
from deepSTRF.models.prefiltering import make_prefiltering
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.saving.export import NotExportableError, export_onnx, export_step
from deepSTRF.models.wav2spec import make_wav2spec

onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'deepSTRF[export]'")

N_FRAMES = 50


@pytest.fixture(scope="module", autouse=True)
def functions_of_onnx_are_read_once():
    """PyTorch reads its 500 functions for ONNX anew for every file, in more time than all the rest takes."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


class Frames(nn.Module):
    """A front end: bands are the means of stretches of a bin of 24 samples."""

    memoryless = True
    out_channels = 12
    hop = 24

    def forward(self, wave):
        return wave.unflatten(-1, (-1, 12, 2)).mean(-1).transpose(-1, -2)


def small_statenet(**options):
    return StateNet(12, out_neurons=3, **options)


def spectrograms(batch_size, n_bins):
    return torch.randn(batch_size, 1, 12, n_bins)


def heard_by(kind, **options):
    """A model of waveforms with one of our front ends, 40 samples per bin."""
    n_bands = {"n_mels": 12} if kind == "mel" else {"n_filters": 12}
    return small_statenet(wav2spec=make_wav2spec(kind, 8000, 5.0, f_max=3500.0, **n_bands), **options)


# Every core and every front end, in few graphs: to export one takes a second.
VARIANTS = {
    "window of one bin": lambda: Linear(12, 1, 3, output_activation=nn.Softplus()),
    "adaptrans, LSTM": lambda: small_statenet(prefiltering=make_prefiltering("adaptrans", 12, dt=5.0), rnn_type="LSTM"),
    "CONV, RNN": lambda: small_statenet(connectivity="CONV", rnn_type="RNN"),
    **{
        f"{kind}, {core}": lambda kind=kind, core=core: heard_by(kind, rnn_type=core)
        for kind, core in {"mel": "LMU", "gammatone": "Mamba", "sincnet": "S4", "leaf": "S4D"}.items()
    },
}
CASES = {name: (lambda name=name: ZOO[name].make()) for name in sorted(ZOO)} | VARIANTS


def streamed(run, inputs, stims):
    """Predictions of a graph that is fed bin by bin, its state handed on."""
    frame, *state = inputs
    predictions = []
    for piece in stims.split(frame.shape[-1], -1):
        prediction, *state = run(piece, *state)
        predictions.append(prediction)
    return torch.cat(predictions, -1)


def in_onnxruntime(path):
    """The graph in a file as a function of tensors, and zeros as its inputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    dtypes = {"tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(int64)": torch.int64}
    inputs = [torch.zeros(entry.shape, dtype=dtypes[entry.type]) for entry in session.get_inputs()]

    def run(*tensors):
        arrays = {entry.name: tensor.numpy() for entry, tensor in zip(session.get_inputs(), tensors, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, arrays)]

    return session, run, inputs


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "linear" else pytest.mark.slow) for name in (*sorted(ZOO), *VARIANTS)],
)
def test_onnx_runtime_predicts_as_the_model_does(name, tmp_path):
    torch.manual_seed(0)
    model = CASES[name]().eval()
    _, run, inputs = in_onnxruntime(export_onnx(model, tmp_path / "model.onnx", batch_size=2))
    stims = torch.randn(*inputs[0].shape[:-1], N_FRAMES * inputs[0].shape[-1])
    with torch.no_grad():
        expected = model(stims)
    torch.testing.assert_close(streamed(run, inputs, stims), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_names_shapes_and_metadata_of_an_onnx_file(tmp_path):
    path = export_onnx(
        small_statenet(rnn_type="LSTM"), tmp_path / "new" / "model.onnx", metadata={"dt_ms": 5, "by": "me"}
    )
    assert path == tmp_path / "new" / "model.onnx"
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]  # the weights are in it
    session, _, _ = in_onnxruntime(path)
    assert [(entry.name, entry.shape) for entry in session.get_inputs()] == [
        ("frame", [1, 1, 12, 1]),
        ("state_0", [1, 1, 14]),
        ("state_1", [1, 1, 14]),
    ]
    assert [(entry.name, entry.shape) for entry in session.get_outputs()] == [
        ("prediction", [1, 3, 1, 1]),
        ("new_state_0", [1, 1, 14]),
        ("new_state_1", [1, 1, 14]),
    ]
    assert session.get_modelmeta().custom_metadata_map == {
        "dt_ms": "5",
        "by": "me",
        "model_class": "StateNet",
        "out_neurons": "3",
        "samples_per_bin": "1",
        "deepSTRF_version": "0.2.0",
    }


def test_a_model_of_waveforms_takes_the_samples_of_a_bin(tmp_path):
    model = Linear(12, 4, 3, wav2spec=Frames()).eval()
    wave = torch.randn(1, 1, 24 * N_FRAMES)
    session, run, inputs = in_onnxruntime(export_onnx(model, tmp_path / "model.onnx"))
    assert inputs[0].shape == (1, 1, 24)
    assert session.get_modelmeta().custom_metadata_map["samples_per_bin"] == "24"
    torch.testing.assert_close(streamed(run, inputs, wave), model(wave).detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("rnn_type", ["GRU", "LSTM"])
def test_a_graph_of_pytorch_predicts_as_the_model_does_also_when_saved(tmp_path, rnn_type, precision):
    model = small_statenet(rnn_type=rnn_type).to(precision).eval()
    stims = spectrograms(2, N_FRAMES).to(precision)
    torch.export.save(export_step(model, batch_size=2), tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2")
    got = streamed(program.module(), program.example_inputs[0], stims)
    torch.testing.assert_close(got, model(stims).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_model_is_left_as_it_is(tmp_path):
    model = small_statenet().train()
    before = copy.deepcopy(model.state_dict())
    export_onnx(model, tmp_path / "model.onnx")
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model(spectrograms(2, 5)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# --- refusals --------------------------------------------------------------------------------------------------------


class Branches(AudioEncodingModel):
    """Its step looks at values."""

    def __init__(self):
        super().__init__(12, 1, 2)
        self.readout = LinearReadout(12, 2)

    def _features(self, filtered):
        return self._step_features(filtered, None)[0]

    def _step_features(self, filtered, state):
        if filtered.sum() > 0:
            filtered = -filtered
        return filtered.squeeze(1), ()


class Counts(Branches):
    """Its step keeps something between calls."""

    calls = 0

    def _step_features(self, filtered, state):
        self.calls += 1
        return self.calls * filtered.squeeze(1), ()


@pytest.mark.parametrize("export", [export_step, lambda model: export_onnx(model, "never-written.onnx")])
def test_what_cannot_be_exported_raises_an_error_with_the_reason(export):
    with pytest.raises(NotExportableError, match="PyTorch cannot export this Branches"):
        export(Branches())
    with pytest.raises(NotExportableError, match="predicts something else than the model"):
        export(Counts())

    class NoStep(Linear):
        def forward(self, stims):
            return 2 * super().forward(stims)

    with pytest.raises(NotStreamableError, match="needs its own step"):
        export(NoStep(12))
    with pytest.raises(NotStreamableError, match="make it with a context_window"):
        export(Transformer(12, embedding_dim=8))

    class NoHop(Frames):
        hop = None

    with pytest.raises(ValueError, match="must have an attribute hop"):
        export(Linear(12, wav2spec=NoHop()))

    class Bare(NeuralModel):
        def __init__(self):
            super().__init__()
            self.readout = nn.ReLU()

    with pytest.raises(ValueError, match="this Bare does not say what one bin of a stimulus is"):
        export(Bare())
    with pytest.raises(TypeError, match="must be a NeuralModel, got a ReLU"):
        export(nn.ReLU())


def test_bad_arguments_raise_an_error_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        export_step(Linear(12), batch_size=0)
    with pytest.raises(ValueError, match="metadata cannot be written as JSON"):
        export_onnx(Linear(12), tmp_path / "model.onnx", metadata={"cc": torch.ones(2)})
    with pytest.raises(ValueError, match=r"the model is in torch\.float64, but ONNX Runtime"):
        export_onnx(Linear(12).double(), tmp_path / "model.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        export_onnx(Linear(12), tmp_path / "file" / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'deepSTRF\[export\]'"):
        export_onnx(Linear(12), tmp_path / "model.onnx")
