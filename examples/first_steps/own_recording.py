"""
Your own recording, from spike times
====================================

From sounds, spike times and a table of trials to receptive fields. Everything is
made up in this script, so that it runs anywhere; yours come from files instead.
"""

# %%
# What an experiment leaves
# -------------------------
# Ten sounds of two seconds, played eight times each in random order: a table of
# trials with onsets in seconds. The sounds are noise whose bands of half an octave
# wax and wane independently.

import numpy as np
from scipy.signal import butter, sosfilt

from deepSTRF.analysis import strf, tuning
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.models import fit_ridge
from deepSTRF.plotting import plot_raster, plot_strf_grid

rng = np.random.default_rng(0)
rate_hz, n_samples = 16_000, 32_000
centres_hz = 500 * 2 ** np.arange(0, 4, 0.5)
sounds, envelopes = {}, {}
for number in range(10):
    slow = sosfilt(
        butter(2, 30, fs=200, output="sos"), rng.normal(size=(len(centres_hz), 400))
    )
    level = np.exp(1.5 * slow / slow.std())
    bands = [
        sosfilt(
            butter(2, [f / 1.19, f * 1.19], "band", fs=rate_hz, output="sos"),
            rng.normal(size=n_samples),
        )
        for f in centres_hz
    ]
    sounds[f"noise {number}"] = (np.repeat(level, rate_hz // 200, axis=1) * bands).sum(
        0
    )
    envelopes[f"noise {number}"] = level

order = rng.permutation(np.repeat(list(sounds), 8))
trials = {"onset": 1.0 + 2.5 * np.arange(len(order)), "stimulus": order}

# %%
# Three neurons, each excited by one band 20 ms ago. A spike sorter gives their spike
# times in one long list per neuron.

units = {}
for name, band in (("A", 1), ("B", 4), ("C", 6)):
    times = []
    for onset, stimulus in zip(trials["onset"], trials["stimulus"], strict=True):
        rate = 8 * np.log1p(
            envelopes[stimulus][band]
        )  # spikes per second, in bins of 5 ms
        spikes = rng.poisson(rate * 0.005)
        times.append(
            onset
            + 0.020
            + 0.005 * (np.repeat(np.arange(400), spikes) + rng.random(spikes.sum()))
        )
    units[name] = np.sort(np.concatenate(times))
    print(f"neuron {name}: {len(units[name])} spikes")

# %%
# A data set
# ----------
# One call makes spectrograms, cuts the spike trains into trials and counts spikes in
# bins. The unit of the times must be given: with a wrong one everything would run,
# and nothing would be right.

dataset = AudioNeuralDataset.from_waveforms(
    sounds,
    rate_hz,
    spikes=units,
    trials=trials,
    unit="s",
    dt_ms=10.0,
    spectrogram={"kind": "log", "n_bands": 16},
)
print(dataset)
fig, axes = plot_raster(
    dataset.responses[0][0],
    dt_ms=dataset.dt,
    title="neuron A, noise 0",
    response_label="spikes per bin",
)
fig

# %%
# Receptive fields
# ----------------
# Ridge regression is the quick first look. Latencies are those behind the
# spectrogram, whose windows look back themselves, and therefore below 20 ms.

dataset.standardize_stims(per_band=False)
fields = strf(
    fit_ridge(dataset, window_ms=100),
    dt_ms=dataset.dt,
    frequencies_hz=dataset.frequencies_hz,
)
found = tuning(fields)
for name, band, frequency, latency in zip(
    units, (1, 4, 6), found.best_frequency_hz, found.latency_ms, strict=True
):
    print(
        f"neuron {name}: best frequency {frequency:.0f} Hz (true {centres_hz[band]:.0f} Hz), latency {latency:.0f} ms"
    )

fig, axes = plot_strf_grid(
    fields.fields,
    [f"neuron {name}" for name in units],
    dataset.dt,
    frequencies_hz=dataset.frequencies_hz,
)
fig
# sphinx_gallery_thumbnail_number = 2
