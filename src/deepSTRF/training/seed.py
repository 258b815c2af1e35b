"""One seed for everything that draws random numbers during training."""

from __future__ import annotations

import operator
import os
import random

import numpy as np
import torch

__all__ = ["set_random_seed"]


def set_random_seed(seed: int, *, strict: bool = False) -> None:
    """Seed Python, NumPy and torch (CPU and CUDA), and make cuDNN deterministic.

    On the CPU, two runs of the same code with the same seed and the same number of threads give the same numbers.

    Parameters
    ----------
    seed : int
        Any integer from 0 to 2**32 - 1, of Python or NumPy.
    strict : bool
        Also refuse operations that have no deterministic implementation (``torch.use_deterministic_algorithms``) and
        set ``CUBLAS_WORKSPACE_CONFIG=:4096:8`` where it is unset. Slower on a GPU.

    Raises
    ------
    ValueError
        If NumPy cannot be seeded with `seed`; nothing has been seeded then.
    TypeError
        If `seed` is not an integer; nothing has been seeded then.

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
    seed = operator.index(seed)  # random.seed refuses NumPy's integers, and would take a float
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie between 0 and 2**32 - 1, got {seed}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  users' data sets and samplers may draw from the global generator
    torch.manual_seed(seed)  # seeds every CUDA device too
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
