"""Figures: arrays in, matplotlib out.

Every function takes NumPy arrays or torch tensors and returns matplotlib objects. None calls ``show``, closes a figure
or changes a global setting. Where you give no axes, the figure is made without pyplot: evaluate it in a notebook or
keep it with ``fig.savefig``, and it is gone when you drop it. To see a window, draw into axes of ``plt.subplots()``.
"""

from deepSTRF.plotting.comparisons import plot_amount_of_data, plot_model_against_model
from deepSTRF.plotting.dynamic import plot_dynamic_strf
from deepSTRF.plotting.front_ends import compare_wav2spec_to_groundtruth
from deepSTRF.plotting.movies import plot_movie_fields
from deepSTRF.plotting.predictions import plot_predictions
from deepSTRF.plotting.rasters import plot_raster
from deepSTRF.plotting.recordings import plot_coverage, plot_recording
from deepSTRF.plotting.responses import plot_neuron, plot_psth_vs_pred, plot_stim_with_response
from deepSTRF.plotting.scores import plot_cc_against_ceiling, plot_fold_curves, plot_learning_curves
from deepSTRF.plotting.strfs import plot_strf_grid, plot_strf_recovery

__all__ = [
    "compare_wav2spec_to_groundtruth",
    "plot_amount_of_data",
    "plot_cc_against_ceiling",
    "plot_coverage",
    "plot_dynamic_strf",
    "plot_fold_curves",
    "plot_learning_curves",
    "plot_model_against_model",
    "plot_movie_fields",
    "plot_neuron",
    "plot_predictions",
    "plot_psth_vs_pred",
    "plot_raster",
    "plot_recording",
    "plot_stim_with_response",
    "plot_strf_grid",
    "plot_strf_recovery",
]
