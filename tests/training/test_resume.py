# ruff: noqa: NPY002  the global generator is one of those that must come back
"""A killed training that is started again ends as one that was never killed: interface.md §3.1 and issue 4."""

import functools
import os
import pickle
import random

import numpy as np
import pytest
import torch
from test_fitter import N_BANDS, N_NEURONS, make_batches, make_model
from torch import nn
from torch.utils.data import DataLoader

from deepSTRF.datasets import ChunkLoader
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import mse_loss, poisson_loss
from deepSTRF.models import Ensemble
from deepSTRF.models.audio import Linear
from deepSTRF.training import Fitter, ResumeError, set_random_seed
from deepSTRF.training.checkpoint import save_state
from deepSTRF.training.identity import fingerprint
from deepSTRF.training.resume import resume_path
from deepSTRF.training.seed import random_state, set_random_state
from deepSTRF.utils import neural_collate


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Noisy(Linear):
    """Draws from every global generator while training."""

    def forward(self, x):
        pred = super().forward(x)
        if not self.training:
            return pred
        scale = 1 + 0.01 * random.random() + 0.01 * np.random.rand()
        return scale * pred + 0.01 * torch.randn_like(pred)


def make_fitter(path, kill_at=None, cls=Noisy, seed=3, **options):
    """What a user's script does from its first line: seeds, data, model, Fitter."""
    set_random_seed(seed)
    batches = [batch for loader in (make_batches(6, 1),) for batch in loader]
    items = [{name: batch[name][0] for name in ("stims", "responses", "valid_mask", "stim_meta")} for batch in batches]
    generator = torch.Generator().manual_seed(5)
    train = DataLoader(items, 2, shuffle=True, generator=generator, collate_fn=neural_collate)
    model = cls(n_frequency_bands=N_BANDS, temporal_window_size=3, out_neurons=N_NEURONS)

    def kill(epoch_dict):
        if epoch_dict["epoch"] == kill_at:
            raise Killed

    options = {
        "max_epochs": 7,
        "patience": 4,
        "log_fn": kill,
        "optimizer": functools.partial(torch.optim.AdamW, lr=3e-2),
        "ckpt_path": path,
        "resume": True,
    } | options
    return Fitter(model, train, make_batches(seed=1), **options)


def fitted(path, **options):
    fitter = make_fitter(path, **options)
    fitter.fit()
    return fitter


def same(one, two):
    assert len(one.history) == len(two.history)
    for left, right in zip(one.history, two.history, strict=True):
        assert left.keys() == right.keys()
        for name in left:
            assert torch.equal(torch.as_tensor(left[name]), torch.as_tensor(right[name])), name
    assert one.best_epoch == two.best_epoch
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name]), name


OPTIONS = {
    "plain": {},
    "per cell": {"track_per_cell_best": True},
    "another loss": {"loss_fn": functools.partial(mse_loss, reduction="sum")},
    "clipped": {"max_grad_norm": 0.05},
    "ensemble": {"cls": lambda **arguments: Ensemble(Linear(**arguments), members=3)},
    "cosine": {"scheduler": functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=7)},
    "plateau": {
        "scheduler": lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max", patience=0, threshold=1.0
        )
    },
}


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS)
def whole(request, tmp_path_factory):
    """A training that was not killed, its file, and its options."""
    path = tmp_path_factory.mktemp("whole") / "best.pt"
    return fitted(path, **request.param), path, request.param


@pytest.mark.parametrize("kill_at", [0, 6])
def test_the_first_and_the_last_epoch_may_be_the_one_that_is_killed(tmp_path, kill_at):
    whole = fitted(tmp_path / "whole.pt")
    check_killed(tmp_path, whole, tmp_path / "whole.pt", {}, kill_at)


def test_a_killed_training_ends_as_one_that_was_not(tmp_path, whole):
    check_killed(tmp_path, *whole, kill_at=2)


def check_killed(tmp_path, whole, path, options, kill_at):
    with pytest.raises(Killed):
        make_fitter(tmp_path / "best.pt", kill_at, **options).fit()
    again = fitted(tmp_path / "best.pt", **options)
    assert again.start_epoch == kill_at  # the epoch whose end was never saved is run again
    same(whole, again)
    state = torch.load(tmp_path / "best.pt", weights_only=True)
    reference = torch.load(path, weights_only=True)
    assert all(torch.equal(value, reference[name]) for name, value in state.items())


def test_resuming_changes_nothing_about_a_training_that_is_not_killed(tmp_path):
    same(fitted(tmp_path / "a.pt", resume=False), fitted(tmp_path / "b.pt"))
    assert not resume_path(tmp_path / "a.pt").exists()


def test_a_finished_training_is_not_run_again_and_can_be_made_longer(tmp_path):
    first = fitted(tmp_path / "best.pt", max_epochs=3)
    again = make_fitter(tmp_path / "best.pt", max_epochs=3)
    again.run_epoch = None  # would fail
    again.fit()
    same(first, again)
    longer = fitted(tmp_path / "best.pt")
    assert longer.start_epoch == 3
    same(longer, fitted(tmp_path / "whole.pt"))


