"""What devices can do, and how much fits on them."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

__all__ = ["autocasts", "computing_in", "free_memory", "has_float64"]

WITHOUT_FLOAT64 = {"mps"}


def autocasts(device: torch.device) -> bool:
    """Whether autocast is on for a device; not every kind of device has it.

    Examples
    --------
    >>> with torch.autocast("cpu", dtype=torch.bfloat16):
    ...     autocasts(torch.device("cpu")), autocasts(torch.device("meta"))
    (True, False)
    """
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def computing_in(device: torch.device, dtype: torch.dtype | None) -> Any:
    """Autocast to a dtype on a device, for a while; with None no autocast at all, where there was one.

    Examples
    --------
    >>> with computing_in(torch.device("cpu"), torch.bfloat16):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.bfloat16
    """
    if dtype is None and not autocasts(device):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64; the GPUs of Apple don't.

    Examples
    --------
    >>> has_float64(torch.device("cpu")), has_float64(torch.device("mps"))
    (True, False)
    """
    return device.type not in WITHOUT_FLOAT64


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU; 0 for other devices, whose memory is that of the CPU or unknown.

    Examples
    --------
    >>> free_memory(torch.device("cpu"))
    0
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return 0
