"""Ridge regression: the linear model that every other one must beat, in closed form."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, check_positive, counted
from deepSTRF.models.audio.linear import Linear
from deepSTRF.models.from_recording import window_bins
from deepSTRF.models.regression.basis import time_basis
from deepSTRF.models.regression.moments import Trial
from deepSTRF.models.regression.ridge import RidgeFit, solve_ridge
from deepSTRF.models.regression.trials import Recording, check_compatible, check_recording, means, read_trials
from deepSTRF.models.video.linear import VideoLinearNonlinear
from deepSTRF.modes import cpu_threads
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["Ridge", "fit_ridge"]

_MOST_FEATURES = 8000  # a decomposition of more takes many minutes and gigabytes
_MOST_IN_BASIS = 12_000  # whose products are summed before they are projected: a gigabyte
_MANY_FEATURES = 4000  # one decomposition for each fold, of about a minute
_IN_SECONDS, _USUAL_BASIS = 2000, 8
_NAMED = 5  # neurons that a warning lists


def _build(
    train: Any,
    val: Any,
    window_ms: float,
    *,
    alphas: float | Sequence[float] | None = None,
    folds: int = 5,
    n_basis: int | None = None,
) -> Any:
    # Its folds leave the validation stimuli for an honest score.
    threads = torch.get_num_threads()
    n_basis = usual_basis(train, window_ms) if n_basis is None else n_basis
    return fit_ridge(train, window_ms=window_ms, alphas=alphas, folds=folds, n_basis=n_basis, threads=threads)


def usual_basis(train: Any, window_ms: float) -> int | None:
    """Raised cosines for kernels with more weights than ridge solves in seconds, as with bins of 1 ms; else None."""
    n_weights = train[0]["stims"].shape[:-1].numel() * window_bins(window_ms, train.dt)
    return _USUAL_BASIS if n_weights > _IN_SECONDS else None


@register_model(
    ModelCard(
        name="ridge",
        summary="Linear STRF in closed form: one L2 penalty per neuron, chosen by held-out error",
        paper="Machens, Wehr & Zador (2004), https://doi.org/10.1523/JNEUROSCI.4445-03.2004",
        stimulus="spectrogram or movie",
    ),
    Recipe(None, _build),
)
class Ridge(Linear):
    """A :class:`~deepSTRF.models.audio.Linear` as :func:`fit_ridge` makes it; the constructor makes an unfitted one."""


def fit_ridge(
    train: Recording,
    val: Recording | None = None,
    window_ms: float = 150.0,
    *,
    alphas: float | Sequence[float] | None = None,
    folds: int = 5,
    jackknife: bool = False,
    n_basis: int | None = None,
    threads: int = 1,
) -> Any:
    r"""Fit receptive fields by ridge regression; each neuron's penalty is the one with the least held-out error.

    For every neuron, over the n training bins at which it has data,

    .. math:: \min_{w, b} \; \frac{1}{n} \sum_t (y_t - b - w \cdot x_t)^2 + \alpha v |w|^2

    where :math:`y` is the response averaged over the repeats there are, :math:`x_t` the stimulus in the window that
    ends at bin t (its mean before the onset), and :math:`v` the mean variance of the elements of x: relative to it, the
    same :math:`\alpha` means the same at any scale of the stimulus. The offset is not penalised.

    The error of a penalty is the sum of squared differences between prediction and averaged response, over `folds`
    parts of the training stimuli, each predicted from the other parts, and over the stimuli of `val` if there are any.
    Unlike a correlation it sees the amplitude: a prediction that is too flat costs. With one or two stimuli, the parts
    are blocks of time with a gap of one window between them. The kernel is then fitted to all of `train`.

    Missing pairs and missing bins do not enter, exactly. Neurons that miss the same ones share their decompositions;
    where every neuron heard something else, the time grows with the number of neurons.

    Parameters
    ----------
    train, val : NeuralDataset
        Items with ``'stims'``, spectrograms (1, F, T) or movies (C, H, W, T), and ``'responses'``, a list of (R, T)
        tensors per neuron; selections of neurons and stimuli are honoured.
    window_ms : float
        Length of the receptive field, rounded to whole bins.
    alphas : float or sequence of float, optional
        Candidates, positive. A single number is used as it is. By default 361 from 1e-5 to 1e4.
    folds : int
        Number of parts of the training stimuli, at least 2; at most one per stimulus.
    jackknife : bool
        Also compute standard errors of the weights, from the kernels that are fitted without one part each [2]_.
    n_basis : int, optional
        Make the kernels of so many raised cosines on a logarithmic axis of lags, as
        :class:`~deepSTRF.models.layers.RaisedCosineSTRF` does [3]_, in the place of one weight per bin: smooth in
        time, and faster. With 8, nothing was lost on NS1 and simulated cells; ``deepstrf fit`` takes so many where
        there would be more than 2000 weights per neuron. The penalty is that of the kernel. A window of less than
        twice as many bins has one weight per bin all the same.
    threads : int
        CPU threads. More help only where as many cores are idle: on a busy machine the decompositions then take many
        times as long, as their threads wait for each other.

    Returns
    -------
    Ridge or VideoLinearNonlinear
        The latter, with the identity as its activation, for movies. In eval mode; its batch normalisation is the
        identity, and before the onset it assumes the mean stimulus of `train`. Plain attributes, not saved with the
        model: ``ridge_alpha``, the chosen penalties (float64, ``(N,)``); ``ridge_at_edge``, True where the best
        candidate lay at an end of the grid (bool, ``(N,)``); ``ridge_n_basis``, the weights per band; with
        `jackknife`, ``ridge_standard_error``, in the shape of ``STRF_weight()``.

        A neuron without training data has zero kernel and offset, one with a constant response has a zero kernel;
        their ``ridge_alpha`` is NaN. A neuron without held-out data gets the median penalty of the others.

    Raises
    ------
    ValueError
        If the data sets are empty or differ in dt, bands or neurons, a stimulus has another shape or is not finite, a
        response is infinite or has another length than its stimulus, a penalty or the window is not positive, the
        stimuli are constant, or no neuron has held-out data.
    TypeError
        If `train` or `val` is not a data set, or an item holds no tensors.

    Warns
    -----
    UserWarning
        If the best candidate of some neurons lies at an end of the grid, with their names. At the upper end, nothing
        linear predicts them better than their mean.

    References
    ----------
    .. [1] Machens, Wehr & Zador (2004), Linearity of cortical receptive fields measured with natural sounds,
       https://doi.org/10.1523/JNEUROSCI.4445-03.2004
    .. [2] Efron & Stein (1981), The jackknife estimate of variance, https://doi.org/10.1214/aos/1176345462
    .. [3] Pillow et al. (2008), Spatio-temporal correlations and visual signalling in a complete neuronal population,
       https://doi.org/10.1038/nature07140

    Examples
    --------
    >>> import torch
    >>> class Recording(list):
    ...     dt = 5.0
    >>> stims = torch.randn(4, 1, 8, 300, generator=torch.Generator().manual_seed(0))
    >>> data = Recording({"stims": x, "responses": [x[:, 3].roll(2, -1), x[:, 5]]} for x in stims)
    >>> model = fit_ridge(data, window_ms=20, alphas=0.01)
    >>> model.STRF_weight().shape, model.ridge_alpha.shape
    (torch.Size([2, 8, 4]), torch.Size([2]))
    >>> strongest = model.STRF_weight()[0].argmax()
    >>> int(strongest) // 4, 3 - int(strongest) % 4  # band 3, two bins ago
    (3, 2)
    """
    candidates, folds = _check_alphas(alphas), check_integer("folds", folds, least=2)
    threads = check_integer("threads", threads, least=1)
    if n_basis is not None:
        check_integer("n_basis", n_basis)
    trials, val_trials, n_lags = read_for_regression(train, val, window_ms, n_basis)
    basis = None if n_basis is None else time_basis(n_basis, n_lags)
    with cpu_threads(threads):
        fit = solve_ridge(trials, val_trials, n_lags, candidates, folds, jackknife, basis)
    _warn_of_edges(fit.at_edge, fit.alphas)
    model: Any = _as_model(fit, means(trials)[0], n_lags, train[0]["stims"].shape[:-1])
    model.ridge_n_basis = n_lags if basis is None else basis.shape[1]
    return model


def read_for_regression(
    train: Recording, val: Recording | None, window_ms: float, n_basis: int | None
) -> tuple[list[Trial], list[Trial], int]:
    """Trials of the training and the validation data, and the number of lags, after a check of all of them."""
    for name, recording in (("train", train), ("val", val)):
        if recording is not None or name == "train":
            check_recording(name, recording)
    n_lags = window_bins(check_positive("window_ms", window_ms), train.dt)
    trials = read_trials(train, "train")
    val_trials = [] if val is None else read_trials(val, "val")
    if val is not None:
        check_compatible(train, trials, val, val_trials)
    n_features = n_lags * len(trials[0].stim)
    in_basis = n_basis is not None and 2 * n_basis <= n_lags
    most = _MOST_IN_BASIS if in_basis else _MOST_FEATURES
    if n_features > most:
        raise ValueError(
            f"{len(trials[0].stim)} bands or pixels in a window of {n_lags} bins are {n_features} weights per neuron; "
            f"ridge solves at most {most}{'' if in_basis else f', and {_MOST_IN_BASIS} with n_basis=8'}. Choose a "
            "shorter window, wider bins, or fewer bands or pixels"
        )
    if n_features > _MANY_FEATURES and not in_basis:
        warnings.warn(
            f"{len(trials[0].stim)} bands or pixels in a window of {n_lags} bins are {n_features} weights per neuron, "
            "which takes ridge minutes; n_basis=8, a shorter window_ms, fewer bands, or wider bins take less",
            stacklevel=3,
        )
    return trials, val_trials, n_lags


def _as_model(
    fit: RidgeFit, stim_mean: Float[Tensor, " F"], n_lags: int, frame: Sequence[int]
) -> Ridge | VideoLinearNonlinear:
    n_neurons, n_channels = len(fit.offsets), frame[0]
    model: Ridge | VideoLinearNonlinear
    if len(frame) == 3:
        shape = tuple(frame[1:])
        model = VideoLinearNonlinear(shape, n_lags, n_neurons, nn.Identity(), in_channels=n_channels).eval()
    else:
        model = Ridge(len(stim_mean), n_lags, n_neurons).eval()

    def fields(columns: Tensor) -> Tensor:  # (d, N), lag first -> (N, C, F, T), current bin last
        return columns.T.reshape(n_neurons, n_lags, n_channels, -1).flip(1).permute(0, 2, 3, 1)

    strf, bn = model.readout.strf, model.readout.bn
    strf.before_onset = stim_mean.float().reshape(n_channels, -1)
    with torch.no_grad():
        strf.kernel.weight.copy_(fields(fit.kernels))  # type: ignore[operator]
        strf.kernel.bias.copy_(fit.offsets)  # type: ignore[operator]
        bn.running_var.fill_(1 - bn.eps)
    model.ridge_alpha, model.ridge_at_edge = fit.alphas, fit.at_edge
    if fit.standard_errors is not None:
        errors = fields(fit.standard_errors)
        model.ridge_standard_error = errors[:, 0] if len(frame) == 2 else errors.unflatten(2, frame[1:])
    return model


def _check_alphas(alphas: float | Sequence[float] | None) -> Tensor | None:
    if alphas is None:
        return None
    try:
        candidates = torch.as_tensor(alphas, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"alphas must be a number or a list of numbers, got {alphas!r}") from error
    if len(candidates) == 0 or not bool((candidates.isfinite() & (candidates > 0)).all()):
        raise ValueError(f"alphas must be positive and finite, got {alphas!r}")
    return candidates.sort().values


def _warn_of_edges(at_edge: Bool[Tensor, " N"], alphas: Float[Tensor, " N"]) -> None:
    neurons = at_edge.nonzero()[:, 0].tolist()
    if not neurons:
        return
    named = ", ".join(f"{n} (alpha {alphas[n]:.2g})" for n in neurons[:_NAMED])
    more = ", ..." if len(neurons) > _NAMED else ""
    warnings.warn(
        f"the best penalty of {len(neurons)} of {counted(len(alphas), 'neuron')} lies at an end of the grid of alphas: "
        "neuron "
        f"{named}{more}. At 1e4 nothing linear predicts a neuron better than its mean; at the end of a grid of your "
        "own, give alphas that go further",
        stacklevel=3,
    )
