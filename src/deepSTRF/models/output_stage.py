"""The output stage of a model: from numbers near 1, at which it trains well, to the units of the recording.

Responses come in spikes per bin, spikes per second, millivolt or z-scores. A model carries a scale per neuron behind
its readout, ``response_scale``: what it predicts, saves, streams and exports is in the recording's units, and the
Fitter computes losses in units of the scale.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import counted
from deepSTRF.models.activations import ParametricSoftplus, Saturating
from deepSTRF.modes import evaluating

__all__ = ["ResponseStatistics", "calibrate", "explains_nothing"]

# The standard deviation of the median neuron's responses in units of the scale: that of NS1's spike counts, on which
# the recipes were chosen. With several times as much, StateNet scores .80 there instead of .816.
_DEVIATION = 0.135
# Neurons keep their weight in the loss, since those that vary more are mostly those that can be predicted, but within
# this factor of the median: one in other units than the rest must neither drown them nor be drowned.
_MOST_WEIGHT = 3.0
# Sparse spikes deviate by many times their mean, which is noise: their rate varies about as much as its mean.
_MOST_MEANS = 1.4
_MOST_BINS = 2048  # enough to know a mean prediction
_MOST_VALUES, _LEAST_BINS = 2**18, 64  # of movies, whose frames are large
_BISECTIONS = 50
_WIDENINGS = 8  # doublings of the range that is searched


class ResponseStatistics:
    """Count, mean, standard deviation and least value of each neuron's responses, averaged over repeats; float64.

    Parameters
    ----------
    batches : iterable of dict
        With ``responses`` ``(B, N, R, T)``, NaN where missing, or their average, ``psth``.
    """

    def __init__(self, batches: Iterable[Mapping[str, Any]]) -> None:
        # Sums that are kept up in place: small results of each batch between large ones would scatter the heap.
        self.count = self.mean = squares_of_all = self.least = torch.empty(0)
        for batch in batches:
            psth = _psth(batch).transpose(0, 1).flatten(1).to("cpu", torch.float64)  # (N, bins)
            known = psth.isfinite()
            values = psth.where(known, 0.0)
            least = psth.where(known, torch.inf).amin(1)
            count = known.sum(1).to(torch.float64)
            mean = values.sum(1) / count.clamp(min=1)
            squares = (values - mean[:, None]).where(known, 0.0).square().sum(1)
            if not len(self.count):
                self.count, self.mean, squares_of_all = torch.zeros(3, len(psth), dtype=torch.float64)
                self.least = torch.full_like(self.count, torch.inf)
            share, change = count / (self.count + count).clamp(min=1), mean - self.mean
            squares_of_all += squares + self.count * share * change.square()
            self.mean += share * change
            self.count += count
            torch.minimum(self.least, least, out=self.least)
        if not len(self.count):
            raise ValueError("there is no batch of responses to calibrate the model on")
        self.deviation = (squares_of_all / self.count.clamp(min=1)).sqrt()

    @property
    def signed(self) -> bool:
        """Whether any response is negative."""
        return bool((self.least < 0).any())

    def spread(self) -> Float[Tensor, " N"]:
        """How much each neuron's rate varies; that of the median neuron where one has no data or never varies."""
        spread = self.deviation
        if not self.signed:
            spread = torch.minimum(spread, _MOST_MEANS * self.mean)
        # what is left of a constant is rounding
        spread = spread.where((self.count > 1) & (spread > 1e-6 * self.mean.abs()), torch.nan)
        median = spread.nanmedian().nan_to_num(nan=1.0)
        return spread.where(spread.isfinite(), median)

    def scale(self) -> Float[Tensor, " N"]:
        """The scale of each neuron: the same for all, but for those that vary much more or less than the median."""
        spread = self.spread()
        relative = (spread / spread.median()).clamp(1 / _MOST_WEIGHT, _MOST_WEIGHT)
        return spread / (_DEVIATION * relative)


def calibrate(model: Any, batches: Iterable[Mapping[str, Any]]) -> None:
    """Set the output stage of a new model to a recording; see :meth:`deepSTRF.models.NeuralModel.calibrate`."""
    statistics = ResponseStatistics(batches)
    reference = next(model.parameters(), torch.zeros(1))
    scale = statistics.scale()
    model.set_response_scale(scale)
    readout = model.readout
    activation = getattr(readout, "activation", None)
    if statistics.signed and getattr(activation, "non_negative_output", False):
        negative = (statistics.least < 0).nonzero()[:, 0].tolist()
        neurons = counted(len(negative), "neuron")
        warnings.warn(
            f"the responses of {neurons} ({_listed(negative)}) are negative in places, which the output "
            f"of {type(activation).__name__} never is: build the model with output_activation=nn.Identity()",
            stacklevel=3,
        )
    offset_of = getattr(readout, "offset", None)
    offset = None if offset_of is None else offset_of()
    if offset is None or not isinstance(activation, nn.Module):  # a readout of the user's own
        return
    target = (statistics.mean / scale).to(reference)
    with torch.no_grad():
        if isinstance(activation, ParametricSoftplus | Saturating) and activation.non_negative_output:
            _make_room(activation, target)
        gain = getattr(readout, "gain", lambda: None)()
        if gain is not None:
            gain.copy_(statistics.spread() / scale)
        drive = _drive(model, batches, reference)
        offset += _offset_to_mean(activation, drive, target)


