"""Gradients of a model's responses with respect to its stimulus, at one stimulus or averaged over many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deepSTRF.models.bin_by_bin import NotStreamableError, State, step
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.modes import evaluating

__all__ = [
    "average_gradients",
    "differentiating",
    "evaluating_unchanged",
    "gradient_sums",
    "gradients_at",
    "mean_gradients",
]

# Neurons that are differentiated in one pass: bounds the memory of large populations.
NEURONS_PER_PASS = 64

# The average is over this many bins, fewer where neurons are many or frames large: bounds the time.
MOST_BINS, LEAST_BINS, MOST_VALUES = 256, 32, 2**24
# Stimulus values whose graph is held at once, and of the gradients of a block of outputs: bounds the memory.
VALUES_PER_PASS, VALUES_PER_BLOCK = 2**18, 2**23
# Past of each bin, so that recurrent models have warmed up: this many times the lags or the window.
CONTEXT = 2


def gradients_at(model: FrameModel, stimulus: Float[Tensor, "1 *frame T"]) -> Float[Tensor, "N *frame T"]:
    """Gradient of every neuron's last bin with respect to the stimulus, in eval mode."""
    reference = model._reference()
    gradients = []
    with differentiating(model):
        for first in range(0, model.O, NEURONS_PER_PASS):
            neurons = torch.arange(first, min(first + NEURONS_PER_PASS, model.O), device=reference.device)
            copies = stimulus.to(reference).repeat_interleave(len(neurons), 0).requires_grad_()
            last = model._from_frames(copies)[:, :, 0, -1]
            # Copy k is for neuron k of this pass; copies don't see each other in eval mode. torch.autograd.grad
            # leaves no gradients on the parameters.
            (gradient,) = torch.autograd.grad(last.gather(1, neurons[:, None]).sum(), copies)
            gradients.append(gradient.cpu())
    return torch.cat(gradients)


def average_gradients(
    model: FrameModel, stimuli: Sequence[Float[Tensor, "1 *frame T"]], heard: Bool[Tensor, "S N"], n_lags: int
) -> Float[Tensor, "N *frame n_lags"]:
    """Gradient of a response with respect to the last `n_lags` bins, averaged over bins spread evenly over the stimuli.

    Each neuron's average is over the stimuli that it heard; NaN where it heard none. Lags before the onset of a
    stimulus have no gradient and don't count; they are zero where all stimuli are shorter.
    """
    total, count = gradient_sums(model, stimuli, heard, n_lags, [0] * len(stimuli))
    return mean_gradients(total[0], count[0]).to(model._reference().dtype)


def mean_gradients(
    total: Float[Tensor, "N *frame n_lags"], count: Float[Tensor, "N n_lags"]
) -> Float[Tensor, "N *frame n_lags"]:
    """Divide sums of gradients by their number at each lag; NaN for neurons without any."""
    average = total / count.clamp(min=1).reshape(len(count), *[1] * (total.ndim - 2), -1)
    average[~(count > 0).any(1)] = torch.nan
    return average


