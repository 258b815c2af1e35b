"""What figures of responses are made of: traces with their band, and repeats as an image."""

from __future__ import annotations

import warnings

import numpy as np
from matplotlib.axes import Axes

from deepSTRF.plotting import _style

__all__ = ["RESPONSE_LABEL", "draw_band", "draw_raster", "draw_traces", "mean_over_repeats"]

RESPONSE_LABEL = "response (a.u.)"


def mean_over_repeats(responses: np.ndarray) -> np.ndarray:
    """PSTH: mean over the repeats that are there, NaN in bins where none is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
        return np.asarray(np.nanmean(responses, axis=0))


def draw_traces(
    ax: Axes,
    target: np.ndarray,
    pred: np.ndarray | None,
    dt_ms: float | None,
    target_label: str,
    pred_label: str,
    legend: bool,
) -> None:
    centres, end, time_label = _style.times(len(target), dt_ms)
    ax.fill_between(centres, 0.0, target, color=_style.DATA_COLOUR, alpha=0.15, linewidth=0)
    ax.plot(centres, target, color=_style.DATA_COLOUR, linewidth=0.9, label=target_label)
    if pred is not None:
        ax.plot(centres, pred, color=_style.PREDICTION_COLOUR, linewidth=1.3, label=pred_label)
    ax.set_xlim(0.0, end)
    ax.set_xlabel(time_label, fontsize=_style.LABEL_SIZE)
    ax.set_ylabel(RESPONSE_LABEL, fontsize=_style.LABEL_SIZE)
    ax.yaxis.set_major_locator(_style.round_ticks(4))
    _style.declutter(ax, image=False)
    if legend and pred is not None:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.22 * (high - low))  # room for the legend, so that it never covers a peak
        ax.legend(loc="upper right", ncols=2, frameon=False, fontsize=_style.NOTE_SIZE, borderaxespad=0.1)


def draw_band(ax: Axes, prediction: np.ndarray, spread: np.ndarray, dt_ms: float | None) -> None:
    """Draw how far the members of an ensemble lie apart, around the trace of their mean."""
    centres, _, _ = _style.times(len(prediction), dt_ms)
    low, high = prediction - spread, prediction + spread
    ax.fill_between(centres, low, high, color=_style.PREDICTION_COLOUR, alpha=0.3, linewidth=0)


def draw_raster(ax: Axes, responses: np.ndarray, dt_ms: float | None, cmap: str) -> None:
    _, end, time_label = _style.times(responses.shape[1], dt_ms)
    finite = responses[np.isfinite(responses)]
    low = min(0.0, float(finite.min())) if finite.size else 0.0
    # smoothed counts have rare sharp peaks, which would leave everything else pale
    high = float(np.quantile(finite, 0.998)) if finite.size else 1.0
    if high <= low:
        high = float(finite.max()) if finite.size and finite.max() > low else low + 1.0
    _style.draw_image(ax, responses, (0.0, end), cmap, (low, high), first_row=1.0)
    ax.invert_yaxis()  # first repeat on top, as it is read
    ax.yaxis.set_major_locator(_style.round_ticks(4, integer=True))
    ax.set_xlabel(time_label, fontsize=_style.LABEL_SIZE)
    ax.set_ylabel("repeat", fontsize=_style.LABEL_SIZE)
