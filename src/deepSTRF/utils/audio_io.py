"""Compatibility names of 0.1.0; the code is in :mod:`deepSTRF.datasets.sound_files`."""

from deepSTRF.datasets.sound_files import load_resampled_mono_wav, load_wav

__all__ = ["load_resampled_mono_wav", "load_wav"]
