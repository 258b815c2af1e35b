"""A small simulated retina that watches noise; its receptive fields and rates are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.datasets.known_rates import KnownRates, simulated_card
from deepSTRF.datasets.video.video_dataset import VideoNeuralDataset
from deepSTRF.registry import register_dataset

__all__ = ["SimulatedMovieDataset"]

_FIELD_MS = 200.0


@register_dataset(
    simulated_card(
        name="simulated-movies",
        summary="Poisson cells with known centre-surround receptive fields watching noise movies",
        area="none (modelled on the retina)",
        size="12 neurons, 12 movies of 10 s, 6 repeats (all of them to choose)",
        default_split="holdout:2",
    )
)
class SimulatedMovieDataset(KnownRates, VideoNeuralDataset):
    """Simulated ganglion cells, noise movies, Poisson repeats, and the truth behind them.

    A cell weights the last 200 ms of the movie with a centre and a weaker, wider surround [1]_ that is up to 30 ms
    later, each with a biphasic time course [2]_. The sum, scaled to unit variance over all movies, goes through a
    softplus and drives a Poisson process. Every second cell is an off cell: its field is negative where that of an on
    cell is positive. Movies are Gaussian noise, slightly blurred over space and time, of mean 0 and variance 1.

    Parameters
    ----------
    n_neurons, n_stims : int
        Number of cells and of movies.
    duration_s : float
        Duration of every movie in seconds.
    n_repeats : int
        Number of repeats of every movie.
    dt_ms : float
        Width of a time bin, and duration of a frame; 60 frames per second by default.
    spatial_resol : (int, int)
        Height and width of the movies in pixels.
    seed : int
        The same seed and arguments give the same data. The movies do not depend on the cells.

    Attributes
    ----------
    true_fields : Tensor, shape (N, H, W, L)
        Receptive fields in 200 ms, of unit norm, positive where light excites; the last index is the current bin.
    true_rates : list of S Tensors, shape (N, T_s)
        Expected spikes per bin. A subset has those of its movies.

    Raises
    ------
    TypeError, ValueError
        If an argument is no number (or no integer), or out of its range.

    Notes
    -----
    ``nrn_meta`` holds cell_id, kind ('on' or 'off'), row and column (the centre, in pixels) and mean_rate_hz;
    ``stim_meta`` holds name and duration_s.

    References
    ----------
    .. [1] Rodieck RW (1965). Quantitative analysis of cat retinal ganglion cell response to visual stimuli. Vision Res
       5:583-601. doi:10.1016/0042-6989(65)90033-7
    .. [2] Chichilnisky EJ, Kalmar RS (2002). Functional asymmetries in ON and OFF ganglion cells of primate retina.
       J Neurosci 22:2737-2747. doi:10.1523/JNEUROSCI.22-07-02737.2002

    Examples
    --------
    >>> ds = SimulatedMovieDataset(n_neurons=4, n_stims=3, duration_s=0.5, n_repeats=2, seed=1)
    >>> ds.stims[0].shape, ds.responses[0][0].shape, ds.true_fields.shape
    (torch.Size([1, 10, 10, 30]), torch.Size([2, 30]), torch.Size([4, 10, 10, 12]))
    >>> [meta["kind"] for meta in ds.nrn_meta]
    ['on', 'off', 'on', 'off']
    >>> len(ds.subset([2, 0]).true_rates)  # the truth goes with the movies
    2
    """

    true_fields: Tensor

    def __init__(
        self,
        n_neurons: int = 12,
        n_stims: int = 12,
        duration_s: float = 10.0,
        n_repeats: int = 6,
        dt_ms: float = 1000 / 60,
        spatial_resol: Sequence[int] = (10, 10),
        seed: int = 0,
    ) -> None:
        n_neurons, n_stims, n_repeats = (
            check_integer(name, value)
            for name, value in (("n_neurons", n_neurons), ("n_stims", n_stims), ("n_repeats", n_repeats))
        )
        seed = check_integer("seed", seed, least=0)
        if not check_positive("dt_ms", dt_ms) <= 50:
            raise ValueError(f"dt_ms must lie in (0, 50], the time scale of the receptive fields; got {dt_ms}")
        n_bins = round(1000 * check_positive("duration_s", duration_s) / dt_ms)
        if n_bins < 2:
            raise ValueError(f"duration_s must be at least two bins of {dt_ms:g} ms; got {duration_s}")
        size = _checked_size(spatial_resol)
        super().__init__(path=f"simulated-movies(seed={seed})", dt_ms=float(dt_ms))
        self.H, self.W = size
        self.N_neurons = n_neurons
        # One stream of random numbers for each purpose: the movies stay when the cells change.
        movie_seed, cell_seed, spike_seed = np.random.SeedSequence(seed).spawn(3)

        movies = [_draw_movie(size, n_bins, np.random.default_rng(stream)) for stream in movie_seed.spawn(n_stims)]
        self.stims = [torch.from_numpy(movie)[None] for movie in movies]
        self.stim_meta = [{"name": f"noise{s:02d}", "duration_s": n_bins * dt_ms / 1000} for s in range(n_stims)]

        cells = [
            _draw_cell(n, size, dt_ms, np.random.default_rng(stream))
            for n, stream in enumerate(cell_seed.spawn(n_neurons))
        ]
        fields = np.stack([cell["field"] for cell in cells]).astype(np.float32)
        self.true_fields = torch.from_numpy(fields)
        rates = _rates(cells, movies, fields, dt_ms)
        self.true_rates = [torch.from_numpy(rate.astype(np.float32)) for rate in rates]
        self.nrn_meta = [
            {"cell_id": f"sim{n:03d}", **{key: cell[key] for key in ("kind", "row", "column", "mean_rate_hz")}}
            for n, cell in enumerate(cells)
        ]
        for rate, stream in zip(rates, spike_seed.spawn(n_stims), strict=True):
            counts = np.random.default_rng(stream).poisson(rate[:, None], (n_neurons, n_repeats, n_bins))
            self.responses.append(list(torch.from_numpy(counts.astype(np.float32))))
        self.validate()

    def _neuron_copy_attrs(self, source: Any, neurons: list[int]) -> None:
        super()._neuron_copy_attrs(source, neurons)
        if hasattr(source, "true_fields"):
            self.true_fields = source.true_fields[neurons]


def _checked_size(spatial_resol: Sequence[int]) -> tuple[int, int]:
    if isinstance(spatial_resol, str) or not isinstance(spatial_resol, Sequence):
        raise TypeError(f"spatial_resol must be a pair (H, W) in pixels, got {spatial_resol!r}")
    if len(spatial_resol) != 2:
        raise ValueError(f"spatial_resol must be a pair (H, W) in pixels, got {spatial_resol!r}")
    height, width = (check_integer("spatial_resol", pixels, least=4) for pixels in spatial_resol)
    return height, width


def _draw_movie(size: tuple[int, int], n_bins: int, rng: np.random.Generator) -> Float32[np.ndarray, "H W T"]:
    """Draw noise in which neighbours in space and time are alike, of variance 1 everywhere."""
    blur = np.array([0.4, 1.0, 0.4])
    movie = rng.standard_normal((size[0] + 2, size[1] + 2, n_bins + 2), dtype=np.float32)
    for axis in range(3):
        length = movie.shape[axis] - 2
        parts = [np.take(movie, range(first, first + length), axis) for first in range(3)]
        movie = sum(weight * part for weight, part in zip(blur / np.linalg.norm(blur), parts, strict=True))
    return movie.astype(np.float32)


def _draw_cell(neuron: int, size: tuple[int, int], dt_ms: float, rng: np.random.Generator) -> dict[str, Any]:
    rows, columns = np.indices(size)
    # The centre lies inside of the movie, so that most of the field does too.
    row, column = (rng.uniform(1.5, pixels - 2.5) for pixels in size)
    distance = (rows - row) ** 2 + (columns - column) ** 2
    width = rng.uniform(0.8, 1.2)
    centre = np.exp(-distance / (2 * width**2))
    surround = np.exp(-distance / (2 * (2.2 * width) ** 2))
    peak_ms = rng.uniform(40, 60)
    later_ms = rng.uniform(0, 30)
    strength = rng.uniform(0.1, 0.2)  # with 1 / 2.2**2 = 0.21 centre and surround would cancel in uniform light
    field = centre[..., None] * _time_course(peak_ms, dt_ms)
    field -= strength * surround[..., None] * _time_course(peak_ms + later_ms, dt_ms)
    field /= np.linalg.norm(field)
    return {
        "kind": "off" if neuron % 2 else "on",
        "row": float(row),
        "column": float(column),
        "field": -field if neuron % 2 else field,
        "mean_rate_hz": float(rng.uniform(10, 40)),
        "threshold": rng.uniform(0.0, 0.6),
    }


def _time_course(peak_ms: float, dt_ms: float) -> Float64[np.ndarray, " L"]:
    """Return the difference of two cascades of low-pass filters; the last bin is the current one."""
    n_lags = max(round(_FIELD_MS / dt_ms), 2)
    delay = dt_ms * (np.arange(n_lags)[::-1] + 0.5)  # of the middle of the frame

    def cascade(peak: float, order: int = 6) -> np.ndarray:
        return (delay / peak * np.exp(1 - delay / peak)) ** order

    return cascade(peak_ms) - 0.6 * cascade(1.7 * peak_ms)


def _rates(
    cells: list[dict[str, Any]], movies: list[np.ndarray], fields: Float32[np.ndarray, "N H W L"], dt_ms: float
) -> list[Float64[np.ndarray, "N T"]]:
    """Return the expected spikes per bin, each cell's with its mean over all movies."""
    drives = []
    for movie in movies:
        n_lags, n_bins = fields.shape[-1], movie.shape[-1]
        padded = np.pad(movie, ((0, 0), (0, 0), (n_lags - 1, 0)))  # grey before the onset
        drive = np.zeros((len(cells), n_bins))
        for lag in range(n_lags):
            drive += np.tensordot(fields[..., lag], padded[..., lag : lag + n_bins], axes=2)
        drives.append(drive)
    scale = np.concatenate(drives, 1).std(1, keepdims=True)
    threshold = np.array([[cell["threshold"]] for cell in cells])
    rates = [np.logaddexp(0, 2.5 * (drive / scale - threshold)) for drive in drives]
    mean = np.concatenate(rates, 1).mean(1, keepdims=True)
    wanted = np.array([[cell["mean_rate_hz"]] for cell in cells]) * dt_ms / 1000
    return [rate * wanted / mean for rate in rates]
