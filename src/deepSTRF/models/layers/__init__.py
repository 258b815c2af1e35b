"""Building blocks of the models."""

from deepSTRF.models.layers.locally_connected import LocallyConnected1d
from deepSTRF.models.layers.normalization import CausalLayerNorm, PaddedBatchNorm1d
from deepSTRF.models.layers.strf import CausalSTRFConv

__all__ = ["CausalLayerNorm", "CausalSTRFConv", "LocallyConnected1d", "PaddedBatchNorm1d"]
