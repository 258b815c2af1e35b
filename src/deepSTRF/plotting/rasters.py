"""Spikes of every repeat above their mean and the prediction of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array, check_dt, check_same_length
from deepSTRF.plotting._excerpts import check_excerpt, excerpt_title
from deepSTRF.plotting._traces import RESPONSE_LABEL, draw_raster, draw_traces, mean_over_repeats

__all__ = ["plot_raster"]


def _draw_spikes(ax: Axes, counts: np.ndarray, dt_ms: float | None) -> None:
    """Draw a tick for every bin with spikes, thicker where there are several; grey is where a repeat has no data."""
    n_repeats, n_bins = counts.shape
    centres, end, time_label = _style.times(n_bins, dt_ms)
    missing = np.where(np.isnan(counts), 1.0, np.nan)
    ax.imshow(
        np.ma.masked_invalid(missing), origin="lower", aspect="auto", extent=(0.0, end, 0.5, n_repeats + 0.5),
        cmap=_style.one_colour(_style.MISSING_COLOUR),
    )  # fmt: skip
    repeats, bins = np.nonzero(np.nan_to_num(counts))
    ax.vlines(
        centres[bins], repeats + 0.6, repeats + 1.4,
        color=_style.DATA_COLOUR, linewidth=0.5 + 0.4 * counts[repeats, bins].clip(max=4),
    )  # fmt: skip
    ax.set(xlim=(0.0, end), ylim=(n_repeats + 0.5, 0.5))  # first repeat on top, as it is read
    ax.yaxis.set_major_locator(_style.round_ticks(4, integer=True))
    ax.set_xlabel(time_label, fontsize=_style.LABEL_SIZE)
    ax.set_ylabel("repeat", fontsize=_style.LABEL_SIZE)
    _style.declutter(ax, image=True)


def plot_raster(
    responses: Array,
    prediction: Array | None = None,
    dt_ms: float | None = None,
    title: str | None = None,
    *,
    response_label: str = RESPONSE_LABEL,
    axes: Sequence[Axes] | None = None,
    figsize: tuple[float, float] | None = None,
    excerpt: bool | tuple[int, int] = True,
) -> tuple[Figure, list[Axes]]:
    """Draw a raster above the mean response (PSTH) and the prediction of it.

    Spike counts are ticks, thicker where a bin has several; other responses, such as smoothed counts or calcium, are an
    image. Missing bins are grey. With the stimulus above them: :func:`plot_neuron`.

    Parameters
    ----------
    responses : array (T,) or (R, T)
        Responses, one row per repeat.
    prediction : array (T,), optional
        What the model predicts, in the unit of the responses.
    dt_ms : float, optional
        Bin width in milliseconds. With it the time axis is in seconds, otherwise in bins.
    title : str, optional
        Title of the figure.
    response_label : str
        Label of the response axis, with its unit.
    axes : sequence of 2 Axes, optional
        Panels to draw into. Otherwise a new figure is made, which pyplot does not know.
    figsize, excerpt
        As in :func:`plot_stim_with_response`.

    Returns
    -------
    fig : Figure
    axes : list of 2 Axes
        Raster and mean response.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If responses and prediction have different numbers of bins, or the number of axes is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from deepSTRF.plotting import plot_raster
    >>> rate = 0.2 + 0.2 * np.sin(np.arange(400) / 20)
    >>> fig, axes = plot_raster(np.random.default_rng(0).poisson(rate, (20, 400)), rate, 5.0, "unit 7")
    >>> [ax.get_ylabel() for ax in axes], axes[1].get_xlabel()
    (['repeat', 'response (a.u.)'], 'time (s)')
    """
    check_dt(dt_ms)
    repeats = np.atleast_2d(as_array(responses, "responses", (1, 2)))
    n_bins = repeats.shape[1]
    target = mean_over_repeats(repeats)
    pred = None
    if prediction is not None:
        pred = check_same_length("prediction", as_array(prediction, "prediction", (1,)), n_bins)
    begin, end = check_excerpt(excerpt, target, dt_ms)

    def create() -> tuple[Figure, list[Axes]]:
        new = _style.new_figure((6.5, 3.6) if figsize is None else figsize)
        return new, list(new.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.0)))

    fig, panels = _style.open_panels(axes, ("raster", "mean response"), create, title)
    shown = repeats[:, begin:end]
    finite = repeats[np.isfinite(repeats)]
    if (finite >= 0).all() and (finite == finite.round()).all():
        _draw_spikes(panels[0], shown, dt_ms)
    else:
        draw_raster(panels[0], shown, dt_ms, "Greys")
    draw_traces(
        panels[1], target[begin:end], None if pred is None else pred[begin:end], dt_ms, "PSTH", "prediction", True
    )
    panels[1].set_ylabel(response_label, fontsize=_style.LABEL_SIZE)
    if end - begin < n_bins:
        for panel in panels:
            _style.shift_times(panel, begin, dt_ms)
        text = f"{panels[1].get_xlabel()}: {excerpt_title(begin, end, n_bins, dt_ms)}"
        panels[1].set_xlabel(text, fontsize=_style.LABEL_SIZE)
    if axes is None:  # the time axis of the lower panel is that of both
        panels[0].set_xlabel("")
        panels[0].tick_params(bottom=False, labelbottom=False)
    return fig, panels
