"""
Would more data help?
=====================

A score is low because the model is wrong, or because there were too few data to fit
it. Fits to growing parts of the data tell them apart: extrapolated to unlimited
data, they say how good the model itself is.
"""

# %%
# Neurons of two kinds: those that an LN model describes, and those that adapt to the
# level of sound, which it cannot. :func:`~deepSTRF.analysis.learning_curve` calls a
# function that fits to some sounds, and scores on others that no fit has seen.

import torch

from deepSTRF.analysis import bootstrap_interval, learning_curve
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import normalized_corrcoef
from deepSTRF.models import fit_ridge
from deepSTRF.plotting import plot_amount_of_data

dataset = SimulatedDataset(
    n_neurons=16, n_stims=28, duration_s=1.0, n_bands=16, snr=(0.05, 0.5), seed=1
)
train, test = list(range(20)), list(range(20, 28))
stims = torch.stack([dataset.stims[s] for s in test])
responses = torch.stack([torch.stack(list(dataset.responses[s])) for s in test])


def score(indices):
    model = fit_ridge(dataset.subset([train[i] for i in indices]), window_ms=100)
    with torch.no_grad():
        return normalized_corrcoef(model(stims), responses, reduction="none")


curve = learning_curve(score, n_stimuli=len(train))
limit = bootstrap_interval(curve.limit)
print(
    f"with {len(train)} sounds {curve.scores[-1].mean():.2f}, with unlimited data {limit.estimate:.2f}"
)

# %%
# In grey each neuron, in blue their mean, in orange the extrapolation with its
# confidence interval over neurons. What is left to 1 is what no amount of data would
# give to this model: the nonlinearity that it lacks.

ax = plot_amount_of_data(
    curve.amounts,
    curve.scores,
    curve.limit,
    curve.slope,
    interval=(limit.low, limit.high),
)
ax.figure
