"""Metrics and losses of a batch come from its PSTH and statistics, and equal those of its repeats."""

import pickle
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_cases import ALL, PAIRED
from torch.utils.data import DataLoader

from deepSTRF.datasets import NeuralDataset
from deepSTRF.metrics import corrcoef, mse_loss, normalized_corrcoef, poisson_loss, signal_power, snr
from deepSTRF.metrics.batches import carries_statistics
from deepSTRF.metrics.running import RunningScores
from deepSTRF.metrics.streaming import NoiseCeiling, NormalizedCorrcoef
from deepSTRF.utils import neural_collate

NAN = float("nan")
LOSSES = {
    "mse": mse_loss,
    "poisson": poisson_loss,
    "log": partial(poisson_loss, log_input=True),
    "validated": partial(poisson_loss, validate_input=True),
}
same = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-9, equal_nan=True)


def recording(rows, lengths):
    """A data set in float64; `rows` has per stimulus one tensor (R, T) or None per neuron."""
    dataset = NeuralDataset("drawn", 5.0)
    dataset.N_neurons = len(rows[0])
    dataset.nrn_meta = [{} for _ in rows[0]]
    dataset.stim_meta = [{} for _ in rows]
    dataset.stims = [torch.rand(1, 2, bins, dtype=torch.float64) for bins in lengths]
    missing = torch.full((1, 1), NAN, dtype=torch.float64)
    dataset.responses = [[missing if response is None else response for response in row] for row in rows]
    dataset.validate()
    return dataset


