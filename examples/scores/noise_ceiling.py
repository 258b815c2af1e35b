"""
Noise ceilings and noise-corrected scores
=========================================

Neurons are noisy: even a perfect model has a correlation below 1 with their mean
response, and the fewer the repeats the lower it is. The noise ceiling says how far
a model can get; the noise-corrected correlation (``cc_norm``) is the score relative
to it.
"""

# %%
# A perfect model
# ---------------
# The neurons are simulated, so that the expected response is known. As a prediction,
# it is the best that there can be.

import matplotlib.pyplot as plt
import torch

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import corrcoef, noise_ceiling, normalized_corrcoef
from deepSTRF.models import fit_ridge
from deepSTRF.plotting import plot_cc_against_ceiling, plot_raster

dataset = SimulatedDataset(
    n_neurons=30, duration_s=2.0, n_repeats=40, smooth=False, snr=(0.03, 0.5)
)
expected = torch.stack(dataset.true_rates)[:, :, None]  # (stimuli, neurons, 1, bins)
responses = torch.stack(
    [torch.stack(list(heard)) for heard in dataset.responses]
)  # (stimuli, neurons, repeats, bins)

neuron = 3
fig, axes = plot_raster(
    responses[0, neuron, :10],
    expected[0, neuron, 0],
    dataset.dt,
    "10 repeats, and the expected response",
    response_label="spikes per bin",
)
fig

# %%
# Few repeats, many repeats
# -------------------------
# The correlation of the perfect model with the mean of a few repeats is far from 1.
# The ceiling, estimated from the repeats alone, is as far from it, and the corrected
# score is about 1 for any number of repeats.

numbers = [2, 3, 5, 10, 20, 40]
measures = {
    "correlation of the perfect model": lambda r: corrcoef(
        expected, r, reduction="none"
    ),
    "noise ceiling": lambda r: noise_ceiling(r, reduction="none"),
    "corrected correlation (cc_norm)": lambda r: normalized_corrcoef(
        expected, r, reduction="none"
    ),
}
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for (name, measure), style in zip(measures.items(), ("o-", "s--", "^:"), strict=True):
    means = [measure(responses[:, :, :n]).nanmean() for n in numbers]
    print(name, [f"{float(mean):.2f}" for mean in means])
    ax.plot(numbers, means, style, label=name)
ax.set(
    xscale="log",
    xlabel="repeats",
    ylabel="mean over neurons",
    ylim=(0, 1.1),
    xticks=numbers,
    xticklabels=numbers,
)
ax.minorticks_off()
ax.legend(loc="lower right")
fig

# %%
# A real model
# ------------
# A linear model of the same neurons, scored on sounds that it was not fitted to. The
# distance of a neuron from the line is what the model misses; its distance from 1
# also has the noise in it, about which no model can do anything.

split = dataset.split_indices("holdout:4")
model = fit_ridge(dataset.split("holdout:4").train, window_ms=100)
with torch.no_grad():
    pred = model(torch.stack([dataset.stims[s] for s in split.test]))
heard = responses[split.test, :, :10]
ax = plot_cc_against_ceiling(
    corrcoef(pred, heard, reduction="none"), noise_ceiling(heard, reduction="none")
)
ax.figure
# sphinx_gallery_thumbnail_number = 3
