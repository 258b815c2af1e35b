"""How a dynamic receptive field changes: in gain, in latency, in shape, and in how many directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.analysis.dynamic import DynamicSTRF
from deepSTRF.analysis.results import Result, array, jackknife_errors
from deepSTRF.checks import check_integer, describe_type

__all__ = ["DynamicSummary", "dynamic_summary"]

# A shifted field counts as held where a one-sided Wilcoxon signed-rank test says so.
SIGNIFICANCE = 0.05
# Singular values below this part of the largest are rounding.
ROUNDING = 1e-6


@dataclass(eq=False)
class DynamicSummary(Result):
    """Numbers of a dynamic receptive field, one per neuron.

    Attributes
    ----------
    gain : Tensor, (N, T)
        Norm of the field at every bin.
    gain_change : Tensor, (N,)
        Standard deviation of `gain` over bins divided by its mean: 0 for a linear model.
    temporal_hold_ms : Tensor, (N,)
        For how long the field stays on the same stimulus while time goes on, so that its latency grows bin by bin: the
        longest hold over which the field, moved along, is significantly more similar to that of the later bin than
        unmoved. In bins (`dt_ms` is None) where the width of a bin is not known.
    shape_change : Tensor, (N,)
        Sum of the singular values of the fields, each set to norm 1 and moved in time (by at most the hold) to where it
        fits their common shape best, over the largest: 1 where only gain and latency change.
    complexity : Tensor, (N,)
        Sum of the singular values of the fields as they are, over the largest: 1 for a linear or LN model.
    effective_rank : Tensor, (N,)
        Exponential of the entropy of the normalised singular values [1]_: 1 for a linear or LN model.
    singular_values : Tensor, (N, K)
        Of the matrix of fields (bins × bands and lags), falling, the largest set to 1.
    standard_errors : dict of Tensor, (N,), or None
        Of the numbers per neuron, by the jackknife over stimuli; None for one stimulus.

    References
    ----------
    .. [1] Roy O, Vetterli M (2007). The effective rank: a measure of effective dimensionality. 15th European Signal
       Processing Conference, 606-610.
    """

    gain: Float[Tensor, "N T"] = array(("neuron", "time"), "response per unit of stimulus")
    gain_change: Float[Tensor, " N"] = array(("neuron",), "1")
    temporal_hold_ms: Float[Tensor, " N"] = array(("neuron",), "ms")
    shape_change: Float[Tensor, " N"] = array(("neuron",), "1")
    complexity: Float[Tensor, " N"] = array(("neuron",), "1")
    effective_rank: Float[Tensor, " N"] = array(("neuron",), "1")
    singular_values: Float[Tensor, "N K"] = array(("neuron", "component"), "1")
    dt_ms: float | None = None
    standard_errors: dict[str, Tensor] | None = None

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset``; standard errors are variables with ``_se`` behind the name."""
        dataset = super().to_xarray()
        for name, errors in (self.standard_errors or {}).items():
            dataset[f"{name}_se"] = ("neuron", errors.numpy(), dataset[name].attrs)
        return dataset

    def _units(self, name: str, units: str) -> str:
        return "bins" if name == "temporal_hold_ms" and self.dt_ms is None else units


def dynamic_summary(dynamic: DynamicSTRF | Sequence[DynamicSTRF], max_hold: int | None = None) -> DynamicSummary:
    """Summarise how a dynamic receptive field changes along one stimulus or several.

    The three kinds of change and the complexity follow Keshishian et al. [1]_; the gain change is relative to the mean
    gain, so that neurons of different rates compare. Bins at which the field is zero (a silent rectifier) count for
    gain, and have no shape. All of it is NaN for a field that is zero throughout.

    Parameters
    ----------
    dynamic : DynamicSTRF or sequence of DynamicSTRF
        Of :func:`~deepSTRF.analysis.dynamic_strf`, at consecutive bins. Those of several stimuli are summarised
        together, with standard errors that say how much it depends on which stimuli these were.
    max_hold : int, optional
        Longest hold in bins that is looked for; default half of the lags.

    Raises
    ------
    TypeError
        If `dynamic` is not a DynamicSTRF, or a sequence of them.
    ValueError
        If its bins are not consecutive, or there is only one: then nothing can be said of changes in time. If several
        are not of the same neurons, bands, lags and width of bins.

    References
    ----------
    .. [1] Keshishian M et al. (2020). eLife 9:e53445. doi:10.7554/eLife.53445

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import dynamic_strf, dynamic_summary
    >>> from deepSTRF.models.audio import Linear
    >>> model = Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=2)
    >>> summary = dynamic_summary(dynamic_strf(model, torch.randn(8, 60), n_lags=5, bins=range(5, 60), dt_ms=5.0))
    >>> summary.complexity, summary.gain_change.abs().max() < 1e-5
    (tensor([1., 1.]), tensor(True))
    """
    several = [dynamic] if isinstance(dynamic, DynamicSTRF) else dynamic
    if not isinstance(several, Sequence) or not several or not all(isinstance(one, DynamicSTRF) for one in several):
        raise TypeError(
            f"dynamic must be a DynamicSTRF, as dynamic_strf returns it, or several, got {describe_type(dynamic)}"
        )
    for one in several:
        if any(after != before + 1 for before, after in pairwise(one.bins)):
            raise ValueError("the fields must be at consecutive bins, so that changes in time can be seen")
        if len(one.bins) < 2:
            raise ValueError("there is one field only: changes in time need the fields of two bins or more")
        if (one.neurons, one.fields.shape[2:], one.dt_ms) != (
            several[0].neurons,
            several[0].fields.shape[2:],
            several[0].dt_ms,
        ):
            raise ValueError("the fields of several stimuli must be of the same neurons, bands, lags and dt_ms")
    max_hold = None if max_hold is None else check_integer("max_hold", max_hold, least=0)
    dt_ms = several[0].dt_ms
    fields = [one.fields.double() for one in several]
    numbers, spectra = _summarise(fields, max_hold, dt_ms)
    errors = None
    if len(fields) > 1:
        left_out = [_summarise(fields[:s] + fields[s + 1 :], max_hold, dt_ms)[0] for s in range(len(fields))]
        errors = {name: jackknife_errors(torch.stack([one[name] for one in left_out])).float() for name in numbers}
    return DynamicSummary(
        gain=torch.cat([one.flatten(2).norm(dim=2) for one in fields], 1).float(),
        **{name: values.float() for name, values in numbers.items()},
        singular_values=spectra.float(),
        dt_ms=dt_ms,
        standard_errors=errors,
    )


