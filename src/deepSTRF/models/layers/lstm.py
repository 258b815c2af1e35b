"""The LSTM of torch, and its recursion for all members of an ensemble at once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from deepSTRF.models.layers.recurrence import RecurrenceOfMembers, is_one_step, product_of, rows_of

__all__ = ["LSTM"]


class LSTM(nn.LSTM):
    r"""``torch.nn.LSTM`` with one layer; in an :class:`~deepSTRF.models.Ensemble`, with a recursion of its own.

    .. math::
        i_t, f_t, o_t &= \sigma(W_{\cdot} x_t + b_{\cdot} + U_{\cdot} h_{t-1}) \\
        g_t &= \tanh(W_g x_t + b_g + U_g h_{t-1}) \\
        c_t &= f_t c_{t-1} + i_t g_t, \qquad h_t = o_t \tanh(c_t)

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

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)

    def forward(  # type: ignore[override]  # no packed sequences
        self, input: Float[Tensor, "B T features"], hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "B T H"], tuple[Float[Tensor, "1 B H"], Float[Tensor, "1 B H"]]]:
        """Run the layer from the state `hx`, zero by default; return the units in all bins, and the last state."""
        if not self.of_members:
            return super().forward(input, hx)
        zeros = input.new_zeros(input.shape[0], self.hidden_size)
        start, cell = (zeros, zeros) if hx is None else (hx[0][0], hx[1][0])
        bias = self.bias_ih_l0 + self.bias_hh_l0
        drive = nn.functional.linear(input.transpose(0, 1), self.weight_ih_l0, bias)
        if is_one_step(drive):
            i, f, g, o = (drive[0] + nn.functional.linear(start, self.weight_hh_l0)).chunk(4, -1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            states, cells = (torch.sigmoid(o) * torch.tanh(cell)).unsqueeze(0), cell.unsqueeze(0)
        else:
            states, cells = _Recurrence.apply(drive, start, cell, self.weight_hh_l0)[:2]
        return states.transpose(0, 1), (states[-1:].clone(), cells[-1:].clone())


class _Recurrence(RecurrenceOfMembers):
    """The recursion over bins: drive of the gates (T, B, 4H), first units and cells (B, H) → units, cells (T, B, H)."""

    @staticmethod
    def forward(drive: Tensor, start: Tensor, cell: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        gates = torch.empty_like(drive, memory_format=torch.contiguous_format)
        states, cells, squashed = (drive.new_empty(len(drive), *start.shape) for _ in range(3))
        i, f, g, o = gates.chunk(4, -1)
        product, transposed = product_of(weight), weight.mT.contiguous()
        state, n_sigmoid = start, 2 * start.shape[-1]
        both = gates[..., :n_sigmoid]
        per_bin = (drive, gates, both, i, f, g, o, states, cells, squashed)
        for d, gate, sigmoids, i_t, f_t, g_t, o_t, following, c, tanh_c in zip(
            *(sequence.unbind(0) for sequence in per_bin), strict=True
        ):
            product(d, state, transposed, out=gate)
            sigmoids.sigmoid_()
            g_t.tanh_()
            o_t.sigmoid_()
            torch.mul(i_t, g_t, out=c)
            c.addcmul_(f_t, cell)
            torch.tanh(c, out=tanh_c)
            torch.mul(o_t, tanh_c, out=following)
            state, cell = following, c
        return states, cells, gates, squashed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[2:])
        ctx.save_for_backward(*inputs[1:], *output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, at_states: Tensor, at_cells: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        start, start_cell, weight, states, cells, gates, squashed = ctx.saved_tensors
        product = product_of(weight)
        i, f, g, o = gates.chunk(4, -1)
        before = torch.cat([start_cell.unsqueeze(0), cells[:-1]])
        # of the arguments of the gates: the first three by what arrives at the cell, the last by what does at the unit
        slope = torch.empty_like(gates)
        by_cell, by_state = slope.tensor_split([3 * start.shape[-1]], -1)
        by_cell.copy_(torch.cat([g * i * (1 - i), before * f * (1 - f), i * (1 - g.square())], -1))
        by_state.copy_(squashed * o * (1 - o))
        to_cell = o * (1 - squashed.square())
        h, c = at_states.clone(memory_format=torch.contiguous_format), at_cells.clone()
        at_start, at_start_cell = torch.zeros_like(start), torch.zeros_like(start_cell)
        at_gates = torch.empty_like(gates)
        to_gates, to_output = at_gates.tensor_split([3 * start.shape[-1]], -1)
        thirds = to_gates.unflatten(-1, (3, -1)), by_cell.unflatten(-1, (3, -1)), c.unsqueeze(-2)
        views = (h, c, to_cell, f, at_gates, to_output, by_state, *thirds)
        h_t, c_t, to_cell_t, f_t, at_gates_t, output_t, by_state_t, three_t, by_cell_t, cell_t = (
            view.unbind(0) for view in views
        )
        for t in range(len(gates) - 1, -1, -1):
            c_t[t].addcmul_(h_t[t], to_cell_t[t])
            torch.mul(by_cell_t[t], cell_t[t], out=three_t[t])
            torch.mul(by_state_t[t], h_t[t], out=output_t[t])
            earlier, earlier_cell = (h_t[t - 1], c_t[t - 1]) if t else (at_start, at_start_cell)
            product(earlier, at_gates_t[t], weight, out=earlier)
            earlier_cell.addcmul_(c_t[t], f_t[t])
        past = torch.cat([start.unsqueeze(0), states[:-1]])
        at_weight = rows_of(at_gates).mT @ rows_of(past)
        return at_gates, at_start, at_start_cell, at_weight
