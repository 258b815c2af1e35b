"""All metrics under the module name of deepSTRF 0.1.0; new code imports them from :mod:`deepSTRF.metrics`."""

from deepSTRF.metrics.coherence import coherence
from deepSTRF.metrics.correlation import corrcoef, fve, normalized_corrcoef
from deepSTRF.metrics.losses import mse_loss, poisson_loss
from deepSTRF.metrics.reliability import compute_CCmax, compute_TTRC, noise_power, signal_power, snr

__all__ = [
    "coherence",
    "compute_CCmax",
    "compute_TTRC",
    "corrcoef",
    "fve",
    "mse_loss",
    "noise_power",
    "normalized_corrcoef",
    "poisson_loss",
    "signal_power",
    "snr",
]
