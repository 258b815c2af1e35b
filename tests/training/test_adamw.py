"""AdamW without the compiler takes the same steps as that of torch, and has the same state."""

import copy

import pytest
import torch

from deepSTRF.training.adamw import AdamW


def trained(cls, steps=4, state=None):
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(5, 3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    groups = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.3, "weight_decay": 0.0}]
    optimizer = cls(groups, lr=0.1, weight_decay=0.2)
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.randn(7, 5, generator=generator)).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return torch.cat([layer.weight.flatten(), layer.bias]).detach(), optimizer


@pytest.mark.parametrize(("first", "second"), [(AdamW, torch.optim.AdamW), (torch.optim.AdamW, AdamW)])
def test_steps_and_state_are_those_of_torch(first, second):
    weights, optimizer = trained(first)
    expected, of_torch = trained(torch.optim.AdamW)
    assert torch.equal(weights, expected)
    assert str(optimizer.state_dict()) == str(of_torch.state_dict())
    resumed, _ = trained(second, state=optimizer.state_dict())
    expected, _ = trained(torch.optim.AdamW, state=of_torch.state_dict())
    assert torch.equal(resumed, expected)


def test_closures_and_hooks_are_called():
    layer = torch.nn.Linear(1, 1)
    optimizer, called = AdamW(layer.parameters()), []
    optimizer.register_step_post_hook(lambda *_: called.append("hook"))

    def closure():
        optimizer.zero_grad()
        loss = layer(torch.ones(1)).sum()
        loss.backward()
        return loss

    expected = layer.weight.item() + layer.bias.item()
    assert optimizer.step(closure).item() == pytest.approx(expected)
    assert called == ["hook"]


def test_a_group_that_is_no_dict_is_an_error():
    with pytest.raises(TypeError, match="dict"):
        AdamW(torch.nn.Linear(1, 1).parameters()).add_param_group([])
