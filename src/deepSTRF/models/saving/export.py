"""A model as a graph that runs bin by bin without Python: in C++ with libtorch, or anywhere with ONNX Runtime.

The graph takes a frame and the state, and gives the prediction for the frame and the new state. Nothing is kept inside:
the caller hands each new state to the next call, and begins a stimulus with zeros.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import deepSTRF
from deepSTRF.checks import check_integer, describe_type
from deepSTRF.files import expand_path, write_file
from deepSTRF.models.bin_by_bin import State, map_state
from deepSTRF.models.neural_model import NeuralModel

__all__ = ["NotExportableError", "export_onnx", "export_step"]

_TOLERANCE = 1e-4
_N_CHECKED = 12  # frames


class NotExportableError(TypeError):
    """A model cannot be written as a graph; the message says what stands in the way."""


def export_step(model: NeuralModel, batch_size: int = 1) -> torch.export.ExportedProgram:
    """Write the frame-by-frame form of a model as a graph of PyTorch, without Python.

    Parameters
    ----------
    model : NeuralModel
        The graph is that of eval mode; the model is left as it is.
    batch_size : int
        Number of stimuli that run side by side; it is fixed in the graph.

    Returns
    -------
    torch.export.ExportedProgram
        Of ``(frame, *state) -> (prediction, *new_state)``, all of them tensors. The frame is one bin as
        :meth:`NeuralModel.step` takes it: ``(B, 1, F, 1)`` of a spectrogram, ``(B, 1, hop)`` samples of a waveform,
        ``(B, C, H, W, 1)`` of a movie; the prediction is ``(B, N, 1, 1)``. ``example_inputs`` holds a frame and a
        state of zeros, the onset.

    Raises
    ------
    NotStreamableError
        If the model cannot run bin by bin.
    NotExportableError
        If PyTorch cannot export it, or the graph computes something else.
    ValueError
        If `batch_size` is not positive, or the model does not say what a frame is, as with a front end without ``hop``.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import StateNet
    >>> model = StateNet(n_frequency_bands=34, out_neurons=5).eval()
    >>> program = export_step(model)
    >>> run = program.module()
    >>> _, *state = program.example_inputs[0]
    >>> sound = torch.randn(1, 1, 34, 20)
    >>> for t in range(20):
    ...     prediction, *state = run(sound[..., t : t + 1], *state)
    >>> torch.allclose(prediction, model(sound)[..., -1:], atol=1e-5)
    True
    """
    step, inputs = _flat_step(model, batch_size)
    with _named_errors(model), _quiet(), torch.no_grad():
        program = torch.export.export(step, inputs)
    run = program.module()
    if not _agrees(step, inputs, lambda *tensors: run(*tensors)):
        raise _differs_error(model)
    return program


def export_onnx(
    model: NeuralModel,
    path: str | os.PathLike[str],
    batch_size: int = 1,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write the frame-by-frame form of a model to an ONNX file, for ONNX Runtime in C++, Python, a browser, ...

    Before it is written, it runs in ONNX Runtime on a few frames, and is compared with the model.

    Parameters
    ----------
    model : NeuralModel
        The graph is that of eval mode; the model is left as it is.
    path : path
        The file, usually ``.onnx``. Folders are made, an earlier file is replaced.
    batch_size : int
        Number of stimuli that run side by side; it is fixed in the graph.
    metadata : mapping, optional
        What else should be in the file, such as ``{"dt_ms": 5}``: names to anything JSON can hold.

    Returns
    -------
    Path
        The file. Inputs are called ``frame, state_0, state_1, ...``, outputs ``prediction, new_state_0, ...``, of the
        shapes that :func:`export_step` describes. A stimulus begins with zeros for every state. The metadata of the
        file also say ``model_class``, ``out_neurons``, ``samples_per_bin`` and ``deepSTRF_version``.

    Raises
    ------
    ImportError
        If onnx, onnxscript or onnxruntime is missing; the message says how to install them.
    NotStreamableError
        If the model cannot run bin by bin.
    NotExportableError
        If ONNX has no counterpart to a part of the model, or the graph computes something else.
    ValueError
        If the model is not in float32, `batch_size` is not positive, `metadata` cannot be written to JSON, or the model
        does not say what a frame is.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from deepSTRF.models.audio import StateNet
    >>> model = StateNet(n_frequency_bands=34, out_neurons=5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_onnx(model, f"{folder}/statenet.onnx", metadata={"dt_ms": 5})
    ...     path.stat().st_size > 100_000
    True
    """
    try:
        import onnxruntime  # noqa: F401  and the two that torch.onnx needs
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("writing ONNX files needs more packages: pip install 'deepSTRF[export]'") from error
    step, inputs = _flat_step(model, batch_size)
    if inputs[0].dtype != torch.float32:
        raise ValueError(
            f"the model is in {inputs[0].dtype}, but ONNX Runtime has many functions in float32 only: "
            "export copy.deepcopy(model).float()"
        )
    properties = {
        "deepSTRF_version": deepSTRF.__version__,
        "model_class": type(model).__name__,
        "out_neurons": model.O,
        "samples_per_bin": inputs[0].shape[-1],
        **(metadata or {}),
    }
    try:
        properties = {name: text if isinstance(text, str) else json.dumps(text) for name, text in properties.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata cannot be written as JSON: {error}") from error
    content = _onnx(step, inputs, properties)
    if not _agrees(step, inputs, _in_onnx_runtime(model, content)):
        content = _onnx(step, inputs, properties, optimize=False)  # which takes x + 1e-9 for x
        if not _agrees(step, inputs, _in_onnx_runtime(model, content)):
            raise _differs_error(model)
    path = expand_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content)
    return path


