"""What was recorded: which neuron heard which stimulus how often, rates and ceilings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array

__all__ = ["plot_recording"]

_MOST_NAMES = 30


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
    counts = as_array(repeats, "repeats", (2,)).astype(float)
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
    image = _style.draw_image(
        coverage, np.where(counts > 0, counts, np.nan), (-0.5, n_neurons - 0.5), "viridis", (1, max(counts.max(), 2))
    )
    coverage.invert_yaxis()
    coverage.set_ylabel("stimulus", fontsize=_style.LABEL_SIZE)
    coverage.yaxis.set_major_locator(_style.round_ticks(8, integer=True))
    bar = fig.colorbar(image, ax=coverage, pad=0.01, ticks=_style.round_ticks(6, integer=True))
    bar.set_label("repeats (grey: no data)", fontsize=_style.LABEL_SIZE)
    bar.ax.tick_params(labelsize=_style.TICK_SIZE)
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
    ceiling.set_xlabel("neuron", fontsize=_style.LABEL_SIZE)
    for ax in (rate, ceiling):
        ax.xaxis.set_major_locator(_style.round_ticks(10, integer=True))
        _style.declutter(ax, image=False)
    if stimuli is not None and len(stimuli) <= _MOST_NAMES:
        coverage.set_yticks(np.arange(len(stimuli)), stimuli)
    if neurons is not None and len(neurons) <= _MOST_NAMES:
        ceiling.set_xticks(at, neurons, rotation=0 if sum(map(len, neurons)) < 40 else 90)
    return fig
