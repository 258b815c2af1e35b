"""The Fitter trains and scores on PSTH and statistics; repeats are collated only for those who ask for them."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from deepSTRF.datasets import NeuralDataset
from deepSTRF.lazy import Pending
from deepSTRF.metrics import corrcoef, fve, mse_loss, normalized_corrcoef, poisson_loss
from deepSTRF.training import Fitter
from deepSTRF.training.prediction import on_device
from deepSTRF.utils import neural_collate

METRICS = {
    "cc": functools.partial(corrcoef, reduction="none"),
    "cc_norm": functools.partial(normalized_corrcoef, reduction="none"),
    "fve": fve,
    "hsu": functools.partial(normalized_corrcoef, method="hsu", reduction="none"),
    "concatenated": functools.partial(normalized_corrcoef, signal_power="concatenated", reduction="none"),
}
FREE = {name: METRICS[name] for name in ("cc", "cc_norm", "fve")}  # of the repeats
LOSSES = [mse_loss, poisson_loss, functools.partial(poisson_loss, log_input=True)]


class Model(nn.Module):
    """Each neuron weighs the bands of the present bin, in float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.rand(3, 4, dtype=torch.float64))

    def forward(self, stims):
        return torch.einsum("bcft,nf->bnct", stims, self.weight)


def recording():
    """Ragged: lengths, repeats, lost bins and a missing pair; float64."""
    generator = torch.Generator().manual_seed(1)
    ds = NeuralDataset("ragged", 5.0)
    ds.N_neurons = 3
    ds.nrn_meta, ds.stim_meta = [{} for _ in range(3)], [{} for _ in range(4)]
    for s, bins in enumerate((60, 45, 60, 30)):
        stim = torch.rand(1, 4, bins, generator=generator, dtype=torch.float64)
        ds.stims.append(stim)
        row = [stim.mean(1) + torch.rand(r, bins, generator=generator, dtype=torch.float64) for r in (6, 3, 1)]
        row[0][2, 10:20] = torch.nan
        if s == 1:
            row[1] = torch.full((1, 1), torch.nan, dtype=torch.float64)
        ds.responses.append(row)
    ds.validate()
    return ds


def without_responses(items):
    """Collate a batch whose repeats nobody may ask for."""

    def refuse():
        raise AssertionError("someone asked for the repeats")

    return neural_collate(items).replaced({"responses": Pending(refuse), "valid_mask": Pending(refuse)})


def only_responses(items):
    """Collate as deepSTRF 0.1.0 did."""
    batch = neural_collate(items)
    return {name: batch[name] for name in ("stims", "responses", "valid_mask", "stim_meta")}


def trained(collate, loss_fn=mse_loss, metrics=METRICS, cls=Fitter):
    loader = DataLoader(recording(), batch_size=3, collate_fn=collate)
    fitter = cls(Model(), loader, loader, loss_fn=loss_fn, val_metrics=metrics, max_epochs=2, monitor="val_loss",
                 mode="min", log_fn=None)  # fmt: skip
    return fitter.fit(), fitter.model


@pytest.mark.parametrize("loss_fn", LOSSES)
def test_history_and_weights_are_those_of_the_repeats(loss_fn):
    history, model = trained(neural_collate, loss_fn)
    expected, expected_model = trained(only_responses, loss_fn)
    torch.testing.assert_close(model.weight, expected_model.weight, rtol=1e-6, atol=1e-9)
    for own, other in zip(history, expected, strict=True):
        assert own.keys() == other.keys()
        for name in own:
            values = (torch.as_tensor(row[name], dtype=torch.float64) for row in (own, other))
            torch.testing.assert_close(*values, rtol=1e-6, atol=1e-9, equal_nan=True, msg=name)


@pytest.mark.parametrize("loss_fn", LOSSES)
def test_an_epoch_asks_for_no_repeats(loss_fn):
    history, _ = trained(without_responses, loss_fn, FREE)
    expected, _ = trained(neural_collate, loss_fn, FREE)
    torch.testing.assert_close(history[-1]["val_cc_norm"], expected[-1]["val_cc_norm"], rtol=0, atol=0)


