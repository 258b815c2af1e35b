"""Which part of a long stimulus is drawn."""

from __future__ import annotations

import numpy as np

from deepSTRF.checks import check_integer

# A page shows about this much: more than twice as much is cut to an excerpt.
EXCERPT_S = 5.0
EXCERPT_BINS = 1000


def _excerpt(target: np.ndarray, dt_ms: float | None) -> tuple[int, int]:
    """First bin and end of what is drawn: all of it, or where the mean response of a long one is strongest."""
    n_bins = len(target)
    shown = EXCERPT_BINS if dt_ms is None else max(2, round(1000 * EXCERPT_S / dt_ms))
    if n_bins <= 2 * shown:
        return 0, n_bins
    sums = np.concatenate([[0.0], np.nancumsum(target)])
    known = np.concatenate([[0], np.cumsum(np.isfinite(target))])
    # bins without data count as little: an excerpt with a gap is chosen only where there is no other
    step = max(1, shown // 10)  # begins at a round time
    begins = np.arange(0, n_bins - shown + 1, step)
    counts = known[begins + shown] - known[begins]
    totals = np.where(counts > shown / 2, (sums[begins + shown] - sums[begins]) / np.maximum(counts, 1), -np.inf)
    begin = int(begins[np.argmax(totals)])
    return begin, begin + shown


def check_excerpt(excerpt: bool | tuple[int, int], target: np.ndarray, dt_ms: float | None) -> tuple[int, int]:
    """First bin and end of what is drawn, chosen or given."""
    if isinstance(excerpt, bool):
        return _excerpt(target, dt_ms) if excerpt else (0, len(target))
    if not isinstance(excerpt, (tuple, list)) or len(excerpt) != 2:
        raise TypeError(f"excerpt must be True, False or (first bin, end), got {excerpt!r}")
    begin, end = (check_integer("excerpt", edge, least=0) for edge in excerpt)
    if not begin < end <= len(target):
        raise ValueError(f"excerpt must be (first bin, end) within the {len(target)} bins, got {excerpt!r}")
    return begin, end


def excerpt_title(begin: int, end: int, n_bins: int, dt_ms: float | None) -> str:
    """Which part of how much is drawn."""
    if dt_ms is None:
        return f"bins {begin} to {end} of {n_bins}"
    return f"{begin * dt_ms / 1000:g} to {end * dt_ms / 1000:g} s of {n_bins * dt_ms / 1000:g} s"
