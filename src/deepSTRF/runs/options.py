"""The options of a run: the one table that the command line, the files of sweeps and the recipes read."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from deepSTRF.checks import check_choice, check_integer, check_number, describe_type
from deepSTRF.files import expand_path

if TYPE_CHECKING:
    from deepSTRF.datasets import NeuralDataset

__all__ = ["LOGGERS", "OPTIONS", "Arguments", "Conditions", "FitOptions", "Interrupted", "Option", "RunError"]

# Those of `training.loggers` that a run may have besides its history.jsonl; that module would load torch.
LOGGERS = ("tensorboard", "wandb", "mlflow")


class RunError(ValueError):
    """A mistake that the user can correct; the command line prints it as one line and exits with code 2.

    Parameters
    ----------
    message : str
        Names of options stand between backticks. ``str(error)`` has their Python names, :meth:`with_flags` those of the
        command line.

    Examples
    --------
    >>> error = RunError("`batch_size` must be at least 1, got 0")
    >>> str(error), error.with_flags()
    ('batch_size must be at least 1, got 0', '--batch-size must be at least 1, got 0')
    """

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"`(\w+)`", r"\1", message))
        self._message = message

    def with_flags(self) -> str:
        """Return the message with the options as the flags of the command line."""
        return re.sub(r"`(\w+)`", lambda match: flag_of(match[1]), self._message)


class Interrupted(RunError):
    """The user stopped a run after an epoch; it can be resumed from its folder."""


def flag_of(name: str) -> str:
    """Return the flag of an option on the command line, ``--batch-size`` for ``batch_size``."""
    return "--set" if name == "arguments" else f"--{name.replace('_', '-')}"


class Conditions(tuple[str, ...]):
    """Conditions on neurons or stimuli, all of which must hold.

    Examples
    --------
    >>> print(Conditions(["area=A1", "snr>0.2"]))
    area=A1 & snr>0.2
    """

    def __str__(self) -> str:
        return " & ".join(self)


class Arguments(dict[str, Any]):
    """Arguments of a model's constructor or of what reads the data: names to plain values.

    Not to be changed once it is part of the options.

    Examples
    --------
    >>> print(Arguments(hidden_channels=7, connectivity="FC"))
    hidden_channels=7,connectivity="FC"
    """

    def __hash__(self) -> int:  # type: ignore[override]  # options are keys of dicts
        return hash(json.dumps(self, sort_keys=True))

    def __str__(self) -> str:
        return ",".join(f"{name}={json.dumps(value)}" for name, value in self.items())


def _option(default: Any, help_text: str, **limits: Any) -> Any:
    """Field of :class:`FitOptions`; `limits` are the attributes of :class:`Option` of the same names."""
    return field(default=default, metadata={"help": help_text, **limits})


@dataclass(frozen=True)
class FitOptions:
    """The options of one run; None means the default of the recipe or of the data set.

    Parameters
    ----------
    {parameters}

    Raises
    ------
    TypeError
        If an option has the wrong type.
    RunError
        If an option is out of range. It is a ValueError.

    Examples
    --------
    >>> FitOptions(dataset="ns1", model="statenet", lr=0)
    Traceback (most recent call last):
        ...
    deepSTRF.runs.options.RunError: lr must be above 0, got 0.0
    """

    # In Python also a NeuralDataset.
    dataset: str = _option(
        "simulated",
        "A name that `deepstrf datasets` lists, the folder of a recording, FILE.nwb, FILE.py:CLASS or "
        "PACKAGE.MODULE:CLASS.",
    )
    model: str = _option(
        "linear-nonlinear", "A name that `deepstrf models` lists, FILE.py:CLASS or PACKAGE.MODULE:CLASS."
    )
    data: str | None = _option(
        None, "Folder with the recording's files, zipped or unzipped.", scope="dataset", is_folder=True
    )
    read: Mapping[str, Any] | None = _option(
        None,
        "An argument of what reads the data, NAME=VALUE, as trials=trials of an NWB file; may be given more than once.",
        scope="dataset",
    )
    dt_ms: float | None = _option(
        None, "Width of a time bin in ms.  [default: the data set's]", scope="dataset", above=0
    )
    split: str | None = _option(
        None,
        "A protocol that the data set names, holdout:K (K stimuli each to validate and test), or blocks:B (of time).",
        scope="dataset",
    )
    folds: int | None = _option(
        None,
        "Score every stimulus, or block of time, by a model that never saw it: so many fits, and one to everything.",
        scope="dataset",
        least=3,
    )
    neurons: tuple[str, ...] | None = _option(
        None,
        "Only the neurons with KEY=VALUE (also != > >= < <=): a key of their metadata, or snr, ccmax, "
        "trial_correlation, rate, repeats, index. May be given more than once; all must hold. Put it in quotes: "
        "'snr>0.2'.",
        scope="dataset",
    )
    stimuli: tuple[str, ...] | None = _option(
        None,
        "Only the stimuli with KEY=VALUE, in the same way: a key of their metadata, or duration (s), repeats, index.",
        scope="dataset",
    )
    seed: int = _option(0, "Seed of the initialisation and the batch order.", least=0, most=2**32 - 1)
    device: str = _option("cpu", "cpu, cuda, cuda:1, mps, ...")
    # The steps of these models are too small to share: with two threads they are a little faster where both cores are
    # free, and many times slower where one is busy. With a hundred thousand, torch crashes.
    threads: int = _option(1, "CPU threads of torch.", least=1, most=1024)
    epochs: int | None = _option(None, "At most this many passes over the training stimuli.", scope="model", least=1)
    patience: int | None = _option(None, "Stop after this many epochs without improvement.", scope="model", least=1)
    batch_size: int | None = _option(None, "Stimuli per gradient step.", scope="model", least=1)
    lr: float | None = _option(None, "Learning rate of AdamW.", scope="model", above=0)
    weight_decay: float | None = _option(None, "Weight decay of AdamW.", scope="model", least=0)
    loss: str | None = _option(None, "What training minimises.", scope="model", choices=("mse", "poisson"))
    monitor: str | None = _option(
        None, "What early stopping watches.", scope="model", choices=("val_cc_norm", "val_cc", "val_loss")
    )
    members: int | None = _option(
        None, "So many models are trained as one, and predict by their mean.", scope="model", least=1
    )
    precision: str | None = _option(
        None, "Of the products of training steps; bf16 is for GPUs.", scope="model", choices=("float32", "bf16")
    )
    window_ms: float | None = _option(
        None, "Window of the stimulus before a response, in ms.  [default: the recipe's]", scope="model", above=0
    )
    arguments: Mapping[str, Any] | None = _option(
        None, "An argument of the model's constructor, NAME=VALUE; may be given more than once.", scope="model"
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            object.__setattr__(self, name, option.check(getattr(self, name)))


@dataclass(frozen=True)
class Option:
    """One option of a run.

    Parameters
    ----------
    name : str
        Of the field of :class:`FitOptions`.
    kind : type
        str, int, float, tuple (of conditions) or Mapping.
    default : object
        None: that of the recipe or of the data set.
    help : str
        One line.
    scope : {"run", "dataset", "model"}
        Whether it belongs to the data set, to the training of the model, or to neither.
    least, most : int, optional
        Smallest and largest value.
    above : int, optional
        What the value must exceed.
    choices : tuple of str
        The only values, if there are any.
    is_folder : bool
        Whether it is a path, in which ``~`` is the home folder.
    """

    name: str
    kind: type
    default: Any
    help: str
    scope: str = "run"
    least: int | None = None
    most: int | None = None
    above: int | None = None
    choices: tuple[str, ...] = ()
    is_folder: bool = False

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return flag_of(self.name)

    def check(self, value: Any) -> Any:
        """Return `value` as the type of the option.

        Raises
        ------
        TypeError
            If it has the wrong type.
        RunError
            If it is out of range.
        """
        if value is None and self.default is None:
            return None
        try:
            return self._in_range(self._typed(value))
        except ValueError as error:
            raise RunError(f"`{self.name}`{str(error).removeprefix(self.name)}") from error

    def _typed(self, value: Any) -> Any:
        if self.kind is int:
            return check_integer(self.name, value, least=None)
        if self.kind is float:
            return float(check_number(self.name, value))
        if self.kind is Mapping:
            return _arguments(self.name, value)
        if self.kind is tuple:
            return _conditions(self.name, value)
        if self.is_folder:
            return str(expand_path(value, self.name))
        if self.name == "dataset" and is_dataset(value):
            return value
        if self.name == "dataset" and isinstance(value, os.PathLike):
            return str(value) if os.sep in str(value) else os.path.join(".", value)
        if not isinstance(value, str):
            raise TypeError(f"{self.name} must be a string, got {describe_type(value)}: {value!r}")
        return value

    def _in_range(self, value: Any) -> Any:
        if self.choices:
            return check_choice(self.name, value, self.choices)
        if self.above is not None and value <= self.above:
            raise ValueError(f"{self.name} must be above {self.above}, got {value}")
        if self.most is not None and self.least is not None and not self.least <= value <= self.most:
            raise ValueError(f"{self.name} must lie between {self.least} and {self.most}, got {value}")
        if self.least is not None and value < self.least:
            raise ValueError(f"{self.name} must be at least {self.least}, got {value}")
        return value


def is_dataset(value: Any) -> bool:
    """Whether `value` is a NeuralDataset rather than the name of one; without loading torch."""
    module = sys.modules.get("deepSTRF.datasets")  # where it is not loaded, there can be no data set
    return module is not None and isinstance(value, module.NeuralDataset)


def name_of_dataset(dataset: str | NeuralDataset) -> str:
    """Name of the data set of a run, ``object:<its class>`` where it was given as an object."""
    return dataset if isinstance(dataset, str) else f"object:{type(dataset).__name__}"


def _conditions(name: str, value: Any) -> Conditions | None:
    from deepSTRF.datasets.conditions import parse_conditions  # loads torch

    try:
        return Conditions(map(str, parse_conditions(value, name))) or None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _arguments(name: str, value: Any) -> Arguments | None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name} must be a dict with the names of arguments as keys, got {describe_type(value)}")
    try:
        json.dumps(dict(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold numbers, strings and lists, as JSON does; got {value!r}") from error
    return Arguments(value) or None


def _table() -> Mapping[str, Option]:
    hints = get_type_hints(FitOptions)
    return MappingProxyType(
        {
            entry.name: Option(entry.name, _kind(hints[entry.name]), entry.default, **entry.metadata)
            for entry in dataclasses.fields(FitOptions)
        }
    )


def _kind(hint: Any) -> type:
    """``str`` of ``str | None``, and ``Mapping`` of ``Mapping[str, Any] | None``."""
    kind = (get_args(hint) or (hint,))[0]
    return get_origin(kind) or kind


OPTIONS = _table()


def _parameters() -> str:
    """The options as numpydoc's section of parameters."""
    return "\n    ".join(
        f"{option.name} : {' or '.join(map(repr, option.choices)) or option.kind.__name__}"
        f"{', optional' if option.default is None else f', default {option.default!r}'}\n        {option.help}"
        for option in OPTIONS.values()
    )


FitOptions.__doc__ = (FitOptions.__doc__ or "").replace("{parameters}", _parameters())
