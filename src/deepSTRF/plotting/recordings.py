"""What was recorded: which neuron heard which stimulus how often, rates and ceilings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepSTRF.checks import check_list
from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array, check_axes

__all__ = ["plot_coverage", "plot_recording"]

_MOST_NAMES = 30


def _as_counts(repeats: Array, stimuli: Sequence[str] | None, neurons: Sequence[str] | None) -> np.ndarray:
    """Return the numbers of repeats (S, N), for which there are as many names."""
    counts = as_array(repeats, "repeats", (2,))
    if not (counts >= 0).all():
        raise ValueError("repeats must be numbers of repeats, 0 where there is no data; some are negative or NaN")
    for name, names, n in (("stimuli", stimuli, counts.shape[0]), ("neurons", neurons, counts.shape[1])):
        if names is not None and len(check_list(name, names, "names")) != n:
            raise ValueError(f"{name} must have one name for each of {n}, got {len(names)}")
    return counts


def _draw_coverage(ax: Axes, counts: np.ndarray, stimuli: Sequence[str] | None) -> None:
    """Draw the numbers of repeats as an image, first stimulus on top, with a colour bar."""
    image = _style.draw_image(
        ax,
        np.where(counts > 0, counts, np.nan),
        (-0.5, counts.shape[1] - 0.5),
        "viridis",
        (1, max(counts.max(), 2)),
    )
    ax.invert_yaxis()
    ax.set_ylabel("stimulus", fontsize=_style.LABEL_SIZE)
    ax.yaxis.set_major_locator(_style.round_ticks(8, integer=True))
    bar = _style.figure_of(ax).colorbar(image, ax=ax, pad=0.01, ticks=_style.round_ticks(6, integer=True))
    bar.set_label("repeats (grey: no data)", fontsize=_style.LABEL_SIZE)
    bar.ax.tick_params(labelsize=_style.TICK_SIZE)
    if stimuli is not None and len(stimuli) <= _MOST_NAMES:
        ax.set_yticks(np.arange(len(stimuli)), stimuli)


def _name_neurons(ax: Axes, neurons: Sequence[str] | None) -> None:
    ax.set_xlabel("neuron", fontsize=_style.LABEL_SIZE)
    if neurons is not None and len(neurons) <= _MOST_NAMES:
        ax.set_xticks(np.arange(len(neurons)), neurons, rotation=0 if sum(map(len, neurons)) < 40 else 90)


def plot_coverage(
    repeats: Array,
    *,
    stimuli: Sequence[str] | None = None,
    neurons: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw which neuron heard which stimulus how often.

    Parameters
    ----------
    repeats, stimuli, neurons
        As in :func:`plot_recording`.
    ax : Axes, optional
        Panel to draw into. Otherwise a new figure is made, ``ax.figure``, which pyplot does not know.
    title : str, optional
        Title; the part of the pairs of neuron and stimulus that were recorded is appended.
    figsize : (float, float), optional
        Size of the new figure in inches.

    Returns
    -------
    Axes
        With a row for each stimulus and a column for each neuron.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `repeats` is not (S, N), has negative or undefined entries, or there are other numbers of names.

    Examples
    --------
    >>> from deepSTRF.plotting import plot_coverage
    >>> plot_coverage([[3, 0], [3, 5]], title="penetration 3").get_title()
    'penetration 3, 75 % recorded'
    """
    counts = _as_counts(repeats, stimuli, neurons)
    if ax is None:
        n_stimuli, n_neurons = counts.shape
        size = (max(4.5, min(0.1 * n_neurons + 2.5, 14.0)), max(2.6, min(0.2 * n_stimuli + 1.2, 8.0)))
        ax = _style.new_figure(size if figsize is None else figsize).subplots()
    check_axes([ax])
    part = f"{100 * float((counts > 0).mean()):.3g} % recorded"
    _style.set_axes_title(ax, f"{title}, {part}" if title else part, _style.axes_width(ax))
    _draw_coverage(ax, counts, stimuli)
    ax.xaxis.set_major_locator(_style.round_ticks(10, integer=True))
    _name_neurons(ax, neurons)
    return ax


def plot_recording(
    repeats: Array,
    rates_hz: Array | Sequence[float],
    ceilings: Array | Sequence[float],
    *,
    stimuli: Sequence[str] | None = None,
    neurons: Sequence[str] | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw coverage, rates and noise ceilings of a recording, neuron under neuron.

    Parameters
    ----------
    repeats : array (S, N)
        Repeats of each stimulus that each neuron was recorded in; 0, drawn grey, is no data.
    rates_hz, ceilings : array (N,)
        Mean response per second, and noise ceiling; NaN where undefined.
    stimuli, neurons : sequence of str, optional
        Their names, which are written where there are at most 30.
    title, figsize
        Title, and width and height in inches.

    Returns
    -------
    Figure
        Which pyplot does not know.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the arrays don't have one value per neuron.

    Examples
    --------
    >>> from deepSTRF.plotting import plot_recording
    >>> figure = plot_recording([[3, 0], [3, 5]], [4.0, 12.5], [0.8, float("nan")])
    >>> [ax.get_ylabel() for ax in figure.axes[:3]]
    ['stimulus', 'rate (1/s)', 'noise ceiling']
    """
    counts = _as_counts(repeats, stimuli, neurons)
    rates, highest = as_array(rates_hz, "rates_hz", (1,)), as_array(ceilings, "ceilings", (1,))
    n_neurons = counts.shape[1]
    if not len(rates) == len(highest) == n_neurons:
        raise ValueError(
            f"rates_hz and ceilings must have one value for each of {n_neurons} neurons, got {len(rates)} and "
            f"{len(highest)}"
        )
    fig = _style.new_figure(figsize or (max(5.0, min(0.12 * n_neurons + 2.5, 14.0)), 6.0))
    _style.set_figure_title(fig, title)
    coverage, rate, ceiling = fig.subplots(3, sharex=True, height_ratios=(3, 1, 1))
    _draw_coverage(coverage, counts, stimuli)
    at = np.arange(n_neurons)
    rate.bar(at, rates, width=0.8, color=_style.DATA_COLOUR)
    rate.set_ylabel("rate (1/s)", fontsize=_style.LABEL_SIZE)
    ceiling.scatter(at, highest, s=16, color=_style.SCORE_COLOURS[0], linewidths=0, clip_on=False, zorder=3)
    undefined = np.isnan(highest)
    ceiling.scatter(
        at[undefined], np.zeros(int(undefined.sum())), s=16, marker="x", color=_style.SCORE_COLOURS[1], linewidths=1,
        label=f"undefined (n = {int(undefined.sum())})", clip_on=False, zorder=3,
    )  # fmt: skip
    if undefined.any():
        ceiling.legend(frameon=False, fontsize=_style.NOTE_SIZE, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    ceiling.set(ylim=(0, 1))
    ceiling.set_ylabel("noise ceiling", fontsize=_style.LABEL_SIZE)
    for ax in (rate, ceiling):
        ax.xaxis.set_major_locator(_style.round_ticks(10, integer=True))
        _style.declutter(ax, image=False)
    _name_neurons(ceiling, neurons)
    return fig
