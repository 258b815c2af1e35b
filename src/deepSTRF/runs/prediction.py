"""A fitted model applied to new sounds, or to other new stimuli."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF import plotting
from deepSTRF.datasets.arrays import to_tensor
from deepSTRF.datasets.sounds import Sound, read_sound, sound_items
from deepSTRF.datasets.spectrograms import Spectrogram
from deepSTRF.files import AnyPath, expand_path
from deepSTRF.models import Ensemble, NeuralModel
from deepSTRF.modes import cpu_threads
from deepSTRF.registry import get_model_card
from deepSTRF.runs import folder as files
from deepSTRF.runs.options import RunError
from deepSTRF.runs.scores import predict_stimuli

__all__ = ["Predictions", "new_folder", "predict", "write_new_predictions"]

_FAR = 4.0  # standard deviations of the training stimuli
_METADATA = "metadata.json"


class Predictions(list[Tensor]):
    """Per sound the predicted responses (N, T), in the units of the recording, per bin.

    Attributes
    ----------
    names : list of str
        Names of the sounds.
    cell_ids : list of str
        Names of the neurons.
    dt_ms : float
        Width of a bin.
    stims : list of Tensor
        What the model was given, before it was standardised.
    frequencies_hz : list of float or None
        Centres of the bands, for spectrograms.
    notes : list of str
        What looks wrong with the sounds.
    spread : list of Tensor or None
        Per sound the standard deviation (N, T) over the members of an ensemble, where it was asked for.
    """

    def __init__(
        self,
        predictions: Sequence[Tensor],
        names: list[str],
        cell_ids: list[str],
        dt_ms: float,
        stims: list[Tensor],
        frequencies_hz: list[float] | None,
        notes: list[str],
        spread: list[Tensor] | None = None,
    ):
        super().__init__(predictions)
        self.names, self.cell_ids, self.dt_ms = names, cell_ids, dt_ms
        self.stims, self.frequencies_hz, self.notes, self.spread = stims, frequencies_hz, notes, spread


def predict(model_folder: AnyPath, sounds: Any, rate: float | None = None, *, spread: bool = False) -> Predictions:
    """Predict the responses to new sounds, with the model that a run saved.

    A sound goes through the front end of the run's data set, and is standardised with the statistics of its training
    stimuli, so that a stimulus of the recording gets the prediction that the run made for it.

    Parameters
    ----------
    model_folder : path
        The folder of a finished run, or the folder ``model`` in it.
    sounds : path, folder, array, list or dict
        Sound files, or arrays with their `rate`, as for
        :meth:`~deepSTRF.datasets.audio.AudioNeuralDataset.from_waveforms`. Without `rate`, arrays and ``.npy`` files
        are stimuli as the data set of the run has them before they are standardised: spectrograms (F, T) or movies
        (H, W, T), one column per bin.
    rate : float, optional
        Sampling rate in Hz of sounds that are arrays.
    spread : bool
        Also return how far the members of an ensemble lie apart, in every bin: where it is large, the prediction is
        not to be trusted.

    Returns
    -------
    Predictions
        A list of one tensor (N, T) per sound, with ``names``, ``cell_ids`` and ``dt_ms``; in the units of the
        recording: counts per bin where the responses were counts. With `spread`, ``spread`` is another such list.

    Raises
    ------
    RunError
        If the folder holds no model of a run, it is not known how its data set makes stimuli of sounds, or `spread` is
        asked of a model that is no ensemble.
    FileNotFoundError, TypeError, ValueError
        If a sound cannot be used, or a stimulus has another shape than those of the data set.

    Examples
    --------
    >>> import tempfile
    >>> from deepSTRF.datasets.audio import AudioNeuralDataset
    >>> from deepSTRF.runs import FitOptions, fit_run
    >>> rng = np.random.default_rng(0)
    >>> sounds, counts = list(rng.normal(size=(6, 16000))), list(rng.poisson(0.5, (6, 2, 3, 100)))
    >>> dataset = AudioNeuralDataset.from_waveforms(sounds, 16000, counts, dt_ms=10.0, spectrogram={"n_bands": 8})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = fit_run(FitOptions(dataset=dataset, model="ridge"), Path(folder) / "run")
    ...     new = predict(Path(folder) / "run", {"noise": sounds[0]}, rate=16000)
    >>> new[0].shape, new.names, torch.equal(new[0], result.predictions[0])
    (torch.Size([2, 100]), ['noise'], True)
    """
    folder = _model_folder(model_folder)
    metadata = files.read_json(folder / _METADATA)
    _check_not_older(folder, metadata, may_be_sounds=rate is not None or not _are_arrays(sounds))
    with files.reading(folder / _METADATA):
        if metadata["options"]["model"]:
            get_model_card(metadata["options"]["model"])  # imports the file of a model that is no part of deepSTRF
        front_end = metadata.get("spectrogram")
        spectrogram = None if front_end is None else Spectrogram.from_dict(front_end)
        shape, dt_ms = tuple(metadata["stimulus_shape"]), float(metadata["dt_ms"])
        cell_ids, threads = list(metadata["cell_ids"]), int(metadata["options"]["threads"])
        steps = [
            (torch.tensor(step["mean"]), torch.tensor(step["std"])) for step in metadata["stimulus_normalizations"]
        ]
    one = rate is None and hasattr(sounds, "ndim") and sounds.ndim <= len(shape) + 1
    items = [("stimulus 0", sounds)] if one else sound_items(sounds)
    stims = [_stimulus(name, item, rate, spectrogram, shape) for name, item in items]
    names = [name for name, _ in items]
    ready = [_standardised(stim, steps) for stim in stims]
    model = NeuralModel.from_pretrained(folder)
    if spread and not isinstance(model, Ensemble):
        raise RunError(
            f"`spread` is the disagreement of the members of an ensemble, and the run has one {type(model).__name__}: "
            "fit it with several (`members`)"
        )
    spreads: list[Tensor] | None = [] if spread else None
    with cpu_threads(threads):  # as many as the run had, so that the numbers are the same
        predictions = predict_stimuli(model, ready, spread=spreads)
    frequencies = None if spectrogram is None else spectrogram.frequencies_hz
    return Predictions(
        predictions,
        names,
        cell_ids,
        dt_ms,
        stims,
        None if frequencies is None else frequencies.tolist(),
        [note for name, stim in zip(names, ready, strict=True) for note in _notes(name, stim)],
        spreads,
    )


def write_new_predictions(predictions: Predictions, folder: Path) -> list[Path]:
    """Write predictions into an existing folder: ``predictions.csv``, ``predictions.npz`` and ``predictions.png``.

    Parameters
    ----------
    predictions : Predictions
        What :func:`predict` returned.
    folder : Path
        Where to.

    Returns
    -------
    list of Path
        The files. The table has a row for each bin of each sound, with its name, the time of the bin's begin in s, and
        a column per neuron; the arrays are ``pred_000`` (N, T) and so on, ``names``, ``cell_ids`` and ``dt_ms``, and
        where there is a spread ``spread_000`` (N, T) and so on.
    """
    table, arrays, picture = (folder / f"predictions.{kind}" for kind in ("csv", "npz", "png"))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sound", "time_s", *predictions.cell_ids])
        for name, rates in zip(predictions.names, predictions, strict=True):
            for k, row in enumerate(rates.T.tolist()):
                writer.writerow([name, f"{k * predictions.dt_ms / 1000:.9g}", *(f"{value:.7g}" for value in row)])
    of_sounds = {f"pred_{k:03d}": rates.numpy() for k, rates in enumerate(predictions)}
    of_sounds |= {f"spread_{k:03d}": rates.numpy() for k, rates in enumerate(predictions.spread or ())}
    np.savez_compressed(
        arrays,
        names=np.array(predictions.names),
        cell_ids=np.array(predictions.cell_ids),
        dt_ms=predictions.dt_ms,
        **of_sounds,  # type: ignore[arg-type]
    )
    figure, _ = plotting.plot_predictions(
        [stim[0] if stim.ndim == 3 else None for stim in predictions.stims],
        predictions,
        predictions.names,
        dt_ms=predictions.dt_ms,
        frequencies_hz=predictions.frequencies_hz,
    )
    figure.savefig(picture, dpi=150)
    return [table, arrays, picture]


def new_folder(run: AnyPath, out: AnyPath | None = None) -> Path:
    """Make the folder for predictions: `out`, or the first free ``predicted-<n>`` in the folder of the run.

    Raises
    ------
    RunError
        If `out` exists and is not an empty folder, or none can be made.
    """
    folder = _model_folder(run).parent / "predicted-1" if out is None else expand_path(out, "out")
    try:
        number = 1
        while out is None and folder.exists():
            number += 1
            folder = folder.with_name(f"predicted-{number}")
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise RunError(f"{folder} already exists, and nothing is overwritten; choose a new folder (`out`)")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {error.filename or folder}: {error.strerror}") from error
    return folder


def _model_folder(path: AnyPath) -> Path:
    folder = expand_path(path, "model_folder")
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}; give the folder that `deepstrf fit` wrote")
    if (folder / files.CONFIG_FILE).is_file() and (folder / files.TRAINING_FOLDER).is_dir():
        raise RunError(f"{folder} is an unfinished run, which has no model yet; finish it (`resume`)")
    inside = folder / files.MODEL_FOLDER
    folder = inside if inside.is_dir() else folder
    if not (folder / _METADATA).is_file():
        raise RunError(
            f"{folder} does not hold the model of a run, it has no {_METADATA}; give the folder that `deepstrf fit` "
            "wrote. A model that you saved yourself is loaded by NeuralModel.from_pretrained, and called"
        )
    return folder


def _check_not_older(folder: Path, metadata: Any, *, may_be_sounds: bool) -> None:
    """Raise RunError for the model of a run that an earlier version wrote without what new stimuli need."""
    if not isinstance(metadata, Mapping) or "options" not in metadata:
        return  # not of a run, which is said where it is read
    needed = ("stimulus_shape", "stimulus_normalizations", *(("spectrogram",) if may_be_sounds else ()))
    if missing := [key for key in needed if key not in metadata]:
        raise RunError(
            f"{folder} was saved by an earlier version of deepSTRF ({metadata.get('deepSTRF', 'unknown')}), which did "
            f"not keep how stimuli were made ({', '.join(missing)}), so that it can't be applied to new ones: fit it "
            "again with this version"
        )


def _are_arrays(sounds: Any) -> bool:
    """Whether there are only arrays and .npy files, which are no sounds where they come without a rate."""
    if isinstance(sounds, str | os.PathLike):
        return Path(sounds).suffix.lower() == ".npy"
    entries = list(sounds.values()) if isinstance(sounds, Mapping) else sounds
    if isinstance(entries, list | tuple):
        return all(_are_arrays(entry) if isinstance(entry, str | os.PathLike) else True for entry in entries)
    return True


def _standardised(stim: Tensor, steps: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """What the run did to its stimuli; more than once, if they had been standardised before it."""
    for mean, std in steps:
        stim = (stim - mean) / std
    return stim


def _stimulus(
    name: str, item: Any, rate: float | None, spectrogram: Spectrogram | None, shape: tuple[int, ...]
) -> Tensor:
    """One stimulus as the data set of the run has it before it is standardised."""
    if isinstance(item, str | os.PathLike) and Path(item).suffix.lower() == ".npy":
        item = _array(name, item)
    if isinstance(item, str | os.PathLike) or rate is not None:
        return _of_sound(read_sound(name, item, rate), spectrogram, shape)
    stim = to_tensor(item, f"stimulus {name!r}", is_response=False)
    own = (1,) * (len(shape) + 1 - stim.ndim) + tuple(stim.shape)
    if own[:-1] != shape:
        hint = "; a waveform needs its rate" if stim.ndim == 1 or min(stim.shape) <= 2 else ""
        raise ValueError(
            f"stimulus {name!r} has shape {tuple(stim.shape)}, the stimuli of the run are {shape} with time last{hint}"
        )
    if not bool(torch.isfinite(stim).all()):
        raise ValueError(f"stimulus {name!r} holds NaN or infinite values")
    return stim.reshape(own)


def _array(name: str, path: str | os.PathLike[str]) -> np.ndarray:
    file = expand_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"stimulus {name!r}: there is no file {file}")
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file} cannot be read as an array of numbers: {error}") from error


def _of_sound(sound: Sound, spectrogram: Spectrogram | None, shape: tuple[int, ...]) -> Tensor:
    known = spectrogram is not None and spectrogram.is_resolved
    if spectrogram is None or not known or (spectrogram.reference_db is None and spectrogram.kind != "waveform"):
        raise RunError(
            f"the run does not say how stimuli of shape {shape} are made of sounds, because its data set came with "
            "stimuli, not sounds: give stimuli that were made in the same way, as arrays or .npy files; or make the "
            "data set with from_waveforms and fit again"
        )
    return spectrogram.compress(spectrogram.levels(sound))


def _notes(name: str, stim: Tensor) -> list[str]:
    """Whether a standardised stimulus is unlike those that the model was fitted to."""
    mean, spread = float(stim.mean()), float(stim.std(correction=0))
    if abs(mean) <= _FAR and spread <= 10 * _FAR:
        return []
    return [
        f"{name} is unlike the training stimuli (mean {mean:.1f}, deviation {spread:.1f} of their standard deviations)"
        ": is it in the same unit, and about as loud?"
    ]
