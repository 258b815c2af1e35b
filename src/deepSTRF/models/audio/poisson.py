"""A linear-nonlinear model in seconds: convex Poisson regression that starts from a ridge."""

from __future__ import annotations

from typing import Any

import torch

from deepSTRF.checks import check_integer
from deepSTRF.models.audio.linear_nonlinear import LinearNonlinear, inverse_softplus
from deepSTRF.models.audio.ridge import read_for_regression
from deepSTRF.models.regression.basis import time_basis
from deepSTRF.models.regression.poisson import solve_poisson
from deepSTRF.models.regression.ridge import solve_ridge
from deepSTRF.models.regression.trials import Recording, means
from deepSTRF.modes import cpu_threads
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["PoissonLN", "fit_poisson"]

_NO_OFFSET = -30.0  # of the activation: its softplus is 1e-13


def _build(train: Any, val: Any, window_ms: float, *, n_basis: int = 8, folds: int = 5) -> Any:
    # Its folds leave the validation stimuli for an honest score.
    threads = torch.get_num_threads()
    return fit_poisson(train, window_ms=window_ms, n_basis=n_basis, folds=folds, threads=threads)


@register_model(
    ModelCard(
        name="poisson-ln",
        summary="LN model by convex Poisson regression: raised cosines in time, a penalty per neuron from folds",
        paper="Paninski (2004), https://doi.org/10.1088/0954-898X_15_4_002",
    ),
    Recipe(None, _build),
)
class PoissonLN(LinearNonlinear):
    """A :class:`LinearNonlinear` as :func:`fit_poisson` makes it; the constructor makes an unfitted one."""


def fit_poisson(
    train: Recording, window_ms: float = 150.0, *, n_basis: int = 8, folds: int = 5, threads: int = 1
) -> PoissonLN:
    r"""Fit a linear-nonlinear model by Poisson regression, which has a single optimum [1]_.

    For every neuron, over the training bins at which it has data,

    .. math:: \min_{w, b} \; \sum_t \left(\mu_t - y_t \log \mu_t\right) + \frac{\lambda}{2 \bar y} |w|^2, \qquad
       \mu_t = 2 \bar y \, \log\left(1 + e^{(w \cdot x_t + b) / 2 \bar y}\right)

    where :math:`y` is the response averaged over the repeats there are, :math:`\bar y` its mean over time, and
    :math:`x_t` the stimulus in the window that ends at bin t (its mean before the onset). The rectifier is a softplus,
    which turns into an exponential for rates far below the mean, and does not explode far above it. Kernels are made of
    raised cosines in time.

    It begins at the ridge regression of :func:`~deepSTRF.models.fit_ridge`. The penalty :math:`\lambda` is a
    share of the ridge's (0.3, 0.1, 0.03 or 0.01), the one with the highest likelihood over `folds` parts of the
    training stimuli, each predicted from the other parts. The model is then fitted to all of `train`.

    The bins are held as features, in single precision: 4 bytes per bin, band and cosine.

    Parameters
    ----------
    train : NeuralDataset
        Items with ``'stims'``, spectrograms (1, F, T), and ``'responses'``, a list of (R, T) tensors per neuron, not
        negative, in any unit; selections of neurons and stimuli are honoured.
    window_ms : float
        Length of the receptive field, rounded to whole bins.
    n_basis : int
        Raised cosines on a logarithmic axis of lags; a window of fewer bins has one weight per bin.
    folds : int
        Number of parts of the training stimuli, at least 2; at most one per stimulus.
    threads : int
        CPU threads.

    Returns
    -------
    PoissonLN
        In eval mode; before the onset it assumes the mean stimulus of `train`. It can be trained further. A plain
        attribute, not saved with the model: ``ridge_alpha``, the penalties in the unit of the ridge's (float64,
        ``(N,)``). A neuron with a constant response, or without data, has a zero kernel.

    Raises
    ------
    ValueError
        If responses are negative, the stimuli are movies, or as for :func:`~deepSTRF.models.fit_ridge`.
    TypeError
        If `train` is not a data set, or an item holds no tensors.

    References
    ----------
    .. [1] Paninski (2004), Maximum likelihood estimation of cascade point-process neural encoding models,
       https://doi.org/10.1088/0954-898X_15_4_002

    Examples
    --------
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> data = SimulatedDataset(n_neurons=3, n_stims=6, duration_s=2.0, n_bands=8)
    >>> model = fit_poisson(data, window_ms=100)
    >>> model.STRF_weight().shape
    torch.Size([3, 8, 20])
    """
    n_basis, folds = check_integer("n_basis", n_basis), check_integer("folds", folds, least=2)
    threads = check_integer("threads", threads, least=1)
    trials, _, n_lags = read_for_regression(train, None, window_ms, n_basis)
    if train[0]["stims"].ndim != 3:
        raise ValueError("poisson-ln takes spectrograms (1, F, T), got movies; ridge and video-ln take these")
    negative = torch.stack([(trial.psth < 0).any(1) for trial in trials]).any(0).nonzero()[:, 0].tolist()
    if negative:
        raise ValueError(
            f"a Poisson model takes responses that are not negative; those of {len(negative)} of "
            f"{len(trials[0].psth)} neurons are, first of neuron {negative[0]}. Take linear-nonlinear or ridge"
        )
    basis = time_basis(n_basis, n_lags)
    with cpu_threads(threads):
        fit = solve_poisson(trials, solve_ridge(trials, [], n_lags, None, folds, False, basis), basis, folds)
    n_bands = len(trials[0].stim)
    model = PoissonLN(n_bands, n_lags, len(fit.offsets)).eval()
    readout = model.readout
    strf, bn, activation = readout.strf, readout.bn, readout.activation
    strf.before_onset = means(trials)[0].float()[None]
    with torch.no_grad():
        kernels = fit.kernels.T.view(-1, 1, n_lags, n_bands).flip(2).transpose(2, 3)  # the current bin last
        strf.kernel.weight.copy_(kernels)  # type: ignore[operator]
        strf.kernel.bias.copy_(fit.offsets)  # type: ignore[operator]
        bn.running_var.fill_(1 - bn.eps)
        activation._raw_beta.copy_(inverse_softplus(1 / fit.softness))  # type: ignore[operator]
        activation._raw_b.fill_(_NO_OFFSET)  # type: ignore[operator]
    readout.freeze_normalization()
    model.ridge_alpha = fit.alphas
    return model
