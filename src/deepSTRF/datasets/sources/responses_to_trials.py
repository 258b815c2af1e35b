"""Trials, stimuli and something that responds become a data set: the end of every route of one long session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch

from deepSTRF.checks import check_number, check_positive
from deepSTRF.datasets.sources.nwb_trials import Session
from deepSTRF.datasets.sources.stimulus_sources import (
    Made,
    default_bin_width,
    floor_of,
    keep_spectrogram,
    make_stimuli,
)
from deepSTRF.datasets.sources.windows import Windows, fill_windows, stimulus_windows

__all__ = [
    "Respond",
    "Window",
    "WindowOptions",
    "check_fires",
    "dataset_of_session",
    "dataset_of_windows",
    "windows_of",
]

Respond = Callable[[np.ndarray, np.ndarray, list[int], float, float], list[Any]]


class WindowOptions(TypedDict, total=False):
    """Keywords of :class:`Window`, for the type checker."""

    onset_ms: float
    before_ms: float
    after_ms: float
    silence: float | None


@dataclass(frozen=True)
class Window:
    """Which bins of a trial belong to the response: those of the stimulus, and some before and after it."""

    dt_ms: float | None = None
    """Width of a bin; that of the stimuli where it is None."""
    onset_ms: float = 0.0
    """Added to the onsets."""
    before_ms: float = 0.0
    """Time before the stimulus."""
    after_ms: float = 0.0
    """Time after the stimulus."""
    silence: float | None = None
    """Value of the stimulus there; the floor of a spectrogram in dB, or 0, where it is None."""

    def __post_init__(self) -> None:
        if self.dt_ms is not None:
            check_positive("dt_ms", self.dt_ms)
        check_number("onset_ms", self.onset_ms)


def dataset_of_session(
    cls: Any,
    session: Session,
    respond: Respond,
    window: Window,
    spectrogram: Any,
    nrn_meta: list[Any],
    path: str,
    covariates: Any = None,
) -> Any:
    """Make the data set.

    Parameters
    ----------
    cls : class
        What is made, a subclass of NeuralDataset.
    session : Session
        Stimuli and trials.
    respond : callable
        Gives the responses per stimulus (N, R_s, T_s), from onsets in s, the stimulus of each trial, the bins of each
        stimulus, the width of a bin in ms, and the time from the onset to the first bin in s.
    window : Window
        Which bins.
    spectrogram : str or Spectrogram
        What becomes of sounds.
    nrn_meta : list of dict
        Metadata of the neurons.
    path : str
        Where the data came from.
    covariates : dict, optional
        As for ``from_arrays``.

    Raises
    ------
    ValueError
        If no trial was recorded.
    """
    session = session.in_time()
    dt_ms = default_bin_width(session.sources) if window.dt_ms is None else window.dt_ms
    made = make_stimuli(session.sources, dt_ms, spectrogram)
    windows = windows_of(made, session.names, dt_ms, window)
    responses = respond(
        np.asarray(session.onsets_s, dtype=np.float64),
        np.asarray(session.stimulus_of_trial, dtype=np.int64),
        windows.n_bins,
        dt_ms,
        window.onset_ms / 1000 - windows.before * dt_ms / 1000,
    )
    if all(np.isnan(block).all() for block in responses):
        raise ValueError(
            f"{path}: no trial lies inside the times in which there is a recording; are trials and responses on the "
            "same clock, in the same unit?"
        )
    return dataset_of_windows(cls, made, windows, responses, dt_ms, nrn_meta, path, covariates)


def windows_of(made: Made, names: Sequence[str], dt_ms: float, window: Window) -> Windows:
    """Stimuli with the bins before and after them; waveforms are represented by one sample per bin."""
    silence = floor_of(made.spectrogram) if window.silence is None else window.silence
    stims = [array if made.hop is None else array[..., :: made.hop] for array in made.arrays]
    return stimulus_windows(dict(zip(names, stims, strict=True)), dt_ms, window.before_ms, window.after_ms, silence)


def dataset_of_windows(
    cls: Any,
    made: Made,
    windows: Windows,
    responses: list[Any],
    dt_ms: float,
    nrn_meta: list[Any],
    path: str,
    covariates: Any = None,
) -> Any:
    """Make the data set of stimuli in bins and their responses (N, R, T)."""
    dataset = fill_windows(cls, windows, responses, dt_ms, nrn_meta, covariates=covariates, path=path)
    keep_spectrogram(dataset, made)
    if made.hop is not None:
        starts = windows.before * made.hop
        dataset.stims = [
            torch.nn.functional.pad(wave, (starts, n_bins * made.hop - starts - wave.shape[-1]))
            for wave, n_bins in zip(made.arrays, windows.n_bins, strict=True)
        ]
        dataset.return_waveform, dataset.audio_fs, dataset.F = (
            True,
            round(made.spectrogram.fs),
            made.spectrogram.n_bands,
        )
        dataset.validate()
    return dataset


def check_fires(responses: list[Any], name: str) -> list[Any]:
    """Return counts in which there is a spike.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not any((block > 0).any() for block in responses):
        raise ValueError(
            f"{name}: no neuron fires in any trial; are the onsets in s, on the clock of the spikes? Another column "
            "of onsets is chosen with onset_column="
        )
    return responses
