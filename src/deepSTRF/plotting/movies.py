"""Receptive fields over space and time, of models of movies."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array, as_fields, check_dt, check_titles

__all__ = ["plot_movie_fields", "strongest_pixel"]

FIELD_INCHES = (3.1, 1.6)  # a map with its time course, with their share of title and ticks


def strongest_pixel(field: Array) -> tuple[int, int, int]:
    """Row, column and lag index where a receptive field is strongest.

    Parameters
    ----------
    field : array (H, W, T)
        NaN counts as 0.

    Returns
    -------
    tuple of int

    Raises
    ------
    TypeError
        If it is not an array of real numbers.
    ValueError
        If it has another number of dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> field = np.zeros((10, 12, 8))
    >>> field[3, 7, 6] = -2.0
    >>> strongest_pixel(field)
    (3, 7, 6)
    """
    values = np.nan_to_num(as_array(field, "field", (3,)))
    row, column, lag = np.unravel_index(np.abs(values).argmax(), values.shape)
    return int(row), int(column), int(lag)


def plot_movie_fields(
    fields: Array | Sequence[Array],
    titles: Sequence[str] | None = None,
    dt_ms: float | None = None,
    ncols: int = 3,
    cmap: str = "RdBu_r",
    suptitle: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Draw receptive fields over space and time: a map at the best lag, and the time course of the strongest pixel.

    Red is excitation by light, blue is suppression, with a symmetric scale in each panel; row 0 is on top, as in the
    movie. A dotted line in the time course is the lag of the map, a ring in the map is the pixel of the time course.

    Parameters
    ----------
    fields : array (K, H, W, T) or sequence of K arrays (H, W, T)
        Receptive fields, positive where light excites, the current bin last.
    titles, dt_ms, ncols, cmap, suptitle, figsize
        As in :func:`plot_strf_grid`.

    Returns
    -------
    fig : Figure
    axes : list of K pairs of Axes
        Map and time course.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `fields` is empty, shapes differ, or the number of titles is not that of the fields.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.plotting import plot_movie_fields
    >>> fig, axes = plot_movie_fields(torch.randn(4, 10, 12, 8), dt_ms=16.7, titles=[f"unit {n}" for n in range(4)])
    >>> len(axes), axes[0][0].get_title()
    (4, 'unit 0')
    >>> axes[-1][1].get_xlabel()
    'lag (ms)'
    """
    kernels = as_fields(fields, "fields", "H, W, T", functools.partial(as_array, ndims=(3,)))
    check_dt(dt_ms)
    fig, grid = _style.open_grid(
        check_titles(titles, len(kernels)), ncols, (1, 2), FIELD_INCHES, (0.5, 0.8), figsize, suptitle
    )
    pairs: list[tuple[Axes, Axes]] = []
    for kernel, ((picture, course), _, lowest) in zip(kernels, grid, strict=True):
        _draw_field(picture, course, kernel, dt_ms, cmap, lowest)
        pairs.append((picture, course))
    return fig, pairs


def _draw_field(picture: Axes, course: Axes, kernel: np.ndarray, dt_ms: float | None, cmap: str, lowest: bool) -> None:
    row, column, lag = strongest_pixel(kernel)
    limit = _style.symmetric_limit(kernel)
    picture.imshow(np.ma.masked_invalid(kernel[..., lag]), cmap=_style.with_missing_grey(cmap), vmin=-limit, vmax=limit)
    # white, for the strongest pixel is the darkest
    picture.plot(column, row, marker="o", markersize=5, markerfacecolor="none", color="white", markeredgewidth=1.0)
    picture.set_xticks([])
    picture.set_yticks([])
    for spine in picture.spines.values():
        spine.set(visible=True, linewidth=0.5, color="#808080")
    width = 1.0 if dt_ms is None else float(dt_ms)
    lags = (np.arange(kernel.shape[-1]) - kernel.shape[-1] + 1) * width
    course.axhline(0.0, color=_style.MISSING_COLOUR, linewidth=0.8)
    course.axvline(lags[lag], color="#808080", linewidth=0.8, linestyle=":")
    course.plot(lags, kernel[row, column], color=_style.DATA_COLOUR, linewidth=1.2)
    course.set_xlim(_style.lag_extent(len(lags), dt_ms))
    course.set_ylim(-1.1 * limit, 1.1 * limit)
    course.xaxis.set_major_locator(_style.round_ticks(3, integer=dt_ms is None))
    course.set_yticks([-limit, 0.0, limit], [f"−{limit:.2g}", "0", f"{limit:.2g}"])
    course.tick_params(labelbottom=lowest, length=2.5, width=0.5, pad=2)
    _style.declutter(course, image=False)
    if lowest:
        course.set_xlabel(_style.lag_label(dt_ms), fontsize=_style.LABEL_SIZE)
