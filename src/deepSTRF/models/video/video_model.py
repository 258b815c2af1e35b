"""The base of the visual models: movies in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from deepSTRF.checks import check_integer, check_module, check_pair
from deepSTRF.models.frame_model import FrameModel

__all__ = ["VideoEncodingModel"]


class VideoEncodingModel(FrameModel):
    """Base class of models that take movies ``(B, 1, H, W, T)``, one frame per bin, time last.

    Parameters
    ----------
    spatial_resol : (int, int)
        Height H and width W of a frame in pixels.
    temporal_window_size : int
        Window T in bins that the model looks at; recurrent models see further.
    out_neurons : int
        Number of neurons N.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``. It is kept as ``self.output_activation`` for the readout, which a subclass makes with it.
    in_channels : int
        Channels of the movie, such as colours; 1 for a grey one.

    Attributes
    ----------
    H, W, T, O, C_in : int
        Height, width, window, neurons and channels.
    output_activation : torch.nn.Module or None
        As given.

    Raises
    ------
    ValueError
        If a size is not a positive int, `spatial_resol` not a pair, or the activation is in none of the modules.
    TypeError
        If `output_activation` is not a module.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.readouts import LinearReadout
    >>> class Luminance(VideoEncodingModel):
    ...     def __init__(self, spatial_resol, out_neurons=1, output_activation=None):
    ...         super().__init__(spatial_resol, 1, out_neurons, output_activation)
    ...         self.core = torch.nn.Sequential(
    ...             torch.nn.AdaptiveAvgPool3d((1, 1, None)), torch.nn.Flatten(2, 3))
    ...         self.readout = LinearReadout(1, out_neurons, activation=self.output_activation)
    >>> Luminance((12, 16), out_neurons=5)(torch.randn(2, 1, 12, 16, 100)).shape
    torch.Size([2, 5, 1, 100])
    """

    _stimuli: ClassVar[str] = "movies"
    _sizes: ClassVar[tuple[str, ...]] = ("H", "W", "T", "C_in")
    output_activation: nn.Module | None

    def __init__(
        self,
        spatial_resol: Sequence[int],
        temporal_window_size: int,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        in_channels: int = 1,
    ) -> None:
        super().__init__(out_neurons=out_neurons)
        self.H, self.W = check_pair("spatial_resol", spatial_resol, "height and width in pixels")
        self.T = check_integer("temporal_window_size (T)", temporal_window_size)
        self.C_in = check_integer("in_channels", in_channels)
        if output_activation is not None:
            check_module("output_activation", output_activation, nn.Identity)
        # Not as a submodule: the readout holds it, and one module under two names is saved twice.
        self.__dict__["output_activation"] = output_activation

    @property
    def _frame(self) -> tuple[int, ...]:
        return self.C_in, self.H, self.W

    def validate(self) -> None:
        """Check the slots and sizes; runs by itself at the end of every construction.

        Raises
        ------
        ValueError, TypeError
            See :meth:`FrameModel.validate`; also if no module uses the output activation.
        """
        super().validate()
        if self.output_activation is not None and self.output_activation not in set(self.modules()):
            raise ValueError(
                f"{type(self).__name__} does not use its output_activation: give self.output_activation to the readout"
            )
