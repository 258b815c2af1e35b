"""What attention over time needs besides attention: where a bin is, and which bins it may look at."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer
from deepSTRF.devices import has_float64
from deepSTRF.models.bin_by_bin import State

__all__ = ["SinusoidalPositionalEncoding", "build_causal_window_mask"]


class SinusoidalPositionalEncoding(nn.Module):
    r"""Add to every element of a sequence a code for where it stands.

    Elements 2i and 2i + 1 of the code of position p are :math:`\sin(\omega_i p)` and :math:`\cos(\omega_i p)`, where
    :math:`\omega_i = 10000^{-2i/D}`.

    Parameters
    ----------
    d_model : int
        Number of features D, even.

    Raises
    ------
    ValueError
        If `d_model` is not a positive even int.

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, https://doi.org/10.48550/arXiv.1706.03762

    Examples
    --------
    >>> import torch
    >>> SinusoidalPositionalEncoding(4)(torch.zeros(1, 2, 4))
    tensor([[[0.0000, 1.0000, 0.0000, 1.0000],
             [0.8415, 0.5403, 0.0100, 0.9999]]])
    """

    div_term: Tensor

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.d_model = check_integer("d_model", d_model)
        if self.d_model % 2:
            raise ValueError(f"d_model must be even, for a sine and a cosine of every frequency; got {d_model}")
        frequencies = [10_000.0 ** (-i / self.d_model) for i in range(0, self.d_model, 2)]
        self.register_buffer("div_term", torch.tensor(frequencies))

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Add the codes of positions 0 to L - 1.

        Raises
        ------
        ValueError
            If `x` is not ``(B, L, d_model)``.
        """
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B l D"], state: State = None) -> tuple[Float[Tensor, "B l D"], State]:
        """Add the codes of the next positions; the state is how many there were before, a tensor of one number."""
        if x.ndim != 3 or x.shape[2] != self.d_model:
            raise ValueError(f"expected x of shape (B, L, {self.d_model}), got {tuple(x.shape)}")
        start = torch.zeros((), dtype=torch.long, device=x.device) if state is None else state
        # In double precision: half has no whole numbers beyond a few hundred, and in single the phase of a stream that
        # has run for an hour is off by a tenth of a radian.
        precise = torch.float64 if has_float64(x.device) else torch.float32
        phases = (start + torch.arange(x.shape[1], device=x.device)).to(precise)[:, None] * self.div_term.to(precise)
        code = torch.stack([phases.sin(), phases.cos()], -1).flatten(-2)
        return x + code.to(x.dtype), start + x.shape[1]

    def extra_repr(self) -> str:
        """Name the number of features."""
        return f"{self.d_model}"


def build_causal_window_mask(
    L: int, window: int | None = None, device: torch.device | str | None = None
) -> Bool[Tensor, "L L"]:
    """Say which bins each bin may not look at: the future, and what is older than the window.

    Parameters
    ----------
    L : int
        Number of bins.
    window : int, optional
        How many bins each bin looks at, itself included; the whole past by default.
    device : torch.device or str, optional
        Where the mask is made.

    Returns
    -------
    Tensor
        ``(L, L)``, bool: True at (i, j) if bin i is blocked from bin j, as the attention layers of torch.nn take it.

    Raises
    ------
    ValueError
        If `L` or `window` is not a positive int.

    Examples
    --------
    >>> build_causal_window_mask(4, window=2).int()
    tensor([[0, 1, 1, 1],
            [0, 0, 1, 1],
            [1, 0, 0, 1],
            [1, 1, 0, 0]], dtype=torch.int32)
    """
    bins = torch.arange(check_integer("L", L), device=device)
    lag = bins[:, None] - bins
    blocked = lag < 0
    return blocked if window is None else blocked | (lag >= check_integer("window", window))
