"""
A movie, and what cells see in it
=================================

Cells of a small simulated retina look at noise. An LN model whose receptive fields
are products of a picture and a time course finds where each of them looks, and
whether it likes light or dark.
"""

# %%
# Movies are ``(1, height, width, time)``, responses as those to sounds. All else is
# the same, too: the split, the fit and the scores.

from deepSTRF.analysis import strf
from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.plotting import plot_movie_fields
from deepSTRF.registry import get_recipe
from deepSTRF.training.recipes import fit_recipe, make_loader

dataset = SimulatedMovieDataset(n_neurons=6, n_stims=12, duration_s=8.0, n_repeats=10)
print(
    "a movie:",
    tuple(dataset.stims[0].shape),
    "and the responses to it:",
    tuple(dataset.responses[0][0].shape),
)
train, val, test = dataset.split("holdout:1")

# %%
# The recipe of a model says how it is built from a recording and trained. With
# ``rank=1`` a receptive field is one product of a picture and a time course, far fewer
# numbers than a weight for every pixel and lag.

recipe = get_recipe("video-ln")
model, fitter, _ = fit_recipe(
    recipe, recipe.settings, train, val, seed=0, arguments={"rank": 1}
)
print(
    "noise-corrected correlation on the test movie:",
    fitter.evaluate(make_loader(test, 1))["cc_norm"].numpy().round(2),
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
