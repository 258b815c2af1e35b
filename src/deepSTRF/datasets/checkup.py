"""What is in a recording, on a page: sizes, coverage, repeats, rates, ceilings, and what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepSTRF.checks import describe_type
from deepSTRF.datasets.folder_suspicions import suspicions_of_files
from deepSTRF.datasets.folders import class_of
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.datasets.neural_dataset import NeuralDataset
from deepSTRF.datasets.quality import neuron_qualities
from deepSTRF.datasets.sources.folder import dataset_of
from deepSTRF.datasets.sources.folder_contents import Notes, read_contents
from deepSTRF.datasets.suspicions import Suspicion, count_spikes, suspicions_of
from deepSTRF.files import AnyPath

__all__ = ["RecordingCheck", "check_recording"]

_MOST_OF_A_KIND = 100


@dataclass(frozen=True)
class RecordingCheck:
    """What :func:`check_recording` found."""

    path: str
    """Where the recording came from."""
    kind: str
    """What is presented: "spectrograms", "waveforms" or "movies"."""
    shape: tuple[int, ...]
    """Size of a stimulus without time: bands; channels, height and width."""
    dt_ms: float
    """Width of a bin."""
    numbers: str
    """What responses are: "counts" or "continuous"."""
    neurons: list[str]
    """Their names; numbers where they have none."""
    stimuli: list[str]
    """Their names likewise."""
    durations_s: list[float]
    """Of each stimulus."""
    repeats: np.ndarray
    """(S, N), repeats of each stimulus that each neuron was recorded in; 0 is no data."""
    rates_hz: list[float]
    """Mean response of each neuron per second; spikes/s where responses are counts."""
    ceilings: list[float]
    """Noise ceiling of each neuron; NaN where it was not recorded in repeats."""
    snrs: list[float]
    """Signal-to-noise ratio of each neuron, NaN likewise."""
    splits: dict[str, dict[str, int]]
    """Per protocol the number of stimuli in each part."""
    about: dict[str, str]
    """Species, area, citation, ..."""
    suspicions: tuple[Suspicion, ...]
    """What looks wrong."""

    @property
    def coverage(self) -> float:
        """Fraction of pairs of stimulus and neuron with data."""
        return float((self.repeats > 0).mean())


def check_recording(recording: NeuralDataset | AnyPath) -> RecordingCheck:
    """Look through a recording before anything is fitted to it.

    Parameters
    ----------
    recording : NeuralDataset or path
        A data set, or a folder with ``recording.toml``. Of a folder the files are looked at too: spikes outside of
        their trial, lines that are there twice, clipped sounds.

    Returns
    -------
    RecordingCheck
        With sizes, repeats, rates and ceilings; and in ``suspicions`` what may be a mistake, each with the names of
        neuron, stimulus and repeat.

    Raises
    ------
    TypeError
        If it is neither.
    OSError, ValueError
        If a folder can't be read.

    Examples
    --------
    >>> from deepSTRF.datasets import check_recording
    >>> from deepSTRF.datasets.audio import AudioNeuralDataset
    >>> responses = np.random.default_rng(0).poisson(0.2, (2, 3, 100))
    >>> responses[1] = 0
    >>> ds = AudioNeuralDataset.from_arrays({"rain": np.eye(4, 100)}, [responses], dt_ms=5.0)
    >>> found = check_recording(ds)
    >>> found.repeats, found.coverage
    (array([[3, 3]]), 1.0)
    >>> [suspicion.text for suspicion in found.suspicions]
    ["neuron '1' never fires in any of 3 trials"]
    """
    if isinstance(recording, NeuralDataset):
        return _checked(recording, [])
    if not isinstance(recording, str) and not hasattr(recording, "__fspath__"):
        raise TypeError(f"expected a data set or the folder of one, got {describe_type(recording)}")
    contents, notes = read_contents(recording), Notes()
    dataset = dataset_of(class_of(recording), contents, notes=notes)
    return _checked(dataset, suspicions_of_files(contents, notes, dataset._bins()))


def _checked(dataset: Any, of_files: Any) -> RecordingCheck:
    neurons, stimuli = _names(dataset.nrn_meta, "cell_id"), _names(dataset.stim_meta, "name")
    repeats = np.zeros((len(stimuli), len(neurons)), dtype=int)
    for s, block in enumerate(dataset._packed().blocks()):
        if block.n_bins:
            repeats[s, block.neurons] = (~block.values.isnan()).any(2).sum(1).numpy()
    quality = neuron_qualities(dataset)
    rates = [float(rate) for rate in quality["rate"]()]
    spikes, trials, numbers = count_spikes(dataset)
    return RecordingCheck(
        path=dataset.path,
        kind=dataset._form,
        shape=tuple(dataset.stims[0].shape[0 if dataset._form == "movies" else 1 : -1]),
        dt_ms=float(dataset.dt),
        numbers=numbers,
        neurons=neurons,
        stimuli=stimuli,
        durations_s=[bins * dataset.dt / 1000 for bins in dataset._bins()],
        repeats=repeats,
        rates_hz=rates,
        ceilings=[float(ceiling) for ceiling in quality["ceiling"]()],
        snrs=[float(snr) for snr in quality["snr"]()],
        splits={
            name: {part: len(chosen) for part, chosen in parts.items()} for name, parts in dataset.protocols.items()
        },
        about=dict(getattr(dataset, "about", {})),
        suspicions=tuple(
            _capped(
                [
                    *of_files,
                    *suspicions_of(dataset, neurons, stimuli, spikes, trials, rates if numbers == "counts" else None),
                ]
            )
        ),
    )


def _names(metadata: Sequence[Any], key: str) -> list[str]:
    return [str(as_dict(entry).get(key, index)) for index, entry in enumerate(metadata)]


def _capped(suspicions: Sequence[Suspicion]) -> Iterator[Suspicion]:
    """The suspicions, but of each kind only the first hundred, and how many more there are."""
    seen: dict[str, int] = {}
    for suspicion in suspicions:
        seen[suspicion.kind] = seen.get(suspicion.kind, 0) + 1
        if seen[suspicion.kind] <= _MOST_OF_A_KIND:
            yield suspicion
    for kind, count in seen.items():
        if count > _MOST_OF_A_KIND:
            yield Suspicion(kind, f"and {count - _MOST_OF_A_KIND} more of the kind {kind!r}")
