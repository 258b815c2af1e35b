"""Receptive fields: a population of them, and recovered ones next to the truth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from deepSTRF.plotting import _style
from deepSTRF.plotting._style import Array

__all__ = ["plot_strf_grid", "plot_strf_recovery"]

PANEL_INCHES = (1.75, 1.45)  # one receptive field, with its share of title and ticks


def _as_strfs(strfs: Any, name: str) -> list[np.ndarray]:
    """Return the receptive fields as a list of (F, T) arrays of one shape."""
    if isinstance(strfs, (np.ndarray, Tensor)) and strfs.ndim not in (3, 4):
        raise ValueError(f"{name} must be (K, F, T) or a sequence of (F, T), got shape {tuple(strfs.shape)}")
    if not isinstance(strfs, Iterable):
        raise ValueError(f"{name} must be (K, F, T) or a sequence of (F, T), got {type(strfs).__name__}")
    kernels = list(strfs)
    if not kernels:
        raise ValueError(f"{name} is empty: expected at least one receptive field")
    kernels = [_style.as_spectrogram(kernel, f"{name}[{k}]") for k, kernel in enumerate(kernels)]
    shapes = sorted({kernel.shape for kernel in kernels})
    if len(shapes) > 1:
        raise ValueError(f"{name} are ragged: all receptive fields must have one shape (F, T), got {shapes}")
    return kernels


def _draw_strf(ax: Axes, kernel: np.ndarray, dt_ms: float | None, cmap: str, limit: float) -> AxesImage:
    image = _style.draw_image(ax, kernel, _style.lag_extent(kernel.shape[1], dt_ms), cmap, limits=(-limit, limit))
    # a thin frame, because the white of a weak kernel is the white of the page
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.5, color="#808080")
    ax.tick_params(length=2.5, width=0.5, pad=2)
    return image


def _label_outer(
    ax: Axes, left: bool, bottom: bool, frequencies: np.ndarray | None, n_bands: int, n_lags: int, dt_ms: float | None
) -> str:
    """Set the ticks of one panel, with numbers at the outer panels only; return the label of the band axis."""
    label = _style.label_frequencies(ax, frequencies, n_bands, max_ticks=4)
    if n_lags == 1:
        ax.set_xticks([0.0])
    else:
        ax.xaxis.set_major_locator(_style.round_ticks(3, integer=dt_ms is None))
    ax.set_xlim(_style.lag_extent(n_lags, dt_ms))
    ax.tick_params(labelleft=left, labelbottom=bottom)
    return label


def _state_scale(ax: Axes, kernel: np.ndarray, limit: float) -> None:
    """Say in the panel what its deepest red and blue stand for, or that there is nothing to see."""
    if not np.isfinite(kernel).any():
        text = "undefined"
    else:
        text = f"±{limit:.2g}" if np.nan_to_num(kernel).any() else "all zero"
    ax.text(
        0.03,
        0.96,
        text,
        transform=ax.transAxes,
        ha="left",
        va="top",
        fontsize="x-small",
        color="#404040",
        bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "alpha": 0.7, "linewidth": 0},
    )


def _strf_colour_bar(fig: Figure | SubFigure, image: AxesImage, axes: list[Axes], ticks_known: bool) -> None:
    """One bar beside the panels; where every panel has its own scale it only says which colour means what."""
    rows = max(1.0, len({round(ax.get_position().y0, 6) for ax in axes}))
    bar = fig.colorbar(image, ax=axes, shrink=min(1.0, 2.5 / rows), aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=_style.TICK_SIZE, length=2.5, width=0.5)
    if ticks_known:
        bar.locator = MaxNLocator(nbins=5, symmetric=True)
        bar.update_ticks()
        bar.set_label("weight (response per stimulus unit)", fontsize=_style.NOTE_SIZE)
    else:
        limit = image.get_clim()[1]
        bar.set_ticks([-limit, 0.0, limit], labels=["−max", "0", "+max"])
        bar.set_label("suppression – excitation", fontsize=_style.NOTE_SIZE)


def plot_strf_grid(
    strfs: Array | Sequence[Array],
    titles: Sequence[str] | None = None,
    dt_ms: float | None = None,
    ncols: int = 4,
    cmap: str = "RdBu_r",
    shared_clim: bool = False,
    suptitle: str | None = None,
    figsize: tuple[float, float] | None = None,
    *,
    frequencies_hz: Array | Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw receptive fields in a grid, red for excitation and blue for suppression.

    Time runs to the right: the last column is the current bin (lag 0), columns to the left are the past (negative
    lags). Colours are symmetric around 0. Each panel has its own scale, written in its corner, unless `shared_clim`.

    Parameters
    ----------
    strfs : array (K, F, T) or sequence of K arrays (F, T)
        Excitatory-positive receptive fields, low frequencies first, the current bin last. ``(1, F, T)`` each is fine.
    titles : sequence of K str, optional
        Title of each panel.
    dt_ms : float, optional
        Bin width in milliseconds. With it lags are in milliseconds, otherwise in bins.
    ncols : int
        Panels per row.
    cmap : str
        Diverging colour map.
    shared_clim : bool
        One colour scale for all panels.
    suptitle : str, optional
        Title of the figure.
    figsize : (float, float), optional
        Size of the figure in inches.
    frequencies_hz : array (F,), optional
        Centre frequency of each band, rising. With it the frequency axis is in kHz, otherwise in bands.

    Returns
    -------
    fig : Figure
        Not known to pyplot; keep it with ``fig.savefig``.
    axes : list of K Axes

    Raises
    ------
    ValueError
        Where there is no receptive field, where their shapes differ, or where there is not one title each.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.plotting import plot_strf_grid
    >>> fig, axes = plot_strf_grid(torch.randn(6, 34, 20), dt_ms=5.0, titles=[f"unit {n}" for n in range(6)])
    >>> len(axes), axes[0].get_title()
    (6, 'unit 0')
    >>> [float(edge) for edge in axes[0].get_xlim()]  # columns are centred on −95, −90, …, 0 ms
    [-97.5, 2.5]
    """
    kernels = _as_strfs(strfs, "strfs")
    _style.check_titles(titles, len(kernels))
    _style.check_dt(dt_ms)
    _style.check_ncols(ncols)
    n_bands, n_lags = kernels[0].shape
    frequencies = _style.check_frequencies(frequencies_hz, n_bands)

    ncols = min(ncols, len(kernels))
    nrows = math.ceil(len(kernels) / ncols)
    if figsize is None:
        figsize = (max(3.2, PANEL_INCHES[0] * ncols + 1.3), max(2.4, PANEL_INCHES[1] * nrows + 0.7))
    fig = _style.new_figure(figsize)
    grid = fig.subplots(nrows, ncols, squeeze=False)
    axes: list[Axes] = list(grid.flat[: len(kernels)])
    for unused in grid.flat[len(kernels) :]:
        unused.remove()

    frequency_label = ""
    images = []
    for k, (ax, kernel) in enumerate(zip(axes, kernels, strict=True)):
        limit = _style.symmetric_limit(*kernels) if shared_clim else _style.symmetric_limit(kernel)
        images.append(_draw_strf(ax, kernel, dt_ms, cmap, limit))
        below = k + ncols
        frequency_label = _label_outer(ax, k % ncols == 0, below >= len(kernels), frequencies, n_bands, n_lags, dt_ms)
        if not shared_clim or not np.isfinite(kernel).any():
            _state_scale(ax, kernel, limit)
        if titles is not None:
            _style.set_axes_title(ax, titles[k], figsize[0] / ncols * 0.85)
    _strf_colour_bar(fig, images[0], axes, ticks_known=shared_clim)
    fig.supxlabel(_style.lag_label(dt_ms), fontsize=_style.LABEL_SIZE)
    fig.supylabel(frequency_label, fontsize=_style.LABEL_SIZE)
    _style.set_figure_title(fig, suptitle)
    return fig, axes


