"""
Which of two models is better?
==============================

A model with more freedom may only fit more noise. Cross-validation predicts every
sound by a model that never heard it, and a paired comparison over neurons says
whether the difference between two models is more than chance.
"""

# %%
# Three folds
# -----------
# Ridge regression is linear; the linear-nonlinear (LN) model has a soft rectifier at
# its output. Names are those of ``deepstrf models``, with the training that comes
# with them; a function that makes a model of your own goes, too.

from deepSTRF.analysis import paired_comparison
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.plotting import plot_fold_curves, plot_model_against_model
from deepSTRF.training import cross_validate

dataset = SimulatedDataset(n_neurons=24, n_stims=12, duration_s=2.0, n_bands=12, seed=4)
ridge = cross_validate("ridge", dataset, folds=3)
ln = cross_validate(
    "linear-nonlinear", dataset, folds=3, fitter_kwargs={"max_epochs": 20}
)
print(
    "every sound was predicted:",
    all(prediction is not None for prediction in ln["predictions"]),
)

# %%
# Did the training go well? The LN model starts from the ridge fit of its fold and
# improves from there; a dot is the best epoch.

fig, axes = plot_fold_curves(ln["per_fold_histories"])
fig

# %%
# The comparison
# --------------
# ``pooled_cc_norm`` is the score of each neuron on the predictions of all folds
# together. The test flips the sign of the differences at random, neuron by neuron.

first, second = ridge["pooled_cc_norm"], ln["pooled_cc_norm"]
result = paired_comparison(second, first)
effect = result.effect
print(
    f"LN - ridge: {effect.estimate:+.3f}, 95 % interval {effect.low:+.3f} to {effect.high:+.3f}"
)
print(
    f"p = {result.p_value:.4f}; LN is better for {result.n_first_better} of {len(result.differences)} neurons"
)

ax = plot_model_against_model(first, second, names=("ridge", "LN"))
ax.figure
# sphinx_gallery_thumbnail_number = 2
