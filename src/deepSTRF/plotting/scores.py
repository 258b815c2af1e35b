"""How well a model does: while it learns, and in the end against what is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from deepSTRF.checks import check_choice
from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_array, check_axes

__all__ = ["plot_cc_against_ceiling", "plot_fold_curves", "plot_learning_curves"]

_SPLITS = (("train", "--", 1.1), ("val", "-", 1.6))


def _per_epoch(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """One number per epoch: the mean over the neurons where `key` is defined, NaN where there is none."""
    values = np.full(len(history), np.nan)
    for epoch, row in enumerate(history):
        if key not in row:
            continue
        value = row[key]
        array = np.ravel(value.detach().double().cpu().numpy() if isinstance(value, Tensor) else _number(value, key))
        defined = array[~np.isnan(array)]
        if defined.size:
            values[epoch] = defined.mean()
    return values


def _number(value: Any, key: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{key} in the history must be numbers, got {value!r}") from error


def _metric_names(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the scores in `history`, without prefix and in the order in which they appear."""
    names: dict[str, None] = {}
    for row in history:
        for key in row:
            split, _, name = str(key).partition("_")
            if split in ("train", "val") and name not in ("", "loss"):
                names[name] = None
    return list(names)


def _draw_curves(
    ax: Axes, history: Sequence[Mapping[str, Any]], epochs: np.ndarray, name: str, label: str, colour: str
) -> None:
    for split, style, width in _SPLITS:
        values = _per_epoch(history, f"{split}_{name}")
        if not np.isnan(values).all():
            ax.plot(
                epochs,
                values,
                style,
                color=colour,
                linewidth=width,
                marker="o" if len(epochs) == 1 else None,  # a line through one point shows nothing
                markerfacecolor="none" if split == "train" else colour,
                label=f"{label} ({split})" if label else {"train": "training", "val": "validation"}[split],
            )


