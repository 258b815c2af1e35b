"""A folder that needs no code: ``recording.toml``, stimuli, and spikes or responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from deepSTRF.datasets.cached_recordings import cached_recording
from deepSTRF.datasets.covariates import read_covariates
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.importers import ArrayRecording
from deepSTRF.datasets.sounds import read_sounds
from deepSTRF.datasets.sources.folder_contents import FolderContents, Notes, files_of, read_contents
from deepSTRF.datasets.sources.folder_writing import write_folder
from deepSTRF.datasets.sources.recording_toml import Settings
from deepSTRF.datasets.sources.stimulus_files import STIMULI
from deepSTRF.datasets.sources.windows import HandedOver
from deepSTRF.datasets.spectrograms import Spectrogram, as_spectrogram, spectrograms_of
from deepSTRF.files import AnyPath, expand_path

__all__ = ["FolderRecording", "dataset_of", "kind_of", "kind_of_files"]


class FolderRecording(ArrayRecording):
    """A recording that can be read from a folder of plain files, and saved as one.

    Attributes
    ----------
    about : dict
        Species, area, citation, licence and description, as far as ``recording.toml`` has them.
    spectrogram : Spectrogram
        How sounds were made into stimuli, where that is known.
    """

    about: dict[str, str]
    spectrogram: Any

    def _init_contract(self, path: str, dt_ms: float) -> None:
        super()._init_contract(path, dt_ms)
        self.about = {}

    @classmethod
    def from_folder(cls, path: AnyPath, *, return_waveform: bool = False, cache: bool = True) -> Self:
        """Read a folder with ``recording.toml``, ``stimuli/``, and ``spikes.csv`` or ``responses.npz``.

        The page "Your own recording" describes the files; ``deepstrf new FOLDER`` writes an example, and ``deepstrf
        check FOLDER`` says what is in one. :func:`deepSTRF.datasets.read_folder` chooses the class.

        Parameters
        ----------
        path : path
            The folder.
        return_waveform : bool
            Serve the sounds as waveforms, for models that hear them, instead of spectrograms.
        cache : bool
            Keep the data set in the cache (:mod:`deepSTRF.datasets.cache`), and take it from there as long as no file
            of the folder has changed.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on. The splits of ``recording.toml`` are its ``protocols``.

        Raises
        ------
        FileNotFoundError, NotADirectoryError
            If the folder or a file that it needs is not there.
        RecordingError
            If a file cannot be read, or the files don't fit together; the message names file, line, and what to do.
        ValueError
            If the stimuli are not what this class is for.

        Examples
        --------
        >>> import tempfile, numpy as np
        >>> from deepSTRF.datasets.audio import AudioNeuralDataset
        >>> ds = AudioNeuralDataset.from_arrays([np.ones((4, 50))], [np.ones((2, 3, 50))], dt_ms=5.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ds.to_folder(f"{folder}/mine")
        ...     AudioNeuralDataset.from_folder(f"{folder}/mine")
        AudioNeuralDataset(N_neurons=2, selected=2, N_stims=1, dt_ms=5.0)
        """
        folder = expand_path(path)

        def make() -> Any:
            return dataset_of(cls, read_contents(folder), return_waveform=return_waveform)

        if not cache:
            return make()
        options = {"path": str(folder), "return_waveform": return_waveform}
        return cached_recording(cls, "folder", files_of(folder), options, make)

    def to_folder(self, path: AnyPath) -> None:
        """Save the data set as a folder that :meth:`from_folder` reads as the same one, bit by bit.

        Stimuli, responses with what is missing in them, metadata, splits, bins and bands are kept; what is selected is
        not, nor are statistics of standardising. In metadata, tuples and arrays come back as lists, and entries that
        are no dict under the key ``"metadata"``.

        Parameters
        ----------
        path : path
            A new or empty folder. It is complete, or not there at all.

        Raises
        ------
        FileExistsError
            If there is something already.
        TypeError
            If metadata hold what no table can, or the data are not float32.
        ValueError
            If the data set is in blocks of time.
        """
        write_folder(self, path)


def kind_of(settings: Settings, files: Mapping[str, Path]) -> str:
    """What the stimuli of a folder are: "sounds", "waveforms" (arrays), "spectrograms" or "movies"."""
    return kind_of_files(files) if settings.stimuli is None else settings.stimuli


def kind_of_files(files: Mapping[str, Path]) -> str:
    """What stimuli are by the first of their files: "sounds", "spectrograms" or "movies"."""
    first = next(iter(files.values()))
    if first.suffix.lower() != ".npy":
        return "sounds"
    shape: tuple[int, ...] = np.load(first, mmap_mode="r", allow_pickle=False).shape if _is_array(first) else ()
    return "movies" if len(shape) == 4 or (len(shape) == 3 and shape[0] > 1) else "spectrograms"


def _is_array(path: Any) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def dataset_of(cls: Any, contents: FolderContents, *, notes: Notes | None = None, return_waveform: bool = False) -> Any:
    """Make the data set of a folder that was read.

    Parameters
    ----------
    cls : class
        What to make.
    contents : FolderContents
        The folder.
    notes : Notes, optional
        Where given, what can be read in spite of a mistake is read, and the mistake is noted there.
    return_waveform : bool
        Serve waveforms.

    Raises
    ------
    RecordingError, ValueError
        As :meth:`FolderRecording.from_folder`.
    """
    settings, kind = contents.settings, kind_of(contents.settings, contents.files)
    wanted = cls._stimulus_kind
    if (kind == "movies") != (wanted == "movies"):
        right = "VideoNeuralDataset" if kind == "movies" else "AudioNeuralDataset"
        raise ValueError(
            f"{contents.path / STIMULI} holds {kind}, and {cls.__name__} is for {wanted or 'sounds'}: read it with "
            f"{right}.from_folder, or with deepSTRF.datasets.read_folder, which chooses the class"
        )
    if return_waveform and kind not in ("sounds", "waveforms"):
        raise ValueError(f"{contents.path / STIMULI} holds {kind}, of which no waveforms can be made")
    channels: list[int] = []
    stims: list[Any]
    shapes: list[tuple[int, ...]] = []
    spectrogram, audio_fs = None, None
    frequencies = settings.frequencies_hz
    try:
        if kind == "sounds":
            made_with = "waveform" if return_waveform else settings.spectrogram or "log"
            loaded = read_sounds(dict(contents.files))
            channels = [sound.channels for sound in loaded]
            stims, spectrogram = spectrograms_of(loaded, settings.dt_ms, made_with, *settings.around)
            if spectrogram.kind == "waveform":
                audio_fs = round(spectrogram.fs or 0)
        else:
            stims = contents.arrays()
            shapes = [stim.shape for stim in stims] if kind != "waveforms" else []
            if settings.spectrogram is not None:
                spectrogram = as_spectrogram(settings.spectrogram)
            if kind == "waveforms":
                stims, audio_fs = [torch.from_numpy(array) for array in stims], settings.audio_fs
    except RecordingError:
        raise
    except ValueError as error:
        raise RecordingError(f"{contents.path}: {error}") from error
    hop = 1 if audio_fs is None else round(audio_fs * settings.dt_ms / 1000)
    if kind != "sounds":
        stims = _padded(stims, [edge * hop for edge in settings.around], settings.silence)
    responses = contents.responses([stim.shape[-1] // hop for stim in stims], notes, shapes)
    n_neurons = len(responses[0])
    metadata = {
        "stim_meta": _with_channels(contents.stimuli.entries, channels),
        "nrn_meta": [{} for _ in range(n_neurons)] if contents.neurons is None else contents.neurons.entries,
    }
    if audio_fs is None:
        if kind == "spectrograms":
            stims = [stim[0] if stim.ndim == 3 and len(stim) == 1 else stim for stim in stims]
        dataset = cls.from_arrays(
            stims,
            HandedOver(responses),
            settings.dt_ms,
            path=str(contents.path),
            covariates=contents.covariates(),
            **metadata,
        )
    else:
        dataset = _of_waveforms(cls, contents, stims, responses, audio_fs, metadata)
    _describe(dataset, contents, spectrogram, frequencies)
    return dataset


def _with_channels(entries: list[dict[str, Any]], channels: Sequence[int]) -> list[dict[str, Any]]:
    """Metadata of sounds, with their number of channels where there are several."""
    if max(channels, default=1) == 1:
        return entries
    return [{"channels": n, **entry} if n > 1 else entry for n, entry in zip(channels, entries, strict=True)]


def _padded(stims: Sequence[Any], around: Sequence[int], value: float) -> list[Any]:
    """Arrays with the time before and after the stimulus that belongs to the response."""
    if not any(around):
        return list(stims)
    return [torch.nn.functional.pad(torch.as_tensor(stim), tuple(around), value=value) for stim in stims]


def _describe(dataset: Any, contents: FolderContents, spectrogram: Spectrogram | None, frequencies: Any) -> None:
    """Set what ``from_arrays`` does not take."""
    settings = contents.settings
    dataset.about = dict(settings.about)
    if settings.hearing_range_hz is not None:
        dataset.hearing_range_hz = tuple(settings.hearing_range_hz)
    if spectrogram is not None:
        dataset.spectrogram = spectrogram
        if frequencies is None and spectrogram.is_resolved and spectrogram.frequencies_hz is not None:
            frequencies = spectrogram.frequencies_hz.tolist()
    if frequencies is not None:
        n_bands = getattr(dataset, "F", len(frequencies))
        if len(frequencies) != n_bands:
            raise RecordingError(
                f"{contents.path}: frequencies_hz must have one entry for each of {n_bands} bands, got "
                f"{len(frequencies)}"
            )
        dataset.frequencies_hz = tuple(frequencies)
    place = {name: index for index, name in enumerate(contents.names)}
    dataset.protocols = {
        name: {part: tuple(place[contents.known(s)] for s in stimuli) for part, stimuli in parts.items()}
        for name, parts in settings.splits.items()
    }


def _of_waveforms(
    cls: Any, contents: FolderContents, stims: Any, responses: Any, audio_fs: int, metadata: dict[str, Any]
) -> Any:
    """A data set of waveforms, which ``from_arrays`` does not make."""
    dataset = cls.__new__(cls)
    dataset._init_contract(str(contents.path), contents.settings.dt_ms)
    dataset._forget_protocols()
    dataset.return_waveform, dataset.audio_fs = True, audio_fs
    dataset.F = contents.settings.n_bands or Spectrogram().n_bands
    dataset.N_neurons = len(responses[0])
    nothing = torch.full((1, 1), torch.nan)
    dataset.stims = stims
    dataset.responses = [
        torch.as_tensor(row, dtype=torch.float32)
        if isinstance(row, np.ndarray)
        else [nothing if entry is None else torch.as_tensor(entry, dtype=torch.float32) for entry in row]
        for row in responses
    ]
    dataset.stim_meta, dataset.nrn_meta = metadata["stim_meta"], metadata["nrn_meta"]
    dataset.covariates = read_covariates(contents.covariates(), dataset._bins(), None)
    dataset.validate()
    return dataset
