"""Causal convolutions over movies, and the core that is made of them."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer
from deepSTRF.models.bin_by_bin import State, step, with_past
from deepSTRF.models.layers import PaddedBatchNorm1d
from deepSTRF.models.layers.normalization import valid_bins

__all__ = ["CausalConv3d", "Conv3dCore", "odd_int"]


class CausalConv3d(nn.Module):
    """A convolution over space and time that looks at the past only and keeps the size of the picture.

    ``y[o, i, j, t] = sum_{c, a, b, k} w[o, c, a, b, k] · x[c, i + a, j + b, t - (T - 1) + k]`` with a and b around 0;
    outside of the picture and before the onset there are zeros. `factorised` is a convolution over space and then one
    over time, each from all channels to all: K² + T weights for a pair of channels instead of K²·T.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of channels.
    spatial_kernel : int
        K, the side of the square that is looked at in pixels; odd.
    temporal_kernel : int
        T in bins.
    factorised : bool
        Space and time one after the other.

    Raises
    ------
    ValueError
        If a size is not a positive int, or `spatial_kernel` is even.

    Examples
    --------
    >>> import torch
    >>> layer = CausalConv3d(in_channels=1, out_channels=8, spatial_kernel=5, temporal_kernel=9)
    >>> layer(torch.randn(2, 1, 12, 16, 100)).shape
    torch.Size([2, 8, 12, 16, 100])
    """

    def __init__(
        self, in_channels: int, out_channels: int, spatial_kernel: int, temporal_kernel: int, factorised: bool = False
    ) -> None:
        super().__init__()
        check_integer("in_channels", in_channels)
        check_integer("out_channels", out_channels)
        side, self.T = odd_int("spatial_kernel", spatial_kernel), check_integer("temporal_kernel", temporal_kernel)
        padding = (side // 2, side // 2, 0)
        self.space: nn.Module
        if factorised and self.T > 1:
            # Without an offset in between, zeros before the onset are the same in front of both.
            self.space = nn.Conv3d(in_channels, out_channels, (side, side, 1), padding=padding, bias=False)
            self.time = nn.Conv3d(out_channels, out_channels, (1, 1, self.T), bias=False)
        else:
            self.space = nn.Identity()
            self.time = nn.Conv3d(in_channels, out_channels, (side, side, self.T), padding=padding, bias=False)

    def forward(self, x: Float[Tensor, "B C_in H W T"]) -> Float[Tensor, "B C_out H W T"]:
        """Convolve."""
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B C_in H W t"], state: State = None) -> tuple[Tensor, State]:
        """Convolve the next frames; the state is the window of frames before them."""
        longer, state = with_past(self.space(x), state, self.T - 1)
        return self.time(longer), state


class Conv3dCore(nn.Module):
    """Causal convolutions, each with a batch normalisation and an ELU.

    Every channel is normalised over all pixels, bins and stimuli of a batch; bins at the end of a movie in which
    the input of the model is zero are padding and are left out. In eval mode that is a fixed gain and offset.

    Parameters
    ----------
    in_channels : int
        Channels of the movie.
    channels, spatial_kernels, temporal_kernels : sequence of int
        One number per layer.
    factorised : bool
        See :class:`CausalConv3d`.

    Attributes
    ----------
    out_channels : int
        Channels of the last layer.
    T : int
        Number of bins that an output depends on.

    Raises
    ------
    ValueError
        If the sequences differ in length, are empty, or hold anything but positive ints (odd ones for space).
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        spatial_kernels: Sequence[int],
        temporal_kernels: Sequence[int],
        factorised: bool = False,
    ) -> None:
        super().__init__()
        lengths = [len(sizes) for sizes in (channels, spatial_kernels, temporal_kernels)]
        if len(set(lengths)) > 1 or lengths[0] == 0:
            raise ValueError(
                "channels, spatial_kernels and temporal_kernels must have one entry per layer, got "
                f"{lengths[0]}, {lengths[1]} and {lengths[2]} entries"
            )
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        before = in_channels
        for here, side, n_bins in zip(channels, spatial_kernels, temporal_kernels, strict=True):
            self.convolutions.append(CausalConv3d(before, here, side, n_bins, factorised))
            self.norms.append(PaddedBatchNorm1d(here))
            before = here
        self.activation = nn.ELU()
        self.out_channels = before
        self.T = 1 + sum(n_bins - 1 for n_bins in temporal_kernels)

    def forward(self, x: Float[Tensor, "B C_in H W T"]) -> Float[Tensor, "B C_out H W T"]:
        """Compute the feature maps."""
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B C_in H W t"], state: State = None) -> tuple[Tensor, State]:
        """Compute the feature maps of the next frames."""
        valid = valid_bins(self.norms[0], x) if self.training else None
        states = []
        for convolution, norm, past in zip(
            self.convolutions, self.norms, [None] * len(self.norms) if state is None else state, strict=True
        ):
            x, new = step(convolution, x, past)
            x = self.activation(_normalised(norm, x, valid))
            states.append(new)
        return x, tuple(states)


def _normalised(norm: nn.Module, x: Float[Tensor, "B C H W T"], valid: Bool[Tensor, "B T"] | None) -> Tensor:
    """Normalise each channel over pixels and bins."""
    if valid is None or not norm.training:
        return norm(x.flatten(2)).view_as(x)
    every_pixel = valid.unsqueeze(1).expand(-1, x.shape[2] * x.shape[3], -1).flatten(1)
    return norm(x.flatten(2), every_pixel).view_as(x)


def odd_int(name: str, value: object) -> int:
    """Return `value` as a Python int; raises ValueError if it is not odd and positive, TypeError if it is no integer.

    Examples
    --------
    >>> odd_int("spatial_kernel", 5)
    5
    """
    number = check_integer(name, value)
    if number % 2 == 0:
        raise ValueError(f"{name} must be odd, so that it has a middle, got {number}")
    return number
