"""What looks wrong in the files of a folder: spikes outside of their trial, doubled lines, clipped sounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from deepSTRF.datasets.sound_files import load_wav
from deepSTRF.datasets.sources.folder_contents import NEURONS, SPIKES, FolderContents, Notes
from deepSTRF.datasets.sources.spike_lists import ListedSpikes
from deepSTRF.datasets.sources.stimulus_files import STIMULI
from deepSTRF.datasets.sources.tables import MetadataTable
from deepSTRF.datasets.suspicions import Suspicion, clipped_samples, clipping

__all__ = ["suspicions_of_files"]

_MOST_TRIALS = 0.5  # spikes outside in more of the trials than this are how it was recorded, not a mistake in a trial
_FEWEST_DOUBLED = 3
_DOUBLED = 0.1  # of the spikes of a trial
_COMMA = re.compile(r"[+-]?\d+,\d+")


def suspicions_of_files(contents: FolderContents, notes: Notes, n_bins: Sequence[int]) -> Iterator[Suspicion]:
    """Look at a folder.

    Parameters
    ----------
    contents : FolderContents
        The folder.
    notes : Notes
        What was noted when its data set was made.
    n_bins : sequence of int
        Bins of each stimulus.
    """
    if notes.times is not None:
        yield Suspicion("times", f"{SPIKES}: {notes.times}")
    if notes.axis is not None:
        yield Suspicion("axes", notes.axis)
    if contents.neurons is not None:
        yield from _decimal_commas(contents.neurons, NEURONS)
    yield from _decimal_commas(contents.stimuli, f"{STIMULI}.csv")
    for name, own in (notes.lengths if notes.axis is None else {}).items():
        bins = n_bins[contents.names.index(name)]
        what = "longer" if own > bins else "shorter"
        yield Suspicion(
            "length",
            f"the responses to {name!r} are {what} than the stimulus: {own} bins of {contents.settings.dt_ms:g} ms, "
            f"the stimulus has {bins}; a fit needs as many",
            stimulus=name,
        )
    for name, path in contents.files.items():
        if path.suffix.lower() != ".npy" and (clipped := max(map(clipped_samples, load_wav(path)[0].numpy()))):
            yield clipping(name, clipped)
    if contents.spikes is not None and contents.neurons is not None:
        if notes.times is None and notes.axis is None:
            yield from _outside(contents.spikes, contents.neurons.ids, contents, n_bins)
        yield from _not_listed(contents.spikes, contents.neurons.ids, contents)
        yield from _doubled(contents.spikes, contents.neurons.ids, contents.names)


def _decimal_commas(table: MetadataTable, file: str) -> Iterator[Suspicion]:
    """Columns that are text because their decimals are written with a comma."""
    for column in dict.fromkeys(key for entry in table.entries for key in entry):
        values = [
            (name, entry[column]) for name, entry in zip(table.ids, table.entries, strict=True) if column in entry
        ]
        with_comma = [(name, value) for name, value in values if isinstance(value, str) and _COMMA.fullmatch(value)]
        numbers = sum(isinstance(value, int | float) for _, value in values)
        if with_comma and len(with_comma) + numbers == len(values):
            name, value = with_comma[0]
            yield Suspicion(
                "decimal comma",
                f"{file}: the column {column!r} is text, because its numbers have a decimal comma, such as {value!r} "
                f"of {name!r}; write {value.replace(',', '.')}",
            )


def _outside(
    spikes: ListedSpikes, neurons: Sequence[str], contents: FolderContents, n_bins: Sequence[int]
) -> Iterator[Suspicion]:
    """Spikes before and after the stimulus: trial by trial, or in one line where most trials have them."""
    place = spikes.places(contents.settings.dt_ms)
    begin = 0.0 - contents.settings.before_ms / 1000
    what = "window" if any(contents.settings.around) else "stimulus"
    bins = np.asarray(n_bins)[spikes.stimulus]
    for s, name in enumerate(contents.names):
        own = np.flatnonzero((spikes.stimulus == s) & ~np.isnan(spikes.time_s))
        if len(own) == 0:
            continue
        last = (n_bins[s] - spikes.before) * contents.settings.dt_ms / 1000
        trial = spikes.neuron[own] * spikes.n_repeats[s] + spikes.repeat[own]
        n_trials = len(np.unique(trial))
        for before in (True, False):
            outside = np.asarray(place[own] < 0 if before else place[own] >= bins[own])
            trials, index = np.unique(trial[outside], return_inverse=True)
            times = spikes.time_s[own][outside]
            if len(trials) > max(_MOST_TRIALS * n_trials, 1):
                yield _systematic(name, before, len(times), float(times.min() if before else times.max()), last)
                continue
            for k, one in enumerate(trials):
                neuron, repeat = neurons[one // spikes.n_repeats[s]], int(one % spikes.n_repeats[s]) + spikes.first
                count, extreme = int((index == k).sum()), times[index == k]
                yield Suspicion(
                    "outside",
                    f"neuron {neuron!r}, stimulus {name!r}, repeat {repeat}: {_spikes(count)} outside of the {what} "
                    f"of {begin:g} to {last:g} s, {'from' if before else 'up to'} "
                    f"{(extreme.min() if before else extreme.max()):.4g} s",
                    neuron=neuron, stimulus=name, repeat=repeat,
                )  # fmt: skip


def _systematic(name: str, before: bool, count: int, extreme: float, last: float) -> Suspicion:
    if before:
        text = (
            f"stimulus {name!r}: most trials have spikes before it begins ({_spikes(count)}, from {extreme:.4g} s), "
            "which are left out; if it begins later in the clock of the spikes, set onset_ms; "
            "to take them in, before_ms"
        )
        return Suspicion("outside", text, stimulus=name)
    text = (
        f"the responses to {name!r} are longer than the stimulus: most trials have spikes after its end at {last:g} s "
        f"({_spikes(count)}, up to {extreme:.4g} s), which are left out; to take them in, set after_ms"
    )
    return Suspicion("length", text, stimulus=name)


def _not_listed(spikes: ListedSpikes, neurons: Sequence[str], contents: FolderContents) -> Iterator[Suspicion]:
    """Pairs and repeats that no line of the file names, where that leaves open what they mean."""
    has_line = np.zeros((len(neurons), len(contents.names)), dtype=bool)
    has_line[spikes.neuron, spikes.stimulus] = True
    if contents.settings.trials is None:
        for n, s in np.argwhere(~has_line & has_line.any(0) & has_line.any(1, keepdims=True)):
            yield Suspicion(
                "not listed",
                f"neuron {neurons[n]!r} has no spike for stimulus {contents.names[s]!r}, which counts as silence here; "
                'a fit asks you to say whether it was recorded: trials = "all" or "listed"',
                neuron=neurons[n], stimulus=contents.names[s],
            )  # fmt: skip
    for s, name in enumerate(contents.names):
        present = np.unique(spikes.repeat[spikes.stimulus == s])
        declared = contents.stimuli.entries[s].get("repeats") is not None
        if spikes.listed or declared or len(present) == spikes.n_repeats[s]:
            continue
        missing = sorted(set(range(spikes.n_repeats[s])) - set(present.tolist()))
        which = ", ".join(str(repeat + spikes.first) for repeat in missing[:10]) + (" ..." if missing[10:] else "")
        yield Suspicion(
            "not listed",
            f"stimulus {name!r}: repeats are numbered up to {int(present[-1]) + spikes.first}, but no neuron has a "
            f"spike in {which}, which counts as silence; if the numbers have gaps, number the repeats anew",
            stimulus=name, repeat=missing[0] + spikes.first,
        )  # fmt: skip


def _doubled(spikes: ListedSpikes, neurons: Sequence[str], stimuli: Sequence[str]) -> Iterator[Suspicion]:
    """Spikes that are there twice; one in a trial happens where times are rounded."""
    order = np.lexsort((spikes.time_s, spikes.repeat, spikes.neuron, spikes.stimulus))
    keys = [column[order] for column in (spikes.stimulus, spikes.neuron, spikes.repeat, spikes.time_s)]
    same = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    if not same.any():
        return
    at = order[np.flatnonzero(same)]
    trials, index = np.unique(
        np.stack([spikes.neuron[at], spikes.stimulus[at], spikes.repeat[at]]), axis=1, return_inverse=True
    )
    counts = np.bincount(index.ravel())
    for (n, s, repeat), count in zip(trials.T.tolist(), counts.tolist(), strict=True):
        if count < _FEWEST_DOUBLED:
            continue
        in_trial = int(((spikes.neuron == n) & (spikes.stimulus == s) & (spikes.repeat == repeat)).sum())
        if count < _DOUBLED * in_trial:
            continue
        yield Suspicion(
            "doubled",
            f"neuron {neurons[n]!r}, stimulus {stimuli[s]!r}, repeat {repeat + spikes.first}: {_spikes(count)} at the "
            "same time as another one; is the list written twice?",
            neuron=neurons[n], stimulus=stimuli[s], repeat=repeat + spikes.first,
        )  # fmt: skip


def _spikes(count: int) -> str:
    return "1 spike" if count == 1 else f"{count} spikes"
