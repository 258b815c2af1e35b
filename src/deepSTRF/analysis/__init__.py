"""From a fitted model to receptive fields."""

from deepSTRF.analysis.receptive_fields import receptive_fields, strf_correlation

__all__ = ["receptive_fields", "strf_correlation"]
