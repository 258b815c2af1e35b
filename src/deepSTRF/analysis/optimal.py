"""The stimulus that drives a neuron of a model best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.analysis.arguments import as_axes, as_model, as_neurons
from deepSTRF.analysis.gradients import differentiating
from deepSTRF.analysis.receptive_fields import DEFAULT_GRADIENT_LAGS
from deepSTRF.analysis.results import Result, array
from deepSTRF.checks import check_integer, check_positive
from deepSTRF.models.frame_model import FrameModel

__all__ = ["OptimalStimulus", "optimal_stimulus"]

# A step that raises the response makes the next one longer, one that doesn't makes it shorter.
LONGER, SHORTER = 1.5, 0.4
# A response that rises by less, relative to itself, has arrived.
LEAST_RISE = 1e-6
# Below this step nothing changes any more in single precision.
SHORTEST_STEP = 1e-6


@dataclass(eq=False)
class OptimalStimulus(Result):
    """Stimuli of most response.

    Attributes
    ----------
    neurons : list of int
        Which neurons of the model these are.
    bound, bound_kind : float, str
        The bound, on ``'power'`` or ``'amplitude'``.
    stimuli : Tensor, (N, F, T)
        One for each neuron; the last bin is the one whose response is largest. (N, H, W, T) for movies. NaN for a
        neuron whose response changes with none of the starts.
    responses : Tensor, (N,)
        What the model predicts for them, in the units of the recording.
    responses_of_starts : Tensor, (n_starts, N)
        What the ascent from each start led to: where these differ, there are several local optima.
    """

    neurons: list[int]
    bound: float
    bound_kind: str
    stimuli: Float[Tensor, "N *frame T"] = array(("neuron", "frame", "lag"), "units of stimulus")
    responses: Float[Tensor, " N"] = array(("neuron",), "response")
    responses_of_starts: Float[Tensor, "n_starts N"] = array(("start", "neuron"), "response")
    dt_ms: float | None = None
    frequencies_hz: tuple[float, ...] | None = None

    def _coordinates(self, sizes: dict[str, int]) -> dict[str, object]:
        return {**super()._coordinates(sizes), "neuron": self.neurons}


def optimal_stimulus(
    model: FrameModel,
    n_bins: int | None = None,
    *,
    power: float | None = None,
    amplitude: float | None = None,
    neurons: int | Sequence[int] | None = None,
    n_starts: int = 4,
    n_steps: int = 200,
    seed: int = 0,
    dt_ms: float | None = None,
    frequencies_hz: Sequence[float] | None = None,
) -> OptimalStimulus:
    r"""Return the stimulus that gives most response in its last bin, by gradient ascent under a bound.

    The stimulus x stays on standardised scales, around 0: its mean square over all bands and bins is at most `power`,
    or each of its values at most `amplitude` in magnitude. Every step goes along the steepest direction under that
    bound, back onto the bound, and is taken only if the response rises. For a linear kernel w the results are
    :math:`x = w \sqrt{P n} / \lVert w \rVert` for n values of power P, and :math:`x = A\, \mathrm{sign}(w)`.
    No recording goes in, so that there is no standard error; models of other seeds or folds show how sure it is.

    Parameters
    ----------
    model : AudioEncodingModel or VideoEncodingModel
        The fitted model, left exactly as found. A front end (``wav2spec``) is left out.
    n_bins : int, optional
        Length T of the stimulus; default the window of the model, at least 30 bins.
    power : float, optional
        Largest mean square of the stimulus, in squared units of it. Default 1, the power of standardised stimuli.
    amplitude : float, optional
        Largest magnitude of each value; give this or `power`.
    neurons : int or sequence of int, optional
        Which neurons; default all.
    n_starts : int
        Number of random starts, of which the best end is kept.
    n_steps : int
        Most steps of each.
    seed : int
        Of the starts; the random state outside is not touched.
    dt_ms, frequencies_hz : optional
        Width of a bin and centres of the bands, for :func:`~deepSTRF.analysis.tuning` and the axes.

    Returns
    -------
    OptimalStimulus
        On the CPU.

    Raises
    ------
    TypeError
        If `model` is not a model of spectrograms or movies.
    ValueError
        If a number is not positive, both bounds are given, or a neuron does not exist.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import optimal_stimulus, strf
    >>> from deepSTRF.models.audio import Linear
    >>> model = Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3)
    >>> best = optimal_stimulus(model, n_bins=5, amplitude=2.0)
    >>> torch.equal(best.stimuli, 2 * strf(model).fields.sign())
    True
    """
    model = as_model(model)
    if power is not None and amplitude is not None:
        raise ValueError("give `power`, a bound on the mean square, or `amplitude`, a bound on each value, not both")
    name, bound = ("power", 1.0 if power is None else power) if amplitude is None else ("amplitude", amplitude)
    bound = float(check_positive(name, bound))
    n_bins = max(model.T, DEFAULT_GRADIENT_LAGS) if n_bins is None else check_integer("n_bins", n_bins)
    n_starts, n_steps = check_integer("n_starts", n_starts), check_integer("n_steps", n_steps)
    chosen = as_neurons(neurons, model.O)
    n_bands = model._frame[-1] if len(model._frame) == 2 else None
    dt_ms, centres = as_axes(None, dt_ms, frequencies_hz, n_bands)
    random = torch.Generator().manual_seed(check_integer("seed", seed, least=0))

    dtype = model._reference().dtype
    best = torch.full((len(chosen), *model._frame, n_bins), torch.nan, dtype=dtype)
    top = torch.full((len(chosen),), -math.inf, dtype=dtype)
    reached = torch.empty(n_starts, len(chosen), dtype=dtype)
    with differentiating(model):
        for start in range(n_starts):
            # every neuron starts at the same noise, so that the result does not depend on which are asked for
            noise = torch.randn(1, *model._frame, n_bins, generator=random).expand(len(chosen), *best.shape[1:])
            stimuli, responses, moved = _ascend(model, chosen, noise.to(model._reference()), name, bound, n_steps)
            reached[start] = responses
            better = moved & (responses > top)
            best[better], top[better] = stimuli[better], responses[better]
    stimuli = best.squeeze(1) if model._frame[0] == 1 else best  # one channel needs no axis
    return OptimalStimulus(chosen, bound, name, stimuli, reached.amax(0), reached, dt_ms, centres)


def _onto_bound(stimuli: Tensor, name: str, bound: float) -> Tensor:
    """The nearest stimulus within the bound."""
    if name == "amplitude":
        return stimuli.clamp(-bound, bound)
    size = stimuli.flatten(1).square().mean(1).sqrt()
    factor = (math.sqrt(bound) / size.clamp(min=1e-30)).clamp(max=1.0)
    return stimuli * factor.reshape(-1, *[1] * (stimuli.ndim - 1))


def _steepest(gradient: Tensor, name: str, bound: float) -> Tensor:
    """The stimulus within the bound that goes furthest along the gradient."""
    if name == "amplitude":
        return bound * gradient.sign()
    size = gradient.flatten(1).square().mean(1).sqrt()
    return gradient * (math.sqrt(bound) / size.clamp(min=1e-30)).reshape(-1, *[1] * (gradient.ndim - 1))


def _ascend(
    model: FrameModel, neurons: list[int], stimuli: Tensor, name: str, bound: float, n_steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Ascend for each neuron with steps of its own; return stimuli, responses, and which had a gradient at all."""
    index = torch.arange(len(neurons), device=stimuli.device)
    which = torch.tensor(neurons, device=stimuli.device)

    def evaluate(at: Tensor) -> tuple[Tensor, Tensor]:
        at = at.detach().requires_grad_()
        responses = model._from_frames(at)[index, which, 0, -1]  # copies don't see each other in eval mode
        (gradient,) = torch.autograd.grad(responses.sum(), at)
        return responses.detach(), gradient

    shape = (-1, *[1] * (stimuli.ndim - 1))
    stimuli = _onto_bound(stimuli, name, bound)
    responses, gradient = evaluate(stimuli)
    moved = (gradient != 0).flatten(1).any(1)
    step = torch.full_like(responses, 2.0)
    for _ in range(n_steps):
        target = _steepest(gradient, name, bound)
        tried = _onto_bound(stimuli + step.reshape(shape) * target, name, bound)
        new_responses, new_gradient = evaluate(tried)
        rises = new_responses > responses + LEAST_RISE * responses.abs()
        stimuli = torch.where(rises.reshape(shape), tried, stimuli)
        gradient = torch.where(rises.reshape(shape), new_gradient, gradient)
        responses = torch.where(rises, new_responses, responses)
        step = torch.where(rises, (step * LONGER).clamp(max=1e3), step * SHORTER)
        if bool((step < SHORTEST_STEP).all()):
            break
    return stimuli.cpu(), responses.cpu(), moved.cpu()
