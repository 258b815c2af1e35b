"""Random numbers of everything that draws them during training: one seed, and their state."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from deepSTRF.checks import check_integer

__all__ = ["check_seed", "random_state", "set_random_seed", "set_random_state"]


def set_random_seed(seed: int, *, strict: bool = False) -> None:
    """Seed Python, NumPy and torch (CPU and CUDA), and make cuDNN deterministic.

    On the CPU, two runs of the same code with the same seed and the same number of threads give the same numbers.

    Parameters
    ----------
    seed : int
        Any integer from 0 to 2**32 - 1, of Python or NumPy.
    strict : bool
        Also raise an error for operations without a deterministic implementation
        (``torch.use_deterministic_algorithms``), and set ``CUBLAS_WORKSPACE_CONFIG=:4096:8`` where it is unset. Slower
        on a GPU.

    Raises
    ------
    TypeError
        If `seed` is not an integer; nothing has been seeded then.
    ValueError
        If it is out of range; nothing has been seeded then.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.training import set_random_seed
    >>> set_random_seed(0)
    >>> first = torch.rand(3)
    >>> set_random_seed(0)
    >>> bool((torch.rand(3) == first).all())
    True
    """
    seed = check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  users' data sets and samplers may draw from the global generator
    torch.manual_seed(seed)  # seeds every CUDA device too
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def check_seed(seed: Any) -> int:
    """Return a seed as an int.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer, or not between 0 and 2**32 - 1, as NumPy needs it.

    Examples
    --------
    >>> check_seed(3)
    3
    """
    number = check_integer("seed", seed, least=None)
    if not 0 <= number < 2**32:
        raise ValueError(f"seed must lie between 0 and 2**32 - 1, got {number}")
    return number


def random_state(loaders: Iterable[Any]) -> dict[str, Any]:
    """State of the generators of Python, NumPy, torch, every CUDA device, and of the loaders' own generators.

    Examples
    --------
    >>> state = random_state([])
    >>> first = torch.rand(2), random.random()
    >>> set_random_state(state, [])
    >>> second = torch.rand(2), random.random()
    >>> torch.equal(first[0], second[0]), first[1] == second[1]
    (True, True)
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  the one that users' samplers draw from
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "loaders": [generator.get_state() for generator in _generators(loaders)],
    }


def set_random_state(state: Mapping[str, Any], loaders: Iterable[Any]) -> None:
    """Restore what :func:`random_state` returned."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    for generator, saved in zip(_generators(loaders), state["loaders"], strict=True):
        generator.set_state(saved)


def _generators(loaders: Iterable[Any]) -> list[torch.Generator]:
    """The generators of loaders and their samplers, each once."""
    found: dict[int, torch.Generator] = {}
    for loader in loaders:
        batch_sampler = getattr(loader, "batch_sampler", None)
        for owner in (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                found[id(generator)] = generator
    return list(found.values())
