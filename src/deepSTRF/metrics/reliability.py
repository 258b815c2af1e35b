"""How reliable a neuron's responses are: signal and noise power, their ratio, and the half-split ceiling.

References
----------
.. [1] Sahani, M. & Linden, J. F. (2003). How linear are auditory cortical responses? Advances in Neural Information
   Processing Systems 15, 125–132.
.. [2] Hsu, A., Borst, A. & Theunissen, F. E. (2004). Quantifying variability in neural responses and its application
   for the validation of model predictions. Network 15, 91–109. doi:10.1088/0954-898X_15_2_002
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Num
from torch import Tensor

from deepSTRF.checks import check_integer
from deepSTRF.metrics._arguments import Mask, Recorded, Score, check_real, result_dtype
from deepSTRF.metrics.batches import score
from deepSTRF.metrics.statistics import HalfSplits, Measure, Powers


def pooled_power(powers: Powers) -> Float[Tensor, " N"]:
    """Signal power of :class:`Powers`; NaN for a neuron without repeats."""
    return powers.signal / torch.where(powers.weight > 0, powers.weight, torch.nan)


def pooled_noise(powers: Powers) -> Float[Tensor, " N"]:
    """Noise power of :class:`Powers`; NaN for a neuron without repeats."""
    return powers.noise / torch.where(powers.weight > 0, powers.weight, torch.nan)


def ratio_of(powers: Powers) -> Float[Tensor, " N"]:
    """Signal-to-noise ratio of :class:`Powers`; see :func:`snr`."""
    floor = (4 * powers.resolution).square()
    constant = powers.signal + powers.noise <= floor * powers.level
    noiseless = powers.noise <= floor * (powers.signal.abs() + powers.level)
    ratio = torch.where(noiseless, torch.inf, powers.signal / powers.noise)
    undefined = constant | (noiseless & (powers.signal <= 0)) | (powers.weight == 0)
    broken = powers.signal.isnan() | powers.noise.isnan()
    return torch.where(undefined | broken, torch.nan, ratio)


def ceiling_of(halves: HalfSplits) -> Float[Tensor, " N"]:
    """CCmax of :class:`HalfSplits`: 1 for single trials only, NaN without data or without a reliable stimulus."""
    value = halves.ceiling / torch.where(halves.weight > 0, halves.weight, torch.nan)
    return torch.where(halves.repeats == 1, 1.0, value)


SIGNAL_POWER = Measure((Powers.of,), pooled_power, of_responses=True)
NOISE_POWER = Measure((Powers.of,), pooled_noise, of_responses=True)
SNR = Measure((Powers.of,), ratio_of, of_responses=True)


def ccmax_measure(ccmax_iters: int = 126) -> Measure:
    """Build the statistics and formula of :func:`ccmax`, for streaming.

    Examples
    --------
    >>> ccmax_measure(10).compute.__name__
    'ceiling_of'
    """
    ccmax_iters = check_integer("ccmax_iters", ccmax_iters)
    return Measure((functools.partial(HalfSplits.of, max_splits=ccmax_iters),), ceiling_of, of_responses=True)


def signal_power(responses: Recorded, mask: Mask | None = None, reduction: str = "mean") -> Score:
    r"""Variance over time of the part of the response that repeats, averaged over stimuli by their length.

    For each stimulus, with :math:`TP` the mean variance of single repeats and :math:`\bar y` the PSTH,

    .. math:: SP = \frac{R\,\mathrm{var}(\bar y) - TP}{R - 1},

    which is the mean covariance between two different repeats. Where a repeat is missing in part, each covariance is
    taken over the bins that both repeats have, and they are averaged with their degrees of freedom as weights.

    Parameters
    ----------
    responses : Tensor or dict
        ``(B, N, R, T)`` single repeats, NaN where missing; or a batch, as for :func:`~deepSTRF.metrics.corrcoef`.
    mask : Tensor, optional
        Bool, broadcastable to ``responses``; replaces the not-NaN mask. A NaN that it marks as valid makes the neuron
        NaN.
    reduction : {'mean', 'sum', 'none'}
        Over the defined neurons; ``'none'`` gives ``(N,)``.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar, in the squared unit of the responses; can be negative by chance. Stimuli with fewer than
        two repeats or two bins do not count; a neuron without any other is NaN.

    Raises
    ------
    ValueError
        For an unknown reduction, or shapes that do not fit.
    TypeError
        For a mask that is not bool.

    Examples
    --------
    >>> import torch
    >>> responses = torch.tensor([[[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]]])
    >>> signal_power(responses), noise_power(responses), snr(responses)
    (tensor(1.), tensor(0.), tensor(inf))
    """
    return score(SIGNAL_POWER, responses, mask=mask, reduction=reduction)


def noise_power(responses: Recorded, mask: Mask | None = None, reduction: str = "mean") -> Score:
    """Variance over time of the part that differs between repeats: total power minus signal power.

    Arguments and errors are those of :func:`signal_power`.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar; 0 for identical repeats, NaN where :func:`signal_power` is. Where a repeat is missing in
        part, it is half the variance of the difference between two repeats over the bins that both have.

    Examples
    --------
    >>> import torch
    >>> noise_power(torch.tensor([[[[0.0, 2.0], [2.0, 0.0]]]]))
    tensor(4.)
    """
    return score(NOISE_POWER, responses, mask=mask, reduction=reduction)


def snr(responses: Recorded, mask: Mask | None = None, reduction: str = "mean") -> Score:
    """Signal power over noise power; arguments and errors are those of :func:`signal_power`.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar. ``+inf`` where the noise power is not positive and the signal power is; NaN for a constant
        response and for a neuron without repeats.

    Examples
    --------
    >>> import torch
    >>> snr(torch.tensor([[[[0.0, 2.0, 4.0], [1.0, 2.0, 6.0]], [[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]]]]), reduction="none")
    tensor([10., nan])
    """
    return score(SNR, responses, mask=mask, reduction=reduction)


def ccmax(responses: Recorded, mask: Mask | None = None, reduction: str = "mean", ccmax_iters: int = 126) -> Score:
    r"""Highest correlation with the PSTH that any model could reach, from correlating halves of the repeats.

    Per stimulus, with :math:`\rho` the mean correlation between the PSTHs of two halves of the repeats,
    :math:`CC_{max} = \sqrt{2\rho / (1 + \rho)}`; averaged over stimuli by their length.

    Parameters
    ----------
    responses, mask, reduction
        As in :func:`signal_power`. The last of an odd number of repeats is left out.
    ccmax_iters : int
        All ways to cut the repeats into halves are used if there are at most so many, otherwise that many random ones
        from a seed that depends on the number of repeats only.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar. A split with a silent half does not count, nor does a stimulus with :math:`\rho \le 0`. A
        neuron with single trials only has 1 (nothing says otherwise), one without data or without a stimulus that
        counts is NaN.

    Raises
    ------
    ValueError, TypeError
        As in :func:`signal_power`, and for ``ccmax_iters`` that is not a positive integer.

    Examples
    --------
    >>> import torch
    >>> ccmax(torch.tensor([[[[0.0, 2.0, 1.0], [1.0, 3.0, 2.0]]]]))
    tensor(1.)
    """
    return score(ccmax_measure(ccmax_iters), responses, mask=mask, reduction=reduction)


def compute_CCmax(responses: Num[Tensor, "B R T"], max_iters: int = 126) -> Float[Tensor, " B"]:
    """Half-split ceiling of each ``(R, T)`` response by itself, as :func:`ccmax` for one stimulus.

    Parameters
    ----------
    responses : Tensor
        ``(B, R, T)`` repeats, NaN where missing.
    max_iters : int
        Most half-splits to use.

    Returns
    -------
    Tensor
        ``(B,)``; 1 for a single valid repeat, NaN without data or where the halves do not correlate positively.

    Raises
    ------
    ValueError
        If ``responses`` has not the shape (B, R, T).

    Examples
    --------
    >>> import torch
    >>> compute_CCmax(torch.tensor([[[0.0, 2.0, 1.0], [1.0, 3.0, 2.0]], [[1.0, 0.0, 2.0], [torch.nan] * 3]]))
    tensor([1., 1.])
    """
    _check_repeats(responses)
    return score(ccmax_measure(max_iters), responses[None], mask=None, reduction="none")


@torch.no_grad()
def compute_TTRC(responses: Num[Tensor, "B R T"]) -> Float[Tensor, " B"]:
    """Trial-to-trial response correlation: mean Pearson correlation over all pairs of repeats.

    Parameters
    ----------
    responses : Tensor
        ``(B, R, T)`` repeats, NaN where missing; each pair is correlated over the bins that both have.

    Returns
    -------
    Tensor
        ``(B,)``; 1 for a single valid repeat. Pairs with a constant repeat do not count; NaN where no pair does.

    Raises
    ------
    ValueError
        If ``responses`` is not (B, R, T).

    Examples
    --------
    >>> import torch
    >>> compute_TTRC(torch.tensor([[[0.0, 2.0, 1.0], [0.0, 2.0, 1.0]], [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]]))
    tensor([ 1., -1.])
    """
    _check_repeats(responses)
    valid = responses == responses
    data = torch.where(valid, responses, 0).to(torch.float64)
    weight = valid.to(torch.float64)
    # a common origin near the data, so that an offset costs no digits
    origin = data.sum((-2, -1), keepdim=True) / weight.sum((-2, -1), keepdim=True).clamp(min=1)
    data = (data - origin) * weight
    count = weight @ weight.transpose(-1, -2)
    sums = data @ weight.transpose(-1, -2)  # of the row's repeat over the bins shared with the column's
    mean = sums / count.clamp(min=1)
    cross = data @ data.transpose(-1, -2) - mean * sums.transpose(-1, -2)
    square = data.square() @ weight.transpose(-1, -2) - mean * sums
    level = count * (mean + origin).square() + square.diagonal(dim1=-2, dim2=-1)[..., None]
    epsilon = torch.finfo(responses.dtype).eps if responses.is_floating_point() else 0.0
    varies = (count >= 2) & (square > (4 * epsilon) ** 2 * level)
    counts = varies & varies.transpose(-1, -2)
    counts &= ~torch.eye(responses.shape[1], dtype=torch.bool, device=responses.device)
    scale = torch.where(counts, square, 1.0).sqrt()
    rho = torch.where(counts, cross / (scale * scale.transpose(-1, -2)), 0.0).clamp(-1.0, 1.0)
    value = rho.sum((-2, -1)) / counts.sum((-2, -1))
    single = valid.any(-1).sum(-1) == 1
    return torch.where(single, 1.0, value).to(result_dtype(responses))


def _check_repeats(responses: Tensor) -> None:
    check_real("responses", responses)
    if responses.ndim != 3:
        raise ValueError(f"responses must have the shape (B, R, T), got {tuple(responses.shape)}")
