"""Buffers that a module has only once they are set, so that what was saved without them loads as before."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["load_optional_buffer"]


def load_optional_buffer(module: nn.Module, name: str, state_dict: Mapping[str, Tensor], prefix: str) -> None:
    """Give `module` its buffer `name` if the state has it, and take it away if not; before the state is loaded.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> layer.register_buffer("scale", None)
    >>> load_optional_buffer(layer, "scale", {"readout.scale": torch.ones(1)}, "readout.")
    >>> layer.scale.shape
    torch.Size([1])
    """
    saved = state_dict.get(prefix + name)
    if saved is None:
        setattr(module, name, None)
        return
    own = getattr(module, name)
    if own is None or own.shape != saved.shape:
        reference = next(module.parameters(), saved)
        setattr(module, name, torch.empty(saved.shape, dtype=reference.dtype, device=reference.device))