def explains_nothing(model: nn.Module, batches: Iterable[Mapping[str, Any]]) -> bool:
    """Whether at least half of the neurons are predicted worse than by their mean: the model has not learnt them yet.

    A look at a few thousand bins, in eval mode; the model is left as it was.
    """
    reference = next(model.parameters(), torch.zeros(1))
    errors, deviations, n_bins = [], [], 0
    with evaluating(model), torch.no_grad():
        for batch in batches:
            stims, psth = _first_bins(batch)
            pred = model(stims.to(reference))[:, :, 0].to(psth)
            if pred.shape != psth.shape:
                return False  # whoever uses the prediction says what is wrong with it
            known = psth.isfinite()
            mean = psth.nanmean((0, 2), keepdim=True)
            errors.append((pred - psth).square().where(known, 0.0).sum((0, 2)))
            deviations.append((psth - mean).square().where(known, 0.0).sum((0, 2)))
            n_bins += psth.shape[0] * psth.shape[2]
            if n_bins >= _MOST_BINS:
                break
    error, deviation = torch.stack(errors).sum(0), torch.stack(deviations).sum(0)
    # not `error > deviation`: a prediction that is NaN explains nothing
    return bool((~(error < deviation)).double().mean() >= 0.5)


def _psth(batch: Mapping[str, Any]) -> Float[Tensor, "B N T"]:
    """Responses averaged over repeats, as a batch carries them if it does."""
    ready = batch.get("psth")
    return ready[:, :, 0] if isinstance(ready, Tensor) else batch["responses"].detach().nanmean(2)


def _first_bins(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Stimuli and averaged responses of a batch, cut to the first bins where a recording is long."""
    stims, psth = batch["stims"], _psth(batch)
    n_bins = psth.shape[-1]
    per_bin = max(1, stims.shape[-1] // max(1, n_bins))  # samples of a waveform
    kept = min(n_bins, _MOST_BINS)
    if stims.ndim == 5:
        kept = min(kept, max(_LEAST_BINS, _MOST_VALUES // max(1, stims[..., 0].numel())))
    return stims[..., : kept * per_bin], psth[..., :kept]


def _make_room(activation: ParametricSoftplus | Saturating, target: Float[Tensor, " N"]) -> None:
    """Let the least output be a tenth of the mean response or less, and the most, four times it or more."""
    name_of_offset = "b" if isinstance(activation, ParametricSoftplus) else activation._offset
    offset: Tensor | None = getattr(activation, f"_raw_{name_of_offset}")
    mean = target.abs().clamp(min=1e-5)
    if offset is not None:
        most = 0.1 * (mean if len(offset) > 1 else mean.amin(0, keepdim=True))
        offset.copy_(torch.minimum(offset, torch.log(torch.expm1(most))))
    if isinstance(activation, Saturating):
        amplitude: Tensor = getattr(activation, f"_raw_{activation._amplitude}")
        least = 4 * (mean if len(amplitude) > 1 else mean.amax(0, keepdim=True))
        amplitude.copy_(torch.maximum(amplitude, least + torch.log(-torch.expm1(-least))))


def _drive(model: Any, batches: Iterable[Mapping[str, Any]], reference: Tensor) -> Float[Tensor, "M N"]:
    """What goes into the activation while the model trains, in a sample of bins; the model is left as it was."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().flatten(0, -2))

    hook = model.readout.activation.register_forward_pre_hook(keep)
    try:
        with _train_mode_for_a_look(model):
            for batch in batches:
                model(_first_bins(batch)[0].to(reference))
                if sum(map(len, seen)) >= _MOST_BINS:
                    break
    finally:
        hook.remove()
    drive = torch.cat(seen)
    return drive[:: max(1, len(drive) // _MOST_BINS)]


@contextlib.contextmanager
def _train_mode_for_a_look(model: nn.Module) -> Iterator[None]:
    """Train mode without gradients; afterwards modes, statistics and random numbers are as before."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    devices = [reference.device] if (reference := next(model.parameters(), torch.zeros(1))).is_cuda else []
    with torch.random.fork_rng(devices), torch.no_grad():
        model.train()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])


def _offset_to_mean(
    activation: nn.Module, drive: Float[Tensor, "M N"], target: Float[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """What to add to the drive so that the mean output of each neuron is its target, by bisection.

    Where the activation cannot reach the target, its nearest end is taken.
    """
    reach = 20.0 + drive.abs().amax(0) + target.abs()

    def mean_output(offset: Tensor) -> Tensor:
        return activation((drive + offset)[None])[0].mean(0)

    for _ in range(_WIDENINGS):  # a saturating curve may be so shallow that its ends lie far away
        ends = torch.stack([mean_output(-reach), mean_output(reach)])
        beyond = (target > ends.amax(0)) | ((target < ends.amin(0)) & (target > 0))
        reach = torch.where(beyond, 2 * reach, reach)
    low, high = -reach, reach
    rising = mean_output(high) >= mean_output(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        too_low = (mean_output(middle) < target) == rising
        low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
    return (low + high) / 2


def _listed(neurons: list[int], most: int = 5) -> str:
    return ", ".join(map(str, neurons[:most])) + (", ..." if len(neurons) > most else "")
