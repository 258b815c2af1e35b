"""Models of auditory neurons."""

from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.audio.linear import Linear, LinearNonlinear
from deepSTRF.models.audio.statenet import StateNet
from deepSTRF.models.audio.transformer import Transformer

__all__ = ["AudioEncodingModel", "Linear", "LinearNonlinear", "StateNet", "Transformer"]
