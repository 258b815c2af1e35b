"""Models on disk: a folder with weights, configuration, and whatever should travel with them.

Nothing in the folder can run code when it is loaded: weights are safetensors, and the configuration names only classes
of this library, of :mod:`torch.nn`'s activations, or ones that the caller has imported.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from deepSTRF.checks import describe_type
from deepSTRF.files import AnyPath, expand_path, write_files
from deepSTRF.models.saving.configuration import CONFIG_FILE, class_to_build, config_of, make, rebuilt
from deepSTRF.modes import evaluating

if TYPE_CHECKING:
    from deepSTRF.models.saving.savable import SavableModel

__all__ = [
    "CONFIG_FILE",
    "METADATA_FILE",
    "MODEL_CARD_FILE",
    "WEIGHTS_FILE",
    "load_pretrained_from_dir",
    "save_pretrained_to_dir",
]

WEIGHTS_FILE = "model.safetensors"
METADATA_FILE = "metadata.json"
MODEL_CARD_FILE = "README.md"

M = TypeVar("M", bound="SavableModel")


def save_pretrained_to_dir(
    model: SavableModel,
    directory: AnyPath,
    *,
    metadata: Mapping[str, Any] | None = None,
    model_card: str | None = None,
) -> Path:
    """Save a model so that it reloads to identical outputs.

    Before anything is written, a copy is made from the configuration and the weights and compared with the model:
    its structure and, bit by bit, its output on a probe stimulus. (Only where a front end does not say how many samples
    make a bin, in an attribute ``hop``, the settings of all parts are compared instead.) Each file is written under a
    temporary name and then renamed.

    Parameters
    ----------
    model : NeuralModel
        The model, in any mode, on any device.
    directory : path
        Folder, made if needed. Files of an earlier save are replaced, others are left alone.
    metadata : mapping, optional
        Anything JSON can hold; goes to ``metadata.json``.
    model_card : str, optional
        Text of ``README.md``.

    Returns
    -------
    Path
        The folder, with ``config.json``, ``model.safetensors``, ``README.md`` and perhaps ``metadata.json``.

    Raises
    ------
    AttributeError
        If `model` has no ``_init_kwargs``, as a plain torch module.
    TypeError
        If `metadata` is not a mapping, `model_card` not a text, or `directory` not a path.
    ValueError
        If an argument of the constructor cannot be written to JSON, the copy differs from the model, `metadata` cannot
        be written to JSON, or `directory` is a file or has a folder in the place of a file.
    OSError
        If the folder cannot be written; an earlier model in it is as it was.
    """
    from safetensors.torch import save

    folder = _folder(directory)
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a dict, got {describe_type(metadata)}")
    if model_card is not None and not isinstance(model_card, str):
        raise TypeError(f"model_card must be a str, got {describe_type(model_card)}")
    config = config_of(model)
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise ValueError("cannot save a model on the meta device: it has no weights")
    # Copies, because safetensors raises an error for tensors that share memory.
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    _check_reloads(model, config, weights)
    contents: dict[str, bytes] = {
        WEIGHTS_FILE: save(weights, metadata={"format": "pt"}),
        CONFIG_FILE: _json(config, "the configuration"),
        MODEL_CARD_FILE: (default_card(model) if model_card is None else model_card).encode(),
    }
    if metadata is not None:
        contents[METADATA_FILE] = _json(dict(metadata), "metadata")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"cannot save a model to {folder}: it is a file, not a folder")
    for name in contents:
        if (folder / name).is_dir():
            raise ValueError(f"cannot save a model to {folder}: {name} in it is a folder")
    folder.mkdir(parents=True, exist_ok=True)
    if METADATA_FILE not in contents:
        (folder / METADATA_FILE).unlink(missing_ok=True)  # of an earlier model
    write_files(folder, contents)
    return folder


def load_pretrained_from_dir(
    cls: type[M],
    directory: AnyPath,
    *,
    extra_kwargs: Mapping[str, Any] | None = None,
    strict: bool = True,
    map_location: str | torch.device = "cpu",
) -> tuple[M, dict[str, Any] | None]:
    """Load a saved model, in eval mode.

    Parameters
    ----------
    cls : type
        The class that was saved. For :class:`~deepSTRF.models.NeuralModel` or another base class, the class is looked
        up by the name in the configuration, among the library's models and the subclasses that have been imported.
    directory : path
        The folder. The configurations of deepSTRF 0.1.0 load too.
    extra_kwargs : mapping, optional
        Constructor arguments that override the saved ones, for instance modules that 0.1.0 did not save.
    strict : bool
        Whether every tensor must be in the file and in the model. With False, what is missing keeps its initial value,
        with a warning that names it.
    map_location : str or torch.device
        Device that the model is moved to.

    Returns
    -------
    model : NeuralModel
        In eval mode.
    metadata : dict or None
        None where none was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file is missing in it; the message names it.
    ValueError
        If a file is damaged or names an unknown class, config and weights do not fit together, or this machine has no
        device `map_location`.
    """
    folder = _folder(directory)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r} with a saved model")
    check_complete(folder, f"in {folder}: is this a folder that save_pretrained wrote?")
    config = _read_json(folder / CONFIG_FILE)
    weights = _read_weights(folder / WEIGHTS_FILE)
    metadata = _read_json(folder / METADATA_FILE) if (folder / METADATA_FILE).is_file() else None

    saved_as = config.pop("_model_class", cls.__name__)
    if not isinstance(saved_as, str):
        raise ValueError(f"{folder / CONFIG_FILE} is damaged: _model_class must be a name, got {saved_as!r}")
    model_class = class_to_build(cls, saved_as)
    overrides = dict(extra_kwargs or {})
    try:
        with torch.device("meta"):
            sketch = make(model_class, config, overrides, folder)
    except ValueError:
        pass  # also where a constructor needs numbers; what is wrong, the real one will say
    else:  # without memory: a damaged size must not ask for all there is
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the model itself will warn
            _load_weights(sketch, weights, strict, folder)
    with torch.random.fork_rng(devices=[]):  # its initial values are replaced: they cost the caller no random numbers
        model = make(model_class, config, overrides, folder)
    _load_weights(model, weights, strict, folder)
    try:
        model = model.to(map_location)
    except (RuntimeError, AssertionError) as error:  # torch raises AssertionError where CUDA is not compiled in
        reason = str(error).splitlines()[0]
        raise ValueError(f"the model cannot be moved to map_location={map_location!r}: {reason}") from error
    return model.eval(), metadata


def _folder(directory: AnyPath) -> Path:
    folder = expand_path(directory, "the folder of a model")
    if not os.fspath(directory):
        raise ValueError("the folder of a model must have a name, got an empty string; '.' is the current folder")
    return folder


def check_complete(folder: Path, where: str) -> None:
    """Raise a FileNotFoundError if the configuration or the weights are missing."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{name} is missing {where}")


