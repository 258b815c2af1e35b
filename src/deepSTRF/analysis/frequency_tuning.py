"""What a receptive field is tuned to: frequency, latency, excitation against inhibition, and modulations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.analysis.arguments import as_axes
from deepSTRF.analysis.receptive_fields import _as_fields
from deepSTRF.analysis.results import Result, array, jackknife_errors

__all__ = ["Tuning", "tuning"]

_NUMBERS = (
    "best_band",
    "bandwidth_bands",
    "best_frequency_hz",
    "bandwidth_octaves",
    "latency_ms",
    "excitation_inhibition",
    "separability",
    "best_scale",
    "best_rate_hz",
)


@dataclass(eq=False)
class Tuning(Result):
    """Tuning of receptive fields over frequency and time, one number per neuron.

    Attributes
    ----------
    best_band : Tensor, (N,)
        Band of the largest (most excitatory) weight, from 0, between bands by a parabola through its neighbours.
    bandwidth_bands : Tensor, (N,)
        Full width at half height of the weights over bands, at the best latency. NaN where they don't fall to half
        before the last band on either side.
    best_frequency_hz, bandwidth_octaves : Tensor, (N,), or None
        The same in Hz and octaves; None where `frequencies_hz` is not known.
    latency_ms : Tensor, (N,)
        Lag of the largest weight, between bins by a parabola; 0 is the current bin.
    excitation_inhibition : Tensor, (N,)
        (E − I) / (E + I) for the sums of positive and of negative weights: 1 is all excitation, −1 all inhibition.
    separability : Tensor, (N,)
        Share of the largest singular value in the power, σ₁² / Σσ²: 1 where frequency and time separate.
    modulation : Tensor, (N, n_scales, n_rates)
        Modulation transfer function: magnitude of the two-dimensional Fourier transform, largest value 1. Negative and
        positive rates are the two directions of sweeps: at positive ones, frequency rises with time.
    scales : Tensor, (n_scales,)
        Spectral modulations in cycles/octave, from 0; cycles/band where `frequencies_hz` is not known.
    rates_hz : Tensor, (n_rates,)
        Temporal modulations.
    best_scale, best_rate_hz : Tensor, (N,)
        Where `modulation` is largest; the rate without its sign.
    standard_errors : dict of Tensor, (N,), or None
        Of each of the numbers, by the jackknife over stimuli, if the fields came with their leave-one-out estimates.
    """

    best_band: Float[Tensor, " N"] = array(("neuron",), "bands")
    bandwidth_bands: Float[Tensor, " N"] = array(("neuron",), "bands")
    best_frequency_hz: Float[Tensor, " N"] | None = array(("neuron",), "Hz")
    bandwidth_octaves: Float[Tensor, " N"] | None = array(("neuron",), "octaves")
    latency_ms: Float[Tensor, " N"] = array(("neuron",), "ms")
    excitation_inhibition: Float[Tensor, " N"] = array(("neuron",), "1")
    separability: Float[Tensor, " N"] = array(("neuron",), "1")
    modulation: Float[Tensor, "N n_scales n_rates"] = array(("neuron", "scale", "rate_hz"), "1")
    scales: Float[Tensor, " n_scales"] = array(("scale",), "cycles/octave")
    rates_hz: Float[Tensor, " n_rates"] = array(("rate_hz",), "Hz")
    best_scale: Float[Tensor, " N"] = array(("neuron",), "cycles/octave")
    best_rate_hz: Float[Tensor, " N"] = array(("neuron",), "Hz")
    standard_errors: dict[str, Tensor] | None = None

    def _units(self, name: str, units: str) -> str:
        return units.replace("octave", "band") if self.best_frequency_hz is None else units

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset``; standard errors are variables with ``_se`` behind the name."""
        dataset = super().to_xarray()
        dataset = dataset.drop_vars(["scales", "rates_hz"]).assign_coords(
            scale=("scale", self.scales.numpy(), dataset["scales"].attrs),
            rate_hz=("rate_hz", self.rates_hz.numpy(), dataset["rates_hz"].attrs),
        )
        for name, errors in (self.standard_errors or {}).items():
            dataset[f"{name}_se"] = ("neuron", errors.numpy(), dataset[name].attrs)
        return dataset


