"""Arrays to draw."""

import numpy as np
import pytest
import torch


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def neuron(rng):
    """Spectrogram, counts of 6 repeats with missing bins, prediction: 200 bins of 5 ms, that is one second."""
    counts = rng.poisson(0.3, (6, 200)).astype(float)
    counts[2, 150:] = np.nan
    counts[4] = np.nan
    counts[:, 190:] = np.nan
    return rng.normal(size=(34, 200)), counts, rng.uniform(size=200)


@pytest.fixture
def history():
    values = [0.1, 0.4, 0.3]
    return [
        {
            "epoch": epoch,
            "train_loss": 1.0 - value,
            "val_loss": torch.tensor(1.1 - value),
            "val_cc": torch.tensor([value, float("nan"), value + 0.2]),
            "val_cc_norm": torch.tensor([value + 0.1, float("nan"), value + 0.3]),
            "seconds": 3.0,
        }
        for epoch, value in enumerate(values)
    ]
