"""The LSTM of torch, which in a stream runs for all members of an ensemble at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.models.layers.recurrence import is_one_step

__all__ = ["LSTM"]


class LSTM(nn.LSTM):
    r"""``torch.nn.LSTM`` with one layer.

    .. math::
        i_t, f_t, o_t &= \sigma(W_{\cdot} x_t + b_{\cdot} + U_{\cdot} h_{t-1}) \\
        g_t &= \tanh(W_g x_t + b_g + U_g h_{t-1}) \\
        c_t &= f_t c_{t-1} + i_t g_t, \qquad h_t = o_t \tanh(c_t)

    Torch trains it on the CPU in a kernel of its own, so fast that the members of an
    :class:`~deepSTRF.models.Ensemble` go through it one after the other. A bin of a stream is computed by the equations
    above, for all of them.

    Parameters
    ----------
    input_size, hidden_size : int
        Number of input features and of units H.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory, https://doi.org/10.1162/neco.1997.9.8.1735

    Examples
    --------
    >>> import torch
    >>> output, (last, cell) = LSTM(input_size=3, hidden_size=4)(torch.randn(2, 50, 3))
    >>> output.shape, last.shape
    (torch.Size([2, 50, 4]), torch.Size([1, 2, 4]))
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor
    of_members = False  # as in OneNodeRecurrence
    member_by_member = True  # in an ensemble: see Ensemble

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)

    def forward(  # type: ignore[override]  # no packed sequences
        self, input: Float[Tensor, "B T features"], hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "B T H"], tuple[Float[Tensor, "1 B H"], Float[Tensor, "1 B H"]]]:
        """Run the layer from the state `hx`, zero by default; return the units in all bins, and the last state."""
        if not (self.of_members and is_one_step(input.transpose(0, 1))):
            return super().forward(input, hx)
        zeros = input.new_zeros(input.shape[0], self.hidden_size)
        start, cell = (zeros, zeros) if hx is None else (hx[0][0], hx[1][0])
        drive = nn.functional.linear(input[:, 0], self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        i, f, g, o = (drive + nn.functional.linear(start, self.weight_hh_l0)).chunk(4, -1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        unit = torch.sigmoid(o) * torch.tanh(cell)
        return unit.unsqueeze(1), (unit.unsqueeze(0), cell.unsqueeze(0))
