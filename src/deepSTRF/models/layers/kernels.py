"""Receptive fields with fewer parameters than points, for the argument ``kernel`` of convolutions and models.

A full receptive field has C_in · F · T weights. On a few minutes of recording most of them fit noise; these kernels say
beforehand what a receptive field looks like.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.models.saving.rebuildable import Rebuildable

__all__ = ["LowRankSTRF", "ParametricSTRF", "RaisedCosineSTRF", "SeparableSTRF", "raised_cosines"]


def slide(
    x: Float[Tensor, "B C_in F T_in_plus_T_minus_1"],
    fields: Float[Tensor, "C_out C_in F T"],
    bias: Float[Tensor, " C_out"] | None,
) -> Float[Tensor, "B C_out 1 T_in"]:
    """``conv2d`` of fields that span all bands: in one dimension, where its backward pass takes a sixth on a CPU."""
    return functional.conv1d(x.flatten(1, 2), fields.flatten(1, 2), bias)[:, :, None]


class Conv2d(nn.Conv2d):
    """That of torch, for kernels that span all bands."""

    def forward(self, x: Float[Tensor, "B C_in F T_in_plus_T_minus_1"]) -> Float[Tensor, "B C_out 1 T_in"]:
        """Convolve over time."""
        return slide(x, self.weight, self.bias)


class _Kernel(Rebuildable):
    """What the kernels share: a subclass builds ``(C_out, C_in, F, T)`` from its parameters."""

    # Which axis of a parameter runs over the output channels, where it is not the first.
    _axes: ClassVar[dict[str, int]] = {}

    def __init__(self, F: int, T: int, C_in: int, C_out: int) -> None:
        super().__init__()
        self.F, self.T = check_integer("F", F), check_integer("T", T)
        self.C_in, self.C_out = check_integer("C_in", C_in), check_integer("C_out", C_out)
        self.bias: nn.Parameter | None = None

    def _uniform(self, *shape: int, bound: float) -> nn.Parameter:
        return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

    def build_kernel(self) -> Float[Tensor, "C_out C_in F T"]:
        """Return the receptive fields; the last time index is the current bin."""
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "B C_in F T_in_plus_T_minus_1"]) -> Float[Tensor, "B C_out 1 T_in"]:
        """Slide the receptive fields over a spectrogram with T - 1 bins of past in front.

        Raises
        ------
        ValueError
            If `x` is not ``(B, C_in, F, ...)`` with T bins or more.
        """
        if x.ndim != 4 or x.shape[1:3] != (self.C_in, self.F) or x.shape[3] < self.T:
            raise ValueError(
                f"expected x of shape (B, {self.C_in}, {self.F}, T_in + {self.T - 1}), got {tuple(x.shape)}"
            )
        return slide(x, self.build_kernel(), self.bias)

    def per_neuron_tensors(self) -> dict[str, int]:
        """Names of the parameters, with the axis that runs over the C_out receptive fields."""
        return {name: self._axes.get(name, 0) for name, _ in self.named_parameters()}

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"F={self.F}, T={self.T}, C_in={self.C_in}, C_out={self.C_out}, bias={self.bias is not None}"


class SeparableSTRF(_Kernel):
    """Receptive fields that are a tuning over frequency times a course over time.

    Parameters
    ----------
    F, T, C_in, C_out : int
        Bands, window in bins, input channels and receptive fields.
    bias : bool
        One offset per receptive field.

    Attributes
    ----------
    weight_f : Parameter
        ``(C_out, C_in, F, 1)``.
    weight_t : Parameter
        ``(C_out, C_in, 1, T)``; the last time index is the current bin.

    References
    ----------
    Simon, Depireux, Klein, Fritz & Shamma (2007), Temporal symmetry in primary auditory cortex: implications for
    cortical connectivity, https://doi.org/10.1162/neco.2007.19.3.583

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import Linear
    >>> model = Linear(34, 9, out_neurons=5, kernel=SeparableSTRF(F=34, T=9, C_in=1, C_out=5))
    >>> model.STRF_weight().shape, torch.linalg.matrix_rank(model.STRF_weight())
    (torch.Size([5, 34, 9]), tensor([1, 1, 1, 1, 1]))
    """

    def __init__(self, F: int, T: int, C_in: int, C_out: int, bias: bool = True) -> None:
        super().__init__(F, T, C_in, C_out)
        self.weight_f = self._uniform(self.C_out, self.C_in, self.F, 1, bound=1 / math.sqrt(self.C_in * self.F))
        self.weight_t = self._uniform(self.C_out, self.C_in, 1, self.T, bound=1 / math.sqrt(self.C_in * self.T))
        self.bias = self._uniform(self.C_out, bound=1.0) if bias else None

    def build_kernel(self) -> Float[Tensor, "C_out C_in F T"]:
        """Return the receptive fields; the last time index is the current bin."""
        return self.weight_f * self.weight_t


class LowRankSTRF(_Kernel):
    """Receptive fields that are the sum of a few separable ones.

    Parameters
    ----------
    F, T, C_in, C_out, bias
        See :class:`SeparableSTRF`.
    rank : int
        Number of separable parts R of every field and channel, at most the smaller of F and T.

    Attributes
    ----------
    weight_f : Parameter
        ``(C_out, C_in, F, R)``.
    weight_t : Parameter
        ``(C_out, C_in, R, T)``; the last time index is the current bin.

    Raises
    ------
    ValueError
        If `rank` is more than F or T, where a full kernel has fewer weights.

    References
    ----------
    Park & Pillow (2013), Bayesian inference for low rank spatiotemporal neural receptive fields, NeurIPS 26.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import Linear
    >>> model = Linear(34, 9, out_neurons=5, kernel=LowRankSTRF(F=34, T=9, C_in=1, C_out=5, rank=2))
    >>> torch.linalg.matrix_rank(model.STRF_weight())
    tensor([2, 2, 2, 2, 2])
    """

    def __init__(self, F: int, T: int, C_in: int, C_out: int, rank: int = 2, bias: bool = True) -> None:
        super().__init__(F, T, C_in, C_out)
        self.rank = check_integer("rank", rank)
        if self.rank > min(self.F, self.T):
            raise ValueError(f"rank is at most {min(self.F, self.T)} with F={F} bands and T={T} bins, got {rank}")
        # So that the products vary as the weights of a full kernel do.
        spread = math.sqrt(3) / math.sqrt(self.rank * self.C_in)
        self.weight_f = self._uniform(self.C_out, self.C_in, self.F, self.rank, bound=math.sqrt(spread / self.F))
        self.weight_t = self._uniform(self.C_out, self.C_in, self.rank, self.T, bound=math.sqrt(spread / self.T))
        self.bias = self._uniform(self.C_out, bound=_default_bound(self)) if bias else None

    def build_kernel(self) -> Float[Tensor, "C_out C_in F T"]:
        """Return the receptive fields; the last time index is the current bin."""
        return self.weight_f @ self.weight_t

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"{super().extra_repr()}, rank={self.rank}"


class ParametricSTRF(_Kernel):
    r"""Receptive fields that are sums of a few Gaussians, whose places and widths are learnt.

    .. math::
        k(f, t) = \sum_g \frac{w_g}{Z_g} \exp\Big(-\frac{(f - p^f_g)^2}{2 (\sigma^f_g)^2}
        - \frac{(t - p^t_g)^2}{2 (\sigma^t_g)^2}\Big), \qquad \sigma = |\mathrm{SIG}| + 0.27

    where Z is the sum of the Gaussian over the F × T points. This is a dilated convolution with learnable spacings, of
    which the points became Gaussians.

    Parameters
    ----------
    F, T, C_in, C_out, bias
        See :class:`SeparableSTRF`.
    num_gaussians : int
        Number of Gaussians G of every field and channel.

    Attributes
    ----------
    P, SIG : Parameter
        ``(2, C_out, C_in, G)``: places and widths over frequency (0, in bands) and time (1, in bins; T - 1 is the
        current bin).
    weight : Parameter
        ``(C_out, C_in, G)``.

    References
    ----------
    Khalfaoui-Hassani, Pellegrini & Masquelier (2021), Dilated convolution with learnable spacings,
    https://doi.org/10.48550/arXiv.2112.03740

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import Linear
    >>> model = Linear(34, 9, out_neurons=5, kernel=ParametricSTRF(F=34, T=9, C_in=1, C_out=5, num_gaussians=2))
    >>> model.STRF_weight().shape, sum(p.numel() for p in model.readout.strf.parameters())
    (torch.Size([5, 34, 9]), 55)
    """

    _axes: ClassVar[dict[str, int]] = {"P": 1, "SIG": 1}

    def __init__(self, F: int, T: int, C_in: int, C_out: int, num_gaussians: int = 1, bias: bool = True) -> None:
        super().__init__(F, T, C_in, C_out)
        self.num_gaussians = check_integer("num_gaussians", num_gaussians)
        shape = (self.C_out, self.C_in, self.num_gaussians)
        self.P = nn.Parameter(torch.empty(2, *shape))
        for places, size in zip(self.P.data, (self.F, self.T), strict=True):
            places.uniform_(0, size - 1)
        self.SIG = nn.Parameter(torch.ones(2, *shape))
        self.weight = self._uniform(*shape, bound=1 / math.sqrt(self.C_in * self.num_gaussians))
        self.bias = self._uniform(self.C_out, bound=1.0) if bias else None

    def build_kernel(self) -> Float[Tensor, "C_out C_in F T"]:
        """Return the receptive fields; the last time index is the current bin."""
        width = self.SIG.abs() + 0.27
        over_f, over_t = (
            torch.exp(-0.5 * ((torch.arange(size, device=place.device) - place[..., None]) / sigma[..., None]) ** 2)
            for size, place, sigma in zip((self.F, self.T), self.P, width, strict=True)
        )
        amplitude = self.weight / (over_f.sum(-1) * over_t.sum(-1) + 1e-7)
        return (over_f * amplitude[..., None]).transpose(-1, -2) @ over_t

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"{super().extra_repr()}, num_gaussians={self.num_gaussians}"


class RaisedCosineSTRF(_Kernel):
    r"""Receptive fields whose course over time is a sum of bumps, narrow for the recent past and wider before.

    .. math:: b_j(k) = \tfrac12 + \tfrac12 \cos\big(\mathrm{clip}(\tfrac{\pi}{2 \Delta}
        (\log(k + c) - \log c - j \Delta), -\pi, \pi)\big), \qquad j = 0 \dots n - 1

    where k is the lag in bins and :math:`\Delta = (\log(T + c) - \log c) / (n + 1)`: the first bump stands at the
    current bin, and the last one ends with the window. Each is scaled to a sum of squares of 1.

    Parameters
    ----------
    F, T, C_in, C_out, bias
        See :class:`SeparableSTRF`.
    n_basis : int
        Number of bumps n.
    offset : float
        c, in bins: the larger, the more alike are the widths.

    Attributes
    ----------
    weight : Parameter
        ``(C_out, C_in, F, n)``.
    basis : Tensor
        ``(n, T)``; the last time index is the current bin.

    Raises
    ------
    ValueError
        If the bumps are so many that they are not independent in T bins.

    References
    ----------
    Pillow et al. (2008), Spatio-temporal correlations and visual signalling in a complete neuronal population,
    https://doi.org/10.1038/nature07140

    Examples
    --------
    >>> kernel = RaisedCosineSTRF(F=34, T=30, C_in=1, C_out=5, n_basis=6)
    >>> kernel.basis.shape, kernel.build_kernel().shape
    (torch.Size([6, 30]), torch.Size([5, 1, 34, 30]))
    """

    basis: Tensor

    def __init__(
        self, F: int, T: int, C_in: int, C_out: int, n_basis: int = 5, offset: float = 1.0, bias: bool = True
    ) -> None:
        super().__init__(F, T, C_in, C_out)
        self.n_basis, self.offset = check_integer("n_basis", n_basis), check_positive("offset", offset)
        self.register_buffer("basis", torch.tensor(_independent_cosines(self.T, self.n_basis, self.offset)))
        self.weight = self._uniform(
            self.C_out, self.C_in, self.F, self.n_basis, bound=1 / math.sqrt(self.C_in * self.F * self.n_basis)
        )
        self.bias = self._uniform(self.C_out, bound=_default_bound(self)) if bias else None

    def build_kernel(self) -> Float[Tensor, "C_out C_in F T"]:
        """Return the receptive fields; the last time index is the current bin."""
        return self.weight @ self.basis

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"{super().extra_repr()}, n_basis={self.n_basis}, offset={self.offset}"


def _default_bound(kernel: _Kernel) -> float:
    """Where torch's convolutions start, so that these kernels give the same scale."""
    return 1 / math.sqrt(kernel.C_in * kernel.F * kernel.T)


