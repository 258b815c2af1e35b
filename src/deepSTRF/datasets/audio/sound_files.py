"""The public name of :mod:`deepSTRF.datasets.sound_files`."""

from deepSTRF.datasets.sound_files import load_resampled_mono_wav, load_wav, resample

__all__ = ["load_resampled_mono_wav", "load_wav", "resample"]
