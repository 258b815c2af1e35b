"""A population of simulated auditory cells whose receptive fields, rates and signal-to-noise ratios are known."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.cochleagram import band_centres
from deepSTRF.datasets.known_rates import KnownRates, simulated_card
from deepSTRF.datasets.natural_sounds import SOUND_TYPES, draw_spectrogram
from deepSTRF.datasets.smoothing import hanning_smooth
from deepSTRF.registry import register_dataset

__all__ = ["SimulatedDataset"]

_KINDS: Mapping[str, float] = MappingProxyType({"ln": 0.5, "on_off": 0.25, "gain_control": 0.25})
_STRF_MS = 150.0
_SMOOTHING_MS = 21.0


@register_dataset(
    simulated_card(
        name="simulated",
        summary="Poisson cells with known receptive fields listening to natural-like sounds",
        area="none",
        size="40 neurons, 30 stimuli of 4 s, 10 repeats (all of them to choose)",
        default_split="holdout:4",
    )
)
class SimulatedDataset(KnownRates, AudioNeuralDataset):
    """Simulated cells of several kinds, natural-like sounds, Poisson repeats, and the truth behind them.

    A cell weights the log-spectrogram of the last 150 ms with a Gabor-like receptive field, as is found in auditory
    cortex [1]_; the sum, scaled to unit variance over all sounds, goes through a static nonlinearity (softplus or
    exponential), and drives a Poisson process. Three kinds of cells:

    - ``'ln'``: just that (half of the cells).
    - ``'on_off'``: each band first adapts to its recent level, and rises and falls have different weights [2]_ (a
      quarter). `true_strfs` holds the field behind the adaptation.
    - ``'gain_control'``: the rate is divided by the recent level around the cell's best frequency [3]_ (a quarter).

    Rates are scaled such that the expected signal-to-noise ratio (signal power over noise power [4]_) of the
    responses as they are delivered, smoothed or not, is the one drawn for the cell.

    Parameters
    ----------
    n_neurons, n_stims : int
        Number of cells and of sounds.
    duration_s : float or (float, float)
        Duration of the sounds in seconds, or the range that the duration of each is drawn from.
    n_repeats : int or (int, int)
        Number of repeats, or the range that the number of each pair of sound and cell is drawn from.
    dt_ms : float
        Width of a time bin.
    n_bands : int
        Number of log-spaced frequency bands between 500 Hz and 22 627 Hz.
    seed : int
        The same seed and arguments give bit for bit the same data. The sounds do not depend on the cells' arguments.
    snr : (float, float)
        Range of true signal-to-noise ratios; they are drawn log-uniformly.
    missing : float
        Fraction of pairs of sound and cell without data, in [0, 1). Every cell and every sound keeps a pair.
    smooth : bool
        Smooth the responses with the 21 ms Hann window, as :class:`~deepSTRF.datasets.audio.NS1Dataset` does.
    kinds : mapping, optional
        Share of each kind of cell; the default is ``{'ln': 0.5, 'on_off': 0.25, 'gain_control': 0.25}``.

    Attributes
    ----------
    true_strfs : Tensor, shape (N, F, L)
        Receptive fields in 150 ms, of unit norm, positive where sound excites; the last index is the current bin.
    true_rates : list of S Tensors, shape (N, T_s)
        Expected spikes per bin, before smoothing. A subset has those of its sounds.
    frequencies_hz : Tensor, shape (F,)
        Centre frequencies of the bands.

    Raises
    ------
    TypeError, ValueError
        If an argument is no number (or no integer), or out of its range.

    Notes
    -----
    ``nrn_meta`` holds cell_id, kind, nonlinearity, true_snr, mean_rate_hz, best_frequency_hz (where the
    field is most excitatory) and latency_ms; ``stim_meta`` holds name, type and duration_s.

    Sounds come in units of 14 dB around a fixed level, so they can be fitted without further standardising.

    References
    ----------
    .. [1] Depireux DA, Simon JZ, Klein DJ, Shamma SA (2001). Spectro-temporal response field characterization with
       dynamic ripples in ferret primary auditory cortex. J Neurophysiol 85:1220-1234. doi:10.1152/jn.2001.85.3.1220
    .. [2] Willmore BDB, Schoppe O, King AJ, Schnupp JWH, Harper NS (2016). Incorporating midbrain adaptation to mean
       sound level improves models of auditory cortical processing. J Neurosci 36:280-289.
       doi:10.1523/JNEUROSCI.2441-15.2016
    .. [3] Rabinowitz NC, Willmore BDB, Schnupp JWH, King AJ (2011). Contrast gain control in auditory cortex. Neuron
       70:1178-1191. doi:10.1016/j.neuron.2011.04.030
    .. [4] Sahani M, Linden JF (2003). How linear are auditory cortical responses? Advances in Neural Information
       Processing Systems 15:125-132.

    Examples
    --------
    >>> ds = SimulatedDataset(n_neurons=4, n_stims=3, duration_s=0.5, n_repeats=2, seed=1)
    >>> ds.stims[0].shape, ds.responses[0][0].shape, ds.true_strfs.shape
    (torch.Size([1, 34, 100]), torch.Size([2, 100]), torch.Size([4, 34, 30]))
    >>> [meta["kind"] for meta in ds.nrn_meta].count("ln")
    2
    >>> len(ds.subset([2, 0]).true_rates)  # the truth goes with the sounds
    2
    """

    true_strfs: Tensor
    frequencies_hz: Tensor

    def __init__(
        self,
        n_neurons: int = 40,
        n_stims: int = 30,
        duration_s: float | tuple[float, float] = 4.0,
        n_repeats: int | tuple[int, int] = 10,
        dt_ms: float = 5.0,
        n_bands: int = 34,
        seed: int = 0,
        *,
        snr: tuple[float, float] = (0.15, 1.5),
        missing: float = 0.0,
        smooth: bool = True,
        kinds: Mapping[str, float] | None = None,
    ) -> None:
        kinds = _KINDS if kinds is None else kinds
        n_neurons, n_stims = (
            check_integer("n_neurons", n_neurons),
            check_integer("n_stims", n_stims),
        )
        seed = check_integer("seed", seed, least=0)
        _check(dt_ms, missing, kinds)
        durations = _as_range("duration_s", duration_s, 2 * dt_ms / 1000)
        repeats = tuple(check_integer("n_repeats", n, least=None) for n in _as_range("n_repeats", n_repeats, 1))
        snr = _as_range("snr", snr, 1e-6)
        super().__init__(path=f"simulated(seed={seed})", dt_ms=float(dt_ms))
        self.frequencies_hz = band_centres(n_bands)
        self.F = n_bands
        self.N_neurons = n_neurons
        # One stream of random numbers for each purpose: the sounds stay when the cells change, and so on.
        sound_seed, cell_seed, spike_seed, missing_seed = np.random.SeedSequence(seed).spawn(4)

        frequencies = self.frequencies_hz.double().numpy()
        sounds = []
        for s, stream in enumerate(sound_seed.spawn(n_stims)):
            rng = np.random.default_rng(stream)
            n_bins = round(1000 * rng.uniform(*durations) / dt_ms)
            kind = SOUND_TYPES[s % len(SOUND_TYPES)]
            sounds.append(draw_spectrogram(kind, frequencies, n_bins, dt_ms, rng))
            self.stim_meta.append({"name": f"{kind}{s:02d}", "type": kind, "duration_s": n_bins * dt_ms / 1000})
        self.stims = [torch.from_numpy(sound.astype(np.float32))[None] for sound in sounds]

        cells = _draw_cells(n_neurons, kinds, snr, frequencies, dt_ms, np.random.default_rng(cell_seed))
        self.true_strfs = torch.from_numpy(np.stack([cell["strf"] for cell in cells]).astype(np.float32))
        rates = _rates(cells, sounds, frequencies, dt_ms)
        kernel = _smoothing_kernel(dt_ms) if smooth else np.ones(1)
        for n, cell in enumerate(cells):
            scale = cell["true_snr"] / _expected_snr([rate[n] for rate in rates], kernel)
            for rate in rates:
                rate[n] *= scale
        total_s = sum(rate.shape[1] for rate in rates) * dt_ms / 1000
        mean_rates = sum(rate.sum(1) for rate in rates) / total_s
        self.true_rates = [torch.from_numpy(rate.astype(np.float32)) for rate in rates]
        self.nrn_meta = [
            {"cell_id": f"sim{n:03d}", **{key: value for key, value in cell.items() if key in _PUBLIC}}
            | {"mean_rate_hz": float(mean_rates[n])}
            for n, cell in enumerate(cells)
        ]

        present = _present_pairs(n_stims, n_neurons, missing, np.random.default_rng(missing_seed))
        nothing = torch.full((1, 1), torch.nan)
        for rate, row, stream in zip(rates, present, spike_seed.spawn(n_stims), strict=True):
            rng = np.random.default_rng(stream)
            drawn = rng.integers(repeats[0], repeats[1] + 1, size=n_neurons)
            counts = rng.poisson(rate[:, None], size=(n_neurons, int(drawn.max()), rate.shape[1]))
            spikes = torch.from_numpy(counts.astype(np.float32))
            self.responses.append([spikes[n, : drawn[n]] if row[n] else nothing for n in range(n_neurons)])
        if smooth:
            self.smooth_responses(_SMOOTHING_MS)
        self.validate()

    def _neuron_copy_attrs(self, source: Any, neurons: list[int]) -> None:
        super()._neuron_copy_attrs(source, neurons)
        if hasattr(source, "true_strfs"):
            self.true_strfs = source.true_strfs[neurons]


_PUBLIC = ("kind", "nonlinearity", "true_snr", "best_frequency_hz", "latency_ms")


def _as_range(name: str, value: Any, smallest: float) -> tuple[Any, Any]:
    pair = value if isinstance(value, tuple | list) else (value, value)
    expected = f"{name} is a number or a range (low, high) with {smallest:g} <= low <= high; got {value!r}"
    if not all(isinstance(end, int | float | np.number) for end in pair):
        raise TypeError(expected)
    if len(pair) != 2 or not smallest <= pair[0] <= pair[1] < float("inf"):
        raise ValueError(expected)
    return pair[0], pair[1]


def _check(dt_ms: float, missing: float, kinds: Mapping[str, float]) -> None:
    check_positive("dt_ms", dt_ms)
    if not dt_ms <= 50:
        raise ValueError(f"dt_ms must lie in (0, 50], the time scale of the receptive fields; got {dt_ms}")
    if not isinstance(missing, int | float | np.number) or not 0 <= missing < 1:
        raise ValueError(f"missing is a fraction in [0, 1); got {missing!r}")
    if not isinstance(kinds, Mapping) or not all(isinstance(s, int | float | np.number) for s in kinds.values()):
        raise TypeError(f"kinds is a dict of {', '.join(_KINDS)} and their shares, numbers; got {kinds!r}")
    if set(kinds) - set(_KINDS) or not 0 < sum(kinds.values()) < float("inf") or min(kinds.values()) < 0:
        raise ValueError(f"kinds maps {', '.join(_KINDS)} to shares that are not all 0; got {dict(kinds)}")


def _draw_cells(
    n_neurons: int,
    kinds: Mapping[str, float],
    snr: tuple[float, float],
    frequencies: np.ndarray,
    dt_ms: float,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Draw the parameters of the cells; the kinds are spread evenly over the population."""
    edges = np.cumsum([kinds[kind] for kind in kinds]) / sum(kinds.values())
    # A low-discrepancy sequence: any stretch of cells has about the shares asked for.
    place = (np.arange(n_neurons) + 0.5) / n_neurons
    cells = []
    for kind_place, stream in zip(rng.permutation(place), rng.spawn(n_neurons), strict=True):
        kind = list(kinds)[min(int(np.searchsorted(edges, kind_place)), len(kinds) - 1)]
        cells.append(_draw_cell(kind, snr, frequencies, dt_ms, stream))
    return cells


