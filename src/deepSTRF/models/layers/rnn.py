"""The simplest recurrent layer, at a fifth of torch's cost in training."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.models.layers.recurrence import OneNodeRecurrence, tanh_recurrence

__all__ = ["RNN"]


class RNN(OneNodeRecurrence, nn.RNN):  # type: ignore[misc]
    r"""``torch.nn.RNN`` with one layer and tanh, with the gradient through time written out for the CPU.

    :math:`h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})` [1]_; parameters, names and initialisation are
    those of :class:`torch.nn.RNN`. See :class:`~deepSTRF.models.layers.recurrence.OneNodeRecurrence`.

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

    def _states(self, input: Float[Tensor, "T B features"], start: Float[Tensor, "B H"]) -> Float[Tensor, "T B H"]:
        drive = nn.functional.linear(input, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        return tanh_recurrence(drive, start, self.weight_hh_l0.t(), self.hidden_size)
