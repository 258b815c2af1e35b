"""Saving a data set as a folder of plain files."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepSTRF.checks import check_number
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.datasets.sources.folder_contents import COVARIATES, NEURONS, RESPONSES
from deepSTRF.datasets.sources.recording_toml import FILE_NAME, Settings, settings_text
from deepSTRF.datasets.sources.stimulus_files import STIMULI
from deepSTRF.datasets.sources.tables import metadata_text
from deepSTRF.datasets.splits import Split
from deepSTRF.files import AnyPath, expand_path

__all__ = ["claim_folder", "write_folder"]

_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+ ")


def write_folder(dataset: Any, path: AnyPath) -> None:
    """Save a data set as :meth:`FolderRecording.to_folder <deepSTRF.datasets.NeuralDataset.to_folder>` says."""
    folder = claim_folder(path)
    if dataset.uncut is not None:
        raise ValueError("this data set is in blocks of time: save the whole recording, and cut it after reading")
    dataset.validate()
    _check_float32(dataset)
    names = _file_names([as_dict(meta).get("name") for meta in dataset.stim_meta], "stimulus")
    ids = _file_names([as_dict(meta).get("cell_id") for meta in dataset.nrn_meta], "neuron")
    files = {
        FILE_NAME: settings_text(_settings(dataset, names)),
        f"{STIMULI}.csv": metadata_text(names, dataset.stim_meta, "stimulus", "name"),
        NEURONS: metadata_text(ids, dataset.nrn_meta, "neuron", "cell_id"),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    # beside the folder, so that it takes its place at once when it is complete
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, text in files.items():
            (building / name).write_text(text, encoding="utf-8", newline="\n")
        (building / STIMULI).mkdir()
        for name, stim in zip(names, dataset.stims, strict=True):
            squeezed = stim[0] if stim.ndim in (3, 4) and len(stim) == 1 else stim
            np.save(building / STIMULI / f"{name}.npy", squeezed.cpu().numpy())
        _write_archive(building / RESPONSES, _response_arrays(names, dataset))
        if dataset.covariates:
            _write_archive(building / COVARIATES, _covariate_arrays(names, dataset))
        building.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def claim_folder(path: AnyPath) -> Path:
    """Return a path at which a new folder can be made.

    Raises
    ------
    FileExistsError
        If there is a file, or a folder that is not empty.
    """
    folder = expand_path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is a folder that is not empty" if folder.is_dir() else "is a file"
        raise FileExistsError(f"{folder} {what}; choose another name, so that nothing is overwritten")
    return folder.resolve()


def _check_float32(dataset: Any) -> None:
    covariates = itertools.chain.from_iterable(dataset.covariates.values())
    responses = (block.values for block in dataset._packed().blocks())
    dtypes = {values.dtype for values in itertools.chain(dataset.stims, responses, covariates)}
    if dtypes != {torch.float32}:
        raise TypeError(
            f"a folder holds float32, and this data set has {', '.join(sorted(str(d) for d in dtypes))}: convert stims "
            "and responses with .float() before, if the digits that this loses don't matter"
        )


def _settings(dataset: Any, names: Sequence[str]) -> Settings:
    """What ``recording.toml`` says of a data set."""
    spectrogram, range_hz = getattr(dataset, "spectrogram", None), getattr(dataset, "hearing_range_hz", None)
    frequencies = getattr(dataset, "frequencies_hz", None)
    is_waveform = dataset._form == "waveforms"
    return Settings(
        dt_ms=check_number("dt", dataset.dt),
        stimuli=dataset._form,
        spectrogram=None if spectrogram is None else spectrogram.as_dict(),
        frequencies_hz=None if frequencies is None else [float(f) for f in frequencies],
        hearing_range_hz=None if range_hz is None else [float(f) for f in range_hz],
        audio_fs=int(dataset.audio_fs) if is_waveform else None,
        n_bands=int(dataset.F) if is_waveform else None,
        splits={
            str(protocol): {part: [names[s] for s in parts[part]] for part in Split._fields}
            for protocol, parts in dataset.protocols.items()
        },
        about=dict(getattr(dataset, "about", {})),
    )


def _file_names(given: Sequence[Any], kind: str) -> list[str]:
    """The names in the metadata, if all can be names of files and differ; otherwise numbers."""
    texts = [name if isinstance(name, str) else "" for name in given]
    usable = all(name and set(name) <= _SAFE and name == name.strip() for name in texts)
    if usable and len({name.lower() for name in texts}) == len(texts):
        return texts
    width = len(str(len(texts) - 1))
    return [f"{kind}{index:0{width}d}" for index in range(len(texts))]


def _response_arrays(names: Sequence[str], dataset: Any) -> Iterator[tuple[str, np.ndarray]]:
    """One array (N, R, T) per stimulus; of fewer neurons, or with repeats that end in NaN, with what says so."""
    for name, block in zip(names, dataset._packed().blocks(), strict=True):
        if block.n_bins == 0:
            continue
        yield name, block.values.cpu().numpy()
        # a plain array would be read without the repeats at its end that are NaN
        if len(block.neurons) < dataset.N_neurons or bool(block.values[:, -1].isnan().all(1).any()):
            yield f"{name}@neurons", block.neurons
            yield f"{name}@repeats", block.repeats


def _covariate_arrays(names: Sequence[str], dataset: Any) -> Iterator[tuple[str, np.ndarray]]:
    for covariate, values in dataset.covariates.items():
        for name, value in zip(names, values, strict=True):
            yield f"{covariate}@{name}", value.cpu().numpy()


def _write_archive(path: Path, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    """What numpy.savez_compressed writes, one array after the other, and fast."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, array in arrays:
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