def _draw_cell(
    kind: str, snr: tuple[float, float], frequencies: np.ndarray, dt_ms: float, rng: np.random.Generator
) -> dict[str, Any]:
    strf, latency = _draw_strf(frequencies, dt_ms, rng)
    nonlinearity = "softplus" if rng.random() < 0.75 else "exponential"
    return {
        "kind": kind,
        "strf": strf,
        "latency_ms": latency,
        "best_frequency_hz": float(frequencies[int(strf.max(1).argmax())]),
        "nonlinearity": nonlinearity,
        "threshold": rng.uniform(-0.1, 0.5),
        "gain": rng.uniform(0.8, 1.0),
        "true_snr": float(np.exp(rng.uniform(*np.log(snr)))),
        "off_weight": rng.uniform(0.0, 0.6),
        "tau_ms": rng.uniform(50, 200),
        "divisive_weight": rng.uniform(0.5, 2.0),
    }


def _draw_strf(
    frequencies: np.ndarray, dt_ms: float, rng: np.random.Generator
) -> tuple[Float64[np.ndarray, "F L"], float]:
    """Draw a Gabor-like field of unit norm, last lag current, and its latency in ms."""
    octaves = np.log2(frequencies / frequencies[0])[:, None]
    n_lags = max(round(_STRF_MS / dt_ms), 2)
    delay = dt_ms * np.arange(n_lags - 1, -1, -1)[None]
    centre = rng.uniform(0.12, 0.88) * octaves[-1, 0]
    latency = rng.uniform(12, 40)
    width, duration = rng.uniform(0.3, 0.7), rng.uniform(9, 17)
    scale, rate = rng.uniform(0.0, 0.8), rng.uniform(6, 18) / 1000  # cycles per octave and per ms
    x, t = octaves - centre, delay - latency
    across_f = 2 * np.pi * scale * x + rng.normal(0, 0.3)
    across_t = 2 * np.pi * rate * t + rng.normal(0, 0.3)
    # A third of the cells prefers sweeps of one direction: the two phases add instead of multiplying.
    carrier = np.cos(across_f + across_t) if rng.random() < 0.33 else np.cos(across_f) * np.cos(across_t)
    strf = np.exp(-0.5 * (x / width) ** 2 - 0.5 * (t / duration) ** 2) * carrier
    strf *= -np.expm1(-((delay / 6) ** 2))  # no sound acts at once
    return strf / np.linalg.norm(strf), latency


