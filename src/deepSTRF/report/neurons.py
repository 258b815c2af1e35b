"""What a report shows of each neuron: responses, predictions and receptive fields, packed small.

A neuron is one compressed piece of bytes, which the page unpacks when the neuron is chosen. Values are whole numbers of
one byte between the least and the largest of the neuron, which is finer than a line on a screen.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.registry import get_model_card
from deepSTRF.report.fields import fields_of
from deepSTRF.report.reading import ReadRun
from deepSTRF.runs import folder as files
from deepSTRF.runs.data_source import load_dataset
from deepSTRF.runs.evaluate import load_saved_recording, saved_options
from deepSTRF.runs.options import RunError
from deepSTRF.runs.recording import Recording

__all__ = ["pack_neurons"]

TRACE_BYTES = 2_200_000  # of all neurons, compressed; a third more as text
LEAST_BINS = 400  # of a neuron, however many there are
SAMPLED = 12  # neurons that are packed to see how small they become
MISSING = 255
LEVELS = 254


@dataclass
class _Stimulus:
    """What is known of a test stimulus: (N, T) each, the raster as ``{neuron: (R, T)}``."""

    name: str
    psth: np.ndarray
    predictions: list[np.ndarray]
    raster: dict[int, np.ndarray]


def pack_neurons(runs: Sequence[ReadRun], data: str | NeuralDataset | None = None) -> dict[str, Any]:
    """Pack the neurons of finished runs, which have the same ones; what is missing is noted in the runs.

    Parameters
    ----------
    runs : sequence of ReadRun
        Finished, with the same neurons and test stimuli.
    data : str or NeuralDataset, optional
        Where the recording lies now, if it moved, or the recording.

    Returns
    -------
    dict
        ``dt_ms``; ``stimuli``, their names; ``fields``, per run what its receptive fields are (or None); ``neurons``,
        per neuron its ``segments`` (stimulus, bins, repeats), ``range`` of traces and ``counts`` of rasters, and
        ``fields``; ``chunks``, per neuron in base64 the deflated bytes, in the order of ``segments`` (PSTH, prediction
        of each run, raster) and then of the runs (field). ``cut`` says whether segments were left out or cut.

    Raises
    ------
    RunError
        If a file of a run is damaged.
    """
    recordings = _recordings(runs, data)
    fields = [fields_of(run, recording) for run, recording in zip(runs, recordings, strict=True)]
    recording = next((one for one in recordings if one is not None), None)
    stimuli, dt_ms = _stimuli(runs, recording)
    n_neurons = len(runs[0].neurons)
    limit = _affordable_bins(stimuli, n_neurons)
    neurons, chunks, cut = [], [], False
    for n in range(n_neurons):
        entry, content, shortened = _pack_traces(stimuli, n, limit)
        entry["fields"] = []
        for one in fields:
            described, field = (None, b"") if one is None else one.pack(n)
            entry["fields"].append(described)
            content += field
        neurons.append(entry)
        chunks.append(base64.b64encode(zlib.compress(content, 9)).decode())
        cut = cut or shortened
    return {
        "dt_ms": dt_ms,
        "stimuli": [stimulus.name for stimulus in stimuli],
        "fields": [None if one is None else one.description for one in fields],
        "neurons": neurons,
        "chunks": chunks,
        "cut": cut,
    }


def _recordings(runs: Sequence[ReadRun], data: str | NeuralDataset | None) -> list[Recording | None]:
    """The recording of each run, where it is at hand and still the same; what several were fitted to is read once."""
    recordings: list[Recording | None] = []
    loaded: dict[tuple[str, ...], NeuralDataset] = {}
    for run in runs:
        try:
            options = saved_options(run.folder, run.config, data)
            waveforms = get_model_card(options.model).stimulus == "waveform"
            key = tuple(map(str, (options.dataset, options.data, options.read, options.dt_ms, waveforms)))
            if key not in loaded:
                loaded[key] = load_dataset(options)
            recordings.append(load_saved_recording(run.folder, run.config, options, loaded[key]))
        except (OSError, ValueError, LookupError, ImportError) as error:  # RunError is a ValueError
            reason = error.with_flags() if isinstance(error, RunError) else str(error)
            run.notes.append(f"the recording could not be read, so there are no rasters: {' '.join(reason.split())}")
            recordings.append(None)
    return recordings


def _stimuli(runs: Sequence[ReadRun], recording: Recording | None) -> tuple[list[_Stimulus], float]:
    """The test stimuli, from the files of the runs and, where it is at hand, the recording."""
    numbers = [int(s) for s in runs[0].config["split"]["test"]]
    blocks = [] if recording is None else list(recording.dataset._packed().blocks())
    stimuli = [_Stimulus(f"stimulus {s}", np.empty((0, 0)), [], {}) for s in numbers]
    for run in runs:
        path = run.folder / files.PREDICTIONS_FILE
        if not path.is_file():
            raise RunError(f"{run.folder} is damaged: it has no {path.name}; fit it again")
        with files.reading(path), np.load(path) as arrays:
            dt_ms = float(arrays["dt_ms"])
            for s, stimulus in zip(numbers, stimuli, strict=True):
                stimulus.predictions.append(arrays[f"pred_{s:03d}"])
                if len(stimulus.predictions[-1]) != len(run.neurons):
                    raise ValueError(f"{len(run.neurons)} neurons, but predictions of {len(stimulus.predictions[-1])}")
                if not stimulus.psth.size and f"psth_{s:03d}" in arrays:
                    stimulus.psth = arrays[f"psth_{s:03d}"]
    for s, stimulus in zip(numbers, stimuli, strict=True):
        if recording is not None:
            meta = as_dict(recording.dataset.stim_meta[s])
            stimulus.name = str(meta.get("name") or stimulus.name)
            stimulus.psth, stimulus.raster = _recorded(blocks[s], stimulus.predictions[0].shape)
        elif not stimulus.psth.size:  # a run of an earlier version
            stimulus.psth = np.full(stimulus.predictions[0].shape, np.nan)
    return stimuli, dt_ms


def _recorded(block: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """PSTH of every neuron, and the repeats of those that heard the stimulus."""
    psth, raster = np.full(shape, np.nan), {}
    if block.n_bins:
        values: Tensor = block.values
        psth[np.asarray(block.neurons)] = values.nanmean(1).numpy()
        for position, n in enumerate(np.asarray(block.neurons).tolist()):
            raster[n] = block.view(position).numpy()
    return psth, raster


def _affordable_bins(stimuli: Sequence[_Stimulus], n_neurons: int) -> int:
    """How many bins of each neuron there is room for."""
    sample = range(0, n_neurons, max(1, n_neurons // SAMPLED))
    packed = [_pack_traces(stimuli, n, None) for n in sample]
    n_bytes = sum(len(zlib.compress(content, 9)) for _, content, _ in packed)
    bins = sum(segment[1] for entry, _, _ in packed for segment in entry["segments"])
    return max(LEAST_BINS, int(TRACE_BYTES / n_neurons * max(bins, 1) / max(n_bytes, 1)))


def _pack_traces(stimuli: Sequence[_Stimulus], n: int, limit: int | None) -> tuple[dict[str, Any], bytes, bool]:
    """PSTH, predictions and raster of one neuron, the first `limit` bins of what it heard; and whether that cut any."""
    heard = [i for i, one in enumerate(stimuli) if np.isfinite(one.psth[n]).any()]
    if not heard and not any(np.isfinite(one.psth).any() for one in stimuli):  # the responses are not known
        heard = list(range(len(stimuli)))
    cuts: list[tuple[int, int]] = []
    for i in heard:
        room = stimuli[i].psth.shape[1] if limit is None else limit - sum(bins for _, bins in cuts)
        if room > 0:
            cuts.append((i, min(room, stimuli[i].psth.shape[1])))
    traces = [[one[n, :bins] for one in (stimuli[i].psth, *stimuli[i].predictions)] for i, bins in cuts]
    rasters = [stimuli[i].raster[n][:, :bins] if n in stimuli[i].raster else np.empty((0, bins)) for i, bins in cuts]
    trace_range, raster_range = _range([t for some in traces for t in some]), _range(rasters)
    content = b""
    for some, raster in zip(traces, rasters, strict=True):
        content += b"".join(_as_bytes(values, *trace_range) for values in some) + _as_bytes(raster, *raster_range)
    entry = {
        "segments": [[i, bins, len(raster)] for (i, bins), raster in zip(cuts, rasters, strict=True)],
        "range": trace_range,
        "counts": raster_range,
    }
    return entry, content, sum(bins for _, bins in cuts) < sum(stimuli[i].psth.shape[1] for i in heard)


def _range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([array.ravel() for array in arrays]) if arrays else np.empty(0)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _as_bytes(values: np.ndarray, low: float, high: float) -> bytes:
    """Values from `low` to `high` as 0 to 254, what is missing as 255."""
    scaled = (values.astype(float) - low) / ((high - low) or 1.0) * LEVELS
    return np.where(np.isfinite(values), scaled.round().clip(0, LEVELS), MISSING).astype(np.uint8).tobytes()
