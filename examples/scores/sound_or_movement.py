"""
Sound or movement: who explains what?
=====================================

Animals move, often because of what they hear, and the responses of sensory neurons
depend on both. Variance partitioning says how much of a response only the sound
explains, how much only the movement, and how much either of them could.
"""

# %%
# A recording in which the animal runs
# ------------------------------------
# Running speed is slow, and a loud sound makes the animal run. Each neuron gets its
# own mixture: the first listens only, the last follows the speed only.

import matplotlib.pyplot as plt
import numpy as np
import torch

from deepSTRF.analysis import variance_partitioning
from deepSTRF.datasets.simulated import SimulatedDataset

dataset = SimulatedDataset(
    n_neurons=6, n_stims=20, duration_s=1.0, n_bands=12, kinds={"ln": 1.0}
)
sounds = [stim[0] for stim in dataset.stims]
rng = torch.Generator().manual_seed(0)
weights = torch.linspace(0, 1, dataset.N_neurons)[:, None]
speeds, responses = [], []
for sound, heard in zip(sounds, dataset.responses, strict=True):
    drive = sound.mean(0) + 0.7 * torch.randn(sound.shape[1], generator=rng)
    speed = torch.stack(
        [drive[max(0, t - 60) : t + 1].mean() for t in range(len(drive))]
    )  # over 300 ms
    speed = (speed - speed.mean()) / speed.std()
    rates = torch.stack([r.mean(0) for r in heard])
    rates = rates / rates.std(1, keepdim=True).clamp_min(0.1)
    noise = 0.7 * torch.randn(rates.shape, generator=rng)
    responses.append((1 - weights) * rates + weights * speed + noise)
    speeds.append(speed[None])

# %%
# The partition
# -------------
# The models are fitted by banded ridge regression, with a penalty for each group of
# features, so that 12 bands of sound do not drown one speed. All parts are measured
# on sounds that were held out.

parts = variance_partitioning({"sound": sounds, "speed": speeds}, responses, n_lags=20)
bars = {
    "only sound": parts.unique["sound"],
    "either": parts.shared,
    "only speed": parts.unique["speed"],
}
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
bottom = np.zeros(dataset.N_neurons)
for (label, height), colour in zip(
    bars.items(), ("#0072B2", "#999999", "#D55E00"), strict=True
):
    height = height.clamp_min(0).numpy()
    ax.bar(range(dataset.N_neurons), height, bottom=bottom, label=label, color=colour)
    bottom += height
ax.set(xlabel="neuron", ylabel="fraction of variance explained", ylim=(0, 1))
ax.legend(title="explained by", ncols=3, loc="upper center")
fig
