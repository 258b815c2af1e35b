"""Prediction × response becomes one number per neuron.

Time and stimuli are pooled by the formula, ``reduction`` is over neurons only, and undefined is NaN, never 0. See
docs/contracts/metrics.md.
"""

from deepSTRF.metrics.coherence import coherence
from deepSTRF.metrics.correlation import corrcoef, fve, noise_ceiling, normalized_corrcoef
from deepSTRF.metrics.losses import mse_loss, poisson_loss
from deepSTRF.metrics.reliability import ccmax, noise_power, signal_power, snr

__all__ = [
    "ccmax",
    "coherence",
    "corrcoef",
    "fve",
    "mse_loss",
    "noise_ceiling",
    "noise_power",
    "normalized_corrcoef",
    "poisson_loss",
    "signal_power",
    "snr",
]
