"""One run as an object: everything that its steps need to know."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import deepSTRF
from deepSTRF.checks import check_device
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.registry import Recipe, Settings, get_recipe
from deepSTRF.runs import folder as files
from deepSTRF.runs.data_source import PATHS_OF_PHY, absolute_dataset, absolute_values, kind_of_data, place_of
from deepSTRF.runs.options import FitOptions, RunError, name_of_dataset
from deepSTRF.runs.recording import Recording, load_recording
from deepSTRF.runs.settings import resolve_settings, window_of
from deepSTRF.training.recipes import settings_for

__all__ = ["Run", "RunResult", "prepare_run", "with_absolute_paths"]

EpochCallback = Callable[[Any, dict[str, Any]], None]


@dataclass(frozen=True)
class Run:
    """What is fitted to what, and where."""

    options: FitOptions
    """What the user asked for."""
    recipe: Recipe
    """How the model is built and trained."""
    settings: Settings | None
    """The recipe's settings with the user's options in their place; None for a model in closed form."""
    recording: Recording
    """The data."""
    device: torch.device
    """Where the model is trained."""
    config: dict[str, Any]
    """All of this for ``config.json``, with the fingerprint of the data and the versions."""
    folder: Path
    """Where everything is written."""
    is_new: bool
    """Whether the folder was made for this run, rather than found with an unfinished one."""
    on_epoch: EpochCallback | None = None
    """``(fitter, epoch_dict)``, once per epoch."""

    @property
    def monitor(self) -> str:
        """The score that chose the best epoch or the penalty."""
        return "val_cc_norm" if self.settings is None else self.settings.monitor

    @property
    def n_lags(self) -> int:
        """Bins of the receptive fields that are drawn: the same window for every model without one of its own."""
        return max(1, round(self.window_ms / self.recording.dataset.dt))

    @property
    def window_ms(self) -> float:
        """Length of the receptive fields where a model has them."""
        return window_of(self.options, self.settings)


@dataclass(frozen=True, repr=False)
class RunResult:
    """What a run found, and where it wrote it.

    Parameters
    ----------
    folder : Path
        The run folder.
    model : FrameModel
        The fitted model, on the CPU.
    history : list of dict
        One dict per epoch.
    scores : dict of str to dict of str to Tensor
        Part and score to the value of each neuron.
    summary : dict
        What ``scores.json`` holds.
    predictions : list of Tensor
        Per stimulus of the recording ``(N, T_s)``; with folds, by the model that never saw it.
    strfs : Tensor, (N, F, T) or (N, [C,] H, W, T), optional
        Receptive fields; None for a model of waveforms, whose fields are over features that it learnt.
    recovery : Tensor, (N,), optional
        Correlation with the true receptive fields, for simulated data.
    val_predictions : list of Tensor
        With folds: per stimulus, by the model that it stopped.
    spread : list of Tensor
        Of an ensemble without folds: per stimulus ``(N, T_s)``, the standard deviation over its members.
    """

    folder: Path
    model: FrameModel
    history: list[dict[str, Any]]
    scores: dict[str, dict[str, Tensor]]
    summary: dict[str, Any]
    predictions: list[Tensor]
    strfs: Tensor | None = None
    recovery: Tensor | None = None
    val_predictions: list[Tensor] = field(default_factory=list)
    spread: list[Tensor] = field(default_factory=list)

    def __repr__(self) -> str:
        """The folder and the mean test scores, not thousands of numbers."""
        test = self.summary["parts"]["test"]
        scores = ", ".join(f"test {name} {test[name]['mean']:.3f}" for name in ("cc", "cc_norm"))
        return f"RunResult({str(self.folder)!r}, {scores})"


def prepare_run(
    options: FitOptions,
    out: str | Path | None,
    *,
    resume: bool = False,
    on_epoch: EpochCallback | None = None,
    dataset: NeuralDataset | None = None,
) -> Run:
    """Check the options, load the recording and make the folder, or find that of the unfinished run.

    `dataset` is the data set that the options name, where it is loaded already.

    Raises
    ------
    RunError, ValueError, OSError
        If the user must correct something; no folder is made then.
    """
    recipe = get_recipe(options.model)
    settings = resolve_settings(options)
    device = check_device(options.device)
    recording = load_recording(options, dataset)
    settings = _settings_for_responses(settings, options, recording)
    config = _config(options, settings, recording)
    if resume:
        folder, is_new = files.open_run_folder(out, config, recording.contents or {})
    else:
        folder, is_new = files.create_run_folder(out, config["options"]), True
    return Run(options, recipe, settings, recording, device, config, folder, is_new, on_epoch)


def _settings_for_responses(settings: Settings | None, options: FitOptions, recording: Recording) -> Settings | None:
    """A Poisson loss is for counts and rates, and cc_norm for repeats: a recipe's give way where there are none."""
    fitting = settings_for(settings, recording.parts["train"], recording.parts["val"])
    if fitting is not None and options.monitor not in (None, fitting.monitor):
        raise RunError(
            "the validation stimuli have single trials only, so `monitor` cannot be val_cc_norm; choose val_cc or "
            "val_loss, or leave it out"
        )
    if fitting is not None and options.loss not in (None, fitting.loss):
        raise RunError("some responses are negative, so `loss` cannot be poisson; choose mse or leave it out")
    return fitting


def with_absolute_paths(options: FitOptions) -> FitOptions:
    """The options such that they mean the same in another working folder."""
    data = None if options.data is None else str(Path(options.data).resolve())
    dataset = (
        absolute_dataset(options.dataset) if isinstance(options.dataset, str) else name_of_dataset(options.dataset)
    )
    model = files.absolute_name(options.model)
    read = absolute_values(options.read, PATHS_OF_PHY if kind_of_data(options.dataset) == "phy" else ())
    return dataclasses.replace(options, dataset=dataset, model=model, data=data, read=read)


def _config(options: FitOptions, settings: Settings | None, recording: Recording) -> dict[str, Any]:
    dataset = recording.dataset
    spectrogram = getattr(dataset, "spectrogram", None)
    return {
        "options": dataclasses.asdict(with_absolute_paths(options)),
        "settings": None if settings is None else dataclasses.asdict(settings),
        "dataset_class": f"{type(dataset).__module__}.{type(dataset).__qualname__}",
        "dt_ms": dataset.dt,
        "neurons": dataset.N_neurons,
        "selected": None if recording.selected is None else recording.selected._asdict(),
        "split": {"name": recording.split, **{name: list(stimuli) for name, stimuli in recording.indices.items()}}
        | ({"folds": [list(split.test) for split in recording.folds]} if recording.folds else {}),
        "spectrogram": None if spectrogram is None else spectrogram.as_dict(),
        "stimulus_shape": list(dataset.stims[0].shape[:-1]),
        "stimulus_normalizations": [
            {name: entry[name] for name in ("mean", "std")} for entry in getattr(dataset, "stim_normalizations", ())
        ],
        "cell_ids": [str(as_dict(meta).get("cell_id", n)) for n, meta in enumerate(dataset.nrn_meta)],
        "stimulus_normalization": {
            name: getattr(dataset, "stim_normalization", {}).get(name) for name in ("mean", "std", "per_band")
        },
        "data": place_of(options),
        "data_sha256": files.data_fingerprint(dataset),
        "deepSTRF": deepSTRF.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
