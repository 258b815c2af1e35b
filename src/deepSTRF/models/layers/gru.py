"""A gated recurrent layer whose training step on the CPU costs a third of torch's."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from deepSTRF.models.layers.recurrence import OneNodeRecurrence, RecurrenceOfMembers, is_one_step, product_of, rows_of

__all__ = ["GRU"]


class GRU(OneNodeRecurrence, nn.GRU):  # type: ignore[misc]
    r"""``torch.nn.GRU`` with one layer, with the gradient through time written out for the CPU.

    The equations [1]_, the parameters, their names and their initialisation are those of :class:`torch.nn.GRU`:

    .. math::
        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) n_t + z_t h_{t-1}

    The node of :class:`~deepSTRF.models.layers.recurrence.OneNodeRecurrence` takes six operations per bin on the way
    forward and three on the way back; everything that does not depend on the recursion is computed for all bins at
    once.

    References
    ----------
    .. [1] Cho et al. (2014), Learning phrase representations using RNN encoder-decoder for statistical machine
       translation, https://doi.org/10.3115/v1/D14-1179

    Examples
    --------
    >>> import torch
    >>> layer = GRU(input_size=3, hidden_size=4)
    >>> layer(torch.randn(2, 50, 3))[0].shape
    torch.Size([2, 50, 4])
    """

    def _states(self, input: Float[Tensor, "T B features"], start: Float[Tensor, "B H"]) -> Float[Tensor, "T B H"]:
        drive = nn.functional.linear(input, self.weight_ih_l0, self.bias_ih_l0)
        if is_one_step(drive):
            recurrent = nn.functional.linear(start, self.weight_hh_l0, self.bias_hh_l0)
            gate_drive, new_drive = drive[0].tensor_split([2 * self.hidden_size], -1)
            gate_state, new_state = recurrent.tensor_split([2 * self.hidden_size], -1)
            reset, update = torch.sigmoid(gate_drive + gate_state).chunk(2, -1)
            candidate = torch.tanh(torch.addcmul(new_drive, reset, new_state))
            return torch.lerp(candidate, start, update).unsqueeze(0)
        return _Recurrence.apply(drive, start, self.weight_hh_l0, self.bias_hh_l0)[0]


class _Recurrence(RecurrenceOfMembers):
    """The recursion over bins: drive of the gates (T, B, 3H), first state (B, H) → states (T, B, H)."""

    @staticmethod
    def forward(drive: Tensor, start: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        n_units = start.shape[-1]
        shape = drive.shape[:-1]
        recurrent = drive.new_empty(*shape, 3 * n_units)
        gates = drive.new_empty(*shape, 2 * n_units)
        candidates = drive.new_empty(*shape, n_units)
        states = drive.new_empty(shape[0] + 1, *start.shape)
        states[0] = start
        product, transposed, bias = product_of(weight), weight.mT.contiguous(), bias.unsqueeze(-2)
        # Views are made once, for all bins: in the loop they would cost more than the arithmetic.
        reset, update = gates.chunk(2, -1)
        gate_drive, new_drive = drive.split([2 * n_units, n_units], -1)
        gate_state, new_state = recurrent.split([2 * n_units, n_units], -1)
        per_bin = (
            recurrent,
            gate_drive,
            gate_state,
            gates,
            reset,
            update,
            new_drive,
            new_state,
            candidates,
            states[1:],
        )
        state = states[0]
        for into, to_gate, from_gate, gate, r, z, to_new, from_new, candidate, following in zip(
            *(sequence.unbind(0) for sequence in per_bin), strict=True
        ):
            product(bias, state, transposed, out=into)
            torch.add(to_gate, from_gate, out=gate)
            gate.sigmoid_()
            torch.addcmul(to_new, r, from_new, out=candidate)
            candidate.tanh_()
            torch.lerp(candidate, state, z, out=following)
            state = following
        # d(gate drive)/d(state) of every bin; here, because receptive fields are many passes back for one forward
        slope = drive.new_empty(*shape, 3, n_units)
        new_slope = (1 - update) * (1 - candidates.square())
        torch.mul(new_slope, reset, out=slope[..., 2, :])
        slope[..., 0, :] = slope[..., 2, :] * (1 - reset) * new_state
        slope[..., 1, :] = (states[:-1] - candidates) * update * (1 - update)
        return states[1:], slope, new_slope, update, states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:], inputs[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: None) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        slope, new_slope, update, states, weight = ctx.saved_tensors
        product = product_of(weight)
        # what arrives at every state: from its own output, and through the recursion from the states behind it
        arriving = gradient.clone(memory_format=torch.contiguous_format)
        through = torch.empty_like(slope)
        at_state, at_state_by_gate = arriving.unbind(0), arriving.unsqueeze(-2).unbind(0)
        slopes, kept = slope.unbind(0), update.unbind(0)
        products, flat = through.unbind(0), through.flatten(-2).unbind(0)
        start = torch.zeros_like(arriving[0])
        for t in range(len(slope) - 1, -1, -1):
            torch.mul(slopes[t], at_state_by_gate[t], out=products[t])
            before = at_state[t - 1] if t else start
            product(before.addcmul_(at_state[t], kept[t]), flat[t], weight, out=before)
        recurrent = through.flatten(-2)
        _, _, needs_weight, needs_bias = ctx.needs_input_grad
        rows = rows_of(recurrent)
        at_weight = rows.mT @ rows_of(states[:-1]) if needs_weight else None
        at_bias = rows.sum(-2) if needs_bias else None
        # the drive of the candidates is not behind the reset gate, unlike what comes from the state
        torch.mul(new_slope, arriving, out=through[..., 2, :])
        return recurrent, start, at_weight, at_bias
