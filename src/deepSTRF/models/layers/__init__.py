"""Building blocks of the models."""

from deepSTRF.models.layers.attention_parts import SinusoidalPositionalEncoding, build_causal_window_mask
from deepSTRF.models.layers.decay import LearnableExponentialDecay
from deepSTRF.models.layers.locally_connected import LocallyConnected1d
from deepSTRF.models.layers.normalization import CausalLayerNorm, PaddedBatchNorm1d
from deepSTRF.models.layers.strf import CausalSTRFConv

__all__ = [
    "CausalLayerNorm",
    "CausalSTRFConv",
    "LearnableExponentialDecay",
    "LocallyConnected1d",
    "PaddedBatchNorm1d",
    "SinusoidalPositionalEncoding",
    "build_causal_window_mask",
]
