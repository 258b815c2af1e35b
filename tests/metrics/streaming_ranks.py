"""What each of two gloo processes does in test_streaming.py; light to import, because both import it afresh."""

import os
import warnings
from datetime import timedelta

import torch
import torch.distributed as dist
from torchmetrics import MetricCollection

from deepSTRF.metrics import streaming

CLASSES = {
    "mse": (streaming.MSELoss, {}),
    "poisson": (streaming.PoissonLoss, {}),
    "poisson_log": (streaming.PoissonLoss, {"log_input": True, "eps": 1e-3}),
    "corrcoef": (streaming.Corrcoef, {}),
    "fve": (streaming.FVE, {}),
    "schoppe": (streaming.NormalizedCorrcoef, {}),
    "concatenated": (streaming.NormalizedCorrcoef, {"signal_power": "concatenated"}),
    "hsu": (streaming.NormalizedCorrcoef, {"method": "hsu"}),
    "signal_power": (streaming.SignalPower, {}),
    "noise_power": (streaming.NoisePower, {}),
    "snr": (streaming.SNR, {}),
    "noise_ceiling": (streaming.NoiseCeiling, {}),
    "noise_ceiling_concatenated": (streaming.NoiseCeiling, {"signal_power": "concatenated"}),
}


def build(name, **options):
    kind, own = CLASSES[name]
    return kind(**own, **options)


def population():
    """7 stimuli, 4 neurons: complete, some stimuli missing, single trials, without data."""
    generator = torch.Generator().manual_seed(5)
    pred = torch.rand(7, 4, 1, 30, generator=generator)
    responses = pred + 0.3 * torch.randn(7, 4, 4, 30, generator=generator)
    responses[1:6, 1] = torch.nan
    responses[:, 2, 1:] = torch.nan
    responses[:, 3] = torch.nan
    responses[2, :, :, 20:] = torch.nan
    return pred, responses


def fewer_repeats(responses):
    """The same, where the stimuli of the second process have one repeat less."""
    responses = responses.clone()
    responses[4:, :, 3] = torch.nan
    return responses


def run(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    try:
        torch.save(scenarios(rank), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def scenarios(rank):
    pred, responses = population()
    batches = [(slice(0, 3), slice(3, 4)), (slice(4, 7),)][rank]  # uneven: two batches and one
    results = {}
    for name in CLASSES:
        metric = build(name)
        for batch in batches:
            metric.update(pred[batch], responses[batch])
        results["uneven", name] = metric.compute()
        metric.sync()
        metric.unsync()
        metric.update(pred[:1], responses[:1])  # the state is local again: goes on
        results["goes on", name] = metric.compute()

        metric = build(name)
        repeats = 4 if rank == 0 else 3
        for batch in batches:
            metric.update(pred[batch], fewer_repeats(responses)[batch, :, :repeats])
        results["repeats", name] = metric.compute()

        metric = build(name)
        if rank == 0:
            metric.update(pred, responses)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The ``compute`` method", UserWarning)  # before any update, here
            results["nothing", name] = metric.compute()

    alone = build("corrcoef", sync_on_compute=False)
    alone.update(pred[batches[0]], responses[batches[0]])
    results["alone"] = alone.compute()

    step = build("corrcoef", dist_sync_on_step=True)
    results["step"] = step(pred[batches[0]], responses[batches[0]])
    results["step total"] = step.compute()

    together = MetricCollection({name: build(name) for name in CLASSES})
    for batch in batches:
        together.update(pred[batch], responses[batch])
    results["collection"] = together.compute()

    other = build("corrcoef")
    neurons = 3 + rank
    other.update(pred[:, :neurons], responses[:, :neurons])
    try:
        other.compute()
    except ValueError as error:
        results["error"] = str(error)
    return results
