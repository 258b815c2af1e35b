"""Folders of recordings, whatever is in them."""

from __future__ import annotations

from deepSTRF.datasets.neural_dataset import NeuralDataset
from deepSTRF.datasets.sources.folder import kind_of, kind_of_files
from deepSTRF.datasets.sources.stimulus_files import read_overview, stimulus_files
from deepSTRF.files import AnyPath, expand_path

__all__ = ["class_of", "class_of_stimuli", "read_folder"]


def read_folder(path: AnyPath, *, return_waveform: bool = False, cache: bool = True) -> NeuralDataset:
    """Read a folder with ``recording.toml`` as a data set of the class that fits its stimuli.

    Parameters
    ----------
    path : path
        The folder.
    return_waveform : bool
        Serve sounds as waveforms.
    cache : bool
        Keep the data set in the cache, and take it from there as long as no file of the folder has changed.

    Returns
    -------
    AudioNeuralDataset or VideoNeuralDataset
        As :meth:`NeuralDataset.from_folder <deepSTRF.datasets.NeuralDataset.from_folder>`, with the same errors.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from deepSTRF.datasets.video import VideoNeuralDataset
    >>> ds = VideoNeuralDataset.from_arrays([np.ones((6, 8, 50))], [np.ones((2, 3, 50))], dt_ms=16.7)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ds.to_folder(f"{folder}/mine")
    ...     read_folder(f"{folder}/mine")
    VideoNeuralDataset(N_neurons=2, selected=2, N_stims=1, dt_ms=16.7)
    """
    return class_of(path).from_folder(path, return_waveform=return_waveform, cache=cache)


def class_of(path: AnyPath) -> type[NeuralDataset]:
    """The class for the stimuli of a folder."""
    from deepSTRF.datasets.audio import AudioNeuralDataset
    from deepSTRF.datasets.video import VideoNeuralDataset

    _, settings, files = read_overview(path)
    return VideoNeuralDataset if kind_of(settings, files) == "movies" else AudioNeuralDataset


def class_of_stimuli(folder: AnyPath) -> type[NeuralDataset]:
    """The class for a folder of nothing but sound files or arrays."""
    from deepSTRF.datasets.audio import AudioNeuralDataset
    from deepSTRF.datasets.video import VideoNeuralDataset

    files = stimulus_files(expand_path(folder, "stims"))
    return VideoNeuralDataset if kind_of_files(files) == "movies" else AudioNeuralDataset
