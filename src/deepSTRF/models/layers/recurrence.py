"""Recursions over time bins, each one node in the graph of autograd instead of several per bin."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = [
    "OneNodeRecurrence",
    "RecurrenceOfMembers",
    "is_one_step",
    "linear_recurrence",
    "product_of",
    "rows_of",
    "tanh_recurrence",
]


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
    of_members = False  # whether the weights are those of all members of an ensemble, which torch's kernels don't take

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)  # type: ignore[arg-type, call-arg]

    def forward(
        self, input: Float[Tensor, "B T features"], hx: Float[Tensor, "1 B H"] | None = None
    ) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "1 B H"]]:
        """Run the layer from the state `hx`, zero by default; return all states and the last one."""
        # torch's layer knows what to do with the reduced precision of autocast.
        is_alone = not self.of_members
        if is_alone and (input.device.type != "cpu" or not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")):
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
    if is_one_step(drive):
        return torch.addcmul(drive[0], gain[0], start).unsqueeze(0)
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
    if is_one_step(drive):
        state = torch.addmm(drive[0], start, weight)
        return torch.cat([state[:, :n_tanh].tanh(), state[:, n_tanh:]], 1).unsqueeze(0)
    return _TanhRecurrence.apply(drive, start, weight, n_tanh)


def is_one_step(sequence: Float[Tensor, " T *shape"]) -> bool:
    """Whether there is one bin and no gradient, as in a stream: a node would cost more than it computes."""
    return len(sequence) == 1 and not torch.is_grad_enabled()


class RecurrenceOfMembers(torch.autograd.Function):
    """Base of the nodes: under ``torch.vmap``, the recursions of all members of an ensemble run as one.

    Sequences then have the axis of the members behind time, states and weights have it in front. A subclass says which
    of its tensors are sequences; all of them are given to ``forward`` first, and sequences are what it returns.
    """

    n_sequences = 1

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        """Bring the axes of the members to their places, and run the recursion; the interface is torch's."""
        given = []
        for place, (argument, axis) in enumerate(zip(arguments, in_dims, strict=True)):
            if isinstance(argument, Tensor):
                to = 1 if place < cls.n_sequences else 0
                if axis is None:
                    argument = argument.unsqueeze(to).expand(
                        *argument.shape[:to], info.batch_size, *argument.shape[to:]
                    )
                else:
                    argument = argument.movedim(axis, to)
            given.append(argument)
        outputs = cls.apply(*given)
        return outputs, 1 if isinstance(outputs, Tensor) else (1,) * len(outputs)


def product_of(weight: Float[Tensor, "*M rows columns"]) -> Any:
    """What adds a matrix product with the weights to a tensor: ``torch.addmm``, for those of members its batched form.

    Examples
    --------
    >>> import torch
    >>> product_of(torch.zeros(3, 4)).__name__, product_of(torch.zeros(8, 3, 4)).__name__
    ('addmm', 'baddbmm')
    """
    return torch.addmm if weight.ndim == 2 else torch.baddbmm


def rows_of(sequence: Float[Tensor, "T *M B columns"]) -> Float[Tensor, "*M rows columns"]:
    """Bins and stimuli as the rows of one matrix, or of one for each member.

    Examples
    --------
    >>> import torch
    >>> rows_of(torch.zeros(5, 2, 3)).shape, rows_of(torch.zeros(5, 8, 2, 3)).shape
    (torch.Size([10, 3]), torch.Size([8, 10, 3]))
    """
    return sequence.flatten(0, 1) if sequence.ndim == 3 else sequence.transpose(0, 1).flatten(1, 2)


class _LinearRecurrence(RecurrenceOfMembers):
    n_sequences = 2

    @staticmethod
    def forward(gain: Tensor, drive: Tensor, start: Tensor) -> Tensor:
        states = torch.empty_like(drive, memory_format=torch.contiguous_format)
        state = start
        # Views are made once, for all bins: in the loop they would cost more than the arithmetic.
        for a, b, following in zip(gain.unbind(0), drive.unbind(0), states.unbind(0), strict=True):
            torch.addcmul(b, a, state, out=following)
            state = following
        return states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        gain, _, start = inputs
        ctx.save_for_backward(gain, start, output)

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


class _TanhRecurrence(RecurrenceOfMembers):
    @staticmethod
    def forward(drive: Tensor, start: Tensor, weight: Tensor, n_tanh: int) -> Tensor:
        states = torch.empty_like(drive, memory_format=torch.contiguous_format)
        state, product = start, product_of(weight)
        for d, following, rectified in zip(
            drive.unbind(0), states.unbind(0), states[..., :n_tanh].unbind(0), strict=True
        ):
            product(d, state, weight, out=following)
            rectified.tanh_()
            state = following
        return states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, start, weight, ctx.n_tanh = inputs
        ctx.save_for_backward(start, output, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        start, states, weight = ctx.saved_tensors
        n_tanh, product = ctx.n_tanh, product_of(weight)
        slope = 1 - states[..., :n_tanh].square()
        # What arrives at every state, and for the first elements at the argument of their tanh.
        arriving = gradient.clone(memory_format=torch.contiguous_format)
        at_state, at_tanh, slopes = arriving.unbind(0), arriving[..., :n_tanh].unbind(0), slope.unbind(0)
        backwards = weight.mT.contiguous()
        at_start = torch.zeros_like(start)
        for t in range(len(at_state) - 1, -1, -1):
            at_tanh[t].mul_(slopes[t])
            before = at_state[t - 1] if t else at_start
            product(before, at_state[t], backwards, out=before)
        at_weight = start.mT @ arriving[0]
        product(at_weight, rows_of(states[:-1]).mT, rows_of(arriving[1:]), out=at_weight)
        return arriving, at_start, at_weight, None
