"""Correlation between prediction and response, raw and relative to what the noise leaves explainable."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_choice, check_integer
from deepSTRF.metrics._arguments import Mask, Pred, Recorded, Score
from deepSTRF.metrics.batches import score
from deepSTRF.metrics.comoments import power_of_repeats
from deepSTRF.metrics.halves import ROUNDING
from deepSTRF.metrics.reliability import ceiling_of, pooled_noise, pooled_power
from deepSTRF.metrics.statistics import HalfSplits, Measure, Moments, Powers, RepeatMoments, has_bins

METHODS = ("schoppe", "hsu")
SIGNAL_POWERS = ("per_stimulus", "concatenated")


def _varies(square: Tensor, mean: Tensor, moments: Moments) -> Tensor:
    """Whether a variance is more than the rounding of a constant (4 units in the last place of its mean)."""
    return square > (4 * moments.resolution).square() * moments.bins * mean.square()


def correlation_of(moments: Moments) -> Float[Tensor, " N"]:
    """Pearson correlation of :class:`Moments`; NaN for fewer than two bins or a constant side."""
    defined = (
        (moments.bins >= 2)
        & _varies(moments.square_pred, moments.mean_pred, moments)
        & _varies(moments.square_resp, moments.mean_resp, moments)
    )
    value = moments.cross / (moments.square_pred.sqrt() * moments.square_resp.sqrt())
    return torch.where(defined, value.clamp(-1.0, 1.0), torch.nan)


def explained_of(moments: Moments) -> Float[Tensor, " N"]:
    """Fraction of variance explained of :class:`Moments`; NaN for fewer than two bins or a constant response."""
    defined = (moments.bins >= 2) & _varies(moments.square_resp, moments.mean_resp, moments)
    return torch.where(defined, 1 - mean_square_of(moments) * moments.bins / moments.square_resp, torch.nan)


def mean_square_of(moments: Moments) -> Float[Tensor, " N"]:
    """Mean squared error of :class:`Moments` (the streaming form of ``mse_loss``); NaN without a valid bin."""
    spread = moments.square_pred + moments.square_resp - 2 * moments.cross
    bias = (moments.mean_pred - moments.mean_resp).square()
    # an infinite value has no spread around its mean, inf − inf
    return torch.where(bias.isinf(), torch.inf, spread / moments.bins + bias)


def _positive(power: Tensor, total: Tensor, moments: Moments) -> Tensor:
    """Whether a signal power is more than the rounding of the data and of its own computation."""
    return (power > (4 * moments.resolution).square() * moments.mean_resp.square()) & (power > ROUNDING * total)


def _schoppe(moments: Moments, power: Tensor, total: Tensor, single: Tensor) -> Tensor:
    """Covariance over sqrt(prediction variance × signal power); plain correlation for single trials."""
    defined = (
        (moments.bins >= 2)
        & _varies(moments.square_pred, moments.mean_pred, moments)
        & _positive(power, total, moments)
    )
    value = moments.cross / (((moments.bins - 1) * moments.square_pred).sqrt() * power.sqrt())
    return torch.where(single, correlation_of(moments), torch.where(defined, value, torch.nan))


def _noise_ceiling(moments: Moments, power: Tensor, total: Tensor) -> Tensor:
    defined = _positive(power, total, moments) & _varies(moments.square_resp, moments.mean_resp, moments)
    value = (power * (moments.bins - 1) / moments.square_resp).sqrt()
    return torch.where(defined, value, torch.nan)


def _concatenated_power(repeats: RepeatMoments) -> tuple[Tensor, Tensor]:
    """Signal and total power of the concatenated response; NaN where stimuli differ in their number of repeats."""
    signal, total = power_of_repeats(repeats.shared, repeats.cross)
    return torch.where(repeats.fewest == repeats.most, signal, torch.nan), total


def _power_per_stimulus(powers: Powers) -> tuple[Tensor, Tensor]:
    signal = pooled_power(powers)
    return signal, signal + pooled_noise(powers)


def _schoppe_per_stimulus(moments: Moments, powers: Powers) -> Tensor:
    return _schoppe(moments, *_power_per_stimulus(powers), powers.repeats == 1)


def _schoppe_concatenated(moments: Moments, repeats: RepeatMoments) -> Tensor:
    return _schoppe(moments, *_concatenated_power(repeats), repeats.most == 1)


def _hsu(moments: Moments, halves: HalfSplits) -> Tensor:
    return correlation_of(moments) / ceiling_of(halves)


def _ceiling_per_stimulus(moments: Moments, powers: Powers) -> Tensor:
    return _noise_ceiling(moments, *_power_per_stimulus(powers))


def _ceiling_concatenated(moments: Moments, repeats: RepeatMoments) -> Tensor:
    return _noise_ceiling(moments, *_concatenated_power(repeats))


CORRCOEF = Measure((Moments.of,), correlation_of)
FVE = Measure((Moments.of,), explained_of)
MEAN_SQUARE = Measure((Moments.of,), mean_square_of, has_data=has_bins)


def normalized_corrcoef_measure(
    method: str = "schoppe", signal_power: str = "per_stimulus", ccmax_iters: int = 126
) -> Measure:
    """Build the statistics and formula of :func:`normalized_corrcoef`, for streaming.

    Examples
    --------
    >>> normalized_corrcoef_measure("schoppe").compute.__name__
    '_schoppe_per_stimulus'
    """
    check_choice("method", method, METHODS)
    check_choice("signal_power", signal_power, SIGNAL_POWERS)
    ccmax_iters = check_integer("ccmax_iters", ccmax_iters)
    if method == "hsu":
        return Measure((Moments.of, functools.partial(HalfSplits.of, max_splits=ccmax_iters)), _hsu)
    if signal_power == "concatenated":
        return Measure((Moments.of, RepeatMoments.of), _schoppe_concatenated)
    return Measure((Moments.of, Powers.of), _schoppe_per_stimulus)


def noise_ceiling_measure(signal_power: str = "per_stimulus") -> Measure:
    """Build the statistics and formula of :func:`noise_ceiling`, for streaming.

    Examples
    --------
    >>> len(noise_ceiling_measure().parts)
    2
    """
    check_choice("signal_power", signal_power, SIGNAL_POWERS)
    if signal_power == "concatenated":
        return Measure((Moments.of, RepeatMoments.of), _ceiling_concatenated, of_responses=True)
    return Measure((Moments.of, Powers.of), _ceiling_per_stimulus, of_responses=True)


def corrcoef(pred: Pred, gt: Recorded, mask: Mask | None = None, reduction: str = "mean") -> Score:
    r"""Pearson correlation between prediction and PSTH, over all valid bins of all stimuli.

    .. math:: CC = \frac{\mathrm{cov}(\hat y, \bar y)}{\sqrt{\mathrm{var}(\hat y)\,\mathrm{var}(\bar y)}}

    Parameters
    ----------
    pred : Tensor
        ``(B, N, 1, T)`` predictions.
    gt : Tensor or dict
        ``(B, N, R, T)`` responses in the same unit, NaN where missing; repeats are averaged (without the missing ones).
        Or a batch of :func:`~deepSTRF.utils.neural_collate`, whose ready averages are used.
    mask : Tensor, optional
        Bool, broadcastable to ``gt``; replaces the not-NaN mask. A NaN that it marks as valid makes the neuron NaN.
    reduction : {'mean', 'sum', 'none'}
        Over the defined neurons; ``'none'`` gives ``(N,)``.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar. A neuron with fewer than two valid bins, or with a constant response or prediction (no
        variation beyond 4 units in the last place), is NaN.

    Raises
    ------
    ValueError
        For an unknown reduction or shapes that do not fit.
    TypeError
        For a mask that is not bool.

    Examples
    --------
    >>> import torch
    >>> responses = torch.tensor([[[[0.0, 2.0, 1.0, torch.nan]], [[1.0, 1.0, 1.0, 1.0]]]])
    >>> pred = torch.tensor([[[[1.0, 5.0, 3.0, 9.0]], [[1.0, 2.0, 3.0, 4.0]]]])
    >>> corrcoef(pred, responses, reduction="none")
    tensor([1., nan])
    >>> corrcoef(pred, responses)
    tensor(1.)
    """
    return score(CORRCOEF, gt, pred, mask=mask, reduction=reduction, name="gt")


def fve(pred: Pred, gt: Recorded, mask: Mask | None = None, reduction: str = "mean") -> Score:
    r"""Fraction of the PSTH's variance that the prediction explains; negative if it is worse than the mean.

    .. math:: FVE = 1 - \frac{\sum_t (\bar y_t - \hat y_t)^2}{\sum_t (\bar y_t - \langle\bar y\rangle)^2}

    Parameters
    ----------
    pred, gt, mask, reduction
        As in :func:`corrcoef`, with the same errors.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar. A neuron with fewer than two valid bins or a constant response is NaN.

    Examples
    --------
    >>> import torch
    >>> responses = torch.tensor([[[[0.0, 2.0, 4.0]]]])
    >>> fve(responses, responses), fve(torch.zeros(1, 1, 1, 3), responses)
    (tensor(1.), tensor(-1.5000))
    """
    return score(FVE, gt, pred, mask=mask, reduction=reduction, name="gt")


def normalized_corrcoef(
    pred: Pred,
    responses: Recorded,
    method: str = "schoppe",
    mask: Mask | None = None,
    reduction: str = "mean",
    ccmax_iters: int = 126,
    signal_power: str = "per_stimulus",
) -> Score:
    r"""Correlation relative to the best that any model could reach on responses of this reliability.

    .. math:: CC_{norm} = \frac{\mathrm{cov}(\hat y, \bar y)}{\sqrt{\mathrm{var}(\hat y)\,SP}}
       \quad\text{('schoppe')}, \qquad CC_{norm} = CC / CC_{max} \quad\text{('hsu')}

    A neuron that was never repeated has no measurable noise: its value is the plain correlation.

    Parameters
    ----------
    pred : Tensor
        ``(B, N, 1, T)`` predictions.
    responses : Tensor or dict
        ``(B, N, R, T)`` single repeats, NaN where missing; or a batch, as for :func:`corrcoef`.
    method : {'schoppe', 'hsu'}
        Signal power in the denominator [1]_, or correlation between random halves of the repeats (:func:`ccmax`) [2]_.
    mask : Tensor, optional
        Bool, broadcastable to ``responses``; replaces the not-NaN mask, for the covariance and for the noise.
    reduction : {'mean', 'sum', 'none'}
        Over the defined neurons; ``'none'`` gives ``(N,)``.
    ccmax_iters : int
        ``'hsu'``: at most this many half-splits.
    signal_power : {'per_stimulus', 'concatenated'}
        ``'schoppe'``: signal power within each stimulus, averaged with the number of bins as weight (published scores
        use it, but mean rates that differ between stimuli enter the covariance only, and can lift the value above 1);
        or that of all stimuli's responses concatenated, as in the paper, where numerator and denominator see the same
        variance. The latter needs the same number of repeats for all stimuli of a neuron, else that neuron is NaN.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar. NaN where the signal power is not positive or the correlation is undefined.

    Raises
    ------
    ValueError
        For an unknown method, signal power or reduction, or shapes that do not fit (a prediction has an R-axis of 1).
    TypeError
        For a mask that is not bool.

    References
    ----------
    .. [1] Schoppe, O., Harper, N. S., Willmore, B. D. B., King, A. J. & Schnupp, J. W. H. (2016). Measuring the
       performance of neural models. Frontiers in Computational Neuroscience 10, 10. doi:10.3389/fncom.2016.00010
    .. [2] Hsu, A., Borst, A. & Theunissen, F. E. (2004). Quantifying variability in neural responses and its
       application for the validation of model predictions. Network 15, 91–109. doi:10.1088/0954-898X_15_2_002

    Examples
    --------
    >>> import torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> rate = torch.rand(10, 2, 1, 200, generator=generator)
    >>> responses = rate + 0.5 * torch.randn(10, 2, 8, 200, generator=generator)
    >>> normalized_corrcoef(rate, responses, reduction="none").round(decimals=1)
    tensor([1., 1.])
    >>> normalized_corrcoef(rate, responses, method="hsu").round(decimals=1)
    tensor(1.)
    """
    measure = normalized_corrcoef_measure(method, signal_power, ccmax_iters)
    return score(measure, responses, pred, mask=mask, reduction=reduction)


def noise_ceiling(
    responses: Recorded,
    mask: Mask | None = None,
    reduction: str = "mean",
    signal_power: str = "per_stimulus",
) -> Score:
    r"""Correlation with the PSTH that a perfect model would reach: ``corrcoef = normalized_corrcoef × noise_ceiling``.

    .. math:: \sqrt{SP / \mathrm{var}(\bar y)}

    Parameters
    ----------
    responses : Tensor or dict
        ``(B, N, R, T)`` single repeats, NaN where missing; or a batch, as for :func:`corrcoef`.
    mask, reduction, signal_power
        As in :func:`normalized_corrcoef` with ``method='schoppe'``, with the same errors.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar. NaN for a neuron with single trials only: its ceiling is unknown.

    Examples
    --------
    >>> import torch
    >>> noise_ceiling(torch.tensor([[[[0.0, 1.0, 4.0], [0.0, 1.0, 4.0]]]]))
    tensor(1.)
    """
    return score(noise_ceiling_measure(signal_power), responses, mask=mask, reduction=reduction)
