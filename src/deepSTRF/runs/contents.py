"""What the data of a run were, piece by piece, so that a run can say what has changed in them since."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepSTRF.checks import first_few
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.metadata import as_dict

__all__ = ["contents_of", "describe_changes"]

_NAMED = 5


def contents_of(dataset: NeuralDataset) -> dict[str, Any]:
    """Names and checksums of the stimuli, of the responses to each, and of the responses of each neuron.

    They are for telling what changed; that nothing did is told by the SHA-256 of all.

    Examples
    --------
    >>> cells = [{"cell_id": "a"}, {}]
    >>> ds = NeuralDataset.from_arrays([np.ones((3, 8))], [np.ones((2, 1, 8))], dt_ms=5.0, nrn_meta=cells)
    >>> contents = contents_of(ds)
    >>> contents["neurons"]["names"], len(contents["stimuli"]["responses"])
    (['a', '1'], 1)
    """
    stimuli = [_checksum(stim.numpy()) for stim in dataset.stims]
    neurons: list[int] = [0] * dataset.N_neurons
    responses: list[int] = []
    for block in dataset._packed().blocks():
        of_stimulus = 0
        for neuron, one in zip(block.neurons.tolist(), block.checksums, strict=True):
            of_stimulus = zlib.crc32(f"{neuron} {one}".encode(), of_stimulus)
            neurons[neuron] = zlib.crc32(f"{len(responses)} {one}".encode(), neurons[neuron])
        responses.append(of_stimulus)
    return {
        "dt_ms": dataset.dt,
        "stimuli": {"names": _names(dataset.stim_meta, "name"), "stimuli": stimuli, "responses": responses},
        "neurons": {"names": _names(dataset.nrn_meta, "cell_id"), "responses": neurons},
    }


def describe_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two :func:`contents_of`, in phrases; empty where nothing does.

    Examples
    --------
    >>> ds = NeuralDataset.from_arrays([np.ones((3, 8))] * 2, [np.ones((2, 1, 8))] * 2, dt_ms=5.0)
    >>> before = contents_of(ds)
    >>> ds.responses[1][0] = ds.responses[1][0] + 1
    >>> describe_changes(before, contents_of(ds))
    ['other responses of 1 of 2 neurons (0) to 1 of 2 stimuli (1)']
    """
    changes = []
    if was["dt_ms"] != now["dt_ms"]:
        changes.append(f"bins of {now['dt_ms']:g} ms instead of {was['dt_ms']:g}")
    for kind in ("stimuli", "neurons"):
        before, after = was[kind]["names"], now[kind]["names"]
        gone, new = [n for n in before if n not in set(after)], [n for n in after if n not in set(before)]
        if gone:
            changes.append(f"{kind} that are gone: {first_few(gone, _NAMED)}")
        if new:
            changes.append(f"{kind} that are new: {first_few(new, _NAMED)}")
        if not gone and not new and before != after:
            changes.append(f"another order of the {kind}")
    if changes:
        return changes
    stimuli = was["stimuli"]["names"]
    if other := _different(stimuli, was["stimuli"]["stimuli"], now["stimuli"]["stimuli"]):
        changes.append(f"{_of(other, stimuli, 'stimuli')} changed")
    neurons = was["neurons"]["names"]
    if other := _different(neurons, was["neurons"]["responses"], now["neurons"]["responses"]):
        to = _different(stimuli, was["stimuli"]["responses"], now["stimuli"]["responses"])
        changes.append(f"other responses of {_of(other, neurons, 'neurons')} to {_of(to, stimuli, 'stimuli')}")
    return changes


def _checksum(values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data, zlib.crc32(str(values.shape).encode()))


def _names(metadata: Sequence[Any], key: str) -> list[str]:
    """The names, where each has one of its own; numbers otherwise."""
    names = [str(as_dict(meta).get(key) or index) for index, meta in enumerate(metadata)]
    return names if len(set(names)) == len(names) else list(map(str, range(len(names))))


def _different(names: Sequence[str], was: Sequence[int], now: Sequence[int]) -> list[str]:
    return [name for name, before, after in zip(names, was, now, strict=True) if before != after]


def _of(some: Sequence[str], every: Sequence[str], kind: str) -> str:
    return f"{len(some)} of {len(every)} {kind} ({first_few(some, _NAMED)})"