def plot_strf_recovery(
    true: Array | Sequence[Array],
    recovered: Array | Sequence[Array],
    correlations: Array | Sequence[float] | None = None,
    *,
    titles: Sequence[str] | None = None,
    dt_ms: float | None = None,
    frequencies_hz: Array | Sequence[float] | None = None,
    ncols: int = 5,
    cmap: str = "RdBu_r",
    suptitle: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Draw true receptive fields above the ones recovered from responses.

    Each panel has its own symmetric colour scale, because a model's gain is not the truth's; the lag axes agree, also
    where the two have different numbers of lags.

    Parameters
    ----------
    true, recovered : array (K, F, T) and (K, F, T')
        Excitatory-positive receptive fields, the current bin last.
    correlations : array (K,), optional
        Correlation of each pair (:func:`deepSTRF.analysis.strf_correlation`), named in its title. NaN reads
        "undefined".
    titles : sequence of K str, optional
        Title of each pair.
    dt_ms : float, optional
        Bin width in milliseconds. With it lags are in milliseconds, otherwise in bins.
    frequencies_hz : array (F,), optional
        Centre frequency of each band, rising. With it the frequency axis is in kHz, otherwise in bands.
    ncols : int
        Pairs per row.
    cmap : str
        Diverging colour map.
    suptitle : str, optional
        Title of the figure.
    figsize : (float, float), optional
        Size of the figure in inches.

    Returns
    -------
    fig : Figure
        Not known to pyplot; keep it with ``fig.savefig``.
    axes : list of K pairs of Axes
        True and recovered.

    Raises
    ------
    ValueError
        Where numbers of pairs or bands, or the number of titles or correlations, don't agree.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.plotting import plot_strf_recovery
    >>> truth = torch.randn(3, 34, 20)
    >>> fig, axes = plot_strf_recovery(truth, truth[..., 5:], [0.98, 0.75, float("nan")], dt_ms=5.0)
    >>> [pair[0].get_title() for pair in axes]
    ['r = 0.98', 'r = 0.75', 'r undefined']
    """
    truths, estimates = _as_strfs(true, "true"), _as_strfs(recovered, "recovered")
    _style.check_titles(titles, len(truths))
    _style.check_dt(dt_ms)
    _style.check_ncols(ncols)
    if len(truths) != len(estimates) or truths[0].shape[0] != estimates[0].shape[0]:
        raise ValueError(
            "true and recovered must agree in neurons and bands, got "
            f"({len(truths)}, {truths[0].shape[0]}, T) and ({len(estimates)}, {estimates[0].shape[0]}, T)"
        )
    scores = None if correlations is None else _style.as_array(correlations, "correlations", (1,))
    if scores is not None and len(scores) != len(truths):
        raise ValueError(f"correlations must have one value per pair: expected {len(truths)}, got {len(scores)}")
    n_bands = truths[0].shape[0]
    n_lags = max(truths[0].shape[1], estimates[0].shape[1])
    frequencies = _style.check_frequencies(frequencies_hz, n_bands)

    ncols = min(ncols, len(truths))
    nrows = math.ceil(len(truths) / ncols)
    if figsize is None:
        figsize = (max(3.4, PANEL_INCHES[0] * ncols + 1.5), 2 * PANEL_INCHES[1] * nrows + 0.9)
    fig = _style.new_figure(figsize)
    grid = fig.subplots(2 * nrows, ncols, squeeze=False)
    pairs: list[tuple[Axes, Axes]] = []
    frequency_label, image = "", None
    for k in range(nrows * ncols):
        row, column = divmod(k, ncols)
        pair = (grid[2 * row, column], grid[2 * row + 1, column])
        if k >= len(truths):
            for unused in pair:
                unused.remove()
            continue
        pairs.append(pair)
        for ax, kernel, name in zip(pair, (truths[k], estimates[k]), ("true", "recovered"), strict=True):
            image = _draw_strf(ax, kernel, dt_ms, cmap, _style.symmetric_limit(kernel))
            _state_scale(ax, kernel, _style.symmetric_limit(kernel))
            lowest = ax is pair[1] and k + ncols >= len(truths)
            frequency_label = _label_outer(ax, column == 0, lowest, frequencies, n_bands, n_lags, dt_ms)
            if column == 0:
                ax.set_ylabel(name, fontsize=_style.LABEL_SIZE)
        parts = [] if titles is None else [str(titles[k])]
        if scores is not None:
            parts.append(f"r = {scores[k]:.2f}" if np.isfinite(scores[k]) else "r undefined")
        _style.set_axes_title(pair[0], "\n".join(parts), figsize[0] / ncols * 0.85)
    if image is not None:
        _strf_colour_bar(fig, image, [ax for pair in pairs for ax in pair], ticks_known=False)
    fig.supxlabel(_style.lag_label(dt_ms), fontsize=_style.LABEL_SIZE)
    fig.supylabel(frequency_label, fontsize=_style.LABEL_SIZE)
    _style.set_figure_title(fig, suptitle)
    return fig, pairs
