"""What lies in the folder of a recording: read and checked, not yet a data set."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepSTRF.checks import check_integer, unknown_name
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.sources.plausible import TimesSeen
from deepSTRF.datasets.sources.recording_toml import FILE_NAME, Settings
from deepSTRF.datasets.sources.spike_lists import ListedSpikes
from deepSTRF.datasets.sources.stimulus_files import (
    STIMULI,
    find_stimulus,
    natural_order,
    read_overview,
    read_stimulus_table,
)
from deepSTRF.datasets.sources.tables import MetadataTable, SpikeTable, line_with, read_metadata, read_spikes
from deepSTRF.datasets.sources.trials import seconds_per
from deepSTRF.datasets.time_axis import misplaced_time, misplaced_time_of_spikes
from deepSTRF.files import AnyPath

__all__ = [
    "COVARIATES",
    "NEURONS",
    "RESPONSES",
    "SPIKES",
    "FolderContents",
    "Notes",
    "files_of",
    "load_array",
    "read_contents",
]

SPIKES = "spikes.csv"
RESPONSES = "responses.npz"
NEURONS = "neurons.csv"
COVARIATES = "covariates.npz"


@dataclass
class Notes:
    """Mistakes that a reader who only looks can do without: times that make no sense, responses of another length."""

    times: str | None = None
    """Why the times of spikes can hardly be what they are said to be."""
    axis: str | None = None
    """Why time can hardly be the last axis of the stimuli."""
    lengths: dict[str, int] = field(default_factory=dict)
    """Bins of the responses to stimuli that have another number of them."""


@dataclass(frozen=True)
class FolderContents:
    """A folder that was read, all but the stimuli and ``responses.npz``."""

    path: Path
    """The folder."""
    settings: Settings
    """Its ``recording.toml``."""
    files: dict[str, Path]
    """The file of each stimulus by its name, in the order of the data set."""
    stimuli: MetadataTable
    """Metadata of the stimuli."""
    neurons: MetadataTable | None
    """Metadata of the neurons; None where only the shapes in ``responses.npz`` say how many there are."""
    spikes: ListedSpikes | None
    """What ``spikes.csv`` lists; None where there is ``responses.npz`` instead."""

    @property
    def names(self) -> list[str]:
        """Names of the stimuli."""
        return list(self.files)

    def known(self, name: str) -> str:
        """The stimulus that is called `name`, with or without the extension of its file."""
        return find_stimulus(name, self.files) or name

    def arrays(self) -> list[np.ndarray]:
        """The stimuli that are saved as arrays.

        Raises
        ------
        RecordingError
            If a file cannot be read.
        """
        return [load_array(path) for path in self.files.values()]

    def covariates(self) -> dict[str, list[np.ndarray | None]]:
        """What else was measured: per name an array for each stimulus, from those that are called NAME@STIMULUS.

        Raises
        ------
        RecordingError
            If the file cannot be read, or names a stimulus that there is not.
        """
        path = self.path / COVARIATES
        covariates: dict[str, dict[str, np.ndarray]] = {}
        if not path.is_file():
            return {}
        for key, values in _load_archive(path).items():
            covariate, _, stimulus = key.rpartition("@")
            stimulus = self.known(stimulus)
            if not covariate or stimulus not in self.files:
                raise RecordingError(
                    f"{path}: arrays are called NAME@STIMULUS, got {key!r}: "
                    f"{unknown_name('stimulus', stimulus, self.names)}"
                )
            covariates.setdefault(covariate, {})[stimulus] = values
        return {name: [values.get(stimulus) for stimulus in self.names] for name, values in covariates.items()}

    def responses(
        self, n_bins: Sequence[int], notes: Notes | None = None, shapes: Sequence[tuple[int, ...]] = ()
    ) -> list[Any]:
        """Responses to all stimuli, as ``from_arrays`` takes them.

        Parameters
        ----------
        n_bins : sequence of int
            Bins of each stimulus.
        notes : Notes, optional
            Where given, what can be read in spite of a mistake is read, and the mistake is noted there.
        shapes : sequence of tuple of int
            Of stimuli that are arrays, as they are in their files.

        Raises
        ------
        RecordingError
            If shapes don't fit, it is not known which neurons were recorded, or times can hardly be in the unit that is
            said.
        """
        if self.spikes is None:
            return self._saved_responses(n_bins, notes, shapes)
        pair = self.spikes.silent_pair()
        if notes is None and self.settings.trials is None and pair is not None and self.neurons is not None:
            raise RecordingError(
                f"{self.path / SPIKES}: neuron {self.neurons.ids[pair[0]]!r} has no spike for stimulus "
                f"{self.names[pair[1]]!r}. Was it recorded there? If every neuron was recorded in every trial, write "
                f'trials = "all" in {FILE_NAME}; if only where {SPIKES} has a line, trials = "listed" (a line with an '
                "empty time stands for a trial without a spike)"
            )
        seen = TimesSeen(str(self.settings.unit), self.settings.dt_ms)
        responses = self.spikes.counts(n_bins, self.settings.dt_ms, seen)
        try:
            seen.check()
        except ValueError as error:
            if notes is None:
                raise RecordingError(f"{self.path / SPIKES}: {error}") from error
            notes.times = str(error)
        else:
            if shapes:
                last, n_outside = self.spikes.last_bins(n_bins, self.settings.dt_ms)
                n_spikes = int((~np.isnan(self.spikes.time_s)).sum())
                after = self.settings.around[1]
                text = misplaced_time_of_spikes(shapes, last, n_outside, n_spikes, self.names, after)
                self._note_axis(text, SPIKES, notes)
        return responses

    def _note_axis(self, text: str | None, file: str, notes: Notes | None) -> None:
        if text is not None and notes is None:
            raise RecordingError(f"{self.path / file}: {text}")
        if text is not None and notes is not None:
            notes.axis = text

    def _saved_responses(
        self, n_bins: Sequence[int], notes: Notes | None, shapes: Sequence[tuple[int, ...]]
    ) -> list[Any]:
        path = self.path / RESPONSES
        saved: dict[str, np.ndarray] = {}
        for key, array in _load_archive(path).items():
            stimulus, at, rest = key.partition("@")
            if find_stimulus(stimulus, self.files) is None:
                raise RecordingError(f"{path}: {unknown_name('stimulus', key, self.names)}")
            saved[self.known(stimulus) + at + rest] = array
        if shapes:
            around = sum(self.settings.around)
            own = [
                saved[name].shape[-1] - around if name in saved and saved[name].ndim == 3 else None
                for name in self.names
            ]
            self._note_axis(misplaced_time(shapes, own, self.names), RESPONSES, notes)
        n_neurons = None if self.neurons is None else len(self.neurons.ids)
        responses: list[Any] = []
        for name, bins in zip(self.names, n_bins, strict=True):
            values = saved.pop(name, None)
            if values is None:
                responses.append(None)
                continue
            if notes is not None and values.ndim == 3 and values.shape[2] != bins:
                notes.lengths[name] = values.shape[2]
                padding = ((0, 0), (0, 0), (0, max(bins - values.shape[2], 0)))
                values = np.pad(values[:, :, :bins].astype(np.float32), padding, constant_values=np.nan)
            if values.ndim != 3 or values.shape[2] != bins:
                window = " with before_ms and after_ms" if any(self.settings.around) else ""
                raise RecordingError(
                    f"{path}: the responses to {name!r} must have shape (neurons, repeats, bins) with as many bins as "
                    f"the stimulus{window}, {bins}; got {values.shape}"
                )
            heard = saved.pop(f"{name}@neurons", None)
            if heard is None:
                n_neurons = len(values) if n_neurons is None else n_neurons
                if len(values) != n_neurons:
                    raise RecordingError(
                        f"{path}: the responses to {name!r} are of {len(values)} neurons, there are {n_neurons} "
                        f"{'in the other arrays' if self.neurons is None else 'in ' + NEURONS}; NaN stands for no data"
                    )
                responses.append(values)
                continue
            repeats = saved.pop(f"{name}@repeats", None)
            responses.append(self._of_some_neurons(name, values, heard, repeats))
        if n_neurons is None:
            raise RecordingError(f"{path} holds no responses: expected an array per stimulus, called as the stimulus")
        return [[None] * n_neurons if row is None else row for row in responses]

    def _of_some_neurons(
        self, name: str, values: np.ndarray, heard: np.ndarray, repeats: np.ndarray | None
    ) -> list[Any]:
        where = f"{self.path / RESPONSES}: {name}@neurons"
        if self.neurons is None:
            raise RecordingError(f"{where} needs {NEURONS}, which says how many neurons there are")
        n_neurons = len(self.neurons.ids)
        if heard.shape != (len(values),) or heard.dtype.kind not in "iu" or not set(heard) <= set(range(n_neurons)):
            raise RecordingError(
                f"{where} must be the row in {NEURONS} (from 0 to {n_neurons - 1}) of each of {len(values)} neurons, "
                f"got {heard.dtype} of shape {heard.shape}"
            )
        row: list[Any] = [None] * n_neurons
        for position, neuron in enumerate(heard.tolist()):
            row[neuron] = values[position] if repeats is None else values[position, : int(repeats[position])]
        return row


def files_of(folder: Path) -> list[Path]:
    """All files that the data set of a folder depends on, as far as they are there."""
    names = (FILE_NAME, f"{STIMULI}.csv", NEURONS, SPIKES, RESPONSES, COVARIATES)
    stimuli = folder / STIMULI
    own = sorted(path for path in stimuli.iterdir() if path.is_file()) if stimuli.is_dir() else []
    return [path for path in (folder / name for name in names) if path.is_file()] + own


def read_contents(path: AnyPath) -> FolderContents:
    """Read a folder, and check that its files fit together.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If it or a file that it needs is not there.
    RecordingError
        If a file cannot be read, or names something that another one does not know.
    """
    folder, settings, files = read_overview(path)
    stimuli = read_stimulus_table(folder / f"{STIMULI}.csv", files)
    files = {name: files[name] for name in stimuli.ids}
    for name, parts in settings.splits.items():
        for unknown in (s for names in parts.values() for s in names if find_stimulus(s, files) is None):
            raise RecordingError(f"{folder / FILE_NAME}: split {name!r}: {unknown_name('stimulus', unknown, files)}")
    table = read_metadata(folder / NEURONS, "neuron", "cell_id") if (folder / NEURONS).is_file() else None
    if table is not None and not table.ids:
        raise RecordingError(f"{folder / NEURONS} has no neuron: expected a row for each, below the header")
    has_spikes, has_responses = (folder / SPIKES).is_file(), (folder / RESPONSES).is_file()
    if has_spikes and has_responses:
        raise RecordingError(f"{folder} has {SPIKES} and {RESPONSES}; keep the one that holds the responses")
    if has_responses:
        return FolderContents(folder, settings, files, stimuli, table, None)
    if not has_spikes:
        raise FileNotFoundError(
            f"there is neither {SPIKES} (columns neuron, stimulus, repeat, time) nor {RESPONSES} (an array of neurons "
            f"x repeats x bins per stimulus) in {folder}"
        )
    if settings.unit is None:
        raise RecordingError(
            f'{folder / FILE_NAME}: unit is missing, the unit of the times in {SPIKES}: unit = "s" or unit = "ms"'
        )
    spikes = read_spikes(folder / SPIKES)
    if table is None:
        ids = sorted(spikes.neurons, key=natural_order)
        table = MetadataTable(ids, [{"cell_id": own} for own in ids], [])
    return FolderContents(
        folder, settings, files, stimuli, table, _numbered(folder, settings, spikes, table, files, stimuli)
    )


def _numbered(
    folder: Path,
    settings: Settings,
    spikes: SpikeTable,
    neurons: MetadataTable,
    files: Mapping[str, Path],
    stimuli: MetadataTable,
) -> ListedSpikes:
    """Spikes with the numbers of the data set in place of names."""
    names = list(files)
    where = folder / SPIKES
    places = {own: index for index, own in enumerate(neurons.ids)}
    for name in spikes.neurons:
        if name not in places:
            line = line_with(where, "neuron", name)
            raise RecordingError(f"{where}, line {line}: {unknown_name('neuron', name, neurons.ids)} (in {NEURONS})")
    known = [find_stimulus(name, files) for name in spikes.stimuli]
    for index, own in enumerate(known):
        if own is None:
            line = line_with(where, "stimulus", spikes.stimuli[index])
            raise RecordingError(
                f"{where}, line {line}: there is no file of this name in {STIMULI}/: "
                f"{unknown_name('stimulus', spikes.stimuli[index], names)}"
            )
    declared = [entry.get("repeats") for entry in stimuli.entries]
    for line, number in zip(stimuli.lines or [0] * len(names), declared, strict=True):
        if number is not None:
            try:
                check_integer("repeats", number, least=0)
            except (TypeError, ValueError) as error:
                raise RecordingError(f"{folder / STIMULI}.csv, line {line}: {error}") from error
    return ListedSpikes.of(
        spikes,
        [places[name] for name in spikes.neurons],
        [names.index(own) for own in known if own is not None],
        declared,
        names,
        seconds=seconds_per(settings.unit),
        onset_ms=settings.onset_ms,
        n_neurons=len(neurons.ids),
        listed=settings.trials == "listed",
        before=settings.around[0],
    )


def load_array(path: Path) -> np.ndarray:
    """Read a ``.npy`` file.

    Raises
    ------
    RecordingError
        If it can't be read.
    """
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise RecordingError(f"{path} can't be read as an array: {error}; write it with numpy.save") from error


def _load_archive(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive.items())
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise RecordingError(
            f"{path} can't be read: {error}; write it with numpy.savez(path, **{{name of a stimulus: array}})"
        ) from error