def test_a_loss_and_a_metric_of_ones_own_get_the_repeats():
    shapes = set()

    def loss(pred, responses):
        shapes.add(tuple(responses.shape))
        return mse_loss(pred, responses)

    def metric(pred, responses):
        shapes.add(tuple(responses.shape))
        return corrcoef(pred, responses)

    history, _ = trained(neural_collate, loss, {"own": metric})
    expected, _ = trained(neural_collate, mse_loss, {"own": corrcoef})
    assert shapes == {(3, 3, 6, 60), (1, 3, 6, 30), (4, 3, 6, 60)}
    assert history[-1]["val_own"] == pytest.approx(float(expected[-1]["val_own"]), rel=1e-6)
    assert history[-1]["train_loss"] == pytest.approx(expected[-1]["train_loss"], rel=1e-6)


def test_overridden_steps_get_what_they_always_got():
    seen = []

    class OwnStep(Fitter):
        def train_step(self, batch, scores):
            self.optimizer.zero_grad()
            pred, responses = self.forward(batch)
            scores.update(pred.detach(), responses)
            loss = self.compute_loss(pred, responses)
            seen.append(tuple(responses.shape))
            loss.backward()
            self.optimizer.step()
            return loss.detach()

    class OwnForward(Fitter):
        def forward(self, batch):
            pred, responses = super().forward(batch)
            seen.append(tuple(responses.shape))
            return pred, responses

    class OwnLoss(Fitter):
        def compute_loss(self, pred, responses):
            seen.append(tuple(responses.shape))
            return super().compute_loss(pred, responses)

    class OwnPasses(Fitter):
        def _evaluate(self, loader):
            batches = list(loader)
            seen.extend(tuple(batch["responses"].shape) for batch in batches)
            return super()._evaluate(batches)

    expected, _ = trained(neural_collate)
    for cls in (OwnStep, OwnForward, OwnLoss, OwnPasses):
        seen.clear()
        history, _ = trained(neural_collate, cls=cls)
        assert {(3, 3, 6, 60), (1, 3, 6, 30)} <= set(seen), cls
        torch.testing.assert_close(history[-1]["val_cc"], expected[-1]["val_cc"], rtol=1e-6, atol=1e-9)


def test_responses_that_a_forward_changes_count_everywhere():
    class Doubled(Fitter):
        def forward(self, batch):
            pred, responses = super().forward(batch)
            return pred, 2 * responses

    doubled, _ = trained(neural_collate, cls=Doubled)
    plain, _ = trained(lambda items: {**only_responses(items), "responses": 2 * only_responses(items)["responses"]})
    torch.testing.assert_close(doubled[-1]["val_cc_norm"], plain[-1]["val_cc_norm"], rtol=1e-6, atol=1e-9)
    assert doubled[-1]["val_loss"] == pytest.approx(plain[-1]["val_loss"], rel=1e-6)


def test_only_what_is_read_goes_to_the_device():
    batch = without_responses([recording()[0]])
    there = on_device(batch, torch.device("meta"))
    assert there["stims"].is_meta
    assert there["psth"].is_meta
    assert not there["statistics"].signal.is_meta  # small, and merged on the CPU in the end
    with pytest.raises(AssertionError, match="asked"):
        there["responses"]


def test_a_collate_function_that_loses_responses_is_obeyed():
    def blank(items):
        batch = neural_collate(items)
        batch["responses"][..., 10:] = torch.nan
        return batch

    fitted = []
    for collate in (blank, lambda items: dict(blank(items))):
        loader = DataLoader(recording(), batch_size=2, collate_fn=collate)
        fitter = Fitter(Model(), loader, loader, max_epochs=2, log_fn=None)
        fitted.append(fitter.fit()[-1])
    whole = DataLoader(recording(), batch_size=2, collate_fn=neural_collate)
    assert fitted[0]["val_loss"] == pytest.approx(fitted[1]["val_loss"])
    assert Fitter(Model(), whole, whole, max_epochs=2, log_fn=None).fit()[-1]["val_loss"] != fitted[0]["val_loss"]
