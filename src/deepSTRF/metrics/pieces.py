"""How a population's responses are cut into pieces that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch

# Elements of a block for each CPU thread, 4 MB as float64: the measured optimum. Larger ones leave the cache; smaller
# ones cost calls, and many short parallel regions, which suffer most where other processes want the same cores.
BLOCK_ELEMENTS = 2**19
# The most threads that a block grows with: more would leave the cache that they share.
BLOCK_THREADS = 4
# A GPU has no such cache, but much memory and costly calls.
BLOCK_ELEMENTS_GPU = 2**24


def block_elements(device: torch.device) -> int:
    """Elements of a block on a device, for the number of threads that torch may use now."""
    if device.type != "cpu":
        return BLOCK_ELEMENTS_GPU
    return BLOCK_ELEMENTS * min(torch.get_num_threads(), BLOCK_THREADS)


def slices(shape: tuple[int, int, int, int], elements: int) -> Iterator[tuple[slice, list[slice]]]:
    """Cut ``(B, N, R, T)`` into pieces of about ``elements``: stimuli first, then neurons.

    Examples
    --------
    >>> [(s.start, s.stop, len(neurons)) for s, neurons in slices((3, 494, 20, 511), 2**19)]
    [(0, 1, 10), (1, 2, 10), (2, 3, 10)]
    """
    batch, neurons, repeats, bins = shape
    stimuli = max(1, elements // (neurons * repeats * bins))
    step = neurons if stimuli > 1 else max(1, elements // (repeats * bins))
    for start in range(0, batch, stimuli):
        yield (
            slice(start, min(start + stimuli, batch)),
            [slice(first, min(first + step, neurons)) for first in range(0, neurons, step)],
        )
