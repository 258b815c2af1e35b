"""Receptive fields that change along a stimulus, as a strip of film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepSTRF.checks import check_integer
from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array, check_dt, check_frequencies, check_same_length
from deepSTRF.plotting.strfs import draw_strf, label_figure, label_outer

__all__ = ["plot_dynamic_strf"]

FRAME_INCHES = 1.25


def plot_dynamic_strf(
    fields: Array,
    bins: Sequence[int] | Array | None = None,
    dt_ms: float | None = None,
    *,
    frames: int | Sequence[int] = 6,
    frequencies_hz: Array | Sequence[float] | None = None,
    prediction: Array | None = None,
    response_label: str = "prediction (a.u.)",
    cmap: str = "RdBu_r",
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw locally linear receptive fields (dSTRF) at some bins of a stimulus side by side, on one colour scale.

    Red excites, blue suppresses; the last column of each is the current bin, the title when that was.

    Parameters
    ----------
    fields : array (T, F, L)
        One neuron's field at each bin, for example ``dynamic_strf(model, stimulus).fields[neuron]``: low frequencies
        first, the current bin last.
    bins : sequence of T int, optional
        Which bins of the stimulus these are. Default: 0 to T − 1.
    dt_ms : float, optional
        Bin width in milliseconds. With it lags are in milliseconds and times in seconds, otherwise both in bins.
    frames : int or sequence of int
        How many fields to draw, evenly over `bins`; or which of the `bins`.
    frequencies_hz : array (F,), optional
        Centre frequency of each band, rising. With it the frequency axis is in kHz, otherwise in bands.
    prediction : array (T,), optional
        The neuron's prediction at `bins`, drawn above with the frames marked.
    response_label : str
        Label of the axis of the prediction, with its unit.
    cmap : str
        Diverging colour map.
    title : str, optional
        Title of the figure.
    figsize : (float, float), optional
        Size of the figure in inches.

    Returns
    -------
    fig : Figure
        Not known to pyplot; keep it with ``fig.savefig``.
    axes : list of Axes
        The frames, after the panel of the prediction where there is one.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `fields` is not (T, F, L), `bins` does not rise, a frame is not among them, or lengths don't agree.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.plotting import plot_dynamic_strf
    >>> fig, axes = plot_dynamic_strf(torch.randn(100, 34, 20), dt_ms=5.0, frames=[10, 40, 80])
    >>> [ax.get_title() for ax in axes]
    ['0.05 s', '0.2 s', '0.4 s']
    """
    kernels = as_array(fields, "fields", (3,))
    check_dt(dt_ms)
    n_times, n_bands, n_lags = kernels.shape
    at = np.arange(n_times) if bins is None else as_array(bins, "bins", (1,)).astype(int)
    if len(at) != n_times or (np.diff(at) <= 0).any():
        raise ValueError(f"bins must rise, one for each of {n_times} fields, got {len(at)}: {at.tolist()[:10]}")
    chosen = _chosen(frames, at)
    frequencies = check_frequencies(frequencies_hz, n_bands)
    n_rows = 1 if prediction is None else 2
    size = (FRAME_INCHES * len(chosen) + 1.6, 2.4 if n_rows == 1 else 3.6)
    fig = _style.new_figure((max(4.5, size[0]), size[1]) if figsize is None else figsize)
    _style.set_figure_title(fig, title)
    grid = fig.add_gridspec(n_rows, len(chosen), height_ratios=(1.0,) if n_rows == 1 else (0.7, 1.0))
    axes: list[Axes] = []
    width = 1.0 if dt_ms is None else dt_ms / 1000.0
    if prediction is not None:
        trace = check_same_length("prediction", as_array(prediction, "prediction", (1,)), n_times)
        axes.append(fig.add_subplot(grid[0, :]))
        _draw_prediction(axes[0], at * width, trace, chosen, dt_ms, response_label)

    limit = _style.symmetric_limit(kernels[chosen])
    image, frequency_label, strip = None, "", []
    for k, index in enumerate(chosen):
        ax = fig.add_subplot(grid[-1, k])
        image = draw_strf(ax, kernels[index], dt_ms, cmap, limit)
        frequency_label = label_outer(ax, k == 0, True, frequencies, n_bands, n_lags, dt_ms)
        ax.set_title(f"bin {at[index]}" if dt_ms is None else f"{at[index] * width:.4g} s", fontsize=_style.NOTE_SIZE)
        strip.append(ax)
    strip[0].set_ylabel(frequency_label, fontsize=_style.LABEL_SIZE)
    label_figure(fig, image, strip, True, dt_ms, "")
    if image is not None and image.colorbar is not None:  # the usual label is longer than one row of panels is high
        image.colorbar.set_label("response per\nstimulus unit", fontsize=_style.NOTE_SIZE)
    return fig, axes + strip


def _chosen(frames: int | Sequence[int], at: np.ndarray) -> np.ndarray:
    """Return the indices of the fields to draw."""
    if isinstance(frames, (int, np.integer)):
        count = min(check_integer("frames", frames), len(at))
        return np.linspace(0, len(at) - 1, count).round().astype(int)
    asked = as_array(frames, "frames", (1,)).astype(int)
    unknown = [int(frame) for frame in asked if frame not in at]
    if unknown:
        raise ValueError(f"frames must be among the bins {at[0]} to {at[-1]} of the fields, got {unknown}")
    return np.searchsorted(at, asked)


def _draw_prediction(
    ax: Axes, times: np.ndarray, trace: np.ndarray, chosen: np.ndarray, dt_ms: float | None, label: str
) -> None:
    ax.plot(times, trace, color=_style.DATA_COLOUR, linewidth=0.9)
    ax.plot(times[chosen], trace[chosen], "v", color=_style.PREDICTION_COLOUR, markersize=5, clip_on=False)
    ax.set_xlim(times[0], times[-1] if len(times) > 1 else times[0] + 1)
    ax.set_xlabel(_style.times(1, dt_ms)[2], fontsize=_style.LABEL_SIZE)
    ax.set_ylabel(label, fontsize=_style.LABEL_SIZE)
    ax.yaxis.set_major_locator(_style.round_ticks(4))
    _style.declutter(ax, image=False)