def _rates(
    cells: list[dict[str, Any]], sounds: list[np.ndarray], frequencies: np.ndarray, dt_ms: float
) -> list[Float64[np.ndarray, "N T"]]:
    """Return each sound's rates, up to one factor per cell."""
    linear = [cell for cell in cells if cell["kind"] != "on_off"]
    fields = np.stack([cell["strf"] for cell in linear]) if linear else None
    drives = []
    for sound in sounds:
        drive = np.empty((len(cells), sound.shape[1]))
        if fields is not None:
            drive[[cell["kind"] != "on_off" for cell in cells]] = _filter(sound, fields)
        for n, cell in enumerate(cells):
            if cell["kind"] == "on_off":
                change = sound - _running_mean(sound, cell["tau_ms"], dt_ms)
                rectified = np.maximum(change, 0) - cell["off_weight"] * np.maximum(-change, 0)
                drive[n] = _filter(rectified, cell["strf"][None])[0]
        drives.append(drive)
    pooled = np.concatenate(drives, axis=1)
    mean, std = pooled.mean(1, keepdims=True), np.maximum(pooled.std(1, keepdims=True), 1e-9)
    return [
        np.stack(
            [
                _nonlinearity(cell, row) / _divisor(cell, sound, frequencies, dt_ms)
                for cell, row in zip(cells, (drive - mean) / std, strict=True)
            ]
        )
        for drive, sound in zip(drives, sounds, strict=True)
    ]


