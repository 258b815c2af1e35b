"""Building blocks of the models."""

from deepSTRF.models.layers.attention_parts import SinusoidalPositionalEncoding, build_causal_window_mask
from deepSTRF.models.layers.decay import LearnableExponentialDecay
from deepSTRF.models.layers.kernels import LowRankSTRF, ParametricSTRF, RaisedCosineSTRF, SeparableSTRF
from deepSTRF.models.layers.locally_connected import LocallyConnected1d
from deepSTRF.models.layers.normalization import CausalLayerNorm, PaddedBatchNorm1d
from deepSTRF.models.layers.strf import CausalSTRFConv

__all__ = [
    "CausalLayerNorm",
    "CausalSTRFConv",
    "LearnableExponentialDecay",
    "LocallyConnected1d",
    "LowRankSTRF",
    "PaddedBatchNorm1d",
    "ParametricSTRF",
    "RaisedCosineSTRF",
    "SeparableSTRF",
    "SinusoidalPositionalEncoding",
    "build_causal_window_mask",
]
