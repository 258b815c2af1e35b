"""Front ends: waveforms become spectrograms, inside the model and causal to the sample."""

from typing import Any

from deepSTRF.checks import check_choice
from deepSTRF.models.wav2spec.base import WaveformFrontEnd
from deepSTRF.models.wav2spec.gammatone import CausalGammatone
from deepSTRF.models.wav2spec.gammatonegram import Gammatonegram
from deepSTRF.models.wav2spec.leaf import CausalLEAF
from deepSTRF.models.wav2spec.mel import CausalMelSpectrogram
from deepSTRF.models.wav2spec.sincnet import SincNet

__all__ = ["CausalGammatone", "CausalLEAF", "CausalMelSpectrogram", "Gammatonegram", "SincNet", "make_wav2spec"]

_KINDS: dict[str, type[WaveformFrontEnd]] = {
    "mel": CausalMelSpectrogram,
    "gammatone": CausalGammatone,
    "gammatonegram": Gammatonegram,
    "sincnet": SincNet,
    "leaf": CausalLEAF,
}


def make_wav2spec(kind: str, audio_fs: float, dt_ms: float, **kwargs: Any) -> WaveformFrontEnd:
    """Make a front end for bins of `dt_ms`.

    Parameters
    ----------
    kind : {'mel', 'gammatone', 'gammatonegram', 'sincnet', 'leaf'}
        Which one.
    audio_fs : float
        Sampling rate in Hz.
    dt_ms : float
        Bin width in ms; becomes ``hop_ms``.
    **kwargs
        Its other arguments.

    Raises
    ------
    ValueError
        If there is no such `kind`, or a setting is out of range.

    Examples
    --------
    >>> make_wav2spec("mel", audio_fs=48000, dt_ms=5.0, n_mels=20).out_channels
    20
    """
    # A class has parameters of its own, which the base does not know.
    make: Any = _KINDS[check_choice("kind", kind, _KINDS)]
    return make(audio_fs=audio_fs, hop_ms=dt_ms, **kwargs)