def test_stop_ends_after_the_epoch_and_resume_goes_on(tmp_path):
    fitter = make_fitter(tmp_path / "best.pt")
    fitter.log_fn = lambda epoch_dict: fitter.stop() if epoch_dict["epoch"] == 1 else None
    assert len(fitter.fit()) == 2
    assert fitter.stopped
    again = fitted(tmp_path / "best.pt")
    assert not again.stopped
    same(again, fitted(tmp_path / "whole.pt"))


@pytest.mark.parametrize("options", [OPTIONS["cosine"], OPTIONS["plateau"]], ids=["cosine", "plateau"])
def test_an_interrupted_fit_is_called_again_on_the_same_fitter(tmp_path, options):
    """In a notebook, after Ctrl-C: what the scheduler has moved since is no other configuration."""
    fitter = make_fitter(tmp_path / "best.pt", 2, **options)
    with pytest.raises(Killed):
        fitter.fit()
    fitter.log_fn = None
    fitter.fit()
    assert fitter.start_epoch == 2
    same(fitter, fitted(tmp_path / "whole.pt", **options))


def scaled_loss(pred, responses, scale):
    return scale(mse_loss(pred, responses))


def test_a_function_among_the_options_is_the_same_in_another_process(tmp_path):
    """Its address is not, which is what its repr shows."""
    killed = make_fitter(tmp_path / "best.pt", 2, loss_fn=functools.partial(scaled_loss, scale=lambda x: 2 * x))
    with pytest.raises(Killed):
        killed.fit()
    again = fitted(tmp_path / "best.pt", loss_fn=functools.partial(scaled_loss, scale=lambda x: 2 * x))
    assert again.start_epoch == 2


class Weighted(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, pred, responses):
        return self.weight * mse_loss(pred, responses)

    def extra_repr(self):
        return f"weight={self.weight}"


def test_options_of_a_loss_module_and_of_loaders_belong_to_the_training(tmp_path):
    with pytest.raises(Killed):
        make_fitter(tmp_path / "best.pt", 1, loss_fn=Weighted(1.0)).fit()
    with pytest.raises(ResumeError, match=r"loss: was Weighted\(weight=1.0\), is Weighted\(weight=2.0\)"):
        make_fitter(tmp_path / "best.pt", loss_fn=Weighted(2.0)).fit()
    recording = SimulatedDataset(n_neurons=N_NEURONS, n_stims=3, duration_s=1.0)
    assert fingerprint(ChunkLoader(recording, 50)) != fingerprint(ChunkLoader(recording, 100))
    assert fingerprint(ChunkLoader(recording, 50)) != fingerprint(ChunkLoader(recording, 50, shuffle=True))
    assert fingerprint(DataLoader(recording, 2)) != fingerprint(DataLoader(recording, 2, drop_last=True))
    assert fingerprint(DataLoader(recording, 2)) != fingerprint(DataLoader(recording, 2, collate_fn=neural_collate))
    assert fingerprint(DataLoader(recording, 2)) == fingerprint(DataLoader(recording, 2))


DIFFERENCES = {
    "monitor": ({"monitor": "val_cc"}, "monitor: was val_cc_norm, is val_cc"),
    "patience": ({"patience": 5}, "patience: was 4, is 5"),
    "loss": ({"loss_fn": poisson_loss}, "loss: was mse_loss, is poisson_loss"),
    "learning rate": ({"optimizer": functools.partial(torch.optim.AdamW, lr=1e-2)}, "optimizer: was AdamW.*0.03.*0.01"),
    "optimizer": ({"optimizer": functools.partial(torch.optim.SGD, lr=1e-2)}, "optimizer: was AdamW.*is SGD"),
    "scheduler": (OPTIONS["cosine"], "scheduler: .*CosineAnnealingLR"),
    "per cell": ({"track_per_cell_best": True}, "track_per_cell_best: was False, is True"),
    "clipping": ({"max_grad_norm": 1.0}, "max_grad_norm: was None, is 1.0"),
    "model": ({"cls": functools.partial(Linear, output_activation=nn.ReLU())}, "model: was .*is .*Linear"),
}


@pytest.mark.parametrize(("options", "words"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_another_training_is_an_error_that_names_the_difference(tmp_path, options, words):
    with pytest.raises(Killed):
        make_fitter(tmp_path / "best.pt", 2).fit()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ResumeError, match=words):
        make_fitter(tmp_path / "best.pt", **options).fit()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_data_and_another_version_are_errors(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        make_fitter(tmp_path / "best.pt", 2).fit()
    fitter = make_fitter(tmp_path / "best.pt")
    fitter.val_loader[0]["stims"][0, 0, 0, 0] += 1
    with pytest.raises(ResumeError, match=r"validation data: was 3 batches, sha256 .*, is 3 batches, sha256"):
        fitter.fit()
    monkeypatch.setattr("deepSTRF.__version__", "9.9")
    with pytest.raises(ResumeError, match=r"version: was deepSTRF .*, is deepSTRF 9\.9"):
        make_fitter(tmp_path / "best.pt").fit()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "half", "other"])
