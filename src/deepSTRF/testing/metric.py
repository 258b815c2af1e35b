"""The metric contract as a suite that runs on any metric, ours or yours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deepSTRF.metrics.statistics import Measure, collect, merge
from deepSTRF.testing.errors import ContractError, expect_error, require

Metric = Callable[..., Tensor]
NEURONS = 5


def check_metric(
    metric: Metric,
    *,
    reference: Callable[[Tensor, Tensor], Sequence[float] | Tensor] | None = None,
    uses_repeats: bool = False,
    scale_free: Sequence[str] = (),
    differentiable: bool = False,
    measure: Measure | None = None,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> None:
    """Run the metric contract on ``metric(pred, responses, reduction=...)``.

    The suite feeds a population of five neurons, eight stimuli of different lengths and up to four repeats, with
    missing pairs, padding, one neuron without any data and non-negative values. Docs: docs/contracts/metrics.md.

    Parameters
    ----------
    metric : callable
        ``metric(pred, responses, reduction='none') -> (N,)`` with ``pred`` ``(B, N, 1, T)`` and ``responses``
        ``(B, N, R, T)``, NaN where missing; ``reduction='mean'`` and ``'sum'`` give a scalar. Bind other arguments with
        ``functools.partial``; wrap a metric of the responses alone in a lambda that drops ``pred``.
    reference : callable, optional
        Independent implementation ``(pred, responses) -> N`` values to agree with.
    uses_repeats : bool
        Whether the metric looks at single repeats. If not, it must give the same for responses as for their average.
    scale_free : sequence of {'pred', 'responses'}
        Arguments whose unit must not matter: rescaled by 1e-6 (volts) and 1e6 the value stays.
    differentiable : bool
        Whether gradients flow to ``pred``: then they must be finite, and exactly 0 where data are missing.
    measure : deepSTRF.metrics.statistics.Measure, optional
        Streaming form of the metric: however the stimuli are cut into batches, it must give the same number.
    tolerance : float
        Largest accepted difference, relative to 1 + the value.
    seed : int
        Seed of the random data.

    Raises
    ------
    ContractError
        If the metric breaks the contract; names the first broken rule, what was expected and what it got.
    ValueError
        If ``scale_free`` names anything else.

    Examples
    --------
    >>> from deepSTRF.metrics import corrcoef
    >>> check_metric(corrcoef, scale_free=("pred", "responses"))
    >>> check_metric(lambda pred, responses, reduction="mean": corrcoef(pred, responses).nan_to_num())
    Traceback (most recent call last):
    deepSTRF.testing.errors.ContractError: shape: reduction='none' must give (5,), got ()
    """
    unknown = set(scale_free) - {"pred", "responses"}
    if unknown:
        raise ValueError(f"scale_free may name 'pred' and 'responses', got {sorted(unknown)}")
    pred, responses = make_population(seed)
    values = _call(metric, pred, responses)
    _check_shape_and_missing(metric, values, pred, responses)
    _check_invariance(metric, values, pred, responses, tolerance)
    _check_independence(metric, values, pred, responses, tolerance)
    if not uses_repeats:
        average = responses.nanmean(2, keepdim=True)
        _compare("repeats", "averaging repeats first must not matter", _call(metric, pred, average), values, tolerance)
    for name in scale_free:
        _check_scale(metric, name, values, pred, responses, tolerance)
    if differentiable:
        _check_gradient(metric, pred, responses)
    if measure is not None:
        _check_splitting(measure, values, pred, responses, tolerance)
    if reference is not None:
        expected = torch.as_tensor(reference(pred, responses), dtype=torch.float64)
        _compare("reference", "the metric must equal the reference", values, expected, tolerance)


def make_population(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Prediction ``(8, 5, 1, 60)`` and responses ``(8, 5, 4, 60)`` with every kind of missing data.

    Neuron 0 is complete but for padding, 1 and 2 lack stimuli, 3 has fewer repeats for all stimuli, 4 has no data.

    Examples
    --------
    >>> pred, responses = make_population()
    >>> pred.shape, responses.shape, bool(responses[:, 4].isnan().all())
    (torch.Size([8, 5, 1, 60]), torch.Size([8, 5, 4, 60]), True)
    """
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(8, NEURONS, 1, 60, generator=generator) * 3 + 0.1
    responses = torch.poisson(rate.expand(-1, -1, 4, -1), generator=generator)
    pred = 0.5 * rate + torch.rand(rate.shape, generator=generator) + 0.1
    for stimulus, bins in enumerate((60, 41, 60, 52, 33, 60, 47, 58)):
        responses[stimulus, :, :, bins:] = torch.nan
    responses[[0, 3], 1] = torch.nan
    responses[[5], 2] = torch.nan
    responses[:, 3, 3:] = torch.nan
    responses[:, 4] = torch.nan
    return pred, responses


def _call(metric: Metric, pred: Tensor, responses: Tensor, reduction: str = "none") -> Tensor:
    before = pred.detach().clone(), responses.clone()
    values = metric(pred, responses, reduction=reduction)
    for name, now, then in zip(("pred", "responses"), (pred.detach(), responses), before, strict=True):
        unchanged = torch.equal(now.nan_to_num(), then.nan_to_num())
        require(unchanged, f"inputs: the metric must not change its arguments; it changed {name}")
    require(isinstance(values, Tensor), f"shape: the metric must return a tensor, got {type(values).__name__}")
    return values


