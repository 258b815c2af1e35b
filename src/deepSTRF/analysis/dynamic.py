"""Dynamic receptive fields: the linear field that acts like a model at every single bin of a stimulus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.analysis.arguments import as_axes, as_model, as_neurons
from deepSTRF.analysis.gradients import differentiating
from deepSTRF.analysis.receptive_fields import DEFAULT_GRADIENT_LAGS, _as_stimulus
from deepSTRF.analysis.results import Result, array
from deepSTRF.checks import check_integer
from deepSTRF.models.bin_by_bin import NotStreamableError
from deepSTRF.models.frame_model import FrameModel

__all__ = ["DynamicSTRF", "dynamic_strf"]

# Bins that are differentiated in one pass, and values of the stimulus times bins: bounds the memory.
MOST_BINS, VALUES_PER_PASS = 64, 2**20


@dataclass(eq=False)
class DynamicSTRF(Result):
    """The locally linear receptive fields of a model along a stimulus.

    Attributes
    ----------
    neurons, bins : list of int
        Which neurons of the model and which bins of the stimulus these are.
    fields : Tensor, (N, T, F, L)
        Field of every neuron at every bin, positive where more sound gives more response; the last lag is the current
        bin. (N, T, H, W, L) for movies, with an axis for channels where there are several.
    prediction : Tensor, (N, T)
        The model's prediction, in the units of the recording.
    offset : Tensor, (N, T)
        What the field leaves of the prediction: ``prediction − (field · stimulus of the last L bins)``. 0 for
        piecewise linear models without biases whose memory ends within L lags; with biases it is their share.
    dt_ms : float or None
        Width of a bin.
    frequencies_hz : tuple of float or None
        Centres of the bands.
    """

    neurons: list[int]
    bins: list[int]
    fields: Float[Tensor, "N T *frame L"] = array(("neuron", "time", "frame", "lag"), "response per unit of stimulus")
    prediction: Float[Tensor, "N T"] = array(("neuron", "time"), "response")
    offset: Float[Tensor, "N T"] = array(("neuron", "time"), "response")
    dt_ms: float | None = None
    frequencies_hz: tuple[float, ...] | None = None

    def _coordinates(self, sizes: dict[str, int]) -> dict[str, object]:
        labels = {**super()._coordinates(sizes), "neuron": self.neurons, "bin": ("time", self.bins)}
        if self.dt_ms is not None:
            labels["time_ms"] = ("time", [self.dt_ms * t for t in self.bins])
        return labels


def dynamic_strf(
    model: FrameModel,
    stimulus: Float[Tensor, ...],
    n_lags: int | None = None,
    *,
    neurons: int | Sequence[int] | None = None,
    bins: Sequence[int] | None = None,
    dt_ms: float | None = None,
    frequencies_hz: Sequence[float] | None = None,
) -> DynamicSTRF:
    r"""Return the locally linear receptive field of a model at every bin of a stimulus (dSTRF).

    It is the derivative of each prediction with respect to the last L bins of the stimulus,
    :math:`h_t(f, k) = \partial \hat y_t / \partial x(f, t - k)` [1]_. A piecewise linear model (convolutions and
    rectifiers) *is* this field as long as no rectifier switches:
    :math:`\hat y_t = \sum_{f,k} h_t(f, k)\, x(f, t - k) + b_t`.

    The derivatives of up to 64 bins are taken at once, as a batch, fewer where stimuli are large: memory is bounded.
    Models that run bin by bin go on from their state, so that the time grows with the stimulus and not with its square.
    The model may be in any mode and on any device, and is left exactly as found. A front end (``wav2spec``) is left
    out: the field is over its output.

    Parameters
    ----------
    model : AudioEncodingModel or VideoEncodingModel
        The fitted model.
    stimulus : Tensor, (F, T) or (1, F, T)
        One spectrogram, on the scale that the model was trained on; (H, W, T) for a model of movies.
    n_lags : int, optional
        Number of lags L. Default: the window of the model, at least 30 bins, and at most the stimulus. Lags before the
        onset are zero.
    neurons, bins : int or sequence of int, optional
        Neurons and bins to compute; default all. The result has N·T·F·L numbers.
    dt_ms, frequencies_hz : optional
        Width of a bin and centres of the bands, for the summaries and the axes.

    Returns
    -------
    DynamicSTRF
        `fields`, `prediction` and `offset`, on the CPU.

    Raises
    ------
    TypeError
        If `model` is not a model of spectrograms or movies, or `stimulus` not a tensor of real numbers.
    ValueError
        If the stimulus is not finite or has another shape than the model takes, or a neuron or bin does not exist.

    References
    ----------
    .. [1] Keshishian M, Akbari H, Khalighinejad B, Herrero JL, Mehta AD, Mesgarani N (2020). Estimating and
       interpreting nonlinear receptive field of sensory neural responses with deep neural network models. eLife
       9:e53445. doi:10.7554/eLife.53445

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import dynamic_strf
    >>> from deepSTRF.models.audio import StateNet
    >>> model = StateNet(n_frequency_bands=34, out_neurons=3)
    >>> result = dynamic_strf(model, torch.randn(34, 100), n_lags=20, neurons=[1], dt_ms=5.0)
    >>> result.fields.shape, result.prediction.shape
    (torch.Size([1, 100, 34, 20]), torch.Size([1, 100]))
    """
    model = as_model(model)
    frames = _as_stimulus(stimulus, model).to(model._reference())
    n_bins = frames.shape[-1]
    default = min(max(model.T, DEFAULT_GRADIENT_LAGS), n_bins)
    n_lags = default if n_lags is None else check_integer("n_lags", n_lags)
    chosen, at = as_neurons(neurons, model.O), as_neurons(bins, n_bins, "bins")
    n_bands = model._frame[-1] if len(model._frame) == 2 else None
    dt_ms, centres = as_axes(None, dt_ms, frequencies_hz, n_bands)

    fields = torch.zeros(len(chosen), len(at), *model._frame, n_lags, dtype=frames.dtype)
    prediction = torch.empty(len(chosen), len(at), dtype=frames.dtype)
    offset = torch.empty(len(chosen), len(at), dtype=torch.float64)
    padded = torch.nn.functional.pad(frames[0], (n_lags - 1, 0)).cpu().double()
    with differentiating(model):
        streams = _streams(model, frames[..., :1])
        longest = min(n_bins, MOST_BINS + n_lags) if streams else n_bins
        at_once = min(MOST_BINS, len(at), max(1, VALUES_PER_PASS // (math.prod(model._frame) * longest)))
        # Copy k is for bin k: copies don't see each other in eval mode. A vmap over one copy would do the same, but
        # not through the recurrent layers, which bring their own backward pass.
        copies = frames.expand(at_once, *frames.shape[1:])
        state, reached = None, 0
        for places in _passes(at, at_once):
            ends = [at[place] + 1 for place in places]
            earliest = max(0, ends[0] - n_lags)
            # The model is causal: nothing behind the last of these bins matters, and no derivative is asked before.
            recent = copies[..., earliest : ends[-1]].clone().requires_grad_()
            if streams:
                # what came before is only passed once
                with torch.no_grad():
                    for first in range(reached, earliest, MOST_BINS):
                        _, state = model.step(copies[..., first : min(first + MOST_BINS, earliest)], state)
                reached = max(reached, earliest)
                output = model.step(recent, state)[0][:, :, 0]
            else:
                output = model._from_frames(torch.cat([copies[..., :earliest], recent], -1))[:, :, 0, earliest:]
            picked = output[torch.arange(len(places)), :, [end - 1 - earliest for end in ends]].T
            for i, n in enumerate(chosen):
                (gradients,) = torch.autograd.grad(picked[n].sum(), recent, retain_graph=True)
                gradients = torch.nn.functional.pad(gradients.cpu(), (n_lags, 0))
                for k, (place, end) in enumerate(zip(places, ends, strict=True)):
                    stop = end - earliest + n_lags
                    fields[i, place] = gradients[k, ..., stop - n_lags : stop]
                    drive = (fields[i, place].double() * padded[..., end - 1 : end - 1 + n_lags]).sum()
                    offset[i, place] = -drive
                prediction[i, places] = picked[n].detach().cpu()
    offset = (offset + prediction).to(frames.dtype)
    # one channel needs no axis
    fields = fields.squeeze(2) if model._frame[0] == 1 else fields
    return DynamicSTRF(chosen, at, fields, prediction, offset, dt_ms, centres)


def _streams(model: FrameModel, bin_of_frames: Tensor) -> bool:
    """Whether the model can go on from a state, so that the past of a bin need not be computed again."""
    if not isinstance(model.wav2spec, nn.Identity):
        return False  # its steps take waveforms
    try:
        with torch.no_grad():
            model.step(bin_of_frames)
    except NotStreamableError:
        return False
    return True


def _passes(at: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """Places of bins that are differentiated together: neighbours in time, because they share a stretch of it."""
    order = sorted(range(len(at)), key=at.__getitem__)
    places: list[int] = []
    for place in order:
        if places and (len(places) == at_once or at[place] - at[places[0]] >= MOST_BINS):
            yield places
            places = []
        places.append(place)
    yield places
