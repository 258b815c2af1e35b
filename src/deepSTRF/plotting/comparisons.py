"""Scores of models next to each other: model against model, and against the amount of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from deepSTRF.checks import check_list
from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array, check_axes

__all__ = ["plot_amount_of_data", "plot_model_against_model"]


def plot_model_against_model(
    first: Array | Sequence[float],
    second: Array | Sequence[float],
    *,
    names: Sequence[str] = ("first model", "second model"),
    score_label: str = "cc_norm (correlation)",
    significant: Array | Sequence[bool] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw the scores of two models for the same neurons, with the line on which they are equal.

    Neurons above the line are predicted better by the second model.

    Parameters
    ----------
    first, second : array (N,)
        Scores of the two models, NaN where undefined.
    names : sequence of 2 str
        What the models are called on the axes.
    score_label : str
        The score with its unit.
    significant : bool array (N,), optional
        Neurons whose difference is significant, for example of :func:`deepSTRF.analysis.compare_per_neuron`; the others
        are drawn as open circles.
    ax, title, figsize
        As in :func:`plot_cc_against_ceiling`.

    Returns
    -------
    Axes
        With a legend that counts the neurons on each side of the line, and those left out as a score is undefined.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the arrays don't all have one value per neuron, or there are not two names.

    Examples
    --------
    >>> from deepSTRF.plotting import plot_model_against_model
    >>> ax = plot_model_against_model([0.5, 0.6, 0.4], [0.7, 0.65, float("nan")], names=("ridge", "StateNet"))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['equal', 'neuron (n = 2)', 'better: StateNet in 2, ridge in 0', 'undefined, left out (n = 1)']
    >>> ax.get_ylabel()
    'StateNet: cc_norm (correlation)'
    """
    x, y = as_array(first, "first", (1,)), as_array(second, "second", (1,))
    clear = np.ones(len(x), dtype=bool)
    if significant is not None:
        clear = as_array(significant, "significant", (1,)) == 1  # an undefined test is not significant
    if not len(x) == len(y) == len(clear):
        raise ValueError(
            f"first, second and significant must have one value per neuron, got {len(x)}, {len(y)} and {len(clear)}"
        )
    if len(check_list("names", names, "two names")) != 2:
        raise ValueError(f"names must be two, one for each model, got {len(names)}")
    if ax is None:
        ax = _style.new_figure((4.0, 4.5) if figsize is None else figsize).subplots()
    check_axes([ax])

    defined = np.isfinite(x) & np.isfinite(y)
    both = np.concatenate([x[defined], y[defined]])
    low, high = np.min(both, initial=0.0), np.max(both, initial=0.0)
    margin = 0.04 * (high - low) or 0.04
    limits = (low - margin if low < 0 else 0.0, high + margin)
    ax.plot(limits, limits, color="#808080", linewidth=0.9, label="equal")
    better, worse = int((y > x)[defined].sum()), int((y < x)[defined].sum())
    text = "neuron" if significant is None else "significant difference"
    style: dict[str, Any] = {"s": 22, "zorder": 3, "clip_on": False}
    filled, hollow = defined & clear, defined & ~clear
    ax.scatter(
        x[filled], y[filled], color=_style.SCORE_COLOURS[0], alpha=0.85 if filled.sum() <= 60 else 0.55, linewidths=0,
        label=f"{text} (n = {filled.sum()})", **style,
    )  # fmt: skip
    if significant is not None:
        ax.scatter(
            x[hollow], y[hollow], facecolors="none", edgecolors=_style.SCORE_COLOURS[0], linewidths=0.8,
            label=f"no significant difference (n = {hollow.sum()})", **style,
        )  # fmt: skip
    counts = f"better: {names[1]} in {better}, {names[0]} in {worse}"
    ax.plot([], [], linestyle="none", label=_style.wrap(counts, 0.75 * _style.axes_width(ax), _style.NOTE_SIZE))
    if not defined.all():
        ax.plot([], [], linestyle="none", label=f"undefined, left out (n = {(~defined).sum()})")
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    labels = [_style.wrap(f"{name}: {score_label}", 0.9 * _style.axes_width(ax), _style.LABEL_SIZE) for name in names]
    ax.set_xlabel(labels[0], fontsize=_style.LABEL_SIZE)
    ax.set_ylabel(labels[1], fontsize=_style.LABEL_SIZE)
    _finish(ax, title)
    return ax


def _finish(ax: Axes, title: str | None) -> None:
    """Round ticks, and title and legend above the panel, where they cover no point."""
    ax.xaxis.set_major_locator(_style.round_ticks(6))
    ax.yaxis.set_major_locator(_style.round_ticks(6))
    _style.declutter(ax, image=False)
    _style.legend_above(ax, title)