def _onnx(step: _FlatStep, inputs: tuple[Tensor, ...], properties: Mapping[str, str], optimize: bool = True) -> bytes:
    """Return the contents of an ONNX file."""
    import onnxscript.optimizer

    states = [f"state_{i}" for i in range(len(inputs) - 1)]
    with _named_errors(step.model), _quiet(), torch.no_grad():
        program = torch.onnx.export(
            torch.export.export(step, inputs),
            input_names=["frame", *states],
            output_names=["prediction", *(f"new_{name}" for name in states)],
            dynamo=True,
            verbose=False,
            optimize=optimize,
        )
        if program is None:
            raise RuntimeError("torch.onnx gave no program")
        if not optimize:
            onnxscript.optimizer.inline(program.model)
            onnxscript.optimizer.fold_constants_ir(program.model)
            onnxscript.optimizer.remove_unused_nodes(program.model)
        program.model.metadata_props.update(properties)
        return program.model_proto.SerializeToString()


def _in_onnx_runtime(model: NeuralModel, content: bytes) -> Callable[..., list[Tensor]]:
    """Return the graph in an ONNX file as a function."""
    import onnxruntime

    with _named_errors(model, "ONNX Runtime cannot run"):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(*tensors: Tensor) -> list[Tensor]:
        arrays = {entry.name: tensor.numpy() for entry, tensor in zip(session.get_inputs(), tensors, strict=True)}
        with _named_errors(model, "ONNX Runtime cannot run"):
            return [torch.from_numpy(array) for array in session.run(None, arrays)]

    return run


class _FlatStep(nn.Module):
    """A model's step with its state as a plain sequence of tensors; those without elements stay inside."""

    def __init__(self, model: NeuralModel, onset: State) -> None:
        super().__init__()
        self.model, self.onset = model, onset

    def forward(self, frame: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        state = map_state(lambda zeros: next(given) if zeros.numel() else zeros, self.onset)
        prediction, state = self.model.step(frame, state)
        return prediction, *_tensors(state)


def _tensors(state: State) -> list[Tensor]:
    """Return the tensors of a state that have elements, in order."""
    found: list[Tensor] = []
    map_state(lambda tensor: found.append(tensor) or tensor, state)  # type: ignore[func-returns-value]
    return [tensor for tensor in found if tensor.numel()]


def _flat_step(model: NeuralModel, batch_size: int) -> tuple[_FlatStep, tuple[Tensor, ...]]:
    """Return the module to export, and zeros as its inputs."""
    if not isinstance(model, NeuralModel):
        raise TypeError(f"model must be a NeuralModel, got {describe_type(model)}")
    shape = model._stimulus_shape(check_integer("batch_size", batch_size), 1)
    if shape is None:
        raise ValueError(
            f"this {type(model).__name__} does not say what one bin of a stimulus is: its front end must have an "
            "attribute hop, the number of samples in a bin"
        )
    # A copy, because PyTorch's export puts its own tensors into recurrent layers while it works.
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(1))
    frame = torch.zeros(shape, dtype=reference.dtype)
    with torch.no_grad():
        onset = map_state(torch.zeros_like, model.step(frame)[1])
    return _FlatStep(model, onset).eval(), (frame, *_tensors(onset))


def _agrees(step: _FlatStep, inputs: Sequence[Tensor], run: Callable[..., Sequence[Tensor]]) -> bool:
    """Whether a graph predicts what the model does on a few frames, its own state handed on."""
    generator = torch.Generator().manual_seed(0)
    frame, *state = inputs
    expected_state: Sequence[Tensor] = state
    for _ in range(_N_CHECKED):
        frame = torch.randn(frame.shape, generator=generator, dtype=frame.dtype)
        with torch.no_grad():
            expected, *expected_state = step(frame, *expected_state)
            prediction, *state = run(frame, *state)
        if not float((prediction - expected).abs().max()) <= _TOLERANCE * float(1 + expected.abs().max()):
            return False
    return True


def _differs_error(model: nn.Module) -> NotExportableError:
    return NotExportableError(
        f"the graph of this {type(model).__name__} predicts something else than the model: a part of it branches on "
        "values, or keeps something between calls"
    )


@contextlib.contextmanager
def _named_errors(model: nn.Module, trouble: str = "PyTorch cannot export") -> Iterator[None]:
    try:
        yield
    except Exception as error:  # torch and ONNX Runtime may raise anything here
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise NotExportableError(
            f"{trouble} this {type(model).__name__}: {type(error).__name__}: {lines[0] if lines else ''}"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about torch's own use of torch, and about packages that are not needed."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
