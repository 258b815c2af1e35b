"""How long a fitted model takes for one bin of a stream."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from deepSTRF.models import NeuralModel
from deepSTRF.models.bin_by_bin import NotStreamableError
from deepSTRF.modes import cpu_threads

__all__ = ["step_times"]

BINS = 1000


def step_times(
    model: NeuralModel, stimulus_shape: Sequence[int], n_bins: int = BINS
) -> tuple[float | None, float | None]:
    """Median and 99th percentile of the time of ``stream.step`` for one bin, in ms, on one core of this machine.

    Parameters
    ----------
    model : NeuralModel
        On the CPU.
    stimulus_shape : sequence of int
        That of a stimulus without time: ``(1, F)``, ``(C, H, W)``, or ``(1,)`` of a waveform.
    n_bins : int
        How many are timed; the first tenth warms up and does not count.

    Returns
    -------
    tuple of float or None
        None, None for a model that cannot run bin by bin.

    Examples
    --------
    >>> from deepSTRF.models.audio import Linear
    >>> median, late = step_times(Linear(n_frequency_bands=8, temporal_window_size=10, out_neurons=3), (1, 8), 50)
    >>> 0 < median <= late
    True
    """
    samples = getattr(model.wav2spec, "hop", 1) if len(stimulus_shape) == 1 else 1
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(n_bins, 1, *stimulus_shape, samples, generator=generator)
    stream = model.stream()
    milliseconds = []
    with cpu_threads(1):
        try:
            for frame in frames:
                started = time.perf_counter()
                stream.step(frame)
                milliseconds.append(1e3 * (time.perf_counter() - started))
        except NotStreamableError:
            return None, None
    median, late = np.quantile(milliseconds[n_bins // 10 :], [0.5, 0.99])
    return round(float(median), 4), round(float(late), 4)