def gradient_sums(
    model: FrameModel,
    stimuli: Sequence[Float[Tensor, "1 *frame T"]],
    heard: Bool[Tensor, "S N"],
    n_lags: int,
    groups: Sequence[int],
) -> tuple[Float[Tensor, "G N *frame n_lags"], Float[Tensor, "G N n_lags"]]:
    """Sums of the gradients at bins spread evenly over the stimuli, and their number, for each group of stimuli."""
    n_groups, group = max(groups) + 1, torch.tensor(groups)
    reference = model._reference()
    context = CONTEXT * max(n_lags, model.T)
    n_values = math.prod(model._frame) * min(context, max(s.shape[-1] for s in stimuli))
    n_bins = min(MOST_BINS, max(LEAST_BINS, MOST_VALUES // (n_values * model.O)))
    # Pieces of one length go through the model together; those that begin at an onset are shorter than the others.
    pieces: dict[int, list[tuple[int, int]]] = {}
    for s, end in _spread_bins([stimulus.shape[-1] for stimulus in stimuli], n_lags, n_bins):
        pieces.setdefault(min(end, context), []).append((s, end))
    with differentiating(model):
        total = torch.zeros(n_groups, model.O, *model._frame, n_lags, dtype=torch.float64)
        count = torch.zeros(n_groups, model.O, n_lags, dtype=torch.float64)
        for length, members in pieces.items():
            at_once = max(1, VALUES_PER_PASS // (math.prod(model._frame) * length))
            lags = min(length, n_lags)
            for first in range(0, len(members), at_once):
                chosen = members[first : first + at_once]
                frames = torch.cat([stimuli[s][..., end - length : end].to(reference) for s, end in chosen])
                numbers = [s for s, _ in chosen]
                used, into = heard[numbers], group[numbers]
                _add_gradients(model, frames, lags, used, into, total)
                count[..., -lags:].index_add_(0, into, used.double()[..., None].expand(-1, -1, lags))
    return total, count


def _add_gradients(
    model: FrameModel,
    frames: Float[Tensor, "B *frame T"],
    lags: int,
    used: Bool[Tensor, "B N"],
    into: Int[Tensor, " B"],
    total: Float[Tensor, "G N *frame n_lags"],
) -> None:
    """Add the gradients of the last bin of `frames` to the sums of the groups that the bins belong to.

    A neuron reads the features of its model: by the chain rule, the gradients of as many features are enough for all
    neurons, where features are fewer.
    """
    past, recent = frames[..., :-lags], frames[..., -lags:].clone().requires_grad_()
    features, asked = _last_features(model, past, recent), used.any(0).nonzero().flatten().tolist()
    if features is None or features[0].numel() >= len(asked):
        last = model._from_frames(torch.cat([past, recent], -1)) if features is None else _responses(model, features)
        responses = last[:, :, 0, -1]
        for n in asked:
            (gradient,) = torch.autograd.grad(
                responses[used[:, n].to(responses.device), n].sum(), recent, retain_graph=True
            )
            total[:, n, ..., -lags:].index_add_(0, into[used[:, n]], gradient[used[:, n]].cpu().double())
        return
    slopes = _slopes(model, features.detach(), asked) * used.T[:, :, None]
    flat = features.flatten(1)
    at_once = max(1, VALUES_PER_BLOCK // recent.numel())
    for first in range(0, flat.shape[1], at_once):
        block = range(first, min(first + at_once, flat.shape[1]))
        gradients = torch.stack(
            [torch.autograd.grad(flat[:, d].sum(), recent, retain_graph=True)[0].cpu() for d in block]
        ).flatten(2)
        for g in into.unique().tolist():
            own = into == g
            # (N, D·B) times (D·B, values)
            share = slopes[:, own][..., block.start : block.stop].transpose(1, 2).flatten(1)
            total[g, ..., -lags:] += (share @ gradients[:, own].flatten(0, 1)).view_as(total[g, ..., -lags:])


def _slopes(model: FrameModel, features: Float[Tensor, "B ... 1"], asked: Sequence[int]) -> Float[Tensor, "N B D"]:
    """Derivatives of the responses with respect to the features of their bin."""
    leaf = features.requires_grad_()
    responses = _responses(model, leaf)[:, :, 0, 0]
    slopes = torch.zeros(model.O, len(leaf), leaf[0].numel(), dtype=leaf.dtype)
    for n in asked:
        slopes[n] = torch.autograd.grad(responses[:, n].sum(), leaf, retain_graph=True)[0].flatten(1).cpu()
    return slopes


def _responses(model: FrameModel, features: Float[Tensor, "B ... t"]) -> Float[Tensor, "B N 1 t"]:
    return model._in_units(model.readout(features))


def _last_features(
    model: FrameModel, past: Float[Tensor, "B *frame T"], recent: Float[Tensor, "B *frame lags"]
) -> Float[Tensor, "B ... 1"] | None:
    """Features of the last bin, without a graph through the past; None of a model that cannot run bin by bin."""
    if not getattr(model.readout, "memoryless", False) or type(model)._from_frames is not FrameModel._from_frames:
        return None
    filtered, states = recent, (None, None)
    try:
        model._check_step_is_ours(FrameModel, "_features", "_step_features")
        if past.shape[-1]:
            with torch.no_grad():
                states = _front(model, past, states)[1]
        filtered, _ = _front(model, recent, states)
    except NotStreamableError:
        return None
    return filtered[..., -1:]


def _front(
    model: FrameModel, frames: Float[Tensor, "B *frame T"], states: tuple[State, State]
) -> tuple[Tensor, tuple[State, State]]:
    """All but the readout, from the states that the bins before left."""
    filtered, pre = step(model.prefiltering, frames, states[0])
    features, core = model._step_features(filtered, states[1])
    return features, (pre, core)


def _spread_bins(lengths: Sequence[int], n_lags: int, n_bins: int) -> list[tuple[int, int]]:
    """Pairs of a stimulus and the end of a bin (exclusive), evenly spread over the bins that have a past of `n_lags`.

    A stimulus that is shorter offers its last bin.
    """
    offered = [max(1, length - n_lags + 1) for length in lengths]
    n_bins = min(n_bins, sum(offered))
    starts = torch.tensor([0, *offered]).cumsum(0)
    # the middle of each of n_bins equal parts
    positions = (torch.arange(n_bins, dtype=torch.float64) + 0.5) * int(starts[-1]) / n_bins
    positions = positions.long()
    owners = torch.searchsorted(starts, positions, right=True) - 1
    earliest = torch.tensor([min(length, n_lags) for length in lengths])
    ends = earliest[owners] + positions - starts[owners]
    return list(zip(owners.tolist(), ends.tolist(), strict=True))


@contextmanager
def differentiating(model: nn.Module) -> Iterator[None]:
    """Eval mode, gradients recorded whatever is set outside, and the model left as found."""
    # cuDNN has no backward pass for recurrent layers in eval mode.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=False),
        evaluating_unchanged(model),
    ):
        yield


@contextmanager
def evaluating_unchanged(model: nn.Module) -> Iterator[None]:
    """Put `model` into eval mode; put back modes, random numbers, and buffers that a user's module changes in it.

    Meanwhile no gradients of the parameters are recorded: nobody asks for them here, and they take as long as those of
    the stimulus.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    devices = sorted({p.device for p in model.parameters() if p.is_cuda}, key=str)
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        with evaluating(model), torch.random.fork_rng(devices):
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name in buffers and not torch.equal(buffer, buffers[name]):
                    buffer.copy_(buffers[name])
