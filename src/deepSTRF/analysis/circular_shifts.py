"""Is a prediction better than chance? A test against the responses shifted in time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deepSTRF.analysis.comparison import CORRECTIONS, adjust_p_values
from deepSTRF.checks import check_choice, check_integer
from deepSTRF.metrics._arguments import Pred, Responses, check_pair

__all__ = ["ShiftTest", "shift_test"]


@dataclass(frozen=True)
class ShiftTest:
    """Significance of predictions, see :func:`shift_test`; each ``(N,)``, NaN where undefined.

    Attributes
    ----------
    scores : ndarray
        Correlation of prediction and PSTH.
    chance, chance_std : ndarray
        Mean and standard deviation of the correlation over the shifts.
    p_values, adjusted_p_values : ndarray
        One-sided; as they are, and corrected for the number of neurons.
    n_shifts : ndarray of int
        Number of shifts; no p-value is below ``1 / (n_shifts + 1)``.
    """

    scores: np.ndarray
    chance: np.ndarray
    chance_std: np.ndarray
    p_values: np.ndarray
    adjusted_p_values: np.ndarray
    n_shifts: np.ndarray


def shift_test(pred: Pred, responses: Responses, *, correction: str = "holm", min_shift: int = 1) -> ShiftTest:
    r"""Test whether each neuron is predicted better than by chance.

    The stimuli are laid end to end, and the PSTH :math:`\bar y` is shifted in a circle against the prediction
    :math:`\hat y`, which keeps the autocorrelation of both. With :math:`c(s) = \mathrm{corr}(\hat y_t, \bar y_{t+s})`,

    .. math:: p = \frac{1 + \#\{s : c(s) \ge c(0)\}}{1 + \#\{s\}}

    over all shifts. Dividing by a noise ceiling changes nothing in it: the p-value is also
    that of the normalised correlation. Under the null hypothesis both are stationary: what is shared by all stimuli,
    such as a response to their onset, counts as predicted.

    Parameters
    ----------
    pred : Tensor, (B, N, 1, T)
        Predictions for data that were not trained on.
    responses : Tensor, (B, N, R, T)
        Single repeats, NaN where missing; bins without data are cut out.
    correction : {'holm', 'bh', 'none'}
        For the number of neurons, see :func:`~deepSTRF.analysis.adjust_p_values`.
    min_shift : int
        Least shift in bins, to both sides. With 1, all shifts, the test is exact. Leaving out the shifts next to 0
        finds neurons that are predicted a few bins early or late, but small p-values then come out too small where
        responses are slow.

    Returns
    -------
    ShiftTest
        A neuron with a constant prediction or PSTH, or without room for a shift, is NaN.

    Raises
    ------
    TypeError
        If `pred` or `responses` are not tensors of real numbers, or `min_shift` is not an integer.
    ValueError
        For shapes that do not fit, an unknown correction, or a `min_shift` that is not positive.

    References
    ----------
    Harris, K. D. (2021). Nonsense correlations in neuroscience. bioRxiv.
    doi:10.1101/2020.11.29.402719

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import shift_test
    >>> generator = torch.Generator().manual_seed(0)
    >>> responses = torch.randn(2, 2, 4, 300, generator=generator)
    >>> pred = responses.mean(2, keepdim=True) + torch.randn(2, 2, 1, 300, generator=generator)
    >>> pred[:, 1] = torch.randn(2, 1, 300, generator=generator)
    >>> (shift_test(pred, responses).adjusted_p_values < 0.05).tolist()
    [True, False]
    """
    check_pair(pred, responses, None, "responses")
    check_choice("correction", correction, CORRECTIONS)
    least = check_integer("min_shift", min_shift)
    psth = responses.double().nanmean(2).transpose(0, 1).flatten(1).cpu().numpy()  # (N, B T), NaN without data
    predicted = pred.detach().double()[:, :, 0].transpose(0, 1).flatten(1).cpu().numpy()
    rows = [_test(own, observed, least) for own, observed in zip(predicted, psth, strict=True)]
    columns = np.array(rows, dtype=float).reshape(len(rows), 5).T
    scores, chance, chance_std, p_values, n_shifts = columns
    return ShiftTest(scores, chance, chance_std, p_values, adjust_p_values(p_values, correction), n_shifts.astype(int))


def _test(pred: np.ndarray, psth: np.ndarray, least: int) -> tuple[float, float, float, float, int]:
    """Score, chance and its standard deviation, p-value and number of shifts of one neuron."""
    there = ~np.isnan(psth)
    pred, psth = pred[there], psth[there]
    n = len(psth)
    n_shifts = max(0, n - 2 * least + 1)
    if n < 2:
        return math.nan, math.nan, math.nan, math.nan, 0
    correlations = _circular_correlations(pred, psth)
    score = float(correlations[0])
    if n_shifts == 0 or math.isnan(score):
        return score, math.nan, math.nan, math.nan, n_shifts
    others = correlations[least : n - least + 1]
    p_value = (1 + int((others >= score - 1e-12).sum())) / (1 + n_shifts)
    return score, float(others.mean()), float(others.std()), p_value, n_shifts


def _circular_correlations(pred: np.ndarray, psth: np.ndarray) -> np.ndarray:
    """Pearson correlation for every circular shift, ``(n,)``; NaN if one of them is constant."""
    # A spread of less is the rounding of a constant.
    sides = []
    for values in (pred, psth):
        centred = values - values.mean()
        norm = np.linalg.norm(centred)
        if not norm > 1e-6 * np.linalg.norm(values):
            return np.full(len(values), math.nan)
        sides.append(np.fft.rfft(centred / norm))
    return np.fft.irfft(sides[0].conj() * sides[1], n=len(pred))
