"""
A first fit and its receptive fields
====================================

Fit a linear-nonlinear (LN) model to a population of neurons that listen to sounds,
score it on sounds that it never heard, and compare the receptive fields that it
found with the true ones. These are known because the neurons are simulated.
"""

# %%
# The recording
# -------------
# A data set holds stimuli, here spectrograms, and the responses of each neuron to
# repeats of each stimulus.

from functools import partial

import torch
from torch.utils.data import DataLoader

from deepSTRF.analysis import strf, strf_correlation
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import poisson_loss
from deepSTRF.models.audio import LinearNonlinear
from deepSTRF.plotting import plot_neuron, plot_strf_recovery
from deepSTRF.training import Fitter, set_random_seed
from deepSTRF.utils import neural_collate

dataset = SimulatedDataset(
    n_neurons=8, n_stims=20, duration_s=3.0, kinds={"ln": 1.0}, snr=(0.3, 1.5)
)
print(dataset)
print(
    f"{len(dataset)} sounds of {dataset.F} bands, {dataset.responses[0][0].shape[0]} repeats each"
)

# %%
# Training, validation and test
# -----------------------------
# ``holdout:4`` keeps the last four sounds for the test and the four before them for
# validation. Sounds are standardised with the mean and the standard deviation of the
# training sounds only.

dataset.standardize_stims(dataset.split_indices("holdout:4").train, per_band=False)
train, val, test = (
    DataLoader(part, batch_size=4, shuffle=shuffle, collate_fn=neural_collate)
    for part, shuffle in zip(
        dataset.split("holdout:4"), (True, False, False), strict=True
    )
)

# %%
# The fit
# -------
# Every neuron gets a receptive field of 150 ms. The Fitter stops when the score on
# the validation sounds no longer improves, and goes back to the best epoch.

set_random_seed(0)
model = LinearNonlinear(
    n_frequency_bands=dataset.F, temporal_window_size=30, out_neurons=dataset.N_neurons
)
fitter = Fitter(
    model,
    train,
    val,
    loss_fn=poisson_loss,
    optimizer=partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.3),
    max_epochs=30,
    patience=6,
    restore_best=True,
    log_fn=None,
)
history = fitter.fit()
scores = fitter.evaluate(test)
print(
    f"{len(history)} epochs; noise-corrected correlation of each neuron on the test sounds:"
)
print(scores["cc_norm"].numpy().round(2))

# %%
# A prediction
# ------------
# One neuron and one test sound: the sound, the response in each repeat, and the mean
# response with the prediction.

neuron, sound = (
    int(scores["cc_norm"].argmax()),
    dataset.split_indices("holdout:4").test[0],
)
with torch.no_grad():
    prediction = model(dataset.stims[sound][None])[0, neuron, 0]
fig, axes = plot_neuron(
    dataset.stims[sound],
    dataset.responses[sound][neuron],
    None,
    prediction,
    dataset.dt,
    dataset.frequencies_hz,
    title=f"neuron {neuron}, {dataset.stim_meta[sound]['name']}",
    response_label="spikes per bin",
)
fig

# %%
# The receptive fields
# --------------------
# :func:`~deepSTRF.analysis.strf` reads them from the model: red where sound excites
# the neuron, blue where it suppresses it. The upper row is the truth.

found = strf(model, dt_ms=dataset.dt, frequencies_hz=dataset.frequencies_hz)
fig, axes = plot_strf_recovery(
    dataset.true_strfs,
    found.fields,
    strf_correlation(dataset.true_strfs, found.fields),
    dt_ms=dataset.dt,
    frequencies_hz=dataset.frequencies_hz,
    ncols=4,
)
fig
# sphinx_gallery_thumbnail_number = 2