def tuning(
    fields: Any,
    dt_ms: float | None = None,
    frequencies_hz: Sequence[float] | None = None,
) -> Tuning:
    """Return what receptive fields over frequency and time are tuned to.

    Parameters
    ----------
    fields : Tensor, (N, F, L), or STRF
        Positive where sound excites, the last lag current: of :func:`~deepSTRF.analysis.strf`,
        :func:`~deepSTRF.analysis.gradient_strf`, :func:`~deepSTRF.analysis.spike_triggered_average`, or any other. A
        result with ``leave_one_out`` gives standard errors.
    dt_ms : float, optional
        Width of a bin; needed unless the result knows it.
    frequencies_hz : sequence of float, optional
        Centre frequencies of the bands, rising. Without them tuning is in bands.

    Returns
    -------
    Tuning
        NaN for neurons whose field has a NaN or no positive weight: the best frequency is that of excitation.

    Raises
    ------
    TypeError
        If `fields` are not numbers.
    ValueError
        If they are not (N, F, L), `dt_ms` is not known, or `frequencies_hz` don't fit.

    References
    ----------
    Depireux DA, Simon JZ, Klein DJ, Shamma SA (2001), Spectro-temporal response field characterization with dynamic
    ripples in ferret primary auditory cortex, J Neurophysiol 85:1220-1234 (separability and modulations).

    Examples
    --------
    >>> from deepSTRF.analysis import tuning
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> cells = SimulatedDataset(n_neurons=3, n_stims=2, duration_s=0.5)
    >>> result = tuning(cells.true_strfs, cells.dt, cells.frequencies_hz)
    >>> [round(f) for f in result.best_frequency_hz.tolist()], [round(c["best_frequency_hz"]) for c in cells.nrn_meta]
    ([12656, 4149, 937], [12699, 4000, 891])
    """
    values = _as_fields("fields", getattr(fields, "fields", fields)).detach().cpu().double()
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"fields must be (N, F, L), over frequency and time, got shape {tuple(values.shape)}")
    dt_ms, centres = as_axes(fields, dt_ms, frequencies_hz, values.shape[1])
    if dt_ms is None:
        raise ValueError("dt_ms, the width of a bin, is not known: give dt_ms=")
    numbers, modulation, scales, rates = _numbers(values, dt_ms, centres)
    errors = None
    left_out = getattr(fields, "leave_one_out", None)
    if left_out is not None:
        each = [_numbers(one.double(), dt_ms, centres)[0] for one in left_out]
        errors = {
            name: jackknife_errors(torch.stack([one[name] for one in each]), fields.counted).float() for name in numbers
        }
    single: dict[str, Any] = {name: numbers[name].float() if name in numbers else None for name in _NUMBERS}
    return Tuning(
        **single,
        modulation=modulation.float(),
        scales=scales,
        rates_hz=rates,
        standard_errors=errors,
    )


