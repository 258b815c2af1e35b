"""The public name of :mod:`deepSTRF.scales`."""

from deepSTRF.scales import ERB_bandwidth, ERB_to_Hz, Greenwood, Hz_to_ERB, Hz_to_mel, inverse_Greenwood, mel_to_Hz

__all__ = [
    "ERB_bandwidth",
    "ERB_to_Hz",
    "Greenwood",
    "Hz_to_ERB",
    "Hz_to_mel",
    "inverse_Greenwood",
    "mel_to_Hz",
]
