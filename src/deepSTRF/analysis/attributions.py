"""Integrated gradients: how much each sample of a stimulus adds to a response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.analysis.arguments import as_neurons
from deepSTRF.analysis.gradients import differentiating
from deepSTRF.analysis.results import Result, array
from deepSTRF.checks import check_integer, check_positive, describe_type
from deepSTRF.models.neural_model import NeuralModel

__all__ = ["Attribution", "integrated_gradients"]

# Points of the path that go through the model together.
AT_ONCE = 16
# Points lie closer to the baseline, where front ends with a logarithm change fastest: place = (0 … 1) to this power.
POWER = 4


@dataclass(eq=False)
class Attribution(Result):
    """What the parts of a stimulus add to a response.

    Attributes
    ----------
    values : Tensor, like the stimulus
        Share of each sample (or band and bin) in the change of the response against the baseline; positive where it
        raises the response. In units of response; they sum up to `response` − `baseline_response`.
    response, baseline_response : float
        The response to the stimulus and to the baseline, summed over the bins asked for.
    gap : float
        By how much the sum misses the change of the response (completeness), from the number of steps.
    n_steps : int
        Points of the path that were used.
    """

    response: float
    baseline_response: float
    gap: float
    n_steps: int
    values: Float[Tensor, "*shape"] = array(("channel", "frame", "sample_or_bin"), "response")


def integrated_gradients(
    model: NeuralModel,
    stimulus: Float[Tensor, ...],
    neuron: int,
    bins: int | Sequence[int] | None = None,
    *,
    baseline: Float[Tensor, ...] | None = None,
    tolerance: float = 1e-3,
    most_steps: int = 1024,
) -> Attribution:
    r"""Return how much each sample of a waveform (or value of a spectrogram) adds to a response of a model.

    .. math:: A_i = (x_i - b_i) \int_0^1 \frac{\partial \hat y}{\partial x_i}\bigl(b + \alpha (x - b)\bigr)\, d\alpha

    along the straight path from a baseline b to the stimulus x, through the front end as well [1]_. The integral is by
    Gauss-Legendre quadrature, with points that lie denser at the baseline, and their number is doubled until the sum of
    all values meets the change of the response.

    Parameters
    ----------
    model : NeuralModel
        The fitted model, left exactly as found.
    stimulus : Tensor, (1, T_audio), (1, F, T) or (C, H, W, T)
        One stimulus, without the axis of the batch, as the data set has it.
    neuron : int
        Whose response.
    bins : int or sequence of int, optional
        Bins over which the response is summed; default all.
    baseline : Tensor, like `stimulus`, optional
        Default zeros: silence of a waveform, the mean of a standardised spectrogram.
    tolerance : float
        Doubling ends where the gap is below this part of the change of the response.
    most_steps : int
        It ends here as well; `gap` of the result says what is missing. At least 32.

    Returns
    -------
    Attribution
        On the CPU.

    Raises
    ------
    TypeError
        If `model` is not a NeuralModel, or `stimulus` not a tensor.
    ValueError
        If the stimulus or the baseline is not finite, shapes differ, or neuron or bin do not exist.

    References
    ----------
    .. [1] Sundararajan M, Taly A, Yan Q (2017). Axiomatic attribution for deep networks. Proceedings of the 34th
       International Conference on Machine Learning, 3319-3328.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import integrated_gradients
    >>> from deepSTRF.models.audio import StateNet
    >>> from deepSTRF.models.wav2spec import make_wav2spec
    >>> front_end = make_wav2spec("mel", audio_fs=16000, dt_ms=5.0, f_max=8000.0)
    >>> model = StateNet(n_frequency_bands=34, out_neurons=2, wav2spec=front_end)
    >>> result = integrated_gradients(model, 0.1 * torch.randn(1, 1600), neuron=1)
    >>> change = result.response - result.baseline_response
    >>> abs(float(result.values.sum()) - change) <= 2e-3 * abs(change)
    True
    """
    if not isinstance(model, NeuralModel):
        raise TypeError(f"model must be a NeuralModel, got {describe_type(model)}")
    if not isinstance(stimulus, Tensor) or stimulus.is_complex():
        raise TypeError(f"stimulus must be a tensor of real numbers, got {describe_type(stimulus)}")
    tolerance, most_steps = float(check_positive("tolerance", tolerance)), check_integer("most_steps", most_steps, 32)
    (neuron,) = as_neurons(check_integer("neuron", neuron, least=None), model.O, "neuron")
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(1))
    end = stimulus.detach().to(reference)
    start = torch.zeros_like(end) if baseline is None else torch.as_tensor(baseline).detach().to(reference)
    if start.shape != end.shape:
        raise ValueError(f"baseline must have the shape of the stimulus, {tuple(end.shape)}, got {tuple(start.shape)}")
    if not bool((end.isfinite() & start.isfinite()).all()):
        raise ValueError("stimulus or baseline has NaN or infinite values: there is no path between them")
    with differentiating(model):
        ends = model(torch.stack([start, end]))[:, neuron, 0].detach().double().cpu()
        at = as_neurons(bins, ends.shape[-1], "bins")
        before, after = ends[:, at].sum(1).tolist()
        n_steps = 32
        while True:
            values = (end - start).double().cpu() * _mean_gradient(model, start, end, neuron, at, n_steps)
            gap = float(values.sum()) - (after - before)
            if abs(gap) <= tolerance * abs(after - before) or 2 * n_steps > most_steps:
                return Attribution(after, before, gap, n_steps, values.float())
            n_steps *= 2


def _mean_gradient(
    model: NeuralModel, start: Tensor, end: Tensor, neuron: int, bins: list[int], n_steps: int
) -> Float[Tensor, "*shape"]:
    """Gradient averaged along the path; with α = u**p, dα is p · u**(p − 1) · du."""
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    u = torch.from_numpy((nodes + 1) / 2)
    shares = torch.from_numpy(weights / 2) * POWER * u ** (POWER - 1)
    total = torch.zeros(end.shape, dtype=torch.float64)
    for places, of_them in zip((u**POWER).split(AT_ONCE), shares.split(AT_ONCE), strict=True):
        share = places.to(end).reshape(-1, *[1] * end.ndim)
        points = (start + share * (end - start)).requires_grad_()
        response = model(points)[:, neuron, 0][:, bins].sum()
        (gradient,) = torch.autograd.grad(response, points)
        total += (gradient.double().cpu() * of_them.reshape(-1, *[1] * end.ndim)).sum(0)
    return total