def _mark_best(
    axes: list[Axes], history: Sequence[Mapping[str, Any]], epochs: np.ndarray, monitor: str, mode: str
) -> None:
    values = _per_epoch(history, monitor)
    score = values if mode == "max" else -values
    if np.isnan(score).all():
        axes[-1].set_title(f"{monitor} is undefined in every epoch", fontsize=_style.NOTE_SIZE, loc="left")
        return
    best = int(np.nanargmax(score))
    for ax in axes:
        ax.axvline(epochs[best], color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    axes[-1].set_title(
        f"best epoch {epochs[best]:g}: {monitor} {values[best]:.3f}", fontsize=_style.NOTE_SIZE, loc="left"
    )


def plot_learning_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    monitor: str = "val_cc_norm",
    mode: str = "max",
    axes: Sequence[Axes] | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw loss and scores over epochs, dashed for training and solid for validation.

    Parameters
    ----------
    history : sequence of dict
        What :meth:`deepSTRF.training.Fitter.fit` returns: one dict per epoch. Keys ``train_loss`` and ``val_loss`` go
        to the left panel, all other ``train_<name>`` and ``val_<name>`` to the right one; the rest is left out.
        Per-neuron tensors are averaged over the neurons where they are defined.
    monitor : str
        The key whose best epoch is marked.
    mode : {"max", "min"}
        Whether larger or smaller is better.
    axes : sequence of 2 Axes, optional
        Panels to draw into. Otherwise a new figure is made, which pyplot does not know.
    title : str, optional
        Title of the figure.
    figsize : (float, float), optional
        Size of the new figure in inches.

    Returns
    -------
    fig : Figure
    axes : list of 2 Axes
        Loss and scores.

    Raises
    ------
    TypeError
        If `history` is not a list of dicts of numbers, or `axes` are not Axes.
    ValueError
        If `history` is empty or does not have the monitor, `mode` is unknown, or the number of axes is wrong.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.plotting import plot_learning_curves
    >>> history = [
    ...     {"epoch": e, "train_loss": 1 / (e + 1), "val_loss": 1.2 / (e + 1), "val_cc": torch.tensor([0.1 * e, 0.3])}
    ...     for e in range(5)
    ... ]
    >>> fig, axes = plot_learning_curves(history, monitor="val_cc")
    >>> axes[1].get_title(loc="left")
    'best epoch 4: val_cc 0.350'
    """
    if not history:
        raise ValueError("history is empty: expected one dict per epoch, as Fitter.fit() returns it")
    if isinstance(history, Mapping) or not all(isinstance(row, Mapping) for row in history):
        raise TypeError("history must be a list of one dict per epoch, as Fitter.fit() returns it")
    check_choice("mode", mode, ("max", "min"))
    keys = sorted({key for row in history for key in row}, key=str)
    if monitor not in keys:
        raise ValueError(f"monitor {monitor!r} is not in the history; it has: {', '.join(map(str, keys))}")
    fig, panels = _style.open_panels(axes, ("loss", "scores"), lambda: _two_panels(figsize), title)
    epochs = _number([row.get("epoch", index) for index, row in enumerate(history)], "epoch")
    _draw_curves(panels[0], history, epochs, "loss", "", _style.DATA_COLOUR)
    names = _metric_names(history)
    for index, name in enumerate(names):
        _draw_curves(panels[1], history, epochs, name, name, _style.SCORE_COLOURS[index % len(_style.SCORE_COLOURS)])
    _mark_best(panels, history, epochs, monitor, mode)
    _finish_panels(panels, epochs, ("loss", "score (mean over neurons)"))
    return fig, panels


def plot_fold_curves(
    histories: Sequence[Sequence[Mapping[str, Any]]],
    *,
    monitor: str = "val_cc_norm",
    mode: str = "max",
    axes: Sequence[Axes] | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw the loss and the monitored score of several trainings over epochs, a line and a colour for each.

    Parameters
    ----------
    histories : sequence of list of dict
        Per fold (or seed) what :meth:`deepSTRF.training.Fitter.fit` returns. The left panel has ``train_loss`` dashed
        and ``val_loss`` solid, the right one `monitor`, with a dot at the best epoch of each.
    monitor, mode, axes, title, figsize
        As in :func:`plot_learning_curves`. A history without the monitor has no line in the right panel.

    Returns
    -------
    fig : Figure
    axes : list of 2 Axes
        Loss and monitored score.

    Raises
    ------
    TypeError, ValueError
        As for :func:`plot_learning_curves`.

    Examples
    --------
    >>> from deepSTRF.plotting import plot_fold_curves
    >>> histories = [[{"epoch": e, "val_loss": 1 / (e + k), "val_cc": 0.1 * e} for e in range(4)] for k in (1, 2)]
    >>> fig, axes = plot_fold_curves(histories, monitor="val_cc")
    >>> axes[1].get_title(loc="left")
    'best epochs 3, 3'
    """
    if isinstance(histories, Mapping) or not all(isinstance(history, Sequence) for history in histories):
        raise TypeError("histories must be a list of histories, one list of dicts per fold")
    if not histories or not all(histories):
        raise ValueError("histories must have an entry for each fold, and each of them one dict per epoch")
    check_choice("mode", mode, ("max", "min"))
    rows = [row for history in histories for row in history]
    if not all(isinstance(row, Mapping) for row in rows):
        raise TypeError("a history must be a list of one dict per epoch, as Fitter.fit() returns it")
    if not any(monitor in row for row in rows):
        keys = ", ".join(sorted({str(key) for row in rows for key in row}))
        raise ValueError(f"monitor {monitor!r} is in no history; they have: {keys}")

    fig, panels = _style.open_panels(axes, ("loss", "score"), lambda: _two_panels(figsize), title)
    best_epochs = []
    for k, history in enumerate(histories):
        colour = _style.SCORE_COLOURS[k % len(_style.SCORE_COLOURS)]
        epochs = _number([row.get("epoch", index) for index, row in enumerate(history)], "epoch")
        _draw_curves(panels[0], history, epochs, "loss", f"fold {k + 1}", colour)
        values = _per_epoch(history, monitor)
        panels[1].plot(epochs, values, color=colour, linewidth=1.2, label=f"fold {k + 1}")
        if not np.isnan(values).all():
            best = int(np.nanargmax(values if mode == "max" else -values))
            panels[1].plot(epochs[best], values[best], "o", color=colour, markersize=4)
            best_epochs.append(f"{epochs[best]:g}")
    panels[1].set_title(f"best epochs {', '.join(best_epochs)}", fontsize=_style.NOTE_SIZE, loc="left")
    panels[0].set_title("dashed: training, solid: validation", fontsize=_style.NOTE_SIZE, loc="left")
    every = _number([row.get("epoch", 0) for row in rows], "epoch")
    _finish_panels(panels, every, ("loss", f"{monitor} (mean over neurons)"))
    if (legend := panels[0].get_legend()) is not None:  # the colours are those of the right panel
        legend.remove()
    return fig, panels


def _two_panels(figsize: tuple[float, float] | None) -> tuple[Figure, list[Axes]]:
    new = _style.new_figure((7.2, 3.2) if figsize is None else figsize)
    return new, list(new.subplots(1, 2))


def _finish_panels(panels: Sequence[Axes], epochs: np.ndarray, labels: Sequence[str]) -> None:
    for ax, label in zip(panels, labels, strict=True):
        ax.set_xlabel("epoch", fontsize=_style.LABEL_SIZE)
        ax.set_ylabel(label, fontsize=_style.LABEL_SIZE)
        ax.xaxis.set_major_locator(_style.round_ticks(6, integer=True))
        ax.yaxis.set_major_locator(_style.round_ticks(6))
        margin = max(0.5, 0.03 * (epochs.max() - epochs.min()))
        ax.set_xlim(epochs.min() - margin, epochs.max() + margin)
        _style.declutter(ax, image=False)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize=_style.NOTE_SIZE)