# --- weights ---------------------------------------------------------------------------------------------------------


def _load_weights(model: nn.Module, weights: Mapping[str, Tensor], strict: bool, where: object) -> None:
    for name, tensor in model.state_dict().items():
        if name in weights and weights[name].is_complex() != tensor.is_complex():
            raise ValueError(
                f"the weights in {where} do not fit the model of {CONFIG_FILE}: {name} is {weights[name].dtype}, and "
                f"{tensor.dtype} in the model"
            )
    try:
        # assign keeps the saved precision: a float64 model comes back as one.
        problems = model.load_state_dict(dict(weights), strict=strict, assign=True)
    except RuntimeError as error:
        raise ValueError(f"the weights in {where} do not fit the model of {CONFIG_FILE}: {error}") from error
    _set_precision_of_unsaved(model)
    if problems.missing_keys or problems.unexpected_keys:
        warnings.warn(
            f"loaded with strict=False: missing {problems.missing_keys}, unexpected {problems.unexpected_keys}",
            UserWarning,
            stacklevel=4,
        )


def _set_precision_of_unsaved(model: nn.Module) -> None:
    """Give the buffers that are not saved, such as windows, the precision of a model that has only one."""
    precisions = {tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point()}
    if len(precisions) != 1:
        return
    (precision,) = precisions
    for module in model.modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers[name]
            if buffer is not None and buffer.is_floating_point():
                module._buffers[name] = buffer.to(precision)


