"""How much of a response each group of stimulus features explains alone, and how much they share: banded ridge.

References
----------
- Nunez-Elizalde, A. O., Huth, A. G. & Gallant, J. L. (2019). Voxelwise encoding models with non-spherical
  multivariate normal priors. NeuroImage 197, 482–492. doi:10.1016/j.neuroimage.2019.04.012
- Dupré la Tour, T., Eickenberg, M., Nunez-Elizalde, A. O. & Gallant, J. L. (2022). Feature-space selection with
  banded ridge regression. NeuroImage 264, 119728. doi:10.1016/j.neuroimage.2022.119728
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from deepSTRF.checks import check_integer, check_list, describe_type
from deepSTRF.metrics import fve
from deepSTRF.models.regression.banded import BandedFit, predict_trial, solve_banded_ridge
from deepSTRF.models.regression.moments import Trial
from deepSTRF.modes import cpu_threads

__all__ = ["BandedRidge", "VariancePartition", "banded_ridge", "variance_partitioning"]

Features = Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True)
class BandedRidge:
    """A linear model with one penalty per group of features, see :func:`banded_ridge`.

    Attributes
    ----------
    kernels : dict of str to Tensor, (N, F, n_lags)
        Kernel of each group, in units of the response per unit of the feature; the last lag is the current bin.
    penalties : dict of str to Tensor, (N,)
        Chosen penalty of each group; NaN for a neuron that could not be fitted.
    """

    kernels: dict[str, Tensor]
    penalties: dict[str, Tensor]
    _fit: BandedFit

    def predict(self, features: Features) -> list[Float[Tensor, "N T"]]:
        """Predicted responses to stimuli, given by the same groups of features."""
        if list(features) != list(self.kernels):
            raise ValueError(f"features must have the groups {list(self.kernels)}, in this order, got {list(features)}")
        sizes = [(kernel.shape[1], kernel.shape[2]) for kernel in self.kernels.values()]
        stims, of_group = _joined(features)
        if of_group.bincount().tolist() != [n for n, _ in sizes]:
            raise ValueError(
                f"expected {[n for n, _ in sizes]} features in the groups, got {of_group.bincount().tolist()}"
            )
        return [predict_trial(self._fit, stim, sizes[0][1]) for stim in stims]


@dataclass(frozen=True)
class VariancePartition:
    """Explained variance and its parts, see :func:`variance_partitioning`; each ``(N,)``, NaN where undefined.

    Attributes
    ----------
    total : Tensor
        Fraction of variance explained (out of fold) by all groups together.
    unique : dict of str to Tensor
        What is lost without this group.
    shared : Tensor
        What is left of the total: explained by more than one group.
    alone : dict of str to Tensor
        Fraction of variance explained by this group by itself.
    """

    total: Tensor
    unique: dict[str, Tensor]
    shared: Tensor
    alone: dict[str, Tensor]


def banded_ridge(
    features: Features, responses: Sequence[Tensor], n_lags: int = 1, *, folds: int = 5, threads: int = 1
) -> BandedRidge:
    r"""Fit a linear model with one L2 penalty for each group of features (Nunez-Elizalde et al., 2019).

    For every neuron, over the n bins at which it has data,

    .. math:: \min_{w, b} \frac{1}{n} \sum_t \Big(y_t - b - \sum_g w_g \cdot x_{g,t}\Big)^2 + \sum_g \lambda_g |w_g|^2

    The penalties are those with the least squared error on held-out stimuli (blocks of time for one or two stimuli), of
    a fixed grid for two groups, and of random sets for more (Dupré la Tour et al., 2022). A group that does
    not help gets a large penalty.

    Parameters
    ----------
    features : dict of str to sequence of Tensor, (F, T)
        For each group, the features of every stimulus, such as a spectrogram, or running speed as ``(1, T)``, in any
        unit.
    responses : sequence of Tensor, (N, R, T) or (N, T)
        Responses to every stimulus, NaN where missing; repeats are averaged.
    n_lags : int
        Length of the window in bins, the current one and those before.
    folds : int
        Number of parts that are held out in turn to choose penalties.
    threads : int
        CPU threads, see :func:`~deepSTRF.models.fit_ridge`.

    Returns
    -------
    BandedRidge
        A neuron without variation, or with data in one part only, is predicted by its mean and has NaN penalties.

    Raises
    ------
    TypeError
        If the features are not a dict of lists of tensors, or the responses not a list of tensors.
    ValueError
        If the shapes do not fit, or features are not finite.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import banded_ridge
    >>> sounds = [torch.randn(8, 300) for _ in range(6)]
    >>> speed = [torch.randn(1, 300) for _ in range(6)]
    >>> responses = [2 * sound[:1] + torch.randn(1, 300) for sound in sounds]
    >>> model = banded_ridge({"sound": sounds, "speed": speed}, responses, n_lags=3)
    >>> model.kernels["sound"].shape, bool(model.penalties["speed"] > model.penalties["sound"])
    (torch.Size([1, 8, 3]), True)
    """
    n_lags, folds = check_integer("n_lags", n_lags), check_integer("folds", folds, least=2)
    threads = check_integer("threads", threads, least=1)
    trials, of_group = _trials(features, responses)
    with cpu_threads(threads):
        fit = solve_banded_ridge(trials, of_group, n_lags, folds)
    kernels = fit.kernels.view(n_lags, len(of_group), -1).permute(2, 1, 0).flip(2)
    names = list(features)
    return BandedRidge(
        {name: kernels[:, of_group == g] for g, name in enumerate(names)},
        {name: fit.penalties[g] for g, name in enumerate(names)},
        fit,
    )


def variance_partitioning(
    features: Features, responses: Sequence[Tensor], n_lags: int = 1, *, folds: int = 5, threads: int = 1
) -> VariancePartition:
    """Divide the explained variance into what each group of features explains uniquely and what they share.

    Models with all groups, without each, and with each alone are fitted by :func:`banded_ridge` and scored on stimuli
    that were held out, also from the choice of penalties. Noise of the estimates can make small parts negative.

    Parameters
    ----------
    features, responses, n_lags
        As in :func:`banded_ridge`; two or more groups, and two or more stimuli.
    folds : int
        Number of parts of the stimuli that are predicted in turn by models fitted to the others.
    threads : int
        CPU threads, see :func:`~deepSTRF.models.fit_ridge`.

    Returns
    -------
    VariancePartition
        In fractions of the variance of the PSTH, see :func:`~deepSTRF.metrics.fve`.

    Raises
    ------
    TypeError
        As :func:`banded_ridge`.
    ValueError
        As :func:`banded_ridge`, and for a single group or stimulus.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import variance_partitioning
    >>> generator = torch.Generator().manual_seed(0)
    >>> common, own, other = torch.randn(3, 10, 1, 400, generator=generator)
    >>> noise = torch.randn(10, 1, 400, generator=generator)
    >>> groups = {"a": list(torch.cat([common, own], 1)), "b": list(torch.cat([common, other], 1))}
    >>> parts = variance_partitioning(groups, list(common + own + noise))
    >>> parts.unique["a"].round(decimals=1), parts.shared.round(decimals=1)
    (tensor([0.3000], dtype=torch.float64), tensor([0.3000], dtype=torch.float64))
    """
    n_lags, folds = check_integer("n_lags", n_lags), check_integer("folds", folds, least=2)
    threads = check_integer("threads", threads, least=1)
    trials, of_group = _trials(features, responses)
    names = tuple(features)
    if len(names) < 2:
        raise ValueError(f"features must have two groups or more to divide variance between, got {list(names)}")
    if len(trials) < 2:
        raise ValueError("there must be two stimuli or more, to hold some out; cut a long one into pieces")
    every = frozenset(range(len(names)))
    sets = {every, *(every - {g} for g in every), *(frozenset({g}) for g in every)}
    with cpu_threads(threads):
        scores = {some: _score(trials, of_group, some, n_lags, min(folds, len(trials))) for some in sets}
    total = scores[every]
    unique = {name: total - scores[every - {g}] for g, name in enumerate(names)}
    alone = {name: scores[frozenset({g})] for g, name in enumerate(names)}
    return VariancePartition(total, unique, total - torch.stack(list(unique.values())).sum(0), alone)


def _score(
    trials: list[Trial], of_group: Tensor, groups: frozenset[int], n_lags: int, folds: int
) -> Float[Tensor, " N"]:
    """Fraction of variance that some groups explain of stimuli that they were not fitted to."""
    kept = torch.isin(of_group, torch.tensor(sorted(groups)))
    _, renumbered = of_group[kept].unique(return_inverse=True)
    some = [Trial(trial.stim[kept], trial.psth) for trial in trials]
    predicted: dict[int, Tensor] = {}
    for first in range(folds):
        fit = solve_banded_ridge([t for i, t in enumerate(some) if i % folds != first], renumbered, n_lags, folds)
        predicted |= {i: predict_trial(fit, some[i].stim, n_lags) for i in range(first, len(some), folds)}
    pred = pad_sequence([predicted[i].T for i in range(len(some))], batch_first=True)
    psth = pad_sequence([trial.psth.double().T for trial in some], batch_first=True, padding_value=torch.nan)
    return fve(pred.mT[:, :, None], psth.mT[:, :, None], reduction="none")


def _trials(features: Features, responses: Sequence[Tensor]) -> tuple[list[Trial], Tensor]:
    """Stimuli with the features of all groups and averaged responses, and the group of each feature."""
    stims, of_group = _joined(features)
    check_list("responses", responses, "tensors, one per stimulus")
    if len(responses) != len(stims):
        raise ValueError(f"responses must have one entry for each of {len(stims)} stimuli, got {len(responses)}")
    trials = []
    for index, (stim, response) in enumerate(zip(stims, responses, strict=True)):
        if not isinstance(response, Tensor) or response.is_complex():
            raise TypeError(f"responses[{index}] must be a tensor of real numbers, got {describe_type(response)}")
        if response.ndim not in (2, 3) or response.shape[-1] != stim.shape[1] or bool(response.isinf().any()):
            raise ValueError(
                f"responses[{index}] must be finite or NaN, of shape (N, R, {stim.shape[1]}) or (N, {stim.shape[1]}) "
                f"as its features have {stim.shape[1]} bins, got the shape {tuple(response.shape)}"
            )
        psth = response.detach().cpu().double()
        trials.append(Trial(stim, psth.nanmean(1) if psth.ndim == 3 else psth))
        if len(trials[-1].psth) != len(trials[0].psth):
            raise ValueError(f"responses[{index}] must have {len(trials[0].psth)} neurons, got {len(trials[-1].psth)}")
    return trials, of_group


def _joined(features: Features) -> tuple[list[Tensor], Tensor]:
    """Features of all groups, (F, T) for each stimulus, and the group of each feature."""
    if not isinstance(features, Mapping):
        raise TypeError(f"features must be a dict of group names and lists of tensors, got {describe_type(features)}")
    if not features:
        raise ValueError("features must have a group of features")
    for name, stims in features.items():
        check_list(f"features[{name!r}]", stims, "tensors (F, T), one per stimulus")
        for index, stim in enumerate(stims):
            where = f"features[{name!r}][{index}]"
            if not isinstance(stim, Tensor) or stim.is_complex():
                raise TypeError(f"{where} must be a tensor of real numbers, got {describe_type(stim)}")
            if stim.ndim != 2 or stim.numel() == 0 or not bool(stim.isfinite().all()):
                raise ValueError(f"{where} must be finite and of shape (F, T), got the shape {tuple(stim.shape)}")
            if len(stim) != len(stims[0]):
                raise ValueError(f"{where} must have {len(stims[0])} features as the first stimulus, got {len(stim)}")
    lengths = {name: [stim.shape[1] for stim in stims] for name, stims in features.items()}
    first = next(iter(lengths))
    if not lengths[first]:
        raise ValueError("there are no stimuli in features")
    for name, of_group in lengths.items():
        if of_group != lengths[first]:
            raise ValueError(
                f"the groups {first!r} and {name!r} differ in their stimuli: {lengths[first]} and {of_group} bins"
            )
    joined = [
        torch.cat([stim.detach().cpu().double() for stim in same]) for same in zip(*features.values(), strict=True)
    ]
    sizes = torch.tensor([len(stims[0]) for stims in features.values()])
    return joined, torch.arange(len(sizes)).repeat_interleave(sizes)