def plot_cc_against_ceiling(
    cc: Array | Sequence[float],
    ceiling: Array | Sequence[float],
    *,
    single_trial: Array | Sequence[bool] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw each neuron's correlation against the highest one that its noise allows.

    Points on the identity line are explained as well as the noise of the recorded mean response allows; the distance
    below it is what the model misses.

    Parameters
    ----------
    cc : array (N,)
        Correlation of prediction and mean response.
    ceiling : array (N,)
        Noise ceiling: the square root of signal power over the variance of the mean response.
    single_trial : bool array (N,), optional
        Neurons with one repeat, whose noise cannot be told from signal. They are drawn as open triangles, at ceiling 1
        where theirs is undefined.
    ax : Axes, optional
        Panel to draw into. Otherwise a new figure is made, ``ax.figure``, which pyplot does not know.
    title, figsize
        As in :func:`plot_learning_curves`.

    Returns
    -------
    Axes
        With a legend that counts the neurons drawn and those left out because a value is undefined.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the arrays don't all have one value per neuron.

    Examples
    --------
    >>> from deepSTRF.plotting import plot_cc_against_ceiling
    >>> ax = plot_cc_against_ceiling([0.5, 0.6, float("nan")], [0.8, 0.9, 0.7])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['noise ceiling', 'neuron (n = 2)', 'undefined, left out (n = 1)']
    """
    cc_array, ceiling_array = as_array(cc, "cc", (1,)), as_array(ceiling, "ceiling", (1,))
    single = np.zeros(len(cc_array), dtype=bool)
    if single_trial is not None:
        single = as_array(single_trial, "single_trial", (1,)).astype(bool)
    if not len(cc_array) == len(ceiling_array) == len(single):
        raise ValueError(
            "cc, ceiling and single_trial must have one value per neuron, got "
            f"{len(cc_array)}, {len(ceiling_array)} and {len(single)}"
        )
    if ax is None:
        ax = _style.new_figure(figsize if figsize is not None else (3.9, 4.4)).subplots()
    check_axes([ax])

    ceiling_array = np.where(single & np.isnan(ceiling_array), 1.0, ceiling_array)
    defined = np.isfinite(cc_array) & np.isfinite(ceiling_array)
    several, one = defined & ~single, defined & single
    top = 1.04 * max(np.max(values[defined], initial=1.0) for values in (cc_array, ceiling_array))
    x_low, y_low = (1.04 * np.min(values[defined], initial=0.0) for values in (ceiling_array, cc_array))

    ax.plot([x_low, top], [x_low, top], color="#808080", linewidth=0.9, label="noise ceiling")
    # a crowd stays readable when overlapping points darken
    alpha = 0.85 if several.sum() <= 60 else 0.55
    ax.scatter(
        ceiling_array[several],
        cc_array[several],
        s=22,
        color=_style.SCORE_COLOURS[0],
        alpha=alpha,
        linewidths=0,
        label=f"neuron (n = {several.sum()})",
        zorder=3,
        clip_on=False,
    )
    if one.any():
        ax.scatter(
            ceiling_array[one],
            cc_array[one],
            s=24,
            marker="^",
            facecolors="none",
            edgecolors=_style.SCORE_COLOURS[1],
            linewidths=0.9,
            label=f"single trial, ceiling unknown (n = {one.sum()})",
            zorder=3,
            clip_on=False,
        )
    if not defined.all():
        ax.plot([], [], linestyle="none", label=f"undefined, left out (n = {(~defined).sum()})")
    ax.set(xlim=(x_low, top), ylim=(y_low, top), aspect="equal")
    ax.set_xlabel("noise ceiling (correlation)", fontsize=_style.LABEL_SIZE)
    ax.set_ylabel("cc of prediction (correlation)", fontsize=_style.LABEL_SIZE)
    ax.xaxis.set_major_locator(_style.round_ticks(6))
    ax.yaxis.set_major_locator(_style.round_ticks(6))
    _style.declutter(ax, image=False)
    _style.legend_above(ax, title)
    return ax