def raised_cosines(n_bins: int, n_basis: int, offset: float, last: float | None = None) -> NDArray[np.float64]:
    """Bumps of norm 1 ``(n_basis, n_bins)`` on a logarithmic axis of lags, current bin last.

    The last one peaks at the lag `last`; by default there is room for its falling half.
    """
    time = np.log((np.arange(n_bins - 1, -1, -1) + offset) / offset)
    if last is None:
        spacing = np.log((n_bins + offset) / offset) / (n_basis + 1)
    else:
        spacing = np.log((last + offset) / offset) / max(n_basis - 1, 1)
    phase = (time - spacing * np.arange(n_basis)[:, None]) * np.pi / (2 * spacing)
    bumps = 0.5 + 0.5 * np.cos(np.clip(phase, -np.pi, np.pi))
    norms: NDArray[np.float64] = np.sqrt((bumps**2).sum(-1, keepdims=True))
    return bumps / np.where(norms > 0, norms, 1.0)


def _independent_cosines(n_bins: int, n_basis: int, offset: float) -> list[list[float]]:
    bumps = raised_cosines(n_bins, n_basis, offset)
    if np.linalg.matrix_rank(bumps, tol=1e-3) < n_basis:
        raise ValueError(
            f"{n_basis} bumps are not independent in a window of {n_bins} bins: the first of them are narrower than a "
            f"bin; take fewer (n_basis) or a larger offset than {offset:g}"
        )
    return bumps.tolist()
