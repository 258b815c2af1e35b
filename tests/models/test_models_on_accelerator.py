"""Every model, core and front end on a device of its own: the numbers of the CPU, and no step that waits.

The device is a stand-in of tests/accelerator.py; without float64, as the GPUs of Apple, which others have too.
"""

import copy
import functools

import pytest
import torch
from accelerator import DEVICE, accelerator
from model_zoo import ZOO
from small_models import SOUND, linear, statenet
from torch import nn

from deepSTRF import devices
from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.models import wav2spec
from deepSTRF.models.bin_by_bin import NotStreamableError, map_state, predict_in_pieces
from deepSTRF.models.ensemble import Ensemble
from deepSTRF.models.layers import LowRankSTRF, ParametricSTRF, RaisedCosineSTRF, SeparableSTRF
from deepSTRF.models.prefiltering import AdapTrans, ICAdaptation

_AUDIO = torch.randn(2, 1, 800, generator=torch.Generator().manual_seed(0))


def _with_front_end(make):
    return lambda: linear(wav2spec=make(8000, 8)), _AUDIO


CASES = {name: (small.make, functools.partial(small.stimulus, 2, 20)) for name, small in ZOO.items()}
CASES |= {
    core: (functools.partial(statenet, rnn_type=core), SOUND)
    for core in ("GRU", "LSTM", "RNN", "LMU", "Mamba", "S4", "S4D")
}
CASES |= {
    type(prefilter).__name__: (functools.partial(linear, prefiltering=prefilter), SOUND)
    for prefilter in (AdapTrans([0.9] * 8, [0.75] * 8, 7), ICAdaptation([0.9] * 8, 7))
}
CASES |= {
    type(kernel).__name__: (functools.partial(linear, kernel=kernel), SOUND)
    for kernel in (
        SeparableSTRF(8, 5, 1, 3),
        LowRankSTRF(8, 5, 1, 3),
        ParametricSTRF(8, 5, 1, 3),
        RaisedCosineSTRF(8, 5, 1, 3, n_basis=3),
    )
}
CASES |= {
    front_end.__name__: _with_front_end(front_end)
    for front_end in (
        wav2spec.CausalMelSpectrogram, wav2spec.CausalGammatone, wav2spec.Gammatonegram, wav2spec.SincNet,
        wav2spec.CausalLEAF,
    )
}  # fmt: skip
CASES["ensemble"] = (lambda: Ensemble.of([statenet(), statenet()]), SOUND)


@pytest.fixture(autouse=True)
def no_float64(monkeypatch):
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", {"mps", DEVICE.type})


def _made(name):
    make, stimulus = CASES[name]
    torch.manual_seed(0)
    return copy.deepcopy(make()), stimulus() if callable(stimulus) else stimulus


def _step(model, stims, responses, loss):
    """A training step: prediction, loss, and the weights after it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # AdamW would make steps of rounding
    torch.manual_seed(1)
    pred = model.train()(stims)
    value = loss(pred, responses)
    if value.requires_grad:
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.detach()
    return pred.detach(), value.detach()


def _responses(pred):
    generator = torch.Generator().manual_seed(2)
    responses = torch.rand(*pred.shape[:2], 2, pred.shape[-1], generator=generator)
    responses[0, 0, :, :5] = responses[1, 1] = torch.nan
    return responses


@pytest.mark.parametrize("name", CASES)
def test_training_steps_wait_for_nothing(name):
    loss = poisson_loss if name in ("GRU", "ridge") else mse_loss
    model, stims = _made(name)
    responses = _responses(model.eval()(stims))
    expected = _step(model, stims, responses, loss)
    twin, stims = _made(name)
    with accelerator(has_float64=False) as log:
        twin.to(DEVICE)
        stims, responses = stims.to(DEVICE), responses.to(DEVICE)
        log.waits.clear()
        got = _step(twin, stims, responses, loss)
        assert log.waits == []
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=1e-5)
        for (key, a), b in zip(twin.state_dict().items(), model.state_dict().values(), strict=True):
            torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", CASES)
def test_predictions_and_chunks_wait_for_nothing(name):
    model, stims = _made(name)
    model.eval()
    with accelerator(has_float64=False) as log, torch.no_grad():
        expected = model(stims)
        model.to(DEVICE)
        stims = stims.to(DEVICE)
        log.waits.clear()
        whole = model(stims)
        try:
            first, state = model.step(stims[..., : stims.shape[-1] // 2])
            second, _ = model.step(stims[..., stims.shape[-1] // 2 :], map_state(torch.clone, state))
        except NotStreamableError:
            first, second = whole, whole[..., :0]
        pieces = predict_in_pieces(model, stims)
        assert log.waits == []
        for got in (whole, torch.cat([first, second], -1), pieces):
            torch.testing.assert_close(got.cpu(), expected, rtol=1e-4, atol=1e-5)
