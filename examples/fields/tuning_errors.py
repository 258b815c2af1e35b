"""
Tuning, with standard errors
============================

Best frequency, bandwidth and latency are read from a receptive field. How sure are
they? The jackknife answers: fit again without some of the sounds, and see how much
the numbers change.
"""

# %%
# Fields by ridge regression
# --------------------------

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from deepSTRF.analysis import jackknife_errors, strf, tuning
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models import fit_ridge
from deepSTRF.plotting import plot_strf_grid

dataset = SimulatedDataset(
    n_neurons=12,
    n_stims=20,
    duration_s=2.0,
    n_bands=20,
    kinds={"ln": 1.0},
    snr=(0.1, 1.0),
    seed=1,
)
axes_of_fields = {"dt_ms": dataset.dt, "frequencies_hz": dataset.frequencies_hz}
model = fit_ridge(dataset, window_ms=100)
fields = strf(model, **axes_of_fields)
fig, axes = plot_strf_grid(
    fields.fields,
    [f"neuron {n}" for n in range(12)],
    dataset.dt,
    frequencies_hz=dataset.frequencies_hz,
)
fig

# %%
# The jackknife
# -------------
# Ten fits, each without two of the sounds, with the penalties of the fit to all of
# them. With these fields, :func:`~deepSTRF.analysis.tuning` has a standard error for
# each of its numbers.

penalty = float(model.ridge_alpha.median())
without = torch.stack(
    [
        strf(
            fit_ridge(
                dataset.subset([s for s in range(20) if s // 2 != group]),
                window_ms=100,
                alphas=penalty,
            )
        ).fields
        for group in range(10)
    ]
)
fields = replace(
    fields, leave_one_out=without, standard_errors=jackknife_errors(without)
)
found = tuning(fields)
errors = found.standard_errors
for n in range(4):
    frequency = (
        f"{found.best_frequency_hz[n]:.0f} ± {errors['best_frequency_hz'][n]:.0f} Hz"
    )
    width = f"{found.bandwidth_octaves[n]:.2f} ± {errors['bandwidth_octaves'][n]:.2f} octaves"
    print(
        f"neuron {n}: {frequency}, {width}, {found.latency_ms[n]:.1f} ± {errors['latency_ms'][n]:.1f} ms"
    )

# %%
# Against the truth
# -----------------
# Bars are one standard error: how much an estimate would change with other sounds and
# spikes. What is wrong in all fits alike, such as the smoothing by the ridge penalty,
# is not in them.

truth = [
    np.array([meta[key] for meta in dataset.nrn_meta])
    for key in ("best_frequency_hz", "latency_ms")
]
estimates = [
    (found.best_frequency_hz / 1000, "best_frequency_hz", 1000, "best frequency (kHz)"),
    (found.latency_ms, "latency_ms", 1, "latency (ms)"),
]
fig, panels = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, true, (estimate, name, unit, label) in zip(
    panels, truth, estimates, strict=True
):
    ax.errorbar(true / unit, estimate, errors[name] / unit, fmt="o")
    ax.axline((true.mean() / unit,) * 2, slope=1, color="grey", linewidth=1)
    ax.set(xlabel=f"true {label}", ylabel=f"estimated {label}")
ticks = [1, 2, 4, 8, 16]
panels[0].set(
    xscale="log",
    yscale="log",
    xticks=ticks,
    yticks=ticks,
    xticklabels=ticks,
    yticklabels=ticks,
)
panels[0].minorticks_off()
fig
# sphinx_gallery_thumbnail_number = 2
