"""Compatibility names of 0.1.0; the code is in :mod:`deepSTRF.plotting`."""

from deepSTRF.plotting import (
    compare_wav2spec_to_groundtruth,
    plot_psth_vs_pred,
    plot_stim_with_response,
    plot_strf_grid,
)

__all__ = ["compare_wav2spec_to_groundtruth", "plot_psth_vs_pred", "plot_stim_with_response", "plot_strf_grid"]
