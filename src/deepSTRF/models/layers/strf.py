"""The causal spectro-temporal convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, check_module
from deepSTRF.models.bin_by_bin import State, with_past
from deepSTRF.models.layers.kernels import Conv2d
from deepSTRF.models.optional_buffer import load_optional_buffer

__all__ = ["CausalSTRFConv"]


class CausalSTRFConv(nn.Module):
    """Slide spectro-temporal receptive fields over a spectrogram, looking at the past only.

    ``y[b, o, t] = bias[o] + sum_{c, f, k} w[o, c, f, k] · x[b, c, f, t - (T - 1) + k]``: the last index of the kernel
    is the current bin. Before the onset, x is zero, or `before_onset` where that is set.

    Parameters
    ----------
    F : int
        Number of frequency bands.
    T : int
        Length of the window in bins.
    C_in, C_out : int
        Number of input channels and of receptive fields.
    kernel : torch.nn.Module, optional
        Maps ``(B, C_in, F, T_in + T - 1)`` to ``(B, C_out, 1, T_in)``. The default is ``Conv2d(C_in, C_out, (F, T))``.
    bias : bool
        Bias of the default kernel.

    Attributes
    ----------
    before_onset : Tensor, (C_in, F), or None
        The stimulus that is assumed before the onset, such as its mean. Set it for stimuli that are far from zero; the
        kernel must be linear then.

    Examples
    --------
    >>> import torch
    >>> layer = CausalSTRFConv(F=34, T=9, C_in=1, C_out=5)
    >>> layer(torch.randn(2, 1, 34, 100)).shape, layer.STRF_weight().shape
    (torch.Size([2, 5, 1, 100]), torch.Size([5, 1, 34, 9]))
    """

    before_onset: Tensor | None

    def __init__(
        self, F: int, T: int, C_in: int, C_out: int, kernel: nn.Module | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.register_buffer("before_onset", None)
        self.F, self.T = check_integer("F", F), check_integer("T", T)
        self.C_in, self.C_out = check_integer("C_in", C_in), check_integer("C_out", C_out)
        self.kernel = check_module("kernel", kernel, lambda: Conv2d(self.C_in, self.C_out, (self.F, self.T), bias=bias))
        if isinstance(kernel, nn.Conv2d) and (kernel.in_channels, kernel.out_channels) != (self.C_in, self.C_out):
            raise ValueError(
                f"the kernel must have {self.C_in} input and {self.C_out} output channels, got a Conv2d with "
                f"{kernel.in_channels} and {kernel.out_channels}"
            )
        for size in ("F", "T", "C_in", "C_out"):
            if getattr(kernel, size, getattr(self, size)) != getattr(self, size):
                raise ValueError(
                    f"the kernel {type(kernel).__name__} has {size}={getattr(kernel, size)}, but {getattr(self, size)} "
                    "is needed here"
                )

    def forward(self, x: Float[Tensor, "B C_in F T"]) -> Float[Tensor, "B C_out 1 T"]:
        """Convolve.

        Raises
        ------
        ValueError
            If `x` is not ``(B, C_in, F, T)``, or the kernel gives another shape than it should.
        """
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B C_in F t"], state: State = None) -> tuple[Float[Tensor, "B C_out 1 t"], State]:
        """Convolve the next bins; the state is the window of bins before them."""
        if x.ndim != 4 or x.shape[1:3] != (self.C_in, self.F):
            raise ValueError(
                f"expected a spectrogram (B, {self.C_in}, {self.F}, T), got a tensor of shape {tuple(x.shape)}"
            )
        fill = self.before_onset
        # Deviations from it, so that a state of zeros is the onset.
        longer, state = with_past(x if fill is None else x - fill[..., None], state, self.T - 1)
        y = self.kernel(longer)
        expected = (x.shape[0], self.C_out, 1, x.shape[3])
        if y.shape != expected:
            raise ValueError(
                f"the kernel {type(self.kernel).__name__} gives {tuple(y.shape)} where {expected} is needed: it must "
                f"span all {self.F} bands and {self.T} bins, as Conv2d({self.C_in}, {self.C_out}, {(self.F, self.T)})"
            )
        if fill is not None:
            held = fill[None, ..., None].expand(-1, -1, -1, self.T)
            y = y + (self.kernel(held) - self.kernel(torch.zeros_like(held)))
        return y, state

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        load_optional_buffer(self, "before_onset", state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def STRF_weight(self) -> Float[Tensor, "C_out C_in F T"]:
        """Return a copy of the kernel on the CPU; the last time index is the current bin.

        Raises
        ------
        NotImplementedError
            If the kernel module is neither a Conv2d nor two of them, one after the other (over frequency and over
            time, in either order, the second one channel by channel), and has no ``build_kernel()``.
        """
        kernel = self.kernel
        build = getattr(kernel, "build_kernel", None)
        separable = _separable_parts(kernel)
        weight: Tensor
        if build is not None:
            weight = build()
        elif isinstance(kernel, nn.Conv2d):
            weight = kernel.weight
        elif separable is not None:
            weight = separable[0].weight * separable[1].weight  # broadcasts to the outer product
        else:
            raise NotImplementedError(
                f"no STRF can be read from a kernel of type {type(kernel).__name__}: give it a method build_kernel() "
                f"that returns ({self.C_out}, {self.C_in}, {self.F}, {self.T})"
            )
        return weight.detach().cpu().clone()


def _separable_parts(kernel: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d] | None:
    """The two Conv2d of a kernel whose product is one receptive field per output channel, or None."""
    if not isinstance(kernel, nn.Sequential) or len(kernel) != 2:
        return None
    first, second = kernel
    if not (isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)):
        return None
    one_axis_each = all(1 in sizes for sizes in zip(first.kernel_size, second.kernel_size, strict=True))
    channel_by_channel = second.groups == second.in_channels == second.out_channels
    return (first, second) if one_axis_each and channel_by_channel else None
