"""Models of auditory neurons."""

from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.audio.convnet import ConvNet2D
from deepSTRF.models.audio.dnet import DNet
from deepSTRF.models.audio.icnet import ICNet
from deepSTRF.models.audio.linear import Linear
from deepSTRF.models.audio.linear_nonlinear import LinearNonlinear
from deepSTRF.models.audio.nrf import NetworkReceptiveField
from deepSTRF.models.audio.poisson import PoissonLN, fit_poisson
from deepSTRF.models.audio.ridge import Ridge, fit_ridge
from deepSTRF.models.audio.statenet import StateNet
from deepSTRF.models.audio.transformer import Transformer

__all__ = [
    "AudioEncodingModel",
    "ConvNet2D",
    "DNet",
    "ICNet",
    "Linear",
    "LinearNonlinear",
    "NetworkReceptiveField",
    "PoissonLN",
    "Ridge",
    "StateNet",
    "Transformer",
    "fit_poisson",
    "fit_ridge",
]
