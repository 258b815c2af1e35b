"""Normalisation layers for time series: causal ones, and ones that know about padding."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer
from deepSTRF.devices import computing_in
from deepSTRF.models.bin_by_bin import NotStreamableError, State

__all__ = ["CausalLayerNorm", "PaddedBatchNorm1d"]


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
        self.ln = nn.LayerNorm(
            check_integer("normalized_shape", normalized_shape), eps=eps, elementwise_affine=elementwise_affine
        )

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Normalise over axis ``dim``; same shape out.

        Raises
        ------
        ValueError
            If that axis has another length, or there is none.
        """
        (length,) = self.ln.normalized_shape
        if not -x.ndim <= self.dim < x.ndim or x.shape[self.dim] != length:
            raise ValueError(
                f"expected axis {self.dim} to have length {length}, got a tensor of shape {tuple(x.shape)}"
            )
        return self.ln(x.transpose(self.dim, -1)).transpose(self.dim, -1)

    def step(self, x: Float[Tensor, "*shape t"], state: State = None) -> tuple[Float[Tensor, "*shape t"], State]:
        """Normalise the next bins; nothing is remembered.

        Raises
        ------
        NotStreamableError
            If the axis is the last one, which is time.
        """
        if self.dim in (-1, x.ndim - 1):
            raise NotStreamableError(
                f"CausalLayerNorm(dim={self.dim}) normalises a tensor of shape {tuple(x.shape)} over time, so it "
                "cannot run bin by bin: normalise over channels, dim=1"
            )
        return self(x), ()

    def extra_repr(self) -> str:
        """Name the axis."""
        return f"dim={self.dim}"


def not_padding(x: Float[Tensor, "B *frame T"], n_bins: int | None = None) -> Bool[Tensor, "B bins"]:
    """Return which bins of a batch are no padding: those up to the last that is not all zeros.

    Padding is known from the input of a model only, where it is zero. Behind a front end or a prefilter it is some
    constant, and a stimulus may well end in a constant of its own. `n_bins` is the number of bins, where `x` has
    samples.

    Examples
    --------
    >>> x = torch.tensor([[[1.0, 0.0, 2.0, 0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]])
    >>> not_padding(x).sum(1), not_padding(x, 3).sum(1)
    (tensor([3, 6]), tensor([2, 3]))
    """
    padding = (x == 0).flatten(1, -2).all(1).flip(1).cumprod(1).flip(1).bool()
    length = padding.shape[1]
    if n_bins is None or n_bins == length:
        return ~padding
    # a bin counts if any of its samples does
    bins = ((~padding).sum(1, keepdim=True) * n_bins + length - 1) // length
    return torch.arange(n_bins, device=x.device) < bins


@contextlib.contextmanager
def padding_known(module: nn.Module, valid: Bool[Tensor, "B T"] | None) -> Iterator[None]:
    """Tell the normalisations in a module, for one pass, which bins are no padding; None tells them nothing.

    Those that know it already, from whoever made the batch, are left alone.
    """
    parts = () if valid is None else module.modules()
    norms = [part for part in parts if isinstance(part, PaddedBatchNorm1d) and part.known is None]
    for norm in norms:
        norm.known = valid
    try:
        yield
    finally:
        for norm in norms:
            norm.known = None


def valid_bins(norm: nn.Module, x: Float[Tensor, "B *frame T"]) -> Bool[Tensor, "B T"]:
    """Return which bins are no padding: as the model around `norm` knows it, else by the part's own input `x`."""
    known: Tensor | None = getattr(norm, "known", None)
    return not_padding(x) if known is None else known


def _nothing_is_padded(valid: Bool[Tensor, "B T"]) -> bool:
    """Whether torch's own layer will do, several times as fast; on an accelerator, to look would be to wait."""
    return valid.device.type == "cpu" and valid.numel() > 1 and bool(valid.all())


class PaddedBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation whose statistics leave out the bins that only pad a stimulus.

    A batch is as long as its longest stimulus. Counted in, the padding of the others would shift the statistics from
    batch to batch, away from those that are used after training. In eval mode it is :class:`torch.nn.BatchNorm1d`, with
    the same parameters and buffers.

    Parameters
    ----------
    num_features : int
        Number of channels N.
    eps : float
        Added to the variance.
    momentum : float
        Weight of the newest batch in the running statistics.

    References
    ----------
    Ioffe & Szegedy (2015), Batch normalization, https://doi.org/10.48550/arXiv.1502.03167

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(2, 3, 10)
    >>> valid = torch.arange(10).expand(2, 10) < torch.tensor([[10], [6]])
    >>> longer = torch.nn.functional.pad(x, (0, 5)), torch.nn.functional.pad(valid, (0, 5))
    >>> torch.allclose(PaddedBatchNorm1d(3)(x, valid), PaddedBatchNorm1d(3)(*longer)[..., :10], atol=1e-5)
    True
    """

    known: Tensor | None = None  # which bins are no padding, while a model that knows it runs
    momentum: float
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(check_integer("num_features", num_features), eps=eps, momentum=momentum)

    def forward(self, x: Float[Tensor, "B N T"], valid: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B N T"]:
        """Normalise every channel; `valid` marks the bins that count in train mode, all by default.

        If fewer than two bins are valid, all count.

        Raises
        ------
        ValueError
            If `x` is not ``(B, num_features, T)``, or `valid` not ``(B, T)``.
        """
        if x.ndim != 3 or x.shape[1] != self.num_features:
            raise ValueError(f"expected x of shape (B, {self.num_features}, T), got {tuple(x.shape)}")
        if valid is not None and valid.shape != (x.shape[0], x.shape[2]):
            raise ValueError(f"expected valid of shape {(x.shape[0], x.shape[2])}, got {tuple(valid.shape)}")
        if not self.training or valid is None or _nothing_is_padded(valid):
            return super().forward(x)
        # Sums over many bins keep full precision under autocast, as those of torch's layer do.
        with computing_in(x.device, None):
            return self._normalized(x.to(self.running_mean.dtype), valid)

    def _normalized(self, x: Float[Tensor, "B N T"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B N T"]:
        # Weights rather than an index, so that a GPU need not be waited for.
        weight = torch.where(valid.sum() > 1, valid, True).to(x.dtype)
        count = weight.sum()
        mean = torch.einsum("bnt,bt->n", x, weight) / count
        centred = x - mean[:, None]
        variance = torch.einsum("bnt,bt->n", centred.square(), weight) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            # not in place, for which vmap has no rule
            self.running_mean.copy_(torch.lerp(self.running_mean, mean, self.momentum))
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_var.copy_(torch.lerp(self.running_var, unbiased, self.momentum))
        gain = self.weight * (variance + self.eps).rsqrt()
        return centred * gain[:, None] + self.bias[:, None]
