"""All metrics by name, and a function to draw data for them."""

from functools import partial

import torch

from deepSTRF import metrics

PAIRED = {
    "mse_loss": metrics.mse_loss,
    "poisson_loss": metrics.poisson_loss,
    "corrcoef": metrics.corrcoef,
    "fve": metrics.fve,
    "schoppe": metrics.normalized_corrcoef,
    "concatenated": partial(metrics.normalized_corrcoef, signal_power="concatenated"),
    "hsu": partial(metrics.normalized_corrcoef, method="hsu"),
}
RELIABILITY = {
    "signal_power": metrics.signal_power,
    "noise_power": metrics.noise_power,
    "snr": metrics.snr,
    "ccmax": metrics.ccmax,
    "noise_ceiling": metrics.noise_ceiling,
}


def of_responses(function, **options):
    """Give a metric of the responses alone the call of those that take a prediction."""
    return lambda pred, responses, *mask, **keywords: function(responses, *mask, **options, **keywords)


ALL = PAIRED | {name: of_responses(function) for name, function in RELIABILITY.items()}


def streaming_form(cls):
    """Function ``(pred, responses, mask=None)`` of a streaming class that is given one batch."""

    def run(pred, responses, mask=None):
        metric = cls()
        metric.update(pred, responses, mask)
        return metric.compute()

    return run


def draw(stimuli=4, neurons=3, repeats=6, bins=50, seed=0, noise=0.5):
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(stimuli, neurons, 1, bins, generator=generator) + 0.2
    responses = rate + noise * torch.randn(stimuli, neurons, repeats, bins, generator=generator)
    return rate + 0.1 * torch.rand(rate.shape, generator=generator), responses
