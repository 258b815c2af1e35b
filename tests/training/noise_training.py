"""A training that takes milliseconds: batches of noise, a linear model, and what is made of it to break it."""

import torch
from torch import nn

from deepSTRF.models.audio import Linear
from deepSTRF.training import Fitter, set_random_seed


def batches(number=2, neurons=3, seed=0, **changes):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "stims": torch.randn(2, 1, 4, 20, generator=generator),
            "responses": torch.randn(2, neurons, 2, 20, generator=generator),
            **changes,
        }
        for _ in range(number)
    ]


def fitter(model=None, train=None, val=None, **options):
    set_random_seed(0)
    options = {"max_epochs": 2, "log_fn": None, "monitor": "val_cc", **options}
    return Fitter(
        Linear(4, 3, 3) if model is None else model,
        batches() if train is None else train,
        batches() if val is None else val,
        **options,
    )


def fit(**options):
    return fitter(**options).fit()


class Model(nn.Module):
    """One weight, and whatever is made of the right answer."""

    def __init__(self, change):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.change = change

    def forward(self, stims):
        return self.change(self.weight * stims.mean(2, keepdim=True).expand(-1, 3, 1, -1))


class Untouched(list):
    """Batches that must not be asked for."""

    def __iter__(self):
        raise AssertionError("the work began")


def explode(*_):
    raise ZeroDivisionError("mine")
