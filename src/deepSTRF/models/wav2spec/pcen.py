"""Per-channel energy normalisation: a gain control with a smoothed past."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deepSTRF.models.bin_by_bin import State

__all__ = ["one_pole", "pcen"]

_BLOCK = 32  # frames


def pcen(
    energy: Float[Tensor, "B F T"],
    rate: Float[Tensor, " F"],
    alpha: float | Tensor,
    delta: float | Tensor,
    root: float | Tensor,
    eps: float,
    state: State = None,
) -> tuple[Float[Tensor, "B F T"], State]:
    r"""Divide the energy of every band by its own recent level, and compress.

    .. math:: \left(\frac{E}{(\epsilon + M)^\alpha} + \delta\right)^r - \delta^r, \qquad
        M_t = (1 - s) M_{t-1} + s E_t, \quad M_{-1} = 0

    Parameters
    ----------
    energy : Tensor
        E, ``(B, F, T)``, not negative.
    rate : Tensor
        s of every band, ``(F,)``.
    alpha, delta, root, eps : float or Tensor
        α, δ, r (a tensor has shape ``(F, 1)``) and ε.
    state : State
        M of the last bin.

    References
    ----------
    Wang, Getreuer, Hughes, Lyon & Saurous (2017), Trainable frontend for robust and far-field keyword spotting,
    https://doi.org/10.1109/ICASSP.2017.7953242
    """
    level, state = one_pole(energy, rate, state)
    return (energy / (eps + level) ** alpha + delta) ** root - delta**root, state


def one_pole(
    x: Float[Tensor, "B F T"], rate: Float[Tensor, " F"], state: State = None
) -> tuple[Float[Tensor, "B F T"], State]:
    """Smooth every channel, ``y[t] = (1 - rate) y[t - 1] + rate x[t]``; the state is the last y, zero at the onset.

    Within a block of bins that is a matrix product with a lower triangle, and only the blocks follow one another.

    Examples
    --------
    >>> import torch
    >>> one_pole(torch.ones(1, 1, 3), torch.tensor([0.5]))[0]
    tensor([[[0.5000, 0.7500, 0.8750]]])
    """
    n_bins = x.shape[-1]
    length = min(_BLOCK, n_bins)
    lag = torch.arange(length, device=x.device)
    lag = lag[:, None] - lag
    keep = 1 - rate
    # Beyond the diagonal, where the power would grow without bound, there is nothing.
    kernel = (rate[:, None, None] * keep[:, None, None] ** lag.clamp(min=0)).tril()
    blocks = functional.pad(x, (0, -n_bins % length)).unflatten(-1, (-1, length))
    within = blocks @ kernel.transpose(1, 2)
    decay = keep[:, None] ** torch.arange(1, length + 1, device=x.device)
    last = x.new_zeros(x.shape[:2]) if state is None else state
    carried = []
    for block_end in within[..., -1].unbind(-1):
        carried.append(last)
        last = block_end + decay[:, -1] * last
    smooth = (within + decay[:, None] * torch.stack(carried, -1).unsqueeze(-1)).flatten(2)[..., :n_bins]
    return smooth, smooth[..., -1].clone()
