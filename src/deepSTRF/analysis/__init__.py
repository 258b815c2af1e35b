"""From a fitted model to receptive fields, and from scores to statistics."""

from deepSTRF.analysis.bootstrap import Interval, ScoreIntervals, bootstrap_interval, score_intervals
from deepSTRF.analysis.comparison import (
    NeuronComparison,
    PairedComparison,
    adjust_p_values,
    compare_per_neuron,
    paired_comparison,
)
from deepSTRF.analysis.learning_curves import (
    CeilingCurve,
    LearningCurve,
    extrapolate_scores,
    extrapolated_noise_ceiling,
    learning_curve,
)
from deepSTRF.analysis.receptive_fields import receptive_fields, strf_correlation
from deepSTRF.analysis.shift_test import ShiftTest, shift_test

__all__ = [
    "CeilingCurve",
    "Interval",
    "LearningCurve",
    "NeuronComparison",
    "PairedComparison",
    "ScoreIntervals",
    "ShiftTest",
    "adjust_p_values",
    "bootstrap_interval",
    "compare_per_neuron",
    "extrapolate_scores",
    "extrapolated_noise_ceiling",
    "learning_curve",
    "paired_comparison",
    "receptive_fields",
    "score_intervals",
    "shift_test",
    "strf_correlation",
]
