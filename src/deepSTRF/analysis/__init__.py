"""From a fitted model, or a recording, to receptive fields and tuning, and from scores to statistics."""

from deepSTRF.analysis.attributions import Attribution, integrated_gradients
from deepSTRF.analysis.bootstrap import Interval, ScoreIntervals, bootstrap_interval, score_intervals
from deepSTRF.analysis.circular_shifts import ShiftTest, shift_test
from deepSTRF.analysis.comparison import (
    NeuronComparison,
    PairedComparison,
    adjust_p_values,
    compare_per_neuron,
    paired_comparison,
)
from deepSTRF.analysis.dynamic import DynamicSTRF, dynamic_strf
from deepSTRF.analysis.dynamic_changes import DynamicSummary, dynamic_summary
from deepSTRF.analysis.fields import STRF, gradient_strf, strf
from deepSTRF.analysis.frequency_tuning import Tuning, tuning
from deepSTRF.analysis.learning_curves import (
    CeilingCurve,
    LearningCurve,
    extrapolate_scores,
    extrapolated_noise_ceiling,
    learning_curve,
)
from deepSTRF.analysis.nonlinearities import Nonlinearity, nonlinearity
from deepSTRF.analysis.optimal import OptimalStimulus, optimal_stimulus
from deepSTRF.analysis.receptive_fields import receptive_fields, strf_correlation
from deepSTRF.analysis.results import jackknife_errors
from deepSTRF.analysis.shared_variance import (
    BandedRidge,
    VariancePartition,
    banded_ridge,
    variance_partitioning,
)
from deepSTRF.analysis.spike_triggered import (
    SpikeTriggeredCovariance,
    spike_triggered_average,
    spike_triggered_covariance,
)

__all__ = [
    "STRF",
    "Attribution",
    "BandedRidge",
    "CeilingCurve",
    "DynamicSTRF",
    "DynamicSummary",
    "Interval",
    "LearningCurve",
    "NeuronComparison",
    "Nonlinearity",
    "OptimalStimulus",
    "PairedComparison",
    "ScoreIntervals",
    "ShiftTest",
    "SpikeTriggeredCovariance",
    "Tuning",
    "VariancePartition",
    "adjust_p_values",
    "banded_ridge",
    "bootstrap_interval",
    "compare_per_neuron",
    "dynamic_strf",
    "dynamic_summary",
    "extrapolate_scores",
    "extrapolated_noise_ceiling",
    "gradient_strf",
    "integrated_gradients",
    "jackknife_errors",
    "learning_curve",
    "nonlinearity",
    "optimal_stimulus",
    "paired_comparison",
    "receptive_fields",
    "score_intervals",
    "shift_test",
    "spike_triggered_average",
    "spike_triggered_covariance",
    "strf",
    "strf_correlation",
    "tuning",
    "variance_partitioning",
]