def _numbers(
    fields: Float[Tensor, "N F L"], dt_ms: float, centres: tuple[float, ...] | None
) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    n_bands, n_lags = fields.shape[1:]
    defined = fields.isfinite().flatten(1).all(1) & (fields.flatten(1) > 0).any(1)
    safe = torch.where(defined[:, None, None], fields, 0.0)
    peak = safe.flatten(1).argmax(1)
    band, lag_index = peak // n_lags, peak % n_lags
    each = torch.arange(len(fields))
    over_bands, over_lags = safe[each, :, lag_index], safe[each, band]
    best_band = _between(over_bands, band)
    low, high = _half_height(over_bands, band)
    numbers = {
        "best_band": best_band,
        "bandwidth_bands": high - low,
        "latency_ms": (n_lags - 1 - _between(over_lags, lag_index)) * dt_ms,
    }
    if centres is not None:
        octaves = np.log2(np.asarray(centres))
        best, lower, upper = (
            torch.from_numpy(np.interp(place.numpy(), np.arange(n_bands), octaves)) for place in (best_band, low, high)
        )
        numbers["best_frequency_hz"] = 2**best
        numbers["bandwidth_octaves"] = upper - lower  # NaN passes through np.interp
    excitation, inhibition = safe.clamp(min=0).sum((1, 2)), (-safe).clamp(min=0).sum((1, 2))
    numbers["excitation_inhibition"] = (excitation - inhibition) / (excitation + inhibition)
    powers = torch.linalg.svdvals(safe).square()
    numbers["separability"] = powers[:, 0] / powers.sum(1)
    modulation, scales, rates = _modulation(safe, dt_ms, centres)
    place = modulation.flatten(1).argmax(1)
    numbers["best_scale"] = scales.double()[place // len(rates)]
    numbers["best_rate_hz"] = rates.double()[place % len(rates)].abs()
    for values in numbers.values():
        values[~defined] = torch.nan
    modulation[~defined] = torch.nan
    return numbers, modulation, scales, rates


def _between(curves: Float[Tensor, "N K"], at: Tensor) -> Float[Tensor, " N"]:
    """Place of the peak of each curve, between samples, by the parabola through the largest one and its neighbours."""
    n = curves.shape[1]
    if n < 3:
        return at.double()
    each, middle = torch.arange(len(curves)), at.clamp(1, n - 2)
    left, peak, right = (curves[each, middle + step] for step in (-1, 0, 1))
    bend = left - 2 * peak + right
    inside = (at == middle) & (bend < 0)
    return at + torch.where(inside, 0.5 * (left - right) / torch.where(inside, bend, 1.0), 0.0)


def _half_height(curves: Float[Tensor, "N K"], at: Tensor) -> tuple[Tensor, Tensor]:
    """Where each curve crosses half of its peak on both sides, between samples; NaN where it does not."""
    ends = torch.full((2, len(curves)), torch.nan, dtype=torch.float64)
    for n, (curve, peak) in enumerate(zip(curves, at.tolist(), strict=True)):
        half = curve[peak] / 2
        for side, step in enumerate((-1, 1)):
            place = peak
            while 0 <= place + step < len(curve) and curve[place + step] >= half:
                place += step
            if 0 <= place + step < len(curve):
                inner, outer = curve[place], curve[place + step]
                ends[side, n] = place + step * float((inner - half) / (inner - outer))
    return ends[0], ends[1]


def _modulation(
    fields: Float[Tensor, "N F L"], dt_ms: float, centres: tuple[float, ...] | None
) -> tuple[Tensor, Tensor, Tensor]:
    n_bands, n_lags = fields.shape[1:]
    step = 1.0  # bands
    if centres is not None and n_bands > 1:
        # Fourier transforms want even steps: of octaves, where the bands are spaced in another way.
        octaves = np.log2(np.asarray(centres))
        even = np.linspace(octaves[0], octaves[-1], n_bands)
        place = np.interp(even, octaves, np.arange(n_bands))
        low = torch.from_numpy(np.minimum(place.astype(int), n_bands - 2))
        share = (torch.from_numpy(place) - low)[:, None]
        fields = fields[:, low] * (1 - share) + fields[:, low + 1] * share
        step = float(even[1] - even[0])
    # twice as many points as samples: a finer look at the same spectrum
    n_f, n_t = 2 * n_bands, 2 * n_lags
    # The last lag is the current bin, so that time runs along the lags.
    spectrum = torch.fft.fft(torch.fft.rfft(fields, n_f, dim=1), n_t, dim=2).abs()
    rates = torch.fft.fftfreq(n_t, dt_ms / 1000)
    # A phase of scale·x + rate·t falls in frequency while time goes on: turn the sign.
    order = torch.argsort(-rates)
    spectrum = spectrum[:, :, order]
    largest = spectrum.flatten(1).amax(1)[:, None, None]
    return spectrum / torch.where(largest > 0, largest, 1.0), torch.fft.rfftfreq(n_f, step), -rates[order]
