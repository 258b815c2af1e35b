"""Coherence between prediction and response: correlation as a function of modulation frequency."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deepSTRF.checks import check_choice, check_positive
from deepSTRF.metrics._arguments import REDUCTIONS, Pred, Score, check_pair, reduce_neurons, result_dtype

SEGMENT_BINS = 256


@torch.no_grad()
def coherence(pred: Pred, gt: Pred, dt_ms: float, reduction: str = "mean") -> Score:
    r"""Magnitude-squared coherence, averaged over frequencies and stimuli.

    .. math:: C(f) = \frac{|P_{\hat y y}(f)|^2}{P_{\hat y}(f)\,P_y(f)}

    with Welch's estimate [1]_ of the spectra: Hann windows of 256 bins (or the whole response, if that is shorter),
    half overlapping. Averaging needs several windows: with one (fewer than 384 bins) the coherence is 1 whatever the
    prediction, so use longer stimuli or another metric.

    Parameters
    ----------
    pred, gt : Tensor
        ``(B, N, 1, T)``, without NaN: cut padding off and average repeats first.
    dt_ms : float
        Bin width in ms.
    reduction : {'mean', 'sum', 'none'}
        Over the defined neurons; ``'none'`` gives ``(N,)``.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar, from 0 to 1. A neuron with a constant response or prediction in a stimulus is NaN.

    Raises
    ------
    ValueError
        For NaN or infinite values, an unknown reduction, shapes that do not fit, more than one repeat, or ``dt_ms``
        that is not positive.

    References
    ----------
    .. [1] Welch, P. (1967). The use of fast Fourier transform for the estimation of power spectra. IEEE Transactions on
       Audio and Electroacoustics 15, 70–73. doi:10.1109/TAU.1967.1161901

    Examples
    --------
    >>> import torch
    >>> response = torch.rand(1, 1, 1, 1000, generator=torch.Generator().manual_seed(0))
    >>> coherence(2 * response + 1, response, dt_ms=5.0)
    tensor(1.)
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_positive("dt_ms", dt_ms)
    check_pair(pred, gt, None, "gt")
    if gt.shape[2] != 1:
        raise ValueError(f"gt must have the shape (B, N, 1, T): average its repeats first, got {tuple(gt.shape)}")
    for name, values in (("pred", pred), ("gt", gt)):
        if not values.isfinite().all():
            raise ValueError(
                f"coherence needs unbroken signals, but {name} contains NaN or infinite values: cut off the padding"
            )
    dtype = result_dtype(pred, gt)
    if pred.numel() == 0:
        raise ValueError(f"coherence needs at least one stimulus, neuron and bin, got pred {tuple(pred.shape)}")
    stimuli = [_of_stimulus(pred[b, :, 0], gt[b, :, 0], dt_ms) for b in range(pred.shape[0])]
    return reduce_neurons(torch.as_tensor(np.mean(stimuli, axis=0), device=pred.device), reduction).to(dtype)


def _of_stimulus(pred: Tensor, gt: Tensor, dt_ms: float) -> np.ndarray:
    """Mean coherence of each neuron, ``(N,)``, for one stimulus."""
    import scipy.signal  # slow to import, so only where it is used

    first, second = (values.cpu().to(torch.float64).numpy() for values in (pred, gt))
    bins = first.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):  # constant signals, set to NaN below
        _, spectrum = scipy.signal.coherence(first, second, fs=1000.0 / dt_ms, nperseg=min(SEGMENT_BINS, bins))
    varies = np.ones(first.shape[0], dtype=bool)
    for signal, original in ((first, pred), (second, gt)):
        epsilon = torch.finfo(original.dtype).eps if original.is_floating_point() else 0.0
        varies &= signal.std(-1) > 4 * epsilon * np.abs(signal.mean(-1))
    return np.where(varies, spectrum.mean(-1), np.nan)
