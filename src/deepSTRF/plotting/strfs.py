"""Receptive fields: a population of them, and recovered ones next to the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import (
    Array,
    as_array,
    as_fields,
    as_spectrogram,
    check_dt,
    check_frequencies,
    check_titles,
)

__all__ = ["plot_strf_grid", "plot_strf_recovery"]

CURVE_LABEL = "weight (response per stimulus unit)"
FIELD_INCHES = (1.75, 1.45)  # one receptive field, with its share of title and ticks


def _as_strfs(strfs: Any, name: str) -> list[np.ndarray]:
    """Return the receptive fields as a list of (F, T) arrays of one shape."""
    if isinstance(strfs, (np.ndarray, Tensor)) and strfs.ndim not in (3, 4):
        raise ValueError(f"{name} must be (K, F, T) or a sequence of (F, T), got shape {tuple(strfs.shape)}")
    return as_fields(strfs, name, "F, T", as_spectrogram)


def draw_strf(ax: Axes, kernel: np.ndarray, dt_ms: float | None, cmap: str, limit: float) -> AxesImage | None:
    if len(kernel) == 1:  # a field of one band is a curve
        lags = (np.arange(kernel.shape[1]) - kernel.shape[1] + 1) * (1.0 if dt_ms is None else dt_ms)
        ax.axhline(0.0, color="#B0B0B0", linewidth=0.6)
        _style.draw_line(ax, lags, kernel[0])
        ax.set_ylim(-1.1 * limit, 1.1 * limit)
        return None
    image = _style.draw_image(ax, kernel, _style.lag_extent(kernel.shape[1], dt_ms), cmap, limits=(-limit, limit))
    # a thin frame, because the white of a weak kernel is the white of the page
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.5, color="#808080")
    ax.tick_params(length=2.5, width=0.5, pad=2)
    return image


def label_outer(
    ax: Axes, left: bool, bottom: bool, frequencies: np.ndarray | None, n_bands: int, n_lags: int, dt_ms: float | None
) -> str:
    """Set the ticks of one panel, with numbers at the outer panels only; return the label of the band axis."""
    label = CURVE_LABEL if n_bands == 1 else _style.label_frequencies(ax, frequencies, n_bands, max_ticks=4)
    if n_lags == 1:
        ax.set_xticks([0.0])
    else:
        ax.xaxis.set_major_locator(_style.round_ticks(3, integer=dt_ms is None))
    ax.set_xlim(_style.lag_extent(n_lags, dt_ms))
    # curves have a scale of their own each
    ax.tick_params(labelleft=left or n_bands == 1, labelbottom=bottom)
    return label


def _write_scale(ax: Axes, kernel: np.ndarray, limit: float) -> None:
    """Say in the panel what its deepest red and blue stand for, or that there is nothing to see."""
    if not np.isfinite(kernel).any():
        text = "undefined"
    elif len(kernel) == 1 and np.nan_to_num(kernel).any():
        return  # the axis of a curve has numbers
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


def _draw_colour_bar(fig: Figure, image: AxesImage, axes: list[Axes], ticks_known: bool) -> None:
    """One bar beside the panels; where every panel has its own scale it only says which colour means what."""
    rows = max(1.0, len({round(ax.get_position().y0, 6) for ax in axes}))
    bar = fig.colorbar(image, ax=axes, shrink=min(1.0, 2.5 / rows), aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=_style.TICK_SIZE, length=2.5, width=0.5)
    if ticks_known:
        bar.locator = MaxNLocator(nbins=5, symmetric=True)
        bar.update_ticks()
        bar.set_label(CURVE_LABEL, fontsize=_style.NOTE_SIZE)
    else:
        limit = image.get_clim()[1]
        bar.set_ticks([-limit, 0.0, limit], labels=["−max", "0", "+max"])
        bar.set_label("suppression – excitation", fontsize=_style.NOTE_SIZE)


def label_figure(
    fig: Figure, image: AxesImage | None, axes: list[Axes], ticks_known: bool, dt_ms: float | None, frequency_label: str
) -> None:
    if image is not None:
        _draw_colour_bar(fig, image, axes, ticks_known)
    fig.supxlabel(_style.lag_label(dt_ms), fontsize=_style.LABEL_SIZE)
    fig.supylabel(frequency_label, fontsize=_style.LABEL_SIZE)


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
    lags). Colours are symmetric around 0; fields of one band are curves. Each panel has its own scale, written in its
    corner, unless `shared_clim`.

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
    TypeError
        If an argument has the wrong type.
    ValueError
        If `strfs` is empty, shapes differ, or the number of titles is not that of the receptive fields.

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
    check_dt(dt_ms)
    n_bands, n_lags = kernels[0].shape
    frequencies = check_frequencies(frequencies_hz, n_bands)
    fig, grid = _style.open_grid(
        check_titles(titles, len(kernels)), ncols, (1, 1), FIELD_INCHES, (1.3, 0.7), figsize, suptitle
    )
    frequency_label, images = "", []
    for kernel, ((ax,), leftmost, lowest) in zip(kernels, grid, strict=True):
        limit = _style.symmetric_limit(*kernels) if shared_clim else _style.symmetric_limit(kernel)
        images.append(draw_strf(ax, kernel, dt_ms, cmap, limit))
        frequency_label = label_outer(ax, leftmost, lowest, frequencies, n_bands, n_lags, dt_ms)
        if not shared_clim or not np.isfinite(kernel).any():
            _write_scale(ax, kernel, limit)
    axes = [panel for (panel,), _, _ in grid]
    label_figure(fig, images[0], axes, shared_clim, dt_ms, frequency_label)
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
    titles, dt_ms, frequencies_hz, ncols, cmap, suptitle, figsize
        As in :func:`plot_strf_grid`, with a title for each pair, and pairs per row.

    Returns
    -------
    fig : Figure
    axes : list of K pairs of Axes
        True and recovered.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the numbers of pairs, bands, titles or correlations don't agree.

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
    check_dt(dt_ms)
    if len(truths) != len(estimates) or truths[0].shape[0] != estimates[0].shape[0]:
        raise ValueError(
            "true and recovered must agree in neurons and bands, got "
            f"({len(truths)}, {truths[0].shape[0]}, T) and ({len(estimates)}, {estimates[0].shape[0]}, T)"
        )
    headings = check_titles(titles, len(truths))
    if correlations is not None:
        scores = as_array(correlations, "correlations", (1,))
        if len(scores) != len(truths):
            raise ValueError(f"correlations must have one value per pair: expected {len(truths)}, got {len(scores)}")
        named = [f"r = {score:.2f}" if np.isfinite(score) else "r undefined" for score in scores]
        headings = [f"{title}\n{score}".strip() for title, score in zip(headings, named, strict=True)]
    n_bands = truths[0].shape[0]
    n_lags = max(truths[0].shape[1], estimates[0].shape[1])
    frequencies = check_frequencies(frequencies_hz, n_bands)
    fig, grid = _style.open_grid(
        headings, ncols, (2, 1), (FIELD_INCHES[0], 2 * FIELD_INCHES[1]), (1.5, 0.9), figsize, suptitle
    )
    pairs: list[tuple[Axes, Axes]] = []
    frequency_label, images = "", []
    for truth, estimate, ((upper, lower), leftmost, lowest) in zip(truths, estimates, grid, strict=True):
        pairs.append((upper, lower))
        for ax, kernel, name in ((upper, truth, "true"), (lower, estimate, "recovered")):
            limit = _style.symmetric_limit(kernel)
            images.append(draw_strf(ax, kernel, dt_ms, cmap, limit))
            _write_scale(ax, kernel, limit)
            frequency_label = label_outer(ax, leftmost, lowest and ax is lower, frequencies, n_bands, n_lags, dt_ms)
            if leftmost:
                ax.set_ylabel(name, fontsize=_style.LABEL_SIZE)
    label_figure(fig, images[-1], [ax for pair in pairs for ax in pair], False, dt_ms, frequency_label)
    return fig, pairs
