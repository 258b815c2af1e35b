"""Sums over the bins of a recording, from which ridge regression is solved without ever holding its design matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["Decomposition", "Moments", "Segment", "Trial", "group_neurons"]

_BLOCK = 16384  # bins at a time: no copy of a long recording is made, and the products fit the cache
_ROWS = 256  # of a product of the size of the Gram matrix at a time

# Variances below this part of the mean square are rounding noise of a constant.
_CONSTANT = 1e-12

_SAME = 1e-7  # relative difference of two eigenvalues that are taken as one, which costs its square


@dataclass(eq=False)
class Trial:
    """One stimulus ``(F, T)``, and the responses ``(N, T)`` averaged over repeats, NaN where a neuron has no data."""

    stim: Float[Tensor, "F T"]
    psth: Float[Tensor, "N T"]


@dataclass(frozen=True)
class Segment:
    """Bins ``start`` to ``stop`` of a trial. Their windows see the bins before them, too."""

    trial: Trial
    start: int
    stop: int

    @property
    def psth(self) -> Float[Tensor, "N t"]:
        """The responses in these bins."""
        return self.trial.psth[:, self.start : self.stop]


class Moments:
    """Sums over the bins of some segments, for d = n_lags · F features per bin (lag first), in float64.

    They are additive: what a model trained without a fold needs is the sum over the other folds. Stimuli and responses
    enter as deviations from `stim_mean` and `psth_mean`, so that nothing is lost to a large mean. A window that reaches
    before the onset sees the mean stimulus there.

    Parameters
    ----------
    n_lags : int
        Length of the window in bins.
    stim_mean : Tensor, (F,)
        Mean of each feature.
    psth_mean : Tensor, (N,)
        Mean response of each neuron.
    segments : iterable of Segment
        The bins to sum over.
    """

    def __init__(
        self,
        n_lags: int,
        stim_mean: Float[Tensor, " F"],
        psth_mean: Float[Tensor, " N"],
        segments: Iterable[Segment],
    ) -> None:
        self.n_lags, self.stim_mean, self.psth_mean = n_lags, stim_mean, psth_mean
        self.n_features = len(stim_mean)
        # Per segment: the current bin times the window (F, d), and the window (d,), summed over its bins.
        self._of_segment: dict[Segment, tuple[Tensor, Tensor]] = {}
        self.xy = torch.zeros(n_lags * self.n_features, len(psth_mean), dtype=torch.float64)
        self.y, self.yy, self.count = (torch.zeros(len(psth_mean), dtype=torch.float64) for _ in range(3))
        for segment in segments:
            self._of_segment[segment] = self._add(segment)

    def _add(self, segment: Segment) -> tuple[Tensor, Tensor]:
        first_row = torch.zeros(self.n_features, self.n_lags, self.n_features, dtype=torch.float64)
        total = torch.zeros(self.n_lags, self.n_features, dtype=torch.float64)
        xy = self.xy.view(self.n_lags, self.n_features, -1)
        for start in range(segment.start, segment.stop, _BLOCK):
            stop = min(start + _BLOCK, segment.stop)
            y = segment.trial.psth[:, start:stop].to(torch.float64) - self.psth_mean[:, None]
            missing = y.isnan()
            y[missing] = 0.0
            self.count += stop - start - missing.sum(1)
            self.y += y.sum(1)
            self.yy += y.square().sum(1)
            stim = self._deviations(segment.trial, start - self.n_lags + 1, stop)
            present = stim[:, self.n_lags - 1 :]
            for lag in range(self.n_lags):
                past = stim[:, self.n_lags - 1 - lag : stim.shape[1] - lag]
                first_row[:, lag] += present @ past.T
                total[lag] += past.sum(1)
                xy[lag] += past @ y.T
        return first_row.flatten(1), total.flatten()

    def _deviations(self, trial: Trial, start: int, stop: int) -> Float[Tensor, "F t"]:
        inside = trial.stim[:, max(start, 0) : stop].to(torch.float64) - self.stim_mean[:, None]
        return functional.pad(inside, (max(-start, 0), 0))

    def _windows(self, trial: Trial, bins: Tensor) -> Float[Tensor, "b d"]:
        """The window that ends at each of some bins, current bin first."""
        at = bins[:, None] - torch.arange(self.n_lags)
        seen = trial.stim[:, at.clamp(min=0)].to(torch.float64) - self.stim_mean[:, None, None]
        seen[:, at < 0] = 0.0
        return seen.permute(1, 2, 0).flatten(1)

    def features_of(
        self, neuron: int, others: Sequence[Moments] = ()
    ) -> tuple[Float[Tensor, "d d"], Float[Tensor, " d"]]:
        """Sum of the products of all pairs of features, and of the features, where a neuron has data, also in `others`.

        Shifting both features one bin into the past moves the bins that the sum runs over by one:
        G[i, j] = G[i - 1, j - 1] + (product just before the segment) - (product in its last bin). So only the first row
        of blocks is a sum over all bins.
        """
        d = self.n_lags * self.n_features
        gram = torch.zeros(self.n_lags, self.n_features, self.n_lags, self.n_features, dtype=torch.float64)
        total = torch.zeros(d, dtype=torch.float64)
        of_segment = {segment: sums for part in (self, *others) for segment, sums in part._of_segment.items()}
        heard = [segment for segment in of_segment if not bool(segment.psth[neuron].isnan().all())]
        for segment in heard:
            first_row, sums = of_segment[segment]
            gram[0] += first_row.view_as(gram[0])
            total += sums
        ends = [self._windows(one.trial, torch.tensor([one.start - 1, one.stop - 1])) for one in heard]
        before, last = torch.stack(ends, 1) if ends else torch.zeros(2, 0, d, dtype=torch.float64)
        moved = (before.T @ before).addmm_(last.T, last, alpha=-1).view_as(gram)
        for lag in range(1, self.n_lags):
            gram[lag, :, lag:] = gram[lag - 1, :, lag - 1 : -1] + moved[lag - 1, :, lag - 1 : -1]
        del moved
        flat = gram.view(d, d)
        for first in range(self.n_features, d, self.n_features):  # below the blocks of the diagonal: the transpose
            flat[first : first + self.n_features, :first] = flat[:first, first : first + self.n_features].T
        for segment in heard:
            missing = segment.psth[neuron].isnan().nonzero()[:, 0] + segment.start
            for bins in missing.split(max(1, _BLOCK // self.n_lags)) if len(missing) else ():
                rows = self._windows(segment.trial, bins)
                flat.addmm_(rows.T, rows, alpha=-1)
                total -= rows.sum(0)
        return flat, total

    def in_lags(self, kernels: Float[Tensor, "d n"]) -> Float[Tensor, "d n"]:
        """Kernels with one weight per lag and feature, which these are unless there is a basis."""
        return kernels


def group_neurons(trials: Sequence[Trial]) -> list[Tensor]:
    """Neurons that have data at exactly the same bins; each group shares one decomposition."""
    digests = [hashlib.blake2b() for _ in range(len(trials[0].psth))]
    for trial in trials:
        for digest, row in zip(digests, trial.psth.isnan().numpy(), strict=True):
            digest.update(row.tobytes())
    groups: dict[bytes, list[int]] = {}
    for neuron, digest in enumerate(digests):
        groups.setdefault(digest.digest(), []).append(neuron)
    return [torch.tensor(members) for members in groups.values()]


class Decomposition:
    """Eigenvectors of the covariance of the windows of a group of neurons: every penalty is a division there.

    Parameters
    ----------
    parts : sequence of Moments
        What the model is trained on.
    neurons : Tensor, (n,)
        The group.
    unit : float, optional
        What a penalty of 1 is: by default, the mean variance of a feature times the number of bins. Folds are given
        that of all data, since the best penalty depends on the noise, not on the number of bins.

    Raises
    ------
    ValueError
        If the stimuli are constant.
    """

    def __init__(self, parts: Sequence[Moments], neurons: Tensor, unit: float | None = None) -> None:
        first = int(neurons[0])
        gram, features = parts[0].features_of(first, parts[1:])
        count = float(sum(part.count[first] for part in parts))
        self.neurons = neurons
        self.mean_features = features / count
        self.mean_response = torch.stack([part.y[neurons] for part in parts]).sum(0) / count
        covariation = parts[0].xy[:, neurons]  # a copy
        for part in parts[1:]:
            covariation += part.xy[:, neurons]
        covariation.addr_(self.mean_features, self.mean_response, alpha=-count)
        gram.addr_(self.mean_features, self.mean_features, alpha=-count)
        spread = float(gram.trace()) / len(gram)
        mean_square = spread / count + float(parts[0].stim_mean.square().mean())
        if spread / count <= _CONSTANT * mean_square:
            raise ValueError("the training stimuli are constant: there is nothing to regress on")
        self.unit = spread if unit is None else unit
        values, self._vectors = torch.linalg.eigh(gram)
        self._values = values.clamp(min=0)  # negative ones are rounding
        self._targets = self._vectors.T @ covariation

    def solve(self, alphas: Float[Tensor, " n"]) -> Float[Tensor, "d n"]:
        """Kernels of the neurons, each with its penalty."""
        return self._vectors @ (self._targets / (self._values[:, None] + alphas * self.unit))

    def errors(self, alphas: Float[Tensor, " A"], held_out: Moments) -> Float[Tensor, "A n"]:
        """Sum of squared errors on held-out bins, for every penalty; it needs no predictions.

        With deviations from the training means it is yy - 2 w·xy + w·G·w.
        """
        neurons = self.neurons
        gram, features = held_out.features_of(int(neurons[0]))
        count, y = held_out.count[neurons], held_out.y[neurons]
        x0, y0 = self.mean_features, self.mean_response
        gram.addr_(features, x0, alpha=-1).addr_(x0, features, alpha=-1).addr_(x0, x0, alpha=float(count[0]))
        xy = held_out.xy[:, neurons] - torch.outer(features, y0) - torch.outer(x0, y - count * y0)
        once, twice = self._quadratic_form(gram)
        once -= 2 * (self._vectors.T @ xy)
        yy = held_out.yy[neurons] - 2 * y0 * y + count * y0.square()
        inverse = 1 / (self._values + alphas[:, None] * self.unit)
        return yy + inverse @ once.mul_(self._targets) + inverse.square() @ twice.mul_(self._targets)

    def _quadratic_form(self, gram: Float[Tensor, "d d"]) -> tuple[Float[Tensor, "d n"], Float[Tensor, "d n"]]:
        """w·G·w of the kernels w with any penalty p: what t_i / (v_i + p) and t_i / (v_i + p)² are multiplied by in it.

        With eigenvalues v and targets t it is the sum of G_ij t_i t_j / ((v_i + p) (v_j + p)) over all pairs. Since
        1 / ((v_i + p) (v_j + p)) = (1 / (v_i + p) - 1 / (v_j + p)) / (v_j - v_i), the sum over j is the same for every
        p. Pairs with as good as the same eigenvalue have the square of one fraction.
        """
        values, targets = self._values, self._targets
        half = gram @ self._vectors
        once, twice = torch.zeros_like(targets), torch.zeros_like(targets)
        for start in range(0, len(gram), _ROWS):  # G is symmetric: blocks from the diagonal to the right
            stop = min(start + _ROWS, len(gram))
            products = self._vectors[:, start:stop].T @ half[:, start:]
            gap = values[start:] - values[start:stop, None]
            same = gap.abs() <= _SAME * (values[start:] + values[start:stop, None] + values[-1] * _SAME)
            squares = torch.where(same, products, 0.0)
            products = torch.where(same, 0.0, products.div_(gap)).mul_(2)
            once[start:stop] += products @ targets[start:]
            twice[start:stop] += squares @ targets[start:]
            once[stop:] -= products[:, stop - start :].T @ targets[start:stop]
            twice[stop:] += squares[:, stop - start :].T @ targets[start:stop]
        return once, twice
