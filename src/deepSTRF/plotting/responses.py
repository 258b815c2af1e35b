"""A stimulus, the responses to it, and what a model predicts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepSTRF.checks import describe_type
from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import (
    Array,
    as_array,
    as_spectrogram,
    check_axes,
    check_dt,
    check_frequencies,
    check_same_length,
    correlation,
)
from deepSTRF.plotting._excerpts import check_excerpt, excerpt_title
from deepSTRF.plotting._traces import RESPONSE_LABEL, draw_band, draw_raster, draw_traces, mean_over_repeats

__all__ = ["plot_neuron", "plot_psth_vs_pred", "plot_stim_with_response"]


def _draw_spectrogram(
    ax: Axes, stim: np.ndarray, dt_ms: float | None, cmap: str, frequencies: np.ndarray | None
) -> None:
    centres, end, time_label = _style.times(stim.shape[1], dt_ms)
    if len(stim) == 1:  # a curve says more than one row of colours
        _style.draw_line(ax, centres, stim[0])
        ax.set_xlabel(time_label, fontsize=_style.LABEL_SIZE)
        ax.set_ylabel("stimulus", fontsize=_style.LABEL_SIZE)
        return
    _style.draw_image(ax, stim, (0.0, end), cmap)
    ax.set_xlabel(time_label, fontsize=_style.LABEL_SIZE)
    ax.set_ylabel(_style.label_frequencies(ax, frequencies, len(stim)), fontsize=_style.LABEL_SIZE)


def _draw_waveform(ax: Axes, waveform: np.ndarray, n_bins: int, dt_ms: float | None) -> None:
    """Fill between the lowest and the highest sample of every bin, which is all that a page can show."""
    centres, _, time_label = _style.times(n_bins, dt_ms)
    samples = waveform.reshape(n_bins, -1)
    ax.fill_between(centres, samples.min(1), samples.max(1), color=_style.DATA_COLOUR, linewidth=0.3)
    ax.set_xlabel(time_label, fontsize=_style.LABEL_SIZE)
    ax.set_ylabel("sound", fontsize=_style.LABEL_SIZE)
    ax.yaxis.set_major_locator(_style.round_ticks(4))
    _style.declutter(ax, image=False)


def _as_stimulus(stim: Any, n_bins: int) -> np.ndarray:
    """Return a spectrogram (F, T), or a waveform (T_audio,) of whole bins."""
    array = as_array(stim, "stim", (1, 2, 3))
    if array.ndim == 1:
        if len(array) % n_bins or len(array) == n_bins:
            raise ValueError(
                "stim must have 2 or 3 dimensions, (F, T) or (1, F, T), or be a waveform with the same number of "
                f"samples, at least 2, for each of the {n_bins} bins of the response; got shape {array.shape}"
            )
        return array
    spectrogram = as_spectrogram(array, "stim")
    if spectrogram.shape[1] != n_bins:
        raise ValueError(
            f"stim and response must have the same number of time bins, got {spectrogram.shape[1]} and {n_bins}"
        )
    return spectrogram


def _new_panels(n_panels: int, n_bins: int, figsize: tuple[float, float] | None) -> tuple[Figure, list[Axes]]:
    """Make stacked panels on one time axis; long recordings get a wider figure, so that the traces stay readable."""
    if figsize is None:
        width = min(12.0, max(6.5, n_bins / 150.0))
        figsize = (width, 5.4 if n_panels == 3 else 4.0)
    fig = _style.new_figure(figsize)
    ratios = [1.2, 0.8, 1.0] if n_panels == 3 else [1.0, 0.9]
    axes = list(fig.subplots(n_panels, 1, sharex=True, gridspec_kw={"height_ratios": ratios}))
    return fig, axes


def plot_stim_with_response(
    stim: Array,
    response: Array,
    pred: Array | None = None,
    dt_ms: float | None = None,
    title: str | None = None,
    spec_cmap: str = "magma",
    raster_cmap: str = "Greys",
    axes: Sequence[Axes] | None = None,
    figsize: tuple[float, float] | None = None,
    *,
    frequencies_hz: Array | Sequence[float] | None = None,
    psth: Array | None = None,
    excerpt: bool | tuple[int, int] = True,
) -> tuple[Figure, list[Axes]]:
    """Draw a spectrogram or a waveform above the responses to it.

    Three panels for several repeats (stimulus, repeats as an image, their mean), two for a single trial
    (stimulus, response). Missing bins (NaN) are grey in the images and gaps in the traces. A stimulus of one band is a
    curve. Of more than 10 s (or 2000 bins without `dt_ms`), 5 s (1000 bins) are drawn, where the mean response is
    strongest; the label of the time axis says which, and `excerpt` chooses.

    Parameters
    ----------
    stim : array (F, T) or (1, F, T), or (T_audio,)
        Spectrogram, low frequencies first; or a waveform, of which the range in every bin is drawn.
    response : array (T,) or (R, T)
        Responses, one row per repeat.
    pred : array (T,), optional
        Prediction, drawn over the mean response.
    dt_ms : float, optional
        Bin width in milliseconds. With it the time axis is in seconds, otherwise in bins.
    title : str, optional
        Title; wrapped where it is longer than the figure is wide.
    spec_cmap, raster_cmap : str
        Colour maps of spectrogram and repeats.
    axes : sequence of Axes, optional
        Panels to draw into, as many as needed. Otherwise a new figure is made, which pyplot does not know: show it by
        evaluating ``fig`` in a notebook, keep it with ``fig.savefig``.
    figsize : (float, float), optional
        Size of the new figure in inches.
    frequencies_hz : array (F,), optional
        Centre frequency of each band, rising. With it the frequency axis is in kHz, otherwise in bands.
    psth : array (T,), optional
        Drawn instead of the mean over repeats.
    excerpt : bool or (int, int)
        Whether to draw an excerpt of what is too long to be read; or the first bin and the end of what to draw.

    Returns
    -------
    fig : Figure
    axes : list of Axes
        The panels from top to bottom.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or numbers of time bins don't fit together, or the number of axes is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from deepSTRF.plotting import plot_stim_with_response
    >>> rng = np.random.default_rng(0)
    >>> fig, axes = plot_stim_with_response(rng.normal(size=(34, 200)), rng.poisson(0.2, (10, 200)), dt_ms=5.0)
    >>> [ax.get_ylabel() for ax in axes]
    ['frequency band', 'repeat', 'response (a.u.)']
    >>> axes[-1].get_xlabel()
    'time (s)'
    """
    check_dt(dt_ms)
    responses = np.atleast_2d(as_array(response, "response", (1, 2)))
    n_repeats, n_bins = responses.shape
    stimulus = _as_stimulus(stim, n_bins)
    prediction = None if pred is None else check_same_length("pred", as_array(pred, "pred", (1,)), n_bins)
    target = mean_over_repeats(responses)
    if psth is not None:
        target = check_same_length("psth", as_array(psth, "psth", (1,)), n_bins)
    frequencies = None if stimulus.ndim == 1 else check_frequencies(frequencies_hz, len(stimulus))

    begin, end = check_excerpt(excerpt, target, dt_ms)
    part = slice(begin, end)
    if stimulus.ndim == 1:
        per_bin = len(stimulus) // n_bins
        stimulus = stimulus[begin * per_bin : end * per_bin]
    else:
        stimulus = stimulus[:, part]
    responses, target = responses[:, part], target[part]
    prediction = None if prediction is None else prediction[part]

    contents = ("stimulus", "repeats", "mean response") if n_repeats > 1 else ("stimulus", "response")
    create = functools.partial(_new_panels, len(contents), end - begin, figsize)
    fig, panels = _style.open_panels(axes, contents, create, title)
    if stimulus.ndim == 1:
        _draw_waveform(panels[0], stimulus, end - begin, dt_ms)
    else:
        _draw_spectrogram(panels[0], stimulus, dt_ms, spec_cmap, frequencies)
    if n_repeats > 1:
        draw_raster(panels[1], responses, dt_ms, raster_cmap)
    draw_traces(panels[-1], target, prediction, dt_ms, contents[-1], "prediction", True)
    if end - begin < n_bins:
        for panel in panels:
            _style.shift_times(panel, begin, dt_ms)
        shown = excerpt_title(begin, end, n_bins, dt_ms)
        panels[-1].set_xlabel(f"{panels[-1].get_xlabel()}: {shown}", fontsize=_style.LABEL_SIZE)
    if axes is None:
        for panel in panels[:-1]:  # they share the time axis of the lowest one
            panel.set_xlabel("")
            panel.tick_params(bottom=False, labelbottom=False)
    return fig, panels


def plot_psth_vs_pred(
    target: Array,
    pred: Array,
    dt_ms: float | None = None,
    title: str | None = None,
    target_label: str = "PSTH",
    pred_label: str = "prediction",
    ax: Axes | None = None,
    legend: bool = True,
) -> Axes:
    """Draw a mean response and the prediction of it on one axis.

    Parameters
    ----------
    target, pred : array (T,)
        Mean response and prediction, in the same unit. NaN leaves a gap.
    dt_ms : float, optional
        Bin width in milliseconds. With it the time axis is in seconds, otherwise in bins.
    title : str, optional
        Title of the panel.
    target_label, pred_label : str
        Names in the legend.
    ax : Axes, optional
        Panel to draw into. Otherwise a new figure is made, ``ax.figure``, which pyplot does not know.
    legend : bool
        Whether to draw the legend.

    Returns
    -------
    Axes
        With one curve for each of the two.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `target` and `pred` are not one-dimensional and of the same length.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.plotting import plot_psth_vs_pred
    >>> ax = plot_psth_vs_pred(torch.rand(100), torch.rand(100), dt_ms=5.0, title="unit 7")
    >>> float(ax.get_xlim()[1])  # 100 bins of 5 ms, in seconds
    0.5
    """
    check_dt(dt_ms)
    target_array, pred_array = as_array(target, "target", (1,)), as_array(pred, "pred", (1,))
    if target_array.shape != pred_array.shape:
        raise ValueError(
            f"target and pred must have the same length, got {len(target_array)} and {len(pred_array)} bins"
        )
    if ax is None:
        ax = _style.new_figure((6.5, 2.4)).subplots()
    check_axes([ax])
    draw_traces(ax, target_array, pred_array, dt_ms, target_label, pred_label, legend)
    _style.set_axes_title(ax, title, _style.axes_width(ax))
    return ax


def plot_neuron(
    spectrogram: Array,
    responses: Array,
    psth: Array | None,
    prediction: Array,
    dt_ms: float,
    frequencies_hz: Array | Sequence[float] | None = None,
    title: str | None = None,
    *,
    scores: Mapping[str, float] | None = None,
    response_label: str = RESPONSE_LABEL,
    spread: Array | None = None,
    figsize: tuple[float, float] | None = None,
    excerpt: bool | tuple[int, int] = True,
) -> tuple[Figure, list[Axes]]:
    """Draw one neuron's responses to one stimulus and the prediction of them, with the score in the title.

    Parameters
    ----------
    spectrogram : array (F, T) or (1, F, T), or (T_audio,)
        Stimulus: a spectrogram, low frequencies first, or a waveform.
    responses : array (T,) or (R, T)
        Responses, one row per repeat, spikes or smoothed counts. A single trial gets no raster.
    psth : array (T,) or None
        Mean response; None takes the mean over the repeats that are there.
    prediction : array (T,)
        What the model predicts.
    dt_ms : float
        Bin width in milliseconds.
    frequencies_hz, figsize, excerpt
        As in :func:`plot_stim_with_response`.
    title : str, optional
        Which neuron and which stimulus; the scores are appended.
    scores : mapping of str to float, optional
        Scores to name in the title. Default: ``{"cc": correlation of psth and prediction}``. NaN reads "undefined".
    response_label : str
        Label of the response axis, with its unit.
    spread : array (T,), optional
        Drawn as a band on both sides of the prediction: how far the members of an
        :class:`~deepSTRF.models.Ensemble` lie apart.

    Returns
    -------
    fig : Figure
        Not known to pyplot; keep it with ``fig.savefig``.
    axes : list of Axes
        Spectrogram, repeats (if there are several), mean response against prediction.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or numbers of time bins don't fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from deepSTRF.plotting import plot_neuron
    >>> rng = np.random.default_rng(0)
    >>> rate = 0.2 + 0.2 * np.sin(np.arange(400) / 20)
    >>> counts = rng.poisson(rate, (20, 400))
    >>> fig, axes = plot_neuron(
    ...     rng.normal(size=(34, 400)), counts, None, rate, 5.0, np.geomspace(500, 16000, 34), title="unit 7"
    ... )
    >>> fig.get_suptitle()
    'unit 7, cc 0.80'
    >>> [label.get_text() for label in axes[0].get_yticklabels()]
    ['0.5', '1', '2', '4', '8', '16']
    """
    if prediction is None:
        raise TypeError("prediction must be an array (T,), got None; plot_stim_with_response draws data alone")
    target = mean_over_repeats(np.atleast_2d(as_array(responses, "responses", (1, 2))))
    if psth is not None:
        target = as_array(psth, "psth", (1,))
    predicted = check_same_length("prediction", as_array(prediction, "prediction", (1,)), len(target))
    if scores is None:
        scores = {"cc": correlation(predicted, target)}
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores must be a dict of names to numbers, got {describe_type(scores)}")
    values = {name: float(as_array(value, f"score {name!r}", (0,))) for name, value in scores.items()}
    named = [f"{name} {value:.2f}" if np.isfinite(value) else f"{name} undefined" for name, value in values.items()]
    fig, axes = plot_stim_with_response(
        spectrogram,
        responses,
        predicted,
        dt_ms,
        ", ".join([str(title).strip(), *named] if title else named),
        frequencies_hz=frequencies_hz,
        psth=target,
        figsize=figsize,
        excerpt=excerpt,
    )
    axes[-1].set_ylabel(response_label, fontsize=_style.LABEL_SIZE)
    if spread is not None:
        apart = check_same_length("spread", as_array(spread, "spread", (1,)), len(target))
        part = slice(*check_excerpt(excerpt, target, dt_ms))
        draw_band(axes[-1], predicted[part], apart[part], dt_ms)
    return fig, axes
