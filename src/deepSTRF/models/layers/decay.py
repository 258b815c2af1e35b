"""Leaky integration over time."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.models.bin_by_bin import State, with_held_past

__all__ = ["LearnableExponentialDecay", "exponential_sums"]


def exponential_sums(x: Float[Tensor, "*shape T"], decay: Tensor, n_bins: int) -> Float[Tensor, "*shape t"]:
    r"""Sum the last bins at every bin, the older the less: :math:`\sum_{k<n} a^k x(t - k)`.

    The sum over 2m bins is the sum over m plus a\ :sup:`m` times that of m bins before. So it takes a number of passes
    that grows with log n, where a convolution takes n.

    Parameters
    ----------
    x : Tensor
        Time last, T bins.
    decay : Tensor
        a, which broadcasts against `x`.
    n_bins : int
        Number of bins n.

    Returns
    -------
    Tensor
        T - n + 1 bins: those that have the n bins they need.

    Examples
    --------
    >>> import torch
    >>> exponential_sums(torch.tensor([0.0, 0.0, 8.0, 0.0, 0.0]), torch.tensor(0.5), 3)
    tensor([8., 4., 2.])
    """
    sums, length = x, 1
    for digit in bin(n_bins)[3:]:
        sums = torch.addcmul(sums[..., length:], decay**length, sums[..., : sums.shape[-1] - length])
        length *= 2
        if digit == "1":
            sums = torch.addcmul(x[..., length:], decay, sums[..., : sums.shape[-1] - 1])
            length += 1
    return sums


class LearnableExponentialDecay(nn.Module):
    r"""Every channel forgets at its own learnt rate: a convolution with a decaying exponential.

    .. math:: y_c(t) = g_c \sum_{k=0}^{K-1} a_c^k \, x_c(t - k), \qquad a_c = d_c^2 / (1 + d_c^2)

    where :math:`g_c = 1 / (1 + d_c^2) = 1 - a_c`, which keeps a constant about constant, or 1 without `decay_input`.
    Before the onset the first bin is held.

    Parameters
    ----------
    input_size : int
        Number C of channels of the input.
    kernel_size : int
        Number of bins K that are summed over; the kernel is cut off there.
    init_tau : float
        Time constant around which the channels start, in bins, more than 1: d is drawn from an exponential
        distribution with mean :math:`\sqrt{\mathrm{init\_tau} - 1}`.
    decay_input : bool
        Scale by g.

    Attributes
    ----------
    d : Parameter
        ``(C,)``; only its square matters.

    Raises
    ------
    ValueError
        If a size is not a positive int, or `init_tau` is not above 1.

    References
    ----------
    Rahman et al. (2019), see :class:`~deepSTRF.models.audio.DNet`

    Examples
    --------
    >>> import torch
    >>> layer = LearnableExponentialDecay(input_size=1, kernel_size=4, decay_input=False)
    >>> with torch.no_grad():
    ...     layer.d.fill_(1)  # a = 1/2
    Parameter containing:
    tensor([1.], requires_grad=True)
    >>> layer(torch.tensor([[[0.0, 8.0, 0.0, 0.0, 0.0, 0.0]]])).tolist()
    [[[0.0, 8.0, 4.0, 2.0, 1.0, 0.0]]]
    """

    def __init__(self, input_size: int, kernel_size: int, init_tau: float = 2.0, decay_input: bool = True) -> None:
        super().__init__()
        self.input_size = check_integer("input_size", input_size)
        self.kernel_size = check_integer("kernel_size", kernel_size)
        self.init_tau = check_positive("init_tau", init_tau)
        if self.init_tau <= 1:
            raise ValueError(f"init_tau is in bins and must be above 1 (at 1 nothing is kept), got {init_tau}")
        self.decay_input = decay_input
        # By the inverse of the distribution, on the CPU: a saved model is first sketched on the meta device, where
        # arithmetic makes torch import its compiler, which takes seconds.
        draws = torch.rand(self.input_size, device="cpu")
        self.d = nn.Parameter(torch.empty(self.input_size).copy_(-math.sqrt(self.init_tau - 1) * torch.log1p(-draws)))

    def tau(self) -> Float[Tensor, " C"]:
        """Return the time constants in bins, 1 + d²."""
        return 1 + self.d.square()

    def build_kernel(self) -> Float[Tensor, "C K"]:
        """Return the kernels; the last index is the current bin."""
        tau = self.tau()
        lags = torch.arange(self.kernel_size - 1, -1, -1, device=tau.device)
        kernel = (1 - 1 / tau)[:, None] ** lags
        return kernel / tau[:, None] if self.decay_input else kernel

    def forward(self, x: Float[Tensor, "B C *other T"]) -> Float[Tensor, "B C *other T"]:
        """Integrate along the last axis.

        Raises
        ------
        ValueError
            If `x` is not ``(B, input_size, ..., T)``.
        """
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B C *other t"], state: State = None) -> tuple[Tensor, State]:
        """Integrate the next bins; the state is the K - 1 bins before, and whether there were any."""
        if x.ndim < 3 or x.shape[1] != self.input_size:
            raise ValueError(f"expected x of shape (B, {self.input_size}, ..., T), got {tuple(x.shape)}")
        longer, state = with_held_past(x, state, self.kernel_size - 1)
        tau = self.tau().reshape(-1, *[1] * (x.ndim - 2))
        sums = exponential_sums(longer, 1 - 1 / tau, self.kernel_size)
        return sums / tau if self.decay_input else sums, state

    def extra_repr(self) -> str:
        """Name the settings."""
        return (
            f"{self.input_size}, kernel_size={self.kernel_size}, init_tau={self.init_tau}, "
            f"decay_input={self.decay_input}"
        )
