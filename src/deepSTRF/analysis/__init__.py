"""From a fitted model to receptive fields, and from scores to statistics."""

from deepSTRF.analysis.bootstrap import Interval, ScoreIntervals, bootstrap_interval, score_intervals
from deepSTRF.analysis.comparison import (
    NeuronComparison,
    PairedComparison,
    adjust_p_values,
    compare_per_neuron,
    paired_comparison,
)
from deepSTRF.analysis.receptive_fields import receptive_fields, strf_correlation

__all__ = [
    "Interval",
    "NeuronComparison",
    "PairedComparison",
    "ScoreIntervals",
    "adjust_p_values",
    "bootstrap_interval",
    "compare_per_neuron",
    "paired_comparison",
    "receptive_fields",
    "score_intervals",
    "strf_correlation",
]
