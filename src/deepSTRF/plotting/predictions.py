"""Predicted responses of a population to new stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepSTRF.checks import check_list
from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array, check_dt, check_frequencies, check_titles

__all__ = ["plot_predictions"]

_MOST = 4  # stimuli of a figure


def plot_predictions(
    stimuli: Sequence[Array | None],
    predictions: Sequence[Array],
    names: Sequence[str] | None = None,
    *,
    dt_ms: float | None = None,
    frequencies_hz: Any = None,
) -> tuple[Figure, list[Axes]]:
    """Draw what a model predicts for new stimuli: every neuron over time, below each stimulus.

    Parameters
    ----------
    stimuli : sequence of array (F, T) or None
        Spectrograms; None for a stimulus that is no spectrogram.
    predictions : sequence of array (N, T)
        Predicted responses; those to the first four stimuli are drawn.
    names : sequence of str, optional
        Titles of the stimuli.
    dt_ms : float, optional
        Width of a bin in ms.
    frequencies_hz : array (F,), optional
        Centres of the bands.

    Returns
    -------
    fig : Figure
        Not known to pyplot; keep it with ``fig.savefig``.
    axes : list of Axes
        Per stimulus its spectrogram and the predictions.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If there is not one prediction per stimulus, or shapes don't fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> fig, axes = plot_predictions([rng.normal(size=(8, 100))], [rng.normal(size=(5, 100))], ["rain"], dt_ms=5.0)
    >>> [ax.get_ylabel() for ax in axes]
    ['frequency band', 'neuron']
    """
    check_list("stimuli", stimuli, "spectrograms (F, T) or None")
    check_list("predictions", predictions, "arrays (N, T)")
    check_dt(dt_ms)
    if not len(stimuli) == len(predictions) > 0:
        raise ValueError(f"expected one prediction per stimulus, got {len(predictions)} and {len(stimuli)} stimuli")
    titles = check_titles(names, len(stimuli))
    shown = min(len(stimuli), _MOST)
    rates = [as_array(predictions[k], f"predictions[{k}]", (2,)) for k in range(shown)]
    fig = _style.new_figure((max(_style.SMALLEST_INCHES[0], 3.0 * shown + 0.8), 4.2))
    grid = fig.subplots(2, shown, squeeze=False)
    finite = np.concatenate([values[np.isfinite(values)] for values in rates])
    limits = (min(0.0, float(finite.min())), float(finite.max())) if finite.size else None
    for k in range(shown):
        _, end, label = _style.times(rates[k].shape[1], dt_ms)
        above, below = grid[:, k]
        _style.set_axes_title(above, titles[k], 2.6)
        stimulus = stimuli[k]
        if stimulus is None:
            above.set_axis_off()
        else:
            bands = as_array(stimulus, f"stimuli[{k}]", (2,))
            _style.draw_image(above, bands, (0.0, end), "magma")
            ylabel = _style.label_frequencies(above, check_frequencies(frequencies_hz, len(bands)), len(bands))
            above.set_ylabel(ylabel if k == 0 else "", fontsize=_style.LABEL_SIZE)
        image = _style.draw_image(below, rates[k], (0.0, end), "viridis", limits)
        below.set_ylabel("neuron" if k == 0 else "", fontsize=_style.LABEL_SIZE)
        below.yaxis.set_major_locator(_style.round_ticks(5, integer=True))
        below.set_xlabel(label, fontsize=_style.LABEL_SIZE)
    bar = fig.colorbar(image, ax=list(grid[1]))
    bar.set_label("predicted response per bin", fontsize=_style.NOTE_SIZE)
    return fig, [ax for column in grid.T for ax in column]
