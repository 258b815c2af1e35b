"""Grasshopper: an auditory receptor neuron that listens to two amplitude modulations of 10 s."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_choice
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.sources.binning import bin_spike_times
from deepSTRF.files import expand_path
from deepSTRF.registry import DatasetCard, register_dataset

__all__ = ["GrasshopperDataset"]

_FILES = {"gauss_200hz": "1", "gauss_800hz": "2"}
_SAMPLE_US = 50
_HOW = (
    "the package nitime ships the recording: pip install 'deepSTRF[examples]', or give as path (deepstrf: --data) a "
    "folder with grasshopper_stimulus1.txt, grasshopper_spike_times1.txt and those of 2"
)


@register_dataset(
    DatasetCard(
        name="grasshopper",
        summary="a receptor neuron and two random amplitude modulations of 10 s, one trial each; comes with nitime",
        species="grasshopper (Locusta migratoria)",
        area="auditory receptor",
        size="1 neuron, 2 stimuli, 1 repeat",
        paper="Rokem et al. 2006, J Neurophysiol, doi:10.1152/jn.00891.2005",
        licence="BSD-3-Clause, as part of nitime",
        default_split="blocks:5",
        window_ms=30.0,
    )
)
class GrasshopperDataset(AudioNeuralDataset):
    """A real neuron on every machine: an auditory receptor of *Locusta migratoria*, as the package nitime ships it.

    The sounds are a carrier of 2.5 kHz whose amplitude is modulated by Gaussian noise with a standard deviation of 6
    dB and a cut-off frequency of 200 Hz or 800 Hz, 10 s each. The stimulus is the amplitude, averaged in every bin, as
    one band; the response is the number of spikes in the bin. With two stimuli and one trial of each, parts are blocks
    of time, and there is no noise ceiling.

    Parameters
    ----------
    path : str or path, optional
        Folder of the four files ``grasshopper_stimulus<k>.txt`` and ``grasshopper_spike_times<k>.txt``. By default
        that of the installed nitime (``pip install 'deepSTRF[examples]'``), which is not imported.
    dt_ms : float
        Width of a bin, a whole number of samples of 0.05 ms.
    stimuli : sequence of {'gauss_200hz', 'gauss_800hz'}
        Which of the two modulations, by their cut-off frequency.

    Raises
    ------
    FileNotFoundError
        If nitime is not installed, or a file is missing.
    RecordingError
        If a file does not hold what it should.
    ValueError
        If there is no such stimulus, or a bin is no whole number of samples.

    References
    ----------
    Rokem A, Watzl S, Gollisch T, Stemmler M, Herz AVM, Samengo I (2006). Spike-timing precision underlies the coding
    efficiency of auditory receptor neurons. J Neurophysiol 95:2541-2552, https://doi.org/10.1152/jn.00891.2005

    Examples
    --------
    >>> GrasshopperDataset(dt_ms=1.0)  # doctest: +SKIP
    GrasshopperDataset(N_neurons=1, selected=1, N_stims=2, dt_ms=1.0)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        dt_ms: float = 1.0,
        stimuli: Sequence[str] = tuple(_FILES),
    ) -> None:
        folder = _nitime_data() if path is None else expand_path(path)
        super().__init__(path=str(folder), dt_ms=float(dt_ms))
        names = [stimuli] if isinstance(stimuli, str) else list(stimuli)
        for name in names:
            check_choice("stimuli", name, tuple(_FILES))
        samples = _samples_per_bin(self.dt)
        for name in names:
            stim = _read_amplitude(folder / f"grasshopper_stimulus{_FILES[name]}.txt", samples)
            spikes_us = _read_column(folder / f"grasshopper_spike_times{_FILES[name]}.txt", n_columns=1)[:, 0]
            counts = bin_spike_times(spikes_us / 1e6, 0.0, stim.shape[-1], self.dt)
            self.stims.append(stim)
            self.responses.append([torch.from_numpy(counts)[None]])
        self.stim_meta = [
            {"name": name, "type": "amplitude_modulation", "cutoff_hz": float(name[6:-2]), "duration_s": 10.0}
            for name in names
        ]
        self.nrn_meta = [{"cell_id": "receptor", "area": "auditory receptor"}]
        self.N_neurons, self.F = 1, 1
        self.frequencies_hz = torch.tensor([2500.0])
        self.validate()


def _nitime_data() -> Path:
    found = importlib.util.find_spec("nitime")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(_HOW)
    return Path(found.submodule_search_locations[0]) / "data"


def _samples_per_bin(dt_ms: float) -> int:
    samples = dt_ms * 1000 / _SAMPLE_US
    if samples < 1 or abs(samples - round(samples)) > 1e-6:
        raise ValueError(f"dt_ms must be a whole number of samples of 0.05 ms, such as 1.0; got {dt_ms}")
    return round(samples)


def _read_amplitude(file: Path, samples: int) -> Float[Tensor, "1 1 T"]:
    table = _read_column(file, n_columns=2)
    if not np.array_equal(np.diff(table[:, 0]), np.full(len(table) - 1, _SAMPLE_US)):
        raise RecordingError(f"{file}: expected one line for every {_SAMPLE_US} microseconds; {_HOW}")
    n_bins = len(table) // samples
    means = table[: n_bins * samples, 1].reshape(n_bins, samples).mean(1)
    return torch.from_numpy(means.astype(np.float32))[None, None]


def _read_column(file: Path, n_columns: int) -> np.ndarray:
    """Read a table of numbers; lines that begin with # describe it."""
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; {_HOW}")
    try:
        table = np.loadtxt(file, ndmin=2)
    except ValueError as error:
        raise RecordingError(f"{file} is not a table of numbers ({error}); {_HOW}") from error
    if table.shape[1:] != (n_columns,) or not np.isfinite(table).all() or len(table) < 2:
        raise RecordingError(f"{file}: expected lines of {n_columns} finite numbers, got {table.shape}; {_HOW}")
    return table
