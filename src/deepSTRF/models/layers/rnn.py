"""The simplest recurrent layer, at a fifth of torch's cost in training."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.models.layers.recurrence import tanh_recurrence

__all__ = ["RNN"]


class RNN(nn.RNN):
    r"""``torch.nn.RNN`` with one layer and tanh, with the gradient through time written out for the CPU.

    :math:`h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})` [1]_; parameters, names and initialisation are
    those of :class:`torch.nn.RNN`. Without gradients, under autocast, and on a GPU, torch's own kernels run. The
    gradient cannot be differentiated again.

    Parameters
    ----------
    input_size, hidden_size : int
        Number of input features and of units H.

    References
    ----------
    .. [1] Elman (1990), Finding structure in time, https://doi.org/10.1207/s15516709cog1402_1

    Examples
    --------
    >>> import torch
    >>> layer = RNN(input_size=3, hidden_size=4)
    >>> output, last = layer(torch.randn(2, 50, 3))
    >>> output.shape, last.shape
    (torch.Size([2, 50, 4]), torch.Size([1, 2, 4]))
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)

    def forward(  # type: ignore[override]
        self, input: Float[Tensor, "B T features"], hx: Float[Tensor, "1 B H"] | None = None
    ) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "1 B H"]]:
        """Run the layer from the state `hx`, zero by default; return all states and the last one."""
        # torch's layer knows what to do with the reduced precision of autocast.
        if input.device.type != "cpu" or not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return super().forward(input, hx)
        start = input.new_zeros(input.shape[0], self.hidden_size) if hx is None else hx[0]
        bias = self.bias_ih_l0 + self.bias_hh_l0
        drive = nn.functional.linear(input.transpose(0, 1), self.weight_ih_l0, bias)
        states = tanh_recurrence(drive, start, self.weight_hh_l0.t(), self.hidden_size)
        # A copy, so that the state does not hold on to a chunk of any length.
        return states.transpose(0, 1), states[-1:].clone()
