"""The curve from what a model predicts to what the neuron does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.analysis.arguments import as_recording
from deepSTRF.analysis.fields import MOST_GROUPS
from deepSTRF.analysis.gradients import evaluating_unchanged
from deepSTRF.analysis.results import Result, array, jackknife_errors
from deepSTRF.checks import check_integer, check_list, describe_type
from deepSTRF.models.neural_model import NeuralModel

__all__ = ["Nonlinearity", "nonlinearity"]


@dataclass(eq=False)
class Nonlinearity(Result):
    """Mean response of neurons in bins of what was predicted.

    Attributes
    ----------
    predictions, responses : Tensor, (N, n_bins)
        Mean prediction and mean response of the time bins of each part. A straight line of slope 1 through 0 is a model
        that misses no static nonlinearity. NaN for parts without data.
    standard_errors : Tensor, (N, n_bins)
        Of `responses`, by the jackknife over stimuli (over 20 groups of them, where there are more).
    counts : Tensor, (N, n_bins)
        Number of time bins.
    """

    predictions: Float[Tensor, "N n_bins"] = array(("neuron", "part"), "prediction")
    responses: Float[Tensor, "N n_bins"] = array(("neuron", "part"), "response")
    standard_errors: Float[Tensor, "N n_bins"] = array(("neuron", "part"), "response")
    counts: Float[Tensor, "N n_bins"] = array(("neuron", "part"), "time bins")


def nonlinearity(model: NeuralModel | Sequence[Float[Tensor, "N T"]], data: Any, n_bins: int = 15) -> Nonlinearity:
    """Return the mean response as a function of the prediction, neuron by neuron.

    For a linear prediction (of :func:`~deepSTRF.models.fit_ridge`, or your own drives) this is the output
    nonlinearity of the cell, as after :func:`spike_triggered_average`. For a model with one of its own it shows what
    that misses.

    Parameters
    ----------
    model : NeuralModel, or sequence of Tensor, (N, T_s)
        A fitted model, left exactly as found, or a prediction for each stimulus of the data set.
    data : NeuralDataset
        Stimuli and responses, best ones that were not fitted: all of them, whichever are selected. Repeats are
        averaged, missing bins left out.
    n_bins : int
        Number of parts, with equal numbers of time bins (quantiles of the prediction).

    Returns
    -------
    Nonlinearity

    Raises
    ------
    TypeError
        If `data` is no data set.
    ValueError
        If model and data set differ in the number of neurons, or predictions and responses in their length.

    Examples
    --------
    >>> from deepSTRF.analysis import nonlinearity
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> data = SimulatedDataset(n_neurons=2, n_stims=4, duration_s=1.0, smooth=False)
    >>> curve = nonlinearity(data.true_rates, data, n_bins=5)  # the true rates: a straight line of slope 1
    >>> ((curve.responses - curve.predictions).abs() < 5 * curve.standard_errors).all()
    tensor(True)
    """
    stims, responses = as_recording(data)
    n_bins = check_integer("n_bins", n_bins)
    predictions = (
        _predict(model, stims)
        if isinstance(model, NeuralModel)
        else check_list("model", model, "predictions, or a NeuralModel")
    )
    if len(predictions) != len(stims):
        raise ValueError(f"expected a prediction for each of {len(stims)} stimuli, got {len(predictions)}")
    n_groups, n_neurons = min(MOST_GROUPS, len(stims)), data.N_neurons
    sums = torch.zeros(n_groups, 3, n_neurons, n_bins, dtype=torch.float64)  # of responses, of predictions, and number
    for n in range(n_neurons):
        pairs = [_pair(predictions[s], responses[s][n], s, n, n_neurons) for s in range(len(stims))]
        pooled = torch.cat([predicted for predicted, _ in pairs])
        if not len(pooled):
            continue
        inner = torch.quantile(pooled, torch.linspace(0, 1, n_bins + 1, dtype=torch.float64)[1:-1])
        for s, (predicted, psth) in enumerate(pairs):
            part = torch.searchsorted(inner, predicted, right=True)
            for row, values in enumerate((psth, predicted, torch.ones_like(psth))):
                sums[s % n_groups, row, n].index_add_(0, part, values)
    total, left_out = sums.sum(0), sums.sum(0) - sums
    counted = (sums[:, 2] > 0).flatten(1, 2)
    errors = jackknife_errors((left_out[:, 0] / left_out[:, 2]).flatten(1, 2), counted).reshape(n_neurons, n_bins)
    return Nonlinearity(
        predictions=(total[1] / total[2]).float(),
        responses=(total[0] / total[2]).float(),
        standard_errors=errors.float(),
        counts=total[2].float(),
    )


def _predict(model: NeuralModel, stims: Sequence[Tensor]) -> list[Float[Tensor, "N T"]]:
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(1))
    with torch.no_grad(), evaluating_unchanged(model):
        return [model(stimulus[None].to(reference))[0, :, 0].cpu() for stimulus in stims]


def _pair(prediction: Any, response: Tensor, s: int, n: int, n_neurons: int) -> tuple[Tensor, Tensor]:
    """Predictions and mean responses of the bins of a stimulus that have both."""
    if not isinstance(prediction, Tensor):
        raise TypeError(f"the prediction for stimulus {s} must be a tensor (N, T), got {describe_type(prediction)}")
    if prediction.ndim != 2 or len(prediction) != n_neurons:
        raise ValueError(
            f"the prediction for stimulus {s} must be ({n_neurons}, T), one row per neuron of the data set, got shape "
            f"{tuple(prediction.shape)}"
        )
    psth, predicted = response.double().cpu().nanmean(0), prediction[n].detach().double().cpu()
    if len(psth) != len(predicted):
        if bool(psth.isnan().all()):
            return predicted[:0], predicted[:0]
        raise ValueError(f"stimulus {s} has {len(psth)} bins of response and {len(predicted)} of prediction")
    both = psth.isfinite() & predicted.isfinite()
    return predicted[both], psth[both]
