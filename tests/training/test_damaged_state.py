"""Damaged bytes in the saved state of a training: it is read as it was written, or named."""

import io

import torch
from damage import damaged, fuzzed, loads_or_names
from hypothesis import given
from shell import tree

from deepSTRF.training.checkpoint import load_state


def training_state():
    file = io.BytesIO()
    state = {"model": {"weight": torch.arange(6.0), "steps": torch.tensor(3)}, "history": [{"epoch": 0, "cc": 0.5}]}
    torch.save({**state, "random": {"python": (3, (1, 2, 3), None)}}, file)
    return file.getvalue()


STATE = training_state()


def listed(value):
    """Nested values as such that can be compared."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, dict):
        return [[key, listed(entry)] for key, entry in value.items()]
    return [listed(entry) for entry in value] if isinstance(value, list | tuple) else value


@fuzzed(150)
@given(damaged(STATE))
def test_states_of_trainings(tmp_path, content):
    """What can be read at all is what was written, to the bit."""
    path = tmp_path / "best.pt.resume"
    path.write_bytes(content)
    state = loads_or_names(lambda: load_state(path, torch.device("cpu")), "best.pt.resume", ValueError)
    assert state is None or listed(state) == listed(torch.load(io.BytesIO(STATE), weights_only=True))
    assert tree(tmp_path) == {"best.pt.resume": content}
