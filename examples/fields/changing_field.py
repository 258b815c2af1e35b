"""
A receptive field that changes with the sound
=============================================

A recurrent network has no receptive field that holds for all sounds. At each
moment, though, there is a linear field that acts like the network: the dynamic
receptive field (dSTRF). Seen one after the other, they show what the network does.
"""

# %%
# A network, fitted
# -----------------
# These neurons divide their rate by the recent loudness near their best frequency
# (gain control).

import torch

from deepSTRF.analysis import dynamic_strf, dynamic_summary
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.plotting import plot_dynamic_strf
from deepSTRF.registry import get_recipe
from deepSTRF.training.recipes import fit_recipe, make_loader

dataset = SimulatedDataset(
    n_neurons=6,
    n_stims=16,
    duration_s=2.0,
    dt_ms=10.0,
    n_bands=16,
    smooth=False,
    snr=(0.5, 2.0),
    kinds={"gain_control": 1.0},
)
train, val, test = dataset.split("holdout:3")
recipe = get_recipe("statenet")
model, fitter, _ = fit_recipe(
    recipe, recipe.settings, train, val, seed=0, max_epochs=12
)
scores = fitter.evaluate(make_loader(test, 1))["cc_norm"]
print("noise-corrected correlation on the test sounds:", scores.numpy().round(2))

# %%
# The film strip
# --------------
# Fields along a test sound, for the neuron that is predicted best, at the strongest
# response in each of six parts of the sound. Above them is the prediction, with these
# moments marked.

neuron = int(scores.argmax())
dynamic = dynamic_strf(
    model,
    dataset.stims[-1],
    n_lags=15,
    neurons=neuron,
    dt_ms=dataset.dt,
    frequencies_hz=dataset.frequencies_hz,
)
prediction = dynamic.prediction[0]
frames = [
    int(part[prediction[part].argmax()])
    for part in torch.arange(20, len(prediction)).chunk(6)
]
fig, axes = plot_dynamic_strf(
    dynamic.fields[0],
    dynamic.bins,
    dataset.dt,
    frames=frames,
    frequencies_hz=dataset.frequencies_hz,
    prediction=prediction,
    response_label="spikes per bin",
    title=f"neuron {neuron}",
    figsize=(10, 4.5),
)
fig

# %%
# In numbers: how much the gain (the norm of the field) varies, how long the field
# stays on the same piece of sound while time goes on, and how much its shape changes
# (1 is not at all).

summary = dynamic_summary(dynamic)
print(f"gain varies by {float(summary.gain_change):.0%}")
print(
    f"hold of {float(summary.temporal_hold_ms):.0f} ms, change of shape {float(summary.shape_change):.1f}"
)
