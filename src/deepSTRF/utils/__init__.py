"""Compatibility names of 0.1.0; the code is in :mod:`deepSTRF.datasets`, `models` and `plotting`."""

from typing import Any

from deepSTRF.utils.data import (
    ResponseSmoothingTransform,
    concat_neural_datasets,
    hanning_smooth,
    neural_collate,
)

_FIGURES = ("compare_wav2spec_to_groundtruth", "plot_psth_vs_pred", "plot_stim_with_response", "plot_strf_grid")

__all__ = [
    "ResponseSmoothingTransform",
    "compare_wav2spec_to_groundtruth",
    "concat_neural_datasets",
    "hanning_smooth",
    "neural_collate",
    "plot_psth_vs_pred",
    "plot_stim_with_response",
    "plot_strf_grid",
]


def __getattr__(name: str) -> Any:
    # Figures need matplotlib, which most uses of this package do not.
    if name in _FIGURES:
        from deepSTRF.utils import plotting

        return getattr(plotting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
