"""What is on the disk: checkpoints that are damaged, disks that fill up, and fits that end in the middle."""

import contextlib
import functools
import io
import os
import pickle

import pytest
import torch
from noise_training import Untouched, batches, explode, fit, fitter
from shell import tree

from deepSTRF.training import ResumeError
from deepSTRF.training.checkpoint import load_state, save_state

CPU = torch.device("cpu")


# --- errors in the middle ---------------------------------------------------------------------------------------------


class FailsLater:
    """A loader whose second pass breaks off after a batch."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        yield from batches(1)
        if self.passes > 1:
            raise OSError("the disk is gone")
        yield from batches(1)


def test_a_loader_that_fails_in_the_middle_leaves_the_best_so_far(tmp_path):
    trained = fitter(train=FailsLater(), max_epochs=5, ckpt_path=tmp_path / "best.pt")
    with pytest.raises(OSError, match="the disk is gone"):
        trained.fit()
    assert len(trained.history) == 1
    assert trained.best_epoch == 0
    trained.model.load_state_dict(load_state(tmp_path / "best.pt", CPU))
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_a_log_function_that_raises_is_not_hidden(tmp_path):
    trained = fitter(log_fn=explode, ckpt_path=tmp_path / "best.pt")
    with pytest.raises(ZeroDivisionError, match="mine"):
        trained.fit()
    assert len(trained.history) == 1


def test_a_failed_evaluation_gives_the_mode_back():
    trained = fitter(val_metrics={"mine": explode})
    trained.model.train()
    with pytest.raises(ZeroDivisionError):
        trained.evaluate(batches())
    assert all(module.training for module in trained.model.modules())


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_checkpoint_paths_that_are_not_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    for path, error, words in (
        ("", ValueError, "must name a file, but . is a folder; add a file name"),
        (tmp_path, ValueError, "must name a file, but .* is a folder"),
        (tmp_path / "file" / "best.pt", OSError, "file"),
        ("/proc/nothing/best.pt", OSError, "/proc/nothing"),
    ):
        with pytest.raises(error, match=words):
            fit(ckpt_path=path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "mine")]


def everything():
    """A training with everything that a state can hold."""
    schedule = functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9)
    return {"scheduler": schedule, "track_per_cell_best": True}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "best.pt"
    fit(ckpt_path=path, resume=True, **everything())
    assert path.with_name("best.pt.resume").exists()
    return path


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def torch_file(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


DAMAGES = [
    pytest.param(lambda content, mark: content[: len(content) // 2], id="truncated"),
    pytest.param(lambda content, mark: content[:-1], id="one-byte-short"),
    pytest.param(lambda content, mark: b"", id="empty"),
    pytest.param(lambda content, mark: b"\xff\x00" * 200, id="bytes"),
    pytest.param(lambda content, mark: b"PK\x03\x04" + content[40:], id="zip"),
    pytest.param(lambda content, mark: torch_file({"identity": Evil(mark)}), id="pickle-in-a-zip"),
    pytest.param(lambda content, mark: pickle.dumps(Evil(mark)), id="pickle"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoints(checkpoint, tmp_path, damage):
    mark = tmp_path / "ran"
    checkpoint.write_bytes(damage(checkpoint.read_bytes(), mark))
    with pytest.raises(ValueError, match=r"best.pt is damaged, or was not written by deepSTRF"):
        load_state(checkpoint, CPU)
    assert not mark.exists()


def raises_and_changes_nothing(checkpoint, words):
    before = tree(checkpoint.parent)
    with pytest.raises(ResumeError, match=words):
        fit(ckpt_path=checkpoint, resume=True, **everything())
    assert tree(checkpoint.parent) == before  # nothing was written over


@pytest.mark.parametrize("damage", [*DAMAGES, pytest.param(lambda content, mark: torch_file([1]), id="list")])
def test_damaged_states_of_a_training(checkpoint, tmp_path, damage):
    state = checkpoint.with_name("best.pt.resume")
    state.write_bytes(damage(state.read_bytes(), tmp_path / "ran"))
    raises_and_changes_nothing(checkpoint, r"best.pt.resume is .*(D|d)elete it to start again")
    assert not (tmp_path / "ran").exists()


def test_a_flipped_bit_is_found(checkpoint):
    """Also one in a weight, which torch reads as another number."""
    state = checkpoint.with_name("best.pt.resume")
    weight = torch.load(state, weights_only=True)["model"]["readout.strf.kernel.weight"]
    flipped = bytearray(written := weight.numpy().tobytes())
    flipped[2] ^= 1
    state.write_bytes(state.read_bytes().replace(written, flipped))
    assert not torch.equal(torch.load(state, weights_only=True)["model"]["readout.strf.kernel.weight"], weight)
    raises_and_changes_nothing(checkpoint, r"best.pt.resume is damaged.*its part .* is not what was written")


MISSING = [
    ["identity"], ["identity", "model"], ["history"], ["history", 0, "epoch"], ["best_epoch"], ["best_score"], ["best"],
    ["best", "readout.strf.kernel.weight"], ["random"], ["random", "python"], ["random", "torch"], ["random", "cuda"],
    ["random", "loaders"], ["model"], ["model", "readout.bn.weight"], ["optimizer"], ["optimizer", "state"],
    ["optimizer", "param_groups"], ["optimizer", "param_groups", 0, "lr"], ["optimizer", "param_groups", 0, "params"],
    ["scheduler"], ["scheduler", "gamma"], ["scheduler", "last_epoch"], ["per_cell"], ["per_cell", "best"],
    ["per_cell", "kept", 0],
]  # fmt: skip


def changed_state(checkpoint, keys, change):
    """Write the state of a training of which the entry at the end of `keys` is changed."""
    path = checkpoint.with_name("best.pt.resume")
    state = torch.load(path, weights_only=True)
    entry = state
    for key in keys[:-1]:
        entry = entry[key]
    change(entry, keys[-1])
    torch.save(state, path)


@pytest.mark.parametrize("keys", MISSING, ids=lambda keys: "-".join(map(str, keys)))
def test_states_that_lack_an_entry(checkpoint, keys):
    changed_state(checkpoint, keys, lambda entry, key: entry.pop(key))
    raises_and_changes_nothing(checkpoint, r"best.pt.resume is .*(D|d)elete (it|the file) to start again")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["identity", "model"], []), (["history"], 5), (["history", 0], None), (["history", 0, "epoch"], 7),
        (["best_epoch"], "first"), (["best_epoch"], 99), (["best_score"], "high"), (["best"], [1]),
        (["best", "readout.bn.weight"], torch.ones(5)), (["model", "readout.bn.weight"], "heavy"), (["model"], None),
        (["optimizer", "state"], 5), (["optimizer", "param_groups"], []), (["scheduler"], 5), (["per_cell", "kept"], 5),
        (["per_cell", "best"], torch.ones(5)), (["random", "python"], 5), (["random", "torch"], torch.ones(3)),
        (["random", "loaders"], [torch.ones(3)]),
    ],
)  # fmt: skip
def test_states_with_an_impossible_entry(checkpoint, keys, value):
    changed_state(checkpoint, keys, lambda entry, key: entry.__setitem__(key, value))
    raises_and_changes_nothing(checkpoint, r"best.pt.resume is .*(D|d)elete (it|the file) to start again")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.pt"):
        load_state(tmp_path / "none.pt", CPU)


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_earlier_checkpoint(disk):
    path = disk(256) / "best.pt"
    save_state({"weight": torch.ones(10)}, path)
    before = path.read_bytes()
    with pytest.raises(OSError, match=rf"No space left on device.*{path}"):
        save_state({"weight": torch.rand(200_000)}, path)
    assert [file.name for file in path.parent.iterdir()] == ["best.pt"]
    assert path.read_bytes() == before
    assert torch.equal(load_state(path, CPU)["weight"], torch.ones(10))


def test_a_disk_that_fills_up_leaves_a_training_that_goes_on_when_there_is_room(disk, tmp_path):
    path = disk(200) / "best.pt"
    ballast = path.with_name("ballast")
    states = []

    def fill(row):
        if row["epoch"] == 2:
            states.append(tree(path.parent))
            with contextlib.suppress(OSError):
                ballast.write_bytes(bytes(10**6))
            ballast.write_bytes(bytes(ballast.stat().st_size - 2**13))  # room for the weights, not for the state

    options = {"max_epochs": 4, "resume": True, "monitor": "val_loss", "mode": "min", "optimizer": learning}
    with pytest.raises(OSError, match=rf"No space left on device.*{path}"):
        fit(ckpt_path=path, log_fn=fill, **options)
    ballast.unlink()
    left = tree(path.parent)
    assert left.keys() == states[0].keys()
    assert left["best.pt.resume"] == states[0]["best.pt.resume"]  # that of epoch 1
    resumed, reference = fitter(ckpt_path=path, **options), fitter(ckpt_path=tmp_path / "reference.pt", **options)
    history, expected = resumed.fit(), reference.fit()
    assert resumed.start_epoch == 2
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in expected]


def learning(parameters):
    return torch.optim.AdamW(parameters, lr=0.01)


def test_a_folder_that_can_only_be_read_is_found_out_before_the_work_begins(disk, read_only):
    path = disk(256) / "best.pt"
    fit(ckpt_path=path)
    read_only(path.parent)
    before = tree(path.parent)
    for options in ({}, {"resume": True}):
        with pytest.raises(OSError, match=rf"Read-only file system.*{path.parent}"):
            fit(ckpt_path=path, train=Untouched(batches()), **options)
    with pytest.raises(OSError, match=rf"Read-only file system.*{path.parent}"):
        fit(ckpt_path=path.parent / "below" / "best.pt", train=Untouched(batches()))
    assert tree(path.parent) == before