# --- the check before saving -----------------------------------------------------------------------------------------


def _check_reloads(model: SavableModel, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raise a ValueError unless a copy made from `config` and `weights` is the same model."""
    reason = (
        "A model is saved as its constructor arguments and its weights; what was changed after construction is lost"
    )
    through_json = json.loads(_json(dict(config), "the configuration"))
    del through_json["_model_class"]
    with torch.random.fork_rng(devices=[]):  # the copy draws initial values; the caller's stream goes on untouched
        copy = type(model)(**{name: rebuilt(value) for name, value in through_json.items()})
    if repr(copy) != repr(model):
        raise ValueError(
            f"cannot save this {type(model).__name__}: its constructor arguments make another structure. {reason}.\n"
            f"The model:\n{model}\nThe copy:\n{copy}"
        )
    try:
        _load_weights(copy, weights, True, "the model")
    except ValueError as error:
        raise ValueError(f"cannot save this {type(model).__name__}. {reason}. {error}") from error
    trains = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, parameter in copy.named_parameters():
        parameter.requires_grad_(trains[name])  # on which torch's choice of a matrix product, and the last bit, depend
    probe = model._probe()
    if probe is None:
        _check_same_settings(model, copy, reason)
    elif not _same(_eval_output(model, probe), _eval_output(copy.to(probe.device), probe)):
        raise ValueError(f"cannot save this {type(model).__name__}: a reloaded copy predicts something else. {reason}")


def _same(expected: Tensor, got: Tensor) -> bool:
    """Whether two outputs are equal to the last bit; NaN is equal to NaN."""
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return False
    return bool(((expected == got) | (expected.isnan() & got.isnan())).all())


def _check_same_settings(model: nn.Module, copy: nn.Module, reason: str) -> None:
    """Raise a ValueError for hooks, and for numbers and texts that differ; for models without a probe stimulus."""
    for (name, module), (_, remade) in zip(model.named_modules(), copy.named_modules(), strict=True):
        part = f"its {name}" if name else "it"
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(f"cannot save this {type(model).__name__}: {part} has hooks. {reason}")
        for setting, value in vars(remade).items():
            own = getattr(module, setting, None)
            is_setting = not setting.startswith("_") and setting != "training"
            if is_setting and isinstance(value, bool | int | float | str | tuple) and own != value:
                raise ValueError(
                    f"cannot save this {type(model).__name__}: {part} has {setting}={own!r}, a copy {value!r}. {reason}"
                )


def _eval_output(model: nn.Module, probe: Tensor) -> Tensor:
    with evaluating(model), torch.no_grad():
        return model(probe)


# --- files -----------------------------------------------------------------------------------------------------------


def _json(value: Any, what: str) -> bytes:
    try:
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} cannot be written as JSON: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also bytes that are not text, and endless brackets
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object, got {describe_type(value)}")
    return value


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged or not a safetensors file: {error}") from error


def default_card(model: SavableModel, name_or_path: str = "path/to/this/folder") -> str:
    """Return the ``README.md`` of a model without one of its own, with front matter for the Hub."""
    name = type(model).__name__
    return (
        "---\nlibrary_name: deepSTRF\ntags:\n- neuroscience\n- encoding-model\n---\n\n"
        f"# {name}\n\n"
        f"{model._summary()} Saved by [deepSTRF](https://deepstrf.readthedocs.io).\n\n"
        "```python\nfrom deepSTRF.models import NeuralModel\n\n"
        f'model = NeuralModel.from_pretrained("{name_or_path}")\n```\n'
    )
