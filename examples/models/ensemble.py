"""
Several models as one, and where they disagree
==============================================

Networks that start from other weights learn the same thing about a neuron, and
other things about the noise in its training data. Their mean predicts better than
each of them, and where they disagree the prediction is not to be trusted.
"""

# %%
# Eight networks, trained as one
# ------------------------------
# A short recording of noisy neurons. ``members=8`` of the recipe is ``--members 8`` of
# ``deepstrf fit``.

import dataclasses

import matplotlib.pyplot as plt
import torch

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import normalized_corrcoef
from deepSTRF.plotting import plot_neuron
from deepSTRF.registry import get_recipe
from deepSTRF.training.recipes import fit_recipe
from deepSTRF.utils import neural_collate

dataset = SimulatedDataset(
    n_neurons=8, n_stims=12, duration_s=2.0, n_bands=16, snr=(0.2, 1.0), seed=1
)
train, val, test = dataset.split("holdout:3")
recipe = get_recipe("nrf")
settings = dataclasses.replace(recipe.settings, members=8, epochs=60)
ensemble = fit_recipe(recipe, settings, train, val, seed=0).model

# %%
# The mean is better than its parts
# ---------------------------------

batch = neural_collate([test[i] for i in range(len(test))])
with torch.no_grad():
    each = ensemble.each(batch["stims"])  # (members, stimuli, neurons, 1, bins)


def score(prediction):
    return float(normalized_corrcoef(prediction, batch["responses"], method="schoppe"))


print("members:", [round(score(prediction), 3) for prediction in each])
print("their mean:", round(score(each.mean(0)), 3))

# %%
# How far they lie apart
# ----------------------
# The band is one standard deviation over the members.

mean, spread = each.mean(0)[0, :, 0], each.std(0)[0, :, 0]
neuron = int(spread.mean(1).argmax())
fig, axes = plot_neuron(
    test.stims[0],
    test.responses[0][neuron],
    None,
    mean[neuron],
    dt_ms=test.dt,
    frequencies_hz=test.frequencies_hz,
    title=f"neuron {neuron}",
    spread=spread[neuron],
    excerpt=(100, 250),
)
fig

# %%
# Where they disagree, the mean is wrong more often
# -------------------------------------------------
# Bins of all neurons and test stimuli, sorted by the disagreement, in ten parts. Here
# the true rate is known.

rate = torch.stack([test.true_rates[s] for s in range(len(test))])
error = (each.mean(0)[:, :, 0] - rate).square().flatten()
apart = each.std(0)[:, :, 0].flatten()
parts = apart.argsort().tensor_split(10)
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot(
    [float(apart[part].mean()) for part in parts],
    [float(error[part].mean().sqrt()) for part in parts],
    "o-",
    color="#D55E00",
)
ax.set(
    xlabel="standard deviation over members (spikes per bin)",
    ylabel="error of the mean (spikes per bin)",
)
fig