def _filter(sound: np.ndarray, fields: Float64[np.ndarray, "N F L"]) -> Float64[np.ndarray, "N T"]:
    """Weight the recent sound with each field; the level of the first bin precedes the sound."""
    n_lags, n_bins = fields.shape[2], sound.shape[1]
    padded = np.concatenate([np.repeat(sound[:, :1], n_lags - 1, axis=1), sound], axis=1)
    n = 2 ** int(np.ceil(np.log2(n_bins + 2 * n_lags)))  # long enough for the circle not to close
    product = np.einsum("nfw,fw->nw", np.fft.rfft(fields[:, :, ::-1], n), np.fft.rfft(padded, n))
    return np.fft.irfft(product, n)[:, n_lags - 1 : n_lags - 1 + n_bins]


def _running_mean(sound: np.ndarray, tau_ms: float, dt_ms: float) -> np.ndarray:
    """Average the recent past of each row, exponentially weighted; the present bin is left out."""
    keep = np.exp(-dt_ms / tau_ms)
    before = np.concatenate([sound[:, :1], sound[:, :-1]], axis=1)
    means, mean = [], before[:, 0]
    for present in before.T:  # importing scipy.signal for this would take longer than making the sounds
        mean = (1 - keep) * present + keep * mean
        means.append(mean)
    return np.stack(means, axis=1)


