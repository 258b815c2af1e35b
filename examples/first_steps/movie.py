"""
A movie, and what cells see in it
=================================

Cells of a small simulated retina look at noise. An LN model whose receptive fields
are products of a picture and a time course finds where each of them looks, and
whether it likes light or dark.
"""

# %%
# Movies are ``(1, height, width, time)``, responses as those to sounds. All else is
# the same, too: the split, the loader, the Fitter and the scores.

from functools import partial

import torch
from torch.utils.data import DataLoader

from deepSTRF.analysis import strf
from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.metrics import poisson_loss
from deepSTRF.models.video import VideoLinearNonlinear
from deepSTRF.plotting import plot_movie_fields
from deepSTRF.training import Fitter, set_random_seed
from deepSTRF.utils import neural_collate

dataset = SimulatedMovieDataset(n_neurons=6, n_stims=12, duration_s=8.0, n_repeats=10)
print(
    "a movie:",
    tuple(dataset.stims[0].shape),
    "and the responses to it:",
    tuple(dataset.responses[0][0].shape),
)
train, val, test = (
    DataLoader(part, batch_size=2, collate_fn=neural_collate)
    for part in dataset.split("holdout:1")
)

# %%
# ``rank=1`` is one product of a picture and a time course per cell, far fewer numbers
# than a weight for every pixel and lag.

set_random_seed(0)
model = VideoLinearNonlinear(
    (dataset.H, dataset.W),
    temporal_window_size=12,
    out_neurons=dataset.N_neurons,
    rank=1,
    output_activation=torch.nn.Softplus(),
)
fitter = Fitter(
    model,
    train,
    val,
    loss_fn=poisson_loss,
    optimizer=partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.3),
    max_epochs=30,
    patience=4,
    restore_best=True,
    log_fn=None,
)
fitter.fit()
print(
    "noise-corrected correlation on the test movie:",
    fitter.evaluate(test)["cc_norm"].numpy().round(2),
)

# %%
# Left the field in space, at the lag where it is strongest; right how the strongest
# pixel, marked by a ring, changes with time. An on cell is excited where it gets
# lighter: the most recent lobe of its time course is positive. That of an off cell is
# negative.

fields = strf(model, dt_ms=dataset.dt).fields
titles = [f"cell {n}, {meta['kind']}" for n, meta in enumerate(dataset.nrn_meta)]
fig, axes = plot_movie_fields(fields, titles, dataset.dt)
fig
