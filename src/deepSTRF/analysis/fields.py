"""Receptive fields as results: with lags in ms, bands in Hz, units and standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deepSTRF.analysis.arguments import as_axes, as_model
from deepSTRF.analysis.gradients import gradient_sums, mean_gradients
from deepSTRF.analysis.receptive_fields import DEFAULT_GRADIENT_LAGS, _as_stimuli, receptive_fields
from deepSTRF.analysis.results import Result, array, jackknife_errors
from deepSTRF.checks import check_integer
from deepSTRF.models.frame_model import FrameModel

__all__ = ["STRF", "gradient_strf", "left_out_sums", "strf"]

# The jackknife leaves out one stimulus at a time; where there are more, one of so many groups.
MOST_GROUPS = 20


@dataclass(eq=False)
class STRF(Result):
    """Receptive fields of a population.

    Attributes
    ----------
    fields : Tensor, (N, F, L)
        Positive where more sound gives more response; the last lag is the current bin. (N, H, W, L) for movies.
    dt_ms : float or None
        Width of a bin.
    frequencies_hz : tuple of float or None
        Centres of the bands.
    units : str
        What the numbers of `fields` are in.
    standard_errors : Tensor, like `fields`, or None
        By the jackknife over stimuli (over 20 groups of them, where there are more); NaN for neurons with fewer than
        two.
    leave_one_out : Tensor, (G, N, F, L), or None
        The fields without one stimulus or group each, from which :func:`~deepSTRF.analysis.tuning` has its standard
        errors.
    counted : Tensor of bool, (G, N), or None
        Which of these a neuron had heard.
    """

    fields: Float[Tensor, "N *frame L"] = array(("neuron", "frame", "lag"), "")
    dt_ms: float | None = None
    frequencies_hz: tuple[float, ...] | None = None
    units: str = "response per unit of stimulus"
    standard_errors: Float[Tensor, "N *frame L"] | None = array(("neuron", "frame", "lag"), "", None)
    leave_one_out: Float[Tensor, "G N *frame L"] | None = array(("left_out", "neuron", "frame", "lag"), "", None)
    counted: Bool[Tensor, "G N"] | None = array(("left_out", "neuron"), "1", None)

    def _units(self, name: str, units: str) -> str:
        return units or self.units


def strf(
    model: FrameModel,
    n_lags: int | None = None,
    *,
    dt_ms: float | None = None,
    frequencies_hz: Sequence[float] | None = None,
) -> STRF:
    """Return the receptive fields of a model: the exact kernels where it has them, else gradients at silence.

    The fields are those of :func:`~deepSTRF.analysis.receptive_fields`. For networks,
    :func:`~deepSTRF.analysis.gradient_strf` over the training stimuli says more than the gradient at silence.

    Parameters
    ----------
    model : AudioEncodingModel or VideoEncodingModel
        The fitted model, left exactly as found.
    n_lags : int, optional
        Number of lags L; default the window of the model (for gradients at least 30 bins).
    dt_ms, frequencies_hz : optional
        Width of a bin and centres of the bands, for :func:`~deepSTRF.analysis.tuning` and the axes.

    Raises
    ------
    TypeError, ValueError
        As :func:`~deepSTRF.analysis.receptive_fields`, and if `frequencies_hz` are not one for each band.

    Examples
    --------
    >>> from deepSTRF.analysis import strf
    >>> from deepSTRF.models.audio import Linear
    >>> result = strf(Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3), dt_ms=5.0)
    >>> result.fields.shape, result.units
    (torch.Size([3, 8, 5]), 'response per unit of stimulus')
    """
    fields = receptive_fields(model, n_lags)
    dt_ms, centres = as_axes(None, dt_ms, frequencies_hz, fields.shape[1] if fields.ndim == 3 else None)
    return STRF(fields, dt_ms, centres)


def gradient_strf(
    model: FrameModel,
    stimuli: Any,
    n_lags: int | None = None,
    *,
    dt_ms: float | None = None,
    frequencies_hz: Sequence[float] | None = None,
) -> STRF:
    """Return receptive fields as gradients of the responses, averaged over stimuli, with standard errors.

    Behind an output activation too: the slope of the activation is part of the gradient. The average is over at most
    256 bins, evenly spread over the stimuli; standard errors are by the jackknife over stimuli, and say how much the
    field depends on which of these were heard, not how well the model was fitted.

    Parameters
    ----------
    model : AudioEncodingModel or VideoEncodingModel
        The fitted model, left exactly as found.
    stimuli : sequence of Tensor (F, T_stim), or NeuralDataset
        On the scale that the model was trained on. For a data set, a neuron's average is over what it heard (NaN where
        it heard nothing), and bins and bands are those of the data set.
    n_lags : int, optional
        Number of lags L; default the window of the model, at least 30 bins.
    dt_ms, frequencies_hz : optional
        Width of a bin and centres of the bands.

    Raises
    ------
    TypeError, ValueError
        As :func:`~deepSTRF.analysis.receptive_fields`.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import gradient_strf
    >>> from deepSTRF.models.audio import StateNet
    >>> result = gradient_strf(StateNet(n_frequency_bands=34, out_neurons=2), [torch.randn(34, 80) for _ in range(4)])
    >>> result.fields.shape, bool((result.standard_errors >= 0).all())
    (torch.Size([2, 34, 30]), True)
    """
    model = as_model(model)
    tensors, heard = _as_stimuli(stimuli, model)
    default = min(max(model.T, DEFAULT_GRADIENT_LAGS), max(tensor.shape[-1] for tensor in tensors))
    n_lags = default if n_lags is None else check_integer("n_lags", n_lags)
    n_bands = model._frame[-1] if len(model._frame) == 2 else None
    dt_ms, centres = as_axes(stimuli, dt_ms, frequencies_hz, n_bands)
    groups = [s % MOST_GROUPS for s in range(len(tensors))]
    total, count = gradient_sums(model, tensors, heard, n_lags, groups)
    if model._frame[0] == 1:
        total = total.squeeze(2)  # one channel needs no axis
    fields = mean_gradients(total.sum(0), count.sum(0))
    left_out = torch.stack([mean_gradients(*sums) for sums in zip(*left_out_sums(total, count), strict=True)])
    counted = (count > 0).any(-1)
    errors = jackknife_errors(left_out, counted)
    return STRF(fields.float(), dt_ms, centres, STRF.units, errors.float(), left_out.float(), counted)


def left_out_sums(*sums: Tensor) -> tuple[Tensor, ...]:
    """Sums over all groups but each one in turn, from the sums of each group (first axis)."""
    return tuple(one.sum(0) - one for one in sums)
