"""Checks of what a model predicts: shapes, causality, batches, pieces and precision."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from deepSTRF.models.bin_by_bin import NotStreamableError, State, map_state
from deepSTRF.testing.errors import require
from deepSTRF.testing.model_case import Case, same_state


def check_shapes(case: Case) -> None:
    """(B, N, 1, T) for any batch size and length, and the same twice."""
    lengths = sorted({1, 2, max(1, case.window - 1), case.window, case.window + 1, 2 * case.window + 13})
    for batch_size in (1, 3):
        for n_bins in lengths:
            stims = case.stimulus(batch_size, n_bins)
            before = stims.clone()
            state = copy.deepcopy(case.model.state_dict())
            out = case.predict(stims)
            expected = (batch_size, case.model.O, 1, n_bins)
            require(
                tuple(out.shape) == expected,
                f"expected (B, N, 1, T) = {expected} for {n_bins} bins, got {tuple(out.shape)}",
            )
            require(bool(out.isfinite().all()), f"the prediction for {n_bins} bins has values that are not finite")
            require(torch.equal(stims, before), "forward must not change the stimuli that it is given")
            require(same_state(state, case.model.state_dict()), "forward in eval mode must not change the model")
            require(
                torch.equal(out, case.predict(stims)),
                "the same stimuli must give the same prediction in eval mode: a state is carried over, or drawn",
            )


def check_causality(case: Case) -> None:
    """With the same length and another future, the past is the same to the last bit."""
    n_bins = 2 * case.window + 13
    stims = case.stimulus(2, n_bins)
    samples_per_bin = stims.shape[-1] // n_bins
    out = case.predict(stims)
    for cut in sorted({1, case.window, n_bins // 2, n_bins - 1}):
        changed = stims.clone()
        future = changed[..., cut * samples_per_bin :]
        future.copy_(10 * torch.randn_like(future))
        past, past_after = out[..., :cut], case.predict(changed)[..., :cut]
        difference = float((past - past_after).abs().max())
        require(
            torch.equal(past, past_after),
            f"not causal: changing the stimulus from bin {cut} on changes the prediction before, by {difference:.2g}",
        )
        shorter = case.predict(stims[..., : cut * samples_per_bin])
        difference = float((past - shorter).abs().max())
        require(
            difference <= 1e-4 * float(1 + past.abs().max()),
            f"the prediction of the first {cut} bins depends on how long the stimulus is, by {difference:.2g}",
        )


def check_jacobian(case: Case) -> None:
    """The gradient of a prediction with respect to later bins is exactly zero, and not everywhere else."""
    n_bins = case.window + 7
    stims = case.stimulus(2, n_bins).requires_grad_()
    samples_per_bin = stims.shape[-1] // n_bins
    out = case.model(stims)
    for bin in (n_bins // 2, n_bins - 2):
        (gradient,) = torch.autograd.grad(out[..., bin].sum(), stims, retain_graph=True)
        past, future = gradient.tensor_split([(bin + 1) * samples_per_bin], -1)
        require(not bool(future.any()), f"the prediction for bin {bin} has a gradient with respect to later bins")
        require(bool(past.any()), f"the prediction for bin {bin} has no gradient with respect to the stimulus")


def check_batch_independence(case: Case) -> None:
    """In eval mode the stimuli of a batch do not see each other."""
    stims = case.stimulus(3, 20)
    changed = torch.cat([stims[:1], case.stimulus(2, 20)])
    require(
        torch.equal(case.predict(stims)[0], case.predict(changed)[0]),
        "in eval mode the prediction for a stimulus must not depend on the others in the batch",
    )


def check_stream(case: Case) -> None:
    """Bin by bin and in pieces of any length the prediction is that of the whole, from a state that does not grow."""
    n_bins = 2 * case.window + 13
    stims = case.stimulus(2, n_bins)
    expected = case.predict(stims)
    samples_per_bin = stims.shape[-1] // n_bins
    for lengths in ((1,) * n_bins, (case.window + 2, 1, 3, n_bins - case.window - 6)):
        try:
            stream = case.model.stream(batch_size=2)
            pieces = list(stims.split([length * samples_per_bin for length in lengths], -1))
            predictions = [stream.step(pieces[0])]
        except NotStreamableError:
            return  # as with saving: it works, or says that it can't
        size = _state_size(stream.state)
        onset = map_state(torch.zeros_like, stream.state)
        for piece in pieces[1:]:
            predictions.append(stream.step(piece))
            require(
                _state_size(stream.state) == size,
                f"the state must keep its size, it went from {size} to {_state_size(stream.state)} elements",
            )
        difference = float((torch.cat(predictions, -1) - expected).abs().max())
        require(
            difference <= 1e-5 * float(1 + expected.abs().max()),
            f"in pieces of {lengths[0]}, {lengths[1]}, ... bins the prediction differs from the one at once, by "
            f"{difference:.2g}",
        )
        stream.state = onset
        difference = float((stream.step(pieces[0]) - predictions[0]).abs().max())
        require(difference <= 1e-5, f"a state of zeros must be the onset; the prediction differs by {difference:.2g}")


def _state_size(state: State) -> int:
    return state.numel() if isinstance(state, Tensor) else sum(map(_state_size, state))


def check_zero_padding(case: Case) -> None:
    """A batch padded with silence trains: finite output in train mode."""
    stims = case.stimulus(3, 40)
    stims[1:, ..., stims.shape[-1] // 2 :] = 0
    out = case.model.train()(stims)
    require(bool(out.isfinite().all()), "the prediction for zero-padded stimuli is not finite in train mode")


def check_float64(case: Case) -> None:
    """In float64 the prediction has that type, and the same values up to rounding."""
    stims = case.stimulus(2, 30)
    single = case.predict(stims)
    case.model.double()
    double = case.predict(stims.double())
    require(double.dtype == torch.float64, f"a model in float64 must predict in float64, got {double.dtype}")
    difference = float((single - double).abs().max())
    require(
        difference <= 1e-3 * float(1 + double.abs().max()),
        f"predictions in float32 and float64 differ by {difference:.2g}",
    )
