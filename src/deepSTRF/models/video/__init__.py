"""Models of visual neurons."""

from deepSTRF.models.video.convgru import ConvGRU, ConvGRUNet
from deepSTRF.models.video.convnet import ConvNet3D
from deepSTRF.models.video.convolution import CausalConv3d, Conv3dCore
from deepSTRF.models.video.gaussian_readout import GaussianReadout
from deepSTRF.models.video.linear import SpaceTimeKernel, VideoLinearNonlinear
from deepSTRF.models.video.video_model import VideoEncodingModel

__all__ = [
    "CausalConv3d",
    "Conv3dCore",
    "ConvGRU",
    "ConvGRUNet",
    "ConvNet3D",
    "GaussianReadout",
    "SpaceTimeKernel",
    "VideoEncodingModel",
    "VideoLinearNonlinear",
]
