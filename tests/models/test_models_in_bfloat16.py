"""Models under autocast to bfloat16: gradients point where those of float32 do."""

import pytest
import torch
from model_zoo import ZOO
from small_models import SOUND, statenet

from deepSTRF.devices import computing_in
from deepSTRF.metrics import mse_loss
from deepSTRF.models.ensemble import Ensemble

CPU = torch.device("cpu")
CASES = {name: (small.make, lambda small=small: small.stimulus(2, 20)) for name, small in ZOO.items()}
CASES |= {
    core: (lambda core=core: statenet(rnn_type=core), lambda: SOUND)
    for core in ("LSTM", "RNN", "LMU", "Mamba", "S4", "S4D")
}
CASES["ensemble"] = (lambda: Ensemble.of([statenet(), statenet()]), lambda: SOUND)


def _gradient(name, dtype):
    make, stimulus = CASES[name]
    torch.manual_seed(0)
    model, stims = make().train(), stimulus()
    with computing_in(CPU, dtype):
        for start in (0, stims.shape[-1] // 2):  # the second half goes on from the state of the first
            pred = model.forward_chunk(stims[..., start : start + stims.shape[-1] // 2], onset=start == 0).float()
            model.detach()
    generator = torch.Generator().manual_seed(1)
    loss = mse_loss(pred, torch.rand(*pred.shape[:2], 1, pred.shape[-1], generator=generator))
    if loss.requires_grad:
        loss.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    return torch.cat([gradient.flatten() for gradient in gradients] or [pred.detach().flatten()])


@pytest.mark.parametrize("name", CASES)
def test_gradients_in_bfloat16_point_where_those_of_float32_do(name):
    exact, rounded = (_gradient(name, dtype) for dtype in (None, torch.bfloat16))
    assert not torch.equal(exact, rounded)
    assert torch.cosine_similarity(exact, rounded, 0) > 0.95