@st.composite
def recordings(draw):
    """Unequal repeats and lengths, lost bins, repeats and neurons, single trials, silence, and selections."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    n_neurons, n_stims = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    most = draw(st.sampled_from([1, 3, 5]))
    lengths = [draw(st.sampled_from([1, 2, 7, 30])) for _ in range(n_stims)]
    rows = []
    for bins in lengths:
        row = []
        for _ in range(n_neurons):
            kind = draw(st.sampled_from(["whole", "whole", "lost", "cut", "counts", "none"]))
            repeats = draw(st.integers(1, most))
            response = torch.rand(1, bins, generator=generator, dtype=torch.float64) + torch.rand(
                repeats, bins, generator=generator, dtype=torch.float64
            )
            if kind == "lost":
                response[torch.rand(response.shape, generator=generator) < 0.3] = NAN
            elif kind == "cut":
                response[0, bins // 2 :] = NAN
            elif kind == "counts":
                response = response.floor()
            row.append(None if kind == "none" else response)
        rows.append(row)
    dataset = recording(rows, lengths)
    if draw(st.booleans()):
        dataset.select_population(draw(st.lists(st.integers(0, n_neurons - 1), min_size=1, max_size=4)))
    return dataset


def predictions(batch):
    shape = batch["psth"].shape
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1


def collated(dataset):
    return neural_collate([dataset[i] for i in range(len(dataset))])


@settings(max_examples=30, deadline=None)
@given(recordings().filter(len))
def test_a_batch_gives_what_its_repeats_give(dataset):
    batch = collated(dataset)
    pred, responses = predictions(batch), batch["responses"]
    same(batch["psth"], responses.nanmean(2, keepdim=True))
    for name, metric in ALL.items():
        same(metric(pred, batch, reduction="none"), metric(pred, responses, reduction="none"), msg=name)


@settings(max_examples=30, deadline=None)
@given(recordings().filter(len))
def test_gradients_of_losses_are_those_of_the_repeats(dataset):
    batch = collated(dataset)
    for name, loss in LOSSES.items():
        of_batch, of_responses = (predictions(batch).requires_grad_() for _ in range(2))
        loss(of_batch, batch).backward()
        loss(of_responses, batch["responses"]).backward()
        same(of_batch.grad, of_responses.grad, msg=name)


@settings(max_examples=30, deadline=None)
@given(recordings().filter(len), st.integers(1, 4))
def test_running_and_streaming_scores_of_batches_are_those_of_all_repeats(dataset, batch_size):
    metrics = {name: partial(metric, reduction="none") for name, metric in PAIRED.items()}
    whole = collated(dataset)
    pred = predictions(whole)
    scores, streaming, ceiling = RunningScores(metrics), NormalizedCorrcoef(), NoiseCeiling()
    for start in range(0, len(dataset), batch_size):
        batch = neural_collate([dataset[i] for i in range(len(dataset))[start : start + batch_size]])
        own = pred[start : start + batch_size, ..., : batch["psth"].shape[-1]]
        scores.update(own, batch)
        streaming.update(own, batch)
        ceiling.update(None, batch)
    for name, value in scores.compute().items():
        same(value, metrics[name](pred, whole["responses"]), msg=name)
    same(streaming.compute().double(), metrics["schoppe"](pred, whole["responses"]).float().double())
    same(ceiling.compute(), ALL["noise_ceiling"](None, whole["responses"], reduction="none").float())


def complete(n_stims=3, n_neurons=3, repeats=4, bins=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n_stims):
        rate, noise = (torch.rand(n_neurons, r, bins, generator=generator, dtype=torch.float64) for r in (1, repeats))
        rows.append(list(3 * rate + noise))
    return recording(rows, [bins] * n_stims)


class NotAsked(AssertionError):
    pass


def without_responses(batch):
    def refuse():
        raise NotAsked

    from deepSTRF.lazy import Pending

    return batch.replaced({"responses": Pending(refuse), "valid_mask": Pending(refuse)})


def test_only_what_needs_the_repeats_asks_for_them():
    batch = without_responses(collated(complete()))
    pred = predictions(batch)
    asking = {"concatenated", "hsu", "ccmax"}
    for name, metric in ALL.items():
        if name in asking:
            with pytest.raises(NotAsked):
                metric(pred, batch)
        else:
            assert metric(pred, batch).isfinite(), name
    scores = RunningScores({"loss": mse_loss, "cc": corrcoef, "cc_norm": normalized_corrcoef})
    scores.update(pred, batch)
    assert all(value.isfinite() for value in scores.compute().values())


def test_a_metric_of_ones_own_gets_the_responses():
    batch = collated(complete())
    seen = []
    scores = RunningScores({"own": lambda pred, responses: seen.append(responses) or 0.0, "cc": corrcoef})
    scores.update(predictions(batch), batch)
    scores.compute()
    torch.testing.assert_close(seen[0], batch["responses"])


def test_a_mask_asks_for_the_responses():
    batch = collated(complete())
    pred = predictions(batch)
    mask = torch.arange(40) < 20
    for name, metric in ALL.items():
        same(metric(pred, batch, mask=mask), metric(pred, batch["responses"], mask=mask), msg=name)


def test_a_batch_of_another_collate_is_read_by_its_responses():
    responses = torch.rand(2, 3, 4, 30)
    pred = torch.rand(2, 3, 1, 30)
    own = {"responses": responses, "psth": ["mine"], "statistics": ["mine too"]}
    assert not carries_statistics(own)
    same(normalized_corrcoef(pred, own), normalized_corrcoef(pred, responses))
    same(mse_loss(pred, own), mse_loss(pred, responses))
    with pytest.raises(ValueError, match=r"'responses'.*'stims'"):
        mse_loss(pred, {"stims": responses})


def test_a_pickled_batch_still_carries_its_statistics():
    batch = collated(complete())
    there = pickle.loads(pickle.dumps(batch))
    assert carries_statistics(there)
    same(snr(there), snr(batch["responses"]))


def assigned(batch, responses):
    batch["responses"] = responses
    return batch


def written(batch, responses):
    batch["responses"].copy_(responses)
    return batch


def written_beside_a_copy(batch, responses):
    twin = batch.copy()
    twin["responses"].copy_(responses)
    return batch


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        assigned,
        written,
        written_beside_a_copy,
        lambda batch, responses: {**batch, "responses": responses},
        lambda batch, responses: batch | {"responses": responses},
        lambda batch, responses: assigned(pickle.loads(pickle.dumps(batch)), responses),
    ],
)
def test_scores_are_those_of_the_responses_that_a_batch_has_now(change, read_before):
    batch = collated(complete())
    if read_before:
        batch["responses"], mse_loss(torch.zeros_like(batch["psth"]), batch)
    other = torch.rand_like(batch["responses"])
    changed = change(batch, other)
    pred = torch.rand_like(batch["psth"])
    same(mse_loss(pred, changed), mse_loss(pred, other))
    same(normalized_corrcoef(pred, changed), normalized_corrcoef(pred, other))


def test_reading_responses_keeps_the_statistics():
    batch = collated(complete())
    batch["responses"].sum()
    assert carries_statistics(batch)
    assert carries_statistics(batch.replaced({"stims": batch["stims"]}))


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_give_the_statistics_of_what_they_load(workers):
    dataset = complete()
    loader = DataLoader(dataset, batch_size=2, collate_fn=neural_collate, num_workers=workers)
    for batch in loader:
        same(signal_power(batch), signal_power(batch["responses"]))
