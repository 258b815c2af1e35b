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

from functools import partial

import torch
from torch.utils.data import DataLoader

from deepSTRF.analysis import gradient_strf, optimal_stimulus
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import poisson_loss
from deepSTRF.models.audio import NetworkReceptiveField
from deepSTRF.plotting import plot_strf_grid
from deepSTRF.training import Fitter, set_random_seed
from deepSTRF.utils import neural_collate

dataset = SimulatedDataset(
    n_neurons=3,
    n_stims=24,
    duration_s=2.0,
    dt_ms=10.0,
    n_bands=16,
    smooth=False,
    snr=(1.0, 3.0),
    kinds={"on_off": 1.0},
    seed=1,
)
train, val, test = (
    DataLoader(part, batch_size=2, collate_fn=neural_collate)
    for part in dataset.split("holdout:3")
)
set_random_seed(0)
model = NetworkReceptiveField(dataset.F, 30, out_neurons=dataset.N_neurons)
fitter = Fitter(
    model,
    train,
    val,
    loss_fn=poisson_loss,
    optimizer=partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.3),
    max_epochs=30,
    restore_best=True,
    log_fn=None,
)
fitter.fit()
print(
    "noise-corrected correlation on the test sounds:",
    fitter.evaluate(test)["cc_norm"].numpy().round(2),
)

# %%
# Its best sound
# --------------
# 300 ms, with the power of the sounds of the experiment. For comparison, a sound in
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