def _summarise(
    fields: Sequence[Float[Tensor, "N T *frame L"]], max_hold: int | None, dt_ms: float | None
) -> tuple[dict[str, Tensor], Tensor]:
    """The numbers per neuron over all bins of all stimuli, and the singular values."""
    n_lags = fields[0].shape[-1]
    longest = min(n_lags // 2 if max_hold is None else max_hold, max(one.shape[1] for one in fields) - 2, n_lags - 1)
    names = ("gain_change", "temporal_hold_ms", "shape_change", "complexity", "effective_rank")
    rows, spectra = [], []
    for of_stimuli in zip(*fields, strict=True):
        every = torch.cat(of_stimuli)
        size = every.flatten(1).norm(dim=1)
        spectrum = _spectrum(every.flatten(1))
        share = spectrum / spectrum.sum()
        active = size > ROUNDING * size.max()
        hold = _hold(of_stimuli, active.split([len(one) for one in of_stimuli]), longest)
        unit = every[active] / size[active].reshape(-1, *[1] * (every.ndim - 1))
        shape = (
            _spectrum(_aligned(unit, 0 if math.isnan(hold) else int(hold)).flatten(1)).sum() if len(unit) else math.nan
        )
        rows.append(
            (
                float(size.std() / size.mean()),
                hold * (1.0 if dt_ms is None else dt_ms),
                float(shape),
                float(spectrum.sum()),
                float(torch.special.entr(share).sum().exp()),
            )
        )
        spectra.append(spectrum)
    columns = torch.tensor(rows, dtype=torch.float64).reshape(-1, len(names)).unbind(1)
    return dict(zip(names, columns, strict=True)), torch.stack(spectra)


def _spectrum(matrix: Float[Tensor, "T d"]) -> Float[Tensor, " K"]:
    """Singular values over the largest of them; NaN for a matrix of zeros."""
    values = torch.linalg.svdvals(matrix)
    values = values / values[0]
    return torch.where(values < ROUNDING, 0.0, values)  # keeps NaN


def _later(field: Float[Tensor, "T *frame L"], n_bins: int) -> Float[Tensor, "T *frame L"]:
    """Move fields to lags that are longer by `n_bins` (shorter where it is negative); what leaves is lost."""
    n_lags = field.shape[-1]
    if n_bins >= 0:
        return torch.nn.functional.pad(field[..., n_bins:], (0, min(n_bins, n_lags)))
    return torch.nn.functional.pad(field[..., :n_bins], (min(-n_bins, n_lags), 0))


def _hold(fields: Sequence[Float[Tensor, "T *frame L"]], active: Sequence[Tensor], longest: int) -> float:
    """Longest hold in bins; every shorter one must hold as well."""
    from scipy.stats import wilcoxon

    if int(sum(one.sum() for one in active)) < 2:
        return math.nan
    held = 0
    for n_bins in range(1, longest + 1):
        gains = []
        for field, some in zip(fields, active, strict=True):
            both = some[:-n_bins] & some[n_bins:]
            before, after = field[:-n_bins][both].flatten(1), field[n_bins:][both].flatten(1)
            moved = _later(field[:-n_bins], n_bins)[both].flatten(1)
            gains.append(torch.cosine_similarity(moved, after) - torch.cosine_similarity(before, after))
        gain = torch.cat(gains)
        gain = gain[gain.abs() > ROUNDING]
        if len(gain) < 5 or wilcoxon(gain.numpy(), alternative="greater").pvalue > SIGNIFICANCE:  # 5: least for p < .05
            break
        held = n_bins
    return float(held)


def _aligned(unit: Float[Tensor, "T *frame L"], hold: int) -> Float[Tensor, "T *frame L"]:
    """Move each field by at most `hold` bins, to where it is most similar to the shape that they have in common."""
    shape = torch.linalg.svd(unit.flatten(1), full_matrices=False).Vh[0]
    moved = torch.stack([_later(unit, n_bins) for n_bins in range(-hold, hold + 1)])
    flat = moved.flatten(2)
    similarity = (flat @ shape).abs() / flat.norm(dim=2).clamp(min=ROUNDING)
    best = similarity.argmax(0)
    chosen = moved[best, torch.arange(len(unit))]
    return chosen / chosen.flatten(1).norm(dim=1).reshape(-1, *[1] * (unit.ndim - 1))
