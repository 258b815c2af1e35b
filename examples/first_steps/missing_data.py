"""
Neurons that did not hear every sound
=====================================

In real recordings neurons come and go, so that not every neuron was recorded with
every sound. Missing responses are NaN, and nothing else needs to be done: losses,
scores and fits leave them out, exactly.
"""

# %%
# What was recorded
# -----------------
# More than half of the pairs of sound and neuron are missing here.

import matplotlib.pyplot as plt
import torch

from deepSTRF.analysis import strf, strf_correlation
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models import fit_ridge
from deepSTRF.plotting import plot_coverage

recording = {"n_neurons": 10, "n_stims": 24, "duration_s": 2.0, "n_repeats": (3, 10)}
recording |= {"dt_ms": 10.0, "n_bands": 18, "smooth": False, "seed": 5}
dataset = SimulatedDataset(**recording, missing=0.6)
repeats = torch.tensor(
    [[len(response) for response in heard] for heard in dataset.responses]
)
ax = plot_coverage(repeats * dataset.nrn_masks)
ax.figure

# %%
# What NaN is good for
# --------------------
# The same recording, with zeros in the place of what is missing, as if the neurons
# had been silent:

responses = [
    [
        response if recorded else torch.zeros(1, stim.shape[-1])
        for response, recorded in zip(heard, row, strict=True)
    ]
    for stim, heard, row in zip(
        dataset.stims, dataset.responses, dataset.nrn_masks, strict=True
    )
]
zeros = AudioNeuralDataset.from_arrays(
    [stim[0] for stim in dataset.stims], responses, dt_ms=dataset.dt
)

# %%
# And, as a simulation allows it, the recording without gaps. Receptive fields are
# compared with the true ones.

complete = SimulatedDataset(**recording)
agreement = {
    name: strf_correlation(dataset.true_strfs, strf(fit_ridge(data)).fields)
    for name, data in (
        ("complete", complete),
        ("missing is NaN", dataset),
        ("missing is zero", zeros),
    )
}
for name, values in agreement.items():
    print(f"{name}: correlation with the true field {values.mean():.2f}")

fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.boxplot(list(agreement.values()), tick_labels=list(agreement))
ax.set(ylabel="correlation with the true field", ylim=(0.5, 1))
fig
