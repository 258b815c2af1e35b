"""Recursions over time bins, each one node in the graph of autograd instead of several per bin."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["OneNodeRecurrence", "linear_recurrence", "tanh_recurrence"]


class OneNodeRecurrence(nn.RNNBase):
    """Base of torch's recurrent layers with the gradient through time written out for the CPU.

    Where gradients are recorded on the CPU, torch builds a graph of about ten nodes for every time bin. Here the whole
    sequence is one node; a subclass computes the states in ``_states``. Without gradients, under autocast, and on a
    GPU, torch's own kernels run. The gradient cannot be differentiated again.

    Parameters
    ----------
    input_size, hidden_size : int
        Number of input features and of units H.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)  # type: ignore[arg-type, call-arg]

    def forward(
        self, input: Float[Tensor, "B T features"], hx: Float[Tensor, "1 B H"] | None = None
    ) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "1 B H"]]:
        """Run the layer from the state `hx`, zero by default; return all states and the last one."""
        # torch's layer knows what to do with the reduced precision of autocast.
        if input.device.type != "cpu" or not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return super().forward(input, hx)
        start = input.new_zeros(input.shape[0], self.hidden_size) if hx is None else hx[0]
        states = self._states(input.transpose(0, 1), start)
        # A copy, so that the state does not hold on to a chunk of any length.
        return states.transpose(0, 1), states[-1:].clone()

    def _states(self, input: Float[Tensor, "T B features"], start: Float[Tensor, "B H"]) -> Float[Tensor, "T B H"]:
        raise NotImplementedError


def linear_recurrence(
    gain: Float[Tensor, " T *shape"], drive: Float[Tensor, " T *shape"], start: Float[Tensor, "*shape"]
) -> Float[Tensor, " T *shape"]:
    """Run ``state[t] = gain[t] * state[t - 1] + drive[t]``, element by element.

    The gradient cannot be differentiated again.

    Parameters
    ----------
    gain, drive : Tensor
        ``(T, ...)``, time first. A gain that is the same in all bins can be expanded, which costs no memory.
    start : Tensor
        The state before the first bin.

    Returns
    -------
    Tensor
        All states, ``(T, ...)``.

    Examples
    --------
    >>> import torch
    >>> linear_recurrence(torch.full((3,), 0.5), torch.ones(3), torch.tensor(0.0))
    tensor([1.0000, 1.5000, 1.7500])
    """
    return _LinearRecurrence.apply(gain, drive, start)


def tanh_recurrence(
    drive: Float[Tensor, "T B S"], start: Float[Tensor, "B S"], weight: Float[Tensor, "S S"], n_tanh: int
) -> Float[Tensor, "T B S"]:
    """Run ``state[t] = drive[t] + state[t - 1] @ weight``, with the first `n_tanh` elements passed through tanh.

    The gradient cannot be differentiated again.

    Examples
    --------
    >>> import torch
    >>> drive, weight = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]]]), torch.tensor([[0.0, 2.0], [0.0, 1.0]])
    >>> tanh_recurrence(drive, torch.zeros(1, 2), weight, n_tanh=1).flatten(1)
    tensor([[0.7616, 1.0000],
            [0.0000, 2.5232]])
    """
    return _TanhRecurrence.apply(drive, start, weight, n_tanh)


class _LinearRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gain: Tensor, drive: Tensor, start: Tensor) -> Tensor:
        states = torch.empty_like(drive, memory_format=torch.contiguous_format)
        state = start
        # Views are made once, for all bins: in the loop they would cost more than the arithmetic.
        for a, b, following in zip(gain.unbind(0), drive.unbind(0), states.unbind(0), strict=True):
            torch.addcmul(b, a, state, out=following)
            state = following
        ctx.save_for_backward(gain, start, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gain, start, states = ctx.saved_tensors
        # What arrives at every state: from its own output, and through the recursion from the states behind it.
        arriving = gradient.clone(memory_format=torch.contiguous_format)
        at_state, gains = arriving.unbind(0), gain.unbind(0)
        for t in range(len(at_state) - 1, 0, -1):
            at_state[t - 1].addcmul_(at_state[t], gains[t])
        at_gain = torch.empty_like(arriving)
        torch.mul(arriving[1:], states[:-1], out=at_gain[1:])
        torch.mul(arriving[0], start, out=at_gain[0])
        return at_gain, arriving, at_state[0] * gains[0]


class _TanhRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drive: Tensor, start: Tensor, weight: Tensor, n_tanh: int) -> Tensor:
        states = torch.empty_like(drive, memory_format=torch.contiguous_format)
        state = start
        for d, following, rectified in zip(
            drive.unbind(0), states.unbind(0), states[..., :n_tanh].unbind(0), strict=True
        ):
            torch.addmm(d, state, weight, out=following)
            rectified.tanh_()
            state = following
        ctx.save_for_backward(start, states, weight)
        ctx.n_tanh = n_tanh
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        start, states, weight = ctx.saved_tensors
        n_tanh = ctx.n_tanh
        slope = 1 - states[..., :n_tanh].square()
        # What arrives at every state, and for the first elements at the argument of their tanh.
        arriving = gradient.clone(memory_format=torch.contiguous_format)
        at_state, at_tanh, slopes = arriving.unbind(0), arriving[..., :n_tanh].unbind(0), slope.unbind(0)
        backwards = weight.t().contiguous()
        at_start = torch.zeros_like(start)
        for t in range(len(at_state) - 1, -1, -1):
            at_tanh[t].mul_(slopes[t])
            before = at_state[t - 1] if t else at_start
            before.addmm_(at_state[t], backwards)
        at_weight = start.t() @ arriving[0]
        at_weight.addmm_(states[:-1].flatten(0, 1).t(), arriving[1:].flatten(0, 1))
        return arriving, at_start, at_weight, None
