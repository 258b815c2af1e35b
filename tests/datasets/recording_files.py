"""Small files in the formats of recordings."""

import io

import numpy as np
import scipy.io
import soundfile
import torch


def rows(dataset, stimulus=0):
    """Responses (N, R, T) to a stimulus; NaN for pairs and repeats without data."""
    return torch.stack([dataset.responses[stimulus][n] for n in range(dataset.N_neurons)]).numpy()


def mat_file(*, compress=False, format="5", **variables):
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compress, format=format)
    return file.getvalue()


def structs(fields, rows):
    """Build a (1, n) MATLAB struct array."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for i, row in enumerate(rows):
        for field, value in zip(fields, row, strict=True):
            array[0, i][field] = value
    return array


def spike_file(trials, compress=False):
    """Write the .mat file of one NS1 unit from trials[s][r] = spike times in ms."""
    fields = ["t", "repeat_id", "timestamp"]
    sets = [
        (
            structs(
                fields,
                [(np.atleast_2d(t) if len(t) else np.zeros((0, 0), "u1"), np.ones((1, len(t))), 0.0) for t in repeats],
            ),
            5000.0,
        )
        for repeats in trials
    ]
    return mat_file(data=structs(["set"], [(structs(["repeats", "length_signal_ms"], sets),)]), compress=compress)


def metadata_file(rows, compress=False):
    """Write the metadata of NS1 from the path, depth, noise ratio, single_n, single_t and electrode of each unit."""
    fields = ["path", "depth", "NoiseRatio", "singleN", "singleT", "NrOfElectrodes", "ElectrodeNumber"]
    return mat_file(neuron=structs(fields, [(*row[:5], 32, row[5]) for row in rows]), compress=compress)


def unit_metadata(paths, compress=False):
    """Write the metadata of NS1 for units that differ in their paths only."""
    return metadata_file([(path, 450, 3.5, 1, "Yes", 7) for path in paths], compress)


def sound_file(samples, fs=48000, **kwargs):
    file = io.BytesIO()
    soundfile.write(file, samples, fs, **{"format": "WAV", **kwargs})
    return file.getvalue()
