"""Mamba: a state space layer whose time constants and inputs depend on the stimulus."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer
from deepSTRF.models.bin_by_bin import with_past
from deepSTRF.models.layers.recurrence import linear_recurrence

__all__ = ["Mamba"]


class Mamba(nn.Module):
    r"""The block of Mamba, without the normalisation and the sum around it.

    Every input is mapped to E = `expand`·D channels x and as many gates z. The channels pass a causal convolution over
    `d_conv` bins and a SiLU; from what comes out, a step size Δ per channel, and vectors B and C of size `d_state`, are
    read in every bin. Each channel drives `d_state` leaky integrators:

    .. math::
        h_t &= e^{\Delta_t A} h_{t-1} + \Delta_t B_t x_t \\
        y_t &= C_t \cdot h_t + D x_t

    with A < 0 learned per channel and integrator. The output is a linear map of y · SiLU(z).

    Parameters
    ----------
    d_model : int
        Number of input and output features D.
    d_state : int
        Integrators per channel.
    d_conv : int
        Bins that the convolution sees.
    expand : int
        Channels per input feature.

    References
    ----------
    Gu & Dao (2023), Mamba: linear-time sequence modeling with selective state spaces,
    https://doi.org/10.48550/arXiv.2312.00752

    Examples
    --------
    >>> import torch
    >>> layer = Mamba(d_model=70)
    >>> output, state = layer(torch.randn(2, 50, 70))
    >>> output.shape, [tuple(part.shape) for part in state]
    (torch.Size([2, 50, 70]), [(2, 140, 3), (2, 16, 140)])
    >>> sum(parameter.numel() for parameter in layer.parameters())
    38500
    """

    member_by_member = True  # in an ensemble: see Ensemble

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        self.d_state, self.d_conv = check_integer("d_state", d_state), check_integer("d_conv", d_conv)
        n_channels = check_integer("d_model", d_model) * check_integer("expand", expand)
        self.dt_rank = math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * n_channels, bias=False)
        self.conv1d = nn.Conv1d(n_channels, n_channels, d_conv, groups=n_channels)
        self.x_proj = nn.Linear(n_channels, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, n_channels)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(n_channels, 1))
        self.D = nn.Parameter(torch.ones(n_channels))
        self.out_proj = nn.Linear(n_channels, d_model, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        with torch.no_grad():  # Δ starts between 0.001 and 0.1, uniform on a log scale
            dt = torch.exp(math.log(0.001) + torch.rand(n_channels) * math.log(100))
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(
        self, input: Float[Tensor, "B T D"], hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "B T D"], tuple[Float[Tensor, "B E taps"], Float[Tensor, "B d_state E"]]]:
        """Run the block from the state `hx`, zero by default; return the output and the last state."""
        past, start = (None, None) if hx is None else hx
        x, z = self.in_proj(input).chunk(2, -1)
        longer, past = with_past(x.transpose(1, 2), past, self.d_conv - 1)
        x = functional.silu(self.conv1d(longer)).permute(2, 0, 1)  # (T, B, E)
        dt, B, C = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], -1)
        dt = functional.softplus(self.dt_proj(dt))
        # (T, B, d_state, E): channels last, for long runs of equal arithmetic.
        gain = torch.exp(dt.unsqueeze(2) * -self.A_log.t().exp())
        drive = (dt * x).unsqueeze(2) * B.unsqueeze(3)
        if start is None:
            start = drive.new_zeros(drive.shape[1:])
        states = linear_recurrence(gain, drive, start)
        y = (C.unsqueeze(2) @ states).squeeze(2) + self.D * x
        return self.out_proj(y.transpose(0, 1) * functional.silu(z)), (past, states[-1].clone())