def plot_amount_of_data(
    amounts: Array | Sequence[float],
    scores: Array,
    limit: Array | Sequence[float] | None = None,
    slope: Array | Sequence[float] | None = None,
    *,
    interval: tuple[float, float] | None = None,
    amount_label: str = "training data (stimuli)",
    score_label: str = "cc_norm (correlation)",
    ax: Axes | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw scores against the amount of training data, and what they would be with unlimited data.

    Means are over the neurons whose scores (and limit and slope) are all defined, so that every point of the curve
    means the same neurons. Where an amount has several rows, each neuron's are averaged.

    Parameters
    ----------
    amounts : array (K,)
        Amount of training data of each row of `scores`, in any unit.
    scores : array (K,) or (K, N)
        Scores, one column per neuron.
    limit : array (N,), optional
        Score of each neuron at unlimited data.
    slope : array (N,), optional
        With `limit`, the fitted curve ``limit + slope / amount`` is drawn up to twice the largest amount.
    interval : (float, float), optional
        Confidence interval of the mean limit, drawn as a band.
    amount_label, score_label : str
        Labels of the axes, with their units.
    ax, title, figsize
        As in :func:`plot_cc_against_ceiling`.

    Returns
    -------
    Axes
        With each neuron in grey, the mean in blue and the extrapolation in orange, named with its numbers.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes don't fit together, an amount is not positive, or `slope` or `interval` come without `limit`.

    Examples
    --------
    >>> from deepSTRF.plotting import plot_amount_of_data
    >>> scores = [[0.30, 0.50], [0.40, 0.55], [0.45, 0.575]]
    >>> ax = plot_amount_of_data([5, 10, 20], scores, limit=[0.5, 0.6], slope=[-1.0, -0.5], interval=(0.5, 0.6))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['neuron', 'mean (n = 2)', 'fitted curve', 'unlimited data: 0.55 (0.50 to 0.60)']
    """
    x, y = as_array(amounts, "amounts", (1,)), as_array(scores, "scores", (1, 2))
    y = y[:, None] if y.ndim == 1 else y
    if len(x) != len(y):
        raise ValueError(f"scores must have one row for each of {len(x)} amounts, got {len(y)}")
    if not (np.isfinite(x) & (x > 0)).all():
        raise ValueError("amounts must be positive and finite")
    if limit is None and (slope is not None or interval is not None):
        raise ValueError("slope and interval belong to an extrapolation: give limit too")
    fitted = {
        name: np.atleast_1d(as_array(values, name, (0, 1)))
        for name, values in (("limit", limit), ("slope", slope))
        if values is not None
    }
    for name, values in fitted.items():
        if len(values) != y.shape[1]:
            raise ValueError(f"{name} must have one value for each of {y.shape[1]} neurons, got {len(values)}")
    if interval is not None and as_array(interval, "interval", (1,)).shape != (2,):
        raise ValueError(f"interval must be (low, high), got {interval!r}")
    if ax is None:
        ax = _style.new_figure((4.6, 3.8) if figsize is None else figsize).subplots()
    check_axes([ax])

    every = np.unique(x)
    curves = np.stack([y[x == amount].mean(0) for amount in every])
    used = np.isfinite(curves).all(0) & np.all([np.isfinite(values) for values in fitted.values()], axis=0)
    for k, neuron in enumerate(np.flatnonzero(used)):
        ax.plot(every, curves[:, neuron], color="#B0B0B0", linewidth=0.6, label=None if k else "neuron")
    if used.any():
        ax.plot(
            every, curves[:, used].mean(1), "o-", color=_style.SCORE_COLOURS[0], markersize=4, linewidth=1.6,
            label=f"mean (n = {used.sum()})",
        )  # fmt: skip
    right = 2.0 * every[-1] if fitted else 1.04 * every[-1]
    if fitted and used.any():
        mean_limit = float(fitted["limit"][used].mean())
        if "slope" in fitted:
            along = np.linspace(every[0], right, 200)
            ax.plot(
                along, mean_limit + fitted["slope"][used].mean() / along, "--", color=_style.SCORE_COLOURS[1],
                linewidth=1.2, label="fitted curve",
            )  # fmt: skip
        text = f"unlimited data: {mean_limit:.2f}"
        if interval is not None:
            text += f" ({interval[0]:.2f} to {interval[1]:.2f})"
            ax.axhspan(*interval, color=_style.SCORE_COLOURS[1], alpha=0.15, linewidth=0)
        ax.axhline(mean_limit, color=_style.SCORE_COLOURS[1], linewidth=1.0, linestyle=":", label=text)
    if not used.all():
        ax.plot([], [], linestyle="none", label=f"undefined, left out (n = {(~used).sum()})")
    ax.set_xlim(0.0, right)
    ax.set_xlabel(amount_label, fontsize=_style.LABEL_SIZE)
    ax.set_ylabel(score_label, fontsize=_style.LABEL_SIZE)
    _finish(ax, title)
    return ax
