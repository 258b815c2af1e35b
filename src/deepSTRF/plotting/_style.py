"""What all figures share: colours, panels, and axes in seconds, milliseconds and kilohertz.

Font sizes are relative names ("medium", "small"), so that a user's own ``font.size`` is honoured; nothing here reads or
writes any other global setting of matplotlib.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deepSTRF.checks import check_integer
from deepSTRF.plotting._arrays import as_array, check_axes

# Okabe & Ito's palette, safe for colour-blind readers (https://jfly.uni-koeln.de/color/).
DATA_COLOUR = "#404040"
PREDICTION_COLOUR = "#D55E00"
SCORE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MISSING_COLOUR = "#D9D9D9"  # neither white (zero of a diverging map) nor a colour of the map

SMALLEST_INCHES = (3.2, 2.4)  # of a figure whose size is not given

LABEL_SIZE = "medium"
TICK_SIZE = "small"
NOTE_SIZE = "small"


def round_ticks(max_ticks: int, integer: bool = False) -> MaxNLocator:
    """Ticks at multiples of 1, 2 or 5 times a power of ten."""
    return MaxNLocator(nbins=max_ticks, steps=[1, 2, 5, 10], integer=integer, min_n_ticks=1)


def new_figure(figsize: tuple[float, float]) -> Figure:
    """Return a figure that pyplot does not know: it needs no closing and touches no backend."""
    size = as_array(figsize, "figsize", (1,))
    if size.shape != (2,) or not (np.isfinite(size) & (size > 0)).all():
        raise ValueError(f"figsize must be (width, height) in inches, both positive, got {figsize!r}")
    return Figure(figsize=figsize, layout="constrained")


def wrap(text: str, width_inches: float, size: str) -> str:
    """Break `text` into lines that fit into `width_inches`."""
    points = FontProperties(size=size).get_size_in_points()
    letters = max(8, int(width_inches * 72 / (0.55 * points)))  # a sans-serif letter is about 0.55 em wide
    return "\n".join(textwrap.fill(line, width=letters) for line in str(text).strip().splitlines())


def set_figure_title(fig: Figure, text: str | None) -> None:
    """Title the whole figure, wrapped to its width."""
    if text:
        fig.suptitle(wrap(text, 0.95 * fig.get_figwidth(), "large"), fontsize="large")


def set_axes_title(ax: Axes, text: str | None, width_inches: float) -> None:
    """Title one panel, wrapped to `width_inches`."""
    if text:
        ax.set_title(wrap(text, width_inches, LABEL_SIZE), fontsize=LABEL_SIZE)


def open_panels(
    axes: Sequence[Axes] | None,
    contents: Sequence[str],
    create: Callable[[], tuple[Figure, list[Axes]]],
    title: str | None,
) -> tuple[Figure, list[Axes]]:
    """Return titled panels to draw into, one for each of `contents`: the given `axes`, or new ones."""
    if axes is None:
        fig, panels = create()
        set_figure_title(fig, title)
        return fig, panels
    panels = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(panels) != len(contents):
        raise ValueError(f"axes must hold {len(contents)} panels, for {', '.join(contents)}; got {len(panels)}")
    check_axes(panels)
    set_axes_title(panels[0], title, axes_width(panels[0]))
    return figure_of(panels[0]), panels


def legend_above(ax: Axes, title: str | None) -> None:
    """Put the legend above a panel whose points may lie anywhere inside, and the title above the legend."""
    legend = ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        frameon=False,
        fontsize=NOTE_SIZE,
        borderaxespad=0.2,
        labelspacing=0.3,
    )
    if title:
        line = 1.4 * float(legend.get_texts()[0].get_fontsize())
        lines = sum(1 + text.get_text().count("\n") for text in legend.get_texts())
        ax.set_title(
            wrap(title, 0.8 * figure_of(ax).get_figwidth(), LABEL_SIZE), fontsize=LABEL_SIZE, pad=14 + line * lines
        )


class FieldPanels(NamedTuple):
    """The panels of one receptive field, and where in the grid they are."""

    panels: list[Axes]
    leftmost: bool
    lowest: bool


def open_grid(
    titles: Sequence[str],
    ncols: int,
    tile: tuple[int, int],
    tile_inches: tuple[float, float],
    margin_inches: tuple[float, float],
    figsize: tuple[float, float] | None,
    suptitle: str | None,
) -> tuple[Figure, list[FieldPanels]]:
    """Return a new figure with a tile of panels, (rows, columns), for each of `titles`, and `ncols` tiles per row."""
    ncols = min(check_integer("ncols", ncols), len(titles))
    nrows = math.ceil(len(titles) / ncols)
    if figsize is None:
        wanted = (tile_inches[0] * ncols + margin_inches[0], tile_inches[1] * nrows + margin_inches[1])
        figsize = (max(SMALLEST_INCHES[0], wanted[0]), max(SMALLEST_INCHES[1], wanted[1]))
    fig = new_figure(figsize)
    grid = fig.subplots(nrows * tile[0], ncols * tile[1], squeeze=False)
    tiles = grid.reshape(nrows, tile[0], ncols, tile[1]).swapaxes(1, 2).reshape(nrows * ncols, -1)
    for unused in tiles[len(titles) :].flat:
        unused.remove()
    set_figure_title(fig, suptitle)
    fields = []
    for k, (title, panels) in enumerate(zip(titles, tiles, strict=False)):
        set_axes_title(panels[0], title, figsize[0] / ncols * 0.85)
        fields.append(FieldPanels(list(panels), k % ncols == 0, k + ncols >= len(titles)))
    return fig, fields


def figure_of(ax: Axes) -> Figure:
    """Return the whole figure that a panel is in, also where it lies in a part of one."""
    fig = ax.get_figure()
    if isinstance(fig, SubFigure):
        fig = fig.figure
    if not isinstance(fig, Figure):
        raise ValueError("the axes given belong to no figure: they were removed from it")
    return fig


def axes_width(ax: Axes) -> float:
    """Width of a panel in inches, before the layout is made."""
    return float(ax.get_position().width * figure_of(ax).get_figwidth())


def declutter(ax: Axes, image: bool) -> None:
    """Take away the frame: all of it around an image, top and right otherwise."""
    for side in ("left", "right", "top", "bottom") if image else ("right", "top"):
        ax.spines[side].set_visible(False)
    ax.tick_params(labelsize=TICK_SIZE)


def with_missing_grey(cmap: str | Colormap) -> Colormap:
    """Return a copy of the colour map that shows NaN in grey."""
    return (colormaps[cmap] if isinstance(cmap, str) else cmap).with_extremes(bad=MISSING_COLOUR)


def one_colour(colour: str) -> Colormap:
    """Return a colour map of one colour, for the places where a masked image has values."""
    return ListedColormap([colour])


def symmetric_limit(*arrays: np.ndarray) -> float:
    """Largest finite magnitude in `arrays`, the colour limit on both sides of zero; 1 where there is none."""
    limit = 0.0
    for array in arrays:
        finite = array[np.isfinite(array)]
        if finite.size:
            limit = max(limit, float(np.abs(finite).max()))
    return limit if limit > 0 else 1.0


def times(n_bins: int, dt_ms: float | None) -> tuple[np.ndarray, float, str]:
    """Bin centres, end of the last bin and axis label: seconds, or bins where `dt_ms` is None."""
    width, label = (1.0, "time (bins)") if dt_ms is None else (dt_ms / 1000.0, "time (s)")
    return (np.arange(n_bins) + 0.5) * width, n_bins * width, label


def shift_times(ax: Axes, begin: int, dt_ms: float | None) -> None:
    """Label the time axis of a panel from `begin` bins on, for an excerpt that is drawn from zero."""
    offset = begin * (1.0 if dt_ms is None else dt_ms / 1000.0)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value + offset:g}"))


def draw_line(ax: Axes, x: np.ndarray, values: np.ndarray) -> None:
    """Draw one band over time or lag as a curve."""
    ax.plot(x, values, color=DATA_COLOUR, linewidth=0.9)
    ax.yaxis.set_major_locator(round_ticks(4))
    declutter(ax, image=False)


def lag_extent(n_lags: int, dt_ms: float | None) -> tuple[float, float]:
    """Left and right edge of the lag axis; columns are centred on their lag, the last one on 0."""
    width = 1.0 if dt_ms is None else float(dt_ms)
    return -(n_lags - 0.5) * width, 0.5 * width


def lag_label(dt_ms: float | None) -> str:
    """Label of a lag axis with its unit."""
    return "lag (bins)" if dt_ms is None else "lag (ms)"


def frequency_ticks(frequencies_hz: np.ndarray, max_ticks: int) -> tuple[np.ndarray, list[str]]:
    """Band positions and kHz labels: octaves of 1 kHz for log-spaced bands, round steps for evenly spaced ones."""
    bands = np.arange(len(frequencies_hz))
    low, high = float(frequencies_hz[0]), float(frequencies_hz[-1])
    steps = np.diff(frequencies_hz)
    even = len(steps) > 1 and np.ptp(steps) < 0.05 * steps.mean()
    if not even and low > 0:
        # a tenth of an octave of slack, so that a lowest band at 502 Hz still gets its 0.5
        first = math.ceil(math.log2(low / 1000) - 0.1)
        last = math.floor(math.log2(high / 1000) + 0.1)
        octaves = np.arange(first, last + 1)
        if len(octaves) >= 2:
            every = math.ceil(len(octaves) / max_ticks)
            khz = 2.0 ** octaves[octaves % every == 0]
            log_frequencies = np.log(frequencies_hz)
            slope = (log_frequencies[-1] - log_frequencies[0]) / max(1, len(bands) - 1)
            positions = np.interp(np.log(khz * 1000), log_frequencies, bands)
            positions += np.clip(np.log(khz * 1000 / high), 0, None) / slope  # beyond the outer band centres
            positions -= np.clip(np.log(low / (khz * 1000)), 0, None) / slope
            inside = (positions >= -0.5) & (positions <= bands[-1] + 0.5)
            return positions[inside], [f"{value:g}" for value in khz[inside]]
    khz = np.asarray(round_ticks(max_ticks).tick_values(low / 1000, high / 1000))
    khz = khz[(khz >= low / 1000) & (khz <= high / 1000)]
    if khz.size == 0:
        khz = np.asarray([low / 1000])
    return np.interp(khz * 1000, frequencies_hz, bands), [f"{value:g}" for value in khz]


def label_frequencies(ax: Axes, frequencies: np.ndarray | None, n_bands: int, max_ticks: int = 6) -> str:
    """Set the ticks of a band axis and return the label that belongs to it."""
    if frequencies is None:
        ax.yaxis.set_major_locator(round_ticks(max_ticks, integer=True))
        return "frequency band"
    positions, labels = frequency_ticks(frequencies, max_ticks)
    ax.set_yticks(positions, labels)
    return "frequency (kHz)"


def draw_image(
    ax: Axes,
    values: np.ndarray,
    x_edges: tuple[float, float],
    cmap: str | Colormap,
    limits: tuple[float, float] | None = None,
    first_row: float = 0.0,
) -> AxesImage:
    """Draw `values` with rows centred on ``first_row, first_row + 1, …`` from bottom to top."""
    vmin, vmax = limits or (None, None)
    image = ax.imshow(
        np.ma.masked_invalid(values),
        origin="lower",
        aspect="auto",
        extent=(*x_edges, first_row - 0.5, first_row + len(values) - 0.5),
        cmap=with_missing_grey(cmap),
        vmin=vmin,
        vmax=vmax,
    )
    declutter(ax, image=True)
    return image