def _nonlinearity(cell: dict[str, Any], drive: np.ndarray) -> np.ndarray:
    """Return the rate that a drive of unit variance gives; extreme drives saturate, so rates stay realistic."""
    bounded = 2.2 * np.tanh(drive / 2.2)
    if cell["nonlinearity"] == "exponential":
        return np.exp(cell["gain"] * bounded)
    return np.logaddexp(0, 2.5 * (bounded - cell["threshold"])) / 2.5


def _divisor(cell: dict[str, Any], sound: np.ndarray, frequencies: np.ndarray, dt_ms: float) -> float | np.ndarray:
    if cell["kind"] != "gain_control":
        return 1.0
    distance = np.log2(frequencies / cell["best_frequency_hz"])
    near = np.exp(-0.5 * (distance / 0.5) ** 2)
    level = np.maximum((near / near.sum()) @ sound + 1.4, 0)[None]  # about 0 in silence
    return 1 + cell["divisive_weight"] * _running_mean(level, cell["tau_ms"], dt_ms)[0]


def _smoothing_kernel(dt_ms: float) -> np.ndarray:
    """Return the taps of the smoothing: what it makes of one spike."""
    impulse = torch.zeros(1, 2 * int(_SMOOTHING_MS // dt_ms) + 3, dtype=torch.float64)
    impulse[0, impulse.shape[1] // 2] = 1
    return hanning_smooth(impulse, _SMOOTHING_MS, dt_ms)[0].numpy()


def _expected_snr(rates: list[np.ndarray], kernel: np.ndarray) -> float:
    """Return the ratio of the expected signal and noise power of Poisson counts, smoothed by a kernel.

    Both powers are weighted by the sounds' durations. Counts of different bins are independent, so the smoothed noise
    has the variance ``kernel**2 * rate`` and, summed over time, the variance ``rate * (sum of the taps in range)**2``.
    """
    signal = noise = 0.0
    for rate in rates:
        n_bins = len(rate)
        smoothed, variance, taps = (
            np.convolve(x, y)[len(kernel) // 2 :][:n_bins]
            for x, y in ((rate, kernel), (rate, kernel**2), (np.ones(n_bins), kernel))
        )
        signal += n_bins * smoothed.var(ddof=1)
        noise += n_bins * (variance.sum() - np.sum(rate * taps**2) / n_bins) / (n_bins - 1)
    return signal / noise


def _present_pairs(n_stims: int, n_neurons: int, missing: float, rng: np.random.Generator) -> np.ndarray:
    """Draw which pairs (S, N) have data; no row and no column is left empty."""
    present = rng.random((n_stims, n_neurons)) >= missing
    for s in np.flatnonzero(~present.any(1)):
        present[s, rng.integers(n_neurons)] = True
    for n in np.flatnonzero(~present.any(0)):
        present[rng.integers(n_stims), n] = True
    return present
