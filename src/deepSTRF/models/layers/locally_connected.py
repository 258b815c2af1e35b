"""Layers over frequency whose weights differ from band to band."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer

__all__ = ["FullyConnected1d", "LocallyConnected1d"]


class LocallyConnected1d(nn.Module):
    """A 1-D convolution whose weights are not shared between positions.

    ``y[b, o, l] = biases[o, l] + sum_{c, k} weights[o, c·K + k, l] · x[b, c, l·stride + k·dilation - padding]``

    Parameters
    ----------
    input_size : int
        Number of input positions F.
    in_channels, out_channels : int
        Number of channels.
    kernel_size, stride, padding, dilation : int
        As in :class:`torch.nn.Conv1d`.
    bias : bool
        One offset per channel and position.

    Attributes
    ----------
    output_size : int
        L = (F + 2·padding − dilation·(K − 1) − 1) // stride + 1.

    Notes
    -----
    Weights and biases start uniform in ±1/√(in_channels·K), as those of a convolution.

    Examples
    --------
    >>> import torch
    >>> layer = LocallyConnected1d(input_size=34, in_channels=1, out_channels=7, kernel_size=7, stride=3)
    >>> layer(torch.randn(5, 1, 34)).shape
    torch.Size([5, 7, 10])
    """

    def __init__(
        self,
        input_size: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        sizes = {"input_size": input_size, "in_channels": in_channels, "out_channels": out_channels}
        for name, value in {**sizes, "kernel_size": kernel_size, "stride": stride, "dilation": dilation}.items():
            check_integer(name, value)
        if padding != 0:
            check_integer("padding, where there is any,", padding)
        span = dilation * (kernel_size - 1) + 1
        if span > input_size + 2 * padding:
            raise ValueError(
                f"kernel_size={kernel_size} with dilation={dilation} spans {span} positions, more than the "
                f"{input_size + 2 * padding} there are (input_size={input_size}, padding={padding})"
            )
        self.input_size, self.in_channels, self.out_channels = input_size, in_channels, out_channels
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.output_size = (input_size + 2 * padding - span) // stride + 1
        fan_in = in_channels * kernel_size
        self.weights = nn.Parameter(torch.empty(out_channels, fan_in, self.output_size))
        self.biases = nn.Parameter(torch.empty(out_channels, self.output_size)) if bias else None
        bound = 1 / math.sqrt(fan_in)
        nn.init.uniform_(self.weights, -bound, bound)
        if self.biases is not None:
            nn.init.uniform_(self.biases, -bound, bound)

    def forward(self, x: Float[Tensor, "B C_in F"]) -> Float[Tensor, "B C_out L"]:
        """Apply the layer.

        Raises
        ------
        ValueError
            If `x` is not ``(B, in_channels, input_size)``.
        """
        if x.ndim != 3 or x.shape[1:] != (self.in_channels, self.input_size):
            raise ValueError(f"expected x of shape (B, {self.in_channels}, {self.input_size}), got {tuple(x.shape)}")
        x = functional.pad(x, (self.padding, self.padding))
        span = self.dilation * (self.kernel_size - 1) + 1
        patches = x.unfold(2, span, self.stride)[..., :: self.dilation]  # (B, C_in, L, K)
        # One matrix product per position: (L, B, C_in·K) @ (L, C_in·K, C_out).
        patches = patches.permute(2, 0, 1, 3).reshape(self.output_size, x.shape[0], self.weights.shape[1])
        weights = self.weights.permute(2, 1, 0)
        if self.biases is None:
            out = torch.bmm(patches, weights)
        else:
            out = torch.baddbmm(self.biases.t().unsqueeze(1), patches, weights)
        return out.permute(1, 2, 0)

    def extra_repr(self) -> str:
        """Name the sizes."""
        return (
            f"input_size={self.input_size}, {self.in_channels}, {self.out_channels}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, bias={self.biases is not None}"
        )


class FullyConnected1d(nn.Linear):
    """A linear layer from all input positions to ``(out_channels, output_size)``.

    Parameters
    ----------
    input_size, in_channels : int
        Number of input positions F and channels.
    out_channels, output_size : int
        Shape of the output.

    Examples
    --------
    >>> import torch
    >>> FullyConnected1d(input_size=34, in_channels=1, out_channels=7, output_size=10)(torch.randn(5, 1, 34)).shape
    torch.Size([5, 7, 10])
    """

    def __init__(self, input_size: int, in_channels: int, out_channels: int, output_size: int) -> None:
        super().__init__(in_channels * input_size, out_channels * output_size)
        self.output_shape = (out_channels, output_size)

    def forward(self, x: Float[Tensor, "B C_in F"]) -> Float[Tensor, "B C_out L"]:
        """Apply the layer."""
        return super().forward(x.flatten(1)).unflatten(1, self.output_shape)