def _compare(rule: str, message: str, got: Tensor, expected: Tensor, tolerance: float) -> None:
    got, expected = got.detach().double(), expected.detach().double()
    same = got.shape == expected.shape and torch.allclose(got, expected, tolerance, tolerance, equal_nan=True)
    require(same, f"{rule}: {message}: expected {expected.tolist()}, got {got.tolist()}")


def _check_shape_and_missing(metric: Metric, values: Tensor, pred: Tensor, responses: Tensor) -> None:
    got = values.tolist()
    require(values.shape == (NEURONS,), f"shape: reduction='none' must give ({NEURONS},), got {tuple(values.shape)}")
    require(math.isnan(got[4]), f"undefined: a neuron without data must be NaN, got {got[4]}")
    known = all(map(math.isfinite, got[:4]))
    require(known, f"missing data: NaN marks missing positions and must not spread to neurons with data, got {got}")
    for reduction, expected in (("mean", values.nanmean()), ("sum", values.nansum())):
        reduced = _call(metric, pred, responses, reduction)
        message = f"reduction={reduction!r} must be over the defined neurons only"
        _compare("reduction", message, reduced, expected, 1e-5)
    for reduction in ("mean", "sum"):
        empty = _call(metric, pred, torch.full_like(responses, torch.nan), reduction)
        message = f"undefined: without any data reduction={reduction!r} must be NaN, got {empty.tolist()}"
        require(bool(empty.isnan().all()), message)
    expect_error(lambda: metric(pred, responses, reduction="median"), ValueError, "reduction: the unknown 'median'")


def _check_invariance(metric: Metric, values: Tensor, pred: Tensor, responses: Tensor, tolerance: float) -> None:
    neurons = torch.tensor([2, 0, 4, 1, 3])
    got = _call(metric, pred[:, neurons], responses[:, neurons])
    _compare("neurons", "neurons must be scored independently of their order", got, values[neurons], tolerance)
    alone = torch.cat([_call(metric, pred[:, n : n + 1], responses[:, n : n + 1]) for n in range(NEURONS)])
    _compare("neurons", "a neuron alone must score as in the population", alone, values, tolerance)
    stimuli = torch.tensor([3, 7, 0, 5, 1, 6, 2, 4])
    got = _call(metric, pred[stimuli], responses[stimuli])
    _compare("stimuli", "the order of the stimuli must not matter", got, values, tolerance)
    wide = torch.nn.functional.pad(responses, (0, 13, 0, 2), value=torch.nan)
    for filler in (0.0, 1e4, torch.nan):
        padded = torch.nn.functional.pad(pred, (0, 13), value=filler)
        message = f"NaN-padded bins and repeats must not count, whatever is predicted there ({filler})"
        _compare("padding", message, _call(metric, padded, wide), values, tolerance)


def _check_independence(metric: Metric, values: Tensor, pred: Tensor, responses: Tensor, tolerance: float) -> None:
    empty = torch.full_like(responses[:3], torch.nan)
    got = _call(metric, torch.cat((pred, pred[:3])), torch.cat((responses, empty)))
    _compare("stimuli", "stimuli without data must add nothing", got, values, tolerance)
    erased = responses.clone()
    erased[:, 0] = torch.nan
    got = _call(metric, pred, erased)[1:]
    _compare("neurons", "data of one neuron must not change another", got, values[1:], tolerance)


def _check_splitting(measure: Measure, values: Tensor, pred: Tensor, responses: Tensor, tolerance: float) -> None:
    for cuts in ((0, 8), (0, 1, 8), (0, 3, 6, 8), tuple(range(9))):
        statistics = []
        for start, stop in itertools.pairwise(cuts):
            # batches of a loader are padded to their own longest response and number of repeats
            there = responses[start:stop].isnan().logical_not().any(0).any(0)
            bins, repeats = max(int(there.any(0).sum()), 1), max(int(there.any(1).sum()), 1)
            batch = responses[start:stop, :, :repeats, :bins]
            statistics.append(collect(measure.parts, batch, pred[start:stop, :, :, :bins]))
        got = measure.compute(*merge(*statistics))
        _compare("splitting", f"batches cut at {cuts} must give the same number", got, values, tolerance)


def _check_scale(metric: Metric, name: str, values: Tensor, pred: Tensor, responses: Tensor, tolerance: float) -> None:
    for factor in (1e-6, 1e6):
        scaled = (pred * factor, responses) if name == "pred" else (pred, responses * factor)
        _compare("scale", f"{name} × {factor:g} must not matter", _call(metric, *scaled), values, 10 * tolerance)


def _check_gradient(metric: Metric, pred: Tensor, responses: Tensor) -> None:
    # what is predicted at a missing position may even overflow
    missing = responses.isnan().all(2, keepdim=True)
    leaf = torch.where(missing, 1e4, pred).requires_grad_()
    _call(metric, leaf, responses, "mean").backward()
    gradient = leaf.grad
    if gradient is None or not gradient.isfinite().all():
        raise ContractError("gradient: it must be finite, also where data are missing")
    require(not gradient[missing].any(), "gradient: it must be exactly 0 where data are missing")
    reached = bool(gradient[~missing].any())
    require(reached, "gradient: it must reach the prediction where there are data; it is 0 everywhere")
