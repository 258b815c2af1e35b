"""Ridge regression: the linear model that every other one must beat, in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from deepSTRF.checks import check_positive
from deepSTRF.models.audio.linear import Linear
from deepSTRF.models.from_recording import window_bins
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["Ridge", "fit_ridge"]

# Variances below this part of the mean square are rounding noise of a constant.
_CONSTANT = 1e-12


def _build(train: Any, val: Any, window_ms: float) -> Ridge:
    return fit_ridge(train, val, window_ms=window_ms)


@register_model(
    ModelCard(
        name="ridge",
        summary="Linear STRF in closed form: one L2 penalty per neuron, chosen on the validation stimuli",
        paper="Machens, Wehr & Zador (2004), https://doi.org/10.1523/JNEUROSCI.4445-03.2004",
    ),
    Recipe(None, _build),
)
class Ridge(Linear):
    """A :class:`~deepSTRF.models.audio.Linear` as :func:`fit_ridge` makes it; the constructor makes an unfitted one."""


@runtime_checkable
class _Recording(Protocol):
    """What :func:`fit_ridge` needs of a data set."""

    dt: float

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, Any]: ...


def fit_ridge(
    train: _Recording,
    val: _Recording | None = None,
    window_ms: float = 150.0,
    *,
    alphas: float | Sequence[float] | None = None,
) -> Ridge:
    r"""Fit receptive fields by ridge regression, with a penalty per neuron chosen on validation stimuli.

    For every neuron, over the n training bins at which it has data,

    .. math:: \min_{w, b} \; \frac{1}{n} \sum_t (y_t - b - w \cdot x_t)^2 + \alpha v |w|^2

    where :math:`y` is the response averaged over the repeats there are, :math:`x_t` the spectrogram in the window that
    ends at bin t (zeros before the onset), and :math:`v` the mean variance of the elements of x: relative to it, the
    same :math:`\alpha` means the same at any scale of the stimulus. The offset is not penalised. Of the candidates, a
    neuron gets the one with the highest correlation between prediction and averaged response over all validation
    stimuli.

    Missing pairs and missing bins do not enter, exactly. Neurons that miss the same ones share one decomposition, so a
    recording in which all neurons heard everything takes about a second, one in which every neuron heard something else
    as many decompositions as neurons.

    Parameters
    ----------
    train, val : NeuralDataset
        Items with ``'stims'`` (1, F, T) and ``'responses'``, a list of (R, T) tensors per neuron; selections of neurons
        and stimuli are honoured. Without `val`, `alphas` must be one number.
    window_ms : float
        Length of the receptive field, rounded to whole bins.
    alphas : float or sequence of float, optional
        Candidates, positive; 29 from 1e-4 to 1e3 by default.

    Returns
    -------
    Ridge
        In eval mode; its batch normalisation is the identity. The plain attribute ``ridge_alpha`` (a float64 tensor
        ``(N,)``, not saved with the model) holds the chosen penalties.

        A neuron without training data has zero kernel and offset, one with a constant response has a zero kernel;
        their ``ridge_alpha`` is NaN. A neuron whose validation correlation is undefined gets the median penalty of the
        others.

    Raises
    ------
    ValueError
        If the data sets are empty or differ in dt, bands or neurons, a stimulus is no spectrogram or is not finite, a
        response is infinite or has another length than its stimulus, a penalty or the window is not positive, the
        stimuli are constant, or no neuron has a defined validation correlation to choose by.
    TypeError
        If `train` or `val` is no data set, or an item holds no tensors.

    References
    ----------
    Machens, Wehr & Zador (2004), Linearity of cortical receptive fields measured with natural sounds,
    https://doi.org/10.1523/JNEUROSCI.4445-03.2004

    Examples
    --------
    >>> import torch
    >>> class Recording(list):
    ...     dt = 5.0
    >>> stims = torch.randn(4, 1, 8, 300, generator=torch.Generator().manual_seed(0))
    >>> data = Recording({"stims": x, "responses": [x[:, 3].roll(2, -1), x[:, 5]]} for x in stims)
    >>> model = fit_ridge(Recording(data[:3]), Recording(data[3:]), window_ms=20)
    >>> model.STRF_weight().shape, model.ridge_alpha.shape
    (torch.Size([2, 8, 4]), torch.Size([2]))
    >>> strongest = model.STRF_weight()[0].argmax()
    >>> int(strongest) // 4, 3 - int(strongest) % 4  # band 3, two bins ago
    (3, 2)
    """
    for name, recording in (("train", train), ("val", val)):
        if recording is not None or name == "train":
            _check_recording(name, recording)
    candidates = _checked_alphas(alphas, val)
    n_lags = _n_lags(window_ms, train.dt)
    fit_on = _sums(train, n_lags, "train")
    choose_on = None if val is None else _sums(val, n_lags, "val")
    if val is not None and choose_on is not None:
        _check_compatible(train, fit_on, val, choose_on)

    kernels = torch.zeros(fit_on.n_lags * fit_on.n_bands, fit_on.n_neurons, dtype=torch.float64)
    chosen = torch.full((fit_on.n_neurons,), math.nan, dtype=torch.float64)
    undecided: list[tuple[_Decomposition, Tensor]] = []
    for neurons in fit_on.groups(torch.arange(fit_on.n_neurons)):
        fittable = neurons[fit_on.is_fittable(neurons)]
        if len(fittable) == 0:
            continue
        problem = _Decomposition(fit_on, fittable)
        if choose_on is None:
            chosen[fittable] = candidates[0]
        else:
            chosen[fittable] = problem.best_alphas(candidates, choose_on)
        kernels[:, fittable] = problem.solve(chosen[fittable])
        if chosen[fittable].isnan().any():
            undecided.append((problem, fittable))
    if undecided:
        fallback = chosen.nanquantile(0.5, interpolation="lower")
        if fallback.isnan():
            raise ValueError("no neuron has a defined validation correlation: give validation data, or one alpha")
        for problem, neurons in undecided:
            chosen[neurons] = chosen[neurons].nan_to_num(nan=float(fallback))
            kernels[:, neurons] = problem.solve(chosen[neurons])

    offsets = fit_on.mean_response() - (kernels * fit_on.mean_stimulus()).sum(0)
    return _as_linear(kernels, offsets, chosen, fit_on)


def _as_linear(kernels: Tensor, offsets: Tensor, chosen: Tensor, fit_on: _Sums) -> Ridge:
    model = Ridge(fit_on.n_bands, fit_on.n_lags, fit_on.n_neurons).eval()
    weight = kernels.T.reshape(-1, fit_on.n_lags, fit_on.n_bands).flip(1).transpose(1, 2)  # current bin last
    conv, bn = model.readout.strf.kernel, model.readout.bn
    with torch.no_grad():
        conv.weight.copy_(weight.unsqueeze(1))  # type: ignore[operator]
        conv.bias.copy_(offsets)  # type: ignore[operator]
        bn.running_var.fill_(1 - bn.eps)
    model.ridge_alpha = chosen
    return model


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_recording(name: str, recording: object) -> None:
    if not isinstance(recording, _Recording):
        raise TypeError(
            f"{name} must be a data set, with dt, a length, and dicts of 'stims' and 'responses' as items; got "
            f"{type(recording).__name__}"
        )
    check_positive(f"dt of {name} (ms)", recording.dt)


def _checked_alphas(alphas: float | Sequence[float] | None, val: _Recording | None) -> Tensor:
    if alphas is None:
        if val is None:
            raise ValueError("without validation data there is nothing to choose a penalty by: give one in alphas")
        return torch.logspace(-4, 3, 29, dtype=torch.float64)
    try:
        candidates = torch.as_tensor(alphas, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"alphas must be positive and finite numbers, got {alphas!r}") from error
    if len(candidates) == 0 or not bool((candidates.isfinite() & (candidates > 0)).all()):
        raise ValueError(f"alphas must be positive and finite, got {alphas!r}")
    if val is None and len(candidates) > 1:
        raise ValueError(f"without validation data alphas must be one number, got {len(candidates)}")
    return candidates.sort().values


def _n_lags(window_ms: float, dt: float) -> int:
    return window_bins(check_positive("window_ms", window_ms), dt)


def _check_compatible(train: _Recording, fit_on: _Sums, val: _Recording, choose_on: _Sums) -> None:
    for what, of_train, of_val in (
        ("dt (ms)", train.dt, val.dt),
        ("number of bands", fit_on.n_bands, choose_on.n_bands),
        ("number of neurons", fit_on.n_neurons, choose_on.n_neurons),
    ):
        if of_train != of_val:
            raise ValueError(f"train and val differ in {what}: {of_train} and {of_val}")


# --- sums over bins --------------------------------------------------------------------------------------------------


@dataclass
class _Sums:
    """Sums over all bins of a recording, of which d = n_lags · n_bands features (lag first) are made per bin.

    Everything is float64. What depends on which bins a neuron misses is kept per neuron; only the Gram matrix, which
    would be d × d for each, is made per group of neurons.
    """

    n_lags: int
    n_bands: int
    stims: list[Float[Tensor, "F T"]]
    valid: list[Bool[Tensor, "N T"]]
    first_rows: list[Float[Tensor, "F d"]]  # Gram of the current bin with the whole window, per stimulus
    ends: list[Float[Tensor, " d"]]  # the window at the last bin, per stimulus
    count: Float[Tensor, " N"]
    x: Float[Tensor, "d N"]
    y: Float[Tensor, " N"]
    yy: Float[Tensor, " N"]
    xy: Float[Tensor, "d N"]

    @property
    def n_neurons(self) -> int:
        return len(self.count)

    def mean_response(self) -> Float[Tensor, " N"]:
        """Per neuron, 0 without data."""
        return self.y / self.count.clamp(min=1)

    def mean_stimulus(self) -> Float[Tensor, "d N"]:
        """Per neuron, over its bins, 0 without data."""
        return self.x / self.count.clamp(min=1)

    def response_variation(self) -> Float[Tensor, " N"]:
        """Sum of squared deviations from the mean; 0 where only rounding is left of a constant."""
        variation = self.yy - self.y * self.mean_response()
        return torch.where(variation > _CONSTANT * self.yy, variation, 0.0)

    def covariation(self, neurons: Tensor) -> Float[Tensor, "d n"]:
        """Sum of products of the deviations of stimulus and response."""
        return self.xy[:, neurons] - self.x[:, neurons] * self.mean_response()[neurons]

    def is_fittable(self, neurons: Tensor) -> Bool[Tensor, " n"]:
        """Whether the response varies."""
        return self.response_variation()[neurons] > 0

    def groups(self, neurons: Tensor) -> Iterator[Tensor]:
        """Split `neurons` into those that have data at exactly the same bins."""
        if len(neurons) == 0:
            return
        patterns = torch.cat([valid[neurons] for valid in self.valid], 1)
        packed = patterns.numpy()
        found: dict[bytes, list[int]] = {}
        for neuron, pattern in zip(neurons.tolist(), packed, strict=True):
            found.setdefault(pattern.tobytes(), []).append(neuron)
        for members in found.values():
            yield torch.tensor(members)

    def gram(self, neuron: int) -> Float[Tensor, "d d"]:
        """Sum of products of the deviations of all pairs of features, over the bins of one neuron of a group.

        With zeros before the onset, shifting both features one bin into the past only loses the last bin:
        G[i, j] = G[i - 1, j - 1] - (product at the last bin). So only its first row of blocks is a sum over all bins.
        """
        heard = [s for s, valid in enumerate(self.valid) if bool(valid[neuron].any())]
        n_lags, n_bands = self.n_lags, self.n_bands
        ends = torch.stack([self.ends[s] for s in heard])
        lost = (ends.T @ ends).reshape(n_lags, n_bands, n_lags, n_bands)
        gram = torch.zeros_like(lost)
        gram[0] = torch.stack([self.first_rows[s] for s in heard]).sum(0).reshape(n_bands, n_lags, n_bands)
        for lag in range(1, n_lags):
            gram[lag, :, lag:] = gram[lag - 1, :, lag - 1 : -1] - lost[lag - 1, :, lag - 1 : -1]
        gram = gram.reshape(n_lags * n_bands, -1)
        # Blocks below the diagonal are still zero, those on it complete.
        lags = torch.arange(n_lags).repeat_interleave(n_bands)
        gram = torch.where(lags[:, None] <= lags[None, :], gram, gram.T)
        for s in heard:
            missing = ~self.valid[s][neuron]
            if bool(missing.any()):
                rows = _windows(self.stims[s], n_lags)[missing]
                gram -= rows.T @ rows
        total = self.x[:, neuron]
        return gram - torch.outer(total, total) / self.count[neuron]


def _windows(stim: Float[Tensor, "F T"], n_lags: int) -> Float[Tensor, "T d"]:
    """The window that ends at every bin, current bin first, zeros before the onset."""
    windows = functional.pad(stim, (n_lags - 1, 0)).unfold(1, n_lags, 1).flip(2)  # (F, T, lags)
    return windows.permute(1, 2, 0).reshape(stim.shape[1], -1)


def _sums(recording: _Recording, n_lags: int, name: str) -> _Sums:
    if len(recording) == 0:
        raise ValueError(f"{name} has no stimulus with a response: nothing to fit on")
    sums: _Sums | None = None
    for index in range(len(recording)):
        item = recording[index]
        if not isinstance(item, Mapping) or not {"stims", "responses"} <= item.keys():
            came = f"the keys {sorted(item)}" if isinstance(item, Mapping) else type(item).__name__
            raise TypeError(f"{name}, stimulus {index}: expected a dict with 'stims' and 'responses', got {came}")
        stim = _checked_stimulus(item["stims"], f"{name}, stimulus {index}")
        psth, valid = _averaged(item["responses"], stim.shape[1], f"{name}, stimulus {index}")
        windows = _windows(stim, n_lags)
        if sums is None:
            sums = _empty_sums(n_lags, len(stim), len(psth))
        if stim.shape[0] != sums.n_bands or len(psth) != sums.n_neurons:
            raise ValueError(
                f"{name}, stimulus {index}: expected {sums.n_bands} bands and {sums.n_neurons} neurons as in the first "
                f"item, got {stim.shape[0]} and {len(psth)}"
            )
        counted = valid.to(torch.float64)
        sums.stims.append(stim)
        sums.valid.append(valid)
        sums.first_rows.append(stim @ windows)
        sums.ends.append(windows[-1])
        sums.count += counted.sum(1)
        sums.x += windows.T @ counted.T
        sums.y += psth.sum(1)
        sums.yy += psth.square().sum(1)
        sums.xy += windows.T @ psth.T
    if sums is None or not bool(sums.count.any()):
        raise ValueError(f"no neuron has data in {name}: nothing to fit on")
    return sums


def _empty_sums(n_lags: int, n_bands: int, n_neurons: int) -> _Sums:
    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64)

    d = n_lags * n_bands
    return _Sums(
        n_lags=n_lags,
        n_bands=n_bands,
        stims=[],
        valid=[],
        first_rows=[],
        ends=[],
        count=zeros(n_neurons),
        x=zeros(d, n_neurons),
        y=zeros(n_neurons),
        yy=zeros(n_neurons),
        xy=zeros(d, n_neurons),
    )


def _check_tensor(value: object, what: str) -> None:
    if not isinstance(value, Tensor) or value.is_complex():
        came = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{what} must be a tensor of real numbers, got {came}")


def _checked_stimulus(stim: Tensor, where: str) -> Float[Tensor, "F T"]:
    _check_tensor(stim, f"{where}: the spectrogram")
    if stim.ndim != 3 or stim.shape[0] != 1 or stim.numel() == 0:
        raise ValueError(f"{where}: expected a spectrogram (1, F, T), got a tensor of shape {tuple(stim.shape)}")
    if not bool(stim.isfinite().all()):
        raise ValueError(f"{where}: the spectrogram has values that are not finite")
    return stim[0].detach().cpu().to(torch.float64)


def _averaged(responses: Sequence[Tensor], n_bins: int, where: str) -> tuple[Float[Tensor, "N T"], Bool[Tensor, "N T"]]:
    """Average over the repeats that have data, bin by bin; zero where there is none, and where there is some."""
    psth = torch.zeros(len(responses), n_bins, dtype=torch.float64)
    valid = torch.zeros(len(responses), n_bins, dtype=torch.bool)
    for neuron, response in enumerate(responses):
        _check_tensor(response, f"{where}: the response of neuron {neuron}")
        if response.shape == (1, 1) and bool(response.isnan()):
            continue  # never recorded
        if response.ndim != 2 or response.shape[1] != n_bins:
            raise ValueError(
                f"{where}: expected responses of shape (R, {n_bins}) as the stimulus has {n_bins} bins, got "
                f"{tuple(response.shape)} for neuron {neuron}"
            )
        mean = response.detach().cpu().to(torch.float64).nanmean(0)
        if bool(mean.isinf().any()):
            raise ValueError(f"{where}: the response of neuron {neuron} has infinite values; NaN marks missing data")
        valid[neuron] = mean.isfinite()
        psth[neuron] = torch.where(valid[neuron], mean, 0.0)
    return psth, valid


# --- one decomposition, all penalties --------------------------------------------------------------------------------


class _Decomposition:
    """The eigenvectors of the stimulus covariance of one group of neurons, in which every penalty is a division."""

    def __init__(self, sums: _Sums, neurons: Tensor) -> None:
        self.neurons = neurons
        self.count = float(sums.count[neurons[0]])
        gram = sums.gram(int(neurons[0]))
        self.mean_variance = float(gram.trace()) / len(gram) / self.count
        mean_square = self.mean_variance + float(sums.mean_stimulus()[:, neurons[0]].square().mean())
        if self.mean_variance <= _CONSTANT * mean_square:
            raise ValueError("the training stimuli are constant: there is nothing to regress on")
        values, self.vectors = torch.linalg.eigh(gram)
        self.values = values.clamp(min=0)  # negative ones are rounding
        self.targets = self.vectors.T @ sums.covariation(neurons)

    def _rotated(self, alphas: Float[Tensor, " n"]) -> Float[Tensor, "d n"]:
        """Coefficients on the eigenvectors; neurons without a penalty (NaN) get zeros."""
        penalty = alphas * self.mean_variance * self.count
        return torch.where(alphas.isnan(), 0.0, self.targets / (self.values[:, None] + penalty))

    def solve(self, alphas: Float[Tensor, " n"]) -> Float[Tensor, "d n"]:
        """Kernels of the neurons, each with its penalty."""
        return self.vectors @ self._rotated(alphas)

    def best_alphas(self, candidates: Float[Tensor, " A"], val: _Sums) -> Float[Tensor, " n"]:
        """Per neuron the candidate with the highest validation correlation, NaN where that is undefined.

        The correlation needs no predictions: with the sums of products of the validation data it is a quadratic form.
        """
        best = torch.full((len(self.neurons),), math.nan, dtype=torch.float64)
        place = {neuron: k for k, neuron in enumerate(self.neurons.tolist())}
        for neurons in val.groups(self.neurons[val.is_fittable(self.neurons)]):
            where = torch.tensor([place[neuron] for neuron in neurons.tolist()])
            gram = self.vectors.T @ val.gram(int(neurons[0])) @ self.vectors
            covariation = self.vectors.T @ val.covariation(neurons)
            scores = torch.empty(len(candidates), len(neurons), dtype=torch.float64)
            for k, alpha in enumerate(candidates):
                rotated = self._rotated(alpha.expand(len(self.neurons)))[:, where]
                power = (rotated * (gram @ rotated)).sum(0)
                scores[k] = (rotated * covariation).sum(0) / (power * val.response_variation()[neurons]).sqrt()
            defined = scores.isfinite().any(0)
            index = scores.nan_to_num(nan=-math.inf, posinf=-math.inf).argmax(0)
            best[where] = torch.where(defined, candidates[index], math.nan)
        return best
