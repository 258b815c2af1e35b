"""
The sound that a neuron likes best
==================================

The receptive field of a linear model is also the sound that drives it best. Not so
for a network: its best sound has to be searched for, by gradient ascent through the
model under a bound on the power.
"""

# %%
# A network with a hidden layer
# -----------------------------
# These neurons respond to rises or falls of the level, each band relative to its
# recent past.

import torch

from deepSTRF.analysis import gradient_strf, optimal_stimulus
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.plotting import plot_strf_grid
from deepSTRF.registry import get_recipe
from deepSTRF.training.recipes import fit_recipe, make_loader

dataset = SimulatedDataset(
    n_neurons=3, n_stims=24, duration_s=2.0, snr=(1.0, 3.0), kinds={"on_off": 1.0}
)
train, val, test = dataset.split("holdout:3")
recipe = get_recipe("nrf")
model, fitter, _ = fit_recipe(
    recipe, recipe.settings, train, val, seed=0, max_epochs=30
)
print(
    "noise-corrected correlation on the test sounds:",
    fitter.evaluate(make_loader(test, 1))["cc_norm"].numpy().round(2),
)

# %%
# Its best sound
# --------------
# 150 ms, with the power of the sounds of the experiment. For comparison, a sound in
# the shape of the average receptive field, with the same power:

best = optimal_stimulus(
    model, n_bins=30, power=1.0, dt_ms=dataset.dt, frequencies_hz=dataset.frequencies_hz
)
fields = gradient_strf(
    model, dataset, n_lags=30, dt_ms=dataset.dt, frequencies_hz=dataset.frequencies_hz
)
like_field = fields.fields / fields.fields.square().mean((1, 2), keepdim=True).sqrt()
with torch.no_grad():
    responses = model(like_field[:, None])[:, :, 0, -1].diagonal()
for n, (to_best, to_field) in enumerate(zip(best.responses, responses, strict=True)):
    print(
        f"neuron {n}: {to_best:.2f} spikes per bin to its best sound, {to_field:.2f} to one like its field"
    )

# %%
# Fields above, best sounds below; the response is that in the last bin.

fig, axes = plot_strf_grid(
    torch.cat([like_field, best.stimuli]),
    [f"neuron {n}, field" for n in range(3)]
    + [f"neuron {n}, best sound" for n in range(3)],
    dataset.dt,
    ncols=3,
    frequencies_hz=dataset.frequencies_hz,
)
fig
