"""The Legendre memory unit: a recurrent layer that remembers a sliding window of one signal."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.devices import autocasts, computing_in
from deepSTRF.models.layers.recurrence import tanh_recurrence

__all__ = ["LMU", "legendre_delay"]


def legendre_delay(order: int, theta: float) -> tuple[Float[Tensor, "d d"], Float[Tensor, " d"]]:
    r"""Return the system whose state is the last `theta` bins of its input, in Legendre polynomials.

    Discretised by holding the input for one bin: of the continuous :math:`\theta \dot m = A m + B u` with

    .. math::
        A_{ij} = (2i + 1) \begin{cases} -1 & i < j \\ (-1)^{i-j+1} & i \geq j \end{cases}, \quad
        B_i = (2i + 1) (-1)^i

    (i, j from 0), the state after one bin is :math:`\bar A m + \bar B u`, where :math:`\bar A = e^{A / \theta}` and
    :math:`\bar B = A^{-1} (\bar A - I) B`. The input s bins ago is about
    :math:`\sum_i m_i P_i(2 s / \theta - 1)`, with the Legendre polynomials P.

    Parameters
    ----------
    order : int
        Number d of polynomials.
    theta : float
        Length of the window in bins.

    Returns
    -------
    A, B : Tensor
        ``(d, d)`` and ``(d,)``, of the discretised system.

    References
    ----------
    Voelker, Kajić & Eliasmith (2019), see :class:`LMU`

    Examples
    --------
    >>> A, B = legendre_delay(order=1, theta=2.0)  # a leaky integrator with a time constant of two bins
    >>> A, B
    (tensor([[0.6065]]), tensor([0.3935]))
    """
    check_integer("order", order)
    check_positive("theta", theta)
    i = torch.arange(order, dtype=torch.float64)
    sign = torch.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1))
    rows = (2 * i[:, None] + 1) / theta
    A, B = rows * sign, (rows * (-1.0) ** i[:, None])
    # The exponential of both at once: [[A, B], [0, 0]] holds the input constant.
    held = torch.zeros(order + 1, order + 1, dtype=torch.float64)
    held[:order, :order], held[:order, order:] = A, B
    step = torch.linalg.matrix_exp(held).to(torch.get_default_dtype())
    return step[:order, :order].clone(), step[:order, order].clone()


class LMU(nn.Module):
    r"""A recurrent layer with a long linear memory of one signal, and units that read it.

    .. math::
        u_t &= e_x \cdot x_t + e_h \cdot h_{t-1} + e_m \cdot m_{t-1} \\
        m_t &= \bar A m_{t-1} + \bar B u_t \\
        h_t &= \tanh(W_x x_t + W_h h_{t-1} + W_m m_t)

    The memory m holds the last `theta` bins of the signal u, see :func:`legendre_delay`; it is fixed, the rest is
    learned. On the way forward a bin costs two operations, on the way back two.

    Parameters
    ----------
    input_size, hidden_size : int
        Number of input features and of units H.
    memory_size : int
        Number d of Legendre polynomials.
    theta : float
        Length of the memory in bins.

    References
    ----------
    Voelker, Kajić & Eliasmith (2019), Legendre memory units: continuous-time representation in recurrent neural
    networks, Advances in Neural Information Processing Systems 32

    Examples
    --------
    >>> import torch
    >>> layer = LMU(input_size=3, hidden_size=4, memory_size=6, theta=20)
    >>> output, (last, memory) = layer(torch.randn(2, 50, 3))
    >>> output.shape, last.shape, memory.shape
    (torch.Size([2, 50, 4]), torch.Size([2, 4]), torch.Size([2, 6]))
    """

    A: Tensor
    B: Tensor

    def __init__(self, input_size: int, hidden_size: int, memory_size: int = 128, theta: float = 99.0) -> None:
        super().__init__()
        self.input_size, self.hidden_size = (
            check_integer("input_size", input_size),
            check_integer("hidden_size", hidden_size),
        )
        self.memory_size, self.theta = check_integer("memory_size", memory_size), check_positive("theta", theta)
        self.e_x = nn.Parameter(torch.empty(1, input_size))
        self.e_h = nn.Parameter(torch.empty(1, hidden_size))
        self.e_m = nn.Parameter(torch.zeros(1, memory_size))  # at first the memory is a delay line
        self.W_x = nn.Parameter(torch.empty(hidden_size, input_size))
        self.W_h = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.W_m = nn.Parameter(torch.empty(hidden_size, memory_size))
        for encoder in (self.e_x, self.e_h):
            bound = math.sqrt(3 / encoder.shape[1])
            nn.init.uniform_(encoder, -bound, bound)
        for weight in (self.W_x, self.W_h, self.W_m):
            nn.init.xavier_normal_(weight)
        A, B = legendre_delay(memory_size, theta)
        self.register_buffer("A", A)
        self.register_buffer("B", B)

    def forward(
        self, input: Float[Tensor, "B T features"], hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "B T H"], tuple[Float[Tensor, "B H"], Float[Tensor, "B d"]]]:
        """Run the layer from the state `hx`, zero by default; return the units in all bins, and the last state."""
        if autocasts(input.device):  # rounded to half, the memory would fade or grow
            with computing_in(input.device, None):
                return self(input.to(self.A.dtype), hx)
        n_units = self.hidden_size
        start = input.new_zeros(input.shape[0], n_units + self.memory_size) if hx is None else torch.cat(hx, 1)
        # Both equations as one: with the memory of bin t written out, units and memory of bin t depend on those of bin
        # t - 1 by one matrix.
        from_x = torch.outer(self.B, self.e_x[0])
        from_units = torch.outer(self.B, self.e_h[0])
        from_memory = torch.addr(self.A, self.B, self.e_m[0])
        to_memory = torch.cat([from_x, from_units, from_memory], 1)
        to_units = self.W_m @ to_memory + nn.functional.pad(torch.cat([self.W_x, self.W_h], 1), (0, self.memory_size))
        by_input, by_state = torch.cat([to_units, to_memory]).split([self.input_size, n_units + self.memory_size], 1)
        drive = nn.functional.linear(input.transpose(0, 1), by_input)
        states = tanh_recurrence(drive, start, by_state.t(), n_units)
        units, memory = states.split([n_units, self.memory_size], -1)
        # Copies, so that the state does not hold on to a chunk of any length.
        return units.transpose(0, 1), (units[-1].clone(), memory[-1].clone())

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.input_size}, {self.hidden_size}, memory_size={self.memory_size}, theta={self.theta:g}"