def test_a_damaged_state_is_an_error_that_names_the_file(tmp_path, content):
    with pytest.raises(Killed):
        make_fitter(tmp_path / "best.pt", 2).fit()
    path = resume_path(tmp_path / "best.pt")
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "other":
        torch.save({"weight": torch.ones(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ResumeError, match=r"best\.pt\.resume is .* delete it|best\.pt\.resume .* Delete it"):
        make_fitter(tmp_path / "best.pt").fit()


def test_a_malicious_state_does_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = resume_path(tmp_path / "best.pt")
    for write in (lambda: torch.save({"identity": Bomb()}, path), lambda: path.write_bytes(pickle.dumps(Bomb()))):
        write()
        with pytest.raises(ResumeError):
            make_fitter(tmp_path / "best.pt").fit()
    assert not (tmp_path / "exploded").exists()


def test_what_a_killed_writer_left_behind_is_removed(tmp_path):
    litter = tmp_path / ".best.pt.resume.abc"
    litter.write_bytes(b"half")
    make_fitter(tmp_path / "best.pt", max_epochs=1).fit()
    assert not litter.exists()


def test_what_cannot_be_read_back_is_an_error_that_names_the_place(tmp_path):
    fitter = make_fitter(tmp_path / "best.pt")
    fitter.log_fn = lambda epoch_dict: epoch_dict.update(where=tmp_path)
    with pytest.raises(TypeError, match=r"history\[0\]\['where'\] is a .*Path"):
        fitter.fit()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_an_os_error_that_names_the_file_and_the_old_one_is_intact(tmp_path, monkeypatch):
    save_state({"weight": torch.ones(2)}, tmp_path / "best.pt")
    real = os.fdopen
    monkeypatch.setattr(
        os, "fdopen", lambda handle, mode: (os.close(handle), real(os.open("/dev/full", os.O_WRONLY), mode))[1]
    )
    with pytest.raises(OSError, match=r"No space left on device.*best\.pt"):
        save_state({"weight": torch.zeros(2)}, tmp_path / "best.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]
    assert torch.load(tmp_path / "best.pt", weights_only=True)["weight"].sum() == 2


def test_bad_arguments():
    model, train, val = make_model(), make_batches(), make_batches()
    other = torch.optim.SGD(make_model().parameters(), lr=0.1)
    for options, error, words in [
        ({"resume": True}, ValueError, "ckpt_path"),
        ({"max_grad_norm": 0.0}, ValueError, "max_grad_norm must be positive"),
        ({"max_epochs": 2.5}, TypeError, "max_epochs must be an integer"),
        ({"patience": True}, TypeError, "patience must be an integer"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be"),
        ({"scheduler": "cosine"}, TypeError, "scheduler must be"),
        ({"scheduler": torch.optim.lr_scheduler.ExponentialLR(other, 0.9)}, ValueError, "another optimizer"),
        ({"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau}, ValueError, "mode 'min'"),
    ]:
        with pytest.raises(error, match=words):
            Fitter(model, train, val, **options)


def test_clipping_bounds_the_step():
    norms = []
    for largest in (None, 1e-3):
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        before = nn.utils.parameters_to_vector(model.parameters()).clone()
        Fitter(
            model,
            make_batches(1),
            make_batches(1),
            optimizer=optimizer,
            max_grad_norm=largest,
            max_epochs=1,
            log_fn=None,
        ).fit()
        norms.append((nn.utils.parameters_to_vector(model.parameters()) - before).norm().item())
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)
    assert norms[0] > 10 * norms[1]


def test_a_scheduler_is_stepped_once_per_epoch_and_a_plateau_sees_the_monitor():
    fitter = Fitter(
        make_model(),
        make_batches(),
        make_batches(),
        scheduler=functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
        max_epochs=3,
        log_fn=None,
    )
    fitter.fit()
    assert fitter.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 8)
    seen = []

    class Plateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
        def step(self, metrics, *args):
            seen.append(metrics)
            super().step(metrics, *args)

    fitter = Fitter(
        make_model(), make_batches(), make_batches(), scheduler=functools.partial(Plateau, mode="max"), max_epochs=2,
        log_fn=None,
    )  # fmt: skip
    history = fitter.fit()
    assert seen == pytest.approx([float(row["val_cc_norm"].double().nanmean()) for row in history])


def test_random_state_of_every_generator_comes_back():
    dataset = SimulatedDataset(n_neurons=2, n_stims=4, duration_s=0.2)
    generator = torch.Generator().manual_seed(1)
    loader = DataLoader(dataset, 1, shuffle=True, generator=generator, collate_fn=neural_collate)

    def draw():
        numbers = [random.random(), float(np.random.rand()), float(torch.rand(())), float(np.random.randn())]
        return numbers, [int(i) for i in loader.sampler]

    np.random.randn()  # leaves its second number waiting
    state = random_state([loader])
    first = draw()
    set_random_state(state, [loader])
    assert draw() == first
