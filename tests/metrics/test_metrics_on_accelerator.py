"""Metrics on a device of its own: the numbers of the CPU; what is asked for in training waits for nothing."""

import pytest
import torch
from accelerator import DEVICE, accelerator
from metric_cases import ALL, draw

from deepSTRF import devices
from deepSTRF.metrics.running import RunningScores

HALVES = {"hsu", "ccmax"}  # they sort neurons by their number of repeats


def _data():
    pred, responses = draw()
    responses[1, 2], responses[0, 0, 3:], responses[2, 1, :, 40:] = torch.nan, torch.nan, torch.nan
    return pred, responses


@pytest.mark.parametrize("name", ALL)
def test_metrics_wait_for_nothing(name):
    pred, responses = _data()
    expected = ALL[name](pred, responses)
    with accelerator() as log:
        pred, responses = pred.to(DEVICE), responses.to(DEVICE)
        log.waits.clear()
        got = ALL[name](pred, responses)
        assert log.waits == [] or name in HALVES
        torch.testing.assert_close(got.cpu(), expected)


def test_running_scores_are_read_once():
    metrics = {name: metric for name, metric in ALL.items() if name in ("schoppe", "corrcoef", "mse_loss")}
    pred, responses = _data()
    expected = RunningScores(metrics)
    expected.update(pred, responses)
    reads = []
    for n_batches in (2, 4):
        with accelerator() as log:
            scores = RunningScores(metrics)
            batches = [tensor.to(DEVICE).tensor_split(n_batches) for tensor in (pred, responses)]
            log.waits.clear()
            for batch in zip(*batches, strict=True):
                scores.update(*batch)
            assert log.waits == []
            values = scores.compute()
            reads.append(len(log.waits))
        for name, value in expected.compute().items():
            torch.testing.assert_close(values[name], value)
    assert reads[0] == reads[1]


@pytest.mark.parametrize("name", ALL)
def test_without_float64_metrics_are_computed_on_the_cpu(name, monkeypatch):
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", {DEVICE.type})
    pred, responses = _data()
    expected = ALL[name](pred, responses)
    with accelerator(has_float64=False):
        torch.testing.assert_close(ALL[name](pred.to(DEVICE), responses.to(DEVICE)).cpu(), expected)
