"""Normalisation that never looks along time."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["CausalLayerNorm"]


class CausalLayerNorm(nn.Module):
    """Layer normalisation over one axis, each position of the other axes by itself.

    Normalising over channels at every time bin separately keeps a model causal, where a normalisation over time would
    let the future in.

    Parameters
    ----------
    normalized_shape : int
        Length of the axis.
    dim : int
        Which axis.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Learn a gain and an offset per element of the axis.

    References
    ----------
    Ba, Kiros & Hinton (2016), Layer normalization, https://doi.org/10.48550/arXiv.1607.06450

    Examples
    --------
    >>> import torch
    >>> y = CausalLayerNorm(16, dim=1)(torch.randn(2, 16, 5))
    >>> y.shape, bool(y.mean(1).abs().max() < 1e-5)
    (torch.Size([2, 16, 5]), True)
    """

    def __init__(self, normalized_shape: int, dim: int = 1, eps: float = 1e-5, elementwise_affine: bool = True) -> None:
        super().__init__()
        self.dim = dim
        self.ln = nn.LayerNorm(normalized_shape, eps=eps, elementwise_affine=elementwise_affine)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Normalise over axis ``dim``; same shape out."""
        return self.ln(x.transpose(self.dim, -1)).transpose(self.dim, -1)

    def extra_repr(self) -> str:
        """Name the axis."""
        return f"dim={self.dim}"
